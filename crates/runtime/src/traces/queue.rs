//! The queue of spans: bounded, and what does not fit is counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};

use crate::metrics::Counters;

/// Number of spans that wait to be sent, or are being sent.
pub(super) type Waiting = Arc<AtomicUsize>;

/// A processor that is given no more spans than it can hold; it would drop others without a word.
#[derive(Debug)]
pub(super) struct Bounded<P> {
    processor: P,
    limit: usize,
    waiting: Waiting,
    spans: Counters,
}

impl<P> Bounded<P> {
    /// Whoever sends spans takes them from `waiting`.
    pub(super) const fn new(processor: P, limit: usize, waiting: Waiting, spans: Counters) -> Self {
        Self { processor, limit, waiting, spans }
    }
}

impl<P: SpanProcessor> SpanProcessor for Bounded<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.processor.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) < self.limit {
            self.processor.on_end(span);
        } else {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.spans.with_label_values(&["lost"]).inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}
