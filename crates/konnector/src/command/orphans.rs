//! `konnector orphans` and `konnector orphans delete`: copies on providers whose objects are not on this cluster any
//! more.
//!
//! The provider is listed before this cluster: a copy is created after its object, never before it.

mod claimed;

use std::collections::HashSet;

use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Preconditions},
};
use portolan_core::{
    api::kubebind::{
        APIServiceBinding, APIServiceBindingBundle, APIServiceExport, APIServiceNamespace, ExportedResource,
    },
    names,
    outline::SchemaOutline,
};
use portolan_runtime::{
    apply::{self, code},
    client,
    process::ProcessFailure,
    telemetry::brief,
};
use serde_json::json;

use super::{
    holder::refuse_another,
    inventory::{BroughtCrd, bindings_of, brought},
    say, secret_state,
};
use crate::{
    args::{KonnectorArgs, OrphansArgs, OrphansCommand},
    crd,
    secrets::SecretState,
    sync::{ObjectKey, Placement, is_left_of_ours},
};

const PAGE: u32 = 500;

/// A copy without an object.
pub(super) struct OrphanedCopy {
    kind: String,
    /// The place where its object would be.
    place: ObjectKey,
    copy: DynamicObject,
    here: Api<DynamicObject>,
    there: Api<DynamicObject>,
    contract: String,
    /// It is the copy of an object that the provider claims, and not of a bound one.
    is_claimed: bool,
}

/// Lists orphans, or deletes them.
pub(super) async fn run(args: &KonnectorArgs, what: &OrphansArgs) -> Result<(), ProcessFailure> {
    let client = client::connect(&args.client).await?;
    let api: Api<APIServiceBindingBundle> = Api::all(client.clone());
    let mut bundles = api.list(&ListParams::default()).await?.items;
    if let Some(name) = &what.bundle {
        bundles.retain(|bundle| bundle.name_any() == *name);
        if bundles.is_empty() {
            return Err(format!("there is no APIServiceBindingBundle {name}").into());
        }
    }
    let (mut orphans, mut unread) = (Vec::new(), 0);
    for bundle in &bundles {
        match Box::pin(of_bundle(args, &client, bundle)).await {
            Ok(found) => orphans.extend(found),
            Err(why) => {
                unread += 1;
                say(&format!("bundle {}: its copies cannot be counted: {why}", bundle.name_any()));
            }
        }
    }
    match what.action {
        None => list(&orphans),
        Some(OrphansCommand::Delete { yes }) => delete(&orphans, yes).await?,
    }
    if unread > 0 { Err(format!("{unread} bundles were left out").into()) } else { Ok(()) }
}

fn list(orphans: &[OrphanedCopy]) {
    for orphan in orphans {
        say(&orphan.describe());
    }
    say(&format!("{} copies have no object on this cluster", orphans.len()));
    if !orphans.is_empty() {
        say("`konnector orphans delete` shows what it would delete; with --yes, it deletes them");
    }
}

/// Asks the provider for each of them whether it could be deleted, and then deletes those that could, with a line for
/// each.
async fn delete(orphans: &[OrphanedCopy], yes: bool) -> Result<(), ProcessFailure> {
    let mut possible = Vec::new();
    for orphan in orphans {
        match orphan.try_delete().await {
            Ok(()) => {
                say(&format!("would delete: {}", orphan.describe()));
                possible.push(orphan);
            }
            Err(why) => say(&format!("stays: {}: {why}", orphan.describe())),
        }
    }
    if !yes {
        say(&format!("dry run: {} copies would be deleted; --yes deletes them", possible.len()));
        return Ok(());
    }
    let mut failed = orphans.len() - possible.len();
    for orphan in possible {
        match orphan.delete().await {
            Ok(()) => say(&format!("deleted: {}", orphan.describe())),
            Err(why) => {
                failed += 1;
                say(&format!("stays: {}: {why}", orphan.describe()));
            }
        }
    }
    if failed > 0 { Err(format!("{failed} copies stay").into()) } else { Ok(()) }
}

impl OrphanedCopy {
    fn describe(&self) -> String {
        let place = |namespace: Option<&str>, name: &str| match namespace {
            Some(namespace) if !namespace.is_empty() => format!("{namespace}/{name}"),
            _ => name.to_owned(),
        };
        let copy = place(self.copy.namespace().as_deref(), &self.copy.name_any());
        let uid = self.copy.uid().unwrap_or_default();
        format!(
            "{} {} (copy {copy}, uid {uid})",
            self.kind,
            place(Some(&self.place.namespace), &self.place.name)
        )
    }

    async fn try_delete(&self) -> Result<(), ProcessFailure> {
        let preconditions = Preconditions { uid: self.copy.uid(), resource_version: None };
        let params =
            DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background().dry_run() };
        self.there
            .delete(&self.copy.name_any(), &params)
            .await
            .map(|_| ())
            .map_err(|error| brief(&error).into())
    }

    fn is_ours(&self, copy: &DynamicObject) -> bool {
        if self.is_claimed {
            claimed::has_lost_original(copy)
        } else {
            is_left_of_ours(copy, &self.contract, &self.place)
        }
    }

    /// Deletes the orphans. Those that have changed since they were listed are looked at once more.
    async fn delete(&self) -> Result<(), ProcessFailure> {
        let name = self.copy.name_any();
        if apply::find(&self.here, &self.place.name).await?.is_some() {
            return Err("its object is on this cluster now".into());
        }
        let Some(now) = self.there.get_opt(&name).await? else { return Ok(()) };
        if now.uid() != self.copy.uid() || !self.is_ours(&now) {
            return Err("it is another object now".into());
        }
        let uid = now.uid().unwrap_or_default();
        apply::delete(&self.there, &name, &uid).await.map_err(|error| brief(&error).into())
    }
}

/// The orphans of a bundle.
pub(super) async fn of_bundle(
    args: &KonnectorArgs,
    client: &Client,
    bundle: &APIServiceBindingBundle,
) -> Result<Vec<OrphanedCopy>, ProcessFailure> {
    let reference = &bundle.spec.kubeconfig_secret_ref;
    let state = secret_state(args, client, reference).await;
    let SecretState::Valid(access) = &state else { return Err(state.verdict(reference).message.into()) };
    let contract = ContractAccess {
        client: client::restricted(&access.kubeconfig).await?,
        namespace: access.kubeconfig.namespace.clone(),
    };
    refuse_another(client, &contract.client, &contract.namespace, bundle).await?;
    let mut orphans = Vec::new();
    for binding in bindings_of(client, &bundle.name_any()).await? {
        orphans.extend(contract.of_binding(client, &binding).await?);
    }
    Ok(orphans)
}

struct ContractAccess {
    client: Client,
    namespace: String,
}

impl ContractAccess {
    async fn of_binding(
        &self,
        consumer: &Client,
        binding: &APIServiceBinding,
    ) -> Result<Vec<OrphanedCopy>, ProcessFailure> {
        let exports: Api<APIServiceExport> = Api::namespaced(self.client.clone(), &self.namespace);
        let Some(export) = exports.get_opt(&binding.name_any()).await? else { return Ok(Vec::new()) };
        let mut orphans = Vec::new();
        // Without its kind on this cluster, nobody can say which objects there would be.
        for kind in brought(consumer, binding).await? {
            let name = kind.crd.name_any();
            let exported = export.spec.resources.iter().find(|r| names::crd(&r.resource, &r.group) == name);
            if let Some(exported) = exported
                && kind.crd.is_established()
            {
                orphans.extend(self.of_kind(consumer, &export, exported, &kind).await?);
            }
        }
        orphans.extend(self.of_claims(consumer, &export).await?);
        Ok(orphans)
    }

    async fn of_kind(
        &self,
        consumer: &Client,
        export: &APIServiceExport,
        exported: &ExportedResource,
        kind: &BroughtCrd,
    ) -> Result<Vec<OrphanedCopy>, ProcessFailure> {
        let schemas: Api<SchemaOutline> = Api::namespaced(self.client.clone(), &self.namespace);
        let name = names::bound_schema(&exported.resource, &exported.group);
        let Some(schema) = schemas.get_opt(&name).await? else { return Ok(Vec::new()) };
        let Some(resources) = crd::resources(&schema, &kind.crd) else { return Ok(Vec::new()) };
        let spec = &export.spec;
        let placement = Placement::of(kind.crd.spec.scope, spec.isolation, spec.informer_scope);
        let mut orphans = Vec::new();
        for (there, namespace) in self.places(placement, &resources.provider).await? {
            for copy in all(&there).await? {
                let Some(name) = placement.origin_name(&self.namespace, &copy.name_any()) else { continue };
                let place = ObjectKey { namespace: namespace.clone(), name };
                if copy.metadata.deletion_timestamp.is_none()
                    && is_left_of_ours(&copy, &self.namespace, &place)
                {
                    let here = in_namespace(consumer, &place.namespace, &kind.resource);
                    let (kind, contract, there) =
                        (kind.crd.name_any(), self.namespace.clone(), there.clone());
                    orphans.push(OrphanedCopy {
                        kind,
                        place,
                        copy,
                        here,
                        there,
                        contract,
                        is_claimed: false,
                    });
                }
            }
        }
        // That they cannot be listed does not mean that there are none.
        let here: HashSet<_> =
            every(&Api::all_with(consumer.clone(), &kind.resource)).await?.iter().map(place_of).collect();
        orphans.retain(|orphan| !here.contains(&orphan.place));
        Ok(orphans)
    }

    /// The APIs to read copies with, each with the namespace on the consumer.
    async fn places(
        &self,
        placement: Placement,
        resource: &ApiResource,
    ) -> Result<Vec<(Api<DynamicObject>, String)>, kube::Error> {
        let at = |namespace: &str| in_namespace(&self.client, namespace, resource);
        match placement {
            Placement::Contract => Ok(vec![(at(&self.namespace), String::new())]),
            Placement::Prefixed | Placement::Same => Ok(vec![(at(""), String::new())]),
            Placement::Mapped { .. } => {
                let api: Api<APIServiceNamespace> = Api::namespaced(self.client.clone(), &self.namespace);
                let answers = api.list(&ListParams::default()).await?.items;
                let answered = |request: &APIServiceNamespace| {
                    let answer =
                        request.status.as_ref()?.namespace.clone().filter(|name| !name.is_empty())?;
                    Some((at(&answer), request.name_any()))
                };
                Ok(answers.iter().filter_map(answered).collect())
            }
        }
    }
}

fn place_of(object: &DynamicObject) -> ObjectKey {
    ObjectKey { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}

fn in_namespace(client: &Client, namespace: &str, resource: &ApiResource) -> Api<DynamicObject> {
    if namespace.is_empty() {
        Api::all_with(client.clone(), resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, resource)
    }
}

/// The same as [`every`]; none where the kind is gone.
async fn all(api: &Api<DynamicObject>) -> Result<Vec<DynamicObject>, kube::Error> {
    match every(api).await {
        Err(error) if code(&error) == 404 => Ok(Vec::new()),
        listed => listed,
    }
}

/// The metadata of all objects.
pub(super) async fn every(api: &Api<DynamicObject>) -> Result<Vec<DynamicObject>, kube::Error> {
    let (mut objects, mut params) = (Vec::new(), ListParams::default().limit(PAGE));
    loop {
        let page = api.list_metadata(&params).await?;
        let object = |metadata| DynamicObject { types: None, metadata, data: json!({}) };
        objects.extend(page.items.into_iter().map(|item| object(item.metadata)));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(objects),
        }
    }
}
