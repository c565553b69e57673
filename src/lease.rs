//! The lease of a set: which member conducts the draw. The record of the newest final draw travels with it.
//!
//! The election itself is the crate [`lease_election`]; here is what a draw adds to it.

use std::time::Duration;

use lease_election::{Annotations, Payload, Stored};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Boot;
use crate::record::Record;

pub type LeaseObject = lease_election::LeaseObject<Record>;
pub type LeaseSnapshot = lease_election::LeaseSnapshot<Record>;
pub type LeaseHandle = lease_election::LeaseHandle<Record>;
pub type CommitRequest = lease_election::CommitRequest<Record>;
/// What the record annotation holds.
pub type Head = Stored<Record>;

/// Who holds the lease, as a member sees it: the answer of `/leader`, and a part of `/set`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Leader {
    /// The identity in the Lease; null when nobody holds it.
    #[schema(required)]
    pub holder: Option<String>,
    /// The member's name in that identity.
    #[schema(required)]
    pub member: Option<String>,
    #[serde(rename = "self")]
    pub own: bool,
    pub fence: u64,
    #[schema(required, format = "date-time")]
    pub acquired_at: Option<String>,
    /// 0 when the lease has expired; null when nobody holds it.
    #[schema(required)]
    pub remaining_ms: Option<u64>,
    /// How long ago the lease store last confirmed this; null when it never did.
    #[schema(required)]
    pub view_age_ms: Option<u64>,
}

impl Leader {
    pub fn seen(lease: &LeaseSnapshot, now: Boot) -> Leader {
        let object = lease.object.as_deref();
        let holder = object.and_then(|object| object.spec.held_by());
        let member = holder.map(|holder| holder.split_once('_').map_or(holder, |(member, _)| member));
        Leader {
            holder: holder.map(str::to_owned),
            member: member.map(str::to_owned),
            // The Lease may still name this member after its term ended.
            own: lease.leads(now).is_some(),
            fence: object.map_or(0, |object| object.fence),
            acquired_at: holder
                .and(object)
                .and_then(|object| object.spec.acquire_time)
                .map(|at| at.to_string()),
            remaining_ms: holder.and(lease.expires_at).map(|expires| whole_ms(expires.since(now))),
            view_age_ms: lease.age(now).map(whole_ms),
        }
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Our two annotations of a Lease.
pub fn annotations() -> Annotations {
    Annotations {
        fence: "random-generator/fence".to_owned(),
        payload: "random-generator/record".to_owned(),
    }
}

/// Order and place of records in a chain: L4, L10 and 3.4 of `docs/protocol.md`.
impl Payload for Record {
    fn parse(text: &str) -> Option<Record> {
        Record::parse(text).ok()
    }

    fn to_text(&self) -> String {
        self.canonical()
    }

    fn fence(&self) -> u64 {
        self.fence
    }

    fn supersedes(&self, earlier: &Record) -> bool {
        self.age() > earlier.age()
    }

    fn directly_follows(&self, earlier: &Record) -> bool {
        self.previous == Some(earlier.hash)
    }

    /// Another record of its round or of the next one has taken its place in the chain.
    fn excludes(&self, other: &Record) -> bool {
        self.chain == other.chain && (other.round..=other.round + 1).contains(&self.round)
    }
}
