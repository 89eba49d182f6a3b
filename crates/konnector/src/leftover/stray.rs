//! CRDs of ours whose binding does not exist: a backup tool has brought them back with the uid of a former one, or
//! somebody has taken the finalizer off their binding.
//!
//! The garbage collector deletes what it finds so, with every object in it. A CRD that it has not reached is left to
//! itself, as after `--cascade=orphan`, and the next binding of its name takes it over. One that is terminating has lost
//! its objects, and nobody but us takes our finalizer off them; their copies stay.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Api, ResourceExt as _};
use portolan_core::{api::kubebind::APIServiceBinding, outline::CrdOutline};
use portolan_runtime::{
    apply::{self, WriteError},
    controller::Action,
};
use serde_json::{Value, json};
use tracing::warn;

use crate::{context::KonnectorContext, crd, finalizers};

/// A CRD, as far as its owners tell.
#[derive(Clone, Copy, Debug)]
enum StrayState<'a> {
    /// Its binding exists, or it has none.
    No,
    /// This owner, at this place, does not exist.
    Owned(usize, &'a OwnerReference),
    /// It is terminating, and has no owner that exists. The one that it names, if it names one.
    Ends(Option<&'a OwnerReference>),
}

fn judge(crd: &CrdOutline, exists: impl Fn(&OwnerReference) -> bool) -> StrayState<'_> {
    let owners = crd.owner_references().iter().enumerate();
    let bindings: Vec<_> = owners.filter(|(_, owner)| owner.kind == "APIServiceBinding").collect();
    let first = bindings.first().copied();
    if !crd::is_labelled(crd) || bindings.iter().any(|(_, owner)| exists(owner)) {
        return StrayState::No;
    }
    if crd.metadata.deletion_timestamp.is_some() {
        return StrayState::Ends(first.map(|(_, owner)| owner));
    }
    first.map_or(StrayState::No, |(place, owner)| StrayState::Owned(place, owner))
}

/// Takes care of a CRD without a binding; `None` where it is none.
pub(super) async fn look_after(
    context: &KonnectorContext,
    crd: &CrdOutline,
) -> Result<Option<Action>, WriteError> {
    let is_known = |owner: &OwnerReference| {
        context.binding(&owner.name).is_some_and(|binding| binding.metadata.uid.as_ref() == Some(&owner.uid))
    };
    let stray = judge(crd, is_known);
    // The binding may have been made, or brought back, a moment ago.
    if let StrayState::Owned(_, owner) | StrayState::Ends(Some(owner)) = stray
        && exists(context, owner).await?
    {
        return Ok(None);
    }
    match stray {
        StrayState::No => Ok(None),
        StrayState::Owned(place, owner) => {
            leave(context, crd, place, owner).await?;
            Ok(Some(Action::AwaitChange))
        }
        StrayState::Ends(_) => {
            if let Some(resource) = crd.stored_resource() {
                finalizers::strip(&context.consumer, &resource).await?;
            }
            Ok(Some(Action::RequeueAfter(context.poll_interval)))
        }
    }
}

async fn exists(context: &KonnectorContext, owner: &OwnerReference) -> Result<bool, WriteError> {
    let api: Api<APIServiceBinding> = Api::all(context.consumer.clone());
    let found = api.get_opt(&owner.name).await?;
    Ok(found.is_some_and(|binding| binding.metadata.uid.as_ref() == Some(&owner.uid)))
}

async fn leave(
    context: &KonnectorContext,
    crd: &CrdOutline,
    place: usize,
    owner: &OwnerReference,
) -> Result<(), WriteError> {
    let (name, binding) = (crd.name_any(), owner.name.as_str());
    let api: Api<CrdOutline> = Api::all(context.consumer.clone());
    let left: CrdOutline = apply::json_patch(&api, &name, None, leaving(crd, place, owner)).await?;
    warn!(crd = name, binding, uid = owner.uid, "the binding that owns it does not exist: the CRD stays");
    context.crds.wrote(left);
    context.bodies.forget(&name);
    // One of its name may be waiting for it.
    context.triggers().bindings.add(owner.name.clone());
    Ok(())
}

fn leaving(crd: &CrdOutline, place: usize, owner: &OwnerReference) -> Value {
    let path = format!("/metadata/ownerReferences/{place}");
    json!([
        {"op": "test", "path": "/metadata/uid", "value": crd.metadata.uid},
        {"op": "test", "path": format!("{path}/uid"), "value": owner.uid},
        {"op": "remove", "path": path},
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(owners: &[(&str, &str)], labelled: bool, ends: bool) -> CrdOutline {
        let owner = |(kind, uid): &(&str, &str)| json!({"apiVersion": "a/v1", "kind": kind, "name": "prod", "uid": uid});
        let mut stored = json!({
            "metadata": {"name": "as.a.dev", "uid": "c", "ownerReferences": owners.iter().map(owner).collect::<Vec<_>>()},
            "spec": {
                "group": "a.dev", "scope": "Namespaced", "names": {"plural": "as", "kind": "A"}, "versions": [],
            },
        });
        if labelled {
            let (key, value) = (crd::LABEL_MANAGED, crd::MANAGED_BY);
            stored["metadata"]["labels"] = json!({key: value});
        }
        if ends {
            stored["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        serde_json::from_value(stored).unwrap()
    }

    #[test]
    fn a_crd_is_left_to_itself_only_where_none_of_its_bindings_exists() {
        let (binding, other) = ("APIServiceBinding", "ConfigMap");
        let stays = |place| format!("stays, without owner {place}");
        let table = [
            (stored(&[(binding, "former")], true, false), stays(0)),
            (stored(&[(other, "x"), (binding, "former")], true, false), stays(1)),
            (stored(&[(binding, "former"), (binding, "now")], true, false), "no".to_owned()),
            (stored(&[(binding, "now")], true, false), "no".to_owned()),
            (stored(&[(binding, "now")], true, true), "no".to_owned()),
            (stored(&[(other, "x")], true, false), "no".to_owned()),
            (stored(&[], true, false), "no".to_owned()),
            (stored(&[(binding, "former")], false, false), "no".to_owned()),
            (stored(&[(binding, "former")], false, true), "no".to_owned()),
            (stored(&[(binding, "former")], true, true), "ends, of former".to_owned()),
            (stored(&[], true, true), "ends, of nobody".to_owned()),
        ];
        for (crd, expected) in table {
            let said = match judge(&crd, |owner| owner.uid == "now") {
                StrayState::No => "no".to_owned(),
                StrayState::Owned(place, owner) => {
                    assert_eq!(owner.uid, "former");
                    stays(place)
                }
                StrayState::Ends(owner) => {
                    format!("ends, of {}", owner.map_or("nobody", |owner| owner.uid.as_str()))
                }
            };
            assert_eq!(said, expected, "{:?}", crd.metadata);
        }
    }

    #[test]
    fn only_the_owner_that_was_seen_is_taken_off() {
        let crd = stored(&[("ConfigMap", "x"), ("APIServiceBinding", "former")], true, false);
        let expected = json!([
            {"op": "test", "path": "/metadata/uid", "value": "c"},
            {"op": "test", "path": "/metadata/ownerReferences/1/uid", "value": "former"},
            {"op": "remove", "path": "/metadata/ownerReferences/1"},
        ]);
        assert_eq!(leaving(&crd, 1, &crd.owner_references()[1]), expected);
    }
}
