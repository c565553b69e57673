//! The socket of a connection and the bodies that it sends, which record in its [`Activity`] what happens to them.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::activity::{Activity, RECEIVING, WAITING};

/// A response as short as this is copied together: one buffer costs the kernel less than two.
const SHORT: usize = 1024;

/// The socket; it records whether bytes move.
pub(super) struct ObservedStream {
    pub(super) stream: TcpStream,
    /// What was read before, and belongs to the next request.
    pub(super) unread: Bytes,
    pub(super) activity: Arc<Activity>,
}

impl ObservedStream {
    fn record_read(&self) {
        if self.activity.stage.load(Ordering::Relaxed) == WAITING {
            self.activity.enter(RECEIVING);
        }
    }

    fn record_write(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let blocked = &self.activity.blocked_since;
        match &result {
            Poll::Pending => {
                if blocked.load(Ordering::Relaxed) == 0 {
                    blocked.store(self.activity.clock.boot().0.max(1), Ordering::Relaxed);
                }
            }
            Poll::Ready(_) => {
                if blocked.load(Ordering::Relaxed) != 0 {
                    blocked.store(0, Ordering::Relaxed);
                }
            }
        }
        result
    }
}

impl AsyncRead for ObservedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let bytes = self.unread.len().min(buf.remaining());
            let bytes = self.unread.split_to(bytes);
            buf.put_slice(&bytes);
            self.record_read();
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.record_read();
        }
        result
    }
}

impl AsyncWrite for ObservedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.record_write(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut short = [0; SHORT];
        let mut room = &mut short[..];
        if bufs.len() > 1 && bufs.iter().all(|buf| room.write_all(buf).is_ok()) {
            let length = SHORT - room.len();
            return self.poll_write(cx, &short[..length]);
        }
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.record_write(result)
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

/// A response's body. The response ends when hyper has read all of it, or dropped it.
pub(super) struct ObservedBody {
    pub(super) inner: Body,
    pub(super) endless: bool,
    pub(super) activity: Arc<Activity>,
}

impl HttpBody for ObservedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.endless {
            return Pin::new(&mut self.inner).poll_frame(cx);
        }
        if self.activity.asked_at.load(Ordering::Relaxed) > 0 {
            return Poll::Ready(None);
        }
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        let owed = match &frame {
            Poll::Ready(Some(_)) => self.activity.clock.boot().0.max(1),
            Poll::Ready(None) | Poll::Pending => 0,
        };
        self.activity.owed_since.store(owed, Ordering::Relaxed);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for ObservedBody {
    fn drop(&mut self) {
        self.activity.owed_since.store(0, Ordering::Relaxed);
        self.activity.enter(WAITING);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::poll_fn;

    use futures_util::stream::{iter, pending};
    use futures_util::{FutureExt, StreamExt};

    use super::*;
    use crate::clock::Clock;
    use crate::server::cut::Cut;
    use crate::server::limits::Limits;

    #[tokio::test]
    async fn a_part_of_a_stream_has_to_be_read_whole_in_time_even_if_the_socket_accepts_some_of_it() {
        let (activity, limits) = (Activity::new(Clock::system()), Limits::public());
        let parts = iter([Ok::<_, Infallible>(Bytes::from_static(b"a draw"))]).chain(pending());
        let mut answer = ObservedBody {
            inner: Body::from_stream(parts),
            endless: true,
            activity: activity.clone(),
        };
        activity.begin_answer();
        activity.set_endless(true);
        assert_eq!(activity.deadline(&limits), None);
        assert!(poll_fn(|cx| Pin::new(&mut answer).poll_frame(cx)).await.is_some());
        // Nothing is blocked: the socket has just accepted a byte.
        assert_eq!(activity.blocked_since.load(Ordering::Relaxed), 0);
        let (at, cut) = activity.deadline(&limits).unwrap();
        assert_eq!(cut, Cut::SlowStream);
        assert!(at.since(activity.clock.boot()) <= limits.write_stall);
        // hyper asks for more, so that part is read; the next isn't there yet.
        let more = poll_fn(|cx| Pin::new(&mut answer).poll_frame(cx)).now_or_never();
        assert!(more.is_none());
        assert_eq!(activity.deadline(&limits), None);
        activity.ask_to_close();
        assert_eq!(activity.deadline(&limits).map(|(_, cut)| cut), Some(Cut::Asked));
        assert!(poll_fn(|cx| Pin::new(&mut answer).poll_frame(cx)).await.is_none());
    }
}
