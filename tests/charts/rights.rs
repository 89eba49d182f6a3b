//! Accounts, roles and CRDs.

use std::fs;

use serde_json::{Value, json};

use super::{SERVICES, chart, find, rendered, renders};

/// What `files/rbac.yaml` of a chart says.
fn granted(service: &str, pointer: &str) -> Value {
    let text = fs::read_to_string(chart(service).join("files/rbac.yaml")).unwrap();
    let rights: Value = serde_saphyr::from_str(&text).unwrap();
    rights.pointer(pointer).unwrap().clone()
}

#[test]
fn the_account_has_the_rules_of_its_file() {
    renders(
        "konnector",
        "",
        &[
            ("ClusterRole r-ns", "/rules", granted("konnector", "/clusterRules")),
            ("ClusterRole r-ns", "/metadata/labels/app.kubernetes.io~1component", json!("konnector")),
            (
                "ClusterRole r-ns-bound",
                "/aggregationRule/clusterRoleSelectors/0/matchLabels",
                json!({"rbac.kube-bind.io/aggregate-to-konnector": "true"}),
            ),
            ("ClusterRoleBinding r-ns-bound", "/roleRef/name", json!("r-ns-bound")),
            ("Role r-ns-release", "/rules", granted("konnector", "/namespaceRules/release")),
            ("Role r-ns-secrets", "/metadata/namespace", json!("default")),
            ("Role r-ns-secrets", "/rules", granted("konnector", "/namespaceRules/secretNamespaces")),
            (
                "RoleBinding r-ns-secrets",
                "/subjects/0",
                json!({"kind": "ServiceAccount", "name": "r", "namespace": "ns"}),
            ),
            ("ClusterRole r-ns-groups", "", json!(null)),
        ],
    );
    renders(
        "konnector",
        "boundGroups: [wildwest.dev, other.dev]",
        &[
            ("ClusterRole r-ns-groups", "/rules/0/apiGroups", json!(["wildwest.dev", "other.dev"])),
            ("ClusterRole r-ns-groups", "/rules/0/verbs", json!(["get", "list", "watch", "patch"])),
            (
                "ClusterRole r-ns-groups",
                "/metadata/labels/rbac.kube-bind.io~1aggregate-to-konnector",
                json!("true"),
            ),
        ],
    );
}

#[test]
fn accounts_of_the_other_services_have_the_rules_of_theirs() {
    renders(
        "provider",
        "",
        &[
            ("ClusterRole r-ns", "/rules", granted("provider", "/clusterRules")),
            ("ClusterRole r-ns", "/metadata/labels/app.kubernetes.io~1component", json!("provider")),
            ("ClusterRoleBinding r-ns", "/subjects/0/namespace", json!("ns")),
            ("Role r-ns", "/rules", granted("provider", "/namespaceRules/release")),
        ],
    );
    renders(
        "token-service",
        "",
        &[
            ("Role r-ns", "/rules", granted("token-service", "/namespaceRules/release")),
            ("ClusterRole", "", json!(null)),
        ],
    );
    renders(
        "token-exchange",
        "targetNamespaces: [a]",
        &[
            ("Role r-ns", "/rules", granted("token-exchange", "/namespaceRules/targetNamespaces")),
            ("Role r-ns", "/metadata/namespace", json!("a")),
            ("RoleBinding r-ns", "/metadata/namespace", json!("a")),
            ("ClusterRole", "", json!(null)),
        ],
    );
    renders("token-exchange", "", &[("Role", "", json!(null))]);
}

#[test]
fn sharing_takes_more_rules() {
    let Value::Array(mut rules) = granted("provider", "/clusterRules") else { panic!("rules are a list") };
    rules.extend(granted("provider", "/sharedRules").as_array().unwrap().iter().cloned());
    renders("provider", "allowShared: true", &[("ClusterRole r-ns", "/rules", Value::Array(rules))]);
}

#[test]
fn accounts_and_roles_can_be_somebody_elses() {
    let account = "/spec/template/spec/serviceAccountName";
    for service in SERVICES {
        renders(
            service,
            "serviceAccount: {annotations: {a: b}}",
            &[
                ("ServiceAccount", "/metadata/annotations", json!({"a": "b"})),
                ("ServiceAccount", "/automountServiceAccountToken", json!(false)),
                ("Deployment", "/spec/template/spec/automountServiceAccountToken", json!(true)),
            ],
        );
        renders(
            service,
            "serviceAccount: {name: own}",
            &[("ServiceAccount", "/metadata/name", json!("own")), ("Deployment", account, json!("own"))],
        );
        renders(
            service,
            "serviceAccount: {create: false, name: theirs}",
            &[("ServiceAccount", "", json!(null)), ("Deployment", account, json!("theirs"))],
        );
        renders(service, "serviceAccount: {create: false}", &[("Deployment", account, json!("default"))]);
        renders(
            service,
            "rbac: {create: false}",
            &[
                ("ClusterRole", "", json!(null)),
                ("Role", "", json!(null)),
                ("ClusterRoleBinding", "", json!(null)),
                ("RoleBinding", "", json!(null)),
            ],
        );
    }
}

#[test]
fn crds_are_those_of_the_folder_and_are_kept() {
    for service in ["konnector", "provider"] {
        let Some(objects) = rendered(service, "") else { return };
        let files = fs::read_dir(chart(service).join("files/crds")).unwrap();
        let mut count = 0;
        for file in files {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            let crd: Value = serde_saphyr::from_str(&text).unwrap();
            let name = format!("CustomResourceDefinition {}", crd["metadata"]["name"].as_str().unwrap());
            let found = find(&objects, &name);
            assert_eq!(found["spec"], crd["spec"], "{name}");
            assert_eq!(found["metadata"]["annotations"]["helm.sh/resource-policy"], "keep", "{name}");
            assert_eq!(found["metadata"]["labels"]["app.kubernetes.io/instance"], "r", "{name}");
            count += 1;
        }
        let rendered = objects.iter().filter(|object| object["kind"] == "CustomResourceDefinition").count();
        assert_eq!(rendered, count, "{service}");
        renders(service, "crds: {install: false}", &[("CustomResourceDefinition", "", json!(null))]);
    }
    renders("token-service", "", &[("CustomResourceDefinition", "", json!(null))]);
}
