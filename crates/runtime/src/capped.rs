//! Answers of others, read to their end: no more of one is kept than was agreed.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use tokio::time::{error::Elapsed, timeout};

/// Reasons why a body was not read to its end.
#[derive(Debug)]
pub enum CappedError<E> {
    /// It has more bytes than agreed.
    TooLarge,
    /// It broke off.
    Broken(E),
}

/// Reads the first `max_bytes` of a body, and says whether there is more.
pub async fn beginning<B>(mut body: B, max_bytes: usize) -> Result<(Bytes, bool), B::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let Some(data) = frame.data_ref() else { continue };
        let left = max_bytes - read.len();
        read.extend_from_slice(&data[..data.len().min(left)]);
        if data.len() > left {
            return Ok((read.freeze(), true));
        }
    }
    Ok((read.freeze(), false))
}

/// Reads a body of at most `max_bytes`.
pub async fn read<B>(mut body: B, max_bytes: usize) -> Result<Bytes, CappedError<B::Error>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut read = room(&body, max_bytes)?;
    fill(&mut read, &mut body, (usize::MAX, max_bytes)).await?;
    Ok(read.freeze())
}

/// So many bytes, or the rest, within this time.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The bytes.
    pub bytes: usize,
    /// The time.
    pub within: Duration,
}

/// The same for a body that comes at a pace. Fails with the outer error if it comes more slowly.
pub async fn read_at_pace<B>(
    mut body: B,
    max_bytes: usize,
    pace: Pace,
) -> Result<Result<Bytes, CappedError<B::Error>>, Elapsed>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut read = match room(&body, max_bytes) {
        Ok(room) => room,
        Err(error) => return Ok(Err(error)),
    };
    loop {
        match timeout(pace.within, fill(&mut read, &mut body, (pace.bytes, max_bytes))).await? {
            Ok(true) => return Ok(Ok(read.freeze())),
            Ok(false) => {}
            Err(error) => return Ok(Err(error)),
        }
    }
}

/// Room for a body. It need not grow, and is never copied: half of the memory.
fn room<B: Body>(body: &B, max_bytes: usize) -> Result<BytesMut, CappedError<B::Error>> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > max_bytes { Err(CappedError::TooLarge) } else { Ok(BytesMut::with_capacity(announced)) }
}

/// Reads `more` bytes, and returns `true` if the body ends before.
async fn fill<B>(
    read: &mut BytesMut,
    body: &mut B,
    (more, max_bytes): (usize, usize),
) -> Result<bool, CappedError<B::Error>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let goal = read.len().saturating_add(more);
    while read.len() < goal {
        let Some(frame) = body.frame().await else { return Ok(true) };
        let frame = frame.map_err(CappedError::Broken)?;
        let Some(data) = frame.data_ref() else { continue };
        if read.len() + data.len() > max_bytes {
            return Err(CappedError::TooLarge);
        }
        read.extend_from_slice(data);
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    #[tokio::test]
    async fn the_beginning_of_a_body_is_cut_where_it_was_agreed() {
        let table: [(&[&'static str], usize, &str, bool); 6] = [
            (&[], 3, "", false),
            (&["ab", "c"], 3, "abc", false),
            (&["ab", "cd"], 3, "abc", true),
            (&["abcd"], 3, "abc", true),
            (&["abc", "d"], 3, "abc", true),
            (&["a"], 0, "", true),
        ];
        for (frames, most, kept, is_cut) in table {
            let frames = frames.iter().map(|text| Ok::<_, std::io::Error>(Frame::data(Bytes::from(*text))));
            let body = StreamBody::new(stream::iter(frames.collect::<Vec<_>>()));
            let (read, cut) = beginning(body, most).await.unwrap();
            assert_eq!((&read[..], cut), (kept.as_bytes(), is_cut));
        }
    }
}
