//! HTTP as every listener serves it. In reading order:
//!
//! - [`listener`]: accepts and serves connections within [`limits::Limits`], and drains them.
//! - [`connection`]: what one connection is doing, and when it has been doing it for too long.
//! - [`exchange`]: around every handler: request id, time and size limits, panics, metrics.
//! - [`problem`], [`query`], [`mod@format`], [`conditional`], [`cors`]: errors, parameters, representations.

pub mod conditional;
pub mod connection;
pub mod cors;
pub mod exchange;
pub mod format;
pub mod limits;
pub mod listener;
pub mod metrics;
pub mod problem;
pub mod query;
