//! Which web pages may read the public listener: none, unless configured (Fetch Standard, "CORS protocol").

use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser need not ask again what is allowed.
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// What a page may read beside the body.
const EXPOSED: [HeaderName; 6] = [
    header::CONTENT_RANGE,
    header::ETAG,
    header::RETRY_AFTER,
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("random-generator-next"),
    HeaderName::from_static("random-generator-view-age-ms"),
];

/// `router`, readable by pages of `origins` (`*`: of any). Without origins it is left as it is.
pub fn readable_by(router: Router, origins: &[String]) -> Router {
    if origins.is_empty() {
        return router;
    }
    let allowed = match origins.iter().any(|origin| origin == "*") {
        true => AllowOrigin::any(),
        // Each was read as an origin, which is a header's value.
        false => AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok())),
    };
    router.layer(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::HEAD])
            .allow_headers([HeaderName::from_static("last-event-id")])
            .expose_headers(EXPOSED)
            .max_age(REMEMBERED),
    )
}
