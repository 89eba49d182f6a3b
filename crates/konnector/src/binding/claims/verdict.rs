//! The condition about a binding's claims. Pure.

use kube::ResourceExt as _;
use portolan_core::{
    api::kubebind::APIServiceBinding,
    claims::{ClaimedResource, ResourceClaim},
    condition::Verdict,
};
use serde_json::{Value, json};

use super::ClaimFindings;
use crate::{binding::consent::ACCEPT_CLAIMS, claims::ClaimState, policy};

/// `None` where nothing is claimed, and nothing of former claims is left.
pub(super) fn of(binding: &APIServiceBinding, found: &ClaimFindings) -> Option<Verdict> {
    if found.invalid.is_empty()
        && found.refused.is_empty()
        && found.running.is_empty()
        && found.draining.is_empty()
    {
        return None;
    }
    let verdict = denied(binding, found)
        .or_else(|| invalid(found))
        .or_else(|| failing(found))
        .or_else(|| draining(found))
        .or_else(|| not_accepted(binding, found))
        .or_else(|| pending(found));
    Some(verdict.unwrap_or_else(Verdict::holds))
}

fn denied(binding: &APIServiceBinding, found: &ClaimFindings) -> Option<Verdict> {
    let denied = |state: &ClaimState| *state == ClaimState::Forbidden;
    let running = found.running.iter().filter(|(_, state)| denied(state)).map(|(claim, _)| claim);
    let rules: Vec<_> = running.flat_map(rules).collect();
    let draining = found.draining.iter().filter(|(_, state)| denied(state));
    let rules: Vec<_> =
        rules.into_iter().chain(draining.map(|(resource, _)| rule(*resource, VERBS))).collect();
    if rules.is_empty() {
        return None;
    }
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {
            "name": format!("kube-bind-claims-{}", binding.name_any()),
            "labels": {"rbac.kube-bind.io/aggregate-to-konnector": "true"},
        },
        "rules": rules,
    });
    let text = "The konnector lacks the rights to the claimed objects on this cluster.";
    Some(Verdict::error("PermissionDenied", format!("{text} Apply: {role}")))
}

const VERBS: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

fn rule(resource: ClaimedResource, verbs: &[&str]) -> Value {
    json!({"apiGroups": [""], "resources": [resource.plural()], "verbs": verbs})
}

/// Rules for a claim: where it names objects, for those alone.
fn rules(claim: &ResourceClaim) -> Vec<Value> {
    if claim.labels.is_some() || !claim.references.is_empty() {
        return vec![rule(claim.resource, VERBS)];
    }
    let mut names: Vec<_> = claim.names.iter().map(|named| &named.name).collect();
    names.sort_unstable();
    names.dedup();
    let mut limited = rule(claim.resource, &["get", "list", "watch", "patch", "delete"]);
    limited["resourceNames"] = json!(names);
    // What is yet to be made has no name for RBAC.
    vec![limited, rule(claim.resource, &["create"])]
}

fn invalid(found: &ClaimFindings) -> Option<Verdict> {
    if found.invalid.is_empty() {
        return None;
    }
    let all: Vec<_> = found.invalid.iter().map(ToString::to_string).collect();
    let text = format!("{} The provider has to fix that.", all.join(" "));
    Some(Verdict::error("InvalidPermissionClaim", text))
}

fn failing(found: &ClaimFindings) -> Option<Verdict> {
    let running = found.running.iter().map(|(claim, state)| (claim.resource, state));
    let mut all = running.chain(found.draining.iter().map(|(resource, state)| (*resource, state)));
    all.find_map(|(resource, state)| match state {
        ClaimState::Failing(why) => {
            Some(Verdict::error("ClaimSyncFailed", format!("Claimed {}: {why}", resource.plural())))
        }
        ClaimState::Starting | ClaimState::Working | ClaimState::Forbidden => None,
    })
}

fn plurals(resources: &[ClaimedResource], separator: &str) -> String {
    resources.iter().map(|resource| resource.plural()).collect::<Vec<_>>().join(separator)
}

fn not_accepted(binding: &APIServiceBinding, found: &ClaimFindings) -> Option<Verdict> {
    if found.refused.is_empty() {
        return None;
    }
    let place = match policy::bundle_of(binding) {
        Some(bundle) => format!("apiservicebindingbundle/{bundle}"),
        None => format!("apiservicebinding/{}", binding.name_any()),
    };
    let claimed = plurals(&found.refused, " and ");
    let running = found.running.iter().map(|(claim, _)| claim.resource);
    let all = plurals(&running.chain(found.refused.iter().copied()).collect::<Vec<_>>(), ",");
    Some(Verdict::warning(
        "ClaimNotAccepted",
        format!(
            "The provider claims {claimed}, and nobody on this cluster has accepted that: none is read, and none is \
             copied. To accept what status.permissionClaims lists: kubectl annotate --overwrite {place} \
             {ACCEPT_CLAIMS}={all}"
        ),
    ))
}

fn draining(found: &ClaimFindings) -> Option<Verdict> {
    let (resource, _) = found.draining.first()?;
    let text = format!("Removing the copies of {}, which are no longer accepted.", resource.plural());
    Some(Verdict::pending("ClaimEnding", text))
}

fn pending(found: &ClaimFindings) -> Option<Verdict> {
    let (claim, _) = found.running.iter().find(|(_, state)| *state == ClaimState::Starting)?;
    Some(Verdict::pending("Pending", format!("Listing the claimed {}.", claim.resource.plural())))
}

/// The obstacle to removing copies, other than time.
pub(super) fn obstacle(resource: ClaimedResource, state: &ClaimState) -> Option<String> {
    match state {
        ClaimState::Forbidden => Some(format!(
            "the konnector lacks the rights to {} on this cluster (restore its ClusterRole for claims)",
            resource.plural()
        )),
        ClaimState::Failing(why) => Some(why.clone()),
        ClaimState::Starting | ClaimState::Working => None,
    }
}

#[cfg(test)]
mod tests {
    use portolan_core::{
        api::kubebind::Isolation,
        claims::{self},
    };

    use super::*;

    fn claim(value: Value) -> ResourceClaim {
        claims::read(&[serde_json::from_value(value).unwrap()], &[], Isolation::None).0.remove(0)
    }

    fn said(found: &ClaimFindings) -> Option<(String, String)> {
        let binding: APIServiceBinding = serde_json::from_value(json!({
            "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBinding", "metadata": {"name": "cowboys"},
            "spec": {"kubeconfigSecretRef": {"name": "s", "namespace": "n", "key": "k"}},
        }))
        .unwrap();
        of(&binding, found).map(|verdict| (verdict.reason, verdict.message))
    }

    #[test]
    fn what_keeps_claims_from_being_met_is_said_with_its_cure() {
        assert_eq!(said(&ClaimFindings::default()), None);
        let labels = json!({"labelSelector": {"matchLabels": {"a": "b"}}});
        let maps = || claim(json!({"resource": "configmaps", "selector": labels}));
        let with =
            |state: ClaimState| ClaimFindings { running: vec![(maps(), state)], ..ClaimFindings::default() };
        assert_eq!(said(&with(ClaimState::Working)), Some((String::new(), String::new())));
        assert_eq!(said(&with(ClaimState::Starting)).unwrap().0, "Pending");
        assert_eq!(said(&with(ClaimState::Failing("no".to_owned()))).unwrap().0, "ClaimSyncFailed");

        let mut refused = with(ClaimState::Working);
        refused.refused.push(ClaimedResource::Secrets);
        let (reason, message) = said(&refused).unwrap();
        let command = "kubectl annotate --overwrite apiservicebinding/cowboys \
         kube-bind.io/accept-claims=configmaps,secrets";
        assert!(reason == "ClaimNotAccepted" && message.ends_with(command), "{message}");

        let (reason, message) = said(&with(ClaimState::Forbidden)).unwrap();
        let role: Value = serde_json::from_str(message.split_once("Apply: ").unwrap().1).unwrap();
        assert_eq!(reason, "PermissionDenied");
        assert_eq!(role["rules"], json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": VERBS}]));
        let draining = ClaimFindings {
            draining: vec![(ClaimedResource::Secrets, ClaimState::Working)],
            ..ClaimFindings::default()
        };
        assert_eq!(said(&draining).unwrap().0, "ClaimEnding");
    }

    #[test]
    fn rights_for_names_are_limited_to_them() {
        let named = claim(
            json!({"resource": "secrets", "selector": {"namedResources": [{"name": "b"}, {"name": "a"}]}}),
        );
        let found = rules(&named);
        assert_eq!(found[0]["resourceNames"], json!(["a", "b"]));
        assert_eq!(found[1]["verbs"], json!(["create"]));
    }
}
