//! HTTP as every listener serves it. In reading order:
//!
//! - [`listener`]: accepts and serves connections within [`limits::Limits`], and drains them.
//! - [`connection`]: serves one of them; [`activity`]: what it is doing, and when that takes too long; [`observed`]: what records
//!   it; [`cut`]: why a connection ends.
//! - [`routes`]: the paths of a listener; [`exchange`]: around every handler: request id, time and size limits, panics, metrics.
//! - [`budget`]: the memory that answers take, a share of what [`cgroup`] finds; [`parts`]: a long answer, made while its client reads.
//! - [`problem`], [`query`], [`mod@format`], [`conditional`], [`cors`]: errors, parameters, representations.

pub mod activity;
pub mod budget;
pub mod cgroup;
pub mod conditional;
pub mod connection;
pub mod cors;
pub mod cut;
pub mod exchange;
pub mod format;
pub mod limits;
pub mod listener;
pub mod metrics;
pub mod observed;
pub mod parts;
pub mod problem;
pub mod query;
pub mod routes;
