//! A question, and the decision about it.

use std::{sync::Arc, time::Duration};

use portolan_core::auth::{ReviewRequest, TokenRefusal, UserIdentity, claims::NumericDate};

use crate::{config::ClusterConfig, mapping::IdentityMapping, state::ConfigSnapshot};

/// The cluster that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReviewTarget<'a> {
    /// This cluster.
    Cluster(&'a str),
    /// The one whose key the token names.
    Auto,
}

/// A question with everything that decides its answer.
#[derive(Debug)]
pub(crate) struct ReviewQuestion<'a> {
    pub(crate) snapshot: &'a Arc<ConfigSnapshot>,
    pub(crate) target: ReviewTarget<'a>,
    pub(crate) route: Option<&'a IdentityMapping>,
    /// Name of the caller, for the audit.
    pub(crate) caller: &'a Arc<str>,
    /// `true` if the token may be for anybody, which only the old API asks for.
    pub(crate) any_audience: bool,
    pub(crate) request: &'a ReviewRequest,
}

/// A decision.
#[derive(Debug)]
pub(crate) struct ReviewDecision {
    /// The cluster, where there is one.
    pub(crate) cluster: Option<Arc<ClusterConfig>>,
    pub(crate) outcome: Result<Accepted, TokenRefusal>,
    /// Time for which the verdict may be given again.
    pub(crate) keep_for: Duration,
}

impl ReviewDecision {
    /// The cluster, or nothing where there is none.
    pub(crate) fn cluster(&self) -> &str {
        self.cluster.as_ref().map_or("", |cluster| &cluster.name)
    }

    /// The mode in which the cluster's tokens are checked.
    pub(crate) fn mode(&self) -> &'static str {
        self.cluster.as_ref().map_or("", |cluster| cluster.mode.label())
    }
}

/// A token that was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) identity: UserIdentity,
    pub(crate) audiences: Vec<String>,
    /// Id of the token, where it has one.
    pub(crate) token_id: Option<String>,
    /// End of the token, where it has one.
    pub(crate) end: Option<NumericDate>,
    /// Limit on the time for which the verdict may be given again, where something else than the token sets one.
    pub(crate) keep_for: Option<Duration>,
}
