//! Writes an answer piece by piece, in the order of the query, with the errors at its end.

use std::sync::atomic::AtomicUsize;

use apollo_compiler::response::{JsonMap, JsonValue};
use futures::{Stream, StreamExt as _};

use super::{
    flow::ListFlow,
    reply::{CallReply, PlacedCall},
    room::take,
    sink::{AnswerSink, StopReason},
    unreadable::too_long,
};
use crate::{
    error::GraphError,
    plan::{FieldSource, PlanField},
    scan::PathStep,
};

/// A piece of the answer.
pub(super) enum AnswerPiece<'p> {
    /// Text that is known.
    Text(Vec<u8>),
    /// A field of the introspection.
    Introspected(&'p str),
    /// The answer to the next errand.
    Call,
}

/// Splits an answer into what is known of it, and calls.
pub(super) fn gather<'p>(
    fields: &'p [PlanField],
    path: &mut Vec<PathStep>,
    pieces: &mut Vec<AnswerPiece<'p>>,
    errands: &mut Vec<PlacedCall<'p>>,
) {
    for (index, field) in fields.iter().enumerate() {
        let begin = if index == 0 { "{" } else { "," };
        say(pieces, &format!("{begin}\"{}\":", field.name));
        path.push(PathStep::Field(field.name.to_string()));
        match &field.does {
            FieldSource::Constant(json) => say(pieces, json),
            FieldSource::Group(fields) => gather(fields, path, pieces, errands),
            FieldSource::Introspect => pieces.push(AnswerPiece::Introspected(&field.name)),
            FieldSource::Call(call) => {
                errands.push(PlacedCall { call, path: path.clone(), location: field.location });
                pieces.push(AnswerPiece::Call);
            }
        }
        path.pop();
    }
    say(pieces, if fields.is_empty() { "{}" } else { "}" });
}

fn say(pieces: &mut Vec<AnswerPiece<'_>>, text: &str) {
    match pieces.last_mut() {
        Some(AnswerPiece::Text(all)) => all.extend_from_slice(text.as_bytes()),
        _ => pieces.push(AnswerPiece::Text(text.as_bytes().to_vec())),
    }
}

/// An answer and the errors that will be at its end.
pub(super) struct AnswerWriter<'s> {
    sink: &'s mut AnswerSink,
    errors: Vec<GraphError>,
    /// Limit on the bytes that may be kept as a whole.
    room: &'s AtomicUsize,
}

impl<'s> AnswerWriter<'s> {
    /// An answer that has these errors already.
    pub(super) const fn new(
        sink: &'s mut AnswerSink,
        errors: Vec<GraphError>,
        room: &'s AtomicUsize,
    ) -> Self {
        Self { sink, errors, room }
    }

    /// Writes data, piece after piece.
    pub(super) async fn data<'p>(
        &mut self,
        pieces: &[AnswerPiece<'_>],
        introspected: Option<&JsonMap>,
        errands: &[PlacedCall<'p>],
        mut replies: impl Stream<Item = CallReply<'p>> + Unpin,
    ) -> Result<(), StopReason> {
        let mut errands = errands.iter();
        for piece in pieces {
            match piece {
                AnswerPiece::Text(text) => self.sink.out.extend_from_slice(text),
                AnswerPiece::Introspected(name) => {
                    let value = introspected.and_then(|data| data.get(*name));
                    // Writing to memory does not fail.
                    let _ = serde_json::to_writer(&mut self.sink.out, value.unwrap_or(&JsonValue::Null));
                }
                AnswerPiece::Call => {
                    if let (Some(errand), Some(reply)) = (errands.next(), replies.next().await) {
                        self.reply(errand, reply).await?;
                    }
                }
            }
            // What was made as a whole leaves as a whole, unless something has left before.
            if self.sink.has_begun() {
                self.sink.pass().await?;
            }
        }
        Ok(())
    }

    async fn reply(&mut self, errand: &PlacedCall<'_>, reply: CallReply<'_>) -> Result<(), StopReason> {
        let fragment = match reply {
            CallReply::Done(fragment) => fragment,
            CallReply::Flowing(flow) => return self.flow(errand, *flow).await,
        };
        let json: &[u8] = if fragment.json.is_empty() { b"null" } else { &fragment.json };
        // With room for what mostly ends an answer, a long one is not moved again for it.
        self.sink.out.reserve(json.len() + 256);
        self.sink.out.extend_from_slice(json);
        self.errors.extend(fragment.errors);
        Ok(())
    }

    /// A list that breaks off is null with an error, as long as nothing of it has left. After that there is no way to
    /// take it back: what is written says why, and never ends.
    async fn flow(&mut self, errand: &PlacedCall<'_>, flow: ListFlow<'_>) -> Result<(), StopReason> {
        let before = self.sink.out.len();
        match flow.write(self.sink).await {
            // What has left is kept no more.
            Ok(_) if !self.sink.has_begun() && !take(self.room, self.sink.out.len() - before) => {
                self.errors.push(errand.error(too_long()));
                self.sink.out.truncate(before);
                self.sink.out.extend_from_slice(b"null");
            }
            Ok(errors) => self.errors.extend(errors.into_iter().map(|error| errand.error(error))),
            Err(StopReason::Broken(error)) => {
                self.errors.push(errand.error(error.clone()));
                if self.sink.has_begun() {
                    self.sink.out.resize(self.sink.out.len() + errand.path.len(), b'}');
                    self.end();
                    self.sink.flush().await?;
                    return Err(StopReason::Broken(error));
                }
                self.sink.out.truncate(before);
                self.sink.out.extend_from_slice(b"null");
            }
            Err(StopReason::Gone) => return Err(StopReason::Gone),
        }
        Ok(())
    }

    /// Writes the errors, if there are any, and the end.
    pub(super) fn end(&mut self) {
        let out = &mut self.sink.out;
        for (index, error) in self.errors.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b",\"errors\":[" } else { b"," });
            out.extend_from_slice(error.to_json().to_string().as_bytes());
        }
        out.extend_from_slice(if self.errors.is_empty() { b"}" } else { b"]}" });
    }
}
