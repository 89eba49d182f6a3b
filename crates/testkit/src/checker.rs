//! Asks a gateway that reads from memory the same question again and again, while objects and rights change and the API
//! server is silent or ends, and finds answers that are older than they say, or that nobody should have had.

mod history;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Namespace, ServiceAccount},
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
    core::NamespaceResourceScope,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use self::history::{History, Seen};
use crate::{ControlPlane, eventually, raw};

const NAMESPACE: &str = "checked";
const OBJECTS: usize = 8;
const WITHIN: Duration = Duration::from_secs(60);
/// The accounts that ask: the rights of the second one come and go.
const ACCOUNTS: [&str; 2] = ["steady", "shaky"];

/// The findings of a checker.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Answers with data.
    pub answers: usize,
    /// How many of them were from memory.
    pub from_memory: usize,
    /// Answers that were refused.
    pub refused: usize,
    /// Wrong answers, in words.
    pub wrong: Vec<String>,
}

#[derive(Debug)]
struct Shared {
    port: u16,
    cluster: String,
    history: Mutex<History>,
    found: Mutex<Checked>,
    is_over: AtomicBool,
}

/// Checks the gateway at a port of this machine for about half a minute.
///
/// # Errors
/// If it cannot be done; what is wrong with answers is in the result.
pub async fn check(plane: &ControlPlane, (port, cluster): (u16, &str)) -> Result<Checked> {
    let client = plane.client();
    set_up(&client).await?;
    let shared = Arc::new(Shared {
        port,
        cluster: cluster.to_owned(),
        history: Mutex::new(History::new(OBJECTS)),
        found: Mutex::default(),
        is_over: AtomicBool::new(false),
    });
    let mut tokens = Vec::new();
    for account in ACCOUNTS {
        tokens.push(plane.token_for(NAMESPACE, account, &[], 3600).await?);
    }
    for token in &tokens {
        eventually("the question is answered from memory", WITHIN, async || {
            let answer = shared.ask(token, true).await;
            if is_remembered(&answer) { Ok(Some(())) } else { anyhow::bail!("{answer}") }
        })
        .await?;
    }
    let mut workers = JoinSet::new();
    for first in 0..2 {
        workers.spawn(Arc::clone(&shared).write(client.clone(), first));
    }
    for (index, token) in tokens.iter().enumerate() {
        for from_memory in [true, true, false] {
            workers.spawn(Arc::clone(&shared).watch(token.clone(), index == 1, from_memory));
        }
    }
    let disturbed = disturb(plane, &client, &shared).await;
    shared.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = workers.join_next().await {
        ended.context("a worker of the checker panicked")?;
    }
    disturbed?;
    let found = shared.found.lock().clone();
    Ok(found)
}

/// Takes a right away for longer than it may be remembered, and lets the API server be silent and end.
async fn disturb(plane: &ControlPlane, client: &Client, shared: &Shared) -> Result<()> {
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), NAMESPACE);
    sleep(Duration::from_secs(2)).await;
    bindings.delete(ACCOUNTS[1], &DeleteParams::default()).await?;
    shared.history.lock().revoked(Instant::now());
    sleep(Duration::from_secs(3)).await;
    plane.pause_apiserver();
    sleep(Duration::from_millis(1500)).await;
    plane.resume_apiserver();
    sleep(Duration::from_secs(9)).await;
    shared.history.lock().granted();
    apply(client, &binding(ACCOUNTS[1])?).await?;
    sleep(Duration::from_secs(2)).await;
    plane.stop_apiserver();
    plane.start_apiserver().await?;
    sleep(Duration::from_secs(5)).await;
    Ok(())
}

impl Shared {
    /// Counts up in every second object, from one of them on.
    async fn write(self: Arc<Self>, client: Client, first: usize) {
        let api: Api<ConfigMap> = Api::namespaced(client, NAMESPACE);
        let mut index = first;
        while !self.is_over.load(Ordering::Relaxed) {
            let value = self.history.lock().begin(index);
            let patch = json!({"data": {"n": value.to_string()}});
            let written = api.patch(&name(index), &PatchParams::default(), &Patch::Merge(patch)).await;
            if written.is_ok() {
                self.history.lock().acknowledged(index, value, Instant::now());
            }
            index = (index + 2) % OBJECTS;
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks until it is over, and judges every answer.
    async fn watch(self: Arc<Self>, token: String, is_shaky: bool, from_memory: bool) {
        while !self.is_over.load(Ordering::Relaxed) {
            let asked = Instant::now();
            let answer = self.ask(&token, from_memory).await;
            self.judge(&answer, (asked, is_shaky));
            sleep(Duration::from_millis(if from_memory { 5 } else { 50 })).await;
        }
    }

    async fn ask(&self, token: &str, from_memory: bool) -> Value {
        let query =
            format!("{{v1{{ConfigMaps(namespace:\"{NAMESPACE}\"){{items{{metadata{{name}} data}}}}}}}}");
        let body = json!({"query": query, "extensions": {"memory": from_memory}}).to_string();
        let headers =
            format!("host: x\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\n");
        let line = format!("POST /{}/graphql", self.cluster);
        raw::http(self.port, &line, &headers, body.as_bytes())
            .await
            .map_or(Value::Null, |answer| answer.json())
    }

    fn judge(&self, answer: &Value, (asked, is_shaky): (Instant, bool)) {
        let items = answer["data"]["v1"]["ConfigMaps"]["items"].as_array();
        let mut found = self.found.lock();
        let Some(items) = items else {
            found.refused += usize::from(answer["errors"][0]["extensions"]["code"] == "FORBIDDEN");
            return;
        };
        found.answers += 1;
        found.from_memory += usize::from(is_remembered(answer));
        let age = Duration::from_millis(answer["extensions"]["cacheAgeMs"].as_u64().unwrap_or_default());
        let history = self.history.lock();
        if is_shaky && history.was_refused(asked) {
            found.wrong.push(format!("somebody who is refused for more than ten seconds got {answer}"));
        }
        for index in 0..OBJECTS {
            let is_it = |item: &&Value| item["metadata"]["name"] == name(index);
            let value = items.iter().find(is_it).and_then(|item| item["data"]["n"].as_str()?.parse().ok());
            if let Err(mistake) = history.judge(index, &Seen { value, asked, age }) {
                found.wrong.push(format!("{mistake}, with {}", answer["extensions"]));
            }
        }
    }
}

fn is_remembered(answer: &Value) -> bool {
    answer["extensions"]["source"] == "memory"
}

fn name(index: usize) -> String {
    format!("object-{index}")
}

async fn set_up(client: &Client) -> Result<()> {
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}}))?;
    let parameters = PatchParams::apply("checker").force();
    Api::<Namespace>::all(client.clone()).patch(NAMESPACE, &parameters, &Patch::Apply(namespace)).await?;
    for account in ACCOUNTS {
        let made: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": account}}))?;
        apply(client, &made).await?;
        apply(client, &binding(account)?).await?;
    }
    let role: Role = serde_json::from_value(json!({"metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]}))?;
    apply(client, &role).await?;
    for index in 0..OBJECTS {
        let object: ConfigMap =
            serde_json::from_value(json!({"metadata": {"name": name(index)}, "data": {"n": "0"}}))?;
        let made = apply(client, &object).await?;
        ensure!(made.data.is_some(), "the object has no data");
    }
    Ok(())
}

fn binding(account: &str) -> Result<RoleBinding> {
    Ok(serde_json::from_value(json!({"metadata": {"name": account},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}]}))?)
}

async fn apply<K>(client: &Client, object: &K) -> Result<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), NAMESPACE);
    let parameters = PatchParams::apply("checker").force();
    Ok(api.patch(&object.name_any(), &parameters, &Patch::Apply(object)).await?)
}
