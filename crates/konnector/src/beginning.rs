//! The first seconds of the process: until something is known, earlier conditions stand.

use std::time::Duration;

use jiff::Timestamp;
use portolan_core::condition::{self, Condition, Severity, Verdict};
use tokio::time::Instant;

/// Time for which earlier statements stand.
const LENGTH: Duration = Duration::from_secs(10);

/// When the process began.
#[derive(Clone, Copy, Debug)]
pub struct ProcessStart(Instant);

impl ProcessStart {
    pub fn now() -> Self {
        Self(Instant::now())
    }

    /// Time until it is over; `None` when it is.
    pub fn left(self) -> Option<Duration> {
        LENGTH.checked_sub(self.0.elapsed()).filter(|left| !left.is_zero())
    }
}

/// Sets a condition. At the beginning, one that says only that something is not known yet is replaced by what is
/// there.
pub fn say(conditions: &mut Vec<Condition>, r#type: &str, verdict: Verdict, now: Timestamp, beginning: bool) {
    let is_pending = !verdict.is_true() && verdict.severity == Severity::Info;
    if beginning && is_pending && condition::find(conditions, r#type).is_some() {
        return;
    }
    condition::set(conditions, r#type, verdict, now);
}

/// Of what is known only with a valid Secret.
pub fn no_secret() -> Verdict {
    Verdict::pending("WaitingForSecret", "Nothing is known of the provider while its Secret is not valid.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_known_yet_gives_way() {
        let said = |before: Option<Verdict>, verdict: Verdict, beginning: bool| {
            let mut conditions = Vec::new();
            if let Some(verdict) = before {
                condition::set(&mut conditions, "A", verdict, Timestamp::UNIX_EPOCH);
            }
            say(&mut conditions, "A", verdict, Timestamp::UNIX_EPOCH, beginning);
            condition::verdict_of(&conditions[0])
        };
        let (pending, error) = (|| Verdict::pending("P", ""), || Verdict::error("E", ""));
        assert_eq!(said(Some(Verdict::holds()), pending(), true), Verdict::holds());
        assert_eq!(said(Some(Verdict::holds()), pending(), false), pending());
        assert_eq!(said(Some(Verdict::holds()), error(), true), error());
        assert_eq!(said(None, pending(), true), pending());
    }
}
