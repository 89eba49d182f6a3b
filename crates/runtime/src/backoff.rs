//! Exponential backoff with jitter, for watches and for keys of a work queue.

use std::time::Duration;

use rand::RngExt as _;

/// Delays that grow from `min` to `max` by a factor of two, each shortened by up to half at random, so that
/// many clients of one server do not come back at the same instant.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use portolan_runtime::backoff::Backoff;
///
/// let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
/// assert!(backoff.next_delay() <= Duration::from_secs(1));
/// assert!(backoff.next_delay() <= Duration::from_secs(2));
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    attempt: u32,
}

impl Backoff {
    /// Delays between `min` and `max`.
    pub const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, attempt: 0 }
    }

    /// The upper bound of the delay before the given attempt, counted from 0.
    pub fn ceiling(min: Duration, max: Duration, attempt: u32) -> Duration {
        min.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX)).min(max)
    }

    /// The next delay.
    pub fn next_delay(&mut self) -> Duration {
        let ceiling = Self::ceiling(self.min, self.max, self.attempt);
        self.attempt = self.attempt.saturating_add(1);
        ceiling.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_maximum_and_stay_there() {
        let ceiling = |attempt| Backoff::ceiling(Duration::from_millis(50), Duration::from_secs(30), attempt);
        assert_eq!(ceiling(0), Duration::from_millis(50));
        assert_eq!(ceiling(3), Duration::from_millis(400));
        assert_eq!(ceiling(20), Duration::from_secs(30));
        assert_eq!(ceiling(u32::MAX), Duration::from_secs(30));
    }

    #[test]
    fn jitter_keeps_at_least_half_of_the_delay() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(100));
        for _ in 0..100 {
            let delay = backoff.next_delay();
            assert!((Duration::from_millis(50)..=Duration::from_millis(100)).contains(&delay), "{delay:?}");
        }
    }
}
