//! Takes our finalizer off all objects of a kind, without asking a provider.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams, PartialObjectMeta},
};
use portolan_core::api::kubebind::SYNCER_FINALIZER;
use portolan_runtime::apply::{self, WriteError, code};

const PAGE: u32 = 500;
const AT_ONCE: usize = 16;

/// Takes the finalizer off every object that has it, and gives how many had; `None` where the kind is not served. Who
/// may still be putting it on calls this until none is left.
pub async fn strip(client: &Client, resource: &ApiResource) -> Result<Option<usize>, WriteError> {
    let everywhere: Api<DynamicObject> = Api::all_with(client.clone(), resource);
    let mut stripped = 0;
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = match everywhere.list_metadata(&params).await {
            Ok(page) => page,
            Err(error) if code(&error) == 404 => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let held: Vec<_> =
            page.items.iter().filter_map(|object| strip_one(client, resource, object)).collect();
        stripped += stream::iter(held)
            .buffer_unordered(AT_ONCE)
            .try_fold(0, async |sum, one: usize| Ok(sum + one))
            .await?;
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(Some(stripped)),
        }
    }
}

fn strip_one(
    client: &Client,
    resource: &ApiResource,
    object: &PartialObjectMeta<DynamicObject>,
) -> Option<impl Future<Output = Result<usize, WriteError>> + use<>> {
    let place = object.finalizers().iter().position(|finalizer| finalizer == SYNCER_FINALIZER)?;
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, resource),
        None => Api::all_with(client.clone(), resource),
    };
    let metadata = object.metadata.clone();
    Some(async move {
        match apply::take_finalizer(&api, None, &metadata, (place, SYNCER_FINALIZER)).await {
            // Changed or gone: the next pass tells.
            Ok(_) | Err(WriteError::Conflict(_)) => Ok(1),
            Err(error) => Err(error),
        }
    })
}
