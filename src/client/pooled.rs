//! A connection of the pool. hyper-util bounds unused connections for each host only; this bounds them for all hosts together.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A stream that is closed after one exchange if it got no permit. The permit lives as long as the stream.
#[derive(Debug)]
pub(super) struct Pooled<S> {
    stream: S,
    permit: Option<OwnedSemaphorePermit>,
}

impl<S> Pooled<S> {
    pub fn new(stream: S, reusable: Arc<Semaphore>) -> Pooled<S> {
        let permit = reusable.try_acquire_owned().ok();
        Pooled { stream, permit }
    }
}

impl<S: Connection> Connection for Pooled<S> {
    fn connected(&self) -> Connected {
        let connected = self.stream.connected();
        if self.permit.is_none() {
            connected.poison();
        }
        connected
    }
}

impl<S: Read + Unpin> Read for Pooled<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: Write + Unpin> Write for Pooled<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }
}
