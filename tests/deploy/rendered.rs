//! Everything that the charts render with every switch on, applied to an API server that refuses unknown fields.

use std::collections::BTreeSet;

use portolan_testkit::{clients::Toolchain, command::chart, workdir::Workdir};
use serde_json::Value;

use crate::{cluster, helm, kubectl};

const NAMESPACE: &str = "rendered";
/// Kinds whose CRDs belong to others; tests/charts checks their fields.
const FOREIGN: [&str; 3] = ["ServiceMonitor", "PrometheusRule", "HTTPRoute"];
const EVERYWHERE: &str = "serviceMonitor: {enabled: true}\nprometheusRule: {enabled: true}\ndashboard: {enabled: true}\n\
                          networkPolicy: {enabled: true, egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}\n\
                          commonLabels: {team: a}\npodLabels: {tier: b}\n";
const CONFIGURED: &str =
    "config: {a: {b: 1}}\nautoscaling: {enabled: true}\ncredentials: [{name: a, secretName: s}]\n";
const ANSWERING: &str = "tls: {secretName: tls}\n\
                         ingress: {enabled: true, className: c, hosts: [a.example.com], tls: [{secretName: t, hosts: [a.example.com]}]}\n\
                         httpRoute: {enabled: true, parentRefs: [{name: g}]}\n";
const LOGIN: &str = "externalUrl: https://portal.example.com\n\
                     oidc: {issuer: https://i.example, clientId: p, clientSecretName: s, caSecretName: c}\n\
                     identity: {mode: impersonate, groupsPrefix: api-, groups: [api-owners]}\n";
const CHARTS: [(&str, &[&str], &str); 8] = [
    ("konnector", &[], "boundGroups: [wildwest.dev]\nsecretNamespaces: [default]\n"),
    ("provider", &[], "allowShared: true\n"),
    ("token-service", &[CONFIGURED, ANSWERING], "clusterNames: {enabled: true}\n"),
    ("token-exchange", &[CONFIGURED, ANSWERING], "targetNamespaces: [default]\n"),
    ("listener", &[ANSWERING], "secretNamespaces: [default]\n"),
    ("gateway", &[ANSWERING], "listener: {caSecretName: ca}\nautoscaling: {enabled: true}\n"),
    ("devportal", &[], "namespaces: [default]\n"),
    ("portal", &[ANSWERING, LOGIN], "tryIt: {caSecretName: ca}\nautoscaling: {enabled: true}\n"),
];

/// One namespace per chart, so that releases do not get in each other's way.
#[tokio::test]
async fn every_rendered_object_is_taken_strictly() {
    let (plane, home) = (cluster("rendered").await, Workdir::new("rendered").unwrap());
    let mut kinds = BTreeSet::new();
    for (service, shared, own) in CHARTS {
        let values = format!("{EVERYWHERE}{}{own}", shared.concat());
        let file = home.write_private("values.yaml", &values).unwrap();
        let namespace = format!("{NAMESPACE}-{service}");
        let arguments =
            format!("template r {} --namespace {namespace} --values {}", chart(service), file.display());
        let Some(rendered) = helm(4, &plane, &home, &arguments).await else {
            return println!("skipped: {}: {}", module_path!(), Toolchain::Go.absence());
        };
        assert_eq!(rendered.code, 0, "{service}: {}", rendered.stderr);
        assert_eq!(kubectl(&plane, &home, &format!("create namespace {namespace}"), "").await.code, 0);
        let (objects, text) = known(&rendered.stdout, &mut kinds);
        let apply = "apply --server-side --validate=strict --filename -";
        let applied = kubectl(&plane, &home, apply, &text).await;
        assert_eq!(applied.code, 0, "{service}: {}", applied.stderr);
        let taken = applied.stdout.lines().filter(|line| line.ends_with(" serverside-applied")).count();
        assert_eq!(taken, objects, "{service}: {}", applied.stdout);
        // The restricted Pod Security Standard checks every pod, hooks included.
        assert!(!applied.stderr.contains("would violate PodSecurity"), "{}", applied.stderr);
    }
    let expected = [
        "Deployment",
        "HorizontalPodAutoscaler",
        "Ingress",
        "Job",
        "NetworkPolicy",
        "Pod",
        "PodDisruptionBudget",
        "Role",
    ];
    assert!(expected.iter().all(|kind| kinds.contains(*kind)), "{kinds:?}");
}

/// The objects of kinds that this API server knows, and their number.
fn known(rendered: &str, kinds: &mut BTreeSet<String>) -> (usize, String) {
    let mut kept = Vec::new();
    for document in rendered.split("\n---\n") {
        let object: Value = serde_saphyr::from_str(document.trim_start_matches("---")).unwrap();
        let Some(kind) = object["kind"].as_str() else { continue };
        if !FOREIGN.contains(&kind) {
            kinds.insert(kind.to_owned());
            kept.push(serde_json::to_string(&object).unwrap());
        }
    }
    (kept.len(), kept.join("\n---\n"))
}
