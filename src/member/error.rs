//! Why a member could not start, or stopped unasked: one line for people, and an exit code.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use lease_election::ConfigError;
use lease_election::directory::DirectoryLeaseError;

use crate::discovery::DiscoveryError;
use crate::draw::ledger::task::LedgerError;
use crate::exit::Exit;
use crate::generator::ids::ReservationError;
use crate::generator::random::EntropyError;
use crate::identity::{IdentityError, VolumeError};
use crate::journal::JournalFailure;
use crate::peer::signature::{PeerSecret, SecretTooShort};
use crate::server::listener::ListenerError;

#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    #[error("{argument}: can't listen on {address}: {source}; {}", bind_advice(.source))]
    Bind {
        argument: &'static str,
        address: SocketAddr,
        source: io::Error,
    },
    #[error("can't listen for signals: {0}")]
    Signals(io::Error),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    #[error(transparent)]
    Claim(#[from] VolumeError),
    #[error("{}: {source}", path.display())]
    Volume { path: PathBuf, source: io::Error },
    #[error("--peer-secret-file: can't read {}: {source}", path.display())]
    SecretFile { path: PathBuf, source: io::Error },
    #[error("--peer-secret-file: {}: {source}", path.display())]
    Secret { path: PathBuf, source: SecretTooShort },
    #[error(transparent)]
    Journal(#[from] JournalFailure),
    #[error(transparent)]
    Ids(#[from] ReservationError),
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    #[error(transparent)]
    Lease(#[from] DirectoryLeaseError),
    #[error(transparent)]
    Election(#[from] ConfigError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Listener(#[from] ListenerError),
    #[error("stopped before all its parts had: the log names what they waited for")]
    NotStopped,
    #[error("part {0:?} ended unexpectedly: this is a bug")]
    Ended(&'static str),
    #[error("a part panicked: {0}: this is a bug")]
    Panicked(String),
}

impl MemberError {
    pub fn exit(&self) -> Exit {
        match self {
            MemberError::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse => Exit::TryAgain,
            MemberError::Claim(error) => error.exit(),
            MemberError::Bind { .. }
            | MemberError::Signals(_)
            | MemberError::Entropy(_)
            | MemberError::Volume { .. }
            | MemberError::SecretFile { .. }
            | MemberError::Ids(_)
            | MemberError::Lease(_)
            | MemberError::NotStopped => Exit::Io,
            MemberError::Identity(_) | MemberError::Discovery(_) | MemberError::Election(_) => Exit::Usage,
            MemberError::Journal(JournalFailure::TooSmall(_)) => Exit::Usage,
            MemberError::Secret { .. } => Exit::Config,
            MemberError::Journal(_)
            | MemberError::Ledger(_)
            | MemberError::Listener(_)
            | MemberError::Ended(_)
            | MemberError::Panicked(_) => Exit::Bug,
        }
    }
}

pub(super) fn read_secret(path: &Path) -> Result<PeerSecret, MemberError> {
    let bytes = std::fs::read(path).map_err(|source| MemberError::SecretFile {
        path: path.to_owned(),
        source,
    })?;
    PeerSecret::new(&bytes).map_err(|source| MemberError::Secret {
        path: path.to_owned(),
        source,
    })
}

/// What to do about an address that can't be bound.
fn bind_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => "give an address that this host has, or :PORT for all of them",
        io::ErrorKind::PermissionDenied => "give a port from 1024 up",
        _ => "stop what uses it, or give another address",
    }
}
