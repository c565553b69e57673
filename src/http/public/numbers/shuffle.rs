//! `/shuffle`: a random order.

use rand::Rng;
use serde::Serialize;
use utoipa::ToSchema;

use super::values::{Bounded, Value, Writer};
use super::{NumberRequest, NumberSource, VALUES};
use crate::generator::distributions;
use crate::http::public::entry::JournalSink;
use crate::http::public::request::Answer;
use crate::server::format::{JsonText, Values};
use crate::server::problem::Problem;
use crate::server::query::Query;

/// Items to shuffle: they fit into a URI.
pub const ITEMS_MAX: usize = 1_000;
/// What a permutation takes for each place.
const PLACE_BYTES: usize = size_of::<usize>();

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Item {
    Number(i64),
    Text(String),
}

impl Value for Item {
    fn text(&self, text: &mut Vec<u8>) {
        match self {
            Item::Number(number) => number.text(text),
            Item::Text(item) => item.text(text),
        }
    }

    fn bytes(&self, bytes: &mut Vec<u8>) {
        match self {
            Item::Number(number) => number.bytes(bytes),
            Item::Text(item) => item.bytes(bytes),
        }
    }
}

/// `GET /shuffle?min=1&max=10` → `{"values": […]}`: the integers from min to max, each once, in a random order; all orders are
/// equally likely. `GET /shuffle?items=a,b,c`: the items (which can't contain commas). Text: one a line.
#[utoipa::path(
    get, path = "/shuffle", tag = "numbers", summary = "A random order",
    params(
        ("min" = Option<i64>, Query, description = "Minimum of the integers to shuffle", example = 1, extensions(("x-default" = json!(1)))),
        ("max" = Option<i64>, Query, description = "Maximum of the integers to shuffle; at most 10,000 integers", example = 5, extensions(("x-default" = json!(10)))),
        ("items" = Option<String>, Query, description = "Items to shuffle instead of integers: 1 to 1,000, comma-separated", min_length = 1),
        ("format" = Option<JsonText>, Query, description = "Format, instead of the Accept header"),
    ),
    responses(
        (status = 200, description = "Each item once, in an order chosen uniformly", content((Values<Item> = "application/json", example = json!({"values": [3, 1, 5, 4, 2]})), (String = "text/plain"))),
    ),
)]
pub(in crate::http) async fn shuffle<N: NumberSource, J: JournalSink>(request: NumberRequest<N, J>) -> Answer {
    let (query, format) = request.read::<JsonText>(&["min", "max", "items", "format"])?;
    if let Some(given) = query.text("items") {
        let items = items(&query, given)?;
        let items: Vec<String> = items.into_iter().map(str::to_owned).collect();
        // A character that JSON escapes takes two bytes.
        let longest = 2 * items.iter().map(String::len).max().unwrap_or(0) + 2;
        let writer = Writer::new(format, longest, items.len());
        let kept = items.len() * PLACE_BYTES;
        let make = |rng: &mut dyn Rng| {
            let mut order = distributions::permutation(rng, items.len()).into_iter();
            let item = move |place: usize| items.get(place).cloned().unwrap_or_default();
            Ok(move |_: &mut dyn Rng| Item::Text(order.next().map(&item).unwrap_or_default()))
        };
        return request.give_longer(writer, kept, make).await;
    }
    let min = query.integer("min", i64::MIN..=i64::MAX, 1)?;
    let max = query.integer("max", i64::MIN..=i64::MAX, 10)?;
    if min > max {
        let allowed = "min at most max (without them, min is 1 and max is 10)";
        return Err(super::reversed(&query, min, max, allowed));
    }
    let count = i128::from(max) - i128::from(min) + 1;
    if count > i128::from(*VALUES.end()) {
        let detail = format!("from {min} to {max} there are {count} integers");
        let allowed = format!("at most {} of them", VALUES.end());
        return Err(super::wrong_range(&query, detail, allowed));
    }
    let count = count as usize;
    let make = |rng: &mut dyn Rng| {
        let mut order = distributions::permutation(rng, count).into_iter();
        Ok(move |_: &mut dyn Rng| Item::Number(order.next().map_or(min, |place| min + place as i64)))
    };
    let writer = Writer::new(format, i64::LONGEST, count);
    request.give_longer(writer, count * PLACE_BYTES, make).await
}

fn items<'a>(query: &Query<'_>, given: &'a str) -> Result<Vec<&'a str>, Problem> {
    let allowed = "1 to 1,000 comma-separated items, none empty or with a control character";
    let refused = |detail| Err(Problem::parameter("items", Some(given), detail, allowed));
    if query.text("min").or(query.text("max")).is_some() {
        return refused("not together with min or max");
    }
    let items: Vec<&str> = given.split(',').collect();
    match items.len() {
        n if n > ITEMS_MAX => refused("too many items"),
        _ if items.iter().any(|item| item.is_empty()) => refused("an item is empty"),
        _ if given.chars().any(char::is_control) => refused("an item has a control character"),
        _ => Ok(items),
    }
}
