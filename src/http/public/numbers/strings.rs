//! `/strings`: passwords, codes and the like.

use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;

use super::{NumberSource, Numbers, VALUES};
use crate::generator::distributions;
use crate::http::openapi;
use crate::http::public::giving::JournalSink;
use crate::server::exchange::Exchange;
use crate::server::format::{Format, negotiate};
use crate::server::problem::Problem;
use crate::server::query::Query;

/// Characters in one string.
pub const LENGTHS: RangeInclusive<i64> = 1..=1_024;
/// Characters in one response.
pub const CHARACTERS_MAX: i64 = 1 << 20;
/// Different characters to choose from.
const CHOICE_MAX: usize = 256;

/// What `?alphabet=` may name.
pub const ALPHABETS: [(&str, &str); 7] = [
    (
        "alphanumeric",
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    ),
    ("letters", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
    ("lowercase", "abcdefghijklmnopqrstuvwxyz"),
    ("uppercase", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    ("digits", "0123456789"),
    ("hex", "0123456789abcdef"),
    // RFC 4648, 5: for URLs and file names.
    (
        "base64url",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
    ),
];

/// `GET /strings?length=16&alphabet=alphanumeric&count=1` → `{"values": ["…"]}`; text: one a line. `characters=abc` in place of
/// `alphabet` gives the characters themselves.
#[utoipa::path(
    get,
    path = "/strings",
    summary = "Strings of characters",
    tag = "numbers",
    params(
        ("length" = Option<i64>, Query, description = "Characters in each. length × count is at most 1,048,576", minimum = 1, maximum = 1_024, example = 20, extensions(("x-default" = json!(16)))),
        ("alphabet" = Option<openapi::Alphabet>, Query, description = "What each character is one of"),
        ("characters" = Option<String>, Query, description = "The characters themselves, in place of alphabet: 1 to 256 different ones, no control character", min_length = 1, max_length = 256),
        ("count" = Option<i64>, Query, description = "How many", minimum = 1, maximum = 10_000, example = 3, extensions(("x-default" = json!(1)))),
        ("format" = Option<openapi::JsonText>, Query, description = "In place of the header Accept"),
    ),
    responses(
        (status = 200, description = "The values", content((openapi::Values<String> = "application/json", example = json!({"values": ["x7Tq2LrVd0aZkW9mBcE4", "Hn3oUe8sYp1GfQ6vJt5R", "bM4wKz0iDx7CgA2lSrN9"]})), (String = "text/plain"))),
    ),
)]
pub(in crate::http) async fn strings<N: NumberSource, J: JournalSink>(
    State(state): State<Arc<Numbers<N, J>>>,
    Extension(exchange): Extension<Exchange>,
    request: Request,
) -> Result<Response, Problem> {
    let known = ["length", "alphabet", "characters", "count", "format"];
    let query = Query::parse(request.uri().query(), &known)?;
    let length = query.integer("length", LENGTHS, 16)?;
    let count = query.integer("count", VALUES, 1)?;
    let characters = choice(&query)?;
    if length * count > CHARACTERS_MAX {
        let detail = format!("{count} strings of {length} are more than {CHARACTERS_MAX} characters");
        let allowed = format!("at most {} of this length", CHARACTERS_MAX / length);
        return Err(Problem::parameter("count", query.text("count"), detail, allowed));
    }
    let format = negotiate(request.headers(), query.text("format"), &[Format::Json, Format::Text])?;
    let make = |rng: &mut dyn rand::Rng| distributions::strings(rng, &characters, length as usize, count as usize);
    state
        .give(&exchange, request.method(), request.uri(), format, make)
        .await
}

/// What each character is one of.
fn choice(query: &Query<'_>) -> Result<Vec<char>, Problem> {
    let names = || ALPHABETS.map(|(name, _)| name).join(", ");
    let Some(given) = query.text("characters") else {
        let given = query.text("alphabet").unwrap_or("alphanumeric");
        let Some((_, characters)) = ALPHABETS.iter().find(|(name, _)| *name == given) else {
            return Err(Problem::parameter(
                "alphabet",
                Some(given),
                "there is no such alphabet",
                names(),
            ));
        };
        return Ok(characters.chars().collect());
    };
    let allowed = "1 to 256 different characters, none of them a control character";
    let refused = |detail| Err(Problem::parameter("characters", Some(given), detail, allowed));
    if query.text("alphabet").is_some() {
        return refused("it contradicts alphabet");
    }
    let characters: Vec<char> = given.chars().collect();
    let mut different = characters.clone();
    different.sort_unstable();
    different.dedup();
    match characters.len() {
        0 => refused("there is none"),
        n if n > CHOICE_MAX => refused("there are too many"),
        // One that is there twice would come twice as often: likelier a slip than wanted.
        n if n != different.len() => refused("one is there more than once"),
        _ if characters.iter().any(|character| character.is_control()) => refused("one is a control character"),
        _ => Ok(characters),
    }
}
