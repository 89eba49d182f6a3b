//! Writes an answer piece by piece, in the order of the query, with the errors at its end.

use std::sync::atomic::AtomicUsize;

use apollo_compiler::response::{JsonMap, JsonValue};
use futures::{Stream, StreamExt as _};

use super::{
    flow::Flow,
    reply::{Errand, Reply},
    room::take,
    sink::{Sink, Stopped},
    unreadable::too_long,
};
use crate::{
    error::GraphError,
    plan::{Does, Field},
    scan::Step,
};

/// A piece of the answer.
pub(super) enum Piece<'p> {
    /// Text that is known.
    Text(Vec<u8>),
    /// A field of the introspection.
    Introspected(&'p str),
    /// The answer to the next errand.
    Call,
}

/// Splits an answer into what is known of it, and calls.
pub(super) fn gather<'p>(
    fields: &'p [Field],
    path: &mut Vec<Step>,
    pieces: &mut Vec<Piece<'p>>,
    errands: &mut Vec<Errand<'p>>,
) {
    for (index, field) in fields.iter().enumerate() {
        let begin = if index == 0 { "{" } else { "," };
        say(pieces, &format!("{begin}\"{}\":", field.name));
        path.push(Step::Field(field.name.to_string()));
        match &field.does {
            Does::Constant(json) => say(pieces, json),
            Does::Group(fields) => gather(fields, path, pieces, errands),
            Does::Introspect => pieces.push(Piece::Introspected(&field.name)),
            Does::Call(call) => {
                errands.push(Errand { call, path: path.clone(), location: field.location });
                pieces.push(Piece::Call);
            }
        }
        path.pop();
    }
    say(pieces, if fields.is_empty() { "{}" } else { "}" });
}

fn say(pieces: &mut Vec<Piece<'_>>, text: &str) {
    match pieces.last_mut() {
        Some(Piece::Text(all)) => all.extend_from_slice(text.as_bytes()),
        _ => pieces.push(Piece::Text(text.as_bytes().to_vec())),
    }
}

/// An answer and the errors that will be at its end.
pub(super) struct Writing<'s> {
    sink: &'s mut Sink,
    errors: Vec<GraphError>,
    /// Limit on the bytes that may be kept as a whole.
    room: &'s AtomicUsize,
}

impl<'s> Writing<'s> {
    /// An answer that has these errors already.
    pub(super) const fn new(sink: &'s mut Sink, errors: Vec<GraphError>, room: &'s AtomicUsize) -> Self {
        Self { sink, errors, room }
    }

    /// Writes data, piece after piece.
    pub(super) async fn data<'p>(
        &mut self,
        pieces: &[Piece<'_>],
        introspected: Option<&JsonMap>,
        errands: &[Errand<'p>],
        mut replies: impl Stream<Item = Reply<'p>> + Unpin,
    ) -> Result<(), Stopped> {
        let mut errands = errands.iter();
        for piece in pieces {
            match piece {
                Piece::Text(text) => self.sink.out.extend_from_slice(text),
                Piece::Introspected(name) => {
                    let value = introspected.and_then(|data| data.get(*name));
                    // Writing to memory does not fail.
                    let _ = serde_json::to_writer(&mut self.sink.out, value.unwrap_or(&JsonValue::Null));
                }
                Piece::Call => {
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

    async fn reply(&mut self, errand: &Errand<'_>, reply: Reply<'_>) -> Result<(), Stopped> {
        let fragment = match reply {
            Reply::Done(fragment) => fragment,
            Reply::Flowing(flow) => return self.flow(errand, *flow).await,
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
    async fn flow(&mut self, errand: &Errand<'_>, flow: Flow<'_>) -> Result<(), Stopped> {
        let before = self.sink.out.len();
        match flow.write(self.sink).await {
            // What has left is kept no more.
            Ok(_) if !self.sink.has_begun() && !take(self.room, self.sink.out.len() - before) => {
                self.errors.push(errand.error(too_long()));
                self.sink.out.truncate(before);
                self.sink.out.extend_from_slice(b"null");
            }
            Ok(errors) => self.errors.extend(errors.into_iter().map(|error| errand.error(error))),
            Err(Stopped::Broken(error)) => {
                self.errors.push(errand.error(error.clone()));
                if self.sink.has_begun() {
                    self.sink.out.resize(self.sink.out.len() + errand.path.len(), b'}');
                    self.end();
                    self.sink.flush().await?;
                    return Err(Stopped::Broken(error));
                }
                self.sink.out.truncate(before);
                self.sink.out.extend_from_slice(b"null");
            }
            Err(Stopped::Gone) => return Err(Stopped::Gone),
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
