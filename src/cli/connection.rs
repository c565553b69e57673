//! One HTTP/1 connection to a member: kept for several questions, or read as its answer comes.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest, handshake};
use hyper::http::response::Parts;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::target::Member;

type Driver = Pin<Box<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>>;

/// Nothing in here has a bound in time: who asks puts one around it. After an error, or when a question was cancelled, it
/// is of no use any more.
pub(super) struct Connection {
    authority: String,
    sender: SendRequest<Full<Bytes>>,
    /// What moves the bytes, polled only while something is waited for; none once it has ended.
    driver: Option<Driver>,
}

impl Connection {
    pub(super) async fn open(member: &Member) -> Result<Connection, String> {
        let stream = member.connect().await?;
        // A question is one small packet: nothing to wait for. Failing costs 40 ms, not the question.
        let _ = stream.set_nodelay(true);
        let (sender, driver) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        Ok(Connection {
            authority: member.authority().to_owned(),
            sender,
            driver: Some(Box::pin(driver)),
        })
    }

    /// Sends the request, to which `Host` is added, and waits for the answer's head.
    pub(super) async fn begin(&mut self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, String> {
        let host = self.authority.parse().map_err(|_| "no name for the header Host")?;
        request.headers_mut().insert(header::HOST, host);
        let sender = &mut self.sender;
        let answer = async {
            sender.ready().await?;
            sender.send_request(request).await
        };
        driven(&mut self.driver, answer)
            .await
            .map_err(|error| error.to_string())
    }

    /// The next piece of a body; none at its end.
    pub(super) async fn piece(&mut self, body: &mut Incoming) -> Option<Result<Bytes, String>> {
        loop {
            match driven(&mut self.driver, body.frame()).await? {
                Ok(frame) => match frame.into_data() {
                    Ok(data) => return Some(Ok(data)),
                    // Trailers, which nobody here sends.
                    Err(_) => continue,
                },
                Err(error) => return Some(Err(error.to_string())),
            }
        }
    }

    /// The whole answer, whose body may have `limit` bytes.
    pub(super) async fn ask(&mut self, request: Request<Full<Bytes>>, limit: usize) -> Result<(Parts, Bytes), String> {
        let (head, body) = self.begin(request).await?.into_parts();
        let body = driven(&mut self.driver, Limited::new(body, limit).collect()).await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        Ok((head, body))
    }
}

/// `work`, with the connection moved meanwhile. The end of the connection must not cut off an answer that was read already,
/// and reaches `work` by itself if it waits for more.
async fn driven<T>(driver: &mut Option<Driver>, work: impl Future<Output = T>) -> T {
    let moving = async {
        if let Some(moving) = driver {
            let _ = moving.as_mut().await;
            *driver = None;
        }
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        biased;
        done = work => done,
        never = moving => match never {},
    }
}
