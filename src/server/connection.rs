//! What one connection is doing, and when it has taken too long. A silent one has no buffers.
//!
//! Its socket and its service record each stage in a few atomic stores a request, and the time once a poll. One timer a
//! connection checks them: it is reset only when a deadline comes nearer, so a client that sends a thousand requests a second
//! touches the timer wheel a few times in that second.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::{self, Write};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, Version, header};
use futures_util::FutureExt;
use hyper::body::{Frame, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::cut::Cut;
use super::limits::Limits;
use super::routes::Paths;
use crate::clock::{Boot, Clock};
use crate::shutdown::Signal;

/// Between requests.
const WAITING: u8 = 0;
/// A part of a request's headers has arrived.
const RECEIVING: u8 = 1;
/// A request is being answered, until its response has been handed to the socket's buffer.
const ANSWERING: u8 = 2;

/// Marks a response that has no end of its own: a stream of events. It ends cleanly when its connection is asked to close, so
/// no drain waits for it. Its reader has to take each part whole within [`Limits::write_stall`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endless;

/// The state of one connection, shared by its task and the listener.
#[derive(Debug)]
pub(crate) struct Activity {
    clock: Clock,
    stage: AtomicU8,
    /// When it entered this stage (boot time in ns), or 0 until that is recorded; not used while answering.
    since: AtomicU64,
    /// When the socket stopped accepting bytes; 0 while it accepts them.
    blocked_since: AtomicU64,
    /// Whether the current response, or the last one, is [`Endless`].
    endless: AtomicBool,
    /// Since when part of an endless response waits for the client to read it; 0: the client has read all.
    owed_since: AtomicU64,
    /// When it was asked to close; 0: not yet.
    asked_at: AtomicU64,
    asked: Notify,
    /// Whether the listener counts it among those asked to give way.
    pub(crate) giving_way: AtomicBool,
}

impl Activity {
    pub(crate) fn new(clock: Clock) -> Arc<Activity> {
        let now = clock.boot().0;
        Arc::new(Activity {
            clock,
            stage: AtomicU8::new(WAITING),
            since: AtomicU64::new(now),
            blocked_since: AtomicU64::new(0),
            endless: AtomicBool::new(false),
            owed_since: AtomicU64::new(0),
            asked_at: AtomicU64::new(0),
            asked: Notify::new(),
            giving_way: AtomicBool::new(false),
        })
    }

    /// Since when nothing is being answered or written; none while something is.
    pub(crate) fn idle_since(&self) -> Option<Boot> {
        let idle = self.stage.load(Ordering::Acquire) != ANSWERING && self.blocked_since.load(Ordering::Relaxed) == 0;
        let since = self.since.load(Ordering::Relaxed);
        (idle && since > 0).then_some(Boot(since))
    }

    /// From when on the connection needs no buffers, if no request comes before.
    fn quiet_from(&self) -> Option<Boot> {
        let waiting = self.stage.load(Ordering::Acquire) == WAITING && self.blocked_since.load(Ordering::Relaxed) == 0;
        waiting.then(|| Boot(self.since.load(Ordering::Relaxed)) + KEPT)
    }

    /// Whether what a timer until `armed` was set for is over, and something else has to be looked at earlier.
    fn is_over(&self, limits: &Limits, armed: Boot) -> bool {
        let answering = self.stage.load(Ordering::Acquire) == ANSWERING && !self.endless.load(Ordering::Relaxed);
        self.quiet_from().is_some_and(|quiet| quiet < armed) || answering && self.deadline(limits).is_none()
    }

    /// Asks the connection to close: at once when idle, else after the response in flight.
    pub(crate) fn ask_to_close(&self) {
        self.asked_at.store(self.clock.boot().0.max(1), Ordering::Relaxed);
        self.asked.notify_one();
    }

    /// A response has no deadline here: exchange.rs bounds it, and is polled once a [`TICK`] for that.
    fn begin_answer(&self) {
        self.stage.store(ANSWERING, Ordering::Release);
        self.answer(false);
    }

    fn enter(&self, stage: u8) {
        self.since.store(0, Ordering::Relaxed);
        self.stage.store(stage, Ordering::Release);
    }

    /// Records when it entered the stage, soon after.
    fn record_time(&self) {
        if self.since.load(Ordering::Relaxed) == 0 && self.stage.load(Ordering::Relaxed) != ANSWERING {
            self.since.store(self.clock.boot().0.max(1), Ordering::Relaxed);
        }
    }

    fn answer(&self, endless: bool) {
        self.endless.store(endless, Ordering::Relaxed);
        self.owed_since.store(0, Ordering::Relaxed);
    }

    /// When the connection has to be cut if nothing happens until then, and why.
    fn deadline(&self, limits: &Limits) -> Option<(Boot, Cut)> {
        let blocked = self.blocked_since.load(Ordering::Relaxed);
        let answering = self.stage.load(Ordering::Acquire) == ANSWERING;
        // After its end, the last part may still wait for the reader.
        if self.endless.load(Ordering::Relaxed) && (answering || blocked > 0) {
            let owed = self.owed_since.load(Ordering::Relaxed);
            let behind = [blocked, owed].into_iter().filter(|since| *since > 0).min();
            let behind = behind.map(|since| (Boot(since) + limits.write_stall, Cut::SlowStream));
            // Its reader reconnects to another member, from the last event it has.
            let asked = Some(self.asked_at.load(Ordering::Relaxed)).filter(|asked| *asked > 0);
            let asked = asked.map(|asked| (Boot(asked) + limits.closing_grace, Cut::Asked));
            return [behind, asked].into_iter().flatten().min_by_key(|(at, _)| at.0);
        }
        if blocked > 0 {
            return Some((Boot(blocked) + limits.write_stall, Cut::Stalled));
        }
        let since = Boot(self.since.load(Ordering::Relaxed));
        let natural = match self.stage.load(Ordering::Acquire) {
            ANSWERING => return None,
            RECEIVING => (since + limits.header_time, Cut::HalfSent),
            _ => (since + limits.idle_time, Cut::Idle),
        };
        match self.asked_at.load(Ordering::Relaxed) {
            0 => Some(natural),
            asked => {
                let grace = (Boot(asked) + limits.closing_grace, Cut::Asked);
                Some(if grace.0 < natural.0 { grace } else { natural })
            }
        }
    }
}

/// How long a connection keeps its buffers after an answer: a client that asks again sooner finds them.
const KEPT: Duration = Duration::from_millis(100);
/// How often a request under way may look whether it takes too long.
const TICK: Duration = Duration::from_millis(500);
/// A response as short as this is copied together: one buffer costs the kernel less than two.
const SHORT: usize = 1024;

/// Serves one connection to its end. Cancelling it closes the socket.
pub(crate) async fn serve(
    stream: TcpStream,
    builder: &http1::Builder,
    paths: Paths,
    activity: Arc<Activity>,
    limits: &Limits,
    closing: Signal,
) -> Option<Cut> {
    let mut io = Observed {
        stream,
        unread: Bytes::new(),
        activity: activity.clone(),
    };
    // Only while it is asked something does a connection have what hyper needs: its buffers are most of its memory.
    loop {
        if let Err(cut) = readable(&io, limits).await {
            return cut;
        }
        // Boxed, so that the task of a silent connection stays small.
        match Box::pin(answer(io, builder, paths.clone(), limits, closing.clone())).await {
            Pause::Quiet(kept) => io = kept,
            Pause::Ended(cut) => return cut,
        }
    }
}

/// Why a connection stopped answering.
enum Pause {
    /// Nothing was asked for a while.
    Quiet(Observed),
    Ended(Option<Cut>),
}

/// Waits for a request; an error when the connection has to end before one.
async fn readable(io: &Observed, limits: &Limits) -> Result<(), Option<Cut>> {
    if !io.unread.is_empty() {
        return Ok(());
    }
    let Observed { stream, activity, .. } = io;
    let idle = Boot(activity.since.load(Ordering::Relaxed)) + limits.idle_time;
    let mut first = [0];
    tokio::select! {
        biased;
        // Not `readable`, which is true of every new socket.
        peeked = stream.peek(&mut first) => match peeked {
            Ok(1..) => Ok(()),
            Ok(0) | Err(_) => Err(None),
        },
        () = activity.asked.notified() => {
            if stream.peek(&mut first).now_or_never().is_none() {
                return Err(Some(Cut::Asked));
            }
            activity.asked.notify_one();
            Ok(())
        }
        () = tokio::time::sleep(idle.since(activity.clock.boot())) => Err(Some(Cut::Idle)),
    }
}

/// Answers requests, until none has come for a while.
async fn answer(io: Observed, builder: &http1::Builder, paths: Paths, limits: &Limits, signal: Signal) -> Pause {
    let activity = io.activity.clone();
    let service = {
        let activity = activity.clone();
        hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            activity.begin_answer();
            let version = request.version();
            let (activity, closing) = (activity.clone(), signal.clone());
            // Most requests have no body, and so need no box for one.
            let request = request.map(|body| match body.is_end_stream() {
                true => Body::empty(),
                false => Body::new(body),
            });
            let response = paths.answer(request);
            async move {
                let mut response = response.await;
                // HTTP/1.0 has no chunks: an answer of unknown length ends with its connection, and hyper says "keep-alive".
                let ends_it = version == Version::HTTP_10 && response.body().size_hint().exact().is_none();
                if ends_it || closing.is_requested() {
                    // hyper closes the connection after it. Its client asks on another one, perhaps another member.
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(header::CONNECTION, close);
                }
                let endless = response.extensions().get::<Endless>().is_some();
                activity.answer(endless);
                Ok::<_, Infallible>(response.map(|inner| Answer {
                    inner,
                    endless,
                    activity,
                }))
            }
        })
    };
    let mut connection = builder.serve_connection(TokioIo::new(io), service);
    let mut asked = pin!(activity.asked.notified());
    let mut closing = false;
    let mut armed = activity.clock.boot() + KEPT;
    let mut timer = pin!(tokio::time::sleep(KEPT));
    // The timer ends within a tick.
    let mut soon = true;
    let ended = poll_fn(|cx| {
        loop {
            if Pin::new(&mut connection).poll(cx).is_ready() {
                return Poll::Ready(Some(closing.then_some(Cut::Asked)));
            }
            // Only now: a request that has arrived is answered, even if the connection was asked to close before.
            if closing || asked.as_mut().poll(cx).is_pending() {
                break;
            }
            closing = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        activity.record_time();
        loop {
            if !soon && activity.is_over(limits, armed) {
                armed = activity.clock.boot() + TICK;
                soon = true;
                timer.as_mut().reset(tokio::time::Instant::now() + TICK);
            }
            if let Some((deadline, _)) = activity.deadline(limits)
                && deadline < armed
            {
                armed = deadline;
                let wait = deadline.since(activity.clock.boot());
                timer.as_mut().reset(tokio::time::Instant::now() + wait);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = activity.clock.boot();
            let quiet = (!closing).then(|| activity.quiet_from()).flatten();
            if quiet.is_some_and(|quiet| quiet <= now) {
                return Poll::Ready(None);
            }
            let cut = match activity.deadline(limits) {
                Some((deadline, cut)) if deadline <= now => return Poll::Ready(Some(Some(cut))),
                Some((deadline, _)) => deadline,
                None if activity.endless.load(Ordering::Relaxed) => now + limits.header_time.min(limits.write_stall),
                None => now + TICK,
            };
            let next = quiet.filter(|quiet| quiet.0 < cut.0).unwrap_or(cut);
            armed = next;
            soon = next.since(now) <= TICK;
            timer.as_mut().reset(tokio::time::Instant::now() + next.since(now));
        }
    })
    .await;
    match ended {
        Some(cut) => Pause::Ended(cut),
        None => {
            let parts = connection.into_parts();
            let io = parts.io.into_inner();
            // Copied, because an empty part of a buffer keeps all of it.
            let unread = Bytes::copy_from_slice(&parts.read_buf);
            Pause::Quiet(Observed { unread, ..io })
        }
    }
}

/// The socket; it records whether bytes move.
struct Observed {
    stream: TcpStream,
    /// What was read before, and belongs to the next request.
    unread: Bytes,
    activity: Arc<Activity>,
}

impl Observed {
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

impl AsyncRead for Observed {
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

impl AsyncWrite for Observed {
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
struct Answer {
    inner: Body,
    endless: bool,
    activity: Arc<Activity>,
}

impl HttpBody for Answer {
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

impl Drop for Answer {
    fn drop(&mut self) {
        self.activity.owed_since.store(0, Ordering::Relaxed);
        self.activity.enter(WAITING);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use futures_util::stream::{iter, pending};
    use prometheus_client::registry::Registry;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::server::exchange::RequestLimits;
    use crate::server::metrics::HttpMetrics;
    use crate::server::routes::{Routes, get};
    use crate::shutdown;

    #[tokio::test]
    async fn a_quiet_connection_gives_its_buffers_back_and_keeps_what_it_has_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let io = Observed {
            stream,
            unread: Bytes::new(),
            activity: Activity::new(Clock::system()),
        };
        let metrics = HttpMetrics::register(&mut Registry::default());
        let routes = Routes::new("public", RequestLimits::public(), Clock::system(), metrics, 1);
        let paths = routes.route("/", "GET", get(|| async { "answered" })).finish();
        let (_stop, closing) = shutdown::stage();
        let quiet = async |io: Observed| {
            let (builder, limits) = (http1::Builder::new(), Limits::public());
            match answer(io, &builder, paths.clone(), &limits, closing.clone()).await {
                Pause::Quiet(io) => io,
                Pause::Ended(cut) => panic!("it ended: {cut:?}"),
            }
        };
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HT")
            .await
            .unwrap();
        let io = quiet(io).await;
        assert_eq!(io.unread, "GET / HT");
        client.write_all(b"TP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let io = quiet(io).await;
        assert!(io.unread.is_empty());
        // What has arrived when the connection is asked to close is answered.
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        io.stream.readable().await.unwrap();
        io.activity.ask_to_close();
        let (builder, limits) = (http1::Builder::new(), Limits::public());
        readable(&io, &limits).await.unwrap();
        let ended = answer(io, &builder, paths, &limits, closing).await;
        assert!(matches!(ended, Pause::Ended(Some(Cut::Asked))), "it goes on");
        let mut answers = String::new();
        client.read_to_string(&mut answers).await.unwrap();
        assert_eq!(answers.matches("answered").count(), 3, "{answers}");
    }

    #[test]
    fn a_timer_for_what_is_over_does_not_keep_a_request_from_its_limit() {
        let (clock, limits) = (Clock::system(), Limits::public());
        let armed = clock.boot() + limits.write_stall;
        let activity = Activity::new(clock.clone());
        assert!(activity.is_over(&limits, armed), "it is quiet earlier");
        activity.begin_answer();
        assert!(activity.is_over(&limits, armed), "the request's limit may come earlier");
        activity.blocked_since.store(clock.boot().0, Ordering::Relaxed);
        assert!(!activity.is_over(&limits, armed), "its client doesn't read");
        activity.blocked_since.store(0, Ordering::Relaxed);
        activity.answer(true);
        assert!(!activity.is_over(&limits, armed), "a stream has no limit");
    }

    #[tokio::test]
    async fn a_part_of_a_stream_has_to_be_read_whole_in_time_even_if_the_socket_accepts_some_of_it() {
        let (activity, limits) = (Activity::new(Clock::system()), Limits::public());
        let parts = iter([Ok::<_, Infallible>(Bytes::from_static(b"a draw"))]).chain(pending());
        let mut answer = Answer {
            inner: Body::from_stream(parts),
            endless: true,
            activity: activity.clone(),
        };
        activity.begin_answer();
        activity.answer(true);
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
