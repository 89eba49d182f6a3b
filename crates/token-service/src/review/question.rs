//! A question, and the decision about it.

use std::{sync::Arc, time::Duration};

use portolan_core::auth::{Identity, Refusal, ReviewRequest, claims::NumericDate};

use crate::{config::ClusterConfig, mapping::Mapping, state::Snapshot};

/// Who is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// This cluster.
    Cluster(&'a str),
    /// The one whose key the token names.
    Auto,
}

/// A question with everything that decides its answer.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) snapshot: &'a Arc<Snapshot>,
    pub(crate) target: Target<'a>,
    pub(crate) route: Option<&'a Mapping>,
    /// Who asks, for the audit.
    pub(crate) caller: &'a Arc<str>,
    /// Whether the token may be for anybody, which only the old API asks for.
    pub(crate) any_audience: bool,
    pub(crate) request: &'a ReviewRequest,
}

/// A decision.
#[derive(Debug)]
pub(crate) struct Decision {
    /// The cluster, where there is one.
    pub(crate) cluster: Option<Arc<ClusterConfig>>,
    pub(crate) outcome: Result<Accepted, Refusal>,
    /// How long it may be given again.
    pub(crate) keep_for: Duration,
}

impl Decision {
    /// The cluster, or nothing where there is none.
    pub(crate) fn cluster(&self) -> &str {
        self.cluster.as_ref().map_or("", |cluster| &cluster.name)
    }

    /// How the cluster's tokens are checked.
    pub(crate) fn mode(&self) -> &'static str {
        self.cluster.as_ref().map_or("", |cluster| cluster.mode.label())
    }
}

/// A token that was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) identity: Identity,
    pub(crate) audiences: Vec<String>,
    /// Id of the token, where it has one.
    pub(crate) token_id: Option<String>,
    /// End of the token, where it has one.
    pub(crate) end: Option<NumericDate>,
    /// How long it may be given again at most, where something else than the token limits that.
    pub(crate) keep_for: Option<Duration>,
}
