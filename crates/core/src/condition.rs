//! Conditions in kube-bind's shape: like `metav1.Condition`, with a severity and without observedGeneration.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The type of the condition that sums up all others.
pub const READY: &str = "Ready";

/// One aspect of an object's state.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The aspect that is judged.
    pub r#type: String,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// Severity of the problem. Set only when the status is False.
    #[serde(default, skip_serializing_if = "Severity::is_none")]
    pub severity: Severity,
    /// When the status, severity, reason or message last changed.
    #[schemars(schema_with = "date_time")]
    #[serde(deserialize_with = "crate::moment::moment")]
    pub last_transition_time: Time,
    /// One word for programs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// One sentence for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// The three values of a condition's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Not known yet.
    Unknown,
}

/// Severity of a condition that does not hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
pub enum Severity {
    /// Somebody has to act.
    Error,
    /// Part of it does not work.
    Warning,
    /// It is on its way.
    Info,
    /// The condition holds, or is unknown.
    #[default]
    #[serde(rename = "")]
    None,
}

impl Severity {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature that serde's skip_serializing_if needs"
    )]
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// A judgement without its time: what pure code computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The verdict: True, False or Unknown.
    pub status: ConditionStatus,
    /// Severity when the verdict is False.
    pub severity: Severity,
    /// One word for programs.
    pub reason: String,
    /// One sentence for people.
    pub message: String,
}

impl Verdict {
    /// It holds.
    pub fn holds() -> Self {
        Self {
            status: ConditionStatus::True,
            severity: Severity::None,
            reason: String::new(),
            message: String::new(),
        }
    }

    /// It does not, and somebody has to act.
    pub fn error(reason: &str, message: impl Into<String>) -> Self {
        Self::fails(Severity::Error, reason, message)
    }

    /// It does not, in part.
    pub fn warning(reason: &str, message: impl Into<String>) -> Self {
        Self::fails(Severity::Warning, reason, message)
    }

    /// It does not yet.
    pub fn pending(reason: &str, message: impl Into<String>) -> Self {
        Self::fails(Severity::Info, reason, message)
    }

    /// Returns `true` if the verdict is True.
    pub fn is_true(&self) -> bool {
        self.status == ConditionStatus::True
    }

    fn fails(severity: Severity, reason: &str, message: impl Into<String>) -> Self {
        Self { status: ConditionStatus::False, severity, reason: reason.to_owned(), message: message.into() }
    }
}

/// Sets a condition. Its transition time changes only when something else of it does.
/// The list stays sorted: `Ready` first, then by type.
pub fn set(conditions: &mut Vec<Condition>, r#type: &str, verdict: Verdict, now: Timestamp) {
    match conditions.iter_mut().find(|c| c.r#type == r#type) {
        Some(existing) if verdict_of(existing) == verdict => {}
        Some(existing) => *existing = condition(r#type, verdict, now),
        None => conditions.push(condition(r#type, verdict, now)),
    }
    conditions.sort_by(|a, b| (a.r#type != READY, &a.r#type).cmp(&(b.r#type != READY, &b.r#type)));
}

/// Removes a condition that no longer applies.
pub fn remove(conditions: &mut Vec<Condition>, r#type: &str) {
    conditions.retain(|c| c.r#type != r#type);
}

/// Sets `Ready` from the other conditions: the worst one that does not hold decides; where several are
/// equally bad, the first by type. True ranks above Unknown, so a state that must not look ready is False.
///
/// # Examples
///
/// ```
/// use jiff::Timestamp;
/// use portolan_core::condition::{self, Verdict};
///
/// let (mut conditions, now) = (Vec::new(), Timestamp::UNIX_EPOCH);
/// condition::set(&mut conditions, "SecretValid", Verdict::holds(), now);
/// condition::set(&mut conditions, "Synced", Verdict::error("Denied", "The account has no rights."), now);
/// condition::summarize(&mut conditions, now);
/// assert_eq!(condition::find(&conditions, "Ready").unwrap().reason, "Denied");
/// ```
pub fn summarize(conditions: &mut Vec<Condition>, now: Timestamp) {
    let worst = conditions.iter().filter(|c| c.r#type != READY).min_by_key(|c| (rank(c), c.r#type.clone()));
    let Some(worst) = worst else { return };
    let verdict = match worst.status {
        ConditionStatus::True => Verdict::holds(),
        _ => verdict_of(worst),
    };
    set(conditions, READY, verdict, now);
}

/// Finds a condition.
pub fn find<'a>(conditions: &'a [Condition], r#type: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.r#type == r#type)
}

/// Returns `true` if the condition is present and True.
pub fn is_true(conditions: &[Condition], r#type: &str) -> bool {
    find(conditions, r#type).is_some_and(|c| c.status == ConditionStatus::True)
}

/// The judgement of a condition, without its time.
pub fn verdict_of(condition: &Condition) -> Verdict {
    Verdict {
        status: condition.status,
        severity: condition.severity,
        reason: condition.reason.clone(),
        message: condition.message.clone(),
    }
}

fn condition(r#type: &str, verdict: Verdict, now: Timestamp) -> Condition {
    Condition {
        r#type: r#type.to_owned(),
        status: verdict.status,
        severity: verdict.severity,
        last_transition_time: Time(now),
        reason: verdict.reason,
        message: verdict.message,
    }
}

fn rank(condition: &Condition) -> u8 {
    match (condition.status, condition.severity) {
        (ConditionStatus::False, Severity::Error | Severity::None) => 0,
        (ConditionStatus::False, Severity::Warning) => 1,
        (ConditionStatus::False, Severity::Info) => 2,
        (ConditionStatus::True, _) => 3,
        (ConditionStatus::Unknown, _) => 4,
    }
}

pub(crate) fn date_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ready_of(verdicts: &[(&str, Verdict)]) -> Verdict {
        let mut conditions = Vec::new();
        for (r#type, verdict) in verdicts {
            set(&mut conditions, r#type, verdict.clone(), at(1));
        }
        summarize(&mut conditions, at(1));
        verdict_of(find(&conditions, READY).unwrap())
    }

    #[test]
    fn the_transition_time_changes_only_with_the_verdict() {
        let mut conditions = Vec::new();
        set(&mut conditions, "Synced", Verdict::error("Broken", "a"), at(1));
        set(&mut conditions, "Synced", Verdict::error("Broken", "a"), at(2));
        assert_eq!(conditions[0].last_transition_time, Time(at(1)));
        set(&mut conditions, "Synced", Verdict::error("Broken", "b"), at(3));
        assert_eq!(conditions[0].last_transition_time, Time(at(3)));
    }

    #[test]
    fn ready_comes_first_and_the_rest_by_type() {
        let mut conditions = Vec::new();
        for r#type in ["Synced", "Connected"] {
            set(&mut conditions, r#type, Verdict::holds(), at(1));
        }
        summarize(&mut conditions, at(1));
        let types: Vec<_> = conditions.iter().map(|c| c.r#type.as_str()).collect();
        assert_eq!(types, ["Ready", "Connected", "Synced"]);
    }

    #[test]
    fn the_worst_condition_decides_whether_it_is_ready() {
        let (error, warning, info) =
            (Verdict::error("E", "e"), Verdict::warning("W", "w"), Verdict::pending("I", "i"));
        let unknown = Verdict { status: ConditionStatus::Unknown, ..Verdict::holds() };
        let table = [
            (vec![("A", warning.clone()), ("B", error.clone())], error.clone()),
            (vec![("A", info.clone()), ("B", warning.clone())], warning),
            (vec![("A", Verdict::holds()), ("B", info.clone())], info),
            (vec![("A", unknown.clone()), ("B", Verdict::holds())], Verdict::holds()),
            (vec![("B", error.clone()), ("A", Verdict::error("First", "f"))], Verdict::error("First", "f")),
            (vec![("A", Verdict::holds())], Verdict::holds()),
        ];
        for (verdicts, expected) in table {
            assert_eq!(ready_of(&verdicts), expected, "{verdicts:?}");
        }
    }

    #[test]
    fn the_wire_shape_leaves_out_what_is_empty() {
        let mut conditions = Vec::new();
        set(&mut conditions, "Synced", Verdict::holds(), at(0));
        let wire = serde_json::to_value(&conditions).unwrap();
        assert_eq!(
            wire,
            serde_json::json!([
                {"type": "Synced", "status": "True", "lastTransitionTime": "1970-01-01T00:00:00Z"}
            ])
        );
    }
}
