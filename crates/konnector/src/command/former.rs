//! `konnector plan former` and `konnector delete-former`: what stands on a provider under a contract that a bundle
//! was bound to before. Showing changes nothing; deleting takes the contract's uid as confirmation.

use std::{collections::BTreeSet, path::Path};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams},
};
use portolan_core::{
    api::kubebind::{
        ANNOTATION_CLUSTER_NAMESPACE, ANNOTATION_CONSUMER_NAMESPACE, ANNOTATION_CONSUMER_UID,
        ANNOTATION_ORIGIN_NAME, APIServiceBindingBundle, APIServiceExport, APIServiceNamespace,
        ResourceScope,
    },
    claims::ClaimedResource,
    kubeconfig,
};
use portolan_runtime::{
    apply::{self, code},
    client,
    process::ProcessFailure,
};

use super::{
    holder::{self, refuse_anothers},
    inventory::{bindings_of, brought},
    orphans::every,
    say,
};
use crate::{
    args::{DeleteFormerArgs, KonnectorArgs},
    sync::{ObjectKey, Placement, is_left_of_ours},
};

/// The former contract, as a kubeconfig leads to it.
struct FormerContract {
    client: Client,
    namespace: String,
    uid: String,
}

/// The copies of one kind, and which of them are copies of what this cluster has.
struct FormerCopies {
    resource: ApiResource,
    ours: Vec<DynamicObject>,
    others: usize,
}

/// Says what stands there.
pub(super) async fn plan(args: &KonnectorArgs, bundle: &str, file: &Path) -> Result<(), ProcessFailure> {
    let (own, former) = (client::connect(&args.client).await?, FormerContract::read(file).await?);
    let recorded = recorded(&own, bundle).await?;
    say(&format!(
        "Contract {} (uid {}) on the provider of {}:",
        former.namespace,
        former.uid,
        file.display()
    ));
    for standing in standing(&own, bundle, &former).await? {
        say(&standing.line());
    }
    if recorded.as_ref() == Some(&former.uid) {
        say(&format!(
            "Bundle {bundle} is bound to it now. If it is bound to another one, all of this stays."
        ));
    } else {
        say(&format!(
            "Bundle {bundle} is bound to {}, so all of this stays until: konnector delete-former {bundle} \
             --provider-kubeconfig {} --contract {}",
            recorded.as_deref().unwrap_or("none"),
            file.display(),
            former.uid
        ));
    }
    Ok(())
}

/// Deletes copies of what this cluster has.
pub(super) async fn delete(args: &KonnectorArgs, what: &DeleteFormerArgs) -> Result<(), ProcessFailure> {
    let own = client::connect(&args.client).await?;
    let former = FormerContract::read(&what.provider_kubeconfig).await?;
    if former.uid != what.contract {
        let found = &former.uid;
        return Err(format!("the kubeconfig leads to contract {found}, not to {}", what.contract).into());
    }
    if recorded(&own, &what.bundle).await?.as_ref() == Some(&former.uid) {
        let bundle = &what.bundle;
        return Err(format!("bundle {bundle} is bound to this contract: delete the bundle instead").into());
    }
    refuse_anothers(&own, &former.client, &former.namespace).await?;
    for standing in standing(&own, &what.bundle, &former).await? {
        for copy in &standing.ours {
            let api: Api<DynamicObject> = match copy.namespace() {
                Some(namespace) => {
                    Api::namespaced_with(former.client.clone(), &namespace, &standing.resource)
                }
                None => Api::all_with(former.client.clone(), &standing.resource),
            };
            apply::delete(&api, &copy.name_any(), &copy.uid().unwrap_or_default()).await?;
        }
        say(&format!("deleted: {} copies of {}", standing.ours.len(), standing.resource.plural));
    }
    give_back(&own, &former).await
}

/// Lets another cluster have the contract, unless a bundle of this one is bound to it.
async fn give_back(own: &Client, former: &FormerContract) -> Result<(), ProcessFailure> {
    let bundles = Api::<APIServiceBindingBundle>::all(own.clone()).list(&ListParams::default()).await?.items;
    let is_bound = |bundle: &&APIServiceBindingBundle| {
        bundle.status.as_ref().is_some_and(|s| s.contract_namespace_uid.as_ref() == Some(&former.uid))
    };
    if let Some(bundle) = bundles.iter().find(is_bound) {
        say(&format!("this cluster keeps the contract: bundle {} is bound to it", bundle.name_any()));
        return Ok(());
    }
    if holder::give_back(own, &former.client, &former.namespace).await? {
        say("the contract is released: another cluster may use it");
    }
    Ok(())
}

impl FormerContract {
    async fn read(file: &Path) -> Result<Self, ProcessFailure> {
        let content =
            std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        let kubeconfig = kubeconfig::parse(&content)?;
        let client = client::restricted(&kubeconfig).await?;
        let namespace = kubeconfig.namespace;
        let found = Api::<Namespace>::all(client.clone()).get(&namespace).await?;
        Ok(Self { client, namespace, uid: found.uid().unwrap_or_default() })
    }

    /// The resources that are claimed with its exports.
    async fn claimed(&self) -> Result<BTreeSet<ClaimedResource>, kube::Error> {
        let exports: Api<APIServiceExport> = Api::namespaced(self.client.clone(), &self.namespace);
        let exports = exports.list(&ListParams::default()).await?.items;
        let claims = exports.iter().flat_map(|export| &export.spec.permission_claims);
        Ok(claims.filter_map(|claim| ClaimedResource::of(&claim.resource)).collect())
    }

    /// The copies of a kind under the contract.
    async fn copies(
        &self,
        resource: &ApiResource,
        namespaced: bool,
    ) -> Result<Vec<DynamicObject>, ProcessFailure> {
        let at = |namespace: &str| Api::namespaced_with(self.client.clone(), namespace, resource);
        // Each with the namespace of the objects on the consumer.
        let mut places: Vec<(Api<DynamicObject>, String)> = vec![(at(&self.namespace), String::new())];
        if namespaced {
            let requests: Api<APIServiceNamespace> = Api::namespaced(self.client.clone(), &self.namespace);
            for request in requests.list(&ListParams::default()).await?.items {
                let namespace = request.name_any();
                let answer = request.status.and_then(|status| status.namespace);
                let answer = answer.filter(|name| !name.is_empty());
                places.extend(answer.map(|answer| (at(&answer), namespace)));
            }
        } else {
            places.push((Api::all_with(self.client.clone(), resource), String::new()));
        }
        let (mut found, mut uids) = (Vec::new(), BTreeSet::new());
        for (api, namespace) in places {
            let listed = match every(&api).await {
                // A place in which copies of this kind cannot be.
                Err(error) if [403, 404].contains(&code(&error)) => continue,
                listed => listed?,
            };
            let copies = listed.into_iter().filter(|object| is_copy(object, &self.namespace, &namespace));
            found.extend(copies.filter(|copy| uids.insert(copy.uid())));
        }
        Ok(found)
    }
}

/// Returns `true` if an object is the copy, under a contract, of an object in this namespace. Controllers copy our
/// annotations to what they make, so those have to name the place where it stands.
fn is_copy(object: &DynamicObject, contract: &str, namespace: &str) -> bool {
    let said = |key: &str| object.annotations().get(key).map(String::as_str);
    let is_of = |place: &ObjectKey| {
        is_left_of_ours(object, contract, place)
            || (said(ANNOTATION_CLUSTER_NAMESPACE) == Some(contract)
                && said(ANNOTATION_CONSUMER_NAMESPACE) == Some(&place.namespace)
                && said(ANNOTATION_ORIGIN_NAME) == Some(&place.name))
    };
    let name = object.name_any();
    let origins = [Placement::Same, Placement::Prefixed].map(|how| how.origin_name(contract, &name));
    let places = origins.into_iter().flatten();
    places.map(|name| ObjectKey { namespace: namespace.to_owned(), name }).any(|place| is_of(&place))
}

impl FormerCopies {
    fn line(&self) -> String {
        let (ours, others) = (self.ours.len(), self.others);
        let kind = match self.resource.group.as_str() {
            "" => self.resource.plural.clone(),
            group => format!("{}.{group}", self.resource.plural),
        };
        format!(
            "  {kind}: {ours} copies of objects of this cluster, and {others} of objects that it does not have"
        )
    }

    /// What stands there of a kind, beside what this cluster has.
    async fn of(
        own: &Client,
        resource: ApiResource,
        copies: Vec<DynamicObject>,
    ) -> Result<Self, kube::Error> {
        let here = every(&Api::all_with(own.clone(), &resource)).await?;
        let origins: BTreeSet<_> = here.iter().filter_map(kube::ResourceExt::uid).collect();
        let (ours, others): (Vec<_>, Vec<_>) = copies.into_iter().partition(|copy| {
            copy.annotations().get(ANNOTATION_CONSUMER_UID).is_some_and(|uid| origins.contains(uid))
        });
        Ok(Self { resource, ours, others: others.len() })
    }
}

async fn standing(
    own: &Client,
    bundle: &str,
    former: &FormerContract,
) -> Result<Vec<FormerCopies>, ProcessFailure> {
    let mut all = Vec::new();
    for binding in bindings_of(own, bundle).await? {
        for kind in brought(own, &binding).await? {
            let copies =
                former.copies(&kind.resource, kind.crd.spec.scope == ResourceScope::Namespaced).await?;
            all.push(FormerCopies::of(own, kind.resource, copies).await?);
        }
    }
    for resource in former.claimed().await?.into_iter().map(ClaimedResource::api_resource) {
        let copies = former.copies(&resource, true).await?;
        if !copies.is_empty() {
            all.push(FormerCopies::of(own, resource, copies).await?);
        }
    }
    Ok(all)
}

async fn recorded(own: &Client, bundle: &str) -> Result<Option<String>, ProcessFailure> {
    let api: Api<APIServiceBindingBundle> = Api::all(own.clone());
    let found = api.get_opt(bundle).await?;
    let found = found.ok_or_else(|| format!("there is no APIServiceBindingBundle {bundle}"))?;
    Ok(found.status.and_then(|status| status.contract_namespace_uid))
}

#[cfg(test)]
mod tests {
    use portolan_core::api::kubebind::FIELD_MANAGER;
    use serde_json::{Value, json};

    use super::*;

    /// An object with these annotations, which this manager has applied.
    fn object(name: &str, manager: &str, annotations: &Value) -> DynamicObject {
        let fields: Value = annotations
            .as_object()
            .unwrap()
            .keys()
            .map(|key| (format!("f:{key}"), json!({})))
            .collect::<serde_json::Map<_, _>>()
            .into();
        serde_json::from_value(json!({
            "apiVersion": "a.dev/v1", "kind": "A",
            "metadata": {
                "name": name, "uid": "u", "annotations": annotations,
                "managedFields": [{
                    "manager": manager, "operation": "Apply", "apiVersion": "a.dev/v1", "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:metadata": {"f:annotations": fields}},
                }],
            },
        }))
        .unwrap()
    }

    #[test]
    fn what_a_controller_has_made_with_our_annotations_is_no_copy() {
        let marks = |namespace: &str, name: &str| {
            json!({
                ANNOTATION_CLUSTER_NAMESPACE: "kube-bind-a", ANNOTATION_CONSUMER_NAMESPACE: namespace,
                ANNOTATION_CONSUMER_UID: "o", ANNOTATION_ORIGIN_NAME: name,
            })
        };
        let mut unnamed = marks("n", "x");
        unnamed.as_object_mut().unwrap().remove(ANNOTATION_ORIGIN_NAME);
        let table = [
            (object("x", FIELD_MANAGER, &marks("n", "x")), "n", true, "a copy"),
            (object("x", FIELD_MANAGER, &unnamed), "n", true, "one of a former release"),
            (object("x", "velero", &marks("n", "x")), "n", true, "one that was restored"),
            (object("kube-bind-a-x", FIELD_MANAGER, &marks("", "x")), "", true, "a prefixed one"),
            (object("child", "operator", &marks("n", "x")), "n", false, "a child"),
            (object("child", FIELD_MANAGER, &marks("n", "x")), "n", false, "a child with managed fields"),
            (object("child", "operator", &unnamed), "n", false, "a child of one of a former release"),
            (object("x", "operator", &marks("n", "x")), "m", false, "a child elsewhere"),
            (object("x", "operator", &json!({})), "n", false, "somebody's own"),
        ];
        for (object, namespace, expected, what) in table {
            assert_eq!(is_copy(&object, "kube-bind-a", namespace), expected, "{what}");
        }
        assert!(!is_copy(&object("x", FIELD_MANAGER, &marks("n", "x")), "kube-bind-b", "n"));
    }
}
