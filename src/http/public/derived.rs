//! `/draws/{round}/integers`: integers that a draw decides, which anyone can derive from its record (`docs/protocol.md`, 1.4).
//! They are the same for everyone, so nothing is journalled.

use axum::http::header;

use super::draws::Draws;
use super::numbers::reversed;
use super::numbers::values::lines;
use super::request::{Answer, PublicRequest};
use crate::record::integers::{Integers, MAX_COUNT, Question, QuestionError};
use crate::server::conditional::{Freshness, Tag, cacheable};
use crate::server::format::{Format, JsonText, respond};
use crate::server::problem::Problem;
use crate::server::query::Query;

/// What an answer, which is made whole, takes for each integer: the table that keeps them different, itself, and its text, in a
/// buffer that doubles.
const BYTES_EACH: usize = 128;

/// `GET /draws/{round}/integers?min=1&max=100&count=1&unique=false` → `{"round", "hash", "min", "max", "count", "unique",
/// "values": […]}`, `hash` being the record's; text: one a line. 404 and 410 as for `/draws/{round}`; 409 for a round
/// without output, which decides nothing.
#[utoipa::path(
    get, path = "/draws/{round}/integers", operation_id = "derived_integers", tag = "draws",
    summary = "Integers decided by a draw",
    params(
        ("round" = i64, Path, description = "The round", minimum = 1, maximum = 9_007_199_254_740_991_i64, example = 2),
        ("min" = Option<i64>, Query, description = "Minimum", example = 1, extensions(("x-default" = json!(1)))),
        ("max" = Option<i64>, Query, description = "Maximum, at least min", example = 200, extensions(("x-default" = json!(100)))),
        ("count" = Option<i64>, Query, description = "Number of values", minimum = 1, maximum = 10_000, example = 3, extensions(("x-default" = json!(1)))),
        ("unique" = Option<bool>, Query, description = "No value twice; then count is at most max − min + 1", extensions(("x-default" = json!(false)))),
        ("format" = Option<JsonText>, Query, description = "Format, instead of the Accept header"),
    ),
    responses(
        (status = 200, description = "The same answer for everyone", content((Integers = "application/json"), (String = "text/plain"))),
        (status = 304, description = "Not modified"),
        (status = 404, response = Problem),
        (status = 409, response = Problem),
        (status = 410, response = Problem),
    ),
)]
pub(in crate::http) async fn integers(request: PublicRequest<Draws>) -> Answer {
    let (query, format) = request.read::<JsonText>(&["min", "max", "count", "unique", "format"])?;
    let (question, count) = question(&query)?;
    let record = request.record().await?;
    if record.output.is_none() {
        return Err(Problem::conflict(format!(
            "round {} has no output, since no member revealed a secret: use a later round",
            record.round
        )));
    }
    let tag = Tag::new(&[&record.hash, &question, &format.name()]);
    let known = tag.among(request.headers());
    let most = if known { 0 } else { count as usize * BYTES_EACH };
    let hold = request.state.memory.take(most).await?;
    let make = || {
        let answer = question.of(&record);
        let body = match format {
            Format::Text => answer.map_or(Vec::new(), |answer| lines(&answer.values)),
            _ => serde_json::to_vec(&answer).unwrap_or_default(),
        };
        respond(format, hold.attach(body))
    };
    let vary = Some(header::ACCEPT);
    Ok(cacheable(request.headers(), &tag, Freshness::Final, vary, make))
}

/// With how many integers it asks for.
fn question(query: &Query<'_>) -> Result<(Question, u64), Problem> {
    let min = query.integer("min", i64::MIN..=i64::MAX, 1)?;
    let max = query.integer("max", i64::MIN..=i64::MAX, 100)?;
    let count = query.integer("count", 1..=MAX_COUNT as i64, 1)?.cast_unsigned();
    let unique = query.flag("unique", false)?;
    let question = Question::new(min, max, count, unique).map_err(|error| {
        let allowed = match error {
            QuestionError::Reversed { min, max } => {
                let allowed = "min at most max (without them, min is 1 and max is 100)";
                return reversed(query, min, max, allowed);
            }
            QuestionError::Count(_) => format!("1 to {MAX_COUNT}"),
            QuestionError::TooFew { size, .. } => format!("at most {size} from this range without repetition"),
        };
        Problem::parameter("count", query.text("count"), error.to_string(), allowed)
    })?;
    Ok((question, count))
}
