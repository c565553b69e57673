//! One file a subcommand.

pub mod cluster;
