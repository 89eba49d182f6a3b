//! Takes the steps towards the end of a binding.

use std::{sync::Arc, time::Duration};

use kube::{Api, ResourceExt as _};
use portolan_core::{api::kubebind::APIServiceBinding, outline::CrdOutline};
use portolan_runtime::{
    apply::{self, WriteError},
    clock,
    controller::{AFTER_CONFLICT, Action},
};
use tracing::info;

use super::{
    super::{
        claims::{self, ClaimsEnd},
        conclude,
        marks::FINALIZER,
        observe::{BindingView, ObservedBinding, ProviderSide},
        report,
    },
    drain, orphan,
    plan::{self, CleanupFacts, CleanupStep, EndReason},
};
use crate::{context::KonnectorContext, crd, sync::EngineMode};

/// Pause between looks at a CRD that is terminating and not watched: it lacks our label, as those of the Go konnector do.
const UNWATCHED: Duration = Duration::from_secs(2);

/// `None` where the binding stays.
pub(super) async fn apply(
    context: &KonnectorContext,
    observed: &ObservedBinding,
    facts: &CleanupFacts,
) -> Result<Option<Action>, WriteError> {
    let binding = &observed.binding;
    if !facts.has_crds {
        context.sync.stop(&binding.name_any(), &[]);
    }
    let step = match plan::plan(facts) {
        CleanupStep::EndClaims(mode) => plan::after_claims(facts, end_claims(context, observed, mode)),
        step => step,
    };
    let stays = facts.occasion == EndReason::Withdrawn;
    match step {
        CleanupStep::Stop => {
            stop(context, binding);
            Ok(Some(Action::AwaitChange))
        }
        CleanupStep::LetGo => {
            stop(context, binding);
            if !orphan::let_go(context, binding, &owned(observed)).await? {
                return unread(stays, context.poll_interval).map(Some);
            }
            Ok(Some(Action::AwaitChange))
        }
        CleanupStep::Abandon { keeps_objects } => {
            if !orphan::leave_copies(context, binding, &owned(observed), keeps_objects).await? {
                return unread(stays, context.poll_interval).map(Some);
            }
            Ok(Some(Action::RequeueAfter(look_again(context, observed))))
        }
        CleanupStep::Drain => drained(context, observed, stays).await.map(Some),
        // What it says triggers another look.
        CleanupStep::Listen if context.beginning.left().is_some() => {
            Ok(Some(Action::RequeueAfter(context.poll_interval)))
        }
        CleanupStep::Listen => {
            wait(context, binding, "the provider cluster has not said yet what it exports").await.map(Some)
        }
        CleanupStep::Tell => {
            tell(observed).await?;
            Ok(None)
        }
        CleanupStep::Release => {
            context.claims.stop(&binding.name_any(), &[]);
            if !orphan::release_orphans(context, binding).await? {
                return unread(stays, context.poll_interval).map(Some);
            }
            tell(observed).await?;
            release(context, binding).await?;
            Ok(Some(Action::AwaitChange))
        }
        CleanupStep::LookAgain | CleanupStep::EndClaims(_) => {
            Ok((!stays).then_some(Action::RequeueAfter(context.poll_interval)))
        }
        CleanupStep::Wait(why) => wait(context, binding, &why).await.map(Some),
    }
}

/// An API server takes a moment until it serves what it says it serves, and may never do so.
#[derive(Debug, thiserror::Error)]
#[error("the API server does not serve the objects of a CRD")]
struct CrdNotServed;

/// Objects that cannot be read are looked for with a growing delay; for a binding that stays, which has more to do, now
/// and then.
fn unread(stays: bool, poll: Duration) -> Result<Action, WriteError> {
    if stays {
        return Ok(Action::RequeueAfter(poll));
    }
    Err(WriteError::Conflict(kube::Error::Service(Box::new(CrdNotServed))))
}

fn stop(context: &KonnectorContext, binding: &APIServiceBinding) {
    context.sync.stop(&binding.name_any(), &[]);
    context.claims.stop(&binding.name_any(), &[]);
}

fn owned(observed: &ObservedBinding) -> Vec<&Arc<CrdOutline>> {
    observed.crds.values().filter(|crd| crd::is_owned_by(&***crd, &observed.binding)).collect()
}

fn session(observed: &ObservedBinding) -> Option<&BindingView> {
    if let ProviderSide::Session(view) = &observed.provider { Some(view) } else { None }
}

fn end_claims(context: &KonnectorContext, observed: &ObservedBinding, mode: EngineMode) -> ClaimsEnd {
    session(observed).map_or(ClaimsEnd::UnderWay, |view| claims::end(context, &observed.binding, view, mode))
}

/// A binding that goes says what holds it up; of one that stays, its engines do.
async fn drained(
    context: &KonnectorContext,
    observed: &ObservedBinding,
    stays: bool,
) -> Result<Action, WriteError> {
    let mut obstacle = None;
    if let Some(view) = session(observed) {
        for crd in owned(observed) {
            obstacle = drain::drain(context, &observed.binding, view, crd).await?.or(obstacle);
        }
    }
    match obstacle {
        Some(why) if !stays => wait(context, &observed.binding, &why).await,
        Some(_) => Ok(Action::RequeueAfter(context.poll_interval)),
        None => Ok(Action::RequeueAfter(look_again(context, observed))),
    }
}

/// When to look again at CRDs that are to go, as the store has them after this step.
fn look_again(context: &KonnectorContext, observed: &ObservedBinding) -> Duration {
    let pause = |crd: &Arc<CrdOutline>| {
        let stored = context.crds.get(&crd.name_any());
        pause(stored.as_deref(), crd, &observed.binding, context.poll_interval)
    };
    owned(observed).into_iter().map(pause).min().unwrap_or(context.poll_interval)
}

/// How long one of them can wait. Something foreign may hold it for ever, and then nothing is left to do but to hear
/// that it is gone. One that has just been let go wakes nobody.
fn pause(
    stored: Option<&CrdOutline>,
    seen: &CrdOutline,
    binding: &APIServiceBinding,
    poll: Duration,
) -> Duration {
    let goes = |crd: &CrdOutline| crd.metadata.deletion_timestamp.is_some() && crd::is_owned_by(crd, binding);
    match stored {
        Some(stored) if goes(stored) => poll,
        None if goes(seen) && !crd::is_labelled(seen) => poll.min(UNWATCHED),
        Some(_) | None => AFTER_CONFLICT,
    }
}

async fn tell(observed: &ObservedBinding) -> Result<(), WriteError> {
    match session(observed) {
        Some(view) => report::unbound(view).await,
        None => Ok(()),
    }
}

async fn wait(
    context: &KonnectorContext,
    binding: &APIServiceBinding,
    why: &str,
) -> Result<Action, WriteError> {
    let status = conclude::waiting(binding, why, clock::now());
    report::say(context, binding, &status).await?;
    Ok(Action::RequeueAfter(context.poll_interval))
}

async fn release(context: &KonnectorContext, binding: &APIServiceBinding) -> Result<(), WriteError> {
    let Some(place) = binding.finalizers().iter().position(|finalizer| finalizer == FINALIZER) else {
        return Ok(());
    };
    let api: Api<APIServiceBinding> = Api::all(context.consumer.clone());
    apply::take_finalizer(&api, None, &binding.metadata, (place, FINALIZER)).await?;
    info!(binding = binding.name_any(), "unbound");
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_that_cannot_be_read_are_not_looked_for_without_a_pause() {
        let poll = Duration::from_secs(15);
        assert_eq!(unread(true, poll).unwrap(), Action::RequeueAfter(poll));
        // The queue waits longer with each one in a row.
        assert!(unread(false, poll).unwrap_err().is_conflict());
    }

    #[test]
    fn a_crd_that_goes_is_waited_for_where_its_watch_tells() {
        let binding: APIServiceBinding = serde_json::from_value(json!({
            "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBinding",
            "metadata": {"name": "prod", "uid": "u"},
            "spec": {"kubeconfigSecretRef": {"name": "s", "namespace": "n", "key": "k"}},
        }))
        .unwrap();
        let crd = |owner: &str, goes: bool, labelled: bool| -> CrdOutline {
            let owner =
                json!({"apiVersion": "a/v1", "kind": "APIServiceBinding", "name": "prod", "uid": owner});
            let mut crd = json!({
                "metadata": {"name": "as.a.dev", "ownerReferences": [owner]},
                "spec": {
                    "group": "a.dev", "scope": "Namespaced", "names": {"plural": "as", "kind": "A"},
                    "versions": [],
                },
            });
            if goes {
                crd["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
            if labelled {
                let (key, value) = (crd::LABEL_MANAGED, crd::MANAGED_BY);
                crd["metadata"]["labels"] = json!({key: value});
            }
            serde_json::from_value(crd).unwrap()
        };
        let poll = Duration::from_secs(15);
        let table = [
            (Some(crd("u", true, true)), crd("u", true, true), poll),
            (Some(crd("u", true, true)), crd("u", false, true), poll),
            (Some(crd("u", false, true)), crd("u", false, true), AFTER_CONFLICT),
            (Some(crd("other", true, true)), crd("u", true, true), AFTER_CONFLICT),
            (None, crd("u", true, true), AFTER_CONFLICT),
            (None, crd("u", false, false), AFTER_CONFLICT),
            (None, crd("u", true, false), UNWATCHED),
        ];
        for (stored, seen, expected) in table {
            assert_eq!(pause(stored.as_ref(), &seen, &binding, poll), expected, "{stored:?} {seen:?}");
        }
        let seen = crd("u", true, false);
        assert_eq!(pause(None, &seen, &binding, Duration::from_secs(1)), Duration::from_secs(1));
    }
}
