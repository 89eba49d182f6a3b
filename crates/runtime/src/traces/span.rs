//! Spans, and who they are children of.

use std::borrow::Cow;

use http::{HeaderMap, StatusCode};
use opentelemetry::{
    Context, KeyValue, Value,
    context::FutureExt as _,
    propagation::TextMapPropagator as _,
    trace::{SpanKind, Status, TraceContextExt as _, Tracer as _},
};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracer};

/// A caller's own span, if it has told of one.
#[derive(Clone, Debug, Default)]
pub struct Parent(Context);

impl Parent {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let propagator = TraceContextPropagator::new();
        Self(propagator.extract_with_context(&Context::new(), &HeaderExtractor(headers)))
    }
}

/// A span, which ends when its last clone is dropped if nobody ends it before. Without traces, it is nothing.
#[derive(Clone, Debug, Default)]
pub struct Span(Option<Context>);

/// Begins the span of a call of another server, as a child of the request for which this runs.
pub fn call(name: &'static str) -> Span {
    Context::map_current(|parent| {
        let tracer = parent.get::<SdkTracer>().filter(|_| parent.has_active_span())?;
        Some(parent.with_span(begun(tracer, name, SpanKind::Client, parent)))
    })
    .map_or_else(Span::default, |span| Span(Some(span)))
}

fn begun(
    tracer: &SdkTracer,
    name: &'static str,
    kind: SpanKind,
    parent: &Context,
) -> opentelemetry_sdk::trace::Span {
    tracer.build_with_context(tracer.span_builder(name).with_kind(kind), parent)
}

impl Span {
    pub(super) fn of_request(tracer: &SdkTracer, name: &'static str, parent: &Parent) -> Self {
        let span = begun(tracer, name, SpanKind::Server, &parent.0);
        // Calls find the tracer beside their parent.
        Self(Some(parent.0.with_value(tracer.clone()).with_span(span)))
    }

    /// Does work whose calls are children of this span.
    pub async fn cover<F: Future>(&self, work: F) -> F::Output {
        match &self.0 {
            Some(context) => work.with_context(context.clone()).await,
            None => work.await,
        }
    }

    /// Says something about what is done. Never a token, nor what is in an object.
    pub fn note(&self, key: &'static str, value: impl FnOnce() -> Value) {
        if let Some(context) = &self.0
            && context.span().is_recording()
        {
            context.span().set_attribute(KeyValue::new(key, value()));
        }
    }

    /// Says how it was answered. For a server, only its own failures are errors.
    pub fn answered(&self, status: StatusCode, is_error: bool) {
        self.note("http.response.status_code", || i64::from(status.as_u16()).into());
        if is_error {
            self.failed(status.as_str().to_owned());
        }
    }

    /// Says that it failed, in a word.
    pub fn failed(&self, kind: impl Into<Cow<'static, str>>) {
        let kind = kind.into();
        if let Some(context) = &self.0 {
            context.span().set_status(Status::error(kind.clone()));
        }
        self.note("error.type", || Value::String(kind.into()));
    }

    /// Ends it, whoever has a clone.
    pub fn end(&self) {
        if let Some(context) = &self.0 {
            context.span().end();
        }
    }

    /// Tells the server that is called which span it is called by.
    pub fn tell(&self, headers: &mut HeaderMap) {
        if let Some(context) = &self.0 {
            TraceContextPropagator::new().inject_context(context, &mut HeaderInjector(headers));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::{
        error::OTelSdkResult,
        trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter},
    };
    use parking_lot::Mutex;

    use super::*;

    const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-";

    /// The spans that have ended.
    #[derive(Clone, Debug, Default)]
    struct Ended(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Ended {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().extend(batch);
            Ok(())
        }
    }

    fn traced(ratio: f64) -> (SdkTracerProvider, Ended) {
        let exporter = Ended::default();
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)));
        let provider =
            SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).with_sampler(sampler).build();
        (provider, exporter)
    }

    fn parent(flags: Option<&str>) -> Parent {
        let mut headers = HeaderMap::new();
        if let Some(flags) = flags {
            headers.insert("traceparent", format!("{CALLER}{flags}").parse().unwrap());
        }
        Parent::of(&headers)
    }

    #[tokio::test]
    async fn callers_decide_and_otherwise_the_share() {
        for (flags, ratio, expected) in
            [(None, 1.0, 2), (None, 0.0, 0), (Some("01"), 0.0, 2), (Some("00"), 1.0, 0)]
        {
            let (provider, exporter) = traced(ratio);
            let request = Span::of_request(&provider.tracer("t"), "request", &parent(flags));
            let mut told = HeaderMap::new();
            request.cover(async { call("call").tell(&mut told) }).await;
            request.end();
            let spans = exporter.0.lock().clone();
            assert_eq!(spans.len(), expected, "{flags:?} {ratio}");
            // The server that is called learns of the trace, sampled or not.
            let told = told["traceparent"].to_str().unwrap();
            assert!(told.ends_with(if expected > 0 { "-01" } else { "-00" }), "{told}");
            assert_eq!(told.starts_with(&CALLER[..35]), flags.is_some(), "{told}");
            if let [child, request] = &spans[..] {
                assert_eq!(child.parent_span_id, request.span_context.span_id());
                assert!(told.contains(&child.span_context.span_id().to_string()), "{told}");
            }
        }
    }

    #[tokio::test]
    async fn without_traces_nobody_is_told() {
        let (none, mut told) = (Span::default(), HeaderMap::new());
        none.cover(async { call("call").tell(&mut told) }).await;
        none.failed("x");
        assert!(told.is_empty());
    }
}
