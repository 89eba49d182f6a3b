//! Objects that are there when a value is switched on, and not otherwise.

use serde_json::{Value, json};

use super::{ANSWERING, SERVICES, find, rendered, renders};

#[test]
fn nothing_is_there_that_was_not_asked_for() {
    for service in SERVICES {
        let Some(objects) = rendered(service, "") else { return };
        for kind in [
            "HorizontalPodAutoscaler",
            "HTTPRoute",
            "Ingress",
            "NetworkPolicy",
            "PrometheusRule",
            "Secret",
            "ServiceMonitor",
            "ConfigMap",
        ] {
            assert_eq!(find(&objects, kind), &Value::Null, "{service}");
        }
    }
}

#[test]
fn a_budget_is_there_for_several_pods_only() {
    for service in SERVICES {
        renders(
            service,
            "",
            &[
                ("PodDisruptionBudget", "/spec/maxUnavailable", json!(1)),
                ("PodDisruptionBudget", "/spec/unhealthyPodEvictionPolicy", json!("AlwaysAllow")),
                ("PodDisruptionBudget", "/spec/selector/matchLabels/app.kubernetes.io~1instance", json!("r")),
            ],
        );
        renders(service, "replicas: 1", &[("PodDisruptionBudget", "", json!(null))]);
        renders(service, "podDisruptionBudget: null", &[("PodDisruptionBudget", "", json!(null))]);
        renders(
            service,
            "podDisruptionBudget: {enabled: false}",
            &[("PodDisruptionBudget", "", json!(null))],
        );
        renders(
            service,
            "podDisruptionBudget: {maxUnavailable: 30%}",
            &[("PodDisruptionBudget", "/spec/maxUnavailable", json!("30%"))],
        );
    }
}

#[test]
fn an_autoscaler_decides_in_place_of_replicas() {
    for service in ANSWERING.into_iter().chain(["gateway", "portal"]) {
        renders(
            service,
            "autoscaling: {enabled: true, maxReplicas: 9}\nreplicas: 7",
            &[
                (
                    "HorizontalPodAutoscaler",
                    "/spec/scaleTargetRef",
                    json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "r"}),
                ),
                ("HorizontalPodAutoscaler", "/spec/minReplicas", json!(2)),
                ("HorizontalPodAutoscaler", "/spec/maxReplicas", json!(9)),
                ("HorizontalPodAutoscaler", "/spec/metrics/0/resource/target/averageUtilization", json!(80)),
                ("HorizontalPodAutoscaler", "/spec/behavior", json!(null)),
                ("Deployment", "/spec/replicas", json!(null)),
                ("PodDisruptionBudget", "/spec/maxUnavailable", json!(1)),
            ],
        );
        renders(
            service,
            "autoscaling: {enabled: true, minReplicas: 1, behavior: {scaleDown: {a: 1}}}",
            &[
                ("HorizontalPodAutoscaler", "/spec/behavior", json!({"scaleDown": {"a": 1}})),
                ("PodDisruptionBudget", "", json!(null)),
            ],
        );
    }
}

#[test]
fn a_network_policy_lets_in_and_out_whom_it_names() {
    let peer = json!({"podSelector": {"matchLabels": {"a": "b"}}});
    for service in SERVICES {
        renders(
            service,
            "networkPolicy: {enabled: true}",
            &[
                ("NetworkPolicy", "/spec/policyTypes", json!(["Ingress"])),
                ("NetworkPolicy", "/spec/ingress/0", json!({"ports": [{"port": "admin"}]})),
                ("NetworkPolicy", "/spec/podSelector/matchLabels/app.kubernetes.io~1name", json!(service)),
                ("NetworkPolicy", "/spec/egress", json!(null)),
            ],
        );
        let values = "networkPolicy: {enabled: true, metricsFrom: [{podSelector: {matchLabels: {a: b}}}], egress: [{ports: [{port: 443}]}]}";
        renders(
            service,
            values,
            &[
                ("NetworkPolicy", "/spec/policyTypes", json!(["Ingress", "Egress"])),
                ("NetworkPolicy", "/spec/ingress/0/from", json!([peer])),
                ("NetworkPolicy", "/spec/egress/0/ports/0", json!({"port": 53, "protocol": "UDP"})),
                ("NetworkPolicy", "/spec/egress/1", json!({"ports": [{"port": 443}]})),
            ],
        );
    }
    for (service, port) in [
        ("token-service", "reviews"),
        ("token-exchange", "exchange"),
        ("listener", "documents"),
        ("gateway", "graphql"),
        ("portal", "portal"),
    ] {
        renders(
            service,
            "networkPolicy: {enabled: true, from: [{podSelector: {matchLabels: {a: b}}}]}",
            &[("NetworkPolicy", "/spec/ingress/1", json!({"ports": [{"port": port}], "from": [peer]}))],
        );
    }
    renders(
        "konnector",
        "networkPolicy: {enabled: true}",
        &[("NetworkPolicy", "/spec/ingress/1", json!(null))],
    );
}

#[test]
fn metrics_alerts_and_a_dashboard_are_found_by_their_labels() {
    for service in SERVICES {
        let page = format!("https://a.example/docs/{service}.md#");
        let values = "serviceMonitor: {enabled: true, labels: {p: q}, interval: 15s, relabelings: [{action: drop}]}\n\
            prometheusRule: {enabled: true, labels: {p: q}, alertLabels: {team: t}, runbookBase: 'https://a.example/'}\n\
            dashboard: {enabled: true, annotations: {folder: f}}";
        let Some(objects) = rendered(service, values) else { return };
        super::compare(
            service,
            &objects,
            &[
                ("ServiceMonitor", "/metadata/labels/p", json!("q")),
                ("ServiceMonitor", "/spec/endpoints/0/port", json!("admin")),
                ("ServiceMonitor", "/spec/endpoints/0/interval", json!("15s")),
                ("ServiceMonitor", "/spec/endpoints/0/relabelings", json!([{"action": "drop"}])),
                ("ServiceMonitor", "/spec/endpoints/0/metricRelabelings", json!(null)),
                ("ServiceMonitor", "/spec/selector/matchLabels/app.kubernetes.io~1instance", json!("r")),
                ("PrometheusRule", "/metadata/labels/p", json!("q")),
                ("PrometheusRule", "/spec/groups/0/name", json!(format!("portolan-{service}"))),
                ("PrometheusRule", "/spec/groups/0/rules/0/labels/team", json!("t")),
                ("PrometheusRule", "/spec/groups/0/rules/0/labels/severity", json!("critical")),
                ("ConfigMap r-dashboard", "/metadata/labels/grafana_dashboard", json!("1")),
                ("ConfigMap r-dashboard", "/metadata/annotations", json!({"folder": "f"})),
            ],
        );
        let runbook =
            find(&objects, "PrometheusRule").pointer("/spec/groups/0/rules/0/annotations/runbook_url");
        assert!(runbook.unwrap().as_str().unwrap().starts_with(&page), "{runbook:?}");
        let text = find(&objects, "ConfigMap r-dashboard")["data"]["r.json"].as_str().unwrap();
        let dashboard: Value = serde_json::from_str(text).unwrap();
        assert_eq!(dashboard["uid"], format!("portolan-{service}"));
    }
}

#[test]
fn an_ingress_and_a_route_lead_to_the_service() {
    for (service, port) in [
        ("token-service", "reviews"),
        ("token-exchange", "exchange"),
        ("gateway", "graphql"),
        ("portal", "portal"),
    ] {
        renders(
            service,
            "service: {type: NodePort, port: 8443, annotations: {a: b}}",
            &[
                ("Service r", "/spec/type", json!("NodePort")),
                ("Service r", "/metadata/annotations", json!({"a": "b"})),
                (
                    "Service r",
                    "/spec/ports/0",
                    json!({"name": "https", "port": 8443, "targetPort": port, "appProtocol": "https"}),
                ),
            ],
        );
        renders(
            service,
            "ingress: {enabled: true, className: c, hosts: [a.example, b.example], annotations: {a: b}, tls: [{secretName: s}]}",
            &[
                ("Ingress", "/spec/ingressClassName", json!("c")),
                ("Ingress", "/metadata/annotations", json!({"a": "b"})),
                ("Ingress", "/spec/tls", json!([{"secretName": "s"}])),
                ("Ingress", "/spec/rules/1/host", json!("b.example")),
                (
                    "Ingress",
                    "/spec/rules/0/http/paths/0/backend/service",
                    json!({"name": "r", "port": {"name": "https"}}),
                ),
                ("Ingress", "/spec/rules/2", json!(null)),
            ],
        );
        renders(
            service,
            "ingress: {enabled: true}",
            &[
                ("Ingress", "/spec/rules/0/host", json!(null)),
                ("Ingress", "/spec/rules/0/http/paths/0/path", json!("/")),
                ("Ingress", "/spec/ingressClassName", json!(null)),
            ],
        );
        renders(
            service,
            "httpRoute: {enabled: true, parentRefs: [{name: g}], hostnames: [a.example]}",
            &[
                ("HTTPRoute", "/spec/parentRefs", json!([{"name": "g"}])),
                ("HTTPRoute", "/spec/hostnames", json!(["a.example"])),
                ("HTTPRoute", "/spec/rules/0/backendRefs/0", json!({"name": "r", "port": 443})),
            ],
        );
    }
}

#[test]
fn objects_of_a_caller_are_rendered() {
    let values = "extraObjects: [{apiVersion: v1, kind: Own, metadata: {name: '{{ .Release.Name }}-own'}}, \"kind: Text\\nname: {{ .Values.replicas }}\"]";
    for service in SERVICES {
        renders(service, values, &[("Own", "/metadata/name", json!("r-own")), ("Text", "/name", json!(2))]);
    }
}
