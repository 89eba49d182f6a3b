//! Load: many objects on an API server, many requests on a service of this machine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use http::{Request, StatusCode};
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::{Api, Client};
use tokio::task::JoinSet;

use crate::http::{HttpClient, check_loopback};
use crate::percentiles::Percentiles;

/// Creates `count` objects, at most `concurrency` at the same time, and says how long each create took.
/// The first failure ends it.
pub async fn objects(
    client: &Client,
    resource: &ApiResource,
    namespace: Option<&str>,
    make: impl Fn(usize) -> DynamicObject,
    count: usize,
    concurrency: usize,
) -> Result<Percentiles> {
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    };
    let latencies: Vec<Duration> = stream::iter(0..count)
        .map(|index| create(api.clone(), make(index)))
        .buffer_unordered(concurrency.max(1))
        .try_collect()
        .await?;
    Ok(latencies.into_iter().collect())
}

async fn create(api: Api<DynamicObject>, object: DynamicObject) -> Result<Duration> {
    let start = Instant::now();
    let created = api.create(&PostParams::default(), &object).await;
    created.with_context(|| format!("cannot create {}", object.metadata.name.unwrap_or_default()))?;
    Ok(start.elapsed())
}

/// Result of an HTTP load.
#[derive(Clone, Debug, Default)]
pub struct HttpReport {
    /// From sending a request to the end of its answer.
    pub latencies: Percentiles,
    /// Number of answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests that got no answer at all.
    pub failed: u64,
    /// The first of those failures.
    pub failure: Option<String>,
    /// Answers with another body than expected, where that is looked at.
    pub wrong: u64,
    /// The wall-clock time of everything.
    pub elapsed: Duration,
}

impl HttpReport {
    /// Answers per second.
    pub fn per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "no load has 2^52 requests")]
        let answers = self.latencies.count() as f64;
        answers / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// Returns `true` if there were requests, and every one was answered with `status` and the expected body.
    pub fn all(&self, status: StatusCode) -> bool {
        self.failed == 0 && self.wrong == 0 && self.statuses.keys().eq([&status.as_u16()])
    }

    fn count(&mut self, latency: Duration, answer: Result<(StatusCode, bool)>) {
        match answer {
            Ok((status, is_right)) => {
                self.latencies.record(latency);
                *self.statuses.entry(status.as_u16()).or_default() += 1;
                self.wrong += u64::from(!is_right);
            }
            Err(error) => {
                self.failed += 1;
                self.failure.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.latencies.merge(&other.latencies);
        self.failed += other.failed;
        self.wrong += other.wrong;
        self.failure = self.failure.take().or(other.failure);
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
    }
}

/// Sends `total` requests over `concurrency` connections that stay open. `make` gets the number of the
/// request. Only plain HTTP to this machine is allowed.
pub async fn http<F>(make: F, concurrency: usize, total: usize) -> Result<HttpReport>
where
    F: Fn(usize) -> Request<Vec<u8>> + Send + Sync + 'static,
{
    http_checked(make, |_, _| true, concurrency, total).await
}

/// As [`http()`], with a look at each body: `is_right` gets the number of the request and the body of its answer.
pub async fn http_checked<F, C>(make: F, is_right: C, concurrency: usize, total: usize) -> Result<HttpReport>
where
    F: Fn(usize) -> Request<Vec<u8>> + Send + Sync + 'static,
    C: Fn(usize, &[u8]) -> bool + Send + Sync + 'static,
{
    check_loopback(make(0).uri())?;
    let (make, next) = (Arc::new((make, is_right)), Arc::new(AtomicUsize::new(0)));
    let client = HttpClient::new();
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..concurrency.max(1) {
        workers.spawn(work(client.clone(), Arc::clone(&make), Arc::clone(&next), total));
    }
    let mut report = HttpReport::default();
    while let Some(part) = workers.join_next().await {
        report.merge(part.context("a load worker panicked")?);
    }
    report.elapsed = start.elapsed();
    Ok(report)
}

/// As [`http()`], with GET requests of one URL.
pub async fn http_get(url: &str, concurrency: usize, total: usize) -> Result<HttpReport> {
    let request = Request::get(url).body(Vec::new()).with_context(|| format!("{url} is not a URL"))?;
    http(move |_| request.clone(), concurrency, total).await
}

async fn work<F, C>(client: HttpClient, load: Arc<(F, C)>, next: Arc<AtomicUsize>, total: usize) -> HttpReport
where
    F: Fn(usize) -> Request<Vec<u8>> + Send + Sync + 'static,
    C: Fn(usize, &[u8]) -> bool + Send + Sync + 'static,
{
    let (make, is_right) = &*load;
    let mut report = HttpReport::default();
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= total {
            return report;
        }
        let request = make(index);
        let start = Instant::now();
        let answer = client.send(request).await;
        let latency = start.elapsed();
        report.count(latency, answer.map(|(status, body)| (status, is_right(index, &body))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[test]
    fn nothing_that_was_asked_is_no_answer_for_all() {
        let answered = |statuses: &[u16]| {
            let statuses = statuses.iter().map(|&status| (status, 1)).collect();
            HttpReport { statuses, ..HttpReport::default() }.all(StatusCode::OK)
        };
        assert!(answered(&[200]));
        assert!(!answered(&[]) && !answered(&[503]) && !answered(&[200, 503]));
        let failed = HttpReport { statuses: BTreeMap::from([(200, 1)]), failed: 1, ..HttpReport::default() };
        assert!(!failed.all(StatusCode::OK));
        let wrong = HttpReport { statuses: BTreeMap::from([(200, 2)]), wrong: 1, ..HttpReport::default() };
        assert!(!wrong.all(StatusCode::OK));
    }

    /// Answers every request of every connection with 204.
    async fn serve(listener: TcpListener) {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {
                    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                }
            });
        }
    }

    #[tokio::test]
    async fn every_request_is_sent_once_and_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(serve(listener));
        let report = http_get(&url, 4, 100).await.unwrap();
        assert_eq!(report.statuses, BTreeMap::from([(204, 100)]));
        assert_eq!(report.latencies.count(), 100);
        assert!(report.all(StatusCode::NO_CONTENT) && report.per_second() > 0.0);
        let request = Request::get(&url).body(Vec::new()).unwrap();
        let report = http_checked(move |_| request.clone(), |index, _| index != 1, 2, 10).await.unwrap();
        assert_eq!((report.wrong, report.all(StatusCode::NO_CONTENT)), (1, false));
    }

    #[tokio::test]
    async fn a_refused_connection_is_counted_and_another_machine_refused() {
        let report = http_get("http://127.0.0.1:1/", 1, 2).await.unwrap();
        assert_eq!(report.failed, 2);
        assert!(report.failure.unwrap().contains("127.0.0.1:1"));
        assert!(http_get("http://example.com/", 1, 1).await.is_err());
    }
}
