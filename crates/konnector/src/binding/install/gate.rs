//! The result of a failed write, until it is retried.
//!
//! A cause may read differently each time: with every try, a new text would change the status, whose watch event would
//! bring the next try at once.

use std::sync::Arc;

use portolan_core::{api::kubebind::APIServiceBinding, outline::CrdOutline};
use portolan_runtime::apply::WriteError;

use super::super::{
    failure::{FailedWrites, SchemaFailure},
    outcome::{CrdOutcome, InstalledCrd},
};
use crate::{crd, sync::EngineKey};

/// The outcome while it is too early for another try; `None` where nothing is in the way of one.
pub(super) fn waiting(
    failed: &FailedWrites,
    key: &EngineKey,
    existing: Option<&Arc<CrdOutline>>,
    binding: &APIServiceBinding,
) -> Option<InstalledCrd> {
    let failure = failed.fresh(key)?;
    let Some(existing) = existing.filter(|crd| crd::is_owned_by(&***crd, binding)) else {
        // What people have not heard of yet slows down in the queue. A CRD that has come or gone since is another case.
        let stands = failure.is_lasting && failure.created == existing.is_none();
        return stands.then(|| refused(failure));
    };
    // What runs goes on, and what was stopped meanwhile begins again, if it is known what the CRD is like.
    let found = failed.found(key, &existing.metadata);
    let outcome = CrdOutcome::Installing(Arc::clone(existing));
    Some(InstalledCrd { found, failure: Some(failure), ..InstalledCrd::only(outcome) })
}

/// Nothing of the binding is there without the write that has failed.
pub(super) fn not_written(failure: SchemaFailure, error: WriteError) -> Result<InstalledCrd, WriteError> {
    if failure.is_lasting { Ok(refused(failure)) } else { Err(error) }
}

fn refused(failure: SchemaFailure) -> InstalledCrd {
    InstalledCrd::only(CrdOutcome::Refused { created: failure.created, message: failure.why })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kube::core::Status;
    use serde_json::json;

    use super::*;
    use crate::bodies::ComparisonResult;

    fn binding() -> APIServiceBinding {
        serde_json::from_value(json!({
            "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBinding",
            "metadata": {"name": "prod", "uid": "u"},
            "spec": {"kubeconfigSecretRef": {"name": "s", "namespace": "n", "key": "k"}},
        }))
        .unwrap()
    }

    fn existing(is_ours: bool) -> Arc<CrdOutline> {
        let owner = json!({
            "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBinding", "name": "prod", "uid": "u",
        });
        let owners = if is_ours { vec![owner] } else { vec![] };
        let crd = json!({
            "metadata": {"name": "as.a.dev", "uid": "c", "generation": 1, "ownerReferences": owners},
            "spec": {
                "group": "a.dev", "scope": "Namespaced", "names": {"plural": "as", "kind": "A"}, "versions": [],
            },
        });
        Arc::new(serde_json::from_value(crd).unwrap())
    }

    fn answer(code: u16) -> WriteError {
        let status = Status { code, message: "no".to_owned(), ..Status::default() };
        WriteError::from(kube::Error::Api(Box::new(status)))
    }

    fn key() -> EngineKey {
        EngineKey { binding: "prod".to_owned(), crd: "as.a.dev".to_owned() }
    }

    fn told(waiting: Option<&InstalledCrd>) -> &'static str {
        match waiting {
            None => "tried again",
            Some(InstalledCrd { failure: Some(_), outcome: CrdOutcome::Installing(_), .. }) => "stays",
            Some(InstalledCrd {
                failure: None, outcome: CrdOutcome::Refused { created: true, .. }, ..
            }) => "not made",
            Some(InstalledCrd { failure: None, outcome: CrdOutcome::Refused { .. }, .. }) => "not taken over",
            Some(_) => "something else",
        }
    }

    #[test]
    fn what_was_refused_waits_also_where_nothing_is_ours_yet() {
        let (ours, orphan) = (existing(true), existing(false));
        let table = [
            (422, true, None, "not made"),
            (422, false, Some(&orphan), "not taken over"),
            (422, false, Some(&ours), "stays"),
            (500, true, None, "tried again"),
            (500, false, Some(&orphan), "tried again"),
            (500, false, Some(&ours), "stays"),
            (422, true, Some(&orphan), "tried again"),
            (422, false, None, "tried again"),
        ];
        for (code, created, existing, expected) in table {
            let failed = FailedWrites::new(Duration::from_secs(15));
            assert_eq!(told(waiting(&failed, &key(), existing, &binding()).as_ref()), "tried again");
            failed.failed(&key(), created, &answer(code));
            let waiting = waiting(&failed, &key(), existing, &binding());
            assert_eq!(told(waiting.as_ref()), expected, "{code} {created} {}", existing.is_some());
        }
    }

    #[test]
    fn an_engine_can_start_while_its_crd_cannot_be_written() {
        let (failed, ours) = (FailedWrites::new(Duration::from_secs(15)), existing(true));
        let found = || waiting(&failed, &key(), Some(&ours), &binding()).and_then(|waiting| waiting.found);
        failed.failed(&key(), false, &answer(422));
        assert!(found().is_none(), "nothing is known of the CRD");
        failed.stays(&key(), &ours.metadata, &Arc::new(ComparisonResult::of_made(&json!({}))));
        assert!(found().is_some());
    }
}
