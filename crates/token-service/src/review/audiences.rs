//! Whom a token must be for: one answer for every mode and every door.

use portolan_core::auth::{TokenRefusal, audience::intersection};

use crate::cluster::Cluster;

/// The audience that matches every other.
const ANY: &str = "*";

/// Whom a token must be for.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// Those of the cluster's configuration.
    Default,
    /// Anybody.
    Any,
    /// One of these.
    These(&'a [String]),
}

/// Whom a token of a cluster must be for, which is the same in every mode and at every door.
#[derive(Clone, Copy, Debug)]
pub(super) enum Audiences<'a> {
    /// Whom it names, which may be nobody.
    Anybody,
    /// Whom it names.
    Any,
    /// One of these.
    These(&'a [String]),
    /// The API server, which itself knows best what it is called; these for who cannot ask it.
    ApiServer(&'a [String]),
}

impl<'a> Audiences<'a> {
    pub(super) fn of(wanted: Wanted<'a>, cluster: &'a Cluster) -> Self {
        match (wanted, cluster.config.audiences.as_deref()) {
            (Wanted::Any, _) => Self::Anybody,
            (Wanted::Default, Some([only])) if only == ANY => Self::Any,
            (Wanted::These(audiences), _) | (Wanted::Default, Some(audiences)) => Self::These(audiences),
            (Wanted::Default, None) => Self::ApiServer(&cluster.api_audiences),
        }
    }

    /// Those of a token that are wanted, where nobody is asked.
    pub(super) fn met(self, token: &[String]) -> Result<Vec<String>, TokenRefusal> {
        let (common, wanted) = match self {
            Self::Anybody => return Ok(token.to_vec()),
            Self::Any => (token.to_vec(), Default::default()),
            Self::These(wanted) | Self::ApiServer(wanted) => (intersection(wanted, token), wanted),
        };
        if common.is_empty() {
            return Err(TokenRefusal::Audience { token: token.to_vec(), wanted: wanted.to_vec() });
        }
        Ok(common)
    }

    /// Those that an API server is asked for; with none it takes its own.
    pub(super) fn asked(self, token: &[String]) -> Vec<String> {
        match self {
            Self::Anybody | Self::Any => token.to_vec(),
            Self::These(wanted) => wanted.to_vec(),
            Self::ApiServer(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(audiences: &[&str]) -> Vec<String> {
        audiences.iter().map(|&audience| audience.to_owned()).collect()
    }

    #[test]
    fn who_is_meant_is_the_same_for_keys_and_for_api_servers() {
        let (own, named) = (list(&["i", "https://kubernetes.default.svc"]), list(&["a", "b"]));
        let (token, other, nobody) =
            (list(&["b", "https://kubernetes.default.svc"]), list(&["z"]), list(&[]));
        let label = |audiences: Audiences<'_>, token: &[String]| {
            audiences.met(token).map_or_else(|refusal| refusal.label().to_owned(), |met| met.join(" "))
        };
        // By keys for three tokens, and what an API server is asked about the first.
        let table = [
            (Audiences::These(&named), ["b", "audience", "audience"], "a b"),
            (Audiences::ApiServer(&own), ["https://kubernetes.default.svc", "audience", "audience"], ""),
            (
                Audiences::Any,
                ["b https://kubernetes.default.svc", "z", "audience"],
                "b https://kubernetes.default.svc",
            ),
            (
                Audiences::Anybody,
                ["b https://kubernetes.default.svc", "z", ""],
                "b https://kubernetes.default.svc",
            ),
        ];
        for (audiences, by_keys, asked) in table {
            let met = [&token, &other, &nobody].map(|token| label(audiences, token));
            assert_eq!(met, by_keys, "{audiences:?}");
            assert_eq!(audiences.asked(&token).join(" "), asked, "{audiences:?}");
        }
    }
}
