//! One entry of `routes` in the configuration: which identities are mapped, and how.

use std::fmt;

/// How the identities of some questions are mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) matcher: Matcher,
    /// Put before user name and groups; `{cluster}` stands for the name of the cluster.
    pub(crate) username_prefix: String,
    /// The groups that are passed on, as the cluster calls them; a `*` at the end stands for the rest.
    pub(crate) groups: Option<Vec<String>>,
    /// The keys of extra that are passed on.
    pub(crate) extra: Option<Vec<String>>,
}

/// Which questions a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Matcher {
    Host(String),
    Path(String),
    Caller(String),
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => write!(f, "host {host}"),
            Self::Path(path) => write!(f, "path {path}"),
            Self::Caller(caller) => write!(f, "caller {caller}"),
        }
    }
}
