//! The draw, the scheduled job of the set: when ([`schedule`]), what ([`record`], [`chain`], [`secrets`]), the holder's side
//! ([`conductor`]), the peer's side ([`contributor`]), the volume's ([`ledger`]), and what readers derive from it
//! ([`integers`]). The rules are those of `docs/protocol.md`, parts 1 and 3, by their numbers.

pub mod catch_up;
pub mod chain;
pub mod conductor;
pub mod contributor;
pub mod integers;
pub mod ledger;
pub mod message;
mod metrics;
pub mod record;
pub mod schedule;
pub mod secrets;
pub mod task;
mod voter;
