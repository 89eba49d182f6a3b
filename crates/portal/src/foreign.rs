//! Routes and policies of others: the facts that the controller goes by, and the objects as they are.

use std::{marker::PhantomData, sync::Arc};

use kube::api::ObjectMeta;
use portolan_core::foreign::{AuthPolicyKind, Foreign, ForeignKind, HttpRouteKind, PlanPolicyKind};
use serde_json::{Value, json};

/// A kind of which whole objects are kept.
#[derive(Clone, Debug)]
pub struct WholeKind<K>(PhantomData<K>);

/// An object as it is, and what the controller knows of it.
#[derive(Clone, Debug)]
pub struct WholeFacts<K: ForeignKind> {
    pub known: Arc<Foreign<K>>,
    pub spec: Value,
    pub status: Value,
}

/// HTTPRoute of the Gateway API.
pub type HttpRoute = Foreign<WholeKind<HttpRouteKind>>;
/// PlanPolicy of Kuadrant.
pub type PlanPolicy = Foreign<WholeKind<PlanPolicyKind>>;
/// AuthPolicy of Kuadrant.
pub type AuthPolicy = Foreign<WholeKind<AuthPolicyKind>>;

impl<K: ForeignKind> ForeignKind for WholeKind<K> {
    const GROUP: &'static str = K::GROUP;
    const VERSION: &'static str = K::VERSION;
    const KIND: &'static str = K::KIND;
    const PLURAL: &'static str = K::PLURAL;
    type Facts = WholeFacts<K>;

    fn read(metadata: &ObjectMeta, spec: &Value, status: &Value) -> WholeFacts<K> {
        let known = Arc::new(Foreign::of(metadata.clone(), spec, status));
        WholeFacts { known, spec: spec.clone(), status: status.clone() }
    }

    fn kept(metadata: ObjectMeta) -> ObjectMeta {
        metadata
    }
}

/// The whole object.
pub fn whole<K: ForeignKind>(object: &Foreign<WholeKind<K>>) -> Value {
    json!({
        "apiVersion": format!("{}/{}", K::GROUP, K::VERSION), "kind": K::KIND,
        "metadata": object.metadata, "spec": object.facts.spec, "status": object.facts.status,
    })
}
