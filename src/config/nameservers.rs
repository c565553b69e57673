//! The DNS servers that a command queries.

use std::net::SocketAddr;

use super::values;

/// Has the same variable as a member, so that a command in its container queries the same servers.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct NameserverArgs {
    /// DNS server to query for srv://SERVICE; may be repeated [default: those of /etc/resolv.conf]. `cluster` prints the address of its server
    #[arg(long, env = "RANDOM_GENERATOR_DISCOVERY_NAMESERVER", value_name = "IP:PORT", value_parser = values::address, value_delimiter = ',')]
    pub discovery_nameserver: Vec<SocketAddr>,
}
