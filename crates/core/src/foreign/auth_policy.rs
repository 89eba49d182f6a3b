//! The facts of an AuthPolicy: its target, and how it lets callers authenticate.

use std::collections::BTreeMap;

use kube::api::ObjectMeta;
use serde_json::Value;

use super::{
    kind::{ForeignKind, condition},
    target::PolicyHead,
};

/// AuthPolicy of Kuadrant.
#[derive(Clone, Debug)]
pub struct AuthPolicyKind;

/// The facts of an AuthPolicy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthFacts {
    /// The facts that all policies have.
    pub head: PolicyHead,
    /// It overrides the policies of everything below its target.
    pub overrides: bool,
    /// Another policy overrides it.
    pub is_overridden: bool,
    /// Its methods by name. The other rules are nobody else's business.
    pub authentication: BTreeMap<String, Value>,
}

impl ForeignKind for AuthPolicyKind {
    const GROUP: &'static str = "kuadrant.io";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "AuthPolicy";
    const PLURAL: &'static str = "authpolicies";
    type Facts = AuthFacts;

    fn read(_: &ObjectMeta, spec: &Value, status: &Value) -> AuthFacts {
        let places = [&spec["overrides"]["rules"], &spec["rules"], &spec["defaults"]["rules"]];
        let rules = places.into_iter().find(|rules| rules.is_object()).unwrap_or(&Value::Null);
        let methods = rules["authentication"].as_object().into_iter().flatten();
        let authentication = methods
            .filter(|(_, method)| method.is_object())
            .map(|(name, method)| (name.clone(), method.clone()));
        let enforced = condition(&status["conditions"], "Enforced");
        AuthFacts {
            head: PolicyHead::read(spec, status),
            overrides: spec["overrides"]["rules"].is_object(),
            is_overridden: enforced
                .is_some_and(|(status, reason)| status == "False" && reason == "Overridden"),
            authentication: authentication.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::foreign::{AuthPolicy, tests::object};

    #[test]
    fn rules_are_found_wherever_a_policy_may_have_them() {
        let rules = json!({"authentication": {"keys": {"apiKey": {}}}, "authorization": {"secret": {}}});
        for (spec, overrides) in [
            (json!({"rules": rules}), false),
            (json!({"defaults": {"strategy": "merge", "rules": rules}}), false),
            (json!({"overrides": {"rules": rules}}), true),
        ] {
            let policy: AuthPolicy = object(("a", "p"), 1, &spec, &json!({}));
            assert_eq!(policy.facts.overrides, overrides);
            assert_eq!(
                serde_json::to_value(&policy.facts.authentication).unwrap(),
                json!({"keys": {"apiKey": {}}})
            );
        }
    }
}
