//! The paths of one listener, and the handlers of each.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodRouter, any};

use super::cors::AllowedOrigins;
use super::exchange::{Exchanged, RequestLimits, RouteContext, Shared};
use super::metrics::HttpMetrics;
use super::problem::Problem;
use crate::clock::Clock;
use crate::trace::Spans;

/// The handlers of one path, by method.
pub struct Handlers<S>(Box<AddTo<S>>);

type AddTo<S> = dyn FnOnce(&Arc<RouteContext>, MethodRouter<S>) -> MethodRouter<S>;

/// Handles GET and HEAD.
pub fn get<H, T, S>(handler: H) -> Handlers<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    Handlers(Box::new(|context, router| router.get(Exchanged::new(context, handler))))
}

pub fn post<H, T, S>(handler: H) -> Handlers<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    Handlers(Box::new(|context, router| {
        router.post(Exchanged::new(context, handler))
    }))
}

impl<S: Clone + Send + Sync + 'static> Handlers<S> {
    pub fn put<H: Handler<T, S>, T: 'static>(self, handler: H) -> Handlers<S> {
        Handlers(Box::new(|context, router| {
            (self.0)(context, router).put(Exchanged::new(context, handler))
        }))
    }
}

impl<S> fmt::Debug for Handlers<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handlers")
    }
}

/// Collects the routes of one listener.
#[derive(Debug)]
pub struct Routes<S = ()> {
    shared: Arc<Shared>,
    router: Router<S>,
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
        let context = context(&self.shared, "other");
        let other = any(Exchanged::new(&context, || async {
            Problem::not_found("no such path")
        }));
        // Not as a fallback: axum answers that with an empty `Allow`.
        self.router.fallback_service(other)
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// Adds a path. A 405 says that `methods` are allowed.
    pub fn route(mut self, path: &'static str, methods: &'static str, handlers: Handlers<S>) -> Routes<S> {
        let context = context(&self.shared, path);
        let other = move || async move { Problem::method_not_allowed(methods) };
        let handlers = (handlers.0)(&context, MethodRouter::new()).fallback(Exchanged::new(&context, other));
        self.router = self.router.route(path, handlers);
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
