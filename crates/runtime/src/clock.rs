//! The one place where the time of day is read. Domain code gets it as an argument.

use jiff::Timestamp;

/// The time of day, in whole seconds: what Kubernetes objects carry.
#[expect(clippy::disallowed_methods, reason = "this is the clock that the lint points to")]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// The time of day with fractions of a second: what leases carry.
#[expect(clippy::disallowed_methods, reason = "this is the clock that the lint points to")]
pub fn precise_now() -> Timestamp {
    Timestamp::now()
}
