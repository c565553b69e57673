//! A TCP connection to a name that may have several addresses, of which some may not answer.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, ToSocketAddrs, lookup_host};
use tokio::time::timeout;

/// How long one address may take while there is another: as long as a lost SYN takes to be sent again (RFC 6298, 2).
const EACH: Duration = Duration::from_secs(1);

/// The first address that accepts a connection, in the resolver's order. The last one has whatever time the caller gives: only
/// the caller bounds the whole.
///
/// # Errors
/// The name has no address, or the last one's refusal: in the operator's words.
pub async fn dial(to: impl ToSocketAddrs) -> Result<TcpStream, String> {
    let found = lookup_host(to).await.map_err(|error| error.to_string())?;
    let addresses: Vec<SocketAddr> = found.collect();
    let Some((last, others)) = addresses.split_last() else {
        return Err("the name has no address".into());
    };
    for address in others {
        if let Ok(Ok(stream)) = timeout(EACH, TcpStream::connect(address)).await {
            return Ok(stream);
        }
    }
    TcpStream::connect(last).await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A listener whose queue is full: the kernel answers no further SYN.
    async fn silent() -> (tokio::net::TcpListener, Vec<TcpStream>) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut held = Vec::new();
        while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
            held.push(stream.unwrap());
            assert!(held.len() < 100, "its queue has no end");
        }
        (listener, held)
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_leaves_time_for_the_next() {
        let (gone, held) = silent().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let addresses = [gone.local_addr().unwrap(), good];
        // The limit of most questions.
        let stream = timeout(Duration::from_secs(5), dial(&addresses[..])).await;
        assert_eq!(stream.expect("in time").unwrap().peer_addr().unwrap(), good);
        drop(held);
    }
}
