//! The times of writes and refusals, by which answers are judged.

use std::time::{Duration, Instant};

/// Time that a busy API server may take to pass a change on to its watches. It is not in the age of an answer.
const PASSED_ON: Duration = Duration::from_millis(250);
/// Time for which a right may be remembered.
const REMEMBERED: Duration = Duration::from_secs(10);

/// A value of an object in an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// The value. None if the object was not there.
    pub(super) value: Option<u64>,
    /// When the question was asked.
    pub(super) asked: Instant,
    /// How old the answer says that it is.
    pub(super) age: Duration,
}

#[derive(Debug, Default)]
struct Written {
    /// The last value that anybody has tried to write.
    begun: u64,
    /// Values, and when the API server had taken them.
    acknowledged: Vec<(Instant, u64)>,
}

/// The writes so far, and the time since which the second account has no rights.
#[derive(Debug)]
pub(super) struct History {
    objects: Vec<Written>,
    revoked: Option<Instant>,
}

impl History {
    /// Objects with the value 0.
    pub(super) fn new(objects: usize) -> Self {
        Self { objects: (0..objects).map(|_| Written::default()).collect(), revoked: None }
    }

    /// The next value of an object.
    pub(super) fn begin(&mut self, index: usize) -> u64 {
        self.objects[index].begun += 1;
        self.objects[index].begun
    }

    /// The API server has taken a value.
    pub(super) fn acknowledged(&mut self, index: usize, value: u64, at: Instant) {
        self.objects[index].acknowledged.push((at, value));
    }

    /// A right is taken away.
    pub(super) fn revoked(&mut self, at: Instant) {
        self.revoked = Some(at);
    }

    /// It is about to be given back.
    pub(super) fn granted(&mut self) {
        self.revoked = None;
    }

    /// Returns `true` if the right was gone for too long to be remembered.
    pub(super) fn was_refused(&self, asked: Instant) -> bool {
        self.revoked.is_some_and(|revoked| asked.saturating_duration_since(revoked) > REMEMBERED)
    }

    /// Says what is wrong with a value, if anything is.
    pub(super) fn judge(&self, index: usize, seen: &Seen) -> Result<(), String> {
        let object = &self.objects[index];
        let Some(known) = seen.asked.checked_sub(seen.age + PASSED_ON) else { return Ok(()) };
        let before = object.acknowledged.iter().rev().find(|(at, _)| *at <= known);
        let least = before.map_or(0, |(_, value)| *value);
        match seen.value {
            None => Err(format!("object {index} is missing")),
            Some(value) if value < least => {
                let late = known - before.map_or(known, |(at, _)| *at);
                Err(format!("object {index} is at {value}, and was at {least} already {late:?} before that"))
            }
            Some(value) if value > object.begun => {
                Err(format!("object {index} is at {value}, which nobody has written"))
            }
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_as_old_as_they_say_or_wrong() {
        let (mut history, begin) = (History::new(1), Instant::now());
        let after = |ms: u64| begin + Duration::from_millis(ms);
        for at in [1_000, 2_000] {
            let value = history.begin(0);
            history.acknowledged(0, value, after(at));
        }
        history.begin(0);
        let table = [
            (Some(0), 1_000, 0, true),
            (Some(0), 1_300, 0, false),
            (Some(0), 1_300, 100, true),
            (Some(1), 2_200, 0, true),
            (Some(1), 2_300, 0, false),
            (Some(1), 3_000, 800, true),
            (Some(2), 9_000, 0, true),
            (Some(3), 9_000, 0, true),
            (Some(4), 9_000, 0, false),
            (None, 9_000, 0, false),
        ];
        for (value, asked, age, expected) in table {
            let seen = Seen { value, asked: after(asked), age: Duration::from_millis(age) };
            assert_eq!(history.judge(0, &seen).is_ok(), expected, "{seen:?}");
        }
        assert!(!history.was_refused(after(99_000)));
        history.revoked(after(1_000));
        assert!(!history.was_refused(after(10_900)) && history.was_refused(after(11_100)));
        history.granted();
        assert!(!history.was_refused(after(99_000)));
    }
}
