//! Digest of a status, and the generation that it is for. Pure.
//!
//! `observedGeneration` in a provider's status counts the provider's writes. Tools on the consumer compare it
//! with the generation of the consumer's object, so it is translated on the way, wherever in the status it
//! stands.

use portolan_core::digest::Digest;
use serde_json::Value;

const FIELD: &str = "observedGeneration";

/// A status as far as it has to be known to tell whether another says the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusDigest {
    /// Of everything but the generations.
    text: Digest,
    /// The generations in the order in which they stand.
    observed: Box<[i64]>,
}

impl StatusDigest {
    pub fn of(status: Option<&Value>) -> Self {
        let mut observed = Vec::new();
        if let Some(status) = status {
            read(status, &mut observed);
        }
        let text = match status {
            Some(status) if !observed.is_empty() => {
                let mut blank = status.clone();
                rewrite(&mut blank, &|_| 0);
                Digest::of(&blank)
            }
            status => Digest::of_option(status),
        };
        Self { text, observed: observed.into() }
    }

    /// One digest of all of it.
    pub fn whole(&self) -> Digest {
        if self.observed.is_empty() { self.text } else { self.text.with(&self.observed) }
    }

    /// Returns `true` if there is no status.
    pub fn is_absent(&self) -> bool {
        self.text == Digest::ABSENT
    }
}

/// The relation between the generations of a copy and of its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenerationRelation {
    /// One of them is absent: nothing is translated.
    Plain,
    /// They count different writes.
    Translated {
        /// The generation of the origin. The copy says what it says.
        origin: i64,
        /// The generation of the copy.
        copy: i64,
        /// The generation of the copy since which it says what the origin says, where that is known. Later
        /// ones are of others, who set defaults or scale.
        since: Option<i64>,
        /// Number of generations that a write of the status takes: one where status is no subresource.
        per_status: i64,
    },
}

enum GenerationAge {
    Current,
    Older,
    Unknown,
}

impl GenerationRelation {
    fn age(self, observed: i64) -> GenerationAge {
        match self {
            Self::Plain => GenerationAge::Current,
            // The status that says so has counted itself.
            Self::Translated { copy, since, per_status, .. }
                if observed >= since.unwrap_or(copy - per_status) =>
            {
                GenerationAge::Current
            }
            Self::Translated { since: Some(_), .. } => GenerationAge::Older,
            Self::Translated { since: None, .. } => GenerationAge::Unknown,
        }
    }

    /// Returns `true` if the origin's status equals the copy's.
    pub fn agree(self, copy: &StatusDigest, origin: &StatusDigest) -> bool {
        let Self::Translated { origin: generation, .. } = self else { return copy == origin };
        let same = |(theirs, ours): (&i64, &i64)| match self.age(*theirs) {
            GenerationAge::Current => *ours == generation,
            GenerationAge::Older => *ours < generation,
            GenerationAge::Unknown => *ours <= generation,
        };
        copy.text == origin.text
            && copy.observed.len() == origin.observed.len()
            && copy.observed.iter().zip(&origin.observed).all(same)
    }

    /// The copy's status in the words of the origin.
    pub fn translate(self, mut status: Value) -> Value {
        if let Self::Translated { origin, per_status, .. } = self {
            rewrite(&mut status, &|observed| match self.age(observed) {
                GenerationAge::Current => origin + per_status,
                GenerationAge::Older | GenerationAge::Unknown => (origin - 1).max(0),
            });
        }
        status
    }
}

fn read(value: &Value, into: &mut Vec<i64>) {
    match value {
        Value::Object(map) => {
            // The order must not depend on how a server spells the object.
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| key.as_str());
            for (key, field) in fields {
                match field.as_i64() {
                    Some(observed) if key == FIELD => into.push(observed),
                    _ => read(field, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| read(item, into)),
        _ => {}
    }
}

fn rewrite(value: &mut Value, to: &impl Fn(i64) -> i64) {
    match value {
        Value::Object(map) => {
            for (key, field) in map {
                match field.as_i64() {
                    Some(observed) if key == FIELD => *field = to(observed).into(),
                    _ => rewrite(field, to),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite(item, to)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(top: i64, condition: i64) -> Value {
        json!({
            "observedGeneration": top, "phase": "Done",
            "conditions": [{"type": "Ready", "observedGeneration": condition}],
        })
    }

    fn digest(status: &Value) -> StatusDigest {
        StatusDigest::of(Some(status))
    }

    #[test]
    fn generations_are_translated_wherever_they_stand() {
        let generations =
            GenerationRelation::Translated { origin: 3, copy: 9, since: Some(7), per_status: 0 };
        assert_eq!(generations.translate(status(9, 7)), status(3, 3));
        assert_eq!(generations.translate(status(7, 6)), status(3, 2));
        assert_eq!(GenerationRelation::Plain.translate(status(9, 7)), status(9, 7));
    }

    #[test]
    fn what_has_been_translated_agrees_and_is_not_written_again() {
        for (since, theirs) in [(Some(7), status(9, 6)), (None, status(9, 6)), (Some(7), status(7, 7))] {
            let generations = GenerationRelation::Translated { origin: 3, copy: 9, since, per_status: 0 };
            let ours = generations.translate(theirs.clone());
            assert!(generations.agree(&digest(&theirs), &digest(&ours)), "{since:?} {theirs}");
        }
    }

    #[test]
    fn a_difference_is_a_difference() {
        let generations =
            GenerationRelation::Translated { origin: 3, copy: 9, since: Some(9), per_status: 0 };
        let mut other = status(3, 3);
        other["phase"] = json!("Failed");
        for (ours, same) in [(status(3, 3), true), (status(2, 3), false), (other, false), (json!({}), false)]
        {
            assert_eq!(generations.agree(&digest(&status(9, 9)), &digest(&ours)), same, "{ours}");
        }
    }

    #[test]
    fn an_older_generation_stays_older_however_often_the_origin_changes() {
        let theirs = digest(&status(6, 6));
        let ours = digest(&status(4, 4));
        for origin in [5, 6, 7] {
            let generations =
                GenerationRelation::Translated { origin, copy: 9, since: Some(9), per_status: 0 };
            assert!(generations.agree(&theirs, &ours), "{origin}");
        }
    }

    #[test]
    fn after_a_restart_what_stands_there_is_believed_unless_it_is_wrong_for_sure() {
        let generations = GenerationRelation::Translated { origin: 3, copy: 9, since: None, per_status: 0 };
        assert!(generations.agree(&digest(&status(8, 8)), &digest(&status(3, 3))));
        assert!(generations.agree(&digest(&status(8, 8)), &digest(&status(2, 2))));
        assert!(!generations.agree(&digest(&status(9, 9)), &digest(&status(2, 2))));
    }

    #[test]
    fn where_a_status_counts_itself_it_is_right_once_it_is_written() {
        for since in [Some(7), None] {
            let before = GenerationRelation::Translated { origin: 3, copy: 9, since, per_status: 1 };
            // The generation that the provider's controller has observed, before its own write counted.
            let (theirs, ours) = (status(8, 8), before.translate(status(8, 8)));
            assert_eq!(ours, status(4, 4), "{since:?}");
            let after = GenerationRelation::Translated { origin: 4, copy: 9, since, per_status: 1 };
            assert!(after.agree(&digest(&theirs), &digest(&ours)), "{since:?}");
        }
    }

    #[test]
    fn no_status_is_not_an_empty_one() {
        assert!(StatusDigest::of(None).is_absent());
        assert!(!digest(&json!({})).is_absent());
    }
}
