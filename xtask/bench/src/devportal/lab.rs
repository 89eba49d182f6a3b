//! A cluster with the chart's policies, and products and keys as people make them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use portolan_core::api::devportal::{APIKey, APIProduct};
use portolan_testkit::{ControlPlane, ControlPlaneOptions, ServiceAccountSetup, ServiceProcess, load};
use serde_json::{Value as Json, json};

use super::toystores;
use crate::services::{Binaries, RELEASE};

pub const NAMESPACE: &str = "apis";
pub const ROUTES: usize = 200;
pub const PRODUCTS: usize = 1_000;
pub const KEYS: usize = 5_000;
pub const REQUESTERS: usize = 500;
/// Keys that wait for an approval by hand.
pub const WAITING: usize = 200;
const MANUAL: &str = "manual";
const CONCURRENCY: usize = 20;
const WITHIN: Duration = Duration::from_secs(60);
/// Time for policies to take effect.
const EFFECTIVE: Duration = Duration::from_secs(3);
const POLICIES: &str = include_str!("../../../../charts/devportal/files/policies.yaml");

pub struct Lab {
    pub plane: ControlPlane,
    /// The user name of the controller.
    pub user: String,
    kubeconfig: String,
    binaries: Binaries,
}

impl Lab {
    pub async fn start(binaries: &Binaries) -> Result<Self> {
        let plane = ControlPlane::start(ControlPlaneOptions::named("devportal-bench")).await?;
        let setup = ServiceAccountSetup::new("devportal", RELEASE);
        let kubeconfig = setup.create(&plane).await?;
        let lab = Self { plane, user: setup.user(), kubeconfig, binaries: binaries.clone() };
        let client = lab.plane.client();
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}}))?;
        Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
        toystores::install(&client).await?;
        lab.policies().await?;
        // It installs the CRDs.
        lab.controller().await?.terminate(WITHIN).await?;
        toystores::fill(&client).await?;
        tokio::time::sleep(EFFECTIVE).await;
        Ok(lab)
    }

    /// A controller that is ready.
    pub async fn controller(&self) -> Result<ServiceProcess> {
        let controller = self.begin().await?;
        controller.wait_ready(WITHIN).await?;
        Ok(controller)
    }

    /// A controller that has just been started.
    pub async fn begin(&self) -> Result<ServiceProcess> {
        self.binaries.start_as("devportal", &self.kubeconfig, &[]).await
    }

    async fn policies(&self) -> Result<()> {
        let text = POLICIES.replace("CONTROLLER", &self.user).replace("PREFIX", "devportal");
        for policy in text.split("\n---\n").skip(1) {
            let policy: Json = serde_saphyr::from_str(policy).context("a policy of the chart")?;
            let name = policy["metadata"]["name"].as_str().context("a policy without a name")?;
            let spec = json!({"policyName": name, "validationActions": ["Deny"]});
            let binding = json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
                "metadata": {"name": name}, "spec": spec,
            });
            for (kind, object) in
                [("ValidatingAdmissionPolicy", &policy), ("ValidatingAdmissionPolicyBinding", &binding)]
            {
                let gvk = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
                let api: Api<DynamicObject> =
                    Api::all_with(self.plane.client(), &ApiResource::from_gvk(&gvk));
                api.patch(name, &PatchParams::apply("bench").force(), &Patch::Apply(object)).await?;
            }
        }
        Ok(())
    }

    /// Creates all products and keys, without any status. Returns the seconds for the keys.
    pub async fn fill(&self) -> Result<f64> {
        let client = self.plane.client();
        let products = ApiResource::erase::<APIProduct>(&());
        let make = |number: usize| {
            let route = toystores::route(number % ROUTES);
            make_product(&product(number), &route, "automatic")
        };
        load::objects(&client, &products, Some(NAMESPACE), make, PRODUCTS, CONCURRENCY).await?;
        let manual = |_| make_product(MANUAL, &toystores::route(0), "manual");
        load::objects(&client, &products, Some(NAMESPACE), manual, 1, 1).await?;
        let begun = Instant::now();
        let make = |number: usize| make_key(&key(number), &product(number % PRODUCTS), &requester_of(number));
        let keys = ApiResource::erase::<APIKey>(&());
        load::objects(&client, &keys, Some(NAMESPACE), make, KEYS, CONCURRENCY).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let make = |number: usize| make_key(&waiting(number), MANUAL, &requester_of(number));
        load::objects(&client, &keys, Some(NAMESPACE), make, WAITING, CONCURRENCY).await?;
        Ok(seconds)
    }

    pub fn products(&self) -> Api<APIProduct> {
        Api::namespaced(self.plane.client(), NAMESPACE)
    }

    pub fn keys(&self) -> Api<APIKey> {
        Api::namespaced(self.plane.client(), NAMESPACE)
    }
}

/// Objects of a kind in the namespace, as an [`Api`] of dynamic ones.
pub fn dynamic<K>(client: Client) -> Api<DynamicObject>
where
    K: kube::Resource<DynamicType = ()>,
{
    Api::namespaced_with(client, NAMESPACE, &ApiResource::erase::<K>(&()))
}

pub fn product(number: usize) -> String {
    format!("p-{number:04}")
}

pub fn key(number: usize) -> String {
    format!("k-{number:04}")
}

pub fn waiting(number: usize) -> String {
    format!("w-{number:04}")
}

/// Whoever asks for a key: each person has ten, of ten products.
pub fn requester_of(key: usize) -> String {
    format!("user-{:03}", key % REQUESTERS)
}

fn make_product(name: &str, route: &str, mode: &str) -> DynamicObject {
    let target = json!({"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": route});
    let spec = json!({
        "displayName": name, "targetRef": target, "approvalMode": mode, "publishStatus": "Published",
    });
    let mut object = object::<APIProduct>(name, &spec);
    object.metadata.annotations = Some([("backstage.io/owner".to_owned(), "owner".to_owned())].into());
    object
}

fn make_key(name: &str, product: &str, user: &str) -> DynamicObject {
    let requester = json!({"userId": user, "email": "somebody@example.com"});
    let spec = json!({
        "apiProductRef": {"name": product}, "planTier": "gold", "useCase": "bench", "requestedBy": requester,
    });
    object::<APIKey>(name, &spec)
}

fn object<K: kube::Resource<DynamicType = ()>>(name: &str, spec: &Json) -> DynamicObject {
    DynamicObject::new(name, &ApiResource::erase::<K>(&())).data(json!({"spec": spec}))
}
