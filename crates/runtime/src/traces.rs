//! Traces: spans of requests and of the calls that are made for them, sent to a collector by OTLP. Off unless a
//! collector is named.
//!
//! A span waits in a queue of bounded length until it is sent. Whoever is traced never waits for it: while a collector
//! does not take spans, they are lost.

mod collector;
mod queue;
mod span;

use std::{path::PathBuf, time::Duration};

use clap::Args;
use http::{HeaderMap, HeaderValue, Uri, header};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider},
};
use tracing::debug;

pub use self::span::{Parent, Span, call};
use self::{
    collector::{Collector, Counted},
    queue::{Bounded, Waiting},
};
use crate::{
    check::Check,
    fetch::{AddressPolicy, FetchError, FetchSettings, Fetcher, NamedAddress},
    process::{Misconfigured, Process, misconfigured},
    telemetry::ErrorChain,
};

/// Number of spans that may wait.
const QUEUE: usize = 2048;
/// Interval at which spans are sent, unless a quarter of the queue is full before.
const SEND_EVERY: Duration = Duration::from_secs(2);
/// Limit for the last spans of a process.
const LAST: Duration = Duration::from_millis(1500);

/// Flags of traces.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Traces")]
pub struct TraceArgs {
    /// URL of a collector that takes OTLP over HTTP, such as `http://collector:4318`; `/v1/traces` is added. Without it,
    /// nothing is traced.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", value_parser = collector_url)]
    pub otlp_endpoint: Option<Uri>,
    /// File with the CAs of the collector's certificate, as PEM. By default, the public CAs.
    #[arg(long, value_name = "FILE")]
    pub otlp_ca_file: Option<PathBuf>,
    /// Share of the requests that are traced, from 0 to 1, if a caller's `traceparent` does not decide.
    #[arg(long, default_value_t = 1.0, value_name = "SHARE", value_parser = share)]
    pub otlp_ratio: f64,
}

/// The traces of a process. Without a collector, they cost nothing.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    tracer: Option<SdkTracer>,
}

/// A collector that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The file with its CAs cannot be read.
    #[error("--otlp-ca-file {0}")]
    Authorities(PathBuf, #[source] std::io::Error),
    /// There is something else in it.
    #[error("--otlp-ca-file has no certificates")]
    Certificates(#[source] FetchError),
    /// The exporter refuses its configuration, which may come from its own environment names.
    #[error("traces cannot be sent")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
}

impl Traces {
    /// Starts to send the traces of a service, if a collector is named.
    ///
    /// # Errors
    /// If what is configured cannot be used.
    pub fn start(service: &'static str, args: &TraceArgs, process: &Process) -> Result<Self, Misconfigured> {
        let Some(endpoint) = &args.otlp_endpoint else { return Ok(Self::default()) };
        let provider = provider(service, endpoint, args, process).map_err(misconfigured)?;
        let tracer = provider.tracer("portolan");
        process.tasks.spawn_last(async move {
            // It waits for a thread of its own.
            let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST)).await;
            debug!(?ended, "traces have ended");
        });
        Ok(Self { tracer: Some(tracer) })
    }

    /// Reads the trace that a request belongs to (W3C `traceparent` and `tracestate`).
    pub fn parent(&self, headers: &HeaderMap) -> Parent {
        if self.tracer.is_some() { Parent::of(headers) } else { Parent::default() }
    }

    /// Begins the span of a request.
    pub fn request(&self, name: &'static str, parent: &Parent) -> Span {
        self.tracer.as_ref().map_or_else(Span::default, |tracer| Span::of_request(tracer, name, parent))
    }
}

/// Checks that a collector, if one is named, takes an empty request.
pub async fn check(args: &TraceArgs, docs: &str) -> Option<Check> {
    let endpoint = args.otlp_endpoint.as_ref()?;
    let cure = "look at --otlp-endpoint, which is the address of OTLP over HTTP (usually port 4318), and at --otlp-ca-file";
    let told = match fetcher(args) {
        Ok(fetcher) => takes_spans(&fetcher, endpoint).await,
        Err(error) => Err(ErrorChain(&error).to_string()),
    };
    Some(Check::new(format!("collector of traces {}", destination(endpoint)), told, cure, docs))
}

async fn takes_spans(fetcher: &Fetcher, endpoint: &Uri) -> Result<String, String> {
    let url = destination(endpoint).parse().map_err(|error| format!("{error}"))?;
    let protobuf = HeaderValue::from_static("application/x-protobuf");
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, protobuf)]);
    // An ExportTraceServiceRequest without a span is a message of no bytes.
    let answer = fetcher.post(&url, headers, Vec::new()).await;
    let status = answer.map_err(|error| ErrorChain(&error).to_string())?.status;
    if status.is_success() { Ok("takes spans".to_owned()) } else { Err(format!("answers {status}")) }
}

fn destination(endpoint: &Uri) -> String {
    format!("{}/v1/traces", endpoint.to_string().trim_end_matches('/'))
}

fn fetcher(args: &TraceArgs) -> Result<Fetcher, TracesError> {
    let read =
        |path: &PathBuf| std::fs::read(path).map_err(|error| TracesError::Authorities(path.clone(), error));
    let settings = FetchSettings {
        // An operator has chosen it.
        policy: AddressPolicy { named: vec![NamedAddress::Anything], ..AddressPolicy::default() },
        extra_authorities: args.otlp_ca_file.as_ref().map(read).transpose()?,
        plain_http: true,
        ..FetchSettings::default()
    };
    Fetcher::new(&settings).map_err(TracesError::Certificates)
}

fn provider(
    service: &str,
    endpoint: &Uri,
    args: &TraceArgs,
    process: &Process,
) -> Result<SdkTracerProvider, TracesError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Collector::new(fetcher(args)?))
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(destination(endpoint))
        .build()
        .map_err(TracesError::Exporter)?;
    let spans = process.metrics.counters(
        "spans_total",
        "Spans that were sent to the collector of traces, or lost.",
        &["result"],
    );
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(QUEUE / 4)
        .with_scheduled_delay(SEND_EVERY)
        .build();
    let waiting = Waiting::default();
    let exporter = Counted::new(exporter, Waiting::clone(&waiting), spans.clone());
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let processor = Bounded::new(processor, QUEUE, waiting, spans);
    let resource = Resource::builder()
        .with_service_name(format!("portolan-{service}"))
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(args.otlp_ratio))))
        .with_resource(resource)
        .build())
}

fn collector_url(text: &str) -> Result<Uri, String> {
    let url = text.parse::<Uri>().ok().filter(|url| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && url.query().is_none()
    });
    url.ok_or_else(|| format!("{text:?} is not http://HOST:PORT or https://HOST:PORT"))
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("{text:?} is not a number from 0 to 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_named_by_its_url_and_a_share_is_a_part() {
        for url in ["http://collector:4318", "https://collector/otlp/", "http://[::1]:1"] {
            assert!(collector_url(url).is_ok(), "{url}");
        }
        for url in ["collector:4318", "grpc://c:4317", "http://", "http://u:p@c", "http://c/?a=b", ""] {
            assert!(collector_url(url).is_err(), "{url}");
        }
        for (text, expected) in [("0", Some(0.0)), ("0.25", Some(0.25)), ("1", Some(1.0))] {
            assert_eq!(share(text).ok(), expected, "{text}");
        }
        for text in ["-0.1", "1.1", "NaN", "inf", "all", ""] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
