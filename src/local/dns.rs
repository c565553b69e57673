//! The DNS server of `cluster`, on UDP and TCP: hickory's server and catalog around one [`Zone`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::NetError;
use hickory_server::zone_handler::{Catalog, ZoneHandler};
use tokio::net::{TcpListener, UdpSocket};

use super::zone::{NotAService, Zone};
use crate::shutdown::Signal;

#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    #[error(transparent)]
    Zone(#[from] NotAService),
    #[error("the DNS server cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the DNS server failed: {0}")]
    Failed(#[from] NetError),
}

/// A TCP connection without a request is closed after this.
const IDLE: Duration = Duration::from_secs(10);
/// Answers waiting on one TCP connection.
const ANSWERS: usize = 16;
/// How long connections may take to end once asked to.
const DRAIN: Duration = Duration::from_millis(100);
/// With port 0 the port that TCP got may be taken on UDP: so often another is tried.
const ATTEMPTS: usize = 16;

/// Listens already; answers while [`run`](DnsServer::run) runs.
pub struct DnsServer {
    server: Server<Catalog>,
    address: SocketAddr,
}

impl DnsServer {
    /// Binds UDP and TCP at `address` (port 0: the same free port for both). The zone's owner publishes the members: also a
    /// stopped or killed one, and not one that was scaled away.
    pub async fn bind(address: SocketAddr, zone: Arc<Zone>) -> Result<DnsServer, DnsError> {
        let (udp, tcp, address) = bind(address)
            .await
            .map_err(|source| DnsError::Listen { address, source })?;
        let mut catalog = Catalog::new();
        catalog.upsert(zone.origin().clone(), vec![zone]);
        let mut server = Server::new(catalog);
        server.register_socket(udp);
        server.register_listener(tcp, IDLE, ANSWERS);
        Ok(DnsServer { server, address })
    }

    /// Where it listens, on UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`.
    pub async fn run(mut self, mut stop: Signal) -> Result<(), DnsError> {
        tokio::select! {
            biased;
            () = stop.requested() => {}
            ended = self.server.block_until_done() => return Ok(ended?),
        }
        match tokio::time::timeout(DRAIN, self.server.shutdown_gracefully()).await {
            Ok(ended) => Ok(ended?),
            // Dropping the server ends what is left.
            Err(_) => Ok(()),
        }
    }
}

async fn bind(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener, SocketAddr)> {
    let mut attempt = 1;
    loop {
        let tcp = TcpListener::bind(address).await?;
        let bound = tcp.local_addr()?;
        match UdpSocket::bind(bound).await {
            Ok(udp) => return Ok((udp, tcp, bound)),
            Err(_) if address.port() == 0 && attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}
