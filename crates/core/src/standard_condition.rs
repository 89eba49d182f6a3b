//! Conditions in the shape of Kubernetes (`metav1.Condition`), for the kinds that have it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::{ConditionStatus, date_time};

/// Longest message that the schema takes.
const LONGEST_MESSAGE: usize = 32_768;

/// One aspect of an object's state.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StandardCondition {
    /// Type of the condition.
    #[schemars(length(max = 316))]
    pub r#type: String,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// The generation of the object that was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Time of the last change of the status.
    #[schemars(schema_with = "date_time")]
    #[serde(deserialize_with = "crate::moment::moment")]
    pub last_transition_time: Time,
    /// One word for programs.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// One sentence for people.
    #[schemars(length(max = 32768))]
    pub message: String,
}

/// A condition without its time, as pure code computes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The status of the condition.
    pub status: ConditionStatus,
    /// One word for programs.
    pub reason: String,
    /// One sentence for people.
    pub message: String,
}

impl Judgement {
    /// A condition that is true.
    pub fn holds(reason: &str, message: impl Into<String>) -> Self {
        Self { status: ConditionStatus::True, reason: reason.to_owned(), message: message.into() }
    }

    /// A condition that is false.
    pub fn fails(reason: &str, message: impl Into<String>) -> Self {
        Self { status: ConditionStatus::False, reason: reason.to_owned(), message: message.into() }
    }

    /// A condition that is not known yet.
    pub fn unknown(reason: &str, message: impl Into<String>) -> Self {
        Self { status: ConditionStatus::Unknown, reason: reason.to_owned(), message: message.into() }
    }
}

/// Sets a condition. Its transition time changes with its status only. A message that is too long is cut off: it would
/// keep the whole status from being written.
/// The list stays sorted: `Ready` first, then by type.
pub fn set(
    conditions: &mut Vec<StandardCondition>,
    r#type: &str,
    judgement: Judgement,
    generation: Option<i64>,
    now: Timestamp,
) {
    let Judgement { status, reason, mut message } = judgement;
    message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
    let since = find(conditions, r#type).filter(|known| known.status == status);
    let last_transition_time = since.map_or(Time(now), |known| known.last_transition_time.clone());
    let condition = StandardCondition {
        r#type: r#type.to_owned(),
        status,
        observed_generation: generation,
        last_transition_time,
        reason,
        message,
    };
    remove(conditions, r#type);
    conditions.push(condition);
    conditions.sort_by(|a, b| (a.r#type != "Ready", &a.r#type).cmp(&(b.r#type != "Ready", &b.r#type)));
}

/// Removes a condition that no longer applies.
pub fn remove(conditions: &mut Vec<StandardCondition>, r#type: &str) {
    conditions.retain(|known| known.r#type != r#type);
}

/// Finds a condition.
///
/// # Examples
///
/// ```
/// use jiff::Timestamp;
/// use portolan_core::standard_condition::{self, Judgement};
///
/// let mut conditions = Vec::new();
/// let judgement = Judgement::holds("Created", "It exists.");
/// standard_condition::set(&mut conditions, "Ready", judgement, Some(1), Timestamp::UNIX_EPOCH);
/// assert_eq!(standard_condition::find(&conditions, "Ready").unwrap().reason, "Created");
/// ```
pub fn find<'a>(conditions: &'a [StandardCondition], r#type: &str) -> Option<&'a StandardCondition> {
    conditions.iter().find(|known| known.r#type == r#type)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_message_is_no_longer_than_the_schema_allows() {
        let mut conditions = Vec::new();
        for (text, expected) in
            [("short".to_owned(), 5), ("ä".repeat(20_000), 32_768), ("xä".repeat(20_000), 32_767)]
        {
            set(&mut conditions, "Ready", Judgement::fails("Broken", text), None, at(1));
            assert_eq!(find(&conditions, "Ready").unwrap().message.len(), expected);
        }
    }

    #[test]
    fn the_transition_time_changes_with_the_status_only() {
        let mut conditions = Vec::new();
        set(&mut conditions, "Watched", Judgement::holds("Yes", ""), Some(1), at(1));
        set(&mut conditions, "Ready", Judgement::fails("Broken", "a"), Some(1), at(1));
        set(&mut conditions, "Ready", Judgement::fails("Worse", "b"), Some(2), at(2));
        let ready = find(&conditions, "Ready").unwrap();
        assert_eq!((ready.last_transition_time.0, ready.reason.as_str()), (at(1), "Worse"));
        assert_eq!(ready.observed_generation, Some(2));
        set(&mut conditions, "Ready", Judgement::holds("Well", ""), Some(2), at(3));
        assert_eq!(find(&conditions, "Ready").unwrap().last_transition_time.0, at(3));
        assert_eq!(conditions.iter().map(|c| c.r#type.as_str()).collect::<Vec<_>>(), ["Ready", "Watched"]);
        remove(&mut conditions, "Watched");
        assert!(find(&conditions, "Watched").is_none());
    }
}
