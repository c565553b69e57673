//! The DNS server of `cluster`, on UDP and TCP: the only place that uses hickory's server.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::NetError;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Edns, Header, HeaderCounts, Metadata, OpCode, ResponseCode};
use hickory_server::proto::rr::DNSClass;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;

use super::zone::{Answer, NotAService, Published, Zone};
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
    server: Server<Handler>,
    address: SocketAddr,
}

impl DnsServer {
    /// Binds UDP and TCP at `address` (port 0: the same free port for both). `members` are those published now: a
    /// stopped or killed one still is, one that was scaled away isn't.
    pub async fn bind(
        address: SocketAddr,
        zone: Zone,
        members: watch::Receiver<Arc<[Published]>>,
    ) -> Result<DnsServer, DnsError> {
        let (udp, tcp) = bind(address)
            .await
            .map_err(|source| DnsError::Listen { address, source })?;
        let address = tcp
            .local_addr()
            .map_err(|source| DnsError::Listen { address, source })?;
        let mut server = Server::new(Handler { zone, members });
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

async fn bind(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut attempt = 1;
    loop {
        let tcp = TcpListener::bind(address).await?;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Ok(udp) => return Ok((udp, tcp)),
            Err(_) if address.port() == 0 && attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

struct Handler {
    zone: Zone,
    members: watch::Receiver<Arc<[Published]>>,
}

impl Handler {
    fn answer(&self, request: &Request) -> Answer {
        let with = |code| Answer {
            code,
            ..Answer::default()
        };
        if request.version() > 0 {
            return with(ResponseCode::BADVERS);
        }
        if request.metadata.op_code != OpCode::Query {
            return with(ResponseCode::NotImp);
        }
        let [query] = request.queries.queries() else {
            return with(ResponseCode::FormErr);
        };
        if query.query_class() != DNSClass::IN {
            return with(ResponseCode::Refused);
        }
        let members = self.members.borrow().clone();
        self.zone.answer(query.original().name(), query.query_type(), &members)
    }

    async fn respond(&self, request: &Request, mut response: impl ResponseHandler) -> ResponseInfo {
        let answer = self.answer(request);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = answer.code;
        metadata.authoritative = matches!(answer.code, ResponseCode::NoError | ResponseCode::NXDomain);
        // The OPT record carries the size the client takes; what doesn't fit is cut, with TC (RFC 6891). None: 512.
        let edns = request.edns.as_ref().map(|_| {
            let mut edns = Edns::new();
            edns.set_max_payload(request.max_payload());
            edns
        });
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &edns {
            builder.edns(edns);
        }
        let message = builder.build(metadata, &answer.answers, [], &answer.soa, &answer.additionals);
        match response.send_response(message).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(%error, "a DNS answer could not be sent");
                metadata.response_code = ResponseCode::ServFail;
                ResponseInfo::from(Header {
                    metadata,
                    counts: HeaderCounts::default(),
                })
            }
        }
    }
}

// Written out as `#[async_trait]` would: no dependency for one method.
impl RequestHandler for Handler {
    fn handle_request<'a, 'b, 'c, R, T>(
        &'a self,
        request: &'b Request,
        response: R,
    ) -> Pin<Box<dyn Future<Output = ResponseInfo> + Send + 'c>>
    where
        R: ResponseHandler + 'c,
        T: Time + 'c,
        'a: 'c,
        'b: 'c,
    {
        Box::pin(self.respond(request, response))
    }
}
