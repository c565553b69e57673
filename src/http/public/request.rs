//! A request as the public listener's handlers take it.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;

use crate::server::format::{Format, Formats, negotiate};
use crate::server::problem::Problem;
use crate::server::query::Query;
use crate::trace;

/// What every handler returns.
pub(in crate::http) type Answer = Result<Response, Problem>;

#[derive(Debug)]
pub struct PublicRequest<S> {
    /// Of the group of paths.
    pub state: Arc<S>,
    pub exchange: trace::Request,
    parts: Parts,
}

impl<S: Send + Sync> FromRequest<Arc<S>> for PublicRequest<S> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<S>) -> Result<PublicRequest<S>, Problem> {
        let (parts, _) = request.into_parts();
        // Every handler runs in the scope of its request.
        let exchange = trace::request().ok_or_else(Problem::internal)?;
        let state = state.clone();
        Ok(PublicRequest { state, exchange, parts })
    }
}

impl<S> PublicRequest<S> {
    /// Reads the parameters and chooses the format. Refuses any parameter that is not in `known`.
    pub fn read<F: Formats>(&self, known: &[&'static str]) -> Result<(Query<'_>, Format), Problem> {
        let query = Query::parse(self.uri().query(), known)?;
        let format = negotiate::<F>(self.headers(), query.text("format"))?;
        Ok((query, format))
    }

    /// HEAD gives nothing out, so nothing is generated for it.
    pub fn is_head(&self) -> bool {
        self.parts.method == Method::HEAD
    }

    pub fn uri(&self) -> &Uri {
        &self.parts.uri
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }
}
