//! This member's identity: set, ordinal, Pod UID and a nonce of the process; and the owner mark of its volume.

mod name;
mod volume;

pub use name::{MAX_SET, MemberName, NameError};
pub(crate) use volume::space as volume_space;
pub use volume::{OWNER_SCHEMA, Space, Volume, VolumeError};

use std::net::IpAddr;

use rand::TryRng;
use rand::rngs::{SysError, SysRng};
use uuid::Uuid;

/// The longest `holder` in a record (`docs/protocol.md`, 1.2).
const MAX_LEASE_IDENTITY: usize = 253;
/// Replaces the Pod UID outside Kubernetes.
const NO_UID: &str = "local";

/// This process, as other members see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub name: MemberName,
    pub namespace: String,
    pub pod_uid: Option<String>,
    pub pod_ip: Option<IpAddr>,
    pub node_name: Option<String>,
    /// Eight hexadecimal characters, new for each process: a restarted container has the same Pod UID, but doesn't own the lease of
    /// the process before it.
    pub nonce: String,
    /// `id` in the answers of `/`.
    pub process: Uuid,
}

/// A member's identity from the downward API or the arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub pod_name: MemberName,
    pub namespace: String,
    pub pod_uid: Option<String>,
    pub pod_ip: Option<IpAddr>,
    pub node_name: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error(
        "namespace {0:?} is not allowed: 1 to 63 of a-z, 0-9 and \"-\", beginning and ending with a letter or digit; \
         set POD_NAMESPACE to the namespace's name"
    )]
    Namespace(String),
    #[error(
        "Pod UID {0:?} is not allowed: printable ASCII without space, quote and backslash, and short enough that \
         \"POD_NAME_UID-NONCE\" has at most 253 characters; set POD_UID from metadata.uid, or leave it out"
    )]
    Uid(String),
    #[error("the operating system provides no random bytes: {0}")]
    Entropy(#[from] SysError),
}

/// Without any, a member is alone.
impl Default for Facts {
    fn default() -> Facts {
        Facts {
            pod_name: MemberName {
                set: "rg".into(),
                ordinal: Some(0),
            },
            namespace: "default".into(),
            pod_uid: None,
            pod_ip: None,
            node_name: None,
        }
    }
}

impl Identity {
    /// Checks the facts, and generates a nonce and a process id.
    pub fn new(facts: Facts) -> Result<Identity, IdentityError> {
        if !is_label(&facts.namespace) {
            return Err(IdentityError::Namespace(facts.namespace));
        }
        let mut random = [0; 20];
        SysRng.try_fill_bytes(&mut random)?;
        let (nonce, process) = random.split_at(4);
        let mut uuid = [0; 16];
        uuid.copy_from_slice(process);
        let identity = Identity {
            name: facts.pod_name,
            namespace: facts.namespace,
            pod_uid: facts.pod_uid.filter(|uid| !uid.is_empty()),
            pod_ip: facts.pod_ip,
            node_name: facts.node_name.filter(|node| !node.is_empty()),
            nonce: hex::encode(nonce),
            process: uuid::Builder::from_random_bytes(uuid).into_uuid(),
        };
        let text = identity.lease();
        let printable = text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
        if !printable || text.len() > MAX_LEASE_IDENTITY {
            return Err(IdentityError::Uid(identity.pod_uid.unwrap_or_default()));
        }
        Ok(identity)
    }

    /// `POD_NAME_UID-NONCE`: identifies this process as a holder of the lease.
    pub fn lease(&self) -> String {
        lease_identity(&self.name, self.pod_uid.as_deref(), &self.nonce)
    }
}

/// `POD_NAME_UID-NONCE`. Without the nonce a restarted process would take the lease of its predecessor for its own, while that may
/// still run, cut off, and believe that it leads.
pub fn lease_identity(name: &MemberName, uid: Option<&str>, nonce: &str) -> String {
    format!("{name}_{}-{nonce}", uid.unwrap_or(NO_UID))
}

/// The member whose process wrote this holder into a Lease; none if it is no lease identity.
pub fn holding_member(holder: &str) -> Option<MemberName> {
    let (name, process) = holder.split_once('_')?;
    let (uid, nonce) = process.rsplit_once('-')?;
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let name: MemberName = name.parse().ok()?;
    let whole = !uid.is_empty() && nonce.len() == 8 && nonce.bytes().all(hexadecimal) && name.ordinal.is_some();
    whole.then_some(name)
}

/// A DNS label (RFC 1123), as Kubernetes requires for a namespace.
fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(uid: Option<&str>) -> Facts {
        Facts {
            pod_name: "rg-2".parse().unwrap(),
            pod_uid: uid.map(str::to_owned),
            ..Facts::default()
        }
    }

    #[test]
    fn the_lease_identity_names_pod_uid_and_process() {
        let identity = Identity::new(facts(Some("0b1c"))).unwrap();
        assert_eq!(identity.lease(), format!("rg-2_0b1c-{}", identity.nonce));
        assert_eq!(identity.nonce.len(), 8);
        let local = Identity::new(facts(None)).unwrap();
        assert_eq!(local.lease(), format!("rg-2_local-{}", local.nonce));
    }

    #[test]
    fn a_holder_is_a_member_only_by_a_whole_lease_identity() {
        let identity = Identity::new(facts(Some("0b1c-2d"))).unwrap();
        assert_eq!(holding_member(&identity.lease()), Some(identity.name));
        // The second is one of client-go's: host name and UUID.
        for other in [
            "rg-0",
            "rg-0_6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "rg_uid-01234567",
            "rg-0_uid-0123456G",
            "rg-0_-01234567",
        ] {
            assert_eq!(holding_member(other), None, "{other}");
        }
    }

    #[test]
    fn two_processes_of_one_pod_have_different_identities() {
        let (first, second) = (
            Identity::new(facts(Some("u"))).unwrap(),
            Identity::new(facts(Some("u"))).unwrap(),
        );
        assert_ne!(first.lease(), second.lease());
        assert_ne!(first.process, second.process);
    }

    #[test]
    fn a_uid_that_no_record_could_carry_is_refused() {
        for uid in ["with space", "quo\"te", "back\\slash", "ümlaut", &"u".repeat(253)] {
            let error = Identity::new(facts(Some(uid))).unwrap_err();
            assert!(error.to_string().contains("POD_UID"), "{error}");
        }
    }

    #[test]
    fn a_namespace_that_is_no_label_is_refused() {
        for namespace in ["", "Upper", "-a", "a-", "a.b", &"n".repeat(64)] {
            let facts = Facts {
                namespace: namespace.into(),
                ..facts(None)
            };
            assert!(Identity::new(facts).unwrap_err().to_string().contains("POD_NAMESPACE"));
        }
    }
}
