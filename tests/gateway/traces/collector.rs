//! A collector of traces: OTLP over HTTP, with the messages of the protocol.

use std::{collections::BTreeMap, sync::Arc};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind},
};
use parking_lot::Mutex;
use portolan_testkit::eventually;
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::super::support::SOON;

/// A span as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) service: String,
    pub(super) name: String,
    pub(super) trace: String,
    pub(super) id: String,
    pub(super) parent: String,
    pub(super) is_server: bool,
    pub(super) begin: u64,
    pub(super) end: u64,
    pub(super) attributes: BTreeMap<String, String>,
}

/// A running collector.
pub(super) struct Collector {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    _serving: JoinSet<()>,
}

impl Collector {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let all = Arc::clone(&seen);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&all)));
            }
        });
        Self { port, seen, _serving: serving }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Waits for so many spans of a trace, and returns all of them.
    pub(super) async fn until(&self, trace: &str, count: usize) -> Vec<Seen> {
        eventually("spans of the trace are missing", SOON, async || {
            let spans: Vec<_> = self.all().into_iter().filter(|span| span.trace == trace).collect();
            (spans.len() >= count).then_some(spans)
        })
        .await
        .unwrap()
    }

    pub(super) fn all(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// Everything that was said.
    pub(super) fn text(&self) -> String {
        format!("{:?}", self.all())
    }
}

async fn serve(mut stream: TcpStream, all: Arc<Mutex<Vec<Seen>>>) -> Option<()> {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        read.extend_from_slice(&buffer[..count]);
        let Some(head) = read.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&read[..head]).to_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let whole = head + 4 + length.unwrap_or(0);
        if read.len() < whole {
            continue;
        }
        assert!(text.starts_with("post /v1/traces http/1.1\r\n"), "{text}");
        assert!(text.contains("content-type: application/x-protobuf"), "{text}");
        let request = ExportTraceServiceRequest::decode(&read[head + 4..whole]).unwrap();
        all.lock().extend(spans(request));
        read.drain(..whole);
        // An empty message: everything was taken.
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

fn spans(request: ExportTraceServiceRequest) -> Vec<Seen> {
    let mut all = Vec::new();
    for resource in request.resource_spans {
        let about = texts(resource.resource.unwrap_or_default().attributes);
        let service = about.get("service.name").cloned().unwrap_or_default();
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        all.extend(spans.map(|span| seen(span, &service)));
    }
    all
}

fn seen(span: Span, service: &str) -> Seen {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    Seen {
        service: service.to_owned(),
        is_server: span.kind() == SpanKind::Server,
        name: span.name,
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        begin: span.start_time_unix_nano,
        end: span.end_time_unix_nano,
        attributes: texts(span.attributes),
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|attribute| (attribute.key, text(attribute.value))).collect()
}
