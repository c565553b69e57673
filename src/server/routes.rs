//! The paths of one listener, and the handlers of each.
//!
//! A handler is axum's; the table of paths is matchit's, which axum's router has inside. That router costs each request a map of
//! extensions and four boxed futures.

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
use super::exchange::{Answering, Exchanged, Guard, RequestLimits, RouteContext, Shared};
use super::metrics::HttpMetrics;
use super::problem::Problem;
use crate::clock::Clock;
use crate::trace::Spans;

/// A handler and its state, of whatever types.
trait Endpoint: Send + Sync {
    fn answer(&self, request: Request) -> Answering;
}

struct WithState<H, T, S> {
    handler: Exchanged<H>,
    state: S,
    arguments: PhantomData<fn() -> T>,
}

impl<H: Handler<T, S> + Sync, T: 'static, S: Clone + Send + Sync + 'static> Endpoint for WithState<H, T, S> {
    fn answer(&self, request: Request) -> Answering {
        self.handler.clone().call(request, self.state.clone())
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
    let handler = Exchanged::new(context, handler);
    Box::new(WithState {
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

/// What answers the requests of one path.
struct Endpoints {
    by_method: Vec<(Method, Box<dyn Endpoint>)>,
    other: Box<dyn Endpoint>,
}

impl Endpoints {
    fn answer(&self, request: Request) -> Answering {
        let method = match request.method() {
            &Method::HEAD => &Method::GET,
            method => method,
        };
        let found = self.by_method.iter().find(|(handled, _)| handled == method);
        found.map_or(&self.other, |(_, endpoint)| endpoint).answer(request)
    }
}

/// The paths of one listener, ready to answer. Clones share them.
#[derive(Clone)]
pub struct Paths(Answers);

#[derive(Clone)]
enum Answers {
    Table(Arc<Table>),
    Router(Router),
}

struct Table {
    known: matchit::Router<Endpoints>,
    unknown: Box<dyn Endpoint>,
}

impl Paths {
    pub(super) fn answer(&self, request: Request) -> Answering {
        match &self.0 {
            Answers::Table(table) => match table.known.at(request.uri().path()) {
                Ok(found) => found.value.answer(request),
                Err(_) => table.unknown.answer(request),
            },
            Answers::Router(router) => {
                let answer = router.clone().call(request);
                Box::pin(answer.map(|answer| answer.unwrap_or_else(|never| match never {})))
            }
        }
    }
}

/// Paths without what an exchange adds, for a program of its own.
impl From<Router> for Paths {
    fn from(router: Router) -> Paths {
        Paths(Answers::Router(router))
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
    known: matchit::Router<Endpoints>,
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
        Paths(Answers::Table(Arc::new(Table {
            known: self.known,
            unknown,
        })))
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
        let endpoints = Endpoints {
            by_method: bound.collect(),
            other,
        };
        if let Err(error) = self.known.insert(path, endpoints) {
            tracing::error!(path, %error, "a bug: two handlers for one path");
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
