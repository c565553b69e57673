//! The draw, the scheduled job of the set: the holder's side ([`conductor`]), the peer's side ([`contributor`]) and the volume's
//! ([`ledger`]). The rules are those of `docs/protocol.md`, parts 1 and 3, by their numbers.

pub mod catch_up;
pub mod conductor;
pub mod contributor;
pub mod ledger;
mod metrics;
pub mod task;
mod voter;
pub mod voting;
