//! Everything that bears on a key, from the stores.

use std::sync::Arc;

use kube::api::ObjectMeta;
use portolan_core::api::devportal::{
    APIKey, APIProduct, ApprovalMode, KeyPhase, previous_secret_name, secret_name,
};
use portolan_runtime::clock;

use super::{
    is_granted,
    secret::{SecretOwnership, ownership},
    state::{ObservedKey, SecretState},
};
use crate::{
    annotations,
    changes::KeyGroup,
    context::Context,
    names::{ObjectName, RequesterAt},
};

/// `None` if it is gone.
pub(super) fn observe(context: &Context, name: &ObjectName) -> Option<ObservedKey> {
    let key = context.keys.get(&name.namespace, &name.name)?;
    let product = context.products.get(&name.namespace, &key.spec.api_product_ref.name);
    let max_keys = product.as_deref().and_then(annotations::max_keys);
    let state = |secret: &str| match context.secrets.get(&name.namespace, secret) {
        None => SecretState::Absent,
        Some(secret) => match ownership(&secret.metadata, &key) {
            SecretOwnership::Ours => SecretState::Ours(secret),
            SecretOwnership::Former => SecretState::Former(secret),
            SecretOwnership::Foreign => SecretState::Foreign,
        },
    };
    Some(ObservedKey {
        secret: state(&secret_name(&name.name)),
        previous: state(&previous_secret_name(&name.name)),
        // A key that was given keeps its place.
        ahead: if is_granted(&key) { 0 } else { ahead(context, name, &key, product.as_deref()) },
        max_keys: max_keys.unwrap_or(context.settings.max_keys_per_user),
        overlap: context.settings.rotation_overlap,
        now: clock::now(),
        is_orphan: false,
        product,
        key,
    })
}

/// Number of keys of the same user and product that come before one.
fn ahead(context: &Context, name: &ObjectName, key: &APIKey, product: Option<&APIProduct>) -> usize {
    let user = key.spec.requested_by.user_id.clone();
    let group = KeyGroup::Requester(RequesterAt { namespace: name.namespace.clone(), user });
    let others = context.indexes.keys.of(&group).into_iter().filter(|other| other != name);
    let others = others.filter_map(|other| context.keys.get(&other.namespace, &other.name));
    let is_automatic = product.is_some_and(|product| product.spec.approval_mode == ApprovalMode::Automatic);
    others.filter(|other| is_before(other, key, is_automatic)).count()
}

fn is_before(other: &Arc<APIKey>, key: &APIKey, is_automatic: bool) -> bool {
    if other.spec.api_product_ref != key.spec.api_product_ref || other.metadata.deletion_timestamp.is_some() {
        return false;
    }
    let waits = match other.phase() {
        KeyPhase::Approved => true,
        KeyPhase::Pending => is_automatic,
        KeyPhase::Rejected | KeyPhase::Expired => false,
    };
    is_granted(other) || (waits && order(&other.metadata) < order(&key.metadata))
}

fn order(metadata: &ObjectMeta) -> (Option<jiff::Timestamp>, Option<&str>) {
    (metadata.creation_timestamp.as_ref().map(|time| time.0), metadata.name.as_deref())
}
