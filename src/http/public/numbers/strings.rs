//! `/strings`: codes, identifiers and the like.

use std::ops::RangeInclusive;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::values::Writer;
use super::{NumberRequest, NumberSource, VALUES};
use crate::generator::distributions;
use crate::http::public::entry::JournalSink;
use crate::http::public::request::Answer;
use crate::server::format::{JsonText, Values, one_of};
use crate::server::problem::Problem;
use crate::server::query::Query;

/// Characters in one string.
pub const LENGTHS: RangeInclusive<i64> = 1..=1_024;
/// Characters in one response.
pub const CHARACTERS_MAX: i64 = 1 << 20;
/// Different characters to choose from.
const CHOICE_MAX: usize = 256;

/// The values of `?alphabet=`.
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

/// The names of [`ALPHABETS`], for the description.
pub(in crate::http) struct Alphabet;

impl PartialSchema for Alphabet {
    fn schema() -> RefOr<Schema> {
        one_of(ALPHABETS.iter().map(|(name, _)| *name))
    }
}

impl ToSchema for Alphabet {}

/// `GET /strings?length=16&alphabet=alphanumeric&count=1` → `{"values": ["…"]}`; text: one a line. `characters=abc`,
/// instead of `alphabet`, gives the characters themselves.
#[utoipa::path(
    get, path = "/strings", tag = "numbers", summary = "Random strings",
    params(
        ("length" = Option<i64>, Query, description = "Length of each. length × count is at most 1,048,576", minimum = 1, maximum = 1_024, example = 20, extensions(("x-default" = json!(16)))),
        ("alphabet" = Option<Alphabet>, Query, description = "Named set of characters"),
        ("characters" = Option<String>, Query, description = "Characters to choose from, instead of an alphabet: 1 to 256 different ones, no control character", min_length = 1, max_length = 256),
        ("count" = Option<i64>, Query, description = "Number of values", minimum = 1, maximum = 10_000, example = 3, extensions(("x-default" = json!(1)))),
        ("format" = Option<JsonText>, Query, description = "Format, instead of the Accept header"),
    ),
    responses(
        (status = 200, description = "The values", content((Values<String> = "application/json", example = json!({"values": ["x7Tq2LrVd0aZkW9mBcE4", "Hn3oUe8sYp1GfQ6vJt5R", "bM4wKz0iDx7CgA2lSrN9"]})), (String = "text/plain"))),
    ),
)]
pub(in crate::http) async fn strings<N: NumberSource, J: JournalSink>(request: NumberRequest<N, J>) -> Answer {
    let known = ["length", "alphabet", "characters", "count", "format"];
    let (query, format) = request.read::<JsonText>(&known)?;
    let length = query.integer("length", LENGTHS, 16)?;
    let count = query.integer("count", VALUES, 1)?;
    let characters = choice(&query)?;
    if length * count > CHARACTERS_MAX {
        let detail = format!("{count} strings of {length} are more than {CHARACTERS_MAX} characters");
        let allowed = format!("at most {} of this length", CHARACTERS_MAX / length);
        return Err(Problem::parameter("count", query.text("count"), detail, allowed));
    }
    let length = length as usize;
    // No character is longer, with its escape in JSON, than 4 bytes.
    let writer = Writer::new(format, 4 * length + 2, count as usize);
    request
        .give_longer(writer, 0, |_| distributions::strings(characters, length))
        .await
}

/// The characters to choose from.
fn choice(query: &Query<'_>) -> Result<Vec<char>, Problem> {
    let names = || ALPHABETS.map(|(name, _)| name).join(", ");
    let Some(given) = query.text("characters") else {
        let given = query.text("alphabet").unwrap_or("alphanumeric");
        let Some((_, characters)) = ALPHABETS.iter().find(|(name, _)| *name == given) else {
            return Err(Problem::parameter("alphabet", Some(given), "unknown alphabet", names()));
        };
        return Ok(characters.chars().collect());
    };
    let allowed = "1 to 256 different characters, none of them a control character";
    let refused = |detail| Err(Problem::parameter("characters", Some(given), detail, allowed));
    if query.text("alphabet").is_some() {
        return refused("not together with alphabet");
    }
    let characters: Vec<char> = given.chars().collect();
    let mut different = characters.clone();
    different.sort_unstable();
    different.dedup();
    match characters.len() {
        0 => refused("empty"),
        n if n > CHOICE_MAX => refused("too many characters"),
        // It would come up twice as often: more likely a slip than intended.
        n if n != different.len() => refused("a character is repeated"),
        _ if characters.iter().any(|character| character.is_control()) => refused("a character is a control character"),
        _ => Ok(characters),
    }
}
