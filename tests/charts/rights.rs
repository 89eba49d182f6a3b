//! Accounts, roles and CRDs.

use std::fs;

use serde_json::{Value, json};

use super::{LOGIN, SERVICES, chart, find, rendered, renders};

/// Reads `files/rbac.yaml` of a chart.
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
    renders("gateway", "", &[("Role", "", json!(null)), ("ClusterRole", "", json!(null))]);
    renders(
        "listener",
        "secretNamespaces: [a]",
        &[
            ("ClusterRole r-ns", "/rules", granted("listener", "/clusterRules")),
            ("Role r-ns-release", "/rules", granted("listener", "/namespaceRules/release")),
            ("Role r-ns-secrets", "/rules", granted("listener", "/namespaceRules/secretNamespaces")),
        ],
    );
    renders(
        "portal",
        "personas: {create: false}",
        &[
            ("ClusterRole r-ns", "/rules", granted("portal", "/clusterRules")),
            ("ClusterRole r-ns-impersonate", "", json!(null)),
            ("Role", "", json!(null)),
        ],
    );
    renders(
        "devportal",
        "",
        &[
            ("ClusterRole r-ns", "/rules", granted("devportal", "/clusterRules")),
            ("Role r-ns-release", "/rules", granted("devportal", "/namespaceRules/release")),
            ("Role r-ns-work", "", json!(null)),
        ],
    );
}

#[test]
fn a_portal_for_some_namespaces_has_rights_in_these_only() {
    let Value::Array(rules) = granted("devportal", "/clusterRules") else { panic!("rules are a list") };
    let is_wide = |rule: &Value| {
        ["apiextensions.k8s.io", "networking.k8s.io"].iter().any(|group| rule["apiGroups"][0] == *group)
    };
    let (wide, narrow): (Vec<_>, Vec<_>) = rules.into_iter().partition(is_wide);
    renders(
        "devportal",
        "namespaces: [a]",
        &[
            ("ClusterRole r-ns", "/rules", json!(wide)),
            ("Role r-ns-work", "/rules", json!(narrow)),
            ("Role r-ns-work", "/metadata/namespace", json!("a")),
            ("Deployment", "/spec/template/spec/containers/0/args/0", json!("--namespaces=a")),
        ],
    );
}

#[test]
fn a_namespace_that_is_named_twice_has_one_role() {
    for (service, values, name) in [
        ("token-exchange", "targetNamespaces: [a, a]", "r-ns"),
        ("devportal", "namespaces: [a, a]", "r-ns-work"),
        ("listener", "secretNamespaces: [a, a]", "r-ns-secrets"),
        ("konnector", "secretNamespaces: [a, a]", "r-ns-secrets"),
    ] {
        let Some(objects) = rendered(service, values) else { return };
        let is_one = |object: &&Value| {
            object["kind"] == "Role"
                && object["metadata"]["namespace"] == "a"
                && object["metadata"]["name"] == name
        };
        assert_eq!(objects.iter().filter(is_one).count(), 1, "{service}");
    }
}

#[test]
fn policies_name_the_account_of_the_release() {
    let rule = "/spec/matchConditions/0/expression";
    renders(
        "devportal",
        "",
        &[
            (
                "ValidatingAdmissionPolicy r-ns-decisions",
                rule,
                json!("request.userInfo.username != 'system:serviceaccount:ns:r'"),
            ),
            ("ValidatingAdmissionPolicyBinding r-ns-decisions", "/spec/policyName", json!("r-ns-decisions")),
            ("ValidatingAdmissionPolicyBinding r-ns-roles", "/spec/validationActions", json!(["Deny"])),
        ],
    );
    renders("devportal", "policies: {create: false}", &[("ValidatingAdmissionPolicy", "", json!(null))]);
}

#[test]
fn people_of_the_portal_have_roles_and_its_account_impersonates_only_when_told() {
    let text = fs::read_to_string(chart("portal").join("files/personas.yaml")).unwrap();
    let personas: Value = serde_saphyr::from_str(&text).unwrap();
    for role in ["platform-engineer", "api-admin", "api-owner", "api-consumer"] {
        let name = format!("ClusterRole r-ns-{role}").leak();
        renders("portal", "", &[(name, "/rules", personas[role].clone())]);
        renders("portal", "personas: {create: false}", &[(name, "", json!(null))]);
    }
    let is_about_secrets = |rule: &Value| rule["resources"].as_array().unwrap().contains(&json!("secrets"));
    for rules in personas.as_object().unwrap().values() {
        assert!(!rules.as_array().unwrap().iter().any(is_about_secrets), "{rules}");
    }
    assert!(!granted("portal", "/clusterRules").as_array().unwrap().iter().any(is_about_secrets));
    let values = format!("{LOGIN}identity: {{mode: impersonate, groups: [dev]}}");
    let users = json!({"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]});
    let groups = json!({"apiGroups": [""], "resources": ["groups"], "verbs": ["impersonate"], "resourceNames": ["dev"]});
    renders("portal", &values, &[("ClusterRole r-ns-impersonate", "/rules", json!([users, groups]))]);
    let Some(notes) = super::notes("portal", &values) else { return };
    assert!(notes.contains("as powerful as\ncluster-admin"), "{notes}");
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
        if service == "gateway" {
            // It has no rights, so that its chart has no such value.
            continue;
        }
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

#[test]
fn names_of_clusters_take_a_flag_and_rights_that_are_not_there_otherwise() {
    let Value::Array(mut rules) = granted("token-service", "/namespaceRules/release") else { return };
    let Value::Array(more) = granted("token-service", "/nameRules") else { panic!("no rules for names") };
    rules.extend(more);
    let flag = "/spec/template/spec/containers/0/args/5";
    renders(
        "token-service",
        "clusterNames: {enabled: true}",
        &[("Role r-ns", "/rules", json!(rules)), ("Deployment", flag, json!("--cluster-names=r"))],
    );
    renders("token-service", "", &[("Deployment", flag, json!(null))]);
}

#[test]
fn an_uninstall_drains_first_with_rights_of_its_own() {
    let hook = "/metadata/annotations/helm.sh~1hook";
    let rule = json!([{
        "apiGroups": ["kube-bind.io"], "resources": ["apiservicebindingbundles", "apiservicebindings"],
        "verbs": ["list", "delete"],
    }]);
    let pod = "/spec/template/spec";
    let at = |rest: &str| -> &'static str { format!("{pod}{rest}").leak() };
    renders(
        "konnector",
        "",
        &[
            ("Job r-drain", hook, json!("pre-delete")),
            // An uninstall that fails says why.
            ("Job r-drain", "/metadata/annotations/helm.sh~1hook-output-log-policy", json!("hook-failed")),
            ("ServiceAccount r-drain", hook, json!("pre-delete")),
            ("ClusterRole r-ns-drain", hook, json!("pre-delete")),
            ("ClusterRole r-ns-drain", "/rules", rule),
            ("Job r-drain", at("/serviceAccountName"), json!("r-drain")),
            ("Job r-drain", at("/restartPolicy"), json!("Never")),
            ("Job r-drain", at("/containers/0/args/2"), json!("drain")),
            ("Job r-drain", at("/containers/0/args/3"), json!("--all")),
            ("Job r-drain", at("/containers/0/securityContext/readOnlyRootFilesystem"), json!(true)),
        ],
    );
    renders("konnector", "drainOnUninstall: false", &[("Job", "", json!(null))]);
}
