//! The lease store of the simulation: one object with the API server's rules for a PUT.

use std::sync::Arc;

use lease_election::{LeaseChange, LeaseSpec};
use random_generator::lease::{Head, LeaseObject};
use random_generator::record::Record;

pub struct Store {
    pub object: Option<Arc<LeaseObject>>,
    /// Grows with every write to the store, whoever makes it, and never goes back.
    pub revision: u64,
    /// Every state it had: a backup may bring any of them back.
    pub history: Vec<Arc<LeaseObject>>,
    created: u64,
}

/// What a PUT did.
pub enum Put {
    Written(Arc<LeaseObject>),
    Conflict,
}

impl Store {
    pub fn new() -> Store {
        let mut store = Store {
            object: None,
            revision: 100,
            history: Vec::new(),
            created: 0,
        };
        store.create();
        store
    }

    /// As `kubectl apply` of the manifest makes it: with neither spec nor our annotations.
    pub fn create(&mut self) {
        self.created += 1;
        self.set(LeaseObject {
            uid: format!("uid-{}", self.created),
            version: 0,
            spec: LeaseSpec::default(),
            fence: 0,
            payload: Head::Absent,
            carried: Arc::new(serde_json::Value::Null),
        });
    }

    pub fn delete(&mut self) {
        self.revision += 1;
        self.object = None;
    }

    /// Puts an object into the store by other hands than a member's; it gets a new version.
    pub fn set(&mut self, mut object: LeaseObject) -> Arc<LeaseObject> {
        self.revision += 1;
        object.version = self.revision;
        let object = Arc::new(object);
        self.object = Some(object.clone());
        self.history.push(object.clone());
        object
    }

    /// A PUT of the whole object: with a uid it must be the same object; the version must be the present one. Without a uid,
    /// a PUT for an absent Lease creates it, as the API server does.
    pub fn put(&mut self, base: &LeaseObject, change: LeaseChange<Record>) -> Put {
        let uid = match &self.object {
            Some(object) if !base.uid.is_empty() && object.uid != base.uid => return Put::Conflict,
            Some(object) if object.version != base.version => return Put::Conflict,
            Some(object) => object.uid.clone(),
            None if base.uid.is_empty() => {
                self.created += 1;
                format!("uid-{}", self.created)
            }
            None => return Put::Conflict,
        };
        Put::Written(self.set(LeaseObject {
            uid,
            version: 0,
            spec: change.spec,
            fence: change.fence,
            payload: change.payload,
            carried: base.carried.clone(),
        }))
    }
}
