//! LOG_URL: one task posts each number there, from a bounded queue. No request waits for the sink, and lost numbers are counted;
//! the image failed the request instead.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest, handshake};
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use random_generator::shutdown::Signal;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Numbers that wait to be posted; more are lost.
const QUEUE: usize = 1024;
/// One number, connecting and the sink's answer included.
const POST_WITHIN: Duration = Duration::from_secs(2);
/// All that is queued when the process ends.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);
/// Bytes of an answer that are read, to use its connection again.
const ANSWER_MAX: usize = 64 * 1024;

/// Queues numbers. Clones share the queue.
#[derive(Clone)]
pub(super) struct LogUrl {
    queue: mpsc::Sender<Bytes>,
    lost: Arc<AtomicU64>,
}

impl LogUrl {
    /// None, with a warning, for anything but a URL of plain HTTP.
    pub(super) fn new(url: &str) -> Option<(LogUrl, Poster)> {
        let Some(sink) = Sink::parse(url) else {
            tracing::warn!(url, "LOG_URL is no http://HOST[:PORT][/PATH]: no number is posted");
            return None;
        };
        let (queue, waiting) = mpsc::channel(QUEUE);
        let log_url = LogUrl {
            queue,
            lost: Arc::default(),
        };
        let poster = Poster {
            sink,
            waiting,
            lost: log_url.lost.clone(),
            connection: None,
            trouble: false,
        };
        Some((log_url, poster))
    }

    /// Queues a number, or counts it as lost.
    pub(super) fn post(&self, id: &str, number: i32, took: Duration) {
        let duration = took.as_nanos();
        // The id is a UUID of ours, so nothing needs an escape.
        let body = format!(r#"{{ "id": "{id}", "random": "{number}", "duration": "{duration}" }}"#);
        if self.queue.try_send(body.into()).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Numbers that the sink did not get.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Sink {
    host: String,
    port: u16,
    authority: String,
    path: String,
}

impl Sink {
    fn parse(url: &str) -> Option<Sink> {
        let uri: Uri = url.trim().parse().ok()?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"))?;
        Some(Sink {
            host: authority
                .host()
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned(),
            port: authority.port_u16().unwrap_or(80),
            // Without the user that it may begin with.
            authority: authority.as_str().rsplit('@').next()?.to_owned(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }
}

/// The task that posts.
pub(super) struct Poster {
    sink: Sink,
    waiting: mpsc::Receiver<Bytes>,
    lost: Arc<AtomicU64>,
    connection: Option<Connection>,
    /// The log says that the sink can't be reached.
    trouble: bool,
}

impl Poster {
    /// Posts until asked to stop, and then what is left, within 2 s.
    pub(super) async fn run(mut self, mut stop: Signal) {
        loop {
            let next = tokio::select! {
                biased;
                () = stop.requested() => break,
                next = self.waiting.recv() => next,
            };
            match next {
                Some(body) => self.deliver(body).await,
                None => return,
            }
        }
        self.waiting.close();
        let rest = timeout(FLUSH_WITHIN, async {
            while let Some(body) = self.waiting.recv().await {
                self.deliver(body).await;
            }
        });
        let late = rest.await.is_err();
        let lost = self.lost.load(Ordering::Relaxed) + self.waiting.len() as u64;
        if late || lost > 0 {
            tracing::warn!(lost, "LOG_URL did not get all numbers");
        }
    }

    async fn deliver(&mut self, body: Bytes) {
        let posted = match timeout(POST_WITHIN, self.post(body)).await {
            Ok(posted) => posted,
            Err(_) => Err(format!("no answer within {POST_WITHIN:?}")),
        };
        let sink = &self.sink.authority;
        match &posted {
            Ok(()) if self.trouble => tracing::info!(sink, "LOG_URL takes numbers again"),
            Err(error) if !self.trouble => tracing::warn!(sink, error, "LOG_URL can't be reached: numbers are lost"),
            _ => {}
        }
        self.trouble = posted.is_err();
        if posted.is_err() {
            self.connection = None;
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// On the connection of the number before, if the sink left it open. What the sink answers doesn't count.
    async fn post(&mut self, body: Bytes) -> Result<(), String> {
        if let Some(mut connection) = self.connection.take()
            && connection.ask(self.request(body.clone())?).await.is_ok()
        {
            self.connection = Some(connection);
            return Ok(());
        }
        let mut connection = Connection::open(&self.sink).await?;
        connection.ask(self.request(body)?).await?;
        self.connection = Some(connection);
        Ok(())
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
        Request::post(&self.sink.path)
            .header(header::HOST, &self.sink.authority)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(body))
            .map_err(|error| error.to_string())
    }
}

type Driver = Pin<Box<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>>;

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// What moves the bytes, polled only while something is waited for; none once it has ended.
    driver: Option<Driver>,
}

impl Connection {
    async fn open(sink: &Sink) -> Result<Connection, String> {
        let stream = TcpStream::connect((sink.host.as_str(), sink.port)).await;
        let stream = stream.map_err(|error| error.to_string())?;
        // Else one small packet waits for the acknowledgement of the one before; it fails only on a dead socket.
        let _ = stream.set_nodelay(true);
        let (sender, driver) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        Ok(Connection {
            sender,
            driver: Some(Box::pin(driver)),
        })
    }

    /// Sends the request, and reads the answer to its end.
    async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<(), String> {
        let Connection { sender, driver } = self;
        let asked = async {
            sender.ready().await.map_err(|error| error.to_string())?;
            let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
            // An answer that is cut off was one all the same; the connection's next use shows its end.
            drop(Limited::new(answer.into_body(), ANSWER_MAX).collect().await);
            Ok(())
        };
        driven(driver, asked).await
    }
}

/// `work`, with the connection moved meanwhile; its end must not cut off an answer that was read already.
async fn driven<T>(driver: &mut Option<Driver>, work: impl Future<Output = T>) -> T {
    let moving = async {
        if let Some(moving) = driver {
            let _ = moving.as_mut().await;
            *driver = None;
        }
        std::future::pending::<std::convert::Infallible>().await
    };
    tokio::select! {
        biased;
        done = work => done,
        never = moving => match never {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_is_a_url_of_plain_http() {
        let sink = Sink::parse("http://user@localhost/log?a=b").unwrap();
        assert_eq!((sink.host.as_str(), sink.port), ("localhost", 80));
        assert_eq!((sink.authority.as_str(), sink.path.as_str()), ("localhost", "/log?a=b"));
        let sink = Sink::parse("http://[::1]:9009").unwrap();
        assert_eq!((sink.host.as_str(), sink.port, sink.path.as_str()), ("::1", 9009, "/"));
        for wrong in ["", "localhost:80", "https://localhost", "/path"] {
            assert_eq!(Sink::parse(wrong), None, "{wrong}");
        }
    }
}
