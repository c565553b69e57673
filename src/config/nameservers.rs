//! Which DNS servers a command asks.

use std::net::SocketAddr;

use super::values;

/// As a member has it, so that a command in a member's container asks where the member does.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct NameserverArgs {
    /// DNS server to ask for srv://SERVICE, may be repeated; those of /etc/resolv.conf unless given. `cluster` names its own
    #[arg(long, env = "RANDOM_GENERATOR_DISCOVERY_NAMESERVER", value_name = "IP:PORT", value_parser = values::address, value_delimiter = ',')]
    pub discovery_nameserver: Vec<SocketAddr>,
}
