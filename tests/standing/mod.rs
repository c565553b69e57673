//! What an elector that stands for the lease has seen, waited for.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::sync::Arc;

use random_generator::clock::Clock;
use random_generator::lease::{LeaseHandle, LeaseSnapshot};
use tokio::time::timeout;

use crate::waiting::PATIENCE;

pub trait Standing {
    fn handle(&self) -> &LeaseHandle;

    async fn until(&self, what: &str, condition: impl FnMut(&Arc<LeaseSnapshot>) -> bool) {
        let mut snapshots = self.handle().snapshots();
        let found = timeout(PATIENCE, snapshots.wait_for(condition)).await;
        found.unwrap_or_else(|_| panic!("waited in vain for: {what}")).unwrap();
    }

    async fn until_leading(&self) {
        let clock = Clock::system();
        self.until("leadership", |snapshot| snapshot.leads(clock.boot()).is_some())
            .await;
    }

    async fn until_followed(&self, holder: &str) {
        self.until("its holder", |snapshot| {
            let object = snapshot.object.as_ref();
            object.and_then(|object| object.spec.held_by()) == Some(holder)
        })
        .await;
    }

    /// The fence it leads with.
    fn fence(&self) -> Option<u64> {
        self.handle().snapshots().borrow().leads(Clock::system().boot())
    }
}
