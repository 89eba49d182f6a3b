//! The rules of a service, as its chart states them in `files/rbac.yaml`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde::Deserialize;

const CHARTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts");

/// Everything that a service may do.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rbac {
    /// Granted in the whole cluster.
    #[serde(default)]
    pub cluster_rules: Vec<Rule>,
    /// Granted in the whole cluster, where the installer says that consumers may share kinds.
    #[serde(default)]
    pub shared_rules: Vec<Rule>,
    /// Granted in the namespace of the release, if the installer wants names of clusters to be kept.
    #[serde(default)]
    pub name_rules: Vec<Rule>,
    /// All `ClusterRole`s that have this label with the value `true` are granted, too.
    pub aggregate_label: Option<String>,
    /// Granted in some namespaces.
    #[serde(default)]
    pub namespace_rules: NamespaceRules,
}

/// Rules by the kind of namespace that they are granted in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NamespaceRules {
    /// In the namespace of the release.
    pub release: Vec<Rule>,
    /// In every namespace that may hold referenced Secrets.
    pub secret_namespaces: Vec<Rule>,
    /// In every namespace whose objects the service acts on.
    pub target_namespaces: Vec<Rule>,
}

/// One rule. Unlike Kubernetes' own type, it refuses a field that it does not know: a misspelt one would
/// silently grant something else.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Groups of the resources; empty string for the core group.
    #[serde(default)]
    pub api_groups: Vec<String>,
    /// Plurals, with subresources as `plural/subresource`.
    #[serde(default)]
    pub resources: Vec<String>,
    /// Only objects of these names, where given.
    #[serde(default)]
    pub resource_names: Vec<String>,
    /// Paths that are no resources.
    #[serde(default, rename = "nonResourceURLs")]
    pub non_resource_urls: Vec<String>,
    /// Verbs that the rule allows.
    pub verbs: Vec<String>,
}

impl Rbac {
    /// Reads `charts/<service>/files/rbac.yaml` of this repository.
    pub fn load(service: &str) -> Result<Self> {
        let path = Path::new(CHARTS).join(service).join("files").join("rbac.yaml");
        let text = fs::read_to_string(&path);
        let text = text.with_context(|| format!("cannot read the rules of {service}: {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not as expected", path.display()))
    }

    /// Reads the text of such a file.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(serde_saphyr::from_str(text)?)
    }
}

impl From<&Rule> for PolicyRule {
    fn from(rule: &Rule) -> Self {
        let some = |list: &Vec<String>| Some(list.clone()).filter(|list| !list.is_empty());
        Self {
            api_groups: some(&rule.api_groups),
            resources: some(&rule.resources),
            resource_names: some(&rule.resource_names),
            non_resource_urls: some(&rule.non_resource_urls),
            verbs: rule.verbs.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
# The least that it needs.
clusterRules:
- apiGroups: [kube-bind.io]
  resources: [apiservicebindings, apiservicebindings/status]
  verbs: [get, list, watch]
- nonResourceURLs: [/version]
  verbs: [get]
aggregateLabel: rbac.kube-bind.io/aggregate-to-konnector
namespaceRules:
  release:
  - {apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [konnector], verbs: [get, update]}
  secretNamespaces:
  - {apiGroups: [""], resources: [secrets], verbs: [get]}
"#;

    #[test]
    fn the_format_of_the_charts_is_read() {
        let rbac = Rbac::parse(FILE).unwrap();
        assert_eq!(rbac.cluster_rules.len(), 2);
        assert_eq!(rbac.aggregate_label.unwrap(), "rbac.kube-bind.io/aggregate-to-konnector");
        let lease = PolicyRule::from(&rbac.namespace_rules.release[0]);
        assert_eq!(lease.resource_names.unwrap(), ["konnector"]);
        assert_eq!(lease.non_resource_urls, None);
        assert_eq!(rbac.namespace_rules.secret_namespaces[0].api_groups, [""]);
        assert_eq!(rbac.cluster_rules[1].non_resource_urls, ["/version"]);
    }

    #[test]
    fn the_rules_of_every_chart_are_read() {
        let charts = fs::read_dir(CHARTS).unwrap().map(|chart| chart.unwrap());
        let with_rules = charts.filter(|chart| chart.path().join("files/rbac.yaml").is_file());
        for chart in with_rules {
            Rbac::load(chart.file_name().to_str().unwrap()).unwrap();
        }
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        assert!(Rbac::parse("clusterRules: [{apiGroups: [a], resource: [b], verbs: [get]}]").is_err());
        assert!(Rbac::parse("clusterRule: []").is_err());
        assert!(Rbac::parse("namespaceRules: {everywhere: []}").is_err());
    }
}
