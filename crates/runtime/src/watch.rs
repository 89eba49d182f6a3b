//! Watches that never give up: list, watch, and restart with backoff after an error.

pub mod lean;

use std::{fmt::Debug, future::Future, hash::Hash, time::Duration};

use futures::StreamExt as _;
use kube::{
    Api, Resource,
    runtime::{
        reflector::Store,
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use crate::{backoff::Backoff, restored};

/// Number of objects to list at a time where each may have a megabyte.
pub const LARGE_PAGE: u32 = 8;
/// The first delay after a failed watch: rights and CRDs often follow within milliseconds.
const MIN_DELAY: Duration = Duration::from_millis(50);
/// The longest delay after a failed watch.
const MAX_DELAY: Duration = Duration::from_secs(15);

/// Follows a kind until it is dropped: hands every event and every error to `on`.
///
/// The wait after an error grows until a list is complete or a change arrives; that a list has begun is no
/// progress.
///
/// Where the API server was away, and where [`restored`] says so, everything is relisted: it may have come back with
/// a backup, whose versions are lower than those that a watch would go on from, and then that watch would show
/// nothing.
pub async fn follow<K>(api: Api<K>, config: watcher::Config, mut on: impl FnMut(watcher::Result<Event<K>>))
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut backoff = WatchBackoff::new();
    let mut restored = restored::subscribe();
    let anew = || watcher::watcher(api.clone(), config.clone()).boxed();
    let mut events = anew();
    loop {
        let event = tokio::select! {
            // The other end of the channel lives as long as the process.
            _ = restored.changed() => {
                events = anew();
                continue;
            }
            event = events.next() => event,
        };
        let Some(event) = event else { return };
        let wait = backoff.after(&event);
        let was_away = event.as_ref().err().is_some_and(was_away);
        on(event);
        if let Some(wait) = wait {
            sleep(wait).await;
        }
        if was_away {
            backoff.relists = true;
            events = anew();
        }
    }
}

/// Delay after an error.
struct WatchBackoff {
    backoff: Backoff,
    failed: Option<Instant>,
    /// The list that is under way follows from an error, so that its end alone is no progress: where lists succeed
    /// and watches never do, that would be a list every few milliseconds.
    relists: bool,
}

impl WatchBackoff {
    fn new() -> Self {
        Self { backoff: Backoff::new(MIN_DELAY, MAX_DELAY), failed: None, relists: false }
    }

    fn after<K>(&mut self, event: &watcher::Result<Event<K>>) -> Option<Duration> {
        match event {
            Ok(Event::InitDone) if std::mem::take(&mut self.relists) => None,
            Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_)) => {
                self.backoff = Backoff::new(MIN_DELAY, MAX_DELAY);
                None
            }
            Ok(Event::Init | Event::InitApply(_)) => None,
            Err(_) => {
                if self.failed.replace(Instant::now()).is_some_and(|last| last.elapsed() > MAX_DELAY * 2) {
                    self.backoff = Backoff::new(MIN_DELAY, MAX_DELAY);
                }
                Some(self.backoff.next_delay())
            }
        }
    }
}

/// Returns `true` if a watch could not go on because nobody answered, or not as an API server at work does.
fn was_away(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code >= 500,
        watcher::Error::WatchStartFailed(_) => true,
        // What lists begins with is relisted by itself, and a stream that broke is taken up again first.
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchError(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => false,
    }
}

/// Follows one object until it is dropped: `Ok(None)` when it does not exist.
pub async fn follow_object<K>(api: Api<K>, name: &str, mut on: impl FnMut(watcher::Result<Option<K>>))
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut listed = None;
    let on_event = |event| match event {
        Ok(Event::Init) => listed = None,
        Ok(Event::InitApply(object)) => listed = Some(object),
        Ok(Event::InitDone) => on(Ok(listed.take())),
        Ok(Event::Apply(object)) => on(Ok(Some(object))),
        Ok(Event::Delete(_)) => on(Ok(None)),
        Err(error) => on(Err(error)),
    };
    follow(api, config, on_event).await;
}

/// A store that follows a kind, and the task that fills it. `on` hears of every object that came, changed
/// or went, after the store has taken it in, and of errors.
///
/// # Examples
///
/// ```no_run
/// use std::sync::Arc;
///
/// use k8s_openapi::api::core::v1::ConfigMap;
/// use kube::{
///     Api, Client, ResourceExt as _,
///     runtime::{reflector::Store, watcher},
/// };
/// use portolan_runtime::{
///     queue::WorkQueue,
///     tasks::Tasks,
///     watch::{WatchChange, reflect},
/// };
///
/// fn follow(client: Client, queue: Arc<WorkQueue<String>>, tasks: &Tasks) -> Store<ConfigMap> {
///     let on = move |change: WatchChange<'_, ConfigMap>| match change {
///         WatchChange::Applied(map) | WatchChange::Deleted(map) => queue.add(map.name_any()),
///         WatchChange::Relisted | WatchChange::Failed(_) => {}
///     };
///     let (store, task) = reflect(Api::all(client), watcher::Config::default(), on);
///     tasks.spawn_critical("config maps", task);
///     store
/// }
/// ```
pub fn reflect<K>(
    api: Api<K>,
    config: watcher::Config,
    on: impl FnMut(WatchChange<'_, K>) + Send + 'static,
) -> (Store<K>, impl Future<Output = ()> + Send + 'static)
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Default + Send + Sync + Unpin,
{
    let (store, take) = keep(on);
    (store, follow(api, config, take))
}

/// A store, and what takes events into it before `on` hears of them.
fn keep<K>(
    mut on: impl FnMut(WatchChange<'_, K>) + Send + 'static,
) -> (Store<K>, impl FnMut(watcher::Result<Event<K>>) + Send + 'static)
where
    K: Resource + Clone + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Default + Send + Sync + Unpin,
{
    let (store, mut writer) = kube::runtime::reflector::store();
    let take = move |event| match event {
        Ok(event) => {
            writer.apply_watcher_event(&event);
            match &event {
                Event::Apply(object) => on(WatchChange::Applied(object)),
                Event::Delete(object) => on(WatchChange::Deleted(object)),
                Event::InitDone => on(WatchChange::Relisted),
                Event::Init | Event::InitApply(_) => {}
            }
        }
        Err(error) => on(WatchChange::Failed(&error)),
    };
    (store, take)
}

/// An event of a followed kind.
#[derive(Debug)]
pub enum WatchChange<'a, K> {
    /// An object came or changed.
    Applied(&'a K),
    /// An object went.
    Deleted(&'a K),
    /// The store holds a fresh list; any object may differ.
    Relisted,
    /// The watch failed and will be tried again.
    Failed(&'a watcher::Error),
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::Status;

    use super::*;
    use crate::tasks::Tasks;

    fn refused(code: u16) -> watcher::Error {
        let status = Status { code, ..Status::failure("", "") };
        watcher::Error::WatchStartFailed(kube::Error::Api(status.boxed()))
    }

    #[test]
    fn everything_is_listed_anew_only_where_the_api_server_was_away() {
        let unreachable = || kube::Error::Service("connection refused".into());
        let table = [
            (watcher::Error::WatchStartFailed(unreachable()), true),
            (refused(503), true),
            (refused(504), true),
            (refused(403), false),
            (refused(429), false),
            (watcher::Error::WatchFailed(unreachable()), false),
            (watcher::Error::InitialListFailed(unreachable()), false),
        ];
        for (error, expected) in table {
            assert_eq!(was_away(&error), expected, "{error:?}");
        }
    }

    /// An API server without objects: it notes lists, and its watches show nothing.
    fn empty() -> (kube::Client, Arc<AtomicUsize>) {
        let lists = Arc::<AtomicUsize>::default();
        let noted = Arc::clone(&lists);
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
            if !is_watch {
                noted.fetch_add(1, Ordering::Relaxed);
            }
            async move {
                if is_watch {
                    std::future::pending::<()>().await;
                }
                let list = r#"{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[]}"#;
                Ok::<_, std::convert::Infallible>(http::Response::new(kube::client::Body::from(
                    list.as_bytes().to_vec(),
                )))
            }
        });
        (kube::Client::new(service, "default"), lists)
    }

    #[tokio::test(start_paused = true)]
    async fn everything_is_listed_anew_when_the_cluster_has_come_back_with_a_backup() {
        let (client, lists) = empty();
        let api: Api<ConfigMap> = Api::all(client);
        let tasks = Tasks::default();
        tasks.spawn("watch", follow(api, watcher::Config::default(), |_| ()));
        sleep(Duration::from_secs(60)).await;
        assert_eq!(lists.load(Ordering::Relaxed), 1);
        restored::report("this is a test");
        sleep(Duration::from_secs(60)).await;
        assert_eq!(lists.load(Ordering::Relaxed), 2);
        tasks.cancel();
    }

    #[test]
    fn lists_that_no_watch_follows_come_ever_later() {
        let mut backoff = WatchBackoff::new();
        let mut waits = Vec::new();
        for _ in 0..12 {
            waits.extend(backoff.after::<ConfigMap>(&Err(refused(503))));
            backoff.relists = true;
            assert_eq!(backoff.after::<ConfigMap>(&Ok(Event::InitDone)), None);
        }
        assert!(waits.last().unwrap() >= &(MAX_DELAY / 2), "{waits:?}");
        backoff.after::<ConfigMap>(&Ok(Event::Apply(ConfigMap::default())));
        assert!(backoff.after::<ConfigMap>(&Err(refused(503))).unwrap() <= MIN_DELAY);
    }
}
