//! `/memory-eater?mb=n`: uses up memory, for a student to see what Kubernetes does about it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use super::{Shared, empty, parameter};
use crate::java_number;

/// 200 once `mb` MB more are in use, or as many as are allowed; 400 for what is no number of 32 bits, or is negative.
pub(super) async fn answer(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    let mb = parameter(&uri, "mb")
        .ok()
        .flatten()
        .and_then(|text| java_number::int(&text));
    match mb.map(u32::try_from) {
        Some(Ok(mb)) => {
            shared.eater.eat(mb).await;
            empty()
        }
        _ => shared.fault(StatusCode::BAD_REQUEST, &uri),
    }
}
