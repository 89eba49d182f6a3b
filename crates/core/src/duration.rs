//! Durations in the spelling of Go, which the originals' clients read.

use std::time::Duration;

/// Whole seconds as `metav1.Duration` and Go's `Duration.String` spell them: `5m0s`, `167h59m30s`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use portolan_core::duration;
///
/// assert_eq!(duration::go(Duration::from_secs(300)), "5m0s");
/// ```
#[must_use]
pub fn go(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        let table =
            [(0, "0s"), (5, "5s"), (65, "1m5s"), (300, "5m0s"), (3600, "1h0m0s"), (604_770, "167h59m30s")];
        for (seconds, text) in table {
            assert_eq!(go(Duration::from_secs(seconds)), text);
        }
    }
}
