//! Each member's ports and files in a local set, and the checks before anything starts.

use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::dns::DnsError;
use super::zone::Published;
use crate::exit::Exit;
use crate::listen::ListenAddress;

/// Ports reserved for one member: public, peer, admin, metrics, and some to spare.
const PORTS_EACH: u16 = 10;
/// The most contributions of a draw, so that each member contributes.
pub const MOST_MEMBERS: u16 = 32;

/// Why a local set can't start or run, in one line.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("--members is {0}: give 1 to {MOST_MEMBERS}")]
    Members(u16),
    #[error("--base-port {base} with --members {members} needs ports up to {last}: give a base from 1 to {greatest}")]
    Ports {
        base: u16,
        members: u16,
        last: u32,
        greatest: u32,
    },
    #[error("{0}")]
    Arguments(String),
    #[error("{path}: {source}: give a writable directory with --data-dir", path = .path.display())]
    DataDir { path: PathBuf, source: io::Error },
    #[error("{path} is in use by another cluster: end that one, or give another --data-dir", path = .path.display())]
    DataDirInUse { path: PathBuf },
    #[error("port {port} ({what} port of {member}) is in use: end what listens there, or give another --base-port")]
    PortInUse {
        port: u16,
        what: &'static str,
        member: String,
    },
    #[error("cannot listen on port {port} ({what} port of {member}): {source}: give another --base-port")]
    Port {
        port: u16,
        what: &'static str,
        member: String,
        source: io::Error,
    },
    #[error(transparent)]
    Dns(#[from] DnsError),
    #[error("cannot find the program to start members with: {0}")]
    Program(io::Error),
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
    #[error("a bug: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl ClusterError {
    pub fn exit(&self) -> Exit {
        match self {
            ClusterError::Members(_) | ClusterError::Ports { .. } | ClusterError::Arguments(_) => Exit::Usage,
            ClusterError::Task(_) => Exit::Bug,
            ClusterError::DataDirInUse { .. } | ClusterError::PortInUse { .. } => Exit::TryAgain,
            ClusterError::DataDir { .. }
            | ClusterError::Port { .. }
            | ClusterError::Dns(_)
            | ClusterError::Program(_)
            | ClusterError::Signals(_) => Exit::Io,
        }
    }
}

/// The ports and files of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub ordinal: u16,
    /// `rg-1`
    pub name: String,
    pub public_port: u16,
    /// `DIR/rg-1`
    pub volume: PathBuf,
    /// `DIR/rg-1.pid`: exists while the process does.
    pub pid_file: PathBuf,
    /// `DIR/rg-1.log`
    pub log_file: PathBuf,
}

impl Place {
    pub fn peer_port(&self) -> u16 {
        self.public_port + 1
    }

    pub fn admin_port(&self) -> u16 {
        self.public_port + 2
    }

    pub fn metrics_port(&self) -> u16 {
        self.public_port + 3
    }

    /// Its DNS records.
    pub fn published(&self) -> Published {
        Published {
            name: self.name.clone(),
            addresses: vec![Ipv4Addr::LOCALHOST.into()],
            http_port: self.public_port,
            peer_port: self.peer_port(),
        }
    }
}

/// A set whose size and ports are valid.
#[derive(Clone, Debug)]
pub struct Layout {
    pub data_dir: PathBuf,
    /// By ordinal.
    pub members: Vec<Place>,
}

/// The lock on the directory, held while a cluster runs: two must not share one.
#[derive(Debug)]
pub struct Claim {
    _lock: File,
}

impl Layout {
    /// `members` members of `set`: member n's public port is `base_port` + 10 n.
    pub fn new(set: &str, members: u16, base_port: u16, data_dir: &Path) -> Result<Layout, ClusterError> {
        if !(1..=MOST_MEMBERS).contains(&members) {
            return Err(ClusterError::Members(members));
        }
        let needed = u32::from(PORTS_EACH) * u32::from(members - 1) + 3;
        let last = u32::from(base_port) + needed;
        if base_port == 0 || last > u32::from(u16::MAX) {
            let greatest = u32::from(u16::MAX) - needed;
            return Err(ClusterError::Ports {
                base: base_port,
                members,
                last,
                greatest,
            });
        }
        let place = |ordinal| {
            let name = format!("{set}-{ordinal}");
            Place {
                ordinal,
                public_port: base_port + PORTS_EACH * ordinal,
                volume: data_dir.join(&name),
                pid_file: data_dir.join(format!("{name}.pid")),
                log_file: data_dir.join(format!("{name}.log")),
                name,
            }
        };
        Ok(Layout {
            data_dir: data_dir.to_owned(),
            members: (0..members).map(place).collect(),
        })
    }

    /// `DIR/lease`
    pub fn lease_directory(&self) -> PathBuf {
        self.data_dir.join("lease")
    }

    /// Creates the directories, takes the lock and tries each port, so that a problem is reported once and here instead of by each
    /// member in its log. Called within a runtime.
    pub fn claim(&self) -> Result<Claim, ClusterError> {
        let failed = |path: &Path, source| ClusterError::DataDir {
            path: path.to_owned(),
            source,
        };
        for directory in std::iter::once(&self.data_dir).chain(self.members.iter().map(|member| &member.volume)) {
            fs::create_dir_all(directory).map_err(|source| failed(directory, source))?;
        }
        let path = self.data_dir.join("cluster.lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(|source| failed(&path, source))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(ClusterError::DataDirInUse {
                    path: self.data_dir.clone(),
                });
            }
            Err(errno) => return Err(failed(&path, errno.into())),
        }
        for member in &self.members {
            for (what, port) in [
                ("public", member.public_port),
                ("peer", member.peer_port()),
                ("admin", member.admin_port()),
                ("metrics", member.metrics_port()),
            ] {
                let member = member.name.clone();
                match ListenAddress::Localhost(port).bind() {
                    Ok(_) => {}
                    Err(error) if error.source.kind() == io::ErrorKind::AddrInUse => {
                        return Err(ClusterError::PortInUse { port, what, member });
                    }
                    Err(error) => {
                        return Err(ClusterError::Port {
                            port,
                            what,
                            member,
                            source: error.source,
                        });
                    }
                }
            }
        }
        Ok(Claim { _lock: lock })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_member_has_its_ports_and_files() {
        let layout = Layout::new("rg", 3, 8080, Path::new("data")).unwrap();
        let last = &layout.members[2];
        assert_eq!(
            (
                last.public_port,
                last.peer_port(),
                last.admin_port(),
                last.metrics_port()
            ),
            (8100, 8101, 8102, 8103)
        );
        assert_eq!(last.volume, Path::new("data/rg-2"));
        assert_eq!(last.pid_file, Path::new("data/rg-2.pid"));
    }

    #[test]
    fn an_impossible_size_or_port_is_refused_with_what_is_possible() {
        let refused = |members, base| Layout::new("rg", members, base, Path::new("d")).unwrap_err();
        assert_eq!(refused(0, 8080).to_string(), "--members is 0: give 1 to 32");
        assert_eq!(refused(33, 8080).exit(), Exit::Usage);
        assert!(
            refused(2, 65523)
                .to_string()
                .ends_with("needs ports up to 65536: give a base from 1 to 65522")
        );
        assert!(Layout::new("rg", 2, 65522, Path::new("d")).is_ok());
        assert_eq!(refused(1, 0).exit(), Exit::Usage);
    }
}
