//! A control plane with people, the controller, and helpers to ask for keys and to decide. Each test has its namespace.

use std::time::Duration;

use k8s_openapi::api::{
    core::v1::{Namespace, Secret},
    events::v1::Event,
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use portolan_core::{
    api::devportal::{APIKey, APIProduct, SECRET_KEY, secret_name},
    standard_condition::{StandardCondition, find},
};
use portolan_testkit::{
    ControlPlane, ControlPlaneOptions, ServiceAccountSetup, ServiceOptions, ServiceProcess, eventually,
    kubeconfig, toystore, watch_until,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

pub const SOON: Duration = Duration::from_secs(30);
pub const RELEASE: &str = "portolan";
pub const CONTROLLER: &str = "system:serviceaccount:portolan:devportal";
const POLICIES: &str = include_str!("../../charts/devportal/files/policies.yaml");

/// A control plane and the controller.
pub struct Stage {
    pub plane: ControlPlane,
    pub service: ServiceProcess,
    pub kubeconfig: String,
}

impl Stage {
    pub async fn start(name: &str, flags: &[&str]) -> Self {
        let plane = ControlPlane::start(ControlPlaneOptions::named(name)).await.unwrap();
        let kubeconfig = ServiceAccountSetup::new("devportal", RELEASE).create(&plane).await.unwrap();
        toystore::install(&plane.client()).await.unwrap();
        toystore::install_policies(&plane.client(), POLICIES, CONTROLLER).await.unwrap();
        let service = ServiceProcess::start(options(&kubeconfig, flags)).await.unwrap();
        let stage = Self { plane, service, kubeconfig };
        stage.let_people_in().await;
        stage
    }

    /// The stage that all tests share.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Stage> = OnceCell::const_new();
        let stage = SHARED.get_or_init(|| Self::start("devportal", &[])).await;
        stage.service.keep();
        stage
    }

    pub fn client(&self) -> Client {
        self.plane.client()
    }

    /// A namespace with the toystore.
    pub async fn toystore(&self, name: &str) -> Place<'_> {
        let place = self.namespace(name).await;
        toystore::toystore(&self.client(), name).await.unwrap();
        place
    }

    pub async fn namespace<'a>(&'a self, name: &str) -> Place<'a> {
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        let api: Api<Namespace> = Api::all(self.client());
        api.create(&PostParams::default(), &namespace).await.unwrap();
        Place { stage: self, namespace: name.to_owned() }
    }

    /// The client of a person, who has a certificate.
    pub async fn person(&self, user: &str) -> Client {
        let kubeconfig = self.plane.kubeconfig_for_certificate(user, None).unwrap();
        kubeconfig::client(&kubeconfig).await.unwrap()
    }

    /// Gives everybody who is authenticated the rights that the portal's users have.
    async fn let_people_in(&self) {
        let verbs = ["get", "list", "create", "update", "patch", "delete"];
        let role: ClusterRole = serde_json::from_value(json!({
            "metadata": {"name": "portal-users"},
            "rules": [
                {"apiGroups": ["devportal.kuadrant.io"], "resources": ["apiproducts", "apikeys"], "verbs": verbs},
                {"apiGroups": ["devportal.kuadrant.io"], "resources": ["apikeys/status", "apiproducts/status"], "verbs": ["get", "patch", "update"]},
            ],
        }))
        .unwrap();
        let binding: ClusterRoleBinding = serde_json::from_value(json!({
            "metadata": {"name": "portal-users"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "portal-users"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:authenticated"}],
        }))
        .unwrap();
        let roles: Api<ClusterRole> = Api::all(self.client());
        roles.create(&PostParams::default(), &role).await.unwrap();
        let bindings: Api<ClusterRoleBinding> = Api::all(self.client());
        bindings.create(&PostParams::default(), &binding).await.unwrap();
    }
}

pub fn options(kubeconfig: &str, flags: &[&str]) -> ServiceOptions {
    let mut options = ServiceOptions::new("devportal", kubeconfig).args(flags.iter().copied());
    RELEASE.clone_into(&mut options.pod_namespace);
    options
}

/// A namespace of a test.
pub struct Place<'a> {
    pub stage: &'a Stage,
    pub namespace: String,
}

impl Place<'_> {
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.stage.client(), &self.namespace)
    }

    /// A product of the toystore's route, which `owner` owns.
    pub async fn product(&self, name: &str, mode: Option<&str>) -> APIProduct {
        let mut spec = json!({"displayName": name, "targetRef": toystore::target("HTTPRoute", "toystore")});
        if let Some(mode) = mode {
            spec["approvalMode"] = mode.into();
        }
        self.create_product(name, spec).await.unwrap()
    }

    pub async fn create_product(&self, name: &str, spec: Value) -> kube::Result<APIProduct> {
        let product = json!({
            "apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": "APIProduct",
            "metadata": {"name": name, "annotations": {"backstage.io/owner": "owner"}}, "spec": spec,
        });
        let api: Api<DynamicObject> = Api::namespaced_with(
            self.stage.client(),
            &self.namespace,
            &ApiResource::erase::<APIProduct>(&()),
        );
        let made = api.create(&PostParams::default(), &serde_json::from_value(product).unwrap()).await?;
        Ok(serde_json::from_value(serde_json::to_value(made).unwrap()).unwrap())
    }

    pub async fn ready(&self, product: &str) -> APIProduct {
        self.product_when(product, |product| {
            said(product, "Ready").is_some_and(|ready| ready.reason == "HTTPRouteAccepted")
        })
        .await
    }

    /// Waits until a condition of a product has this reason.
    pub async fn product_says(&self, name: &str, r#type: &str, reason: &str) -> APIProduct {
        self.product_when(name, |product| said(product, r#type).is_some_and(|said| said.reason == reason))
            .await
    }

    pub async fn product_when(&self, name: &str, is: impl Fn(&APIProduct) -> bool + Send) -> APIProduct {
        let found = watch_until(self.api::<APIProduct>(), name, is, SOON).await;
        found.unwrap_or_else(|error| panic!("{error:#}\n{}", self.stage.service.log_tail(40)))
    }

    /// A request for a key, made by an administrator in the name of `user`.
    pub async fn ask(&self, name: &str, product: &str, user: &str) -> APIKey {
        self.create_key(name, request(product, user)).await.unwrap()
    }

    pub async fn create_key(&self, name: &str, spec: Value) -> kube::Result<APIKey> {
        create_key(self.stage.client(), &self.namespace, name, spec).await
    }

    pub async fn key_when(&self, name: &str, is: impl Fn(&APIKey) -> bool + Send) -> APIKey {
        let found = watch_until(self.api::<APIKey>(), name, is, SOON).await;
        found.unwrap_or_else(|error| panic!("{error:#}\n{}", self.stage.service.log_tail(40)))
    }

    /// Waits until `Ready` of a key has this reason.
    pub async fn key_says(&self, name: &str, reason: &str) -> APIKey {
        self.key_when(name, |key| key_condition(key, "Ready").is_some_and(|ready| ready.reason == reason))
            .await
    }

    /// Waits until the controller has looked at a key as it is now.
    pub async fn looked_at(&self, name: &str) -> APIKey {
        let is = |key: &APIKey| {
            let seen = key.status.as_ref().and_then(|status| status.observed_generation);
            seen == key.metadata.generation
        };
        self.key_when(name, is).await
    }

    /// Decides as the owner of the product, with nothing but the fields that a decision has.
    pub async fn decide(&self, name: &str, phase: &str, reason: Option<&str>) -> kube::Result<APIKey> {
        let owner = self.stage.person("owner").await;
        let seen = self.api::<APIKey>().get(name).await?;
        decide(owner, &self.namespace, &seen, "owner", phase, reason).await
    }

    pub async fn secret(&self, key: &str) -> Option<Secret> {
        self.api::<Secret>().get_opt(&secret_name(key)).await.unwrap()
    }

    /// The value of a key, as soon as there is one.
    pub async fn value(&self, key: &str) -> String {
        let look = async || self.secret(key).await.and_then(|secret| value_of(&secret));
        eventually("the key", SOON, look).await.unwrap()
    }

    pub async fn no_secret(&self, name: &str) {
        let look = async || self.api::<Secret>().get_opt(name).await.unwrap().is_none().then_some(());
        eventually("the Secret is gone", SOON, look).await.unwrap();
    }

    /// Waits for an Event about an object.
    pub async fn told(&self, object: &str, reason: &str) {
        let events = self.api::<Event>();
        let look = async || -> Result<Option<()>, kube::Error> {
            let is = |event: &Event| {
                let on = event.regarding.as_ref().and_then(|on| on.name.as_deref());
                on == Some(object) && event.reason.as_deref() == Some(reason)
            };
            Ok(events.list(&ListParams::default()).await?.items.iter().any(is).then_some(()))
        };
        eventually("an Event", SOON, look).await.unwrap();
    }
}

pub async fn create_key(client: Client, namespace: &str, name: &str, spec: Value) -> kube::Result<APIKey> {
    let key = json!({
        "apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": "APIKey", "metadata": {"name": name}, "spec": spec,
    });
    let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &ApiResource::erase::<APIKey>(&()));
    let made = api.create(&PostParams::default(), &serde_json::from_value(key).unwrap()).await?;
    Ok(serde_json::from_value(serde_json::to_value(made).unwrap()).unwrap())
}

/// The spec of a request for the plan `gold`.
pub fn request(product: &str, user: &str) -> Value {
    json!({
        "apiProductRef": {"name": product}, "planTier": "gold", "useCase": "mobile app",
        "requestedBy": {"userId": user, "email": "alice@example.com"},
    })
}

/// Writes a decision with the version that was seen.
pub async fn decide(
    client: Client,
    namespace: &str,
    seen: &APIKey,
    reviewer: &str,
    phase: &str,
    reason: Option<&str>,
) -> kube::Result<APIKey> {
    let now = jiff::Timestamp::from_second(portolan_testkit::issuer::now()).unwrap().to_string();
    let mut status = json!({"phase": phase, "reviewedBy": reviewer, "reviewedAt": now});
    if let Some(reason) = reason {
        status["reason"] = reason.into();
    }
    let mut patch = json!({"status": status});
    if let Some(version) = seen.resource_version() {
        patch["metadata"] = json!({"resourceVersion": version});
    }
    let api: Api<APIKey> = Api::namespaced(client, namespace);
    api.patch_status(&seen.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await
}

pub fn said<'a>(product: &'a APIProduct, r#type: &str) -> Option<&'a StandardCondition> {
    find(&product.status.as_ref()?.conditions, r#type)
}

pub fn key_condition<'a>(key: &'a APIKey, r#type: &str) -> Option<&'a StandardCondition> {
    find(&key.status.as_ref()?.conditions, r#type)
}

pub fn value_of(secret: &Secret) -> Option<String> {
    let value = secret.data.as_ref()?.get(SECRET_KEY)?;
    String::from_utf8(value.0.clone()).ok()
}
