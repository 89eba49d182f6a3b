//! A `ServiceAccount` that may do what its chart says, on a control plane of a test.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{
    AggregationRule, ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::rbac::{Rbac, Rule};
use crate::control_plane::ControlPlane;
use crate::eventually::eventually;

const GROUP: &str = "rbac.authorization.k8s.io";
const DAY: i64 = 24 * 60 * 60;
/// More than the authorizer takes to hear of a rule.
const EFFECTIVE_WITHIN: Duration = Duration::from_secs(30);

/// Name of the service, and its namespace.
#[derive(Clone, Debug)]
pub struct ServiceAccountSetup {
    /// The service whose chart has the rules; the `ServiceAccount` has its name, too.
    pub service: String,
    /// The namespace of the release. It is created when it is missing, as are the others.
    pub namespace: String,
    /// The namespaces that may hold referenced Secrets.
    pub secret_namespaces: Vec<String>,
    /// The namespaces whose objects it acts on.
    pub target_namespaces: Vec<String>,
}

impl ServiceAccountSetup {
    /// A setup with referenced Secrets in the namespace of the release.
    pub fn new(service: &str, namespace: &str) -> Self {
        let secret_namespaces = vec![namespace.to_owned()];
        let target_namespaces = Vec::new();
        Self {
            service: service.to_owned(),
            namespace: namespace.to_owned(),
            secret_namespaces,
            target_namespaces,
        }
    }

    /// The name under which the API server knows it, as the audit log has it.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.service)
    }

    /// Makes it all, and returns a kubeconfig with a token for a day.
    pub async fn create(&self, control_plane: &ControlPlane) -> Result<String> {
        let rbac = Rbac::load(&self.service)?;
        self.create_with(control_plane, &rbac).await
    }

    /// As [`Self::create`], with other rules than those of the chart.
    pub async fn create_with(&self, control_plane: &ControlPlane, rbac: &Rbac) -> Result<String> {
        let client = control_plane.client();
        let referenced = self.secret_namespaces.iter().chain(&self.target_namespaces);
        let namespaces: BTreeSet<_> = referenced.chain([&self.namespace]).collect();
        for namespace in namespaces {
            let metadata = ObjectMeta { name: Some(namespace.clone()), ..ObjectMeta::default() };
            apply(&Api::all(client.clone()), &Namespace { metadata, ..Namespace::default() }).await?;
        }
        let account = ServiceAccount { metadata: self.metadata(), ..ServiceAccount::default() };
        apply(&Api::namespaced(client.clone(), &self.namespace), &account).await?;
        self.grant_in_cluster(&client, rbac).await?;
        let in_namespaces = &rbac.namespace_rules;
        self.grant_in(&client, &self.namespace, "release", &in_namespaces.release).await?;
        for namespace in &self.secret_namespaces {
            self.grant_in(&client, namespace, "secrets", &in_namespaces.secret_namespaces).await?;
        }
        for namespace in &self.target_namespaces {
            self.grant_in(&client, namespace, "target", &in_namespaces.target_namespaces).await?;
        }
        let token = control_plane.token_for(&self.namespace, &self.service, &[], DAY).await?;
        Ok(control_plane.kubeconfig_for_token(&token, &self.namespace))
    }

    async fn grant_in_cluster(&self, client: &Client, rbac: &Rbac) -> Result<()> {
        let name = format!("{}-{}", self.service, self.namespace);
        if !rbac.cluster_rules.is_empty() {
            let rules = Some(policy(&rbac.cluster_rules));
            let role = ClusterRole { metadata: named(&name), rules, ..ClusterRole::default() };
            self.grant_cluster_role(client, &name, role).await?;
            self.in_force(client, None, &rbac.cluster_rules).await?;
        }
        if let Some(label) = &rbac.aggregate_label {
            let name = format!("{name}-aggregate");
            let match_labels = Some([(label.clone(), "true".to_owned())].into());
            let selector = LabelSelector { match_labels, ..LabelSelector::default() };
            let aggregation_rule = Some(AggregationRule { cluster_role_selectors: Some(vec![selector]) });
            let role = ClusterRole { metadata: named(&name), aggregation_rule, ..ClusterRole::default() };
            self.grant_cluster_role(client, &name, role).await?;
        }
        Ok(())
    }

    async fn grant_cluster_role(&self, client: &Client, name: &str, role: ClusterRole) -> Result<()> {
        apply(&Api::all(client.clone()), &role).await?;
        let subjects = Some(vec![self.subject()]);
        let binding =
            ClusterRoleBinding { metadata: named(name), role_ref: role_ref("ClusterRole", name), subjects };
        apply(&Api::all(client.clone()), &binding).await
    }

    /// `kind` tells the roles apart where one namespace is both the release's and one with Secrets.
    async fn grant_in(&self, client: &Client, namespace: &str, kind: &str, rules: &[Rule]) -> Result<()> {
        if rules.is_empty() {
            return Ok(());
        }
        // Two releases may read Secrets in one namespace, so the release's own namespace is in the name.
        let name = format!("{}-{}-{kind}", self.service, self.namespace);
        let role = Role { metadata: named(&name), rules: Some(policy(rules)) };
        apply(&Api::namespaced(client.clone(), namespace), &role).await?;
        let subjects = Some(vec![self.subject()]);
        let binding = RoleBinding { metadata: named(&name), role_ref: role_ref("Role", &name), subjects };
        apply(&Api::namespaced(client.clone(), namespace), &binding).await?;
        self.in_force(client, Some(namespace), rules).await
    }

    /// Waits until the authorizer knows of a role: it hears of a change a moment after it was written.
    async fn in_force(&self, client: &Client, namespace: Option<&str>, rules: &[Rule]) -> Result<()> {
        let Some(rule) = rules.last() else { return Ok(()) };
        let review = self.may(namespace, rule);
        let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
        eventually("the rules are in force", EFFECTIVE_WITHIN, async || {
            let status = reviews.create(&PostParams::default(), &review).await?.status;
            ensure!(status.is_some_and(|status| status.allowed), "not allowed: {rule:?}");
            Ok(Some(()))
        })
        .await
    }

    /// The question whether the account may do the first thing that a rule allows.
    fn may(&self, namespace: Option<&str>, rule: &Rule) -> SubjectAccessReview {
        let first = |list: &[String]| list.first().cloned();
        let resource = first(&rule.resources);
        let (plural, subresource) = match resource.as_deref().and_then(|text| text.split_once('/')) {
            Some((plural, subresource)) => (Some(plural.to_owned()), Some(subresource.to_owned())),
            None => (resource, None),
        };
        let resource_attributes = plural.is_some().then(|| ResourceAttributes {
            group: first(&rule.api_groups),
            resource: plural,
            subresource,
            name: first(&rule.resource_names),
            namespace: namespace.map(str::to_owned),
            verb: first(&rule.verbs),
            ..ResourceAttributes::default()
        });
        let path = first(&rule.non_resource_urls);
        let non_resource_attributes =
            path.map(|path| NonResourceAttributes { path: Some(path), verb: first(&rule.verbs) });
        let user = Some(self.user());
        let spec = SubjectAccessReviewSpec {
            user,
            resource_attributes,
            non_resource_attributes,
            ..SubjectAccessReviewSpec::default()
        };
        SubjectAccessReview { spec, ..SubjectAccessReview::default() }
    }

    fn metadata(&self) -> ObjectMeta {
        named(&self.service)
    }

    fn subject(&self) -> Subject {
        let namespace = Some(self.namespace.clone());
        let kind = "ServiceAccount".to_owned();
        Subject { kind, name: self.service.clone(), namespace, ..Subject::default() }
    }
}

fn policy(rules: &[Rule]) -> Vec<PolicyRule> {
    rules.iter().map(PolicyRule::from).collect()
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

fn role_ref(kind: &str, name: &str) -> RoleRef {
    RoleRef { api_group: GROUP.to_owned(), kind: kind.to_owned(), name: name.to_owned() }
}

async fn apply<K>(api: &Api<K>, object: &K) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let name = object.meta().name.clone().unwrap_or_default();
    let params = PatchParams::apply("portolan-testkit").force();
    let applied = api.patch(&name, &params, &Patch::Apply(object)).await;
    applied.with_context(|| format!("cannot apply {} {name}", K::kind(&())))?;
    Ok(())
}
