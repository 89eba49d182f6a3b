//! A minute of random changes on both sides, while everything that can be killed is killed and comes back.
//!
//! `PORTOLAN_CHAOS_SEED` repeats a run, `PORTOLAN_CHAOS_SECONDS` makes it longer. The order of events across
//! processes is not the seed's to decide, so that a repeated run is similar and not equal.

use std::{
    cell::Cell,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use portolan_testkit::{control_plane::ControlPlane, eventually::eventually, service::ServiceProcess};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::{Clusters, Service, cowboy, create_namespace, konnector, provider_service};

/// The shortest run that counts.
const LEAST: Duration = Duration::from_secs(60);
/// Limit for both sides to agree once nothing is broken any more.
const SETTLE: Duration = Duration::from_secs(150);
/// More than a konnector takes to notice that its lease has run out.
const LEASE: Duration = Duration::from_secs(15);
const NAMESPACES: [&str; 3] = ["chaos", "chaos-one", "chaos-two"];
const NAMES: usize = 40;
/// A name that is taken on the provider by somebody else.
const FOREIGN: &str = "foreign";

/// The parts that can be broken.
#[derive(Clone, Copy, Debug)]
enum Breakage {
    Konnector,
    ProviderApi,
    ConsumerApi,
    ProviderEtcd,
    ConsumerEtcd,
    KonnectorWithoutProvider,
}

const ALL: [Breakage; 6] = [
    Breakage::Konnector,
    Breakage::ProviderApi,
    Breakage::ConsumerApi,
    Breakage::ProviderEtcd,
    Breakage::ConsumerEtcd,
    Breakage::KonnectorWithoutProvider,
];

#[expect(clippy::disallowed_methods, reason = "a test has no flags")]
fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test]
async fn both_sides_agree_after_a_minute_of_chaos() {
    let seed = from_environment("PORTOLAN_CHAOS_SEED").unwrap_or_else(|| rand::rng().random());
    let run = from_environment("PORTOLAN_CHAOS_SECONDS").map_or(LEAST, Duration::from_secs).max(LEAST);
    println!("to repeat: PORTOLAN_CHAOS_SEED={seed} PORTOLAN_CHAOS_SECONDS={}", run.as_secs());
    let clusters = Clusters::start("chaos").await;
    let service = Service::bind(&clusters, "chaos").await;
    for namespace in &NAMESPACES[1..] {
        create_namespace(&service.consumer, namespace).await;
    }
    let foreign = foreign(&service).await;

    let done = Cell::new(false);
    let mut breaker = Breaker::new(clusters, seed);
    let (on_consumer, on_provider, ()) = tokio::join!(
        change_consumer(&service, StdRng::seed_from_u64(seed ^ 1), &done),
        change_provider(&service, StdRng::seed_from_u64(seed ^ 2), &done),
        breaker.run(run, &done),
    );
    println!("changes that were taken: {on_consumer} on the consumer, {on_provider} on the provider");
    println!("broken, in this order: {:?}", breaker.broken);
    assert!(on_consumer > 100 && on_provider > 20, "too little has happened to say anything");

    eventually("both sides agree, object by object", SETTLE, async || disagreement(&service).await)
        .await
        .unwrap();
    assert_eq!(self::foreign_now(&service).await, foreign, "what is somebody else's changed");
    assert!(breaker.konnector.exited().is_none(), "{}", breaker.konnector.log_tail(20));
}

/// Puts objects of somebody else on the provider, one of them under the name of a consumer's object.
async fn foreign(service: &Service) -> BTreeMap<String, Value> {
    service.create("first", &json!({"intent": "ride"})).await;
    service.arrives("first").await;
    for name in [FOREIGN, "theirs"] {
        let object = cowboy(&service.resource, name, &json!({"intent": "theirs"}));
        service.there().create(&PostParams::default(), &object).await.unwrap();
    }
    service.create(FOREIGN, &json!({"intent": "ours"})).await;
    let elsewhere: Api<DynamicObject> =
        Api::namespaced_with(service.provider.clone(), "default", &service.resource);
    let object = cowboy(&service.resource, "c00", &json!({"intent": "theirs"}));
    elsewhere.create(&PostParams::default(), &object).await.unwrap();
    foreign_now(service).await
}

/// Everything on the provider that has no mark, as it is, versions included.
async fn foreign_now(service: &Service) -> BTreeMap<String, Value> {
    let all: Api<DynamicObject> = Api::all_with(service.provider.clone(), &service.resource);
    let all = all.list(&ListParams::default()).await.unwrap().items;
    let foreign = all.into_iter().filter(|object| !is_marked(object));
    foreign.map(|object| (place(&object), json!(object))).collect()
}

fn is_marked(object: &DynamicObject) -> bool {
    object.annotations().contains_key("kube-bind.io/consumer-uid")
}

fn place(object: &DynamicObject) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

/// Creates, changes and deletes until told to stop. Gives how many changes were taken.
async fn change_consumer(service: &Service, mut rng: StdRng, done: &Cell<bool>) -> usize {
    let mut taken = 0;
    while !done.get() {
        let namespace = NAMESPACES[rng.random_range(0..NAMESPACES.len())];
        let name = format!("c{:02}", rng.random_range(0..NAMES));
        let api: Api<DynamicObject> =
            Api::namespaced_with(service.consumer.clone(), namespace, &service.resource);
        let intent = format!("ride {}", rng.random::<u32>());
        let label = json!({"metadata": {"labels": {"round": rng.random_range(0..9).to_string()}}});
        let change = match rng.random_range(0..10) {
            0..4 => {
                let object = cowboy(&service.resource, &name, &json!({"intent": intent}));
                tries(api.create(&PostParams::default(), &object)).await
            }
            4..7 => {
                tries(api.patch(
                    &name,
                    &PatchParams::default(),
                    &Patch::Merge(json!({"spec": {"intent": intent}})),
                ))
                .await
            }
            7 => tries(api.patch(&name, &PatchParams::default(), &Patch::Merge(label))).await,
            _ => tries(api.delete(&name, &DeleteParams::default())).await,
        };
        taken += usize::from(change);
        sleep(Duration::from_millis(rng.random_range(5..40))).await;
    }
    taken
}

/// Writes statuses, interferes with copies and deletes some.
async fn change_provider(service: &Service, mut rng: StdRng, done: &Cell<bool>) -> usize {
    let all: Api<DynamicObject> = Api::all_with(service.provider.clone(), &service.resource);
    let mut taken = 0;
    while !done.get() {
        sleep(Duration::from_millis(rng.random_range(10..80))).await;
        let Ok(Ok(list)) = timeout(Duration::from_secs(2), all.list(&ListParams::default())).await else {
            continue;
        };
        let copies: Vec<_> = list.items.into_iter().filter(is_marked).collect();
        if copies.is_empty() {
            continue;
        }
        let copy = &copies[rng.random_range(0..copies.len())];
        let (namespace, name) = (copy.namespace().unwrap_or_default(), copy.name_any());
        let api: Api<DynamicObject> =
            Api::namespaced_with(service.provider.clone(), &namespace, &service.resource);
        let text = format!("seen {}", rng.random::<u32>());
        let params = PatchParams::default();
        let change = match rng.random_range(0..10) {
            0..7 => {
                tries(api.patch_status(&name, &params, &Patch::Merge(json!({"status": {"result": text}}))))
                    .await
            }
            7..9 => tries(api.patch(&name, &params, &Patch::Merge(json!({"spec": {"intent": text}})))).await,
            _ => tries(api.delete(&name, &DeleteParams::default())).await,
        };
        taken += usize::from(change);
    }
    taken
}

/// Returns `true` if a request was taken. A part that is broken just now, or absent, does not count.
async fn tries<T>(request: impl Future<Output = kube::Result<T>>) -> bool {
    matches!(timeout(Duration::from_secs(3), request).await, Ok(Ok(_)))
}

/// Breaks things and repairs them, one after the other.
struct Breaker {
    consumer: ControlPlane,
    provider: ControlPlane,
    konnector: ServiceProcess,
    provider_service: ServiceProcess,
    account: String,
    rng: StdRng,
    broken: Vec<Breakage>,
}

impl Breaker {
    fn new(clusters: Clusters, seed: u64) -> Self {
        let Clusters { consumer, provider, konnector, provider_service, konnector_kubeconfig, .. } = clusters;
        let rng = StdRng::seed_from_u64(seed);
        let account = konnector_kubeconfig;
        Self { consumer, provider, konnector, provider_service, account, rng, broken: Vec::new() }
    }

    /// Breaks everything once at least, and goes on until the time is over.
    async fn run(&mut self, run: Duration, done: &Cell<bool>) {
        let end = Instant::now() + run;
        while self.broken.len() < ALL.len() || Instant::now() < end {
            let mut order = ALL;
            order.shuffle(&mut self.rng);
            for breakage in order {
                let quiet = self.pause(1000..3000);
                sleep(quiet).await;
                self.broken.push(breakage);
                self.breaks(breakage).await;
                self.revive().await;
            }
        }
        // After an outage, a konnector lives until its lease has run out.
        sleep(LEASE).await;
        self.revive().await;
        done.set(true);
    }

    fn pause(&mut self, millis: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(millis))
    }

    async fn breaks(&mut self, breakage: Breakage) {
        let long = self.pause(500..5000);
        match breakage {
            Breakage::Konnector => self.konnector.kill(),
            Breakage::ProviderApi => api_away(&self.provider, long).await,
            Breakage::ConsumerApi => api_away(&self.consumer, long).await,
            Breakage::ProviderEtcd => etcd_away(&self.provider, long).await,
            Breakage::ConsumerEtcd => etcd_away(&self.consumer, long).await,
            Breakage::KonnectorWithoutProvider => {
                self.konnector.kill();
                self.provider.stop_apiserver();
                self.revive_konnector().await;
                sleep(long).await;
                self.provider.start_apiserver().await.unwrap();
            }
        }
    }

    /// Restarts processes that have ended, as a kubelet does.
    async fn revive(&mut self) {
        self.revive_konnector().await;
        if self.provider_service.exited().is_some() {
            self.provider_service = provider_service(&self.provider).await;
        }
    }

    async fn revive_konnector(&mut self) {
        if self.konnector.exited().is_some() {
            self.konnector = konnector(&self.account).await.0;
        }
    }
}

async fn api_away(plane: &ControlPlane, long: Duration) {
    plane.stop_apiserver();
    sleep(long).await;
    plane.start_apiserver().await.unwrap();
}

async fn etcd_away(plane: &ControlPlane, long: Duration) {
    plane.stop_etcd();
    sleep(long).await;
    plane.start_etcd().await.unwrap();
}

/// `Some` when both sides agree; the first difference as an error otherwise.
async fn disagreement(service: &Service) -> anyhow::Result<Option<()>> {
    let here: Api<DynamicObject> = Api::all_with(service.consumer.clone(), &service.resource);
    let there: Api<DynamicObject> = Api::all_with(service.provider.clone(), &service.resource);
    let origins = here.list(&ListParams::default()).await?.items;
    let copies = there.list(&ListParams::default()).await?.items.into_iter().filter(is_marked);
    let mut copies: BTreeMap<_, _> =
        copies.map(|copy| (copy.annotations()["kube-bind.io/consumer-uid"].clone(), copy)).collect();
    for origin in origins.iter().filter(|origin| origin.name_any() != FOREIGN) {
        let copy = copies.remove(&origin.uid().unwrap_or_default());
        let copy = copy.ok_or_else(|| anyhow::anyhow!("{} has no copy", place(origin)))?;
        anyhow::ensure!(origin.metadata.deletion_timestamp.is_none(), "{} is still going", place(origin));
        anyhow::ensure!(copy.name_any() == origin.name_any(), "{} has another's copy", place(origin));
        anyhow::ensure!(
            copy.data["spec"] == origin.data["spec"] && copy.data["status"] == origin.data["status"],
            "{}: {} and {}",
            place(origin),
            origin.data,
            copy.data
        );
        anyhow::ensure!(copy.labels() == origin.labels(), "{}: labels differ", place(origin));
        let named = origin.annotations().get("kube-bind.io/provider-uid");
        anyhow::ensure!(named == copy.uid().as_ref(), "{} names another copy", place(origin));
    }
    match copies.values().next() {
        Some(copy) => Err(anyhow::anyhow!("{} is a copy of nothing", place(copy))),
        None => Ok(Some(())),
    }
}
