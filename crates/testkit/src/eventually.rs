//! Waiting for what a controller is going to do: by asking again, or by a watch where the time matters.

use std::fmt::Debug;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// The answers of one look at the world.
pub trait Look<T> {
    /// The value that was waited for, or what was seen instead.
    fn verdict(self) -> Result<T, String>;
}

impl<T> Look<T> for Option<T> {
    fn verdict(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing yet".to_owned())
    }
}

impl<T> Look<T> for Result<Option<T>, kube::Error> {
    fn verdict(self) -> Result<T, String> {
        self.map_err(|error| error.to_string())?.verdict()
    }
}

/// An error is what was seen instead: `ensure!(phase == "Ready", "phase is {phase}")` reads well.
impl<T> Look<T> for Result<Option<T>> {
    fn verdict(self) -> Result<T, String> {
        self.map_err(|error| format!("{error:#}"))?.verdict()
    }
}

/// Calls `look` until it answers `Some`, at most for `timeout`. The error says what the last look saw.
pub async fn eventually<T, L: Look<T>>(
    what: &str,
    timeout: Duration,
    look: impl AsyncFn() -> L,
) -> Result<T> {
    let deadline = Instant::now() + timeout;
    let (mut pause, mut last) = (FIRST_PAUSE, "no look ended in time".to_owned());
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        // The last look may hang, so it is part of the timeout.
        match tokio::time::timeout(left, look()).await.map(Look::verdict) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(seen)) => last = seen,
            Err(_elapsed) => break,
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
    bail!("{what}: not within {timeout:?}; last seen: {last}")
}

/// Watches one object until `predicate` holds and returns it: exact to the millisecond, unlike asking.
pub async fn watch_until<K>(
    api: Api<K>,
    name: &str,
    predicate: impl Fn(&K) -> bool,
    timeout: Duration,
) -> Result<K>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
{
    watch(api, name, timeout, |object| object.filter(|object| predicate(object))).await
}

/// Watches one object until it does not exist.
pub async fn watch_until_gone<K>(api: Api<K>, name: &str, timeout: Duration) -> Result<()>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
{
    watch(api, name, timeout, |object| object.is_none().then_some(())).await
}

async fn watch<K, T>(
    api: Api<K>,
    name: &str,
    timeout: Duration,
    done: impl Fn(Option<K>) -> Option<T>,
) -> Result<T>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
{
    let mut last = "nothing".to_owned();
    let found = async {
        let mut states = pin!(watcher::watch_object(api, name).default_backoff());
        while let Some(state) = states.next().await {
            last = describe(&state);
            // An error is retried: the kind may not be served yet, or the server be away.
            if let Some(value) = state.ok().and_then(&done) {
                return Some(value);
            }
        }
        None
    };
    let found = tokio::time::timeout(timeout, found).await;
    let found = found.with_context(|| format!("{name}: not within {timeout:?}; last seen: {last}"))?;
    found.with_context(|| format!("the watch of {name} ended"))
}

fn describe<K: Resource + Serialize>(state: &watcher::Result<Option<K>>) -> String {
    match state {
        Ok(None) => "no such object".to_owned(),
        Ok(Some(object)) => serde_json::to_string(object).unwrap_or_else(|_| object.name_any()),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const SHORT: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn looks_until_there_is_something() {
        let looks = AtomicU32::new(0);
        let look = async || (looks.fetch_add(1, Ordering::Relaxed) >= 3).then_some("there");
        assert_eq!(eventually("x", Duration::from_secs(10), look).await.unwrap(), "there");
    }

    #[tokio::test]
    async fn the_error_says_what_was_seen() {
        let look = async || -> Result<Option<()>> { bail!("phase is Pending") };
        let error = eventually("the bundle is ready", SHORT, look).await.unwrap_err().to_string();
        assert_eq!(error, "the bundle is ready: not within 100ms; last seen: phase is Pending");
    }

    #[tokio::test]
    async fn a_look_that_hangs_does_not_hang_the_test() {
        let error = eventually("x", SHORT, async || std::future::pending::<Option<()>>().await).await;
        assert!(error.unwrap_err().to_string().contains("no look ended"));
    }
}
