//! Kinds that seem to be gone. An API server that has just started answers before it serves its CRDs, and publishes their
//! OpenAPI later still: what was known of them is kept until it is certain that they are gone.

use std::time::Duration;

use http::StatusCode;
use portolan_core::api::gateway::SchemaFilter;
use portolan_runtime::client::ReadError;
use tokio::time::Instant;

use super::{
    DiscoveredApi, Discovery,
    discovered::KnownPart,
    read::SMALL,
    resources::{ClusterResources, GroupVersion},
};

/// Time for which kinds must be gone if nothing says that the API server is ready.
const GONE: Duration = Duration::from_secs(2);
/// Time for which their OpenAPI must be gone if they are still among the resources.
pub(super) const UNDESCRIBED: Duration = Duration::from_secs(30);
/// Number of looks that follow a doubtful one soon: what is late at a start comes without an event.
const RECHECKS: u8 = 3;
const STARTING: &str = "its API server is not ready: /readyz answers 500";

/// The answer of `/readyz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ServerReadiness {
    Ready,
    Starting,
    /// It is not there, or not for us.
    Unknown,
}

/// A group-version with fewer kinds than before.
struct KindLoss {
    name: String,
    /// `true` if there are as few among the resources.
    is_explained: bool,
    since: Instant,
}

impl Discovery {
    /// Keeps what was known of kinds that may come back.
    pub(super) async fn keep_doubtful(
        &self,
        found: &mut DiscoveredApi,
        resources: &ClusterResources,
        before: &DiscoveredApi,
    ) {
        let losses = self.losses(found, resources, before);
        let is_calm = losses.is_empty() && before.rechecks == 0 && !before.parts.is_empty();
        if is_calm {
            return;
        }
        let readiness = self.readiness().await;
        let is_certain = readiness != ServerReadiness::Starting
            && losses.iter().all(|loss| readiness == ServerReadiness::Ready && loss.is_explained);
        found.rechecks = if is_certain { before.rechecks.saturating_sub(1) } else { RECHECKS };
        if readiness == ServerReadiness::Starting && losses.is_empty() {
            found.failed.insert("all group-versions".to_owned(), STARTING.to_owned());
        }
        for KindLoss { name, is_explained, since } in losses {
            if is_gone(readiness, is_explained, since.elapsed()) {
                continue;
            }
            if let Some(known) = before.parts.get(&name) {
                let replaced = found.parts.insert(name.clone(), known.clone());
                let was_fetched = replaced.is_some_and(|replaced| replaced.source != known.source);
                found.fetched = found.fetched.saturating_sub(usize::from(was_fetched));
            }
            if readiness == ServerReadiness::Starting {
                found.failed.insert(name.clone(), STARTING.to_owned());
            }
            found.doubts.insert(name, since);
        }
    }

    fn losses(
        &self,
        found: &DiscoveredApi,
        resources: &ClusterResources,
        before: &DiscoveredApi,
    ) -> Vec<KindLoss> {
        let loss = |(name, known): (&String, &KnownPart)| {
            let kinds = found.parts.get(name).map_or(0, |found| found.part.kinds);
            let listed = resources.0.get(name).map_or(0, |of| self.count(of));
            let since = before.doubts.get(name).copied().unwrap_or_else(Instant::now);
            let is_explained = listed <= kinds;
            (kinds < known.part.kinds).then(|| KindLoss { name: name.clone(), is_explained, since })
        };
        before.parts.iter().filter_map(loss).collect()
    }

    /// The number of kinds that are to be served.
    fn count(&self, of: &GroupVersion) -> usize {
        let selects = |filter: &SchemaFilter, kind: &str| filter.selects(&of.group, &of.version, kind);
        of.kinds.keys().filter(|kind| self.filter.as_ref().is_none_or(|filter| selects(filter, kind))).count()
    }

    async fn readiness(&self) -> ServerReadiness {
        match self.read_small("/readyz", "*/*", SMALL).await {
            Ok(_) => ServerReadiness::Ready,
            Err(ReadError::Status(StatusCode::INTERNAL_SERVER_ERROR)) => ServerReadiness::Starting,
            Err(_) => ServerReadiness::Unknown,
        }
    }
}

fn is_gone(readiness: ServerReadiness, is_explained: bool, missing_for: Duration) -> bool {
    match (readiness, is_explained) {
        (ServerReadiness::Starting, _) => false,
        (ServerReadiness::Ready, true) => true,
        (ServerReadiness::Unknown, true) => missing_for >= GONE,
        (_, false) => missing_for >= UNDESCRIBED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_come_back_is_not_gone() {
        let at_once = Duration::ZERO;
        for (readiness, is_explained, missing_for, expected) in [
            (ServerReadiness::Ready, true, at_once, true),
            (ServerReadiness::Ready, false, GONE, false),
            (ServerReadiness::Ready, false, UNDESCRIBED, true),
            (ServerReadiness::Unknown, true, at_once, false),
            (ServerReadiness::Unknown, true, GONE, true),
            (ServerReadiness::Unknown, false, GONE, false),
            (ServerReadiness::Starting, true, UNDESCRIBED, false),
            (ServerReadiness::Starting, false, UNDESCRIBED, false),
        ] {
            let gone = is_gone(readiness, is_explained, missing_for);
            assert_eq!(gone, expected, "{readiness:?} {is_explained} {missing_for:?}");
        }
    }
}
