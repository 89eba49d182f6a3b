//! The facts of a PlanPolicy: its target and its plans.

use crate::api::devportal::{CustomLimit, DiscoveredPlan, PlanLimits};
use kube::api::ObjectMeta;
use serde_json::Value;

use super::{kind::ForeignKind, target::PolicyHead};

/// PlanPolicy of Kuadrant.
#[derive(Clone, Debug)]
pub struct PlanPolicyKind;

/// The facts of a PlanPolicy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlanFacts {
    /// The facts that all policies have.
    pub head: PolicyHead,
    /// Its plans, in its order.
    pub plans: Vec<DiscoveredPlan>,
}

impl ForeignKind for PlanPolicyKind {
    const GROUP: &'static str = "extensions.kuadrant.io";
    const VERSION: &'static str = "v1alpha1";
    const KIND: &'static str = "PlanPolicy";
    const PLURAL: &'static str = "planpolicies";
    type Facts = PlanFacts;

    fn read(_: &ObjectMeta, spec: &Value, status: &Value) -> PlanFacts {
        let plans = spec["plans"].as_array().into_iter().flatten().filter_map(plan).collect();
        PlanFacts { head: PolicyHead::read(spec, status), plans }
    }
}

fn plan(value: &Value) -> Option<DiscoveredPlan> {
    let tier = value["tier"].as_str().filter(|tier| !tier.is_empty())?.to_owned();
    let limits = value.get("limits").filter(|limits| limits.is_object()).map(limits);
    Some(DiscoveredPlan { tier, limits })
}

/// Limits of 0 are limits; absent ones stay absent.
fn limits(value: &Value) -> PlanLimits {
    let custom = value["custom"].as_array().into_iter().flatten().filter_map(|custom| {
        let window = custom["window"].as_str().filter(|window| is_window(window))?.to_owned();
        Some(CustomLimit { limit: custom["limit"].as_i64()?, window })
    });
    PlanLimits {
        daily: value["daily"].as_i64(),
        weekly: value["weekly"].as_i64(),
        monthly: value["monthly"].as_i64(),
        yearly: value["yearly"].as_i64(),
        custom: custom.collect(),
    }
}

/// Returns `true` if our own CRD takes a window: up to four numbers of up to five digits, each with a unit.
fn is_window(text: &str) -> bool {
    let mut rest = text;
    for _ in 0..4 {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if !(1..=5).contains(&digits) {
            return false;
        }
        let unit = ["ms", "h", "m", "s"].into_iter().find(|unit| rest[digits..].starts_with(unit));
        let Some(unit) = unit else { return false };
        rest = &rest[digits + unit.len()..];
        if rest.is_empty() {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::foreign::{PlanPolicy, tests::object};

    #[test]
    fn plans_are_copied_in_order_with_the_limits_that_they_have() {
        let spec = json!({"plans": [
            {"tier": "gold", "predicate": "x", "limits": {"daily": 0, "custom": [{"limit": 3, "window": "1h30m"}, {"limit": 4, "window": "soon"}]}},
            {"tier": "free"}, {"tier": ""}, "odd",
            {"tier": "silver", "limits": {"weekly": 1, "monthly": 2, "yearly": 3, "daily": "many"}},
        ]});
        let policy: PlanPolicy = object(("a", "p"), 1, &spec, &json!({}));
        assert_eq!(
            serde_json::to_value(policy.facts.plans).unwrap(),
            json!([
                {"tier": "gold", "limits": {"daily": 0, "custom": [{"limit": 3, "window": "1h30m"}]}},
                {"tier": "free"},
                {"tier": "silver", "limits": {"weekly": 1, "monthly": 2, "yearly": 3}},
            ])
        );
    }

    #[test]
    fn windows_are_those_of_the_crd() {
        for (text, expected) in [
            ("10m", true),
            ("1h2m3s4ms", true),
            ("1h1h1h1h1h", false),
            ("123456s", false),
            ("m", false),
            ("", false),
        ] {
            assert_eq!(is_window(text), expected, "{text}");
        }
    }
}
