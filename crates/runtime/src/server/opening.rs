//! The first bytes of a connection, which tell what it speaks.
//!
//! hyper-util would find that out by itself, but then a connection reads into a buffer of twice the size for as long as
//! it is open.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The beginning of every HTTP/2 connection (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose first bytes are known, and are read again.
pub(super) struct Opened<S> {
    stream: TokioIo<S>,
    first: [u8; PREFACE.len()],
    /// Number of bytes that were known.
    known: usize,
    /// Number of them that were read again.
    read: usize,
    /// Held until somebody reads.
    unheard: Option<TaskTrackerToken>,
}

impl<S: AsyncRead + Unpin> Opened<S> {
    /// Reads until it is clear what a stream speaks.
    pub(super) async fn new(mut stream: S, unheard: TaskTrackerToken) -> io::Result<Self> {
        let (mut first, mut known) = ([0; PREFACE.len()], 0);
        while known < PREFACE.len() && PREFACE.starts_with(&first[..known]) {
            match stream.read(&mut first[known..]).await? {
                0 => break,
                count => known += count,
            }
        }
        Ok(Self { stream: TokioIo::new(stream), first, known, read: 0, unheard: Some(unheard) })
    }

    pub(super) fn is_http2(&self) -> bool {
        self.first == *PREFACE
    }
}

impl<S: AsyncRead + Unpin> Read for Opened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.unheard = None;
        let count = (this.known - this.read).min(cursor.remaining());
        if count == 0 {
            return Pin::new(&mut this.stream).poll_read(cx, cursor);
        }
        cursor.put_slice(&this.first[this.read..this.read + count]);
        this.read += count;
        // With what follows, if that is there: a request is read at once. An error is there the next time, too.
        let _ = Pin::new(&mut this.stream).poll_read(cx, cursor);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Write for Opened<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use hyper::rt::ReadBuf;
    use tokio::io::{AsyncWriteExt as _, duplex};
    use tokio_util::task::TaskTracker;

    use super::*;

    async fn read(opened: &mut Opened<tokio::io::DuplexStream>, room: usize) -> String {
        let mut bytes = vec![0; room];
        let mut buffer = ReadBuf::new(&mut bytes);
        poll_fn(|cx| Pin::new(&mut *opened).poll_read(cx, buffer.unfilled())).await.unwrap();
        String::from_utf8(buffer.filled().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn what_a_stream_speaks_is_known_from_its_first_bytes_and_nothing_is_lost() {
        for (parts, is_http2) in [
            (&["GET / HTTP/1.1\r\nhost: a\r\n\r\n"][..], false),
            (&["PR", "I * HTTP/2.0\r\n\r\nSM\r\n\r\nframes"], true),
            (&["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], true),
            (&["PROPFIND / HTTP/1.1\r\n\r\n"], false),
            (&["PRI * HTTP/1.1\r\nhost: a\r\n\r\n"], false),
            (&["P"], false),
            (&[], false),
        ] {
            let (mut client, server) = duplex(1024);
            let tracker = TaskTracker::new();
            let writing = async move {
                for part in parts {
                    client.write_all(part.as_bytes()).await.unwrap();
                    tokio::task::yield_now().await;
                }
            };
            let (opened, ()) = tokio::join!(Opened::new(server, tracker.token()), writing);
            let mut opened = opened.unwrap();
            assert_eq!(opened.is_http2(), is_http2, "{parts:?}");
            assert!(!tracker.is_empty(), "nobody has read yet");
            let mut all = String::new();
            for room in [3, 1000, 1000, 1000] {
                all += &read(&mut opened, room).await;
            }
            assert_eq!(all, parts.concat());
            assert!(tracker.is_empty());
        }
    }
}
