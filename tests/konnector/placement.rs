//! Places of copies: cluster-scoped kinds in every isolation, and one watch across the provider.

use k8s_openapi::{
    api::{
        admissionregistration::v1::ValidatingAdmissionPolicyBinding,
        rbac::v1::{ClusterRole, Role},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use portolan_core::api::kubebind::{APIServiceBindingBundle, APIServiceExport, CONDITION_TENANCY_SHARED};
use portolan_testkit::{
    eventually::{eventually, watch_until, watch_until_gone},
    kubeconfig, workload,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::support::{
    Clusters, SOON, Service, binding_condition, cowboy, create_bundle, create_namespace, grant_group,
    kind_of, kubeconfig_for, merge, merge_status, object_gone, object_with, write_secret,
};

/// Clusters whose provider lets consumers share kinds.
async fn clusters() -> &'static Clusters {
    static SHARED: OnceCell<Clusters> = OnceCell::const_new();
    SHARED.get_or_init(|| async { Clusters::sharing("placement").await }).await.kept()
}

/// A kind of this scope, with annotations for the provider, bound until it is ready.
async fn bind(name: &str, scope: &str, annotations: &[(&str, &str)]) -> Service {
    bind_in(Box::pin(clusters()).await, name, scope, annotations).await
}

async fn bind_in(clusters: &Clusters, name: &str, scope: &str, annotations: &[(&str, &str)]) -> Service {
    let (consumer, provider) = (clusters.consumer.client(), clusters.provider.client());
    let (mut crd, resource) = kind_of(name);
    scope.clone_into(&mut crd.spec.scope);
    let said = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    crd.annotations_mut().extend(said);
    workload::install(&provider, &crd).await.unwrap();
    grant_group(&consumer, &resource.group).await;
    create_namespace(&consumer, name).await;
    let kubeconfig = kubeconfig_for(clusters, name, &format!("test={name}")).await;
    write_secret(&consumer, name, "kubeconfig", &kubeconfig).await;
    create_bundle(&consumer, name, name).await;
    let service = Service { name: name.to_owned(), resource, kubeconfig, consumer, provider };
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    service
}

fn everywhere(client: &Client, service: &Service) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &service.resource)
}

async fn create(api: &Api<DynamicObject>, object: &DynamicObject) {
    eventually("the kind is served", SOON, async || match api.create(&PostParams::default(), object).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok::<_, kube::Error>(None),
        other => other.map(Some),
    })
    .await
    .unwrap();
}

async fn export(service: &Service) -> APIServiceExport {
    let api: Api<APIServiceExport> = Api::namespaced(service.provider.clone(), &service.contract_namespace());
    api.get(&service.export()).await.unwrap()
}

fn is_shared(export: &APIServiceExport) -> bool {
    let conditions = export.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| condition.r#type == CONDITION_TENANCY_SHARED)
}

/// Spec down, status up, and the end of both.
async fn follows(service: &Service, here: &Api<DynamicObject>, there: &Api<DynamicObject>, copy: &str) {
    create(here, &cowboy(&service.resource, "billy", &json!({"intent": "ride"}))).await;
    object_with(there, copy, "arrives", |o| o.data["spec"]["intent"] == "ride").await;
    merge(here, "billy", json!({"spec": {"intent": "rest"}})).await;
    let first = object_with(there, copy, "follows", |o| o.data["spec"]["intent"] == "rest").await;
    merge_status(there, copy, json!({"result": "rested"})).await;
    object_with(here, "billy", "has the status", |o| o.data["status"]["result"] == "rested").await;
    there.delete(copy, &DeleteParams::default()).await.unwrap();
    object_with(there, copy, "comes back", |o| o.uid() != first.uid()).await;
}

async fn foreign(service: &Service, name: &str, contract: Option<&str>) -> DynamicObject {
    let mut object = cowboy(&service.resource, name, &json!({"intent": "theirs"}));
    if let Some(contract) = contract {
        let marks = [("kube-bind.io/cluster-namespace", contract), ("kube-bind.io/consumer-uid", "x")];
        object.annotations_mut().extend(marks.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
    everywhere(&service.provider, service).create(&PostParams::default(), &object).await.unwrap()
}

async fn is_as_it_was(service: &Service, object: &DynamicObject) {
    let now = everywhere(&service.provider, service).get(&object.name_any()).await.unwrap();
    assert_eq!(json!(now), json!(object), "what is somebody else's changed");
}

async fn unbind(service: &Service) {
    let bundles: Api<APIServiceBindingBundle> = Api::all(service.consumer.clone());
    bundles.delete(&service.name, &DeleteParams::default()).await.unwrap();
    watch_until_gone(bundles, &service.name, SOON).await.unwrap();
    let crds: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    watch_until_gone(crds, &service.export(), SOON).await.unwrap();
}

#[tokio::test]
async fn prefixed_copies_never_touch_those_of_a_consumer_with_a_longer_name() {
    let service = bind("prefixed", "Cluster", &[]).await;
    let (here, there) = (everywhere(&service.consumer, &service), everywhere(&service.provider, &service));
    // Seen from kube-bind-prefixed, this is the copy of an object named east-billy.
    let other = foreign(&service, "kube-bind-prefixed-east-billy", Some("kube-bind-prefixed-east")).await;
    let unmarked = foreign(&service, "billy", None).await;
    follows(&service, &here, &there, "kube-bind-prefixed-billy").await;
    create(&here, &cowboy(&service.resource, "east-billy", &json!({"intent": "ours"}))).await;

    let copy = there.get("kube-bind-prefixed-billy").await.unwrap();
    assert_eq!(copy.owner_references()[0].name, "kube-bind-prefixed", "goes with the contract namespace");
    assert_eq!(copy.annotations()["kube-bind.io/cluster-namespace"], "kube-bind-prefixed");
    assert!(is_shared(&export(&service).await));
    here.delete("billy", &DeleteParams::default()).await.unwrap();
    object_gone(&there, "kube-bind-prefixed-billy").await;
    object_gone(&here, "billy").await;
    unbind(&service).await;
    for object in [&other, &unmarked] {
        is_as_it_was(&service, object).await;
    }
}

#[tokio::test]
async fn without_isolation_the_names_are_the_same_and_what_was_there_stays() {
    let service = bind("unprefixed", "Cluster", &[("kube-bind.io/isolation", "none")]).await;
    let (here, there) = (everywhere(&service.consumer, &service), everywhere(&service.provider, &service));
    let taken = foreign(&service, "taken", None).await;
    let untouched = foreign(&service, "untouched", None).await;
    create(&here, &cowboy(&service.resource, "taken", &json!({"intent": "ours"}))).await;
    follows(&service, &here, &there, "billy").await;
    here.delete("taken", &DeleteParams::default()).await.unwrap();
    object_gone(&here, "taken").await;
    unbind(&service).await;
    object_gone(&there, "billy").await;
    for object in [&taken, &untouched] {
        is_as_it_was(&service, object).await;
    }
}

#[tokio::test]
async fn a_namespaced_kind_can_be_cluster_scoped_for_consumers() {
    let service = bind("inside", "Namespaced", &[("kube-bind.io/isolation", "namespaced")]).await;
    let here = everywhere(&service.consumer, &service);
    let contract = service.contract_namespace();
    let there: Api<DynamicObject> =
        Api::namespaced_with(service.provider.clone(), &contract, &service.resource);
    follows(&service, &here, &there, "billy").await;
    let crds: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    assert_eq!(crds.get(&service.export()).await.unwrap().spec.scope, "Cluster");
    assert!(!is_shared(&export(&service).await));
    let roles: Api<Role> = Api::namespaced(service.provider.clone(), &contract);
    let granted = json!(roles.get("kube-binder-exports").await.unwrap().rules);
    assert_eq!(granted[0]["apiGroups"], json!(["inside.dev"]));
    unbind(&service).await;
    object_gone(&there, "billy").await;
}

#[tokio::test]
async fn one_watch_may_reach_across_the_provider() {
    let service = bind("across", "Namespaced", &[("kube-bind.io/consumer-scope", "cluster")]).await;
    create_namespace(&service.consumer, "across-too").await;
    follows(&service, &service.here(), &service.there(), "billy").await;
    let too: Api<DynamicObject> =
        Api::namespaced_with(service.consumer.clone(), "across-too", &service.resource);
    let copy_of_too: Api<DynamicObject> =
        Api::namespaced_with(service.provider.clone(), "kube-bind-across-across-too", &service.resource);
    follows(&service, &too, &copy_of_too, "billy").await;
    let export = export(&service).await;
    assert!(is_shared(&export));
    assert_eq!(json!(export.spec.informer_scope), "Cluster");
    let roles: Api<ClusterRole> = Api::all(service.provider.clone());
    let role = roles.get("kube-binder:kube-bind-across").await.unwrap();
    assert_eq!(json!(role.rules)[0]["verbs"], json!(["get", "list", "watch"]), "writes stay in namespaces");
    unbind(&service).await;
    assert_eq!(
        everywhere(&service.provider, &service).list(&ListParams::default()).await.unwrap().items.len(),
        0
    );
}

#[tokio::test]
async fn rights_and_guard_stay_until_the_konnector_is_done_with_a_withdrawn_export() {
    let clusters = Box::pin(Clusters::sharing("guard-stays")).await;
    let guarded = bind_in(&clusters, "guard-stays", "Cluster", &[]).await;
    let inside =
        bind_in(&clusters, "role-stays", "Namespaced", &[("kube-bind.io/isolation", "namespaced")]).await;
    let provider = &guarded.provider;
    create(&everywhere(&guarded.consumer, &guarded), &cowboy(&guarded.resource, "billy", &json!({}))).await;
    create(&everywhere(&inside.consumer, &inside), &cowboy(&inside.resource, "billy", &json!({}))).await;
    object_with(&everywhere(provider, &guarded), "kube-bind-guard-stays-billy", "arrives", |_| true).await;
    let policies: Api<ValidatingAdmissionPolicyBinding> = Api::all(provider.clone());
    let cluster_roles: Api<ClusterRole> = Api::all(provider.clone());
    let roles: Api<Role> = Api::namespaced(provider.clone(), &inside.contract_namespace());
    let audit = clusters.provider.audit();
    let mark = audit.mark().unwrap();

    clusters.konnector.pause();
    let crds: Api<CustomResourceDefinition> = Api::all(provider.clone());
    let label = Patch::Merge(json!({"metadata": {"labels": {"kube-bind.io/exported": null}}}));
    for service in [&guarded, &inside] {
        crds.patch(&service.export(), &PatchParams::default(), &label).await.unwrap();
        let exports: Api<APIServiceExport> = Api::namespaced(provider.clone(), &service.contract_namespace());
        let is_going = |export: &APIServiceExport| export.metadata.deletion_timestamp.is_some();
        watch_until(exports, &service.export(), is_going, SOON).await.unwrap();
    }
    audit.settled(std::time::Duration::from_secs(1)).await.unwrap();
    let is_granted = |rules: Option<usize>| rules.is_some_and(|rules| rules > 0);
    let role = cluster_roles.get("kube-binder:kube-bind-guard-stays").await.unwrap();
    assert!(is_granted(role.rules.map(|rules| rules.len())));
    let role = roles.get("kube-binder-exports").await.unwrap();
    assert!(is_granted(role.rules.map(|rules| rules.len())));
    assert!(policies.get_opt("kube-bind-shared-kinds").await.unwrap().is_some());

    clusters.konnector.resume();
    watch_until_gone(cluster_roles, "kube-binder:kube-bind-guard-stays", SOON).await.unwrap();
    watch_until_gone(policies, "kube-bind-shared-kinds", SOON).await.unwrap();
    let place = async |part: &str| {
        // A deletion is logged after it is seen.
        let logged = async || {
            let entries = audit.entries_since(mark)?;
            anyhow::Ok(entries.iter().position(|e| e.verb == "delete" && e.request_uri.contains(part)))
        };
        eventually(&format!("the deletion of {part}"), SOON, logged).await.unwrap()
    };
    let (right, guard) = (place("/clusterroles/").await, place("/validatingadmissionpolicybindings/").await);
    assert!(right < guard, "the right goes first");
}

#[tokio::test]
async fn what_consumers_share_is_guarded_by_the_marks_of_each() {
    let service = bind("guarded", "Cluster", &[]).await;
    let policies: Api<ValidatingAdmissionPolicyBinding> = Api::all(service.provider.clone());
    watch_until(policies, "kube-bind-shared-kinds", |_| true, SOON).await.unwrap();
    // The account of the konnector, in the hands of somebody who means harm.
    let thief = kubeconfig::client(&service.kubeconfig).await.unwrap();
    let stolen = everywhere(&thief, &service);
    let foreign = foreign(&service, "theirs", Some("kube-bind-other")).await;
    let denied = |outcome: kube::Result<()>, what: &str| match outcome {
        Err(kube::Error::Api(status)) => {
            status.code == 403 && status.message.contains("kube-bind-shared-kinds")
        }
        other => panic!("{what}: {other:?}"),
    };
    eventually("the policy is in force", SOON, async || {
        let unmarked = cowboy(&service.resource, "unmarked", &json!({}));
        let outcome = stolen.create(&PostParams { dry_run: true, ..PostParams::default() }, &unmarked).await;
        Ok::<_, anyhow::Error>((outcome.is_err() && denied(outcome.map(|_| ()), "a creation")).then_some(()))
    })
    .await
    .unwrap();
    let patch = Patch::Merge(json!({"spec": {"intent": "stolen"}}));
    let patched = stolen.patch("theirs", &PatchParams::default(), &patch).await.map(|_| ());
    assert!(denied(patched, "a change"));
    let mark: Value =
        json!({"metadata": {"annotations": {"kube-bind.io/cluster-namespace": "kube-bind-guarded"}}});
    let marked = stolen.patch("theirs", &PatchParams::default(), &Patch::Merge(mark)).await.map(|_| ());
    assert!(denied(marked, "a mark"));
    let deleted = stolen.delete("theirs", &DeleteParams::default()).await.map(|_| ());
    assert!(denied(deleted, "a deletion"));
    is_as_it_was(&service, &foreign).await;
    let mut own = cowboy(&service.resource, "kube-bind-guarded-own", &json!({}));
    own.metadata = ObjectMeta {
        annotations: Some(
            [("kube-bind.io/cluster-namespace".to_owned(), "kube-bind-guarded".to_owned())].into(),
        ),
        ..own.metadata
    };
    stolen.create(&PostParams::default(), &own).await.unwrap();
    stolen.delete("kube-bind-guarded-own", &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn a_shared_copy_whose_marks_were_taken_off_is_marked_again_by_its_consumer_alone() {
    let service = bind("stripped", "Cluster", &[]).await;
    // Copies of this contract have names that begin as those of the other do.
    let longer = bind("stripped-more", "Cluster", &[]).await;
    let (here, there) = (everywhere(&service.consumer, &service), everywhere(&service.provider, &service));
    let copy = "kube-bind-stripped-billy";
    create(&here, &cowboy(&service.resource, "billy", &json!({"intent": "ride"}))).await;
    object_with(&there, copy, "arrives", |_| true).await;

    strip(&there, copy).await;
    let contract =
        |object: &DynamicObject| object.annotations().get("kube-bind.io/cluster-namespace").cloned();
    object_with(&there, copy, "is marked again", |object| {
        contract(object).as_deref() == Some("kube-bind-stripped")
    })
    .await;
    strip(&there, copy).await;
    merge(&here, "billy", json!({"spec": {"intent": "rest"}})).await;
    object_with(&there, copy, "follows", |object| object.data["spec"]["intent"] == "rest").await;

    // A copy of the longer contract, without its mark, is nothing for the shorter one.
    let theirs = cowboy(&service.resource, "kube-bind-stripped-more-jane", &json!({"intent": "ride"}));
    create(&there, &theirs).await;
    let account = kubeconfig::client(&service.kubeconfig).await.unwrap();
    let patch = Patch::Merge(json!({
        "metadata": {"annotations": {"kube-bind.io/cluster-namespace": "kube-bind-stripped"}},
    }));
    let stolen = everywhere(&account, &service);
    let trial = PatchParams { dry_run: true, ..PatchParams::default() };
    // A policy is in force a moment after it was written.
    let denied = async || match stolen.patch(&theirs.name_any(), &trial, &patch).await {
        Err(kube::Error::Api(status)) => {
            anyhow::Ok(status.message.contains("kube-bind-shared-kinds").then_some(()))
        }
        Ok(_) => Ok(None),
        Err(error) => Err(error.into()),
    };
    eventually("a copy of the longer contract is refused", SOON, denied).await.unwrap();
    unbind(&service).await;
    unbind(&longer).await;
    object_gone(&there, copy).await;
}

/// Takes all of our marks off an object.
async fn strip(api: &Api<DynamicObject>, name: &str) {
    let annotations = api.get(name).await.unwrap().metadata.annotations.unwrap_or_default();
    let marks = annotations.into_keys().filter(|key| key.starts_with("kube-bind.io/"));
    let marks: Value = marks.map(|key| (key, Value::Null)).collect();
    merge(api, name, json!({"metadata": {"annotations": marks}})).await;
}
