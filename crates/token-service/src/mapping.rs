//! One entry of `routes` in the configuration: which identities are mapped, and how.

use std::fmt;

/// A mapping of identities, and the questions that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityMapping {
    pub matcher: MappingMatcher,
    /// Put before user name and groups; `{cluster}` stands for the name of the cluster.
    pub username_prefix: String,
    /// The groups that are passed on, as the cluster calls them; a `*` at the end stands for the rest.
    pub groups: Option<Vec<String>>,
    /// The keys of extra that are passed on.
    pub extra: Option<Vec<String>>,
}

/// The matcher of a mapping's questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappingMatcher {
    Host(String),
    Path(String),
    Caller(String),
}

impl fmt::Display for MappingMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => write!(f, "host {host}"),
            Self::Path(path) => write!(f, "path {path}"),
            Self::Caller(caller) => write!(f, "caller {caller}"),
        }
    }
}
