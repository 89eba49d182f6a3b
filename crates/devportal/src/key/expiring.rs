//! Warns of the end of a key, a week and a day before.

use jiff::{SignedDuration, Timestamp};
use portolan_core::standard_condition::{Judgement, find};

use super::status::{EXPIRING_SOON, PlanDraft};
use crate::news::FactKind;

pub(super) const DAY: SignedDuration = SignedDuration::from_hours(24);
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Sets the condition. What it says is remembered in it, so nobody is told twice.
pub(super) fn warn(draft: &mut PlanDraft<'_>, end: Timestamp) {
    let left = end.duration_since(draft.seen.now);
    let (reason, since, next) = match left {
        left if left <= DAY => ("ExpiresWithinOneDay", end - DAY, end),
        left if left <= WEEK => ("ExpiresWithinSevenDays", end - WEEK, end - DAY),
        _ => {
            draft.unset(EXPIRING_SOON);
            return draft.again_at(end - WEEK);
        }
    };
    draft.again_at(next);
    let message = format!("The key expires at {end}");
    let known = find(&draft.status.conditions, EXPIRING_SOON);
    if known.is_none_or(|known| known.reason != reason || known.message != message) {
        draft.tell(true, "ExpiringSoon", message.clone());
        draft.report(FactKind::Expiring, since);
    }
    draft.set(EXPIRING_SOON, Judgement::holds(reason, message));
}
