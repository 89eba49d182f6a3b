//! State that all reconciles share.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::{
    core::v1::Secret,
    rbac::v1::{Role, RoleBinding},
};
use kube::{Client, ResourceExt as _, api::PartialObjectMeta};
use parking_lot::Mutex;
use portolan_core::{
    api::devportal::{APIKey, APIProduct, LABEL_PRODUCT, LABEL_REQUESTER},
    foreign::{AuthPolicy, PlanPolicy, Route},
};
use portolan_runtime::{
    controller::ControllerMetrics, events::EventReporter, process::Process, queue::WorkQueue,
};
use tokio::{sync::mpsc::unbounded_channel, time::Instant};

use crate::{
    args::ControllerArgs,
    changes::{ClusterChange, KeyGroup, TargetName, WatchedKind},
    fetches::{DocumentFetchers, store::Fetches},
    index::GroupIndex,
    metrics::PortalMetrics,
    names::{ObjectName, RequesterAt, key_of_secret},
    notify::notifier::Notifier,
    rights::{ANNOTATION_REQUESTER, FreshRights},
    scope::{KindFollower, ScopedCache},
    settings::KeySettings,
    turns::TurnLocks,
};

/// A Secret of which nothing but its metadata is known.
pub type SecretMeta = PartialObjectMeta<Secret>;

/// Everything that a reconcile may use.
pub struct Context {
    pub client: Client,
    pub products: ScopedCache<APIProduct>,
    pub keys: ScopedCache<APIKey>,
    pub routes: ScopedCache<Route>,
    pub plans: ScopedCache<PlanPolicy>,
    pub auths: ScopedCache<AuthPolicy>,
    /// The Secrets of products.
    pub secrets: ScopedCache<SecretMeta>,
    /// The Roles of requesters, and their bindings.
    pub roles: ScopedCache<Role>,
    pub bindings: ScopedCache<RoleBinding>,
    pub indexes: GroupIndexes,
    pub queues: ControllerQueues,
    pub settings: KeySettings,
    pub reporter: EventReporter,
    pub controllers: ControllerMetrics,
    pub metrics: PortalMetrics,
    pub fetches: Fetches,
    /// Who is told what happens to keys.
    pub notifier: Option<Notifier>,
    pub turns: TurnLocks,
    pub fresh_rights: FreshRights,
    /// Routes whose parents have yet to look at their latest change, and since when that is so.
    pub outdated: Mutex<BTreeMap<ObjectName, Instant>>,
}

/// Groups of objects that a change concerns together.
#[derive(Debug, Default)]
pub struct GroupIndexes {
    /// Products by route.
    pub products: GroupIndex<ObjectName, ObjectName>,
    pub keys: GroupIndex<KeyGroup, ObjectName>,
    /// Routes by gateway.
    pub gateways: GroupIndex<ObjectName, ObjectName>,
    pub plans: GroupIndex<TargetName, ObjectName>,
    pub auths: GroupIndex<TargetName, ObjectName>,
    /// Products by the selector of their keys.
    pub selectors: GroupIndex<String, ObjectName>,
}

/// The queues of the controllers.
#[derive(Debug, Default)]
pub struct ControllerQueues {
    pub products: Arc<WorkQueue<ObjectName>>,
    pub keys: Arc<WorkQueue<ObjectName>>,
    pub rights: Arc<WorkQueue<RequesterAt>>,
}

impl GroupIndexes {
    pub fn requesters(&self) -> Vec<RequesterAt> {
        let groups = self.keys.all().into_iter().flat_map(|key| self.keys.groups(&key));
        groups
            .filter_map(|group| match group {
                KeyGroup::Requester(requester) => Some(requester),
                KeyGroup::Product(_) => None,
            })
            .collect()
    }
}

impl Context {
    /// Starts the watches.
    pub fn start(
        args: &ControllerArgs,
        process: &Process,
        client: &Client,
        instance: &str,
        fetchers: DocumentFetchers,
        notifier: Option<Notifier>,
    ) -> Arc<Self> {
        let tasks = &process.tasks;
        let (changes, mut received) = unbounded_channel();
        let namespaces = &args.namespaces;
        let follower = KindFollower { tasks, client, namespaces, changes: &changes };
        let context = Arc::new(Self {
            products: follower.follow(WatchedKind::Product, "", |object| {
                Some(ClusterChange::Product(ObjectName::of(object)))
            }),
            keys: follower
                .follow(WatchedKind::Key, "", |object| Some(ClusterChange::Key(ObjectName::of(object)))),
            routes: follower
                .follow(WatchedKind::Route, "", |object| Some(ClusterChange::Route(ObjectName::of(object)))),
            plans: follower.follow(WatchedKind::PlanPolicy, "", |object| {
                Some(ClusterChange::PlanPolicy(ObjectName::of(object)))
            }),
            auths: follower.follow(WatchedKind::AuthPolicy, "", |object| {
                Some(ClusterChange::AuthPolicy(ObjectName::of(object)))
            }),
            secrets: follower.follow(WatchedKind::Secret, LABEL_PRODUCT, |secret: &SecretMeta| {
                // By its name, since it may have lost its owner.
                Some(ClusterChange::SecretOf(ObjectName::new(
                    secret.namespace()?,
                    key_of_secret(&secret.name_any())?,
                )))
            }),
            roles: follower.follow(WatchedKind::Rights, LABEL_REQUESTER, |role: &Role| of_requester(role)),
            bindings: follower
                .follow(WatchedKind::Rights, LABEL_REQUESTER, |binding: &RoleBinding| of_requester(binding)),
            indexes: GroupIndexes::default(),
            queues: ControllerQueues::default(),
            settings: args.settings(),
            reporter: EventReporter::new(client.clone(), "portolan-devportal", instance),
            controllers: ControllerMetrics::register(&process.metrics),
            metrics: PortalMetrics::register(&process.metrics),
            fetches: Fetches::new(fetchers, args.fetch.fetch_refresh, args.fetch.inline_bytes()),
            notifier,
            turns: TurnLocks::default(),
            fresh_rights: FreshRights::default(),
            outdated: Mutex::default(),
            client: client.clone(),
        });
        let triggered = Arc::clone(&context);
        tasks.spawn_critical("changes", async move {
            while let Some(change) = received.recv().await {
                triggered.trigger(change);
            }
        });
        context
    }

    /// Resolves when everything has been listed once.
    pub async fn synced(&self) {
        self.products.synced().await;
        self.keys.synced().await;
        self.routes.synced().await;
        self.plans.synced().await;
        self.auths.synced().await;
        self.secrets.synced().await;
        self.roles.synced().await;
        self.bindings.synced().await;
    }

    /// The requesters that have a Role or a RoleBinding.
    pub fn rights_made(&self) -> Vec<RequesterAt> {
        let roles = self.roles.all().into_iter().filter_map(|role| requester_of(&*role));
        let bindings = self.bindings.all().into_iter().filter_map(|binding| requester_of(&*binding));
        roles.chain(bindings).collect()
    }
}

fn of_requester(object: &impl kube::ResourceExt) -> Option<ClusterChange> {
    requester_of(object).map(ClusterChange::Rights)
}

fn requester_of(object: &impl kube::ResourceExt) -> Option<RequesterAt> {
    let user = object.annotations().get(ANNOTATION_REQUESTER)?.clone();
    Some(RequesterAt { namespace: object.namespace()?, user })
}
