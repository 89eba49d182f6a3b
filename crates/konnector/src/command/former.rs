//! `konnector plan former` and `konnector delete-former`: what stands on a provider under a contract that a bundle
//! was bound to before. Showing changes nothing; deleting takes the contract's uid as confirmation.

use std::{collections::BTreeSet, path::Path};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams, PartialObjectMeta},
};
use portolan_core::{
    api::kubebind::{
        ANNOTATION_CLUSTER_NAMESPACE, ANNOTATION_CONSUMER_UID, APIServiceBindingBundle, APIServiceNamespace,
        ResourceScope,
    },
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
    say,
};
use crate::args::{DeleteFormerArgs, KonnectorArgs};

/// The former contract, as a kubeconfig leads to it.
struct Former {
    client: Client,
    namespace: String,
    uid: String,
}

/// The copies of one kind, and which of them are copies of what this cluster has.
struct Standing {
    resource: ApiResource,
    ours: Vec<PartialObjectMeta<DynamicObject>>,
    others: usize,
}

/// Says what stands there.
pub(super) async fn plan(args: &KonnectorArgs, bundle: &str, file: &Path) -> Result<(), ProcessFailure> {
    let (own, former) = (client::connect(&args.client).await?, Former::read(file).await?);
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
    let former = Former::read(&what.provider_kubeconfig).await?;
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
async fn give_back(own: &Client, former: &Former) -> Result<(), ProcessFailure> {
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

impl Former {
    async fn read(file: &Path) -> Result<Self, ProcessFailure> {
        let content =
            std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        let kubeconfig = kubeconfig::parse(&content)?;
        let client = client::restricted(&kubeconfig).await?;
        let namespace = kubeconfig.namespace;
        let found = Api::<Namespace>::all(client.clone()).get(&namespace).await?;
        Ok(Self { client, namespace, uid: found.uid().unwrap_or_default() })
    }

    /// The copies of a kind that carry the mark of the contract.
    async fn copies(
        &self,
        resource: &ApiResource,
        namespaced: bool,
    ) -> Result<Vec<PartialObjectMeta<DynamicObject>>, ProcessFailure> {
        let mut places: Vec<Api<DynamicObject>> =
            vec![Api::namespaced_with(self.client.clone(), &self.namespace, resource)];
        if namespaced {
            let requests: Api<APIServiceNamespace> = Api::namespaced(self.client.clone(), &self.namespace);
            let answered = requests.list(&ListParams::default()).await?.items.into_iter();
            let answered = answered.filter_map(|request| request.status?.namespace);
            places.extend(answered.map(|name| Api::namespaced_with(self.client.clone(), &name, resource)));
        } else {
            places.push(Api::all_with(self.client.clone(), resource));
        }
        let mut found: Vec<PartialObjectMeta<DynamicObject>> = Vec::new();
        for api in places {
            match api.list_metadata(&ListParams::default()).await {
                Ok(list) => found.extend(list.items),
                // A place in which copies of this kind cannot be.
                Err(error) if [403, 404].contains(&code(&error)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let marked = |object: &PartialObjectMeta<DynamicObject>| {
            object.annotations().get(ANNOTATION_CLUSTER_NAMESPACE) == Some(&self.namespace)
        };
        let mut uids = BTreeSet::new();
        found.retain(|object| marked(object) && uids.insert(object.uid()));
        Ok(found)
    }
}

impl Standing {
    fn line(&self) -> String {
        let (ours, others) = (self.ours.len(), self.others);
        format!(
            "  {}.{}: {ours} copies of objects of this cluster, and {others} of objects that it does not have",
            self.resource.plural, self.resource.group
        )
    }
}

async fn standing(own: &Client, bundle: &str, former: &Former) -> Result<Vec<Standing>, ProcessFailure> {
    let mut all = Vec::new();
    for binding in bindings_of(own, bundle).await? {
        for kind in brought(own, &binding).await? {
            let here: Api<DynamicObject> = Api::all_with(own.clone(), &kind.resource);
            let here = here.list_metadata(&ListParams::default()).await?.items;
            let origins: BTreeSet<_> = here.iter().filter_map(kube::ResourceExt::uid).collect();
            let copies =
                former.copies(&kind.resource, kind.crd.spec.scope == ResourceScope::Namespaced).await?;
            let (ours, others): (Vec<_>, Vec<_>) = copies.into_iter().partition(|copy| {
                copy.annotations().get(ANNOTATION_CONSUMER_UID).is_some_and(|uid| origins.contains(uid))
            });
            all.push(Standing { resource: kind.resource, ours, others: others.len() });
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
