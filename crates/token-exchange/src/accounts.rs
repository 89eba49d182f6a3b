//! The accounts whose tokens can be had, with their bindings: from watches, and where the rights do not allow
//! one, from a read per exchange.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ObjectReference, ServiceAccount};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::ListParams,
    runtime::watcher::{self, Event},
};
use parking_lot::RwLock;
use portolan_runtime::{backoff::Backoff, readiness::ReadyHandle, tasks::Tasks, telemetry::ErrorChain};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use crate::binding::{ANY, AccountBindings};

/// More broken annotations than Events are written about at once.
pub const MAX_FAULTS: usize = 256;

/// Limit for a read.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// The first delay after a failed watch, and the longest.
const MIN_DELAY: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(15);

/// One account.
#[derive(Debug)]
pub struct KnownAccount {
    pub uid: String,
    pub bindings: AccountBindings,
}

/// An account whose annotations a person should look at.
#[derive(Debug)]
pub struct AnnotationFault {
    pub on: ObjectReference,
    pub note: String,
}

/// Reasons why an account is not known.
#[derive(Debug, thiserror::Error)]
pub enum UnreadAccount {
    #[error("the exchange may not read it")]
    Forbidden,
    #[error("the API server does not answer")]
    Unavailable(#[source] Option<Box<kube::Error>>),
}

/// The accounts of one namespace, or of all.
pub struct NamespaceAccounts {
    client: Client,
    /// None: of all.
    namespace: Option<String>,
    /// By namespace and name.
    known: RwLock<HashMap<(String, String), Arc<KnownAccount>>>,
    /// Set while `known` follows the API server.
    followed: AtomicBool,
    faults: mpsc::Sender<AnnotationFault>,
    tasks: Tasks,
}

impl NamespaceAccounts {
    /// Starts to follow the accounts of a namespace; `*` is every one.
    pub fn start(
        client: &Client,
        namespace: &str,
        faults: mpsc::Sender<AnnotationFault>,
        ready: ReadyHandle,
        tasks: &Tasks,
    ) -> Arc<Self> {
        let namespace = Some(namespace.to_owned()).filter(|namespace| namespace != ANY);
        let api = match &namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        };
        let accounts = Arc::new(Self {
            client: client.clone(),
            namespace,
            known: RwLock::default(),
            followed: AtomicBool::new(false),
            faults,
            tasks: tasks.child(),
        });
        let following =
            AccountFollower { accounts: Arc::clone(&accounts), ready, listed: HashMap::new(), failed: None };
        accounts.tasks.spawn_critical("accounts", following.run(api));
        accounts
    }

    pub fn stop(&self) {
        self.tasks.cancel();
    }

    /// Returns `true` if the watch follows the API server.
    pub fn are_followed(&self) -> bool {
        self.followed.load(Ordering::Acquire)
    }

    /// An account as the watch has it; `None` when there is none of that name.
    pub fn known(&self, namespace: &str, name: &str) -> Option<Arc<KnownAccount>> {
        let place = (namespace.to_owned(), name.to_owned());
        self.known.read().get(&place).cloned()
    }

    /// An account as the API server has it now.
    pub async fn read(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<KnownAccount>>, UnreadAccount> {
        let api = Api::<ServiceAccount>::namespaced(self.client.clone(), namespace);
        match timeout(READ_TIMEOUT, api.get_opt(name)).await {
            Ok(Ok(account)) => Ok(account.map(|account| Arc::new(self.understood(&account)))),
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(UnreadAccount::Forbidden),
            Ok(Err(error)) => Err(UnreadAccount::Unavailable(Some(Box::new(error)))),
            Err(_) => Err(UnreadAccount::Unavailable(None)),
        }
    }

    /// Every account as the API server has it now, by namespace and name.
    pub async fn read_all(&self) -> Result<Vec<((String, String), KnownAccount)>, UnreadAccount> {
        let api = match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let params = ListParams::default();
        match timeout(READ_TIMEOUT, api.list(&params)).await {
            Ok(Ok(list)) => {
                let read = |account: ServiceAccount| (place(&account), self.understood(&account));
                Ok(list.items.into_iter().map(read).collect())
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(UnreadAccount::Forbidden),
            Ok(Err(error)) => Err(UnreadAccount::Unavailable(Some(Box::new(error)))),
            Err(_) => Err(UnreadAccount::Unavailable(None)),
        }
    }

    /// Reads the bindings of an account. Broken annotations are told to its owner.
    fn understood(&self, account: &ServiceAccount) -> KnownAccount {
        let bindings = AccountBindings::of(account.metadata.annotations.as_ref());
        if let Some(note) = note(&bindings) {
            // With hundreds waiting, one more Event would help nobody.
            let _ = self.faults.try_send(AnnotationFault { on: account.object_ref(&()), note });
        }
        KnownAccount { uid: account.uid().unwrap_or_default(), bindings }
    }
}

/// The note of an Event about broken bindings.
fn note(bindings: &AccountBindings) -> Option<String> {
    let first = bindings.broken.first()?;
    let more = match bindings.broken.len() {
        1 => String::new(),
        count => format!(" ({} more like it)", count - 1),
    };
    Some(format!("annotation {:?} is skipped: {}{more}", first.key, first.problem))
}

/// The task that follows the accounts.
struct AccountFollower {
    accounts: Arc<NamespaceAccounts>,
    ready: ReadyHandle,
    listed: HashMap<(String, String), Arc<KnownAccount>>,
    /// The last failure that was logged.
    failed: Option<String>,
}

impl AccountFollower {
    /// Anew after each failure, with a list: that it works again is seen by nothing else.
    async fn run(mut self, api: Api<ServiceAccount>) {
        let mut backoff = Backoff::new(MIN_DELAY, MAX_DELAY);
        loop {
            let mut events = watcher::watcher(api.clone(), watcher::Config::default()).boxed();
            while let Some(event) = events.next().await {
                let failed = event.is_err();
                if matches!(event, Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_))) {
                    backoff = Backoff::new(MIN_DELAY, MAX_DELAY);
                }
                self.on(event);
                if failed {
                    break;
                }
            }
            sleep(backoff.next_delay()).await;
        }
    }

    fn on(&mut self, event: watcher::Result<Event<ServiceAccount>>) {
        match event {
            Ok(Event::Init) => self.listed.clear(),
            Ok(Event::InitApply(account)) => {
                self.listed.insert(place(&account), self.kept(&account));
            }
            Ok(Event::InitDone) => {
                *self.accounts.known.write() = std::mem::take(&mut self.listed);
                self.accounts.followed.store(true, Ordering::Release);
                self.ready.ready();
                if self.failed.take().is_some() {
                    info!(namespace = self.accounts.namespace, "accounts are watched again");
                }
            }
            Ok(Event::Apply(account)) => {
                let kept = self.kept(&account);
                self.accounts.known.write().insert(place(&account), kept);
            }
            Ok(Event::Delete(account)) => {
                self.accounts.known.write().remove(&place(&account));
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Unchanged bindings stay the object that they are, and are not reported again.
    fn kept(&self, account: &ServiceAccount) -> Arc<KnownAccount> {
        let uid = account.uid().unwrap_or_default();
        let known = self.accounts.known.read().get(&place(account)).cloned();
        let same = |known: &Arc<KnownAccount>| {
            known.uid == uid && known.bindings == AccountBindings::of(account.metadata.annotations.as_ref())
        };
        known.filter(same).unwrap_or_else(|| Arc::new(self.accounts.understood(account)))
    }

    /// While nothing is followed, accounts are read one by one.
    fn failed(&mut self, error: &watcher::Error) {
        self.accounts.followed.store(false, Ordering::Release);
        let text = ErrorChain(error).to_string();
        if is_forbidden(error) {
            self.ready.ready();
        } else {
            self.ready.not_ready(&text);
        }
        if self.failed.as_ref() != Some(&text) {
            warn!(
                namespace = self.accounts.namespace,
                "accounts cannot be watched, and are read one by one: {text}"
            );
            self.failed = Some(text);
        }
    }
}

fn place(account: &ServiceAccount) -> (String, String) {
    (account.namespace().unwrap_or_default(), account.name_any())
}

fn is_forbidden(error: &watcher::Error) -> bool {
    let code = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status.code,
        _ => 0,
    };
    code == 403
}
