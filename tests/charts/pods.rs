//! Pods: what they may, how they are watched, which image they run, and what a caller adds.

use serde_json::json;

use super::{LOGIN, SERVICES, compare, notes, rendered, renders};

const DEPLOYMENT: &str = "Deployment";
const POD: &str = "Pod";

#[test]
fn pods_fulfil_the_restricted_standard() {
    for service in SERVICES {
        let Some(objects) = rendered(service, "") else { return };
        for (kind, pod) in [(DEPLOYMENT, "/spec/template/spec"), (POD, "/spec")] {
            let spec = super::find(&objects, kind).pointer(pod).unwrap();
            let container = &spec["containers"][0];
            let rows = [
                (&spec["securityContext"]["runAsNonRoot"], json!(true)),
                (&spec["securityContext"]["runAsUser"], json!(65532)),
                (&spec["securityContext"]["runAsGroup"], json!(65532)),
                (&spec["securityContext"]["seccompProfile"]["type"], json!("RuntimeDefault")),
                (&container["securityContext"]["allowPrivilegeEscalation"], json!(false)),
                (&container["securityContext"]["readOnlyRootFilesystem"], json!(true)),
                (&container["securityContext"]["capabilities"], json!({"drop": ["ALL"]})),
                (&container["securityContext"]["privileged"], json!(null)),
                (&spec["hostNetwork"], json!(null)),
                (&spec["containers"][1], json!(null)),
                (&spec["initContainers"], json!(null)),
            ];
            for (found, expected) in rows {
                assert_eq!(*found, expected, "{service}, {kind}: {spec:#}");
            }
        }
    }
}

#[test]
fn pods_are_probed_spread_and_limited() {
    let container = "/spec/template/spec/containers/0";
    for service in SERVICES {
        let Some(objects) = rendered(service, "") else { return };
        let at = |rest: &str| -> &'static str { format!("{container}{rest}").leak() };
        let memory = if service == "gateway" { "512Mi" } else { "256Mi" };
        let rows = [
            (DEPLOYMENT, at("/name"), json!(service)),
            (DEPLOYMENT, at("/livenessProbe/httpGet"), json!({"path": "/livez", "port": "admin"})),
            (DEPLOYMENT, at("/livenessProbe/failureThreshold"), json!(3)),
            (DEPLOYMENT, at("/readinessProbe/httpGet"), json!({"path": "/readyz", "port": "admin"})),
            (DEPLOYMENT, at("/readinessProbe/periodSeconds"), json!(5)),
            (DEPLOYMENT, at("/ports/0"), json!({"name": "admin", "containerPort": 9090})),
            (DEPLOYMENT, at("/image"), json!(format!("portolan/{service}:0.1.0"))),
            (DEPLOYMENT, at("/resources/limits"), json!({"memory": memory})),
            (DEPLOYMENT, "/spec/replicas", json!(2)),
            (DEPLOYMENT, "/spec/strategy/rollingUpdate", json!({"maxSurge": 1, "maxUnavailable": 0})),
            (DEPLOYMENT, "/spec/template/spec/enableServiceLinks", json!(false)),
            (
                DEPLOYMENT,
                "/spec/template/spec/topologySpreadConstraints/0/topologyKey",
                json!("kubernetes.io/hostname"),
            ),
            (
                DEPLOYMENT,
                "/spec/template/spec/topologySpreadConstraints/1/topologyKey",
                json!("topology.kubernetes.io/zone"),
            ),
        ];
        compare(service, &objects, &rows);
    }
}

#[test]
fn images_come_from_where_the_values_say() {
    let digest = format!("sha256:{}", "0a".repeat(32));
    let cases = [
        ("image: {tag: v1}".to_owned(), "portolan/provider:v1".to_owned()),
        (format!("image: {{digest: '{digest}'}}"), format!("portolan/provider@{digest}")),
        (format!("image: {{tag: v1, digest: '{digest}'}}"), format!("portolan/provider@{digest}")),
        ("image: {registry: a.example}".to_owned(), "a.example/portolan/provider:0.1.0".to_owned()),
        ("global: {imageRegistry: b.example/}".to_owned(), "b.example/portolan/provider:0.1.0".to_owned()),
        (
            "image: {registry: a.example}\nglobal: {imageRegistry: b.example}".to_owned(),
            "a.example/portolan/provider:0.1.0".to_owned(),
        ),
        ("image: {repository: mine, tag: '1.10'}".to_owned(), "mine:1.10".to_owned()),
    ];
    for (values, image) in cases {
        let rows = [
            (DEPLOYMENT, "/spec/template/spec/containers/0/image", json!(image)),
            (POD, "/spec/containers/0/image", json!(image)),
        ];
        renders("provider", &values, &rows);
    }
}

#[test]
fn pull_secrets_are_those_of_the_chart_and_of_all_charts() {
    let pointer = "/spec/template/spec/imagePullSecrets";
    let cases = [
        ("", json!(null)),
        ("imagePullSecrets: [a]", json!([{"name": "a"}])),
        ("imagePullSecrets: [{name: a}]", json!([{"name": "a"}])),
        ("global: {imagePullSecrets: [b]}", json!([{"name": "b"}])),
        (
            "imagePullSecrets: [a]\nglobal: {imagePullSecrets: [{name: b}]}",
            json!([{"name": "a"}, {"name": "b"}]),
        ),
        // An apply on the server refuses a list that names one twice.
        (
            "imagePullSecrets: [a]\nglobal: {imagePullSecrets: [{name: a}, b]}",
            json!([{"name": "a"}, {"name": "b"}]),
        ),
    ];
    for (values, expected) in cases {
        renders("konnector", values, &[(DEPLOYMENT, pointer, expected)]);
    }
}

#[test]
fn what_a_caller_adds_is_in_the_pod() {
    let pod = "/spec/template/spec";
    let at = |rest: &str| -> &'static str { format!("{pod}{rest}").leak() };
    let cases = [
        ("args: [--log-level=debug]", at("/containers/0/args/2"), json!("--log-level=debug")),
        ("env: [{name: A, value: b}]", at("/containers/0/env/2"), json!({"name": "A", "value": "b"})),
        (
            "envFrom: [{secretRef: {name: s}}]",
            at("/containers/0/envFrom"),
            json!([{"secretRef": {"name": "s"}}]),
        ),
        ("volumes: [{name: v, emptyDir: {}}]", at("/volumes"), json!([{"name": "v", "emptyDir": {}}])),
        (
            "volumeMounts: [{name: v, mountPath: /v}]",
            at("/containers/0/volumeMounts"),
            json!([{"name": "v", "mountPath": "/v"}]),
        ),
        ("podLabels: {a: b}", "/spec/template/metadata/labels/a", json!("b")),
        (
            "podLabels: {app.kubernetes.io/name: x}",
            "/spec/template/metadata/labels/app.kubernetes.io~1name",
            json!("konnector"),
        ),
        ("podAnnotations: {a: b}", "/spec/template/metadata/annotations", json!({"a": "b"})),
        ("priorityClassName: high", at("/priorityClassName"), json!("high")),
        ("nodeSelector: {disk: fast}", at("/nodeSelector"), json!({"disk": "fast"})),
        ("tolerations: [{operator: Exists}]", at("/tolerations"), json!([{"operator": "Exists"}])),
        ("affinity: {nodeAffinity: {a: 1}}", at("/affinity"), json!({"nodeAffinity": {"a": 1}})),
        (
            "topologySpreadConstraints: [{maxSkew: 2}]",
            at("/topologySpreadConstraints"),
            json!([{"maxSkew": 2}]),
        ),
        ("replicas: 5", "/spec/replicas", json!(5)),
        ("replicas: 0", "/spec/replicas", json!(0)),
        ("image: {pullPolicy: Always}", at("/containers/0/imagePullPolicy"), json!("Always")),
        ("livenessProbe: {periodSeconds: 7}", at("/containers/0/livenessProbe/periodSeconds"), json!(7)),
        ("podSecurityContext: {runAsUser: null}", at("/securityContext/runAsUser"), json!(null)),
        ("podSecurityContext: {runAsUser: null}", at("/securityContext/runAsNonRoot"), json!(true)),
        ("secretNamespaces: [a, b]", at("/containers/0/args/0"), json!("--secret-namespaces=a,b,ns")),
        ("secretNamespaces: [ns]", at("/containers/0/args/0"), json!("--secret-namespaces=ns")),
        ("", at("/containers/0/args/1"), json!("--install-crds=if-missing")),
        ("crds: {install: false}", at("/containers/0/args/1"), json!("--install-crds=never")),
        (
            "args: [--install-crds=always]",
            at("/containers/0/args"),
            json!(["--secret-namespaces=default,ns", "--install-crds=always"]),
        ),
    ];
    for (values, pointer, expected) in cases {
        renders("konnector", values, &[(DEPLOYMENT, pointer, expected)]);
    }
}

#[test]
fn null_takes_a_default_away() {
    let at = |rest: &str| -> &'static str { format!("/spec/template/spec{rest}").leak() };
    let cases = [
        ("secretNamespaces: null", at("/containers/0/args/0"), json!("--secret-namespaces=ns")),
        ("livenessProbe: null", at("/containers/0/livenessProbe"), json!(null)),
        ("readinessProbe: null", at("/containers/0/readinessProbe"), json!(null)),
        ("resources: null", at("/containers/0/resources"), json!(null)),
        ("imagePullSecrets: null", at("/imagePullSecrets"), json!(null)),
        ("volumes: null\nvolumeMounts: null", at("/volumes"), json!(null)),
        (
            "podLabels: null\ncommonLabels: null",
            "/spec/template/metadata/labels/app.kubernetes.io~1name",
            json!("konnector"),
        ),
    ];
    for (values, pointer, expected) in cases {
        renders("konnector", values, &[(DEPLOYMENT, pointer, expected)]);
    }
}

#[test]
fn a_provider_has_a_name_and_may_share() {
    let at = |rest: &str| -> &'static str { format!("/spec/template/spec{rest}").leak() };
    renders(
        "provider",
        "prettyName: 'A: \"b\"'",
        &[(DEPLOYMENT, at("/containers/0/args/0"), json!("--pretty-name=A: \"b\""))],
    );
    renders(
        "provider",
        "allowShared: true",
        &[(DEPLOYMENT, at("/containers/0/args/1"), json!("--allow-shared"))],
    );
}

#[test]
fn services_that_answer_have_a_configuration_tls_and_time_to_drain() {
    let pod = "/spec/template/spec";
    let at = |rest: &str| -> &'static str { format!("{pod}{rest}").leak() };
    for (service, file, credentials) in [
        ("token-service", "clusters", "/etc/kube-fed/clusters"),
        ("token-exchange", "exchange", "/etc/exchange"),
    ] {
        let flag = at("/containers/0/args/3");
        let data: &'static str = format!("/data/{file}.yaml").leak();
        renders(
            service,
            "",
            &[
                (DEPLOYMENT, at("/volumes/0"), json!({"name": "config", "configMap": {"name": "config"}})),
                (DEPLOYMENT, at("/volumes/1"), json!({"name": "tls", "secret": {"secretName": "tls"}})),
                (DEPLOYMENT, at("/containers/0/volumeMounts/0/mountPath"), json!("/etc/portolan")),
                (DEPLOYMENT, flag, json!("--tls-cert-file=/etc/portolan-tls/tls.crt")),
                (DEPLOYMENT, at("/containers/0/args/2"), json!("--drain-delay=5s")),
                (DEPLOYMENT, at("/terminationGracePeriodSeconds"), json!(30)),
                ("ConfigMap", "", json!(null)),
            ],
        );
        renders(
            service,
            "existingSecret: s\nplainHttp: true\ndrainSeconds: 0",
            &[
                (DEPLOYMENT, at("/volumes"), json!([{"name": "config", "secret": {"secretName": "s"}}])),
                (DEPLOYMENT, flag, json!("--plain-http")),
                (DEPLOYMENT, at("/containers/0/args/2"), json!("--drain-delay=0s")),
                (DEPLOYMENT, at("/terminationGracePeriodSeconds"), json!(25)),
                ("Service r", "/spec/ports/0/name", json!("http")),
            ],
        );
        renders(
            service,
            "config: {a: {b: 1}}\ntls: {secretName: tls}",
            &[
                ("ConfigMap r", data, json!("a:\n  b: 1\n")),
                (DEPLOYMENT, at("/volumes/0/configMap/name"), json!("r")),
            ],
        );
        renders(
            service,
            "credentials: [{name: app1, secretName: s1}]",
            &[
                (
                    DEPLOYMENT,
                    at("/volumes/2"),
                    json!({"name": "credentials-app1", "secret": {"secretName": "s1"}}),
                ),
                (
                    DEPLOYMENT,
                    at("/containers/0/volumeMounts/2/mountPath"),
                    json!(format!("{credentials}/app1")),
                ),
            ],
        );
    }
}

#[test]
fn the_test_runs_the_check_with_the_account_of_the_service() {
    for service in SERVICES {
        let Some(objects) = rendered(service, "args: [--x]") else { return };
        let rows = [
            ("Pod r-check", "/metadata/annotations/helm.sh~1hook", json!("test")),
            // Otherwise `helm test --logs` of Helm 3 finds no pod.
            (
                "Pod r-check",
                "/metadata/annotations/helm.sh~1hook-delete-policy",
                json!("before-hook-creation"),
            ),
            ("Pod r-check", "/spec/serviceAccountName", json!("r")),
            ("Pod r-check", "/spec/restartPolicy", json!("Never")),
            ("Pod r-check", "/spec/containers/0/livenessProbe", json!(null)),
            ("Pod r-check", "/metadata/labels/app.kubernetes.io~1name", json!(format!("{service}-check"))),
        ];
        compare(service, &objects, &rows);
        let args =
            super::find(&objects, "Pod").pointer("/spec/containers/0/args").unwrap().as_array().unwrap();
        assert_eq!(args[args.len() - 2..], [json!("--x"), json!("check")], "{service}");
    }
}

#[test]
fn notes_have_the_next_command() {
    let cases = [
        ("konnector", "", "kubectl create secret generic provider-kubeconfig --namespace default"),
        ("konnector", "secretNamespaces: []", "provider-kubeconfig --namespace ns"),
        ("konnector", "", "No API group is in `boundGroups`"),
        ("provider", "", "kubectl label crd NAME kube-bind.io/exported=true"),
        ("token-service", "", "https://r.ns.svc:443/clusters/CLUSTER"),
        ("token-service", "existingSecret: s\nplainHttp: true", "http://r.ns.svc:443/clusters/CLUSTER"),
        (
            "token-service",
            "clusterNames: {enabled: true}",
            "names such as api.CLUSTER.ns.svc mean no cluster",
        ),
        (
            "token-service",
            "clusterNames: {enabled: true}",
            "--selector app.kubernetes.io/managed-by=portolan-",
        ),
        ("konnector", "", "\nkubectl apply -f - <<END\napiVersion: kube-bind.io/v1alpha2\n"),
        ("konnector", "", "\nEND\n"),
        ("listener", "", "https://r.ns.svc:443"),
        ("listener", "plainHttp: true", "http://r.ns.svc:443"),
        ("gateway", "", "https://r.ns.svc:443/CLUSTER/graphql"),
        ("gateway", "plainHttp: true", "http://r.ns.svc:443/CLUSTER/graphql"),
        ("token-exchange", "", "No namespace is in `targetNamespaces`"),
        ("portal", "", "only requests with a bearer token are answered"),
        ("portal", LOGIN, "Register https://p.example/callback at the issuer"),
        ("portal", LOGIN, "--clusterrole r-ns-api-consumer"),
        ("devportal", "", "EVERY namespace"),
        ("devportal", "namespaces: [a]", "kubectl get apiproducts -A -o wide"),
        ("token-exchange", "targetNamespaces: [a]", "kubectl annotate serviceaccount app --namespace a"),
    ];
    for (service, values, expected) in cases {
        let Some(notes) = notes(service, values) else { return };
        assert!(notes.contains(expected), "{service} with {values:?}: {notes}");
        assert!(notes.contains("helm test r --namespace ns --logs"), "{service}: {notes}");
    }
    let bound = notes("konnector", "boundGroups: [wildwest.dev]").unwrap_or_default();
    assert!(!bound.contains("No API group"), "{bound}");
}
