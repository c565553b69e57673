//! Discovery: SRV records of the governing Service become a watch of immutable peer lists.

use std::net::IpAddr;
use std::sync::Arc;

use crate::clock::{Boot, Wall};

/// One published member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// First label of the SRV target: `rg-1`.
    pub name: String,
    pub ordinal: u16,
    /// The SRV target without its trailing dot.
    pub host: String,
    /// Port of the SRV record: the peer port.
    pub peer_port: u16,
    /// Never empty: a target that gives no address isn't published.
    pub addresses: Vec<IpAddr>,
    pub is_self: bool,
}

/// Who is published, by ascending ordinal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerList {
    pub peers: Vec<Peer>,
    /// When an answer last gave this list (NXDOMAIN and empty answers count; a timeout or SERVFAIL doesn't).
    /// None before the first answer.
    pub resolved_at: Option<(Boot, Wall)>,
    /// The last look-up failed, and the list is the one from before.
    pub stale: bool,
    /// Why it failed, or what of the answer could not be used (a name that doesn't fit, too many members).
    pub trouble: Option<Arc<str>>,
}
