//! Serves one connection, and ends it when its client takes too long. A silent one has no buffers.
//!
//! Its socket and its service record each stage in its [`Activity`], in a few atomic stores a request, and the time once a poll.
//! One timer a connection checks them. It ends within half a second, and is reset before only if a deadline is nearer, so a client
//! that sends a thousand requests a second touches the timer wheel a few times in that second.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, Version, header};
use futures_util::FutureExt;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::activity::{Activity, Endless, KEPT, Look};
use super::cut::Cut;
use super::limits::Limits;
use super::observed::{ObservedBody, ObservedStream};
use super::routes::Paths;
use crate::clock::Boot;
use crate::shutdown::Signal;

/// Serves one connection to its end. Cancelling it closes the socket.
pub(crate) async fn serve(
    stream: TcpStream,
    builder: &http1::Builder,
    paths: Paths,
    activity: Arc<Activity>,
    limits: &Limits,
    closing: Signal,
) -> Option<Cut> {
    let mut io = ObservedStream {
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
        match Box::pin(serve_requests(io, builder, paths.clone(), limits, closing.clone())).await {
            Pause::Quiet(kept) => io = kept,
            Pause::Ended(cut) => return cut,
        }
    }
}

/// Why a connection stopped answering.
enum Pause {
    /// Nothing was asked for a while.
    Quiet(ObservedStream),
    Ended(Option<Cut>),
}

/// As [`Pause`], before hyper gives the socket back.
enum Ending {
    Quiet,
    Closed(Option<Cut>),
}

/// Waits for a request; an error when the connection has to end before one.
async fn readable(io: &ObservedStream, limits: &Limits) -> Result<(), Option<Cut>> {
    if !io.unread.is_empty() {
        return Ok(());
    }
    let ObservedStream { stream, activity, .. } = io;
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
async fn serve_requests(
    io: ObservedStream,
    builder: &http1::Builder,
    paths: Paths,
    limits: &Limits,
    signal: Signal,
) -> Pause {
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
                activity.set_endless(endless);
                Ok::<_, Infallible>(response.map(|inner| ObservedBody {
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
    let ended = poll_fn(|cx| {
        loop {
            if Pin::new(&mut connection).poll(cx).is_ready() {
                return Poll::Ready(Ending::Closed(closing.then_some(Cut::Asked)));
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
            match activity.look(limits, now) {
                Look::Cut(cut) => return Poll::Ready(Ending::Closed(Some(cut))),
                Look::Quiet => return Poll::Ready(Ending::Quiet),
                Look::Again(at) => {
                    armed = at;
                    timer.as_mut().reset(tokio::time::Instant::now() + at.since(now));
                }
            }
        }
    })
    .await;
    match ended {
        Ending::Closed(cut) => Pause::Ended(cut),
        Ending::Quiet => {
            let parts = connection.into_parts();
            let io = parts.io.into_inner();
            // Copied, because an empty part of a buffer keeps all of it.
            let unread = Bytes::copy_from_slice(&parts.read_buf);
            Pause::Quiet(ObservedStream { unread, ..io })
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::clock::Clock;
    use crate::server::exchange::RequestLimits;
    use crate::server::metrics::HttpMetrics;
    use crate::server::routes::{Routes, get};
    use crate::shutdown;

    #[tokio::test]
    async fn a_quiet_connection_gives_its_buffers_back_and_keeps_what_it_has_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let io = ObservedStream {
            stream,
            unread: Bytes::new(),
            activity: Activity::new(Clock::system()),
        };
        let metrics = HttpMetrics::register(&mut Registry::default());
        let routes = Routes::new("public", RequestLimits::public(), Clock::system(), metrics, 1);
        let paths = routes.route("/", "GET", get(|| async { "answered" })).finish();
        let (_stop, closing) = shutdown::stage();
        let quiet = async |io: ObservedStream| {
            let (builder, limits) = (http1::Builder::new(), Limits::public());
            match serve_requests(io, &builder, paths.clone(), &limits, closing.clone()).await {
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
        let ended = serve_requests(io, &builder, paths, &limits, closing).await;
        assert!(matches!(ended, Pause::Ended(Some(Cut::Asked))), "it goes on");
        let mut answers = String::new();
        client.read_to_string(&mut answers).await.unwrap();
        assert_eq!(answers.matches("answered").count(), 3, "{answers}");
    }
}
