//! A body that is made in parts, each when the client has read most of those before.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::body::{Frame, SizeHint};

#[cfg(doc)]
use super::budget::PART;
use super::budget::{Hold, Turn};

/// Whether there is more to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    Yes,
    No,
}

/// The first part is made at once, so that its error can still be a status. A later one ends the connection, which the client
/// notices by the length, or by the last chunk missing.
pub struct Parts<M> {
    make: M,
    /// Bytes to allocate for a part.
    capacity: usize,
    hold: Hold,
    /// Waits for the turn to make the next part.
    turn: Option<BoxFuture<'static, Turn>>,
    next: Option<Bytes>,
    more: More,
    /// Bytes that are left, `next` included; none if unknown.
    left: Option<u64>,
}

impl<M, E> Parts<M>
where
    M: FnMut(&mut Vec<u8>) -> Result<More, E> + Send + Unpin + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    /// `make` appends the next part: at most [`PART`] bytes, or as many as its buffer has room for. All parts together are at most
    /// `most` bytes, and exactly `length` if that is given.
    pub async fn begin(hold: Hold, most: usize, length: Option<u64>, make: M) -> Result<Parts<M>, E> {
        let _turn = hold.turn().await;
        let mut parts = Parts {
            make,
            capacity: most.min(hold.part()),
            hold,
            turn: None,
            next: None,
            more: More::Yes,
            left: length,
        };
        parts.next = Some(parts.part()?);
        Ok(parts)
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        if self.turn.is_none()
            && let Some(turn) = self.hold.try_turn()
        {
            return Poll::Ready(turn);
        }
        let waiting = self.turn.get_or_insert_with(|| self.hold.turn().boxed());
        let turn = ready!(waiting.poll_unpin(cx));
        self.turn = None;
        Poll::Ready(turn)
    }

    fn part(&mut self) -> Result<Bytes, E> {
        let mut part = Vec::with_capacity(self.capacity);
        self.more = (self.make)(&mut part)?;
        Ok(self.hold.attach(part))
    }

    /// A body in one part has a known length, whatever was known before.
    pub fn into_body(mut self) -> Body {
        match self.next.take() {
            Some(only) if self.more == More::No => Body::from(only),
            next => {
                self.next = next;
                Body::new(self)
            }
        }
    }
}

impl<M, E> hyper::body::Body for Parts<M>
where
    M: FnMut(&mut Vec<u8>) -> Result<More, E> + Send + Unpin + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    type Data = Bytes;
    type Error = E;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        let part = match self.next.take() {
            Some(part) => Ok(part),
            None if self.more == More::No => return Poll::Ready(None),
            None => {
                let _turn = ready!(self.poll_turn(cx));
                self.part()
            }
        };
        if let (Ok(part), Some(left)) = (&part, &mut self.left) {
            *left = left.saturating_sub(part.len() as u64);
        }
        Poll::Ready(Some(part.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none() && self.more == More::No
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
