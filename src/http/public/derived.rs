//! `/draws/{round}/integers`: numbers that a draw has decided, which anyone can derive from its record by
//! `docs/protocol.md`, 1.4. Nothing is given out once here, so nothing is journalled.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::Response;

use super::draws::Draws;
use super::numbers::reversed;
use crate::http::openapi;
use crate::record::integers::{MAX_COUNT, Question, QuestionError};
use crate::server::conditional::{Freshness, Tag, kept};
use crate::server::format::{Format, fresh, json, lines, negotiate};
use crate::server::problem::Problem;
use crate::server::query::Query;

/// `GET /draws/{round}/integers?min=1&max=100&count=1&unique=false` → `{"round", "hash", "min", "max", "count", "unique",
/// "values": […]}`, `hash` being the record's; text: one a line. As `/draws/{round}` for a round that isn't there; 409 for
/// one whose output is null, which will never have any.
#[utoipa::path(
    get,
    path = "/draws/{round}/integers",
    operation_id = "derived_integers",
    summary = "Integers that a draw decides",
    tag = "draws",
    params(
        ("round" = i64, Path, description = "The round", minimum = 1, maximum = 9_007_199_254_740_991_i64, example = 2),
        ("min" = Option<i64>, Query, description = "The least", example = 1, extensions(("x-default" = json!(1)))),
        ("max" = Option<i64>, Query, description = "The greatest, at least min", example = 200, extensions(("x-default" = json!(100)))),
        ("count" = Option<i64>, Query, description = "How many", minimum = 1, maximum = 10_000, example = 3, extensions(("x-default" = json!(1)))),
        ("unique" = Option<bool>, Query, description = "Whether no value comes twice. Then count is at most max − min + 1", extensions(("x-default" = json!(false)))),
        ("format" = Option<openapi::JsonText>, Query, description = "In place of the header Accept"),
    ),
    responses(
        (status = 200, description = "The same for everybody who asks", content((openapi::Derived = "application/json"), (String = "text/plain"))),
        (status = 206, description = "The part of them that Range asks for"),
        (status = 304, description = "The client has them already"),
        (status = 404, response = openapi::Problem),
        (status = 409, response = openapi::Problem),
        (status = 410, response = openapi::Problem),
        (status = 416, response = openapi::Problem),
    ),
)]
pub(in crate::http) async fn integers(State(state): State<Arc<Draws>>, request: Request) -> Result<Response, Problem> {
    let query = Query::parse(request.uri().query(), &["min", "max", "count", "unique", "format"])?;
    let question = question(&query)?;
    let format = negotiate(request.headers(), query.text("format"), &[Format::Json, Format::Text])?;
    let record = state.record(&request)?;
    if record.output.is_none() {
        return Err(Problem::conflict(format!(
            "round {} has no output, since no member revealed a secret in it: take a later round",
            record.round
        )));
    }
    let tag = Tag::new(&[&record.hash, &question, &format.name()]);
    let make = || {
        let answer = question.of(&record);
        match format {
            Format::Text => fresh(format, answer.map_or(String::new(), |answer| lines(&answer.values))),
            _ => json(&answer),
        }
    };
    let chosen_by = Some(header::ACCEPT);
    kept(
        request.method(),
        request.headers(),
        &tag,
        Freshness::Final,
        chosen_by,
        make,
    )
}

fn question(query: &Query<'_>) -> Result<Question, Problem> {
    let min = query.integer("min", i64::MIN..=i64::MAX, 1)?;
    let max = query.integer("max", i64::MIN..=i64::MAX, 100)?;
    let count = query.integer("count", 1..=MAX_COUNT as i64, 1)?;
    let unique = query.flag("unique", false)?;
    Question::new(min, max, count as u64, unique).map_err(|error| {
        let allowed = match error {
            QuestionError::Reversed { min, max } => {
                let allowed = "min at most max (without them, min is 1 and max is 100)";
                return reversed(query, min, max, allowed);
            }
            QuestionError::Count(_) => format!("1 to {MAX_COUNT}"),
            QuestionError::TooFew { size, .. } => format!("at most {size} from this range without repetition"),
        };
        Problem::parameter("count", query.text("count"), error.to_string(), allowed)
    })
}
