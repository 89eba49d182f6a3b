//! The check that our account may do what the rules of its chart say: one question to the API server per verb.

use futures::{StreamExt as _, stream};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::{Api, Client, api::PostParams};
use serde::Deserialize;

use super::finding::Check;
use crate::telemetry::ErrorChain;

/// Number of concurrent questions.
const AT_ONCE: usize = 8;

/// The rules of a service: the content of `charts/<service>/files/rbac.yaml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RbacRules {
    cluster_rules: Vec<Rule>,
    namespace_rules: NamespaceRules,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NamespaceRules {
    release: Vec<Rule>,
    secret_namespaces: Vec<Rule>,
    target_namespaces: Vec<Rule>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    resource_names: Vec<String>,
    verbs: Vec<String>,
}

/// Something that an account may need to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredRight {
    /// Group of the resource; empty for the core group.
    pub group: String,
    /// Plural, with a subresource as `plural/subresource`.
    pub resource: String,
    /// Only objects of these names; all where empty.
    pub names: Vec<String>,
    /// Only in this namespace.
    pub namespace: Option<String>,
    /// Verbs that the rule allows.
    pub verbs: Vec<String>,
}

impl RbacRules {
    /// Reads such a file.
    pub fn parse(text: &str) -> Result<Self, serde_saphyr::Error> {
        serde_saphyr::from_str(text)
    }

    /// Every right, with the namespaces of the release and of referenced Secrets filled in.
    pub fn rights(&self, release: &str, secret_namespaces: &[String]) -> Vec<RequiredRight> {
        let cluster = self.cluster_rules.iter().flat_map(|rule| rule.rights(None));
        let release = self.namespace_rules.release.iter().flat_map(|rule| rule.rights(Some(release)));
        let secrets = secret_namespaces.iter().flat_map(|namespace| {
            self.namespace_rules.secret_namespaces.iter().flat_map(|rule| rule.rights(Some(namespace)))
        });
        cluster.chain(release).chain(secrets).collect()
    }

    /// The rights in the namespaces that a configuration lists; `*` stands for all of them.
    pub fn target_rights(&self, namespaces: &[String]) -> Vec<RequiredRight> {
        let place =
            |namespace: &String| Some(namespace.as_str()).filter(|name| *name != "*").map(str::to_owned);
        let rules = &self.namespace_rules.target_namespaces;
        let each = |namespace: &String| {
            let place = place(namespace);
            rules.iter().flat_map(move |rule| rule.rights(place.as_deref()))
        };
        namespaces.iter().flat_map(each).collect()
    }
}

impl Rule {
    fn rights(&self, namespace: Option<&str>) -> Vec<RequiredRight> {
        let right = |group: &String, resource: &String| RequiredRight {
            group: group.clone(),
            resource: resource.clone(),
            names: self.resource_names.clone(),
            namespace: namespace.map(str::to_owned),
            verbs: self.verbs.clone(),
        };
        let each = |group| self.resources.iter().map(|resource| right(group, resource)).collect::<Vec<_>>();
        self.api_groups.iter().flat_map(each).collect()
    }
}

/// Checks the rights that the rules of a chart give, of which `needed` chooses namespaces.
pub async fn chart_rights(
    client: &Client,
    rules: &str,
    needed: impl FnOnce(&RbacRules) -> Vec<RequiredRight>,
    cure: &str,
    docs: &str,
) -> Vec<Check> {
    match RbacRules::parse(rules) {
        Ok(rules) => rights(client, needed(&rules), cure, docs).await,
        Err(error) => vec![Check::skipped("rights", error.to_string(), docs)],
    }
}

/// Checks each right. `cure` says what to apply where one is missing.
pub async fn rights(client: &Client, rights: Vec<RequiredRight>, cure: &str, docs: &str) -> Vec<Check> {
    let checks = rights.into_iter().map(|right| async move {
        let result = missing(client, &right).await.and_then(|missing| {
            if missing.is_empty() {
                Ok(right.verbs.join(", "))
            } else {
                Err(format!("may not {}", missing.join(", ")))
            }
        });
        Check::new(right.title(), result, cure, docs)
    });
    stream::iter(checks).buffered(AT_ONCE).collect().await
}

/// The verbs that are not allowed.
async fn missing(client: &Client, right: &RequiredRight) -> Result<Vec<String>, String> {
    let mut missing = Vec::new();
    for verb in &right.verbs {
        for attributes in right.attributes(verb) {
            let spec = SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..SelfSubjectAccessReviewSpec::default()
            };
            let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
            let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
            let answer = api.create(&PostParams::default(), &review).await;
            let answer = answer.map_err(|error| ErrorChain(&error).to_string())?;
            if !answer.status.is_some_and(|status| status.allowed) && !missing.contains(verb) {
                missing.push(verb.clone());
            }
        }
    }
    Ok(missing)
}

impl RequiredRight {
    fn title(&self) -> String {
        let group = if self.group.is_empty() { String::new() } else { format!(".{}", self.group) };
        let (plural, subresource) = self.resource.split_once('/').unwrap_or((&self.resource, ""));
        let separator = if subresource.is_empty() { "" } else { "/" };
        let namespace =
            self.namespace.as_ref().map(|name| format!(" in namespace {name}")).unwrap_or_default();
        format!("right to {plural}{group}{separator}{subresource}{namespace}")
    }

    /// One question per name, or one for all objects.
    fn attributes(&self, verb: &str) -> Vec<ResourceAttributes> {
        let (plural, subresource) = match self.resource.split_once('/') {
            Some((plural, subresource)) => (plural, Some(subresource.to_owned())),
            None => (self.resource.as_str(), None),
        };
        let about = |name: Option<String>| ResourceAttributes {
            group: Some(self.group.clone()),
            resource: Some(plural.to_owned()),
            subresource: subresource.clone(),
            namespace: self.namespace.clone(),
            verb: Some(verb.to_owned()),
            name,
            ..ResourceAttributes::default()
        };
        if self.names.is_empty() {
            return vec![about(None)];
        }
        self.names.iter().map(|name| about(Some(name.clone()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
aggregateLabel: some/label
clusterRules:
  - apiGroups: [kube-bind.io]
    resources: [bundles, bundles/status]
    verbs: [get, patch]
namespaceRules:
  release:
    - {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get]}
  secretNamespaces:
    - {apiGroups: [""], resources: [secrets], resourceNames: [one], verbs: [get]}
"#;

    #[test]
    fn every_rule_becomes_a_right_in_each_of_its_namespaces() {
        let rights = RbacRules::parse(FILE).unwrap().rights("kube-bind", &["a".to_owned(), "b".to_owned()]);
        let titles: Vec<_> = rights.iter().map(RequiredRight::title).collect();
        let expected = [
            "right to bundles.kube-bind.io",
            "right to bundles.kube-bind.io/status",
            "right to leases.coordination.k8s.io in namespace kube-bind",
            "right to secrets in namespace a",
            "right to secrets in namespace b",
        ];
        assert_eq!(titles, expected);
        let status = &rights[1].attributes("patch")[0];
        assert_eq!(
            (status.resource.as_deref(), status.subresource.as_deref()),
            (Some("bundles"), Some("status"))
        );
        assert_eq!(rights[3].attributes("get")[0].name.as_deref(), Some("one"));
    }
}
