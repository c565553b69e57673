//! What members say to each other on the peers' port: the messages, their signature, who answers them and who asks.

pub mod client;
pub mod listener;
pub mod message;
pub mod metrics;
pub mod signature;
