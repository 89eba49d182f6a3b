//! Routes and policies of others: the facts that the controller goes by, and the objects as they are.

use std::{marker::PhantomData, sync::Arc};

use kube::api::ObjectMeta;
use portolan_core::foreign::{AuthPolicyKind, Foreign, ForeignKind, HttpRouteKind, PlanPolicyKind};
use serde_json::{Value, json};

/// A kind of which whole objects are kept.
#[derive(Clone, Debug)]
pub struct Whole<K>(PhantomData<K>);

/// An object as it is, and what the controller knows of it.
#[derive(Clone, Debug)]
pub struct Seen<K: ForeignKind> {
    pub known: Arc<Foreign<K>>,
    pub spec: Value,
    pub status: Value,
}

/// HTTPRoute of the Gateway API.
pub type Route = Foreign<Whole<HttpRouteKind>>;
/// PlanPolicy of Kuadrant.
pub type PlanPolicy = Foreign<Whole<PlanPolicyKind>>;
/// AuthPolicy of Kuadrant.
pub type AuthPolicy = Foreign<Whole<AuthPolicyKind>>;

impl<K: ForeignKind> ForeignKind for Whole<K> {
    const GROUP: &'static str = K::GROUP;
    const VERSION: &'static str = K::VERSION;
    const KIND: &'static str = K::KIND;
    const PLURAL: &'static str = K::PLURAL;
    type Facts = Seen<K>;

    fn read(metadata: &ObjectMeta, spec: &Value, status: &Value) -> Seen<K> {
        let known = Arc::new(Foreign::of(metadata.clone(), spec, status));
        Seen { known, spec: spec.clone(), status: status.clone() }
    }

    fn kept(metadata: ObjectMeta) -> ObjectMeta {
        metadata
    }
}

/// The whole object.
pub fn whole<K: ForeignKind>(object: &Foreign<Whole<K>>) -> Value {
    json!({
        "apiVersion": format!("{}/{}", K::GROUP, K::VERSION), "kind": K::KIND,
        "metadata": object.metadata, "spec": object.facts.spec, "status": object.facts.status,
    })
}
