//! Changes of conditions that are worth an Event: those that a person has to act on, once each. Pure.

use portolan_core::condition::{Condition, ConditionStatus, READY, Severity, find};

/// The conditions that have come to say something that a person has to act on. `Ready` only repeats another one.
pub fn news<'a>(before: &'a [Condition], after: &'a [Condition]) -> impl Iterator<Item = &'a Condition> {
    let state = |condition: &Condition| (condition.status, condition.severity, condition.reason.clone());
    let is_new = move |now: &&Condition| find(before, &now.r#type).map(state) != Some(state(now));
    after.iter().filter(|now| now.r#type != READY && needs_somebody(now)).filter(is_new)
}

fn needs_somebody(condition: &Condition) -> bool {
    condition.status == ConditionStatus::False && condition.severity != Severity::Info
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use portolan_core::condition::{Verdict, set, summarize};

    use super::*;

    fn said(verdicts: &[(&str, Verdict)]) -> Vec<Condition> {
        let mut conditions = Vec::new();
        for (r#type, verdict) in verdicts {
            set(&mut conditions, r#type, verdict.clone(), Timestamp::UNIX_EPOCH);
        }
        summarize(&mut conditions, Timestamp::UNIX_EPOCH);
        conditions
    }

    #[test]
    fn what_a_person_has_to_act_on_is_told_once_per_change() {
        let (broken, other) = (|| Verdict::error("Broken", "a"), || Verdict::error("Other", "a"));
        let table = [
            (vec![], vec![("A", broken())], vec!["Broken"]),
            (vec![], vec![("A", Verdict::warning("Odd", ""))], vec!["Odd"]),
            (vec![], vec![("A", Verdict::pending("Pending", ""))], vec![]),
            (vec![], vec![("A", Verdict::holds())], vec![]),
            (vec![("A", broken())], vec![("A", broken())], vec![]),
            // A number or a time in the text is no news.
            (vec![("A", broken())], vec![("A", Verdict::error("Broken", "b"))], vec![]),
            (vec![("A", broken())], vec![("A", other())], vec!["Other"]),
            (vec![("A", Verdict::pending("Broken", "a"))], vec![("A", broken())], vec!["Broken"]),
            (vec![("A", Verdict::holds())], vec![("A", broken()), ("B", other())], vec!["Broken", "Other"]),
            (vec![("A", broken())], vec![("A", Verdict::holds())], vec![]),
        ];
        for (before, after, expected) in table {
            let (before, after) = (said(&before), said(&after));
            let told: Vec<_> = news(&before, &after).map(|condition| condition.reason.as_str()).collect();
            assert_eq!(told, expected, "{before:?} {after:?}");
        }
    }
}
