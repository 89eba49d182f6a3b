//! Files for kubectl from Helm's output.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

/// Marks a file as ours.
pub(super) const HEADER: &str = "# Rendered by `cargo xtask charts --plain`.\n";
/// Files in the order in which they are applied, with the kinds in them. The last one has what is in no other.
const FILES: [(&str, &[&str]); 12] = [
    ("00-namespace.yaml", &["Namespace"]),
    ("10-crds.yaml", &["CustomResourceDefinition"]),
    ("20-rbac.yaml", &["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]),
    ("30-config.yaml", &["ConfigMap", "Secret"]),
    ("40-deployment.yaml", &["Deployment"]),
    ("50-service.yaml", &["Service"]),
    ("60-ingress.yaml", &["Ingress", "HTTPRoute"]),
    ("70-hpa.yaml", &["HorizontalPodAutoscaler"]),
    ("71-pdb.yaml", &["PodDisruptionBudget"]),
    ("72-networkpolicy.yaml", &["NetworkPolicy"]),
    ("80-monitoring.yaml", &["ServiceMonitor", "PrometheusRule"]),
    ("90-other.yaml", &[]),
];
/// Annotations and labels that only Helm reads.
const OF_HELM: [&str; 2] = ["helm.sh/", "meta.helm.sh/"];
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const HOOK: &str = "helm.sh/hook";

/// Names and texts of the files for what `helm template` wrote, with the namespace.
pub(super) fn files(rendered: &str, namespace: &str) -> Result<Vec<(String, String)>> {
    let mut objects = vec![json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})];
    for document in documents(rendered) {
        let object: Value = serde_saphyr::from_str(&document).with_context(|| {
            format!("reading what Helm wrote: {}", document.lines().next().unwrap_or_default())
        })?;
        // A document of comments only is null.
        if object.is_object() && object["metadata"]["annotations"].get(HOOK).is_none() {
            objects.push(object);
        }
    }
    let mut files = BTreeMap::<&str, Vec<Value>>::new();
    for mut object in objects {
        without_helm(&mut object);
        files.entry(file_of(&object)).or_default().push(object);
    }
    files.into_iter().map(|(name, objects)| Ok((name.to_owned(), text(objects)?))).collect()
}

fn documents(rendered: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for line in rendered.lines() {
        if line.trim_end() == "---" {
            found.push(String::new());
        } else if let Some(last) = found.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    found.retain(|document| document.lines().any(|line| !line.is_empty() && !line.starts_with('#')));
    found
}

fn file_of(object: &Value) -> &'static str {
    let kind = object["kind"].as_str().unwrap_or_default();
    let file = FILES.iter().find(|(_, kinds)| kinds.contains(&kind)).or(FILES.last());
    file.map_or("", |(name, _)| name)
}

/// Takes away what Helm alone reads, from templates of pods as well.
fn without_helm(part: &mut Value) {
    match part {
        Value::Object(fields) => {
            for key in ["labels", "annotations"] {
                let of_metadata = fields.get_mut(key).and_then(Value::as_object_mut);
                if of_metadata.is_some_and(strip) {
                    fields.remove(key);
                }
            }
            fields.values_mut().for_each(without_helm);
        }
        Value::Array(parts) => parts.iter_mut().for_each(without_helm),
        _ => {}
    }
}

/// Returns `true` if nothing is left.
fn strip(entries: &mut Map<String, Value>) -> bool {
    let before = entries.len();
    entries.retain(|key, value| {
        let is_read_by_helm = OF_HELM.iter().any(|prefix| key.starts_with(prefix));
        let says_helm = key == MANAGED_BY && value == "Helm";
        !is_read_by_helm && !says_helm
    });
    before > 0 && entries.is_empty()
}

/// Kinds in the order of [`FILES`]: an account before the roles that are bound to it.
fn text(mut objects: Vec<Value>) -> Result<String> {
    let place = |object: &Value| {
        let kind = object["kind"].as_str().unwrap_or_default();
        FILES.iter().find_map(|(_, kinds)| kinds.iter().position(|known| *known == kind))
    };
    objects.sort_by_key(place);
    let texts = objects.iter().map(serde_saphyr::to_string).collect::<Result<Vec<_>, _>>()?;
    Ok(format!("{HEADER}{}", texts.join("---\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RENDERED: &str = r#"---
# Source: x/templates/rights.yaml
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: x, labels: {helm.sh/chart: x-1, app.kubernetes.io/managed-by: Helm, a: b}}
---
# Source: x/templates/account.yaml
apiVersion: v1
kind: ServiceAccount
metadata: {name: x, annotations: {helm.sh/resource-policy: keep}}
---
# Source: x/templates/empty.yaml
---
# Source: x/templates/deployment.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: x, labels: {app.kubernetes.io/managed-by: me}}
spec: {template: {metadata: {annotations: {helm.sh/x: "1", c: "yes"}}}}
---
# Source: x/templates/extra.yaml
apiVersion: example.com/v1
kind: Odd
metadata: {name: x}
---
# Source: x/templates/test.yaml
apiVersion: v1
kind: Pod
metadata: {name: x, annotations: {helm.sh/hook: test}}
"#;

    fn read(text: &str) -> Vec<Value> {
        documents(text).iter().map(|document| serde_saphyr::from_str(document).unwrap()).collect()
    }

    #[test]
    fn nothing_of_helm_is_left_and_each_kind_has_its_file() {
        let files = files(RENDERED, "ns").unwrap();
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["00-namespace.yaml", "20-rbac.yaml", "40-deployment.yaml", "90-other.yaml"]);
        assert!(
            files.iter().all(|(_, text)| text.starts_with(HEADER) && !text.contains("helm.sh")),
            "{files:?}"
        );
        assert_eq!(read(&files[0].1)[0]["metadata"]["name"], "ns");
        let rights = read(&files[1].1);
        assert_eq!(rights[0]["kind"], "ServiceAccount");
        assert_eq!(rights[0]["metadata"], json!({"name": "x"}));
        assert_eq!(rights[1]["metadata"]["labels"], json!({"a": "b"}));
        let deployment = &read(&files[2].1)[0];
        assert_eq!(deployment["metadata"]["labels"], json!({"app.kubernetes.io/managed-by": "me"}));
        assert_eq!(deployment["spec"]["template"]["metadata"]["annotations"], json!({"c": "yes"}));
    }

    #[test]
    fn a_rule_of_three_dashes_within_a_text_parts_nothing() {
        let rendered = "---\nkind: ConfigMap\ndata:\n  a: |\n    x\n    ---\n    y\n";
        let files = files(rendered, "ns").unwrap();
        assert_eq!(read(&files[1].1), [json!({"kind": "ConfigMap", "data": {"a": "x\n---\ny\n"}})]);
    }

    #[test]
    fn files_stand_in_the_order_of_their_names() {
        assert!(FILES.is_sorted_by(|(one, _), (next, _)| one < next));
    }
}
