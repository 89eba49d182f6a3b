//! An API lives: its versions, claims and terms change while consumers have objects, and nothing of theirs is lost.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use portolan_core::{
    api::kubebind::{APIServiceBinding, APIServiceExport},
    condition::find,
};
use portolan_testkit::eventually::{eventually, watch_until};
use serde_json::{Value, json};

use crate::{
    reasons::{allow_again, refuse},
    support::{
        Clusters, SOON, Service, binding_condition, clusters, create_bundle, merge, merge_status,
        object_gone, object_with, write_secret,
    },
};

fn crds(client: &kube::Client) -> Api<CustomResourceDefinition> {
    Api::all(client.clone())
}

fn version(name: &str, storage: bool, properties: &Value) -> Value {
    json!({
        "name": name, "served": true, "storage": storage, "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "properties": properties},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }}},
    })
}

async fn set_versions(client: &kube::Client, name: &str, versions: &[Value]) {
    let change = json!({"spec": {"versions": versions}});
    crds(client).patch(name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
}

/// Migrates as the provider's people do before they drop a version: they rewrite their objects in `stored`.
async fn migrate(service: &Service, stored: &str) {
    let everywhere: Api<DynamicObject> =
        Api::all_with(service.provider.clone(), &in_version(service, stored));
    for object in everywhere.list(&ListParams::default()).await.unwrap().items {
        let (namespace, name) =
            (object.metadata.namespace.clone().unwrap(), object.metadata.name.clone().unwrap());
        let api = objects(&service.provider, &namespace, &in_version(service, stored));
        merge(&api, &name, json!({"metadata": {"labels": {"migrated": "true"}}})).await;
    }
    let lowered = json!({"status": {"storedVersions": [stored]}});
    let params = PatchParams::default();
    crds(&service.provider).patch_status(&service.export(), &params, &Patch::Merge(lowered)).await.unwrap();
}

async fn annotate(client: &kube::Client, name: &str, annotations: Value) {
    let change = json!({"metadata": {"annotations": annotations}});
    crds(client).patch(name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
}

fn in_version(service: &Service, version: &str) -> ApiResource {
    let resource = service.resource.clone();
    ApiResource {
        api_version: format!("{}/{version}", resource.group),
        version: version.to_owned(),
        ..resource
    }
}

fn objects(client: &kube::Client, namespace: &str, resource: &ApiResource) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, resource)
}

async fn export(service: &Service) -> APIServiceExport {
    let api: Api<APIServiceExport> = Api::namespaced(service.provider.clone(), &service.contract_namespace());
    api.get(&service.export()).await.unwrap()
}

fn version_names(crd: &CustomResourceDefinition) -> Vec<&str> {
    crd.spec.versions.iter().map(|version| version.name.as_str()).collect()
}

/// As <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/>
/// has it: a new version is added and stored, and later the old one is dropped.
#[tokio::test]
async fn an_api_grows_up_with_the_objects_of_its_consumers() {
    let (old, new) = (
        json!({"intent": {"type": "string"}}),
        json!({"intent": {"type": "string"}, "horse": {"type": "string"}}),
    );
    let first = version("v1beta1", true, &old);
    let service = Service::offer_with(clusters().await, "grows-up", |crd| {
        crd.spec.versions = serde_json::from_value(json!([first])).unwrap();
    })
    .await;
    write_secret(&service.consumer, "grows-up", "kubeconfig", &service.kubeconfig).await;
    create_bundle(&service.consumer, "grows-up", "grows-up").await;
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    let (beta, stable) = (in_version(&service, "v1beta1"), in_version(&service, "v1"));
    let billy = object(&beta, "billy", &json!({"intent": "ride"}));
    let billy =
        objects(&service.consumer, "grows-up", &beta).create(&PostParams::default(), &billy).await.unwrap();
    let mapped = format!("{}-grows-up", service.contract_namespace());
    object_with(&objects(&service.provider, &mapped, &beta), "billy", "arrives", |_| true).await;
    let bound = export(&service).await.metadata.uid;

    set_versions(
        &service.provider,
        &service.export(),
        &[version("v1beta1", false, &old), version("v1", true, &new)],
    )
    .await;
    let both = |crd: &CustomResourceDefinition| version_names(crd) == ["v1beta1", "v1"];
    watch_until(crds(&service.consumer), &service.export(), both, SOON).await.unwrap();
    binding_condition(&service.consumer, &service.export(), "VersionsDiffer", ("True", "FieldsDiffer")).await;
    let here = objects(&service.consumer, "grows-up", &stable);
    let jane = object(&stable, "jane", &json!({"intent": "ride", "horse": "Jolly"}));
    eventually("v1 is served", SOON, async || match here.create(&PostParams::default(), &jane).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok::<_, kube::Error>(None),
        other => other.map(Some),
    })
    .await
    .unwrap();
    let there = objects(&service.provider, &mapped, &stable);
    object_with(&there, "jane", "has her horse", |o| o.data["spec"]["horse"] == "Jolly").await;
    let marked = object_with(&here, "jane", "is marked", |o| o.metadata.finalizers.is_some()).await;
    assert_eq!(marked.data["spec"]["horse"], "Jolly", "our writes keep what only v1 has");

    // The copy of billy was applied in v1beta1, which has no horses.
    merge(&here, "billy", json!({"spec": {"horse": "Silver"}})).await;
    object_with(&there, "billy", "has a horse", |o| o.data["spec"]["horse"] == "Silver").await;

    migrate(&service, "v1").await;
    set_versions(&service.provider, &service.export(), &[version("v1", true, &new)]).await;
    let done = |crd: &CustomResourceDefinition| version_names(crd) == ["v1"];
    watch_until(crds(&service.consumer), &service.export(), done, SOON).await.unwrap();
    let crd = crds(&service.consumer).get(&service.export()).await.unwrap();
    assert_eq!(crd.status.unwrap().stored_versions, Some(vec!["v1".to_owned()]));
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    let kept = here.get("billy").await.unwrap();
    assert_eq!((kept.metadata.uid, &kept.data["spec"]["intent"]), (billy.metadata.uid, &json!("ride")));
    assert_eq!(here.get("jane").await.unwrap().data["spec"]["horse"], "Jolly");
    assert_eq!(export(&service).await.metadata.uid, bound, "the export follows in place");
    merge(&here, "billy", json!({"spec": {"horse": "Rosinante"}})).await;
    object_with(&there, "billy", "follows", |o| o.data["spec"]["horse"] == "Rosinante").await;
}

fn object(resource: &ApiResource, name: &str, spec: &Value) -> DynamicObject {
    let mut object = DynamicObject::new(name, resource);
    object.data = json!({"spec": spec});
    object
}

#[tokio::test]
async fn a_version_that_keeps_less_waits_for_the_consumers_word() {
    let (old, new) = (
        json!({"intent": {"type": "string"}, "horse": {"type": "string"}}),
        json!({"intent": {"type": "string"}}),
    );
    let first = version("v1beta1", true, &old);
    let service = Service::offer_with(clusters().await, "keeps-less", |crd| {
        crd.spec.versions = serde_json::from_value(json!([first])).unwrap();
    })
    .await;
    write_secret(&service.consumer, "keeps-less", "kubeconfig", &service.kubeconfig).await;
    create_bundle(&service.consumer, "keeps-less", "keeps-less").await;
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    let beta = in_version(&service, "v1beta1");
    let here = objects(&service.consumer, "keeps-less", &beta);
    let billy = object(&beta, "billy", &json!({"intent": "ride", "horse": "Jolly"}));
    here.create(&PostParams::default(), &billy).await.unwrap();
    let both = [version("v1beta1", false, &old), version("v1", true, &new)];
    set_versions(&service.provider, &service.export(), &both).await;
    let breaking = ("False", "BreakingSchemaChange");
    let said = binding_condition(&service.consumer, &service.export(), "SchemaInSync", breaking).await;
    assert!(said.message.contains("versions[v1beta1 -> v1].spec.horse is removed"), "{}", said.message);
    assert_eq!(here.get("billy").await.unwrap().data["spec"]["horse"], "Jolly");
}

#[tokio::test]
async fn an_object_that_cannot_be_rewritten_keeps_no_other_from_being_in_sync() {
    let clusters = Box::pin(Clusters::start("stuck")).await;
    let properties = json!({"intent": {"type": "string"}});
    let first = version("v1beta1", true, &properties);
    let service = Service::offer_with(&clusters, "stuck", |crd| {
        crd.spec.versions = serde_json::from_value(json!([first])).unwrap();
    })
    .await;
    write_secret(&service.consumer, "stuck", "kubeconfig", &service.kubeconfig).await;
    create_bundle(&service.consumer, "stuck", "stuck").await;
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    let (beta, stable) = (in_version(&service, "v1beta1"), in_version(&service, "v1"));
    let former = objects(&service.consumer, "stuck", &beta);
    for name in ["stuck", "jane"] {
        let made = object(&beta, name, &json!({"intent": "ride"}));
        former.create(&PostParams::default(), &made).await.unwrap();
        object_with(&former, name, "knows its copy", |o| {
            o.annotations().contains_key("kube-bind.io/provider-uid")
        })
        .await;
    }
    let rules = json!({
        "apiGroups": [beta.group], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["cowboys"],
    });
    let tried = PatchParams { dry_run: true, ..PatchParams::default() };
    let change = Patch::Merge(json!({"metadata": {"labels": {"tried": "x"}}}));
    refuse(&service.consumer, "stuck", rules, "object.metadata.name != 'stuck'", async || {
        former.patch("stuck", &tried, &change).await.is_err()
    })
    .await;
    // For the konnector, one version takes the place of the other at once.
    clusters.provider_service.pause();
    let (old, new) = (version("v1beta1", false, &properties), version("v1", true, &properties));
    set_versions(&service.provider, &service.export(), &[old, new.clone()]).await;
    let mapped = format!("{}-stuck", service.contract_namespace());
    let there = objects(&service.provider, &mapped, &stable);
    object_with(&there, "jane", "is served in v1", |_| true).await;
    migrate(&service, "v1").await;
    set_versions(&service.provider, &service.export(), &[new]).await;
    clusters.provider_service.resume();
    let failed = ("False", "StoredVersionsMigrationFailed");
    let said = binding_condition(&service.consumer, &service.export(), "SchemaInSync", failed).await;
    assert!(said.message.contains("stuck/stuck"), "{}", said.message);

    let here = objects(&service.consumer, "stuck", &stable);
    merge(&here, "jane", json!({"spec": {"intent": "rest"}})).await;
    object_with(&there, "jane", "follows", |o| o.data["spec"]["intent"] == "rest").await;
    merge_status(&there, "jane", json!({"result": "done"})).await;
    object_with(&here, "jane", "has the status", |o| o.data["status"]["result"] == "done").await;
    here.delete("jane", &DeleteParams::default()).await.unwrap();
    object_gone(&here, "jane").await;
    allow_again(&service.consumer, "stuck").await;
    let done = |crd: &CustomResourceDefinition| version_names(crd) == ["v1"];
    watch_until(crds(&service.consumer), &service.export(), done, SOON).await.unwrap();
}

/// The API server answers 404 for an object of a version that it does not serve, as it does for one that is gone.
#[tokio::test]
async fn an_object_that_is_deleted_while_its_version_is_not_served_takes_its_copy_along() {
    let clusters = Box::pin(Clusters::start("unserved")).await;
    let service = Service::bind(&clusters, "unserved").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    // The konnector does not hear of it yet.
    clusters.provider_service.pause();
    let properties = json!({"intent": {"type": "string"}});
    let mut former = version("v1alpha1", false, &properties);
    former["served"] = json!(false);
    set_versions(&service.provider, &service.export(), &[former, version("v1", true, &properties)]).await;
    let mapped = format!("{}-unserved", service.contract_namespace());
    let there = objects(&service.provider, &mapped, &in_version(&service, "v1"));
    let unserved = async || {
        let (old, new) = (service.there().get("billy").await, there.get("billy").await);
        (old.is_err() && new.is_ok()).then_some(())
    };
    eventually("the provider has dropped the version", SOON, unserved).await.unwrap();
    service.here().delete("billy", &DeleteParams::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(service.here().get_opt("billy").await.unwrap().is_some(), "its copy is there");
    clusters.provider_service.resume();
    object_gone(&there, "billy").await;
    object_gone(&service.here(), "billy").await;
}

#[tokio::test]
async fn a_typo_on_the_provider_takes_nothing_from_anybody() {
    let service = Service::bind(clusters().await, "typo").await;
    let billy = service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let bound = export(&service).await.metadata.uid;
    let typos = [
        (json!({"kube-bind.io/isolation": "Prefixd"}), "NotExportable", "Prefixd"),
        (json!({"kube-bind.io/isolation": "namespaced"}), "ReplaceRefused", ""),
        (
            json!({"kube-bind.io/isolation": null, "kube-bind.io/consumer-scope": "cluster"}),
            "NotExportable",
            "watched across the cluster",
        ),
        (
            json!({"kube-bind.io/consumer-scope": null, "kube-bind.io/permission-claims": "[{]"}),
            "NotExportable",
            "kube-bind.io/permission-claims",
        ),
    ];
    for (typo, reason, words) in typos {
        annotate(&service.provider, &service.export(), typo.clone()).await;
        eventually(&format!("the export says {reason} of {typo}"), SOON, async || {
            let export = export(&service).await;
            let conditions = export.status.unwrap_or_default().conditions;
            let said = find(&conditions, "ProviderInSync");
            said.is_some_and(|said| said.reason == reason && said.message.contains(words)).then_some(())
        })
        .await
        .unwrap();
    }
    annotate(&service.provider, &service.export(), json!({"kube-bind.io/permission-claims": null})).await;
    merge(&service.here(), "billy", json!({"spec": {"intent": "rest"}})).await;
    object_with(&service.there(), "billy", "follows", |o| o.data["spec"]["intent"] == "rest").await;
    assert_eq!(service.here().get("billy").await.unwrap().metadata.uid, billy.metadata.uid);
    assert_eq!(export(&service).await.metadata.uid, bound, "nothing was withdrawn");
}

#[tokio::test]
async fn claims_come_and_go_and_the_binding_stays() {
    let service = Service::bind(clusters().await, "claims-come").await;
    let billy = service.create("billy", &json!({"intent": "ride"})).await;
    let copy = service.arrives("billy").await;
    let bindings: Api<APIServiceBinding> = Api::all(service.consumer.clone());
    let before = bindings.get(&service.export()).await.unwrap().metadata.uid;
    let claims =
        r#"[{"resource": "configmaps", "selector": {"labelSelector": {"matchLabels": {"a": "b"}}}}]"#;
    for (claims, expected) in [(json!(claims), 1), (json!(null), 0)] {
        annotate(&service.provider, &service.export(), json!({"kube-bind.io/permission-claims": claims}))
            .await;
        eventually("the binding shows the claims", SOON, async || {
            let Some(binding) = bindings.get_opt(&service.export()).await? else {
                return Err(anyhow::anyhow!("the binding is gone"));
            };
            assert_eq!(binding.metadata.uid, before, "the binding is made anew");
            let shown = binding.status.map_or(0, |status| status.permission_claims.len());
            Ok((shown == expected).then_some(()))
        })
        .await
        .unwrap();
    }
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    merge(&service.here(), "billy", json!({"spec": {"intent": "rest"}})).await;
    let follows = |o: &DynamicObject| o.data["spec"]["intent"] == "rest";
    let followed = object_with(&service.there(), "billy", "follows", follows).await;
    assert_eq!(followed.metadata.uid, copy.metadata.uid);
    assert_eq!(service.here().get("billy").await.unwrap().metadata.uid, billy.metadata.uid);
}

#[tokio::test]
async fn terms_change_only_with_an_explicit_word_and_keep_objects_all_the_same() {
    let service = Service::bind(clusters().await, "terms").await;
    let billy = service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let allowed = json!({"kube-bind.io/isolation": "none", "kube-bind.io/allow-replace": "true"});
    annotate(&service.provider, &service.export(), allowed).await;
    eventually("the export is made anew", SOON, async || {
        let api: Api<APIServiceExport> =
            Api::namespaced(service.provider.clone(), &service.contract_namespace());
        let found = api.get_opt(&service.export()).await?;
        let replaced = found.is_some_and(|export| json!(export.spec.isolation) == "None");
        Ok::<_, anyhow::Error>(replaced.then_some(()))
    })
    .await
    .unwrap();
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    merge(&service.here(), "billy", json!({"spec": {"intent": "rest"}})).await;
    object_with(&service.there(), "billy", "follows", |o| o.data["spec"]["intent"] == "rest").await;
    assert_eq!(service.here().get("billy").await.unwrap().metadata.uid, billy.metadata.uid);
}

#[tokio::test]
async fn whatever_kubernetes_takes_for_a_crd_can_be_bound() {
    let properties = json!({"intent": {"type": "string"}});
    let mut odd = version("v1api20200601storage", true, &properties);
    odd["selectableFields"] = json!([{"jsonPath": ".spec.intent"}]);
    odd["deprecated"] = json!(true);
    odd["deprecationWarning"] = json!("old");
    let service = Service::offer_with(clusters().await, "odd-kinds", |crd| {
        crd.spec.versions = serde_json::from_value(json!([odd])).unwrap();
    })
    .await;
    // A second kind, of a protected group.
    let approved = "https://github.com/kubernetes/enhancements/pull/1";
    let protected: CustomResourceDefinition = serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "x.odd.k8s.io",
            "labels": {"kube-bind.io/exported": "true", "test": "odd-kinds"},
            "annotations": {"api-approved.kubernetes.io": approved},
        },
        "spec": {
            "group": "odd.k8s.io", "scope": "Namespaced", "names": {"plural": "x", "kind": "X"},
            "versions": [version("v1", true, &properties)],
        },
    }))
    .unwrap();
    crds(&service.provider).create(&PostParams::default(), &protected).await.unwrap();
    crate::support::grant_group(&service.consumer, "odd.k8s.io").await;
    write_secret(&service.consumer, "odd-kinds", "kubeconfig", &service.kubeconfig).await;
    create_bundle(&service.consumer, "odd-kinds", "odd-kinds").await;
    for name in [service.export(), "x.odd.k8s.io".to_owned()] {
        binding_condition(&service.consumer, &name, "Ready", ("True", "")).await;
    }
    let bound = json!(crds(&service.consumer).get(&service.export()).await.unwrap().spec.versions);
    for (field, expected) in odd.as_object().unwrap().iter().filter(|(field, _)| *field != "schema") {
        assert_eq!(&bound[0][field], expected, "{field}");
    }
    let annotations =
        crds(&service.consumer).get("x.odd.k8s.io").await.unwrap().metadata.annotations.unwrap();
    assert_eq!(annotations["api-approved.kubernetes.io"], approved);
    let resource = in_version(&service, "v1api20200601storage");
    let billy = object(&resource, "billy", &json!({"intent": "ride"}));
    objects(&service.consumer, "odd-kinds", &resource).create(&PostParams::default(), &billy).await.unwrap();
    let there: Api<DynamicObject> = Api::all_with(service.provider.clone(), &resource);
    eventually("the copy arrives", SOON, async || {
        let found = there.list(&ListParams::default()).await?.items;
        Ok::<_, kube::Error>((found.len() == 1).then_some(()))
    })
    .await
    .unwrap();
}
