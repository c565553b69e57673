//! `/`: one number, and who gave it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;

use super::{NumberSource, Numbers, nothing};
use crate::http::openapi;
use crate::http::public::giving::{JournalSink, record};
use crate::server::exchange::Exchange;
use crate::server::format::{Format, fresh, negotiate};
use crate::server::problem::Problem;
use crate::server::query::Query;

/// `GET /` → `{"random": i32, "id": uuid of this process, "version": text}`; text: the number; bytes: 4, big-endian.
#[utoipa::path(
    get,
    path = "/",
    summary = "A number, and who gave it",
    tag = "numbers",
    params(
        ("format" = Option<openapi::JsonTextBytes>, Query, description = "In place of the header Accept"),
    ),
    responses(
        (status = 200, description = "A number", content((openapi::Root = "application/json", example = json!({"random": -1170105035, "id": "0b6f2a3e-3c53-4c5a-9d0c-6f6f5a5c2d11", "version": "0.1.0"})), (String = "text/plain"), (openapi::Raw = "application/octet-stream"))),
    ),
)]
pub(in crate::http) async fn random<N: NumberSource, J: JournalSink>(
    State(state): State<Arc<Numbers<N, J>>>,
    Extension(exchange): Extension<Exchange>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::parse(request.uri().query(), &["format"])?;
    let available = [Format::Json, Format::Text, Format::Bytes];
    let format = negotiate(request.headers(), query.text("format"), &available)?;
    if request.method() == Method::HEAD {
        return Ok(nothing(format));
    }
    // Two's complement gives every i32 once.
    let value = state.source.draw(|rng| rng.next_u32().cast_signed())?;
    record(&state.journal, &state.clock, &exchange, request.uri(), 1, Some(value)).await?;
    Ok(match format {
        Format::Text => fresh(format, format!("{value}\n")),
        Format::Bytes => fresh(format, value.to_be_bytes().to_vec()),
        Format::Json | Format::JsonLines => fresh(format, format!("{{\"random\":{value}{}", state.suffix)),
    })
}
