//! A control plane that trusts a login provider, with the controller, the roles and policies of the charts, and people.
//! Each test has its namespace.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use k8s_openapi::api::{
    core::v1::{Namespace, Secret},
    rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule},
};
use kube::{Api, Client, api::PostParams};
use portolan_core::api::devportal::{APIKey, APIProduct, SECRET_KEY, secret_name};
use portolan_testkit::{
    ControlPlane, ControlPlaneOptions, ServiceAccountSetup, ServiceOptions, ServiceProcess, eventually,
    kubeconfig,
    login::{LoginProvider, Person},
    toystore,
    workdir::Workdir,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::site::{Caller, Site};

pub const SOON: Duration = Duration::from_secs(30);
pub const RELEASE: &str = "portolan";
const CONTROLLER: &str = "system:serviceaccount:portolan:devportal";
const POLICIES: &str = include_str!("../../charts/devportal/files/policies.yaml");
const PERSONAS: &str = include_str!("../../charts/portal/files/personas.yaml");
/// Each role, and the group that is bound to it.
const ROLES: [(&str, &str); 4] = [
    ("platform-engineer", "platform"),
    ("api-admin", "api-admins"),
    ("api-owner", "api-owners"),
    ("api-consumer", "api-consumers"),
];
/// Each person, and his group.
pub const PEOPLE: [(&str, &str); 6] = [
    ("eng", "platform"),
    ("admin1", "api-admins"),
    ("owner1", "api-owners"),
    ("owner2", "api-owners"),
    ("alice", "api-consumers"),
    ("bob", "api-consumers"),
];

/// People with one test each: one whose rights cannot be asked for, and one whose tokens end soon.
const OTHERS: [(&str, &str); 2] = [("carol", "api-consumers"), ("dora", "api-consumers")];

/// Everything that a portal needs.
pub struct Stage {
    pub plane: ControlPlane,
    pub login: LoginProvider,
    pub portal: Site,
    pub kubeconfig: String,
    controller: ServiceProcess,
    _home: Workdir,
}

impl Stage {
    /// One that nobody shares.
    pub async fn start(name: &str) -> Self {
        let home = Workdir::new("portal-stage").unwrap();
        let people: Vec<_> =
            PEOPLE.iter().chain(&OTHERS).map(|(name, group)| Person::new(name, &[group])).collect();
        let login = LoginProvider::start(&people).unwrap();
        let apiserver_args = login.apiserver_args(home.path()).unwrap();
        let options = ControlPlaneOptions { apiserver_args, ..ControlPlaneOptions::named(name) };
        let plane = ControlPlane::start(options).await.unwrap();
        let client = plane.client();
        let of_controller = ServiceAccountSetup::new("devportal", RELEASE).create(&plane).await.unwrap();
        toystore::install(&client).await.unwrap();
        toystore::install_policies(&client, POLICIES, CONTROLLER).await.unwrap();
        install_roles(&client).await;
        // Documents are on this machine, and one of them is as large as they may be.
        let fetches = ["--fetch-allowed-cidrs=127.0.0.0/8", "--openapi-spec-max-size=1000000"];
        let mut options = ServiceOptions::new("devportal", of_controller).args(fetches);
        RELEASE.clone_into(&mut options.pod_namespace);
        let controller = ServiceProcess::start(options).await.unwrap();
        let kubeconfig = ServiceAccountSetup::new("portal", RELEASE).create(&plane).await.unwrap();
        let portal = Site::start(&kubeconfig, Some(&login), &[]).await;
        let stage = Self { plane, login, portal, kubeconfig, controller, _home: home };
        stage.is_open().await;
        stage
    }

    /// The stage that all tests share.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Stage> = OnceCell::const_new();
        let stage = SHARED.get_or_init(|| async { Box::pin(Self::start("portal")).await }).await;
        stage.controller.keep();
        stage
    }

    /// Waits until the API server knows the issuer's keys, and the policies are in effect.
    async fn is_open(&self) {
        let alice = self.kubectl("alice").await;
        let api: Api<APIKey> = Api::namespaced(alice, "default");
        let theirs = json!({"metadata": {"name": "probe"}, "spec": {
            "apiProductRef": {"name": "p"}, "planTier": "gold", "useCase": "x",
            "requestedBy": {"userId": "bob", "email": "bob@example.com"}}});
        let theirs: APIKey = serde_json::from_value(theirs).unwrap();
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let look = async || match api.create(&dry, &theirs).await {
            Err(kube::Error::Api(status)) if status.message.contains("your own name") => Ok(Some(())),
            other => anyhow::bail!("{other:?}"),
        };
        eventually("the policies are in effect", SOON, look).await.unwrap();
    }

    pub fn client(&self) -> Client {
        self.plane.client()
    }

    /// What a person has who uses kubectl with a token of the login provider.
    pub async fn kubectl(&self, name: &str) -> Client {
        let text = self.plane.kubeconfig_for_token(&self.login.token(name), "default");
        kubeconfig::client(&text).await.unwrap()
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
}

/// Creates the roles of the portal's chart, and binds each to its group.
async fn install_roles(client: &Client) {
    let personas: BTreeMap<String, Vec<PolicyRule>> = serde_saphyr::from_str(PERSONAS).unwrap();
    assert_eq!(personas.len(), ROLES.len());
    for (role, group) in ROLES {
        let role_object = ClusterRole {
            metadata: named(role),
            rules: Some(personas[role].clone()),
            ..ClusterRole::default()
        };
        let roles: Api<ClusterRole> = Api::all(client.clone());
        roles.create(&PostParams::default(), &role_object).await.unwrap();
        let binding: ClusterRoleBinding = serde_json::from_value(json!({
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
        }))
        .unwrap();
        let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
        bindings.create(&PostParams::default(), &binding).await.unwrap();
    }
}

fn named(name: &str) -> kube::api::ObjectMeta {
    kube::api::ObjectMeta { name: Some(name.to_owned()), ..kube::api::ObjectMeta::default() }
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

    /// A product as the page sends it.
    pub fn product(&self, name: &str, more: &Value) -> Value {
        let mut spec = json!({
            "displayName": name, "publishStatus": "Published",
            "targetRef": {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "toystore",
                          "namespace": self.namespace},
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        json!({"metadata": {"name": name}, "spec": spec})
    }

    /// A product that `owner` creates in the portal, once the controller has found its plans.
    pub async fn publish(&self, owner: &str, name: &str, more: &Value) {
        let made = self.stage.portal.by(&self.stage.login, owner);
        let answer = made.post("/api/kuadrant/apiproducts", &self.product(name, more)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let products = self.api::<APIProduct>();
        let path = format!("/api/kuadrant/apiproducts/{}/{name}", self.namespace);
        let look = async || {
            let product = products.get(name).await.unwrap();
            let seen = made.get(&path).await.json();
            let is_seen =
                seen["metadata"]["resourceVersion"].as_str() == product.metadata.resource_version.as_deref();
            (is_seen && product.status?.discovered_plans.len() == 3).then_some(())
        };
        eventually("the plans are found, and the portal has seen them", SOON, look).await.unwrap();
    }

    /// Asks for a key of the plan `gold`, and waits until the controller has seen the request. Gives its name.
    pub async fn ask(&self, user: &str, product: &str) -> String {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        self.ask_as(user, product, &ASKED.fetch_add(1, Ordering::Relaxed).to_string()).await
    }

    /// The same with an id, from which the name follows.
    pub async fn ask_as(&self, user: &str, product: &str, id: &str) -> String {
        let body = json!({"apiProductName": product, "namespace": self.namespace, "planTier": "gold",
                          "useCase": "mobile app", "userEmail": format!("{user}@example.com")});
        let by = self.stage.portal.by(&self.stage.login, user);
        let with_id = self.stage.portal.with(&format!("{}idempotency-key: {id}\r\n", by.headers));
        let answer = with_id.post("/api/kuadrant/requests", &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let name = answer.json()["metadata"]["name"].as_str().unwrap().to_owned();
        self.looked_at(&by, &name).await;
        name
    }

    /// Waits until the controller has looked at a request as it is now, and the portal shows that to `by`.
    pub async fn looked_at(&self, by: &Caller<'_>, name: &str) {
        let keys = self.api::<APIKey>();
        let look = async || {
            let key = keys.get(name).await.unwrap();
            let seen = by.get(&self.path(name, "")).await.json();
            let is_seen =
                seen["metadata"]["resourceVersion"].as_str() == key.metadata.resource_version.as_deref();
            let generation = key.metadata.generation;
            let status = key.status.filter(|_| is_seen)?;
            (status.product_owner.is_some() && status.observed_generation == generation).then_some(())
        };
        eventually("controller and portal have seen the request", SOON, look).await.unwrap();
    }

    /// Decides about a request in the portal.
    pub async fn decide(&self, who: &str, key: &str, verb: &str, body: &Value) {
        let by = self.stage.portal.by(&self.stage.login, who);
        let answer = by.post(&self.path(key, verb), body).await;
        assert_eq!((answer.status, &answer.json()), (200, &json!({"success": true})), "{}", answer.text);
    }

    /// The path of something that is done with a request.
    pub fn path(&self, key: &str, verb: &str) -> String {
        format!("/api/kuadrant/requests/{}/{key}/{verb}", self.namespace).trim_end_matches('/').to_owned()
    }

    pub async fn secret(&self, key: &str) -> Option<Secret> {
        self.api::<Secret>().get_opt(&secret_name(key)).await.unwrap()
    }

    /// The value of a key, as soon as there is one.
    pub async fn value(&self, key: &str) -> String {
        let look = async || {
            let data = self.secret(key).await?.data?;
            String::from_utf8(data.get(SECRET_KEY)?.0.clone()).ok()
        };
        eventually("the key", SOON, look).await.unwrap()
    }

    pub async fn phase(&self, key: &str) -> Option<String> {
        let status = self.api::<APIKey>().get(key).await.unwrap().status?;
        status.phase.and_then(|phase| serde_json::to_value(phase).ok()?.as_str().map(str::to_owned))
    }

    /// Reveals a key as its requester, as soon as the Secret and the right to read it are there.
    pub async fn revealed(&self, who: &str, key: &str) -> String {
        let by = self.stage.portal.by(&self.stage.login, who);
        let look = async || -> anyhow::Result<Option<String>> {
            let answer = by.get(&self.path(key, "secret")).await;
            anyhow::ensure!(answer.status == 200, "{} {}", answer.status, answer.text);
            Ok(answer.json()["apiKey"].as_str().map(str::to_owned))
        };
        eventually("the key is revealed", SOON, look).await.unwrap()
    }
}
