//! Identity of a contract: whose it is, and whether a kubeconfig still leads to the one that was bound.

use std::time::Duration;

use k8s_openapi::api::{
    core::v1::Namespace,
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use portolan_core::{
    api::kubebind::{
        APIServiceBinding, APIServiceBindingBundle, APIServiceExport, APIServiceNamespace, ClusterBinding,
    },
    condition,
};
use portolan_testkit::{
    control_plane::ControlPlane,
    eventually::{eventually, watch_until, watch_until_gone},
    service::Rbac,
};
use serde_json::json;

use crate::support::{
    Clusters, RELEASE, SOON, Service, binding_condition, bundle_condition, command, copies, cowboy,
    create_bundle, create_namespace, grant_group, konnector, konnector_account, konnector_setup,
    kubeconfig_for, merge, plane, write_secret,
};

/// Longer than the four polls of two seconds after which a provider used to be taken for right.
const LONGER_THAN_FOUR_POLLS: Duration = Duration::from_secs(10);

async fn uid(client: &Client, namespace: &str) -> String {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.get(namespace).await.unwrap().uid().unwrap()
}

async fn annotate(client: &Client, bundle: &str, key: &str, value: &str) {
    let bundles: Api<APIServiceBindingBundle> = Api::all(client.clone());
    let change = json!({"metadata": {"annotations": {key: value}}});
    bundles.patch(bundle, &PatchParams::default(), &Patch::Merge(&change)).await.unwrap();
}

/// The cluster that a contract belongs to.
async fn holder(provider: &Client, contract: &str) -> Option<String> {
    let contracts: Api<ClusterBinding> = Api::namespaced(provider.clone(), contract);
    let status = contracts.get("cluster").await.unwrap().status.unwrap_or_default();
    condition::find(&status.conditions, "ConsumerCluster").map(|said| said.reason.clone())
}

/// Another consumer that has got the same kubeconfig.
async fn second_consumer(service: &Service, name: &str) -> ControlPlane {
    let second = plane(name).await;
    grant_group(&second.client(), &service.resource.group).await;
    create_namespace(&second.client(), &service.name).await;
    write_secret(&second.client(), &service.name, "kubeconfig", &service.kubeconfig).await;
    second
}

/// A second look through the eyes of another consumer.
fn seen_from(service: &Service, consumer: &ControlPlane) -> Service {
    Service {
        name: service.name.clone(),
        resource: service.resource.clone(),
        kubeconfig: service.kubeconfig.clone(),
        consumer: consumer.client(),
        provider: service.provider.clone(),
    }
}

#[tokio::test]
async fn a_contract_belongs_to_one_consumer_cluster_until_it_is_taken_over() {
    let mut clusters = Clusters::start("claimed").await;
    let service = Service::bind(&clusters, "claimed").await;
    let (first, contract) = (uid(&service.consumer, "kube-system").await, service.contract_namespace());
    service.create("billy", &json!({"intent": "ride"})).await;
    let copy = service.arrives("billy").await;
    assert_eq!(holder(&service.provider, &contract).await.as_ref(), Some(&first));

    // A konnector that may not know which cluster it works for says so, and does nothing.
    let second = second_consumer(&service, "claimed-second").await;
    let mut rules = Rbac::load("konnector").unwrap();
    rules.cluster_rules.retain(|rule| rule.resource_names != ["kube-system"]);
    let account = konnector_setup().create_with(&second, &rules).await.unwrap();
    let (mut other, _) = konnector(&account).await;
    let elsewhere = seen_from(&service, &second);
    create_bundle(&elsewhere.consumer, "claimed", "claimed").await;
    let unknown = ("False", "ConsumerClusterUnknown");
    bundle_condition(&elsewhere.consumer, "claimed", "Synced", unknown).await;
    allow_kube_system(&elsewhere.consumer).await;

    let in_use = bundle_condition(&elsewhere.consumer, "claimed", "Synced", ("False", "ContractInUse")).await;
    assert!(in_use.message.contains(&first) && in_use.message.contains("since 20"), "{}", in_use.message);
    bundle_condition(&elsewhere.consumer, "claimed", "Ready", ("False", "ContractInUse")).await;
    let bindings: Api<APIServiceBinding> = Api::all(elsewhere.consumer.clone());
    assert_eq!(bindings.list(&ListParams::default()).await.unwrap().items.len(), 0);
    let by_hand: APIServiceBinding = serde_json::from_value(json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBinding",
        "metadata": {"name": service.export()},
        "spec": {"kubeconfigSecretRef": {"name": "claimed", "namespace": "default", "key": "kubeconfig"}},
    }))
    .unwrap();
    bindings.create(&PostParams::default(), &by_hand).await.unwrap();
    binding_condition(&elsewhere.consumer, &service.export(), "Connected", ("False", "ContractInUse")).await;
    bindings.delete(&service.export(), &DeleteParams::default()).await.unwrap();
    watch_until_gone(bindings.clone(), &service.export(), SOON).await.unwrap();
    assert_eq!(holder(&service.provider, &contract).await.as_ref(), Some(&first), "nothing was given back");

    // Taken over, by the words of the message.
    annotate(&elsewhere.consumer, "claimed", "kube-bind.io/take-over", &first).await;
    bundle_condition(&elsewhere.consumer, "claimed", "Ready", ("True", "")).await;
    binding_condition(&elsewhere.consumer, &service.export(), "Ready", ("True", "")).await;
    elsewhere.create("clara", &json!({"intent": "fly"})).await;
    elsewhere.arrives("clara").await;
    let bundles: Api<APIServiceBindingBundle> = Api::all(elsewhere.consumer.clone());
    let is_used =
        |bundle: &APIServiceBindingBundle| !bundle.annotations().contains_key("kube-bind.io/take-over");
    watch_until(bundles, "claimed", is_used, SOON).await.unwrap();

    // The former one stops, and stays stopped when both are started again.
    bundle_condition(&service.consumer, "claimed", "Ready", ("False", "ContractInUse")).await;
    binding_condition(&service.consumer, &service.export(), "Connected", ("False", "ContractInUse")).await;
    clusters.konnector.kill();
    other.kill();
    (clusters.konnector, _) = konnector(&clusters.konnector_kubeconfig).await;
    (other, _) = konnector(&account).await;
    merge(&service.here(), "billy", json!({"spec": {"intent": "rest"}})).await;
    service.here().delete("billy", &DeleteParams::default()).await.unwrap();
    tokio::time::sleep(LONGER_THAN_FOUR_POLLS).await;
    bundle_condition(&service.consumer, "claimed", "Ready", ("False", "ContractInUse")).await;
    bundle_condition(&elsewhere.consumer, "claimed", "Ready", ("True", "")).await;
    let now = service.there().get("billy").await.unwrap();
    assert_eq!((now.uid(), &now.data["spec"]), (copy.uid(), &copy.data["spec"]), "{}", other.log_tail(20));

    the_former_cluster_unbinds_and_the_other_gives_the_contract_back(&service, &elsewhere).await;
}

async fn the_former_cluster_unbinds_and_the_other_gives_the_contract_back(
    service: &Service,
    elsewhere: &Service,
) {
    let contract = service.contract_namespace();
    // What is on the provider is not its own any more.
    let bundles: Api<APIServiceBindingBundle> = Api::all(service.consumer.clone());
    bundles.delete("claimed", &DeleteParams::default()).await.unwrap();
    watch_until_gone(bundles, "claimed", SOON).await.unwrap();
    assert!(service.there().get_opt("billy").await.unwrap().is_some());
    assert_eq!(
        holder(&service.provider, &contract).await,
        Some(uid(&elsewhere.consumer, "kube-system").await)
    );

    // Who unbinds gives the contract back.
    let bundles: Api<APIServiceBindingBundle> = Api::all(elsewhere.consumer.clone());
    bundles.delete("claimed", &DeleteParams::default()).await.unwrap();
    watch_until_gone(bundles, "claimed", SOON).await.unwrap();
    eventually("the contract belongs to nobody", SOON, async || {
        holder(&service.provider, &contract).await.is_none().then_some(())
    })
    .await
    .unwrap();
}

/// The rule of the chart that was left out.
async fn allow_kube_system(consumer: &Client) {
    let role: ClusterRole = serde_json::from_value(json!({
        "metadata": {"name": "kube-system"},
        "rules": [{"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]}],
    }))
    .unwrap();
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "kube-system"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "kube-system"},
        "subjects": [{"kind": "ServiceAccount", "name": "konnector", "namespace": RELEASE}],
    }))
    .unwrap();
    Api::all(consumer.clone()).create(&PostParams::default(), &role).await.unwrap();
    Api::all(consumer.clone()).create(&PostParams::default(), &binding).await.unwrap();
}

#[tokio::test]
async fn of_two_clusters_that_begin_at_once_one_gets_the_contract() {
    let clusters = Clusters::start("at-once").await;
    let service = Service::offer(&clusters, "at-once").await;
    let second = second_consumer(&service, "at-once-second").await;
    let (_other, _) = konnector(&konnector_account(&second).await).await;
    write_secret(&service.consumer, "at-once", "kubeconfig", &service.kubeconfig).await;
    let there = second.client();
    tokio::join!(
        create_bundle(&service.consumer, "at-once", "at-once"),
        create_bundle(&there, "at-once", "at-once"),
    );
    let said = async |client: &Client| {
        let bundles: Api<APIServiceBindingBundle> = Api::all(client.clone());
        let status = bundles.get("at-once").await.unwrap().status.unwrap_or_default();
        condition::find(&status.conditions, "Synced")
            .map_or_else(|| "nothing".to_owned(), |c| c.reason.clone())
    };
    eventually("one of them has it, and the other knows", SOON, async || {
        let both = [said(&service.consumer).await, said(&there).await];
        match both.each_ref().map(String::as_str) {
            ["", "ContractInUse"] | ["ContractInUse", ""] => Ok(Some(())),
            _ => Err(anyhow::anyhow!("{both:?}")),
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn with_the_kubeconfig_of_another_contract_nothing_is_written_until_people_name_it() {
    let mut clusters = Clusters::start("mistaken").await;
    let service = Service::bind(&clusters, "mistaken").await;
    let consumer = &service.consumer;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let other = kubeconfig_for(&clusters, "mistaken-other", "test=mistaken").await;
    let exports: Api<APIServiceExport> =
        Api::namespaced(service.provider.clone(), "kube-bind-mistaken-other");
    watch_until(exports, &service.export(), |_| true, SOON).await.unwrap();

    write_secret(consumer, "mistaken", "kubeconfig", &other).await;
    let another = ("False", "AnotherContract");
    bundle_condition(consumer, "mistaken", "Ready", another).await;
    binding_condition(consumer, &service.export(), "Connected", another).await;
    service.create("clara", &json!({"intent": "wait"})).await;
    // A restart while the Secret is wrong changes nothing.
    clusters.konnector.kill();
    (clusters.konnector, _) = konnector(&clusters.konnector_kubeconfig).await;
    tokio::time::sleep(LONGER_THAN_FOUR_POLLS).await;
    let said = bundle_condition(consumer, "mistaken", "Ready", another).await;
    assert_eq!(copies(&service).await, 1, "nothing is copied anew");
    let requests: Api<APIServiceNamespace> =
        Api::namespaced(service.provider.clone(), "kube-bind-mistaken-other");
    assert_eq!(requests.list(&ListParams::default()).await.unwrap().items.len(), 0);
    let contracts: Api<ClusterBinding> =
        Api::namespaced(service.provider.clone(), "kube-bind-mistaken-other");
    let status = contracts.get("cluster").await.unwrap().status.unwrap_or_default();
    assert_eq!(
        (status.last_heartbeat_time, holder(&service.provider, "kube-bind-mistaken-other").await),
        (None, None)
    );

    // With the right one everything goes on, and with another account of the same contract as well.
    let again = kubeconfig_for(&clusters, "mistaken", "test=mistaken").await;
    write_secret(consumer, "mistaken", "kubeconfig", &again).await;
    bundle_condition(consumer, "mistaken", "Ready", ("True", "")).await;
    service.arrives("clara").await;

    // What stands on the former side is shown, and stays.
    write_secret(consumer, "mistaken", "kubeconfig", &other).await;
    bundle_condition(consumer, "mistaken", "Ready", another).await;
    let new = uid(&service.provider, "kube-bind-mistaken-other").await;
    assert!(said.message.contains(&format!("kube-bind.io/accept-contract={new}")), "{}", said.message);
    annotate(consumer, "mistaken", "kube-bind.io/accept-contract", &new).await;
    bundle_condition(consumer, "mistaken", "Ready", ("True", "")).await;
    eventually("both objects have copies under both contracts", SOON, async || {
        match copies(&service).await {
            4 => Ok(Some(())),
            other => Err(anyhow::anyhow!("{other}")),
        }
    })
    .await
    .unwrap();

    what_stands_on_the_former_side_goes_by_an_explicit_word(&clusters, &service, &again).await;

    // The word was about this contract, and not about any.
    write_secret(consumer, "mistaken", "kubeconfig", &again).await;
    bundle_condition(consumer, "mistaken", "Ready", another).await;
}

async fn what_stands_on_the_former_side_goes_by_an_explicit_word(
    clusters: &Clusters,
    service: &Service,
    former: &str,
) {
    let (person, file) = (clusters.consumer.kubeconfig(), clusters.consumer.dir().join("former.kubeconfig"));
    std::fs::write(&file, former).unwrap();
    let file = file.to_str().unwrap();
    let old = uid(&service.provider, &service.contract_namespace()).await;
    let shown = command(&person, &["plan", "former", &service.name, "--provider-kubeconfig", file]).await;
    assert!(shown.stdout.contains("2 copies of objects of this cluster"), "{}{}", shown.stdout, shown.stderr);
    assert!(shown.stdout.contains(&format!("--contract {old}")), "{}", shown.stdout);
    assert_eq!(copies(service).await, 4, "showing deletes nothing");
    let delete = async |contract: &str| {
        let arguments =
            ["delete-former", &service.name, "--provider-kubeconfig", file, "--contract", contract];
        command(&person, &arguments).await
    };
    let mistaken = delete("another").await;
    assert!(!mistaken.status.success() && mistaken.stderr.contains(&old), "{}", mistaken.stderr);
    assert_eq!(copies(service).await, 4);
    // As many controllers do, one copies what it has found on the parent to what it makes.
    let mut child = cowboy(&service.resource, "child", &json!({"intent": "theirs"}));
    child.metadata.annotations = service.there().get("billy").await.unwrap().metadata.annotations;
    service.there().create(&PostParams::default(), &child).await.unwrap();
    let deleted = delete(&old).await;
    assert!(deleted.status.success(), "{}{}", deleted.stdout, deleted.stderr);
    assert_eq!(holder(&service.provider, &service.contract_namespace()).await, None, "{}", deleted.stdout);
    eventually("the copies of the new contract are left, and the child", SOON, async || {
        match copies(service).await {
            3 => Ok(Some(())),
            other => Err(anyhow::anyhow!("{other}")),
        }
    })
    .await
    .unwrap();
}
