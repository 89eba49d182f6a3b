//! Requests for namespaces on a provider, and its answers.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use kube::{Api, Client, ResourceExt as _, api::ObjectMeta};
use parking_lot::Mutex;
use portolan_core::api::kubebind::{APIServiceNamespace, APIServiceNamespaceSpec, FIELD_MANAGER};
use portolan_runtime::{
    apply::{self, Precondition, WriteError},
    cache::Cache,
};
use serde_json::json;
use tokio::{sync::watch, time::Instant};

use crate::sync::NamespaceState;

/// Time after which people hear of a request for a namespace that has no answer.
const ANSWER_DUE: Duration = Duration::from_secs(15);

/// The answer about a namespace on the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceAnswer {
    /// The answers have not been listed yet.
    Unknown,
    NotRequested,
    Requested,
    Mapped(String),
}

impl NamespaceAnswer {
    pub fn as_plan(&self) -> NamespaceState<'_> {
        match self {
            Self::Unknown => NamespaceState::Unknown,
            Self::NotRequested => NamespaceState::NotRequested,
            Self::Requested => NamespaceState::Requested,
            Self::Mapped(name) => NamespaceState::Mapped(name),
        }
    }
}

/// The `APIServiceNamespaces` of one contract namespace.
pub struct NamespaceRequests {
    client: Client,
    contract_namespace: String,
    requests: Cache<APIServiceNamespace>,
    is_listed: AtomicBool,
    /// Requests that the watch has not shown yet.
    requested: Mutex<HashSet<String>>,
    /// Since when somebody waits for the answers to requests.
    waiting: Mutex<HashMap<String, Instant>>,
    changed: watch::Sender<()>,
}

impl NamespaceRequests {
    pub(super) fn new(
        client: Client,
        contract_namespace: &str,
        requests: Cache<APIServiceNamespace>,
        changed: watch::Sender<()>,
    ) -> Self {
        let contract_namespace = contract_namespace.to_owned();
        Self {
            client,
            contract_namespace,
            requests,
            is_listed: AtomicBool::new(false),
            requested: Mutex::default(),
            waiting: Mutex::default(),
            changed,
        }
    }

    pub fn state(&self, namespace: &str) -> NamespaceAnswer {
        let Some(request) = self.requests.get_in(&self.contract_namespace, namespace) else {
            // One that is yet to be listed may have an answer, with copies in it.
            if !self.are_listed() {
                return NamespaceAnswer::Unknown;
            }
            let requested = self.requested.lock().contains(namespace);
            return if requested { NamespaceAnswer::Requested } else { NamespaceAnswer::NotRequested };
        };
        match answer(&request) {
            Some(name) => {
                self.waiting.lock().remove(namespace);
                NamespaceAnswer::Mapped(name)
            }
            None => NamespaceAnswer::Requested,
        }
    }

    /// Time that the provider has left to answer a request that somebody waits for; `None` when it is overdue.
    pub fn due_in(&self, namespace: &str) -> Option<Duration> {
        self.due_at(namespace, Instant::now())
    }

    fn due_at(&self, namespace: &str, now: Instant) -> Option<Duration> {
        let since = *self.waiting.lock().entry(namespace.to_owned()).or_insert(now);
        ANSWER_DUE.checked_sub(now.duration_since(since)).filter(|left| !left.is_zero())
    }

    pub fn mapped(&self, namespace: &str) -> Option<String> {
        match self.state(namespace) {
            NamespaceAnswer::Mapped(name) => Some(name),
            NamespaceAnswer::Unknown | NamespaceAnswer::NotRequested | NamespaceAnswer::Requested => None,
        }
    }

    /// Consumer namespaces by the provider's namespaces that stand for them.
    pub fn by_answer(&self) -> HashMap<String, String> {
        self.requests
            .all()
            .iter()
            .filter_map(|request| Some((answer(request)?, request.name_any())))
            .collect()
    }

    /// The consumer namespace that a namespace of the provider stands for.
    pub fn consumer_of(&self, mapped: &str) -> Option<String> {
        let request = self.requests.filter(|request| answer(request).as_deref() == Some(mapped));
        request.first().map(|request| request.name_any())
    }

    /// Every request.
    pub(super) fn requests(&self) -> Vec<std::sync::Arc<APIServiceNamespace>> {
        self.requests.all()
    }

    /// Returns `true` if the answers have been listed once.
    pub fn are_listed(&self) -> bool {
        self.is_listed.load(Ordering::Acquire)
    }

    /// Told of every change of an answer.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Asks the provider for a namespace. Who asks while another asks already, relies on that one.
    pub async fn request(&self, namespace: &str) -> Result<(), WriteError> {
        if !self.requested.lock().insert(namespace.to_owned()) {
            return Ok(());
        }
        let mut underway = PendingRequest { namespaces: self, namespace, made: false };
        let api: Api<APIServiceNamespace> = Api::namespaced(self.client.clone(), &self.contract_namespace);
        let metadata = ObjectMeta { name: Some(namespace.to_owned()), ..ObjectMeta::default() };
        let request = APIServiceNamespace { metadata, spec: APIServiceNamespaceSpec {}, status: None };
        match apply::apply(&api, FIELD_MANAGER, &json!(request), &Precondition::Absent).await {
            Ok(_) | Err(WriteError::Conflict(_)) => {
                underway.made = true;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Takes in that the answers have been listed. A request that is not among them is made again when it is needed:
    /// what was asked for before a backup was restored, nobody knows any more.
    pub(super) fn were_listed(&self) {
        self.requested.lock().clear();
        self.waiting.lock().clear();
        self.is_listed.store(true, Ordering::Release);
    }

    /// Forgets a request that the provider has dropped, so that it is made again when it is needed.
    pub(super) fn dropped(&self, namespace: &str) {
        self.requested.lock().remove(namespace);
        self.waiting.lock().remove(namespace);
    }
}

fn answer(request: &APIServiceNamespace) -> Option<String> {
    let answer = request.status.as_ref()?.namespace.clone()?;
    (!answer.is_empty()).then_some(answer)
}

/// A request that is being made. One that fails, or is given up for want of an answer, is made again.
struct PendingRequest<'a> {
    namespaces: &'a NamespaceRequests,
    namespace: &'a str,
    made: bool,
}

impl Drop for PendingRequest<'_> {
    fn drop(&mut self) {
        if !self.made {
            self.namespaces.dropped(self.namespace);
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::{client::Body, runtime::watcher};

    use super::*;

    /// The namespaces of a provider that has answered for `east`.
    async fn answered() -> NamespaceRequests {
        let service = tower::service_fn(|request: http::Request<Body>| async move {
            if request.uri().query().is_some_and(|query| query.contains("watch=")) {
                return std::future::pending::<Result<_, std::convert::Infallible>>().await;
            }
            let list = json!({
                "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceNamespaceList",
                "metadata": {"resourceVersion": "1"},
                "items": [{
                    "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceNamespace",
                    "metadata": {"name": "east", "namespace": "contract", "uid": "u", "resourceVersion": "1"},
                    "spec": {}, "status": {"namespace": "contract-east"},
                }],
            });
            Ok(http::Response::new(Body::from(list.to_string().into_bytes())))
        });
        let client = Client::new(service, "contract");
        let api: Api<APIServiceNamespace> = Api::namespaced(client.clone(), "contract");
        let (requests, task) = Cache::follow(api, watcher::Config::default(), |_| {});
        tokio::select! {
            () = task => {}
            () = requests.synced() => {}
        }
        NamespaceRequests::new(client, "contract", requests, watch::Sender::new(()))
    }

    #[tokio::test]
    async fn an_answer_is_due_from_the_first_object_that_waits_until_the_request_is_answered_or_gone() {
        let (namespaces, now) = (answered().await, Instant::now());
        let left = |namespace: &str, seconds: u64| {
            let left = namespaces.due_at(namespace, now + Duration::from_secs(seconds));
            left.map(|left| left.as_secs())
        };
        assert_eq!(["west", "east"].map(|name| left(name, 0)), [Some(15); 2]);
        assert_eq!(["west", "east"].map(|name| left(name, 10)), [Some(5); 2]);
        assert_eq!(["west", "east"].map(|name| left(name, 20)), [None; 2]);
        // Whoever looks finds the answer.
        assert_eq!(namespaces.state("east"), NamespaceAnswer::Mapped("contract-east".to_owned()));
        assert_eq!(["west", "east"].map(|name| left(name, 20)), [None, Some(15)]);
        namespaces.dropped("west");
        assert_eq!(["west", "east"].map(|name| left(name, 30)), [Some(15), Some(5)]);
        namespaces.were_listed();
        assert_eq!(["west", "east"].map(|name| left(name, 100)), [Some(15); 2]);
        // A request that nobody answers, and that is given up, leaves nothing behind.
        drop(PendingRequest { namespaces: &namespaces, namespace: "west", made: false });
        assert_eq!(["west", "east"].map(|name| left(name, 200)), [Some(15), None]);
    }
}
