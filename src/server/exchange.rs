//! Around every handler: the request's id, limits on its size and time, 500 for a panic, metrics, and CORS.
//!
//! One layer a route instead of tower-http's stack: each layer of axum costs an allocation a request, and this one holds the
//! route's metrics ready.

use std::any::Any;
use std::convert::Infallible;
use std::fmt::Write;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use axum::response::{IntoResponse, Response};
use axum::routing::future::RouteFuture;
use axum::routing::{MethodRouter, Route, any};
use futures_util::FutureExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use tower::Service;
use tower::layer::layer_fn;

use super::budget::{Budget, SMALL};
use super::cors::{self, AllowedOrigins};
use super::metrics::{HttpMetrics, RouteMetrics, label};
use super::problem::Problem;
use crate::clock::{Clock, Now};
/// Maximum length of a client's `X-Request-Id`.
pub use crate::trace::REQUEST_ID_MAX;
use crate::trace::{self, Kind, RequestId, Scope, Spans, TraceContext, Work};

/// Maximum bytes of a path with its query.
pub const URI_MAX: usize = 4096;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Of a request only: the recommendation defines no such header for a response.
pub(crate) static TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) static TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");

/// What every handler can know about its request.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// The client's `X-Request-Id` if it is 1 to 64 visible characters, else a new one; also a header of the response.
    pub id: RequestId,
    pub started: Now,
}

/// What one listener allows a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// From the request's headers to its response's headers.
    pub time: Duration,
    /// Bytes of a request's body.
    pub body: usize,
}

impl RequestLimits {
    /// 10 s, and 64 KiB of body (which this listener never reads).
    pub const fn public() -> RequestLimits {
        RequestLimits {
            time: Duration::from_secs(10),
            body: 64 * 1024,
        }
    }

    /// 10 s, and 256 KiB of body: the limit of a Kubernetes object's annotations, and so of a record.
    pub const fn peer() -> RequestLimits {
        RequestLimits {
            time: Duration::from_secs(10),
            body: 256 * 1024,
        }
    }

    /// 60 s, for maintenance of the ledger, and 4 KiB of body.
    pub const fn admin() -> RequestLimits {
        RequestLimits {
            time: Duration::from_secs(60),
            body: 4 * 1024,
        }
    }
}

/// Collects the routes of one listener.
#[derive(Debug)]
pub struct Routes<S = ()> {
    shared: Arc<Shared>,
    router: Router<S>,
}

#[derive(Debug)]
struct Shared {
    listener: &'static str,
    limits: RequestLimits,
    clock: Clock,
    metrics: HttpMetrics,
    spans: Spans,
    /// Whose web pages may read the answers.
    origins: Option<AllowedOrigins>,
    /// Random, so that ids differ from those of another process.
    prefix: u32,
    next: AtomicU64,
}

impl Routes {
    /// `prefix` begins the request ids created here: random, and new with each process.
    pub fn new(
        listener: &'static str,
        limits: RequestLimits,
        clock: Clock,
        metrics: HttpMetrics,
        prefix: u32,
    ) -> Routes {
        Routes {
            shared: Arc::new(Shared {
                listener,
                limits,
                clock,
                metrics,
                spans: Spans::default(),
                origins: None,
                prefix,
                next: AtomicU64::new(0),
            }),
            router: Router::new(),
        }
    }

    /// Reports each answered request to `spans`. Call it before the first route.
    pub fn with_spans(mut self, spans: Spans) -> Routes {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.spans = spans;
        }
        self
    }

    /// Lets web pages of these origins read the answers. Call it before the first route.
    pub fn with_allowed_origins(mut self, origins: Option<AllowedOrigins>) -> Routes {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.origins = origins;
        }
        self
    }

    /// Adds the routes of a group, which share a state.
    pub fn group<G: Clone + Send + Sync + 'static>(
        mut self,
        state: G,
        add: impl FnOnce(Routes<G>) -> Routes<G>,
    ) -> Routes {
        let group = add(Routes {
            shared: self.shared.clone(),
            router: Router::new(),
        });
        self.router = self.router.merge(group.router.with_state(state));
        self
    }

    /// Returns the router, with a 404 for all other paths.
    pub fn finish(self) -> Router {
        // Not as a fallback: axum answers that with an empty `Allow`.
        let other = any(|| async { Problem::not_found("no such path") });
        let other = self.layered("other", other);
        self.router.fallback_service(other)
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// Adds a path. A 405 says that `methods` are allowed.
    pub fn route(mut self, path: &'static str, methods: &'static str, handlers: MethodRouter<S>) -> Routes<S> {
        let handlers = handlers.fallback(move || async move { Problem::method_not_allowed(methods) });
        let handlers = self.layered(path, handlers);
        self.router = self.router.route(path, handlers);
        self
    }

    fn layered(&self, route: &'static str, handlers: MethodRouter<S>) -> MethodRouter<S> {
        let context = Arc::new(RouteContext {
            metrics: self.shared.metrics.route(self.shared.listener, route),
            shared: self.shared.clone(),
        });
        handlers.layer(layer_fn(move |inner: Route| ExchangeService {
            context: context.clone(),
            inner: Arc::new(inner),
        }))
    }
}

#[derive(Debug)]
struct RouteContext {
    metrics: RouteMetrics,
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct ExchangeService {
    context: Arc<RouteContext>,
    /// A route is always ready. Cloning one costs an allocation, and axum clones this service twice a request.
    inner: Arc<Route>,
}

impl Service<Request> for ExchangeService {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    /// What needs the request is done here, so that the future needn't hold it.
    fn call(&mut self, mut request: Request) -> Self::Future {
        let context = self.context.clone();
        let shared = &context.shared;
        let exchange = Exchange {
            id: shared.request_id(request.headers()),
            started: shared.clock.now(),
        };
        let method = request.method().clone();
        let name = || format!("{} {}", label(&method), context.metrics.pattern());
        let parent = trace_of(request.headers());
        let work = shared.spans.begin(Kind::Server, parent.as_ref(), name);
        let scope = Scope::request(exchange.id, work.context.clone());
        let origin = shared
            .origins
            .as_ref()
            .and_then(|_| request.headers().get(header::ORIGIN).cloned());
        let call = match check_head(&request, &shared.limits) {
            Some(problem) => Err(problem.into_response()),
            None if shared.origins.is_some() && cors::is_preflight(&request) => Err(cors::preflight()),
            None => {
                request.extensions_mut().insert(exchange);
                // The handler begins when this is polled.
                Ok(Route::clone(&self.inner).call(request))
            }
        };
        let answer = async move {
            let mut response = context.answer(method, exchange, work, call).await;
            if let Some(origins) = &context.shared.origins {
                origins.allow(origin.as_ref(), response.headers_mut());
            }
            Ok(response)
        };
        Box::pin(trace::within(scope, answer))
    }
}

impl RouteContext {
    async fn answer(
        &self,
        method: Method,
        exchange: Exchange,
        mut work: Work,
        call: Result<RouteFuture<Infallible>, Response>,
    ) -> Response {
        let limits = self.shared.limits;
        let _in_flight = self.metrics.begin();
        let started = exchange.started;
        let mut response = match call {
            Err(response) => response,
            Ok(call) => {
                // A panic leaves nothing half-changed: handlers hold no locks and own their data.
                let call = AssertUnwindSafe(call).catch_unwind();
                match tokio::time::timeout(limits.time, call).await {
                    Ok(Ok(Ok(response))) => response,
                    Ok(Err(panic)) => {
                        tracing::error!(
                            route = self.metrics.pattern(),
                            panic = panic_text(&*panic),
                            "a handler panicked"
                        );
                        Problem::internal().into_response()
                    }
                    Err(_) if has_body(&method) => {
                        Problem::too_slow("the request, or its response, took too long").into_response()
                    }
                    Err(_) => {
                        Problem::unavailable("the response took too long", Duration::from_secs(1)).into_response()
                    }
                }
            }
        };
        if let Ok(id) = HeaderValue::from_str(exchange.id.as_str()) {
            response.headers_mut().insert(REQUEST_ID.clone(), id);
        }
        let took = self.shared.clock.boot().since(started.boot);
        self.metrics.answered(&method, response.status(), took);
        tracing::debug!(
            listener = self.shared.listener,
            route = self.metrics.pattern(),
            %method,
            status = response.status().as_u16(),
            took_us = took.as_micros() as u64,
            "answered"
        );
        work.end(response.status().is_server_error(), || {
            vec![
                ("http.request.method", label(&method).into()),
                ("http.route", self.metrics.pattern().into()),
                ("http.response.status_code", response.status().as_u16().into()),
            ]
        });
        response
    }
}

/// Where the sender of the request is in its trace, by its headers.
fn trace_of(headers: &HeaderMap) -> Option<TraceContext> {
    headers.get(&TRACE_PARENT)?;
    let all = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    TraceContext::from_headers(all(&TRACE_PARENT), all(&TRACE_STATE))
}

fn has_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// Checks what its head alone shows to be wrong with a request.
fn check_head(request: &Request, limits: &RequestLimits) -> Option<Problem> {
    // RFC 9112, 3.2.
    if request.version() == Version::HTTP_11 && request.headers().get_all(header::HOST).iter().count() != 1 {
        return Some(Problem::malformed("a request of HTTP/1.1 has exactly one header Host"));
    }
    let uri = request.uri();
    if uri.path().len() + uri.query().map_or(0, str::len) > URI_MAX {
        return Some(Problem::uri_too_long(URI_MAX));
    }
    let length = request.headers().get(header::CONTENT_LENGTH)?;
    // hyper refuses a length that is not a number.
    let length: u64 = length.to_str().ok()?.parse().ok()?;
    (length > limits.body as u64).then(|| Problem::body_too_large(limits.body))
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("not a text")
}

impl Shared {
    fn request_id(&self, headers: &HeaderMap) -> RequestId {
        let given = headers.get(&REQUEST_ID).and_then(|id| id.to_str().ok());
        let visible = |id: &&str| (1..=REQUEST_ID_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
        if let Some(id) = given.filter(visible) {
            return RequestId::new(id);
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut id = RequestId::new("");
        // It fits: 8 hexadecimal digits, a hyphen, and at most 16 more.
        let _ = write!(id, "{:08x}-{number:x}", self.prefix);
        id
    }
}

/// Reads the whole body. The time is bounded around the handler. What is not small takes its memory from the listener's budget,
/// and only once so much has arrived: who announces much holds nothing.
pub(crate) async fn read_body(body: Body, limit: usize, memory: &Budget) -> Result<Bytes, Problem> {
    let mut body = Limited::new(body, limit);
    let announced = body.size_hint().upper().and_then(|upper| usize::try_from(upper).ok());
    let most = announced.unwrap_or(limit).min(limit);
    let (mut read, mut hold) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) if error.is::<LengthLimitError>() => return Err(Problem::body_too_large(limit)),
            Err(_) => return Err(Problem::malformed("the body ended before its declared end")),
        };
        let Ok(data) = frame.into_data() else { continue };
        if hold.is_none() && read.len() + data.len() > SMALL {
            hold = Some(memory.take(most).await?);
            read.reserve_exact(most.saturating_sub(read.len()));
        }
        read.extend_from_slice(&data);
    }
    Ok(match hold {
        Some(hold) => hold.attach(read),
        None => read.into(),
    })
}
