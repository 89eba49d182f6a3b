//! A question, and the decision about it.

use std::{sync::Arc, time::Duration};

use portolan_core::auth::{ReviewRequest, TokenRefusal, UserIdentity, claims::NumericDate};

use crate::{config::ClusterConfig, mapping::IdentityMapping, state::ConfigSnapshot};

/// The cluster that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewTarget<'a> {
    /// This cluster.
    Cluster(&'a str),
    /// The one whose key the token names.
    Auto,
}

/// A question with everything that decides its answer.
#[derive(Debug)]
pub struct ReviewQuestion<'a> {
    pub snapshot: &'a Arc<ConfigSnapshot>,
    pub target: ReviewTarget<'a>,
    pub route: Option<&'a IdentityMapping>,
    /// Name of the caller, for the audit.
    pub caller: &'a Arc<str>,
    /// `true` if the token may be for anybody, which only the old API asks for.
    pub any_audience: bool,
    pub request: &'a ReviewRequest,
}

/// A decision.
#[derive(Debug)]
pub struct ReviewDecision {
    /// The cluster, where there is one.
    pub cluster: Option<Arc<ClusterConfig>>,
    pub outcome: Result<Accepted, TokenRefusal>,
    /// Time for which the verdict may be given again.
    pub keep_for: Duration,
}

impl ReviewDecision {
    /// The cluster, or nothing where there is none.
    pub fn cluster(&self) -> &str {
        self.cluster.as_ref().map_or("", |cluster| &cluster.name)
    }

    /// The mode in which the cluster's tokens are checked.
    pub fn mode(&self) -> &'static str {
        self.cluster.as_ref().map_or("", |cluster| cluster.mode.label())
    }
}

/// A token that was accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub identity: UserIdentity,
    pub audiences: Vec<String>,
    /// Id of the token, where it has one.
    pub token_id: Option<String>,
    /// End of the token, where it has one.
    pub end: Option<NumericDate>,
    /// Limit on the time for which the verdict may be given again, where something else than the token sets one.
    pub keep_for: Option<Duration>,
}
