//! Facts of all policies: the target, and whether anybody has accepted and enforced them.

use serde_json::Value;

use super::kind::{GATEWAY_GROUP, condition, text};

/// The kind that a policy is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetKind {
    /// An HTTPRoute.
    Route,
    /// A Gateway.
    Gateway,
}

/// The target of a policy, in the policy's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PolicyTarget {
    /// Its kind.
    pub kind: TargetKind,
    /// Its name.
    pub name: String,
    /// A part of the target: a listener or a rule.
    pub section: Option<String>,
}

/// The parts of a policy that decide whether it is in effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyHead {
    /// `None` if it targets something else, or nothing that makes sense.
    pub target: Option<PolicyTarget>,
    /// Whether a controller has accepted it. `None` if nobody has said so.
    pub accepted: Option<bool>,
    /// Whether a controller enforces it. `None` if nobody has said so.
    pub enforced: Option<bool>,
}

impl PolicyHead {
    pub(super) fn read(spec: &Value, status: &Value) -> Self {
        let says = |r#type| match condition(&status["conditions"], r#type)?.0 {
            "True" => Some(true),
            "False" => Some(false),
            // Whoever does not know yet has not said so.
            _ => None,
        };
        Self { target: target(&spec["targetRef"]), accepted: says("Accepted"), enforced: says("Enforced") }
    }

    /// Returns `true` if a controller has accepted and enforced it.
    pub fn is_in_force(&self) -> bool {
        self.accepted == Some(true) && self.enforced == Some(true)
    }
}

fn target(reference: &Value) -> Option<PolicyTarget> {
    let group = reference.get("group").and_then(Value::as_str).unwrap_or(GATEWAY_GROUP);
    let kind = match reference["kind"].as_str()? {
        "HTTPRoute" => TargetKind::Route,
        "Gateway" => TargetKind::Gateway,
        _ => return None,
    };
    let name = text(reference, "name");
    let section = reference["sectionName"].as_str().filter(|section| !section.is_empty()).map(str::to_owned);
    (group == GATEWAY_GROUP && !name.is_empty()).then_some(PolicyTarget { kind, name, section })
}
