//! Around every handler: the request's id, limits on its size and time, 500 for a panic, metrics, and CORS.
//!
//! One call around each handler instead of tower-http's stack: each layer of axum costs allocations a request, and this one
//! has the route's metrics at hand.

use std::any::Any;
use std::fmt::Write;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;

use super::budget::{Budget, SMALL};
use super::cors::{self, AllowedOrigins};
use super::metrics::{HttpMetrics, RouteMetrics, label};
use super::problem::Problem;
use crate::clock::{Boot, Clock};
/// Maximum length of a client's `X-Request-Id`.
pub use crate::trace::REQUEST_ID_MAX;
use crate::trace::{self, Kind, RequestId, Scope, Spans, TraceContext, Work};

/// Maximum bytes of a path with its query.
pub const URI_MAX: usize = 4096;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Of a request only: the recommendation defines no such header for a response.
pub(crate) static TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) static TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");

/// What one listener allows a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// From the request's headers to its response's headers; noticed within half a second.
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

/// Says what is wrong with a request by its headers.
pub type Guard = fn(&HeaderMap) -> Option<Problem>;

/// An exchange under way.
pub(super) type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// What the routes of one listener share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) listener: &'static str,
    pub(super) limits: RequestLimits,
    pub(super) clock: Clock,
    pub(super) metrics: HttpMetrics,
    pub(super) spans: Spans,
    pub(super) guard: Option<Guard>,
    /// Whose web pages may read the answers.
    pub(super) origins: Option<AllowedOrigins>,
    /// Random, so that ids differ from those of another process.
    pub(super) prefix: u32,
    pub(super) next: AtomicU64,
}

#[derive(Debug)]
pub(super) struct RouteContext {
    pub(super) metrics: RouteMetrics,
    pub(super) shared: Arc<Shared>,
}

/// Has a request handled, and does all that an exchange is around it. What needs the request is done here, so that the future
/// needn't hold it.
pub(super) fn answer<F>(context: Arc<RouteContext>, request: Request, handle: impl FnOnce(Request) -> F) -> Answering
where
    F: Future<Output = Response> + Send + 'static,
{
    let shared = &context.shared;
    let exchange = trace::Request {
        id: shared.request_id(request.headers()),
        started: shared.clock.now(),
    };
    let method = request.method().clone();
    let name = || format!("{} {}", label(&method), context.metrics.pattern());
    let parent = trace_of(request.headers());
    let work = shared.spans.begin(Kind::Server, parent.as_ref(), name);
    let scope = Scope::request(exchange, work.context.clone());
    let origin = shared
        .origins
        .as_ref()
        .and_then(|_| request.headers().get(header::ORIGIN).cloned());
    let refused = shared.guard.and_then(|guard| guard(request.headers()));
    let wrong = refused.or_else(|| check_head(&request, &shared.limits));
    let call = match wrong {
        Some(problem) => Err(problem.into_response()),
        None if shared.origins.is_some() && cors::is_preflight(&request) => Err(cors::preflight()),
        // The handler begins when its future is polled.
        None => Ok(handle(request)),
    };
    Box::pin(trace::within(scope, async move {
        let mut response = context.answer(method, exchange, work, call).await;
        if let Some(origins) = &context.shared.origins {
            origins.allow(origin.as_ref(), response.headers_mut());
        }
        response
    }))
}

impl RouteContext {
    /// None if it takes longer. A timer for each request would cost more than the connection's, which polls this often enough.
    async fn within<F: Future>(&self, deadline: Boot, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.shared.clock.boot() >= deadline => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    async fn answer(
        &self,
        method: Method,
        exchange: trace::Request,
        mut work: Work,
        call: Result<impl Future<Output = Response>, Response>,
    ) -> Response {
        let limits = self.shared.limits;
        let _in_flight = self.metrics.begin();
        let mut response = match call {
            Err(response) => response,
            Ok(call) => {
                // A panic leaves nothing half-changed: handlers hold no locks and own their data.
                let call = AssertUnwindSafe(call).catch_unwind();
                match self.within(exchange.started.boot + limits.time, call).await {
                    Some(Ok(response)) => response,
                    Some(Err(panic)) => {
                        tracing::error!(
                            route = self.metrics.pattern(),
                            panic = panic_text(&*panic),
                            "a handler panicked"
                        );
                        Problem::internal().into_response()
                    }
                    None if has_body(&method) => {
                        Problem::too_slow("the request, or its response, took too long").into_response()
                    }
                    None => Problem::unavailable("the response took too long", Duration::from_secs(1)).into_response(),
                }
            }
        };
        if method == Method::HEAD {
            leave_body_out(&mut response);
        }
        if let Ok(id) = HeaderValue::from_str(exchange.id.as_str()) {
            response.headers_mut().insert(REQUEST_ID.clone(), id);
        }
        let took = self.shared.clock.boot().since(exchange.started.boot);
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

/// The headers stay those of GET (RFC 9110, 9.3.2).
fn leave_body_out(response: &mut Response) {
    let body = std::mem::take(response.body_mut());
    if let Some(length) = body.size_hint().exact() {
        let headers = response.headers_mut();
        headers.entry(header::CONTENT_LENGTH).or_insert(length.into());
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
