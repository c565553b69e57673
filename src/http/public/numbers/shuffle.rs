//! `/shuffle`: a random order.

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

/// Items that are shuffled by name: what fits in a path with room to spare.
pub const ITEMS_MAX: usize = 1_000;

/// `GET /shuffle?min=1&max=10` → `{"values": […]}`, the integers from min to max, each once, in an order of which each is as
/// likely; `GET /shuffle?items=a,b,c` the items (a comma within one is not possible); text: one a line.
#[utoipa::path(
    get,
    path = "/shuffle",
    summary = "A random order",
    tag = "numbers",
    params(
        ("min" = Option<i64>, Query, description = "The least of the integers to shuffle", example = 1, extensions(("x-default" = json!(1)))),
        ("max" = Option<i64>, Query, description = "The greatest, at most 10,000 of them", example = 5, extensions(("x-default" = json!(10)))),
        ("items" = Option<String>, Query, description = "What to shuffle in place of integers: 1 to 1,000 items with a comma between them", min_length = 1),
        ("format" = Option<openapi::JsonText>, Query, description = "In place of the header Accept"),
    ),
    responses(
        (status = 200, description = "Each once, in an order of which each is as likely", content((openapi::Values<openapi::Item> = "application/json", example = json!({"values": [3, 1, 5, 4, 2]})), (String = "text/plain"))),
    ),
)]
pub(in crate::http) async fn shuffle<N: NumberSource, J: JournalSink>(
    State(state): State<Arc<Numbers<N, J>>>,
    Extension(exchange): Extension<Exchange>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::parse(request.uri().query(), &["min", "max", "items", "format"])?;
    let format = negotiate(request.headers(), query.text("format"), &[Format::Json, Format::Text])?;
    if let Some(given) = query.text("items") {
        let items = items(&query, given)?;
        let make = |rng: &mut dyn rand::Rng| {
            let order = distributions::permutation(rng, items.len());
            Ok(order.into_iter().map(|place| items[place].clone()).collect())
        };
        return state
            .give(&exchange, request.method(), request.uri(), format, make)
            .await;
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
    let make = |rng: &mut dyn rand::Rng| {
        let order = distributions::permutation(rng, count as usize);
        Ok(order.into_iter().map(|place| min + place as i64).collect())
    };
    state
        .give(&exchange, request.method(), request.uri(), format, make)
        .await
}

fn items(query: &Query<'_>, given: &str) -> Result<Vec<String>, Problem> {
    let allowed = "1 to 1,000 items with a comma between them, none empty or with a control character";
    let refused = |detail| Err(Problem::parameter("items", Some(given), detail, allowed));
    if query.text("min").or(query.text("max")).is_some() {
        return refused("it contradicts min and max");
    }
    let items: Vec<String> = given.split(',').map(str::to_owned).collect();
    match items.len() {
        n if n > ITEMS_MAX => refused("there are too many"),
        _ if items.iter().any(String::is_empty) => refused("one is empty"),
        _ if given.chars().any(char::is_control) => refused("one has a control character"),
        _ => Ok(items),
    }
}
