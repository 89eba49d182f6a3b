//! Objects that a bundle has brought to the consumer, read again.

use std::collections::BTreeMap;

use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams, PartialObjectMeta},
};
use portolan_core::{
    api::kubebind::{
        ANNOTATION_PROVIDER_NAMESPACE, ANNOTATION_PROVIDER_UID, APIServiceBinding, SYNCER_FINALIZER,
    },
    names,
    outline::CrdOutline,
};
use portolan_runtime::{apply::code, clock};

use crate::{crd, policy};

const PAGE: u32 = 500;
/// Time that an object may go without a copy before it counts as waiting.
const GRACE_SECONDS: i64 = 60;

/// A CRD that a binding has brought, and its objects in numbers.
pub(super) struct BroughtCrd {
    pub(super) crd: CrdOutline,
    pub(super) resource: ApiResource,
    pub(super) objects: usize,
    /// Objects whose copy stays, because of their annotation.
    pub(super) orphans: usize,
    /// Objects that have our finalizer.
    pub(super) held: usize,
    /// Objects that have waited for their copy, or for its end, for more than a minute.
    pub(super) waiting: usize,
    /// Copies by namespace on the provider; empty name for cluster-scoped ones.
    pub(super) copies: BTreeMap<String, usize>,
}

/// The bindings that belong to a bundle of this name, the bundle itself may be gone.
pub(super) async fn bindings_of(
    client: &Client,
    bundle: &str,
) -> Result<Vec<APIServiceBinding>, kube::Error> {
    let api: Api<APIServiceBinding> = Api::all(client.clone());
    let mut bindings = api.list(&ListParams::default()).await?.items;
    bindings.retain(|binding| policy::bundle_of(binding) == Some(bundle));
    Ok(bindings)
}

/// The CRDs of a binding, with their objects counted.
pub(super) async fn brought(
    client: &Client,
    binding: &APIServiceBinding,
) -> Result<Vec<BroughtCrd>, kube::Error> {
    let api: Api<CrdOutline> = Api::all(client.clone());
    let mut all = Vec::new();
    let bound = binding.status.iter().flat_map(|status| &status.bound_schemas);
    for name in bound.map(|bound| names::crd(&bound.resource, &bound.group)) {
        let Some(crd) = api.get_opt(&name).await? else { continue };
        if !crd::is_orphan(&crd) && !crd::is_owned_by(&crd, binding) {
            continue;
        }
        if let Some(resource) = crd.stored_resource() {
            all.push(count(client, crd, resource).await?);
        }
    }
    Ok(all)
}

async fn count(client: &Client, crd: CrdOutline, resource: ApiResource) -> Result<BroughtCrd, kube::Error> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let (objects, orphans, held, waiting, copies) = (0, 0, 0, 0, BTreeMap::new());
    let mut brought = BroughtCrd { crd, resource, objects, orphans, held, waiting, copies };
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = match api.list_metadata(&params).await {
            Ok(page) => page,
            // It is not served yet, or no longer.
            Err(error) if code(&error) == 404 => return Ok(brought),
            Err(error) => return Err(error),
        };
        page.items.iter().for_each(|object| brought.take_in(object));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(brought),
        }
    }
}

impl BroughtCrd {
    fn take_in(&mut self, object: &PartialObjectMeta<DynamicObject>) {
        let annotations = object.annotations();
        self.objects += 1;
        self.orphans += usize::from(policy::orphans(object));
        self.held += usize::from(object.finalizers().iter().any(|f| f == SYNCER_FINALIZER));
        let has_copy = annotations.contains_key(ANNOTATION_PROVIDER_UID);
        if has_copy {
            let namespace = annotations.get(ANNOTATION_PROVIDER_NAMESPACE).cloned().unwrap_or_default();
            *self.copies.entry(namespace).or_default() += 1;
        }
        let since = match (&object.metadata.deletion_timestamp, has_copy) {
            (Some(deleted), _) => Some(deleted.0),
            (None, false) => object.creation_timestamp().map(|created| created.0),
            (None, true) => None,
        };
        let waits = since.is_some_and(|since| clock::now().as_second() - since.as_second() > GRACE_SECONDS);
        self.waiting += usize::from(waits);
    }

    /// Number of copies, by place.
    pub(super) fn places(&self) -> String {
        let place = |(namespace, count): (&String, &usize)| match namespace.as_str() {
            "" => format!("{count} cluster-scoped"),
            namespace => format!("{count} in namespace {namespace}"),
        };
        self.copies.iter().map(place).collect::<Vec<_>>().join(", ")
    }
}
