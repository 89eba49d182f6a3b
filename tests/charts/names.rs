//! Names and labels: of a release, of a chart within another one, and of what is too long.

use std::{collections::BTreeSet, fs, os::unix::fs::symlink};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{RELEASE, SERVICES, chart, compare, objects, rendered, renders, sufficient};

/// A chart of somebody else that depends on ours.
fn foreign(service: &str, alias: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let dependency =
        format!("{{name: {service}, alias: {alias}, version: 0.1.0, condition: {alias}.enabled}}");
    let text = format!("apiVersion: v2\nname: foreign\nversion: 1.0.0\ndependencies: [{dependency}]\n");
    fs::write(folder.path().join("Chart.yaml"), text).unwrap();
    fs::create_dir(folder.path().join("charts")).unwrap();
    symlink(fs::canonicalize(chart(service)).unwrap(), folder.path().join("charts").join(service)).unwrap();
    folder
}

/// Values of the chart within the other one.
fn within(alias: &str, service: &str, values: &str) -> String {
    let values = sufficient(service, values);
    let lines = values.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n");
    format!("global: {{imageRegistry: g.example, imagePullSecrets: [g], theirs: 1}}\n{alias}:\n{lines}")
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

#[test]
fn everything_is_called_after_the_release() {
    for service in SERVICES {
        renders(
            service,
            "",
            &[
                ("Deployment", "/metadata/name", json!("r")),
                ("Deployment", "/metadata/namespace", json!("ns")),
                ("Service r-metrics", "/spec/clusterIP", json!("None")),
                ("Service r-metrics", "/spec/publishNotReadyAddresses", json!(true)),
                ("Service r-metrics", "/spec/ports/0/port", json!(9090)),
                ("ServiceAccount", "/metadata/name", json!("r")),
                ("Deployment", "/spec/template/spec/serviceAccountName", json!("r")),
                (
                    "Deployment",
                    "/spec/selector/matchLabels",
                    json!({
                "app.kubernetes.io/name": service, "app.kubernetes.io/instance": "r"}),
                ),
                ("Deployment", "/metadata/labels/app.kubernetes.io~1part-of", json!("portolan")),
                ("Deployment", "/metadata/labels/app.kubernetes.io~1version", json!("0.1.0")),
                ("Deployment", "/metadata/labels/helm.sh~1chart", json!(format!("{service}-0.1.0"))),
            ],
        );
    }
}

#[test]
fn names_and_labels_can_be_given() {
    renders(
        "token-service",
        "fullnameOverride: reviews",
        &[
            ("Deployment", "/metadata/name", json!("reviews")),
            ("Service reviews", "/spec/type", json!("ClusterIP")),
            ("Service reviews-metrics", "/metadata/namespace", json!("ns")),
            ("ServiceAccount", "/metadata/name", json!("reviews")),
            ("PodDisruptionBudget", "/metadata/name", json!("reviews")),
        ],
    );
    let Some(objects) = rendered("konnector", "commonLabels: {team: a, app.kubernetes.io/name: x}") else {
        return;
    };
    for object in &objects {
        let labels = &object["metadata"]["labels"];
        assert_eq!(labels["team"], "a", "{object:#}");
        assert_ne!(labels["app.kubernetes.io/name"], "x", "{object:#}");
    }
    compare("konnector", &objects, &[("Deployment", "/spec/template/metadata/labels/team", json!("a"))]);
}

#[test]
fn a_chart_within_another_is_switched_on_and_called_after_both() {
    for (service, alias) in [
        ("konnector", "konnector"),
        ("provider", "offers"),
        ("token-service", "reviews"),
        ("token-exchange", "token-exchange"),
    ] {
        let folder = foreign(service, alias);
        let off = within(alias, service, "enabled: false");
        let Some(none) = objects(RELEASE, folder.path(), &off) else { return };
        assert_eq!(none.len(), 0, "{service}");
        let on =
            objects(RELEASE, folder.path(), &within(alias, service, "enabled: true\nreplicas: 3")).unwrap();
        let image = format!("g.example/portolan/{service}:0.1.0");
        compare(
            service,
            &on,
            &[
                ("Deployment", "/metadata/name", json!(format!("r-{alias}"))),
                ("Deployment", "/spec/replicas", json!(3)),
                ("Deployment", "/spec/template/spec/containers/0/name", json!(service)),
                ("Deployment", "/spec/template/spec/containers/0/image", json!(image)),
                ("Deployment", "/spec/template/spec/imagePullSecrets", json!([{"name": "g"}])),
                ("Deployment", "/spec/selector/matchLabels/app.kubernetes.io~1name", json!(alias)),
            ],
        );
    }
}

#[test]
fn names_are_cut_at_63_and_stay_apart() {
    let release = "a".repeat(53);
    for (service, long) in SERVICES.into_iter().flat_map(|service| [(service, 1), (service, 6)]) {
        let alias = format!("{service}{}", "-of-a-long-name".repeat(long));
        let folder = foreign(service, &alias);
        let values = "enabled: true\ndashboard: {enabled: true}";
        let Some(found) = objects(&release, folder.path(), &within(&alias, service, values)) else { return };
        let mut seen = BTreeSet::new();
        for object in found.iter().filter(|object| object["kind"] != "CustomResourceDefinition") {
            let name = name(object);
            assert!(name.len() <= 63 && !name.ends_with('-'), "{service}: {name}");
            let place = object["metadata"]["namespace"].to_string();
            assert!(
                seen.insert((object["kind"].to_string(), place, name.to_owned())),
                "{service}: two are {name}"
            );
            for (key, label) in object["metadata"]["labels"].as_object().unwrap() {
                assert!(label.as_str().unwrap().len() <= 63, "{service}: {key}: {label}");
            }
        }
        assert!(seen.len() > 4, "{seen:?}");
    }
    let long = |last: char| format!("fullnameOverride: {}{last}", "b".repeat(70));
    let names = ['x', 'y'].map(|last| rendered("provider", &long(last)));
    let [Some(one), Some(other)] = names else { return };
    let [one, other] = [&one, &other].map(|objects| name(super::find(objects, "Deployment")));
    assert_eq!((one.len(), other.len(), one == other), (63, 63, false));
    assert_eq!(one[..55], format!("{}-", "b".repeat(54)));
}

#[test]
fn the_umbrella_has_what_is_switched_on() {
    let umbrella = chart("portolan");
    let all = "konnector: {enabled: true}\nprovider: {enabled: true, replicas: 1}\n\
        token-service: {enabled: true, existingSecret: a, plainHttp: true}\n\
        token-exchange: {enabled: true, existingSecret: b, plainHttp: true}\n\
        listener: {enabled: true, plainHttp: true}\n\
        gateway: {enabled: true, plainHttp: true}\n\
        global: {imageRegistry: g.example, imagePullSecrets: [g]}";
    let Some(found) = objects(RELEASE, &umbrella, all) else { return };
    compare(
        "all",
        &found,
        &[
            ("Deployment r-konnector", "/spec/replicas", json!(2)),
            ("Deployment r-provider", "/spec/replicas", json!(1)),
            (
                "Deployment r-token-service",
                "/spec/template/spec/containers/0/image",
                json!("g.example/portolan/token-service:0.1.0"),
            ),
            ("Deployment r-token-exchange", "/spec/template/spec/imagePullSecrets", json!([{"name": "g"}])),
            ("Deployment r-token-service", "/spec/template/spec/volumes/0/secret/secretName", json!("a")),
            ("Service r-token-exchange", "/spec/ports/0/name", json!("http")),
            ("Service r-listener", "/spec/ports/0/name", json!("http")),
            ("Service r-gateway", "/spec/ports/0/name", json!("http")),
            ("Pod r-provider-check", "/spec/serviceAccountName", json!("r-provider")),
        ],
    );
    for service in SERVICES {
        let values = format!(
            "{service}: {{enabled: true, {}}}",
            match service {
                "token-service" | "token-exchange" => "existingSecret: a, plainHttp: true",
                "listener" | "gateway" | "portal" => "plainHttp: true",
                _ => "replicas: 2",
            }
        );
        let one = objects(RELEASE, &umbrella, &values).unwrap();
        let deployments: Vec<_> =
            one.iter().filter(|object| object["kind"] == "Deployment").map(name).collect();
        assert_eq!(deployments, [format!("r-{service}")]);
    }
}

#[test]
fn gateway_and_listener_find_each_other() {
    let (arguments, volumes) =
        ("/spec/template/spec/containers/0/args", "/spec/template/spec/volumes/0/projected/sources/0");
    let has = |objects: &[Value], service: &str, wanted: &str| {
        let deployment = objects.iter().find(|object| {
            object["kind"] == "Deployment"
                && object["metadata"]["labels"]["app.kubernetes.io/name"] == service
        });
        let given = deployment.unwrap().pointer(arguments).unwrap().as_array().unwrap();
        assert!(given.contains(&json!(wanted)), "{service}: {given:?}");
    };
    let Some(gateway) = rendered("gateway", "") else { return };
    has(&gateway, "gateway", "--listener-url=https://listener.ns.svc");
    has(&gateway, "gateway", "--listener-token-file=/var/run/secrets/portolan-listener/token");
    let token = super::find(&gateway, "Deployment").pointer(volumes).unwrap();
    assert_eq!(token["serviceAccountToken"]["audience"], "portolan-listener");
    has(&rendered("listener", "").unwrap(), "listener", "--gateway-accounts=ns/gateway");
    has(&rendered("listener", "").unwrap(), "listener", "--stream-audience=portolan-listener");
    // Text that YAML would take for something else.
    let audience = rendered("listener", "stream: {audience: 'a: b #c'}").unwrap();
    has(&audience, "listener", "--stream-audience=a: b #c");
    let both = "gateway: {enabled: true, plainHttp: true}\nlistener: {enabled: true, plainHttp: true}";
    let both = objects(RELEASE, &chart("portolan"), both).unwrap();
    has(&both, "gateway", "--listener-url=https://r-listener.ns.svc");
    has(&both, "listener", "--gateway-accounts=ns/r-gateway");
    let elsewhere = rendered("gateway", "listener: {url: 'https://l.example', caSecretName: ca}").unwrap();
    has(&elsewhere, "gateway", "--listener-url=https://l.example");
    has(&elsewhere, "gateway", "--listener-ca-file=/etc/portolan-listener/ca.crt");
    let persisted = rendered("gateway", "persistedDocuments: {configMapName: q, only: true}").unwrap();
    has(&persisted, "gateway", "--persisted-documents=/etc/portolan-documents");
    has(&persisted, "gateway", "--persisted-only");
    let memory = rendered("gateway", "memory: {credentialsSecretName: own, secrets: true}").unwrap();
    for flag in ["--memory-credentials=/etc/portolan-memory", "--memory-bytes=134217728", "--memory-secrets"]
    {
        has(&memory, "gateway", flag);
    }
    let values = "traces: {endpoint: 'http://collector:4318', ratio: 0.1, caSecretName: collector}";
    let traced = rendered("gateway", values).unwrap();
    for flag in [
        "--otlp-endpoint=http://collector:4318",
        "--otlp-ratio=0.1",
        "--otlp-ca-file=/etc/portolan-traces/ca.crt",
    ] {
        has(&traced, "gateway", flag);
    }
    let files = rendered("gateway", "definitions: {emptyDir: {}}").unwrap();
    has(&files, "gateway", "--definitions=/var/lib/portolan/definitions");
}
