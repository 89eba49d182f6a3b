//! Answers as an event stream: `next` for each, `complete` at the end, and comments as heartbeats.

use std::{convert::Infallible, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use http::{HeaderValue, header};
use tokio::time::timeout;

use crate::{error::GraphError, subscribe::SubscriptionMessage};

/// The last event. It has a line of data, because strict parsers drop events without one.
const COMPLETE: &str = "event: complete\ndata:\n\n";
/// Maximum silence of a stream: proxies close idle ones.
const HEARTBEAT: Duration = Duration::from_secs(15);

enum StreamStage {
    Begin,
    Going,
    Complete,
    Over,
}

struct StreamSource {
    stage: StreamStage,
    messages: BoxStream<'static, SubscriptionMessage>,
    field: Box<str>,
}

/// An answer with the messages of a subscription.
pub fn events(
    field: Box<str>,
    messages: impl Stream<Item = SubscriptionMessage> + Send + 'static,
) -> Response {
    let source = StreamSource { stage: StreamStage::Begin, messages: messages.boxed(), field };
    let frames = stream::unfold(source, next).map(Ok::<_, Infallible>);
    respond(Body::from_stream(frames))
}

/// The text around an answer that is the only event.
pub const AROUND_ONE: (&str, &str) = ("event: next\ndata: ", "\n\nevent: complete\ndata:\n\n");

/// An answer in this form.
pub fn respond(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

async fn next(mut source: StreamSource) -> Option<(Bytes, StreamSource)> {
    let bytes = match source.stage {
        StreamStage::Begin => {
            source.stage = StreamStage::Going;
            ":\n\n".into()
        }
        StreamStage::Going => match timeout(HEARTBEAT, source.messages.next()).await {
            Err(_) => ":\n\n".into(),
            Ok(Some(SubscriptionMessage::Next(answer, version))) => frame(&answer, version.as_deref()).into(),
            Ok(Some(SubscriptionMessage::Failed(error))) => {
                source.stage = StreamStage::Complete;
                frame(&failed(&source.field, &error), None).into()
            }
            Ok(None) => {
                source.stage = StreamStage::Over;
                COMPLETE.into()
            }
        },
        StreamStage::Complete => {
            source.stage = StreamStage::Over;
            COMPLETE.into()
        }
        StreamStage::Over => return None,
    };
    Some((bytes, source))
}

/// The answer of a subscription that has failed.
pub fn failed(field: &str, error: &GraphError) -> Vec<u8> {
    serde_json::json!({"data": {field: serde_json::Value::Null}, "errors": [error.to_json()]})
        .to_string()
        .into_bytes()
}

fn frame(answer: &[u8], version: Option<&str>) -> Vec<u8> {
    let id = version.map(|version| format!("id: {version}\n")).unwrap_or_default();
    let mut frame = [b"event: next\n", id.as_bytes(), b"data: ", answer].concat();
    let start = frame.len() - answer.len();
    put_in_one_line(&mut frame[start..]);
    frame.extend_from_slice(b"\n\n");
    frame
}

/// Between the values of JSON, the end of a line means no more than a space. In an event, it would end the data.
pub fn put_in_one_line(json: &mut [u8]) {
    for byte in json.iter_mut().filter(|byte| matches!(**byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_of_an_event_are_in_one_line() {
        let table = [
            ("{}", None, "event: next\ndata: {}\n\n"),
            ("{\"a\":\r\n1\n}", Some("7"), "event: next\nid: 7\ndata: {\"a\":  1 }\n\n"),
        ];
        for (answer, version, expected) in table {
            assert_eq!(String::from_utf8(frame(answer.as_bytes(), version)).unwrap(), expected);
        }
    }
}
