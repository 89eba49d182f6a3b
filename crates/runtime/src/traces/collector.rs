//! The way to a collector: over our own connections, and counted.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};
use tokio::runtime::Handle;
use tracing::{debug, info, warn};

use super::queue::Waiting;
use crate::{fetch::Fetcher, metrics::Counters, telemetry::ErrorChain};

/// Sends requests of the exporter, which runs on a thread of its own.
#[derive(Debug)]
pub(super) struct Collector {
    fetcher: Fetcher,
    runtime: Handle,
}

impl Collector {
    /// Sends on the runtime from which it is made.
    pub(super) fn new(fetcher: Fetcher) -> Self {
        Self { fetcher, runtime: Handle::current() }
    }
}

impl HttpClient for Collector {
    fn send_bytes<'s, 'f>(
        &'s self,
        request: Request<Bytes>,
    ) -> BoxFuture<'f, Result<Response<Bytes>, HttpError>>
    where
        's: 'f,
        Self: 'f,
    {
        let fetcher = self.fetcher.clone();
        let sending = self.runtime.spawn(async move {
            let (parts, body) = request.into_parts();
            fetcher.post(&parts.uri, parts.headers, body.into()).await
        });
        Box::pin(async move {
            let answer = sending.await?.inspect_err(|error| {
                debug!(error = %ErrorChain(error), "the collector of traces does not answer");
            })?;
            let mut response = Response::new(answer.body);
            (*response.status_mut(), *response.headers_mut()) = (answer.status, answer.headers);
            Ok(response)
        })
    }
}

/// Counts what becomes of spans, and says when the collector begins and ceases to take them.
#[derive(Debug)]
pub(super) struct Counted<E> {
    exporter: E,
    waiting: Waiting,
    spans: Counters,
    is_failing: AtomicBool,
}

impl<E> Counted<E> {
    /// Counts what an exporter does with the spans that wait.
    pub(super) const fn new(exporter: E, waiting: Waiting, spans: Counters) -> Self {
        Self { exporter, waiting, spans, is_failing: AtomicBool::new(false) }
    }

    fn count(&self, spans: usize, result: &OTelSdkResult) {
        let name = if result.is_ok() { "sent" } else { "lost" };
        self.spans.with_label_values(&[name]).inc_by(u64::try_from(spans).unwrap_or(u64::MAX));
        let was_failing = self.is_failing.swap(result.is_err(), Ordering::Relaxed);
        match result {
            Err(error) if !was_failing => {
                warn!(error = %ErrorChain(error), "the collector does not take traces; requests go on, their spans are lost");
            }
            Ok(()) if was_failing => info!("the collector takes traces again"),
            _ => {}
        }
    }
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.exporter.export(batch).await;
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        self.count(spans, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
