//! Claims of a provider beside its kinds: nothing without consent, and no more than was chosen.

mod flag;
mod owners;
mod providers;

use std::fmt::Debug;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{ConfigMap, Secret, ServiceAccount},
        events::v1::Event,
        rbac::v1::{ClusterRole, Role},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use portolan_core::api::kubebind::{APIServiceBinding, APIServiceBindingBundle};
use portolan_testkit::{
    audit::{AuditEntry, Mark},
    control_plane::ControlPlane,
    eventually::{eventually, watch_until, watch_until_gone},
    workload,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::support::{
    Clusters, SOON, Service, binding_condition, create_bundle, create_namespace, grant_group, kind_of,
    konnector, kubeconfig_of, merge, no_crd, object_gone, write_secret,
};

const KONNECTOR: &str = "system:serviceaccount:kube-bind:konnector";
const OWNER: &str = "kube-bind.io/owner";

/// Clusters whose konnector has the rights that claims need.
async fn clusters() -> &'static Clusters {
    static SHARED: OnceCell<Clusters> = OnceCell::const_new();
    let start = || async {
        let clusters = Box::pin(Clusters::start("claims")).await;
        grant(&clusters.consumer.client()).await;
        clusters
    };
    SHARED.get_or_init(start).await.kept()
}

async fn grant(consumer: &Client) {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {
            "name": "kube-bind-claims", "labels": {"rbac.kube-bind.io/aggregate-to-konnector": "true"},
        },
        "rules": [{
            "apiGroups": [""], "resources": ["configmaps", "secrets", "serviceaccounts"],
            "verbs": ["get", "list", "watch", "create", "patch", "delete"],
        }],
    });
    apply_role(consumer, &role).await;
}

async fn apply_role(consumer: &Client, role: &Value) {
    let api: Api<ClusterRole> = Api::all(consumer.clone());
    api.create(&PostParams::default(), &serde_json::from_value(role.clone()).unwrap()).await.unwrap();
}

/// A service whose provider makes these claims, with a bundle that nobody has annotated.
async fn offer(clusters: &Clusters, name: &str, claims: &Value) -> Service {
    offer_of(&clusters.provider, &clusters.consumer, name, claims).await
}

/// The same, of a provider of its own.
async fn offer_of(provider: &ControlPlane, consumer: &ControlPlane, name: &str, claims: &Value) -> Service {
    let (consumer, (mut crd, resource)) = (consumer.client(), kind_of(name));
    crd.annotations_mut().insert("kube-bind.io/permission-claims".to_owned(), claims.to_string());
    workload::install(&provider.client(), &crd).await.unwrap();
    grant_group(&consumer, &resource.group).await;
    create_namespace(&consumer, name).await;
    let kubeconfig = kubeconfig_of(provider, name, &format!("test={name}")).await;
    let provider = provider.client();
    write_secret(&consumer, name, "kubeconfig", &kubeconfig).await;
    create_bundle(&consumer, name, name).await;
    Service { name: name.to_owned(), resource, kubeconfig, consumer, provider }
}

async fn accept(service: &Service, what: Option<&str>) {
    let bundles: Api<APIServiceBindingBundle> = Api::all(service.consumer.clone());
    let change = json!({"metadata": {"annotations": {"kube-bind.io/accept-claims": what}}});
    bundles.patch(&service.name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
}

/// The same, agreed to, until it is ready.
async fn bind(clusters: &Clusters, name: &str, claims: &Value) -> Service {
    let service = offer(clusters, name, claims).await;
    agree(&service).await;
    service
}

async fn agree(service: &Service) {
    accept(service, Some("all")).await;
    claims_are(service, ("True", "")).await;
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
}

async fn claims_are(service: &Service, expected: (&str, &str)) -> String {
    binding_condition(&service.consumer, &service.export(), "PermissionClaims", expected).await.message
}

fn by_label(resource: &str, name: &str) -> Value {
    json!([{"resource": resource, "selector": {"labelSelector": {"matchLabels": {"claimed": name}}}}])
}

fn here<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(service: &Service) -> Api<K> {
    Api::namespaced(service.consumer.clone(), &service.name)
}

fn there<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(service: &Service) -> Api<K> {
    let namespace = format!("{}-{}", service.contract_namespace(), service.name);
    Api::namespaced(service.provider.clone(), &namespace)
}

async fn make<K>(api: &Api<K>, object: Value) -> K
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + serde::Serialize,
{
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap()
}

fn labels(claimed: Option<&str>) -> Value {
    claimed.map_or_else(|| json!({}), |claimed| json!({"claimed": claimed}))
}

fn secret(name: &str, claimed: Option<&str>, password: &str) -> Value {
    json!({"metadata": {"name": name, "labels": labels(claimed)}, "stringData": {"password": password}})
}

fn map(name: &str, claimed: Option<&str>, value: &str) -> Value {
    json!({"metadata": {"name": name, "labels": labels(claimed)}, "data": {"key": value}})
}

fn password(secret: &Secret) -> Option<&[u8]> {
    Some(&secret.data.as_ref()?.get("password")?.0)
}

fn owner<K: Resource>(object: &K) -> Option<&str> {
    object.labels().get(OWNER).map(String::as_str)
}

async fn change<K>(api: &Api<K>, name: &str, change: Value) -> K
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    api.patch(name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap()
}

/// Waits until an Event with this reason is about an object.
async fn event(service: &Service, name: &str, reason: &str) -> String {
    let events: Api<Event> = here(service);
    eventually(&format!("{name} has an Event {reason}"), SOON, async || {
        let all = events.list(&ListParams::default()).await?.items;
        let about =
            |event: &&Event| event.regarding.as_ref().is_some_and(|on| on.name.as_deref() == Some(name));
        let found = all.iter().filter(about).find(|event| event.reason.as_deref() == Some(reason));
        Ok::<_, anyhow::Error>(found.and_then(|event| event.note.clone()))
    })
    .await
    .unwrap()
}

fn asked_for(clusters: &Clusters, resource: &str) -> Vec<AuditEntry> {
    let entries = clusters.consumer.audit().entries_since(Mark::default()).unwrap();
    let is = |entry: &AuditEntry| {
        entry.user.username == KONNECTOR
            && entry.object_ref.as_ref().is_some_and(|object| object.resource == resource)
    };
    entries.into_iter().filter(is).collect()
}

#[tokio::test]
async fn nothing_is_read_without_consent_and_what_was_copied_goes_when_it_is_withdrawn() {
    let clusters = Clusters::start("consent").await;
    let service = offer(&clusters, "consent", &by_label("secrets", "yes")).await;
    let message = claims_are(&service, ("False", "ClaimNotAccepted")).await;
    let command =
        "kubectl annotate --overwrite apiservicebindingbundle/consent kube-bind.io/accept-claims=secrets";
    assert!(message.contains(command), "{message}");
    binding_condition(&service.consumer, &service.export(), "Ready", ("False", "ClaimNotAccepted")).await;
    make::<Secret>(&here(&service), secret("mine", Some("yes"), "hunter2")).await;
    // Bound objects go on syncing.
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let kubeconfig_only = |entry: &AuditEntry| entry.request_uri.contains("metadata.name%3Dconsent");
    let secrets = asked_for(&clusters, "secrets");
    assert!(!secrets.is_empty() && secrets.iter().all(kubeconfig_only), "{secrets:?}");

    accept(&service, Some("secrets")).await;
    let message = claims_are(&service, ("False", "PermissionDenied")).await;
    let role: Value = serde_json::from_str(message.split_once("Apply: ").unwrap().1).unwrap();
    apply_role(&service.consumer, &role).await;
    claims_are(&service, ("True", "")).await;
    let copy = watch_until(there::<Secret>(&service), "mine", |_| true, SOON).await.unwrap();
    assert_eq!(password(&copy), Some(b"hunter2".as_slice()));
    let labelled = |entry: &AuditEntry| {
        entry.verb != "list" || entry.request_uri.contains("labelSelector=claimed%3Dyes")
    };
    let lists: Vec<_> = asked_for(&clusters, "secrets").into_iter().filter(|e| !kubeconfig_only(e)).collect();
    assert!(
        !lists.is_empty() && lists.iter().all(labelled),
        "no more is listed than the claim needs: {lists:?}"
    );

    accept(&service, None).await;
    watch_until_gone(there::<Secret>(&service), "mine", SOON).await.unwrap();
    claims_are(&service, ("False", "ClaimNotAccepted")).await;
    let original = here::<Secret>(&service).get("mine").await.unwrap();
    assert_eq!((owner(&original), password(&original)), (None, Some(b"hunter2".as_slice())));
    let log = clusters.konnector.log_tail(10_000);
    assert!(!log.contains("hunter2") && !log.contains("aHVudGVyMg"), "a password in the log");
}

#[tokio::test]
async fn a_consumers_secret_is_followed_for_as_long_as_the_label_chooses_it() {
    let service = bind(clusters().await, "labelled", &by_label("secrets", "labelled")).await;
    let (here, there) = (here::<Secret>(&service), there::<Secret>(&service));
    make(&here, secret("mine", Some("labelled"), "one")).await;
    make(&here, secret("other", None, "secret")).await;
    let copy = watch_until(there.clone(), "mine", |_| true, SOON).await.unwrap();
    let original = watch_until(here.clone(), "mine", |s| owner(s) == Some("consumer"), SOON).await.unwrap();
    assert_eq!((password(&copy), owner(&copy)), (Some(b"one".as_slice()), Some("consumer")));
    assert_eq!(copy.annotations()["kube-bind.io/cluster-namespace"], "kube-bind-labelled");
    assert_eq!(copy.annotations()["kube-bind.io/consumer-uid"], original.uid().unwrap());
    assert!(original.annotations().is_empty() && original.finalizers().is_empty(), "only a label");
    let roles: Api<Role> = self::there(&service);
    let role = json!(roles.get("kube-binder-exports").await.unwrap());
    assert_eq!(role["rules"][0]["resources"], json!(["secrets"]), "{role}");

    change(&here, "mine", json!({"stringData": {"password": "two", "more": "m"}})).await;
    watch_until(there.clone(), "mine", |s| s.data.as_ref().is_some_and(|data| data.len() == 2), SOON)
        .await
        .unwrap();
    change(&here, "mine", json!({"data": {"more": null}})).await;
    let less =
        |s: &Secret| s.data.as_ref().is_some_and(|data| data.len() == 1) && password(s) == Some(b"two");
    watch_until(there.clone(), "mine", less, SOON).await.unwrap();
    change(&there, "mine", json!({"stringData": {"password": "stolen"}})).await;
    watch_until(there.clone(), "mine", less, SOON).await.unwrap();

    change(&here, "mine", json!({"metadata": {"labels": {"claimed": null}}})).await;
    watch_until_gone(there.clone(), "mine", SOON).await.unwrap();
    watch_until(here.clone(), "mine", |s| owner(s).is_none(), SOON).await.unwrap();
    change(&here, "mine", json!({"metadata": {"labels": {"claimed": "labelled"}}})).await;
    watch_until(there.clone(), "mine", |_| true, SOON).await.unwrap();
    // Recreated with what cannot be changed in place.
    here.delete("mine", &DeleteParams::default()).await.unwrap();
    let mut anew = secret("mine", Some("labelled"), "three");
    anew["type"] = "example.com/other".into();
    make(&here, anew).await;
    let is_anew =
        |s: &Secret| s.type_.as_deref() == Some("example.com/other") && password(s) == Some(b"three");
    watch_until(there.clone(), "mine", is_anew, SOON).await.unwrap();
    here.delete("mine", &DeleteParams::default()).await.unwrap();
    watch_until_gone(there.clone(), "mine", SOON).await.unwrap();
    assert!(there.get_opt("other").await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_not_ours_stays_as_it_is_on_both_sides() {
    let service = bind(clusters().await, "foreign", &by_label("configmaps", "foreign")).await;
    let (here, there) = (here::<ConfigMap>(&service), there::<ConfigMap>(&service));
    make(&here, map("first", Some("foreign"), "v")).await;
    watch_until(there.clone(), "first", |_| true, SOON).await.unwrap();
    let theirs = make(&there, map("both", None, "theirs")).await;
    let ours = make(&here, map("both", Some("foreign"), "ours")).await;
    let note = event(&service, "both", "OwnerUnknown").await;
    assert!(note.contains("kube-bind.io/owner=consumer"), "{note}");
    let said = change(&here, "both", json!({"metadata": {"labels": {OWNER: "consumer"}}})).await;
    event(&service, "both", "ForeignObject").await;
    assert_eq!(json!(there.get("both").await.unwrap()), json!(theirs));
    assert_eq!(json!(here.get("both").await.unwrap()), json!(said));
    assert_eq!(said.uid(), ours.uid());
    there.delete("both", &DeleteParams::default()).await.unwrap();
    let copied = |m: &ConfigMap| m.data.as_ref().is_some_and(|data| data["key"] == "ours");
    watch_until(there.clone(), "both", copied, SOON).await.unwrap();
    here.delete("both", &DeleteParams::default()).await.unwrap();
    watch_until_gone(there, "both", SOON).await.unwrap();
}

#[tokio::test]
async fn named_objects_are_claimed_and_no_others_are_even_listed() {
    let names = json!([{"name": "one", "namespace": "named"}, {"name": "anywhere"}]);
    let claims = json!([{"resource": "serviceaccounts", "selector": {"namedResources": names}}]);
    let service = bind(clusters().await, "named", &claims).await;
    let (here, there) = (here::<ServiceAccount>(&service), there::<ServiceAccount>(&service));
    for name in ["other", "one", "anywhere"] {
        let account = json!({"metadata": {"name": name}, "imagePullSecrets": [{"name": "local"}]});
        make(&here, account).await;
    }
    for name in ["one", "anywhere"] {
        let copy = watch_until(there.clone(), name, |_| true, SOON).await.unwrap();
        assert!(copy.image_pull_secrets.is_none() && copy.secrets.is_none());
    }
    let lists = asked_for(clusters().await, "serviceaccounts");
    let is_by_name = |e: &AuditEntry| {
        !matches!(e.verb.as_str(), "list" | "watch") || e.request_uri.contains("metadata.name")
    };
    assert!(!lists.is_empty() && lists.iter().all(is_by_name), "{lists:?}");
    here.delete("one", &DeleteParams::default()).await.unwrap();
    watch_until_gone(there.clone(), "one", SOON).await.unwrap();
    let all = there.list(&ListParams::default()).await.unwrap().items;
    assert!(all.iter().all(|account| account.name_any() != "other"));
}

#[tokio::test]
async fn what_bound_objects_refer_to_follows_their_references() {
    let reference = json!({"group": "referred.dev", "resource": "cowboys", "jsonPath": {
        "name": "spec.secretRefs.#.name", "namespace": "spec.secretRefs.#.namespace"}});
    let claims = json!([{"resource": "secrets", "selector": {"references": [reference]}}]);
    let service = bind(clusters().await, "referred", &claims).await;
    let (here, there) = (here::<Secret>(&service), there::<Secret>(&service));
    for name in ["a", "b", "unnamed"] {
        make(&here, secret(name, None, name)).await;
    }
    let refs = |names: &[&str]| {
        let refs: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
        json!({"secretRefs": refs})
    };
    service.create("billy", &refs(&["a"])).await;
    service.create("clara", &refs(&["a", "b"])).await;
    watch_until(there.clone(), "a", |s| password(s) == Some(b"a"), SOON).await.unwrap();
    watch_until(there.clone(), "b", |s| password(s) == Some(b"b"), SOON).await.unwrap();
    let lists = async || {
        let secrets = asked_for(clusters().await, "secrets").into_iter();
        secrets.filter(|e| e.verb == "list" && !e.request_uri.contains("Selector")).count()
    };
    let before = lists().await;
    // The provider may answer with a Secret that it owns, under a name that a bound object says.
    merge(&service.here(), "billy", json!({"spec": refs(&["a", "answer"])})).await;
    make(&there, secret("answer", None, "theirs")).await;
    watch_until(here.clone(), "answer", |s| owner(s) == Some("provider"), SOON).await.unwrap();
    merge(&service.here(), "clara", json!({"spec": refs(&["a"])})).await;
    watch_until_gone(there.clone(), "b", SOON).await.unwrap();
    watch_until(here.clone(), "b", |s| owner(s).is_none(), SOON).await.unwrap();
    service.here().delete("clara", &DeleteParams::default()).await.unwrap();
    object_gone(&service.here(), "clara").await;
    service.here().delete("billy", &DeleteParams::default()).await.unwrap();
    watch_until_gone(there.clone(), "a", SOON).await.unwrap();
    watch_until_gone(here.clone(), "answer", SOON).await.unwrap();
    assert!(there.get_opt("unnamed").await.unwrap().is_none());
    // One per engine's start, and an engine restarts with its provider's session; none per event.
    let listed = lists().await - before;
    assert!(listed <= 2, "{listed} lists");
}
