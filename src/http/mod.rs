//! What a member answers over HTTP to others than its peers:
//!
//! - [`public`]: what people ask for. [`docs`] serves its description, which [`openapi`] makes; [`dashboard`] serves the page.
//! - [`admin`]: what an operator asks for on the member's own host.
//! - [`scrape`]: what Prometheus asks for.

pub mod admin;
mod dashboard;
mod docs;
pub mod openapi;
pub mod public;
pub mod scrape;
