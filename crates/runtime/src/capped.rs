//! Answers of others, read to their end: no more of one is kept than was agreed.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body;

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
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > max_bytes {
        return Err(CappedError::TooLarge);
    }
    // A buffer that need not grow is never copied: half of the memory.
    let mut read = BytesMut::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(CappedError::Broken)?;
        let Some(data) = frame.data_ref() else { continue };
        if read.len() + data.len() > max_bytes {
            return Err(CappedError::TooLarge);
        }
        read.extend_from_slice(data);
    }
    Ok(read.freeze())
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
