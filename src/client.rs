//! The one HTTP client: peers, members, sinks and collectors are all asked through it, over TCP or TLS.
//!
//! It is hyper-util's client with the bounds that this project promises: [`Limits`] bound every request in time and in size,
//! and the tasks that drive connections end with the client.

mod addresses;
mod pooled;

use std::error::Error;
use std::future::{Future, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{Method, Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::CertificateError;
use rustls::crypto::ring;
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::Service;

use self::addresses::Addresses;
use self::pooled::Pooled;

/// An address that doesn't answer is waited for so long before the next is tried as well (RFC 8305, 8, as hyper-util has it).
const HEAD_START: Duration = Duration::from_millis(300);
/// Unused connections kept for each host, and for all together.
const IDLE_PER_HOST: usize = 2;
const IDLE: usize = 64;

/// What a client may spend.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connecting to a name. Each of its addresses gets an equal share, so that one that doesn't answer leaves time for the next.
    pub connect: Duration,
    /// The whole exchange: connecting, the request, and the last byte of the answer.
    pub exchange: Duration,
    /// Bytes of an answer's body.
    pub body: usize,
    /// A connection that was unused for this long is closed. Choose less than the server does.
    pub idle: Duration,
    /// Whether every request may be sent a second time when its connection breaks; a GET always may.
    pub repeat: bool,
}

/// Why there is no answer. The text is for an operator, and doesn't name the URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// There is no connection: nothing was sent.
    #[error("{0}")]
    Unreachable(String),
    /// TLS failed: a certificate that isn't trusted, or no certificates to trust.
    #[error("{0}")]
    Tls(String),
    /// The connection failed after the request was sent.
    #[error("{0}")]
    Lost(String),
    /// The answer's body was cut off, or is larger than [`Limits::body`].
    #[error("{0}")]
    Body(String),
    #[error("no answer within {:?}", Duration::from_millis(.0.as_millis() as u64))]
    Timeout(Duration),
}

type Exchange<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, ClientError>> + Send + 'a>>;

/// An exchange that has a connection.
struct Connected<'a>(Exchange<'a>);

/// Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: legacy::Client<Connector, Full<Bytes>>,
    limits: Limits,
}

impl Client {
    pub fn new(limits: Limits) -> Client {
        Client::connecting_to(Addresses::OfHost(GaiResolver::new()), limits)
    }

    /// A client of one server, which is at some of these addresses: they are tried in this order, and the two families side by
    /// side. The host of a URL is only named to the server.
    pub fn at(addresses: Vec<SocketAddr>, limits: Limits) -> Client {
        Client::connecting_to(Addresses::Given(addresses.into()), limits)
    }

    fn connecting_to(addresses: Addresses, limits: Limits) -> Client {
        let connector = Connector {
            given: matches!(addresses, Addresses::Given(_)),
            tcp: tcp(addresses, limits),
            tls: Arc::default(),
            reusable: Arc::new(Semaphore::new(IDLE)),
        };
        let http = legacy::Client::builder(Tasks::default())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits.idle)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .build(connector);
        Client { http, limits }
    }

    /// The same connections, with another limit for a whole exchange.
    pub fn within(&self, exchange: Duration) -> Client {
        let limits = Limits {
            exchange,
            ..self.limits
        };
        Client { limits, ..self.clone() }
    }

    /// The whole answer, whatever its status.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, ClientError> {
        self.bounded(self.exchange(request)).await
    }

    /// The head of an answer whose body is read as it comes: then only the head is bounded, and the caller bounds the rest.
    pub async fn open(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, ClientError> {
        self.bounded(self.head(request)).await
    }

    /// As [`send`](Client::send), to the first of `addresses` that accepts a connection. Of the request's URI only the path
    /// counts; the header `Host` is the caller's.
    pub async fn send_to(
        &self,
        addresses: &[SocketAddr],
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, ClientError> {
        let exchange = self.limits.exchange;
        // An address that swallows what is sent to it leaves time for each of the others.
        let head_start = HEAD_START.min(exchange / (addresses.len().max(1) as u32));
        let attempts = async {
            let mut last = ClientError::Unreachable("it has no address".into());
            let (mut untried, mut connecting) = (addresses.iter(), FuturesUnordered::new());
            let mut start_next = true;
            loop {
                if start_next && let Some(address) = untried.next() {
                    connecting.push(self.connect(*address, request.clone()));
                }
                start_next = tokio::select! {
                    biased;
                    connected = connecting.next() => match connected {
                        // The other attempts end here.
                        Some(Ok(Connected(exchange))) => return exchange.await,
                        Some(Err(ClientError::Unreachable(reason))) => {
                            last = ClientError::Unreachable(reason);
                            true
                        }
                        Some(Err(error)) => return Err(error),
                        None => return Err(last),
                    },
                    () = sleep(head_start), if untried.len() > 0 => true,
                };
            }
        };
        match timeout(exchange, attempts).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Timeout(exchange)),
        }
    }

    /// Returns as soon as there is a connection.
    async fn connect(
        &self,
        address: SocketAddr,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Connected<'_>, ClientError> {
        let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        let uri = format!("http://{address}{path}").parse();
        *request.uri_mut() = uri.map_err(|error| unreachable(&error))?;
        let mut connection = capture_connection(&mut request);
        let mut exchange: Exchange<'_> = Box::pin(self.exchange(request));
        tokio::select! {
            biased;
            answer = &mut exchange => match answer {
                Err(ClientError::Unreachable(reason)) => Err(ClientError::Unreachable(format!("{address}: {reason}"))),
                answer => Ok(Connected(Box::pin(ready(answer)))),
            },
            _ = connection.wait_for_connection_metadata() => Ok(Connected(exchange)),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, ClientError> {
        let (head, body) = self.head(request).await?.into_parts();
        let body = Limited::new(body, self.limits.body).collect().await;
        let body = body.map_err(|error| ClientError::Body(root_cause(&*error)))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    async fn head(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, ClientError> {
        let repeat = self.limits.repeat || request.method() == Method::GET;
        let again = repeat.then(|| request.clone());
        match (self.http.request(request).await.map_err(classify), again) {
            // The server closed a connection that it thought unused, while the request was on its way.
            (Err(ClientError::Lost(_)), Some(again)) => self.http.request(again).await.map_err(classify),
            (answer, _) => answer,
        }
    }

    async fn bounded<T>(&self, answer: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
        match timeout(self.limits.exchange, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Timeout(self.limits.exchange)),
        }
    }
}

const NO_CONNECTION: &str = "no connection in time";

fn unreachable(error: &(dyn Error + 'static)) -> ClientError {
    ClientError::Unreachable(root_cause(error))
}

/// hyper-util says "client error (Connect)"; the operator needs what is below that.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn classify(error: legacy::Error) -> ClientError {
    let reason = root_cause(&error);
    let Some(connecting) = error.source().filter(|_| error.is_connect()) else {
        return ClientError::Lost(reason);
    };
    // An error of TCP or DNS is wrapped in a type of hyper-util's, one of TLS is not.
    if !connecting.is::<io::Error>() {
        return match reason.as_str() {
            "deadline has elapsed" => ClientError::Unreachable(NO_CONNECTION.into()),
            _ => ClientError::Unreachable(reason),
        };
    }
    ClientError::Tls(match of_rustls(connecting) {
        Some(rustls::Error::InvalidCertificate(wrong)) => format!("{}; {TRUST}", untrusted(wrong)),
        Some(rustls::Error::InvalidMessage(_)) => "its answer is not TLS: is it an http:// URL?".to_owned(),
        Some(other) => format!("TLS: {other}"),
        None => format!("no certificate to trust can be read; {TRUST}, if it is set"),
    })
}

const TRUST: &str = "the variable SSL_CERT_FILE names the file of certificates to trust";

/// hyper-rustls and tokio-rustls wrap it, one `io::Error` in another.
fn of_rustls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut error = error;
    while let Some(wrapper) = error.downcast_ref::<io::Error>() {
        error = wrapper.get_ref()?;
    }
    error.downcast_ref()
}

fn untrusted(wrong: &CertificateError) -> &'static str {
    match wrong {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name"
        }
        CertificateError::UnknownIssuer => "its certificate is not trusted: it has an unknown issuer",
        _ => "its certificate is not trusted",
    }
}

/// Tries every address of a name; the time for connecting is divided by their number.
fn tcp<R>(resolver: R, limits: Limits) -> HttpConnector<R> {
    let mut tcp = HttpConnector::new_with_resolver(resolver);
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(limits.connect));
    tcp
}

/// Connects by TCP, and by TLS where the URL is https. The certificates to trust are read for the first such URL, and again
/// while there are none.
#[derive(Clone, Debug)]
struct Connector {
    tcp: HttpConnector<Addresses>,
    /// The addresses are given: the host of a URL says nothing.
    given: bool,
    tls: Arc<OnceCell<HttpsConnector<HttpConnector<Addresses>>>>,
    /// Connections that may be used again.
    reusable: Arc<Semaphore>,
}

type BoxError = Box<dyn Error + Send + Sync>;
type Stream = Pooled<MaybeHttpsStream<TokioIo<TcpStream>>>;
type Connecting = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Connecting {
        let Connector {
            mut tcp,
            given,
            tls,
            reusable,
        } = self.clone();
        // hyper-util asks its resolver for names only.
        let uri = if given { Uri::from_static("http://given/") } else { uri };
        Box::pin(async move {
            let stream = match uri.scheme() == Some(&Scheme::HTTPS) {
                false => MaybeHttpsStream::Http(tcp.call(uri).await?),
                true => {
                    let tls = tls.get_or_try_init(|| trusting_the_system(tcp)).await?;
                    tls.clone().call(uri).await?
                }
            };
            Ok(Pooled::new(stream, reusable))
        })
    }
}

/// Trusts what the system trusts. rustls-native-certs reads SSL_CERT_FILE and SSL_CERT_DIR, as OpenSSL does.
async fn trusting_the_system(tcp: HttpConnector<Addresses>) -> io::Result<HttpsConnector<HttpConnector<Addresses>>> {
    // It reads some hundred kilobytes of files.
    let builder = tokio::task::spawn_blocking(|| {
        HttpsConnectorBuilder::new().with_provider_and_native_roots(ring::default_provider())
    });
    let builder = builder.await.map_err(io::Error::other)??;
    Ok(builder.https_or_http().enable_http1().wrap_connector(tcp))
}

/// What drives the connections: it ends when the last clone of the client is dropped.
#[derive(Clone, Debug, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use hyper_util::client::legacy::connect::dns::Name;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A listener whose queue is full: the kernel answers no further SYN.
    async fn silent() -> (tokio::net::TcpListener, Vec<TcpStream>) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut held = Vec::new();
        while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
            held.push(stream.unwrap());
            assert!(held.len() < 100, "its queue has no end");
        }
        (listener, held)
    }

    #[test]
    fn a_time_limit_is_shown_in_whole_milliseconds() {
        let third = Duration::from_secs(2) * 2 / 15;
        assert_eq!(ClientError::Timeout(third).to_string(), "no answer within 266ms");
        let five = ClientError::Timeout(Duration::from_secs(5));
        assert_eq!(five.to_string(), "no answer within 5s");
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_leaves_time_for_the_next() {
        let (gone, held) = silent().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let addresses = [gone.local_addr().unwrap(), good];
        let resolver = tower::service_fn(move |_: Name| async move { Ok::<_, Infallible>(addresses.into_iter()) });
        let limits = Limits {
            connect: Duration::from_secs(4),
            exchange: Duration::from_secs(5),
            body: 0,
            idle: Duration::ZERO,
            repeat: false,
        };
        let connecting = tcp(resolver, limits).call("http://two.example".parse().unwrap());
        let stream = timeout(limits.exchange, connecting).await;
        let stream = stream.expect("in time").unwrap().into_inner();
        assert_eq!(stream.peer_addr().unwrap(), good);
        drop(held);
    }

    #[tokio::test]
    async fn a_server_at_several_addresses_is_asked_at_the_one_that_answers() {
        let (gone, held) = silent().await;
        let listener = tokio::net::TcpListener::bind("[::1]:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let mut servers = JoinSet::new();
        servers.spawn(serve(listener, tokio::sync::watch::Sender::new(0)));
        let limits = Limits {
            connect: Duration::from_secs(20),
            exchange: Duration::from_secs(20),
            body: 0,
            idle: Duration::from_secs(30),
            repeat: false,
        };
        let client = Client::at(vec![gone.local_addr().unwrap(), good], limits);
        let request = Request::get("http://192.0.2.1:8080/livez")
            .body(Full::default())
            .unwrap();
        let began = tokio::time::Instant::now();
        let answer = client.send(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        let several = [gone.local_addr().unwrap(), good];
        let client = Client::new(limits);
        let answer = client.send_to(&several, Request::new(Full::default())).await;
        assert_eq!(answer.unwrap().status(), 200);
        // An address that doesn't answer costs a moment, not its share of the time.
        assert!(began.elapsed() < limits.exchange / 4);
        drop(held);
    }

    /// Answers one request of each connection, counts those that are open, and ends each with its client.
    async fn serve(listener: tokio::net::TcpListener, open: tokio::sync::watch::Sender<usize>) {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let open = open.clone();
            connections.spawn(async move {
                open.send_modify(|count| *count += 1);
                let mut read = [0; 1024];
                while stream.read(&mut read).await.is_ok_and(|bytes| bytes > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(answer).await.unwrap();
                }
                open.send_modify(|count| *count -= 1);
            });
        }
    }

    #[tokio::test]
    async fn of_connections_to_many_hosts_at_once_a_bounded_number_stays_open() {
        const HOSTS: usize = 100;
        let open = tokio::sync::watch::Sender::new(0);
        let (mut servers, mut addresses) = (JoinSet::new(), Vec::new());
        for _ in 0..HOSTS {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            servers.spawn(serve(listener, open.clone()));
        }
        let limits = Limits {
            connect: Duration::from_secs(20),
            exchange: Duration::from_secs(20),
            body: 0,
            idle: Duration::from_secs(600),
            repeat: false,
        };
        let client = Client::new(limits);
        let mut count = open.subscribe();
        for round in 0..2 {
            let asked = addresses.iter().map(|address| async {
                let answer = client.send_to(&[*address], Request::new(Full::default())).await;
                assert_eq!(answer.unwrap().status(), 200);
            });
            futures_util::future::join_all(asked).await;
            timeout(limits.exchange, count.wait_for(|open| *open <= IDLE))
                .await
                .unwrap_or_else(|_| panic!("round {round}: {} are open", *open.borrow()))
                .unwrap();
        }
        assert_eq!(*count.borrow(), IDLE, "and those are used again");
    }
}
