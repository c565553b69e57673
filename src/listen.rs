//! Where a listener listens, and its sockets: in both families where the host has both.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use rustix::io::Errno;
use rustix::net::sockopt::set_ipv6_v6only;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// As std and tokio have it.
const BACKLOG: u32 = 1024;
/// How many ports are tried for port 0: the one that a loopback address gave may be taken on the other.
const ATTEMPTS: usize = 16;

/// The value of an argument such as `--public-listen`. Never a name: a listener that waits on DNS starts late or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// `:PORT`: all addresses of this host.
    All(u16),
    /// `localhost:PORT`: 127.0.0.1 and `::1`, at the same port.
    Localhost(u16),
    /// `IP:PORT`. `[::]` takes IPv4 as well, whatever net.ipv6.bindv6only says.
    One(SocketAddr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an IP address and a port, such as 0.0.0.0:8080 or [::1]:8080; :8080 for all addresses, IPv6 and IPv4; or localhost:8080 for \
     127.0.0.1 and [::1]"
)]
pub struct NotAListenAddress;

/// An address that could not be bound.
#[derive(Debug)]
pub struct BindError {
    pub address: SocketAddr,
    pub source: io::Error,
}

impl FromStr for ListenAddress {
    type Err = NotAListenAddress;

    fn from_str(text: &str) -> Result<ListenAddress, NotAListenAddress> {
        let digits_only = |text: &&str| text.bytes().all(|b| b.is_ascii_digit());
        let port = |text: &str| {
            let port = Some(text).filter(digits_only).and_then(|digits| digits.parse().ok());
            port.ok_or(NotAListenAddress)
        };
        if let Some(digits) = text.strip_prefix(':') {
            return port(digits).map(ListenAddress::All);
        }
        let named = text.split_once(':');
        if let Some((_, digits)) = named.filter(|(host, _)| host.eq_ignore_ascii_case("localhost")) {
            return port(digits).map(ListenAddress::Localhost);
        }
        text.parse().map(ListenAddress::One).map_err(|_| NotAListenAddress)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::All(port) => write!(f, ":{port}"),
            ListenAddress::Localhost(port) => write!(f, "localhost:{port}"),
            ListenAddress::One(address) => address.fmt(f),
        }
    }
}

impl ListenAddress {
    pub fn port(&self) -> u16 {
        match self {
            ListenAddress::All(port) | ListenAddress::Localhost(port) => *port,
            ListenAddress::One(address) => address.port(),
        }
    }

    /// Reachable from this host only.
    pub fn is_loopback(&self) -> bool {
        match self {
            ListenAddress::All(_) => false,
            ListenAddress::Localhost(_) => true,
            ListenAddress::One(address) => canonical(*address).ip().is_loopback(),
        }
    }

    /// Whether both can't be bound together. Port 0 is a different port each time.
    pub fn collides(&self, other: &ListenAddress) -> bool {
        let takes_both_families = |address: &SocketAddr| address.is_ipv6() && address.ip().is_unspecified();
        let overlap = |a: &SocketAddr, b: &SocketAddr| {
            let either_is_unspecified = a.ip().is_unspecified() || b.ip().is_unspecified();
            takes_both_families(a)
                || takes_both_families(b)
                || a.ip() == b.ip()
                || (either_is_unspecified && a.is_ipv4() == b.is_ipv4())
        };
        let (mine, others) = (self.addresses(), other.addresses());
        self.port() != 0 && self.port() == other.port() && mine.iter().any(|a| others.iter().any(|b| overlap(a, b)))
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        match self {
            ListenAddress::All(port) => vec![(Ipv6Addr::UNSPECIFIED, *port).into()],
            ListenAddress::Localhost(port) => {
                vec![(Ipv4Addr::LOCALHOST, *port).into(), (Ipv6Addr::LOCALHOST, *port).into()]
            }
            ListenAddress::One(address) => vec![canonical(*address)],
        }
    }

    /// Binds and listens. Where a family is missing, `:PORT` and `localhost:PORT` are the other one alone; an address that is in
    /// use is an error in any case. Called within a runtime.
    pub fn bind(&self) -> Result<Sockets, BindError> {
        let (first, second) = self.bind_by(listen, |socket| socket.local_addr().map(|address| address.port()))?;
        Ok(Sockets {
            first,
            second,
            second_goes_first: AtomicBool::new(false),
        })
    }

    /// The rule of [`bind`](ListenAddress::bind), whatever binds.
    fn bind_by<S>(
        &self,
        listen: impl Fn(SocketAddr) -> io::Result<S>,
        port_of: impl Fn(&S) -> io::Result<u16>,
    ) -> Result<(S, Option<S>), BindError> {
        let bind = |address: SocketAddr| listen(address).map_err(|source| BindError { address, source });
        let port = match self {
            ListenAddress::One(address) => return Ok((bind(*address)?, None)),
            ListenAddress::All(port) => {
                return match bind((Ipv6Addr::UNSPECIFIED, *port).into()) {
                    Err(error) if error.is_missing() => Ok((bind((Ipv4Addr::UNSPECIFIED, *port).into())?, None)),
                    bound => Ok((bound?, None)),
                };
            }
            ListenAddress::Localhost(port) => *port,
        };
        let mut attempt = 1;
        loop {
            let first = match bind((Ipv4Addr::LOCALHOST, port).into()) {
                Err(error) if error.is_missing() => return Ok((bind((Ipv6Addr::LOCALHOST, port).into())?, None)),
                bound => bound?,
            };
            let same = port_of(&first).map_err(|source| BindError {
                address: (Ipv4Addr::LOCALHOST, port).into(),
                source,
            })?;
            match bind((Ipv6Addr::LOCALHOST, same).into()) {
                Ok(second) => return Ok((first, Some(second))),
                Err(error) if error.is_missing() => return Ok((first, None)),
                Err(_) if port == 0 && attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

impl BindError {
    /// This host doesn't have the family or the address: a kernel without IPv6, or one where it is turned off.
    fn is_missing(&self) -> bool {
        matches!(
            Errno::from_io_error(&self.source),
            Some(Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT | Errno::ADDRNOTAVAIL)
        )
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => {
            let socket = TcpSocket::new_v6()?;
            set_ipv6_v6only(&socket, false)?;
            socket
        }
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// An IPv4 address as such, also where an IPv6 socket has it as `::ffff:192.0.2.1`.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip if ip == address.ip() => address,
        ip => SocketAddr::new(ip, address.port()),
    }
}

/// The bound sockets of one listener.
#[derive(Debug)]
pub struct Sockets {
    first: TcpListener,
    second: Option<TcpListener>,
    /// They take turns, so that a flood on one leaves the other alone.
    second_goes_first: AtomicBool,
}

impl Sockets {
    /// The next connection, and the client's address: IPv4 as such. Cancel-safe.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let accepted = match &self.second {
            None => self.first.accept().await,
            Some(second) => {
                let turned = self.second_goes_first.fetch_not(Ordering::Relaxed);
                let (one, other) = if turned {
                    (second, &self.first)
                } else {
                    (&self.first, second)
                };
                poll_fn(|context| match one.poll_accept(context) {
                    Poll::Pending => other.poll_accept(context),
                    accepted => accepted,
                })
                .await
            }
        };
        accepted.map(|(stream, client)| (stream, canonical(client)))
    }

    /// Where they listen, with the port that port 0 became: one or two.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        std::iter::once(&self.first)
            .chain(&self.second)
            .map(|socket| socket.local_addr().map(canonical))
            .collect()
    }
}

impl From<TcpListener> for Sockets {
    fn from(socket: TcpListener) -> Sockets {
        Sockets {
            first: socket,
            second: None,
            second_goes_first: AtomicBool::new(false),
        }
    }
}

/// For log lines: `127.0.0.1:8082 and [::1]:8082`.
impl fmt::Display for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.addresses().map_err(|_| fmt::Error)?;
        let texts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
        f.write_str(&texts.join(" and "))
    }
}

#[cfg(test)]
mod tests;
