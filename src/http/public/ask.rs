//! A request as the handlers of numbers and ids take it.

use axum::extract::{FromRequest, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Uri};

use crate::server::exchange::Exchange;
use crate::server::format::{Format, Formats, negotiate};
use crate::server::problem::Problem;
use crate::server::query::Query;

#[derive(Debug)]
pub struct Ask {
    pub exchange: Exchange,
    request: Parts,
}

impl<S: Sync> FromRequest<S> for Ask {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Ask, Problem> {
        let (request, _) = request.into_parts();
        // The layer around every handler put it there.
        let exchange = request.extensions.get().copied().ok_or_else(Problem::internal)?;
        Ok(Ask { exchange, request })
    }
}

impl Ask {
    /// Reads the parameters, of which only those in `known` are allowed, and chooses the format.
    pub fn read<F: Formats>(&self, known: &[&'static str]) -> Result<(Query<'_>, Format), Problem> {
        let query = Query::parse(self.uri().query(), known)?;
        let format = negotiate::<F>(self.headers(), query.text("format"))?;
        Ok((query, format))
    }

    /// HEAD gives nothing out, so nothing is generated for it.
    pub fn is_head(&self) -> bool {
        self.request.method == Method::HEAD
    }

    pub fn uri(&self) -> &Uri {
        &self.request.uri
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.request.headers
    }
}
