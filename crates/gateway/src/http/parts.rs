//! Answers that leave while they are made. A small one is made first, and leaves as a whole.

use std::io::Write as _;

use axum::body::Body;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::{StreamExt as _, future::BoxFuture, stream};
use tokio::sync::mpsc;

use crate::execute::{AnswerPart, AnswerSink, StopReason};

/// The work that makes an answer. It returns the answer unless that was handed on.
type AnswerWork = BoxFuture<'static, Result<Option<Vec<u8>>, StopReason>>;

/// An answer, or its beginning.
pub enum MadeAnswer {
    /// The whole answer.
    Whole(Vec<u8>),
    /// The parts of an answer that is not finished.
    Begun(BegunAnswer),
}

/// An answer that is being made.
pub struct BegunAnswer {
    parts: AnswerParts,
    rest: RemainingWork,
}

/// The work that is left.
pub struct RemainingWork {
    work: AnswerWork,
    /// Says when nobody reads any more.
    reader: mpsc::Sender<AnswerPart>,
}

/// The end of an answer that has left before it was whole.
#[derive(Debug)]
pub enum AnswerEnd {
    /// All of it was read.
    Whole,
    /// The reader has gone.
    Left,
    /// The rest could not be had.
    Broken(StopReason),
}

/// The answer broke off: its connection does, too, so that nobody takes it for a whole one.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
struct BrokenOff;

/// The parts of an answer as they leave.
struct AnswerParts {
    first: Option<AnswerPart>,
    others: mpsc::Receiver<AnswerPart>,
    packer: Option<GzEncoder<Vec<u8>>>,
    is_over: bool,
}

/// Makes an answer until it is whole, or as large as `room`.
pub async fn make<W>(room: usize, work: impl FnOnce(AnswerSink) -> W) -> MadeAnswer
where
    W: Future<Output = Result<Option<Vec<u8>>, StopReason>> + Send + 'static,
{
    let (sender, mut others) = mpsc::channel(1);
    let reader = sender.clone();
    let mut work: AnswerWork = Box::pin(work(AnswerSink::handed_on(room, sender)));
    let first = tokio::select! {
        biased;
        Ok(Some(whole)) = &mut work => return MadeAnswer::Whole(whole),
        first = others.recv() => first,
    };
    let parts = AnswerParts { first, others, packer: None, is_over: false };
    MadeAnswer::Begun(BegunAnswer { parts, rest: RemainingWork { work, reader } })
}

impl BegunAnswer {
    /// The body, and the work that has to be done for it.
    pub fn leave(mut self, is_packed: bool) -> (Body, RemainingWork) {
        self.parts.packer = is_packed.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
        let parts = stream::unfold(self.parts, next).boxed();
        (Body::from_stream(parts), self.rest)
    }
}

impl RemainingWork {
    /// Does the work while somebody reads.
    pub async fn run(self) -> AnswerEnd {
        tokio::select! {
            ended = self.work => match ended {
                Ok(_) => AnswerEnd::Whole,
                Err(StopReason::Gone) => AnswerEnd::Left,
                Err(stopped) => AnswerEnd::Broken(stopped),
            },
            () = self.reader.closed() => AnswerEnd::Left,
        }
    }
}

async fn next(mut parts: AnswerParts) -> Option<(Result<Bytes, BrokenOff>, AnswerParts)> {
    while !parts.is_over {
        let part = match parts.first.take() {
            Some(first) => Some(first),
            None => parts.others.recv().await,
        };
        let bytes = match part {
            Some(AnswerPart::Bytes(bytes)) => parts.packed(bytes),
            Some(AnswerPart::End) => parts.end(),
            None => {
                parts.is_over = true;
                // What was written before leaves first.
                tokio::task::yield_now().await;
                Err(BrokenOff)
            }
        };
        if !matches!(&bytes, Ok(bytes) if bytes.is_empty()) {
            return Some((bytes, parts));
        }
    }
    None
}

impl AnswerParts {
    fn packed(&mut self, bytes: Bytes) -> Result<Bytes, BrokenOff> {
        let Some(packer) = &mut self.packer else { return Ok(bytes) };
        packer.write_all(&bytes).map_err(|_| BrokenOff)?;
        Ok(std::mem::take(packer.get_mut()).into())
    }

    fn end(&mut self) -> Result<Bytes, BrokenOff> {
        self.is_over = true;
        let Some(packer) = self.packer.take() else { return Ok(Bytes::new()) };
        Ok(packer.finish().map_err(|_| BrokenOff)?.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use http_body_util::BodyExt as _;

    use super::*;
    use crate::{
        error::{ErrorCode, GraphError},
        execute::PART,
    };

    /// Writes texts, and then ends or breaks off.
    async fn made(texts: &'static [(u8, usize)], is_broken: bool) -> MadeAnswer {
        let work = async move |mut sink: AnswerSink| {
            for (letter, count) in texts {
                sink.out.resize(sink.out.len() + count, *letter);
                sink.pass().await?;
            }
            if is_broken {
                sink.flush().await?;
                return Err(StopReason::Broken(GraphError::new(ErrorCode::Unavailable, "gone")));
            }
            sink.end().await
        };
        make(PART, work).await
    }

    async fn read(body: Body) -> (Vec<u8>, bool) {
        let (mut body, mut read) = (body, Vec::new());
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return (read, false) };
            read.extend_from_slice(&frame.into_data().unwrap());
        }
        (read, true)
    }

    #[tokio::test]
    async fn a_small_answer_is_whole_and_a_large_one_comes_in_parts() {
        let MadeAnswer::Whole(whole) = made(&[(b'a', 3), (b'b', PART - 4)], false).await else {
            panic!("parts")
        };
        assert_eq!(whole.len(), PART - 1);
        for is_packed in [false, true] {
            let large = made(&[(b'a', PART), (b'b', 3 * PART), (b'c', 1)], false).await;
            let MadeAnswer::Begun(begun) = large else { panic!("a whole") };
            let (body, rest) = begun.leave(is_packed);
            let ((mut got, is_whole), ended) = tokio::join!(read(body), rest.run());
            assert!(is_whole && matches!(ended, AnswerEnd::Whole), "{ended:?}");
            if is_packed {
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(&got[..]).read_to_end(&mut plain).unwrap();
                assert!(got.len() < plain.len());
                got = plain;
            }
            let expected = [vec![b'a'; PART], vec![b'b'; 3 * PART], vec![b'c']].concat();
            assert!(got == expected, "{} bytes", got.len());
        }
    }

    #[tokio::test]
    async fn what_breaks_off_has_no_end() {
        let MadeAnswer::Begun(begun) = made(&[(b'a', PART), (b'b', 1)], true).await else {
            panic!("a whole")
        };
        let (body, rest) = begun.leave(false);
        let ((got, is_whole), ended) = tokio::join!(read(body), rest.run());
        assert!(!is_whole && matches!(ended, AnswerEnd::Broken(_)), "{ended:?}");
        assert_eq!(got.len(), PART + 1, "what was written has left");
        // Work that is given up is no end either.
        let MadeAnswer::Begun(begun) = made(&[(b'a', PART)], false).await else { panic!("a whole") };
        let (body, rest) = begun.leave(false);
        drop(rest);
        assert!(!read(body).await.1);
    }

    #[tokio::test]
    async fn nobody_works_for_a_reader_who_has_gone() {
        let MadeAnswer::Begun(begun) = made(&[(b'a', 2 * PART), (b'b', PART), (b'c', PART)], false).await
        else {
            panic!("a whole")
        };
        let (body, rest) = begun.leave(false);
        drop(body);
        assert!(matches!(rest.run().await, AnswerEnd::Left));
    }
}
