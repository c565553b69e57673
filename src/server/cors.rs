//! Which web pages may read the public listener: none, unless configured (Fetch Standard, "CORS protocol").

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::response::Response;
use axum::routing::Route;
use axum::routing::future::RouteFuture;
use futures_util::future::Either;
use tower::{Layer, Service};
use tower_http::cors::{AllowOrigin, Cors, CorsLayer, ResponseFuture};

/// How long a browser need not ask again what is allowed.
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// What a page may read beside the body.
const EXPOSED: [HeaderName; 6] = [
    header::CONTENT_RANGE,
    header::ETAG,
    header::RETRY_AFTER,
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("random-generator-next"),
    HeaderName::from_static("random-generator-view-age-ms"),
];

/// Lets pages of some origins read what is answered.
#[derive(Clone, Debug)]
pub struct Readable(CorsLayer);

impl Readable {
    /// By pages of `origins` (`*`: of any). None without origins.
    pub fn by(origins: &[String]) -> Option<Readable> {
        if origins.is_empty() {
            return None;
        }
        let allowed = match origins.iter().any(|origin| origin == "*") {
            true => AllowOrigin::any(),
            // Each was read as an origin, which is a header's value.
            false => AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok())),
        };
        Some(Readable(
            CorsLayer::new()
                .allow_origin(allowed)
                .allow_methods([Method::GET, Method::HEAD])
                .allow_headers([HeaderName::from_static("last-event-id")])
                .expose_headers(EXPOSED)
                .max_age(REMEMBERED),
        ))
    }

    /// Answers preflights, in place of the handlers. To lie within what bounds, counts and names each request.
    pub(crate) fn preflights(&self) -> Part {
        // tower-http takes every OPTIONS for one. Without this header it is none (Fetch Standard, "CORS-preflight fetch").
        self.part(|request| {
            is_options(request) && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        })
    }

    /// Marks each answer to anything else as readable. To lie around the rest: a refusal is to be read as well.
    pub(crate) fn answers(&self) -> Part {
        self.part(|request| !is_options(request))
    }

    fn part(&self, takes: fn(&Request) -> bool) -> Part {
        let cors = self.0.clone();
        Part { cors, takes }
    }
}

fn is_options(request: &Request) -> bool {
    request.method() == Method::OPTIONS
}

/// The protocol for those requests that `takes` says; the others pass.
#[derive(Clone)]
pub(crate) struct Part {
    cors: CorsLayer,
    takes: fn(&Request) -> bool,
}

impl Layer<Route> for Part {
    type Service = PartService;

    fn layer(&self, inner: Route) -> PartService {
        PartService {
            cors: self.cors.layer(inner),
            takes: self.takes,
        }
    }
}

#[derive(Clone)]
pub(crate) struct PartService {
    cors: Cors<Route>,
    takes: fn(&Request) -> bool,
}

impl Service<Request> for PartService {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<ResponseFuture<RouteFuture<Infallible>>, RouteFuture<Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request>::poll_ready(&mut self.cors, cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match (self.takes)(&request) {
            true => Either::Left(self.cors.call(request)),
            false => Either::Right(self.cors.get_mut().call(request)),
        }
    }
}
