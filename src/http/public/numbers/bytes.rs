//! `/bytes`: up to a TiB of random bytes.

use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};

use super::{NumberRequest, NumberSource, nothing};
use crate::generator::random::{BYTES_PER_SEED, EntropyError};
use crate::http::public::entry::JournalSink;
use crate::http::public::request::Answer;
use crate::server::format::{BytesJsonText, Format, Raw, Values, respond, respond_json};

/// Raw bytes in one response: a TiB, generated while they are sent.
pub const BYTES: RangeInclusive<i64> = 1..=1 << 40;
/// Bytes in one response of JSON or text, which is built in memory.
pub const BYTES_IN_HEX: RangeInclusive<i64> = 1..=1 << 20;

/// `GET /bytes?count=32` → the bytes; text: lower-case hexadecimal on one line; JSON: `{"values": ["that hexadecimal"]}`.
#[utoipa::path(
    get, path = "/bytes", tag = "numbers", summary = "Random bytes",
    params(
        ("count" = Option<i64>, Query, description = "Number of bytes; at most 1,048,576 as JSON or text", minimum = 1, maximum = 1_099_511_627_776_i64, example = 16, extensions(("x-default" = json!(32)))),
        ("format" = Option<BytesJsonText>, Query, description = "Format, instead of the Accept header", example = "json"),
    ),
    responses(
        (status = 200, description = "The bytes; in hexadecimal as JSON or text", content((Raw = "application/octet-stream"), (Values<String> = "application/json", example = json!({"values": ["9f0c1d5be37a40c2d8116f24a95e07bb"]})), (String = "text/plain"))),
    ),
)]
pub(in crate::http) async fn bytes<N: NumberSource, J: JournalSink>(request: NumberRequest<N, J>) -> Answer {
    let (query, format) = request.read::<BytesJsonText>(&["count", "format"])?;
    let allowed = match format {
        Format::Bytes => BYTES,
        _ => BYTES_IN_HEX,
    };
    let count = query.integer("count", allowed, 32)?.cast_unsigned();
    if request.is_head() {
        return Ok(without_ranges(nothing(format)));
    }
    if format == Format::Bytes {
        // The first part is generated before the journal entry: without entropy nothing is given out.
        let stream = RandomBytes::new(request.state.source.clone(), count)?;
        request.record(count, None).await?;
        return Ok(without_ranges(respond(format, Body::new(stream))));
    }
    let hexadecimal = hex::encode(chunk(&*request.state.source, count as usize)?);
    request.record(count, None).await?;
    Ok(without_ranges(match format {
        Format::Text => respond(format, hexadecimal + "\n"),
        _ => respond_json(&Values {
            values: vec![hexadecimal],
        }),
    }))
}

/// Says that a download that broke off can't be resumed: its bytes can't be generated again (RFC 9110, 14.3).
fn without_ranges(mut response: Response) -> Response {
    let none = HeaderValue::from_static("none");
    response.headers_mut().insert(header::ACCEPT_RANGES, none);
    response
}

fn chunk(source: &impl NumberSource, count: usize) -> Result<Bytes, EntropyError> {
    let mut bytes = vec![0; count];
    source.draw(|rng| rng.fill_bytes(&mut bytes))?;
    Ok(bytes.into())
}

/// A body of known length that holds one part at a time. If the operating system gives no seed on the way, it ends early with
/// an error, and the client sees its connection closed.
struct RandomBytes<N> {
    source: Arc<N>,
    next: Option<Bytes>,
    /// Bytes after `next`.
    left: u64,
}

impl<N: NumberSource> RandomBytes<N> {
    fn new(source: Arc<N>, count: u64) -> Result<RandomBytes<N>, EntropyError> {
        let mut body = RandomBytes {
            source,
            next: None,
            left: count,
        };
        body.next = body.part()?;
        Ok(body)
    }

    fn part(&mut self) -> Result<Option<Bytes>, EntropyError> {
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
    type Error = EntropyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, EntropyError>>> {
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
