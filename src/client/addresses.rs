//! The addresses that a client connects to.

use std::future::{Future, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower::Service;

/// hyper-util tries them one after the other, and IPv4 and IPv6 side by side (RFC 8305).
#[derive(Clone, Debug)]
pub(super) enum Addresses {
    /// Those that the system's resolver finds for the URL's host.
    OfHost(GaiResolver),
    /// These, whatever the host.
    Given(Arc<[SocketAddr]>),
}

type Found = std::vec::IntoIter<SocketAddr>;

impl Service<Name> for Addresses {
    type Response = Found;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Found>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, host: Name) -> Self::Future {
        match self {
            Addresses::OfHost(resolver) => {
                let found = resolver.call(host);
                Box::pin(async { Ok(found.await?.collect::<Vec<_>>().into_iter()) })
            }
            Addresses::Given(addresses) => Box::pin(ready(Ok(Vec::from(&**addresses).into_iter()))),
        }
    }
}
