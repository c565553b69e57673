//! The four listeners. In reading order:
//!
//! - [`listener`]: accepts and serves connections within [`limits::Limits`], and drains them.
//! - [`connection`]: what one connection is doing, and when it has been doing it for too long.
//! - [`exchange`]: around every handler: request id, time and size limits, panics, metrics.
//! - [`problem`], [`query`], [`mod@format`], [`conditional`]: errors, parameters, representations, and what a client has of
//!   them already, the same everywhere.
//! - [`public`]: what people ask for, described by [`openapi`], and read by web pages where [`cors`] allows it. [`peer`] and [`peer_client`]: what members ask each other,
//!   authenticated by [`peer_secret`]. [`admin`]: what an operator asks for on the member's own host. [`scrape`]: what Prometheus asks
//!   for, of what [`metrics`] and others count.

pub mod admin;
pub mod conditional;
pub mod connection;
pub mod cors;
mod docs;
pub mod exchange;
pub mod format;
pub mod limits;
pub mod listener;
pub mod metrics;
pub mod openapi;
pub mod peer;
pub mod peer_client;
pub mod peer_secret;
pub mod problem;
pub mod public;
pub mod query;
pub mod scrape;
