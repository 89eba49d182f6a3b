//! The status of a ClusterAccess, from what is known of its cluster.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portolan_core::{
    api::gateway::{
        CONDITION_COMPLETE, CONDITION_READY, CONDITION_WATCHED, ClusterAccess, ClusterAccessStatus,
        REASON_PATH_CONFLICT, REASON_SUCCEEDED,
    },
    digest::sha256_hex,
    standard_condition::{self, Judgement},
};

use crate::{
    cluster::{KnownCluster, WatchMode},
    files::FileTrouble,
    problem::Problem,
};

/// Maximum number of group-versions named in a message.
const NAMED: usize = 10;

/// The facts that a status is made of.
#[derive(Debug, Default)]
pub struct StatusFacts<'a> {
    /// The path that the cluster is served under.
    pub served: Option<&'a str>,
    pub known: Option<&'a KnownCluster>,
    pub problem: Option<&'a Problem>,
    pub trouble: Option<&'a FileTrouble>,
    /// `true` if the last result is about the current target.
    pub looked: bool,
}

/// The status that a ClusterAccess should have.
pub fn status(access: &ClusterAccess, view: &StatusFacts<'_>, now: Timestamp) -> ClusterAccessStatus {
    let before = access.status.clone().unwrap_or_default();
    let generation = access.metadata.generation;
    let discovered = view.known.filter(|_| view.served.is_some()).map(|known| &known.discovered);
    let is_kept = keeps_unknown(access, view);
    let discovered = discovered.filter(|_| !is_kept);
    let hash = discovered.map(|discovered| {
        sha256_hex(serde_json::to_string(&discovered.references()).unwrap_or_default().as_bytes())
    });
    let hash = if is_kept { before.schema_hash.clone() } else { hash };
    let kept_path = before.observed_path.clone().filter(|_| is_kept);
    let served = view.served.map(str::to_owned).or(kept_path);
    let is_same = before.schema_hash == hash && before.observed_path == served;
    let last_sync_time = if is_same && before.last_sync_time.is_some() {
        before.last_sync_time
    } else {
        hash.as_ref().map(|_| Time(now)).or(before.last_sync_time)
    };
    let (version, kinds) = match discovered {
        Some(discovered) => (Some(discovered.version.clone()), i32::try_from(discovered.kinds()).ok()),
        None if is_kept => (before.server_version, before.kinds),
        None => (None, None),
    };
    let mut conditions = before.conditions;
    let mut set = |r#type, judgement: Option<Judgement>| match judgement {
        Some(judgement) => standard_condition::set(&mut conditions, r#type, judgement, generation, now),
        None => standard_condition::remove(&mut conditions, r#type),
    };
    set(CONDITION_READY, Some(ready(view)));
    if !is_kept {
        set(CONDITION_COMPLETE, complete(view));
    }
    set(CONDITION_WATCHED, watched(view));
    ClusterAccessStatus {
        observed_path: served,
        schema_hash: hash,
        server_version: version,
        kinds,
        last_sync_time,
        observed_generation: generation,
        conditions,
    }
}

/// Returns `true` if nothing is known any more of the document that is kept: it was made before the object described
/// another cluster, or by a listener before this one.
fn keeps_unknown(access: &ClusterAccess, view: &StatusFacts<'_>) -> bool {
    let reason = view.problem.map(|problem| problem.reason);
    // Without its path, a cluster has no document.
    if matches!(reason, None | Some(REASON_PATH_CONFLICT | "PathInvalid")) {
        return false;
    }
    let before = access.status.as_ref().and_then(|status| status.observed_path.as_deref());
    match view.served {
        Some(_) => view.known.is_some_and(|known| known.discovered.parts.is_empty()),
        None => before == Some(&*access.path()),
    }
}

fn ready(view: &StatusFacts<'_>) -> Judgement {
    let kept = if view.served.is_some() { " The last good document is still served." } else { "" };
    if let Some(problem) = view.problem {
        return Judgement::fails(problem.reason, format!("{}.{kept}", problem.message.trim_end_matches('.')));
    }
    if let Some(trouble) = view.trouble {
        return Judgement::fails(trouble.reason, trouble.message.clone());
    }
    if view.looked {
        Judgement::holds(REASON_SUCCEEDED, "Schema generated and written successfully")
    } else {
        Judgement::unknown("Discovering", format!("The cluster is being looked at.{kept}"))
    }
}

fn complete(view: &StatusFacts<'_>) -> Option<Judgement> {
    let discovered = &view.known.filter(|_| view.served.is_some())?.discovered;
    if discovered.failed.is_empty() {
        return Some(Judgement::holds("AllGroupVersions", "Every group-version is in the document"));
    }
    let named: Vec<_> =
        discovered.failed.iter().take(NAMED).map(|(name, why)| format!("{name} ({why})")).collect();
    let more = discovered.failed.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(Judgement::fails(
        "GroupVersionsFailed",
        format!("Not up to date, and tried again every 10 seconds: {}{more}", named.join(", ")),
    ))
}

fn watched(view: &StatusFacts<'_>) -> Option<Judgement> {
    match view.known?.outcome.as_ref()?.watching {
        WatchMode::Unknown => None,
        WatchMode::Watches => Some(Judgement::holds("Watching", "New APIs of the cluster are seen at once")),
        WatchMode::Forbidden => Some(Judgement::fails(
            "WatchForbidden",
            "New APIs of the cluster are seen within 10 seconds: let the credential list and watch customresourcedefinitions and apiservices to see them at once",
        )),
        WatchMode::Unstable => Some(Judgement::fails(
            "IndexUnstable",
            "New APIs of the cluster are seen within 5 minutes: the hashes of its /openapi/v3 change at every read, although nothing else does",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use serde_json::json;

    use super::*;
    use crate::{cluster::LookOutcome, discovery::DiscoveredApi};

    fn access() -> ClusterAccess {
        serde_json::from_value(json!({
            "apiVersion": "gateway.platform-mesh.io/v1alpha1", "kind": "ClusterAccess",
            "metadata": {"name": "a", "generation": 3}, "spec": {},
        }))
        .unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn known(watching: WatchMode, failed: &[&str]) -> KnownCluster {
        let failed = failed.iter().map(|name| ((*name).to_owned(), "down".to_owned()));
        let discovered = DiscoveredApi {
            version: "v1.35".to_owned(),
            failed: failed.collect::<BTreeMap<_, _>>(),
            ..DiscoveredApi::default()
        };
        let outcome =
            LookOutcome { assignment: crate::cluster::tests::assignment(), result: Ok(()), watching };
        KnownCluster { outcome: Some(outcome), discovered: Arc::new(discovered), succeeded: None }
    }

    fn reasons(view: &StatusFacts<'_>) -> Vec<(String, String)> {
        let status = status(&access(), view, at(1));
        assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(3)));
        status.conditions.into_iter().map(|condition| (condition.r#type, condition.reason)).collect()
    }

    #[test]
    fn conditions_say_what_is_known() {
        let good = known(WatchMode::Watches, &[]);
        let view =
            StatusFacts { served: Some("a"), known: Some(&good), looked: true, ..StatusFacts::default() };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            reasons(&view),
            [
                pair("Ready", "ReconcileSucceeded"),
                pair("Complete", "AllGroupVersions"),
                pair("Watched", "Watching")
            ]
        );
        let poor = known(WatchMode::Forbidden, &["x.io/v1"]);
        let view =
            StatusFacts { served: Some("a"), known: Some(&poor), looked: true, ..StatusFacts::default() };
        assert_eq!(
            reasons(&view)[1..],
            [pair("Complete", "GroupVersionsFailed"), pair("Watched", "WatchForbidden")]
        );
        let odd = known(WatchMode::Unstable, &[]);
        let view =
            StatusFacts { served: Some("a"), known: Some(&odd), looked: true, ..StatusFacts::default() };
        assert_eq!(reasons(&view)[2], pair("Watched", "IndexUnstable"));
        assert_eq!(reasons(&StatusFacts::default()), [pair("Ready", "Discovering")]);
        let trouble = FileTrouble { reason: "FileConflict", message: "m".to_owned() };
        let view = StatusFacts { trouble: Some(&trouble), looked: true, ..StatusFacts::default() };
        assert_eq!(reasons(&view), [pair("Ready", "FileConflict")]);
    }

    #[test]
    fn a_problem_says_whether_the_last_document_is_served() {
        let problem = Problem::passing("Unreachable", "h cannot be reached.");
        let message = |served| {
            let view = StatusFacts { served, problem: Some(&problem), ..StatusFacts::default() };
            status(&access(), &view, at(1)).conditions[0].message.clone()
        };
        assert_eq!(message(None), "h cannot be reached.");
        assert_eq!(message(Some("a")), "h cannot be reached. The last good document is still served.");
    }

    #[test]
    fn a_document_that_is_kept_is_still_told_of() {
        let mut access = access();
        let told = json!({"observedPath": "a", "schemaHash": "h", "serverVersion": "v1.35", "kinds": 60,
            "lastSyncTime": "2026-01-01T00:00:00Z"});
        access.status = Some(serde_json::from_value(told).unwrap());
        let (nothing, problem) = (known(WatchMode::Unknown, &[]), Problem::passing("Unreachable", "h."));
        let view = StatusFacts {
            served: Some("a"),
            known: Some(&nothing),
            problem: Some(&problem),
            ..StatusFacts::default()
        };
        // The same if another listener has made it.
        let anew = StatusFacts { problem: Some(&problem), ..StatusFacts::default() };
        assert_eq!(status(&access, &anew, at(1)).observed_path.as_deref(), Some("a"));
        let taken = Problem::lasting(REASON_PATH_CONFLICT, "m");
        let without =
            status(&access, &StatusFacts { problem: Some(&taken), ..StatusFacts::default() }, at(1));
        assert_eq!((without.observed_path, without.schema_hash, without.kinds), (None, None, None));
        let status = status(&access, &view, at(1));
        let before = access.status.unwrap();
        assert_eq!((&status.schema_hash, status.kinds), (&before.schema_hash, Some(60)));
        assert_eq!(
            (&status.server_version, &status.last_sync_time),
            (&before.server_version, &before.last_sync_time)
        );
        let names: Vec<_> = status.conditions.iter().map(|condition| condition.r#type.as_str()).collect();
        assert_eq!(names, ["Ready"], "nobody has said that it is complete");
    }

    #[test]
    fn the_time_changes_with_the_document_only() {
        let good = known(WatchMode::Watches, &[]);
        let view =
            StatusFacts { served: Some("a"), known: Some(&good), looked: true, ..StatusFacts::default() };
        let mut access = access();
        access.status = Some(status(&access, &view, at(1)));
        let again = status(&access, &view, at(2));
        assert_eq!(access.status, Some(again.clone()));
        let moved = status(&access, &StatusFacts { served: Some("b"), ..view }, at(3));
        assert_eq!(moved.last_sync_time, Some(Time(at(3))));
        assert_eq!(moved.observed_path.as_deref(), Some("b"));
    }
}
