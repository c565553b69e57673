//! `/bytes`: as many as one wants.

use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};

use super::{NumberSource, Numbers, NumbersUnavailable, nothing};
use crate::generator::random::BYTES_PER_SEED;
use crate::http::openapi;
use crate::http::public::giving::{JournalSink, record};
use crate::server::exchange::Exchange;
use crate::server::format::{Format, fresh, negotiate};
use crate::server::problem::Problem;
use crate::server::query::Query;

/// Bytes in one response, raw: a TiB, made while they are sent.
pub const BYTES: RangeInclusive<i64> = 1..=1 << 40;
/// Bytes in one response of JSON or text, which is made whole.
pub const BYTES_IN_HEX: RangeInclusive<i64> = 1..=1 << 20;

/// `GET /bytes?count=32` → the bytes; text: lower-case hexadecimal on one line; JSON: `{"values": ["that hexadecimal"]}`.
#[utoipa::path(
    get,
    path = "/bytes",
    summary = "Bytes",
    tag = "numbers",
    params(
        ("count" = Option<i64>, Query, description = "How many. As JSON or text at most 1,048,576", minimum = 1, maximum = 1_099_511_627_776_i64, example = 16, extensions(("x-default" = json!(32)))),
        ("format" = Option<openapi::BytesJsonText>, Query, description = "In place of the header Accept", example = "json"),
    ),
    responses(
        (status = 200, description = "The bytes; as JSON and text in hexadecimal", content((openapi::Raw = "application/octet-stream"), (openapi::Values<String> = "application/json", example = json!({"values": ["9f0c1d5be37a40c2d8116f24a95e07bb"]})), (String = "text/plain"))),
    ),
)]
pub(in crate::http) async fn bytes<N: NumberSource, J: JournalSink>(
    State(state): State<Arc<Numbers<N, J>>>,
    Extension(exchange): Extension<Exchange>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::parse(request.uri().query(), &["count", "format"])?;
    let available = [Format::Bytes, Format::Json, Format::Text];
    let format = negotiate(request.headers(), query.text("format"), &available)?;
    let allowed = match format {
        Format::Bytes => BYTES,
        _ => BYTES_IN_HEX,
    };
    let count = query.integer("count", allowed, 32)?.cast_unsigned();
    if request.method() == Method::HEAD {
        return Ok(in_one_piece(nothing(format)));
    }
    if format == Format::Bytes {
        // The first part is made before the journal has them all: without entropy nothing is said to be given out.
        let stream = RandomBytes::new(state.source.clone(), count)?;
        record(&state.journal, &state.clock, &exchange, request.uri(), count, None).await?;
        return Ok(in_one_piece(fresh(format, Body::new(stream))));
    }
    let values = chunk(&*state.source, count as usize)?;
    record(&state.journal, &state.clock, &exchange, request.uri(), count, None).await?;
    let hexadecimal = hex::encode(&values);
    Ok(in_one_piece(match format {
        Format::Text => fresh(format, hexadecimal + "\n"),
        _ => fresh(format, format!("{{\"values\":[\"{hexadecimal}\"]}}")),
    }))
}

/// A download that broke off can't go on: the bytes after those that came are made no second time (RFC 9110, 14.3).
fn in_one_piece(mut response: Response) -> Response {
    let none = HeaderValue::from_static("none");
    response.headers_mut().insert(header::ACCEPT_RANGES, none);
    response
}

fn chunk(source: &impl NumberSource, count: usize) -> Result<Bytes, NumbersUnavailable> {
    let mut bytes = vec![0; count];
    source.draw(|rng| rng.fill_bytes(&mut bytes))?;
    Ok(bytes.into())
}

/// A body whose length is known, and of which one part is held at a time. If the operating system has no seed meanwhile, it
/// ends with an error before that length, and the client sees its connection closed.
struct RandomBytes<N> {
    source: Arc<N>,
    next: Option<Bytes>,
    /// After `next`.
    left: u64,
}

impl<N: NumberSource> RandomBytes<N> {
    fn new(source: Arc<N>, count: u64) -> Result<RandomBytes<N>, NumbersUnavailable> {
        let mut body = RandomBytes {
            source,
            next: None,
            left: count,
        };
        body.next = body.part()?;
        Ok(body)
    }

    fn part(&mut self) -> Result<Option<Bytes>, NumbersUnavailable> {
        let size = self.left.min(BYTES_PER_SEED as u64);
        if size == 0 {
            return Ok(None);
        }
        let part = chunk(&*self.source, size as usize)?;
        self.left -= size;
        Ok(Some(part))
    }
}

impl<N: NumberSource> hyper::body::Body for RandomBytes<N> {
    type Data = Bytes;
    type Error = NumbersUnavailable;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NumbersUnavailable>>> {
        let part = match self.next.take() {
            Some(part) => Ok(Some(part)),
            None => self.part(),
        };
        Poll::Ready(part.map(|part| part.map(Frame::data)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none() && self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left + self.next.as_ref().map_or(0, |part| part.len() as u64))
    }
}
