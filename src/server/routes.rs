//! The paths of one listener, and the handlers of each.
//!
//! A handler is axum's; the table of paths is matchit's. axum's router uses it too, but adds a map of extensions and boxed futures
//! to each request. The parameters of a path aren't passed on: handlers read `uri.path()` themselves, and axum's `Path` fails.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::Method;
use futures_util::FutureExt;
use tower::Service;

use super::cors::AllowedOrigins;
use super::exchange::{self, Answering, Guard, RequestLimits, RouteContext, Shared};
use super::metrics::HttpMetrics;
use super::problem::Problem;
use crate::clock::Clock;
use crate::trace::Spans;

/// What answers a request.
trait Endpoint: Send + Sync {
    fn answer(&self, request: Request) -> Answering;
}

/// A handler with its state, and around it all that an exchange is.
struct Exchanged<H, T, S> {
    context: Arc<RouteContext>,
    handler: H,
    state: S,
    arguments: PhantomData<fn() -> T>,
}

impl<H: Handler<T, S> + Sync, T: 'static, S: Clone + Send + Sync + 'static> Endpoint for Exchanged<H, T, S> {
    fn answer(&self, request: Request) -> Answering {
        let handle = |request| self.handler.clone().call(request, self.state.clone());
        exchange::answer(self.context.clone(), request, handle)
    }
}

/// The handlers of one path, by method.
pub struct Handlers<S>(Vec<(Method, Box<Bind<S>>)>);

type Bind<S> = dyn FnOnce(&Arc<RouteContext>, S) -> Box<dyn Endpoint>;

/// Handles GET and HEAD.
pub fn get<H, T, S>(handler: H) -> Handlers<S>
where
    H: Handler<T, S> + Sync,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    Handlers(Vec::new()).and(Method::GET, handler)
}

pub fn post<H, T, S>(handler: H) -> Handlers<S>
where
    H: Handler<T, S> + Sync,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    Handlers(Vec::new()).and(Method::POST, handler)
}

impl<S: Clone + Send + Sync + 'static> Handlers<S> {
    pub fn put<H: Handler<T, S> + Sync, T: 'static>(self, handler: H) -> Handlers<S> {
        self.and(Method::PUT, handler)
    }

    fn and<H: Handler<T, S> + Sync, T: 'static>(mut self, method: Method, handler: H) -> Handlers<S> {
        self.0
            .push((method, Box::new(|context, state| bind(context, handler, state))));
        self
    }
}

fn bind<H, T, S>(context: &Arc<RouteContext>, handler: H, state: S) -> Box<dyn Endpoint>
where
    H: Handler<T, S> + Sync,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    Box::new(Exchanged {
        context: context.clone(),
        handler,
        state,
        arguments: PhantomData,
    })
}

impl<S> fmt::Debug for Handlers<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handlers")
    }
}

/// The endpoints of one path.
struct Methods {
    handled: Vec<(Method, Box<dyn Endpoint>)>,
    other: Box<dyn Endpoint>,
}

impl Endpoint for Methods {
    fn answer(&self, request: Request) -> Answering {
        let method = match request.method() {
            &Method::HEAD => &Method::GET,
            method => method,
        };
        let found = self.handled.iter().find(|(handled, _)| handled == method);
        found.map_or(&self.other, |(_, endpoint)| endpoint).answer(request)
    }
}

/// The paths of one listener, ready to answer. Clones share them.
#[derive(Clone)]
pub struct Paths(Arc<dyn Endpoint>);

impl Paths {
    pub(super) fn answer(&self, request: Request) -> Answering {
        self.0.answer(request)
    }
}

struct Table {
    known: matchit::Router<Methods>,
    unknown: Box<dyn Endpoint>,
}

impl Endpoint for Table {
    fn answer(&self, request: Request) -> Answering {
        match self.known.at(request.uri().path()) {
            Ok(found) => found.value.answer(request),
            Err(_) => self.unknown.answer(request),
        }
    }
}

/// Without what an exchange adds.
impl Endpoint for Router {
    fn answer(&self, request: Request) -> Answering {
        let answer = self.clone().call(request);
        Box::pin(answer.map(|answer| answer.unwrap_or_else(|never| match never {})))
    }
}

/// For a program of its own.
impl From<Router> for Paths {
    fn from(router: Router) -> Paths {
        Paths(Arc::new(router))
    }
}

impl fmt::Debug for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Paths")
    }
}

/// Collects the routes of one listener.
pub struct Routes<S = ()> {
    shared: Arc<Shared>,
    state: S,
    known: matchit::Router<Methods>,
}

impl<S> fmt::Debug for Routes<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
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
                guard: None,
                prefix,
                next: AtomicU64::new(0),
            }),
            state: (),
            known: matchit::Router::new(),
        }
    }

    /// Reports each answered request to `spans`. Call it before the first route.
    pub fn with_spans(mut self, spans: Spans) -> Routes {
        self.configure(|shared| shared.spans = spans);
        self
    }

    /// Lets web pages of these origins read the answers. Call it before the first route.
    pub fn with_allowed_origins(mut self, origins: Option<AllowedOrigins>) -> Routes {
        self.configure(|shared| shared.origins = origins);
        self
    }

    /// Refuses every request in whose headers `guard` finds something wrong. Call it before the first route.
    pub fn with_guard(mut self, guard: Guard) -> Routes {
        self.configure(|shared| shared.guard = Some(guard));
        self
    }

    fn configure(&mut self, set: impl FnOnce(&mut Shared)) {
        match Arc::get_mut(&mut self.shared) {
            Some(shared) => set(shared),
            None => tracing::error!("a bug: a listener is configured after its first route"),
        }
    }

    /// Adds the routes of a group, which share a state.
    pub fn group<G: Clone + Send + Sync + 'static>(self, state: G, add: impl FnOnce(Routes<G>) -> Routes<G>) -> Routes {
        let group = add(Routes {
            shared: self.shared,
            state,
            known: self.known,
        });
        Routes {
            shared: group.shared,
            state: (),
            known: group.known,
        }
    }

    /// Returns the paths, with a 404 for all others.
    pub fn finish(self) -> Paths {
        let context = context(&self.shared, "other");
        let unknown = bind(&context, || async { Problem::not_found("no such path") }, ());
        Paths(Arc::new(Table {
            known: self.known,
            unknown,
        }))
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// Adds a path. A 405 says that `methods` are allowed.
    pub fn route(mut self, path: &'static str, methods: &'static str, handlers: Handlers<S>) -> Routes<S> {
        let context = context(&self.shared, path);
        let other = bind(
            &context,
            move || async move { Problem::method_not_allowed(methods) },
            (),
        );
        let bound = handlers.0.into_iter();
        let bound = bound.map(|(method, bind)| (method, bind(&context, self.state.clone())));
        let methods = Methods {
            handled: bound.collect(),
            other,
        };
        if let Err(error) = self.known.insert(path, methods) {
            tracing::error!(path, %error, "a bug: this path can't be added");
        }
        self
    }
}

/// Looks up the metrics of a route once.
fn context(shared: &Arc<Shared>, route: &'static str) -> Arc<RouteContext> {
    Arc::new(RouteContext {
        metrics: shared.metrics.route(shared.listener, route),
        shared: shared.clone(),
    })
}
