//! `/bytes`: up to a TiB of random bytes.

use std::ops::RangeInclusive;

use axum::http::{HeaderValue, header};
use axum::response::Response;

use super::{NumberRequest, NumberSource, nothing};
use crate::generator::random::EntropyError;
use crate::http::public::entry::JournalSink;
use crate::http::public::request::Answer;
use crate::server::format::{BytesJsonText, Format, Raw, Values, respond};
use crate::server::parts::{More, Parts};

/// Raw bytes in one response: a TiB.
pub const BYTES: RangeInclusive<i64> = 1..=1 << 40;
/// Bytes in one response of JSON or text, which clients parse in memory.
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
    let (before, after) = match format {
        Format::Bytes => ("", ""),
        Format::Text => ("", "\n"),
        Format::Json | Format::JsonLines => ("{\"values\":[\"", "\"]}"),
    };
    let each = if format == Format::Bytes { 1 } else { 2 };
    let length = count * each + (before.len() + after.len()) as u64;
    if request.is_head() {
        return Ok(without_ranges(nothing(format, Some(length))));
    }
    let most = usize::try_from(length).unwrap_or(usize::MAX);
    let hold = request.state.memory.take_for_bytes(most).await?;
    let source = request.state.source.clone();
    let mut left = count;
    // The first part is made before the journal entry: without entropy nothing is given out.
    let parts = Parts::begin(hold, most, Some(length), move |part: &mut Vec<u8>| {
        if left == count {
            part.extend_from_slice(before.as_bytes());
        }
        let room = part.capacity() - before.len() - after.len();
        let size = left.min((room as u64) / each) as usize;
        let from = part.len();
        part.resize(from + size * each as usize, 0);
        fill(&*source, format, size, &mut part[from..])?;
        left -= size as u64;
        if left > 0 {
            return Ok::<_, EntropyError>(More::Yes);
        }
        part.extend_from_slice(after.as_bytes());
        Ok(More::No)
    })
    .await?;
    request.record(count, None).await?;
    Ok(without_ranges(respond(format, parts.into_body())))
}

/// Fills `part` with `count` random bytes, in hexadecimal unless the format is that of bytes.
fn fill(source: &impl NumberSource, format: Format, count: usize, part: &mut [u8]) -> Result<(), EntropyError> {
    if format == Format::Bytes {
        return source.draw(|rng| rng.fill_bytes(part));
    }
    let mut bytes = vec![0; count];
    source.draw(|rng| rng.fill_bytes(&mut bytes))?;
    // The part is twice as long, so this does not fail.
    let _ = hex::encode_to_slice(&bytes, part);
    Ok(())
}

/// Says that a download that broke off can't be resumed: its bytes can't be generated again (RFC 9110, 14.3).
fn without_ranges(mut response: Response) -> Response {
    let none = HeaderValue::from_static("none");
    response.headers_mut().insert(header::ACCEPT_RANGES, none);
    response
}
