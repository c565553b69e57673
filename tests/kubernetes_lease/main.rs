//! The lease store of Kubernetes against an API server of this test's own, which fails in every way that a real one may.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod calls;
mod credentials;
mod electors;
#[path = "../lease_writes/mod.rs"]
mod lease_writes;
mod plugins;
mod server;
#[path = "../standing/mod.rs"]
mod standing;
#[path = "../tls/mod.rs"]
#[allow(dead_code)] // what only its own tests ask of it
mod tls;
#[path = "../waiting/mod.rs"]
mod waiting;
mod watches;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lease_election::LeaseStore;
use lease_election::kubernetes::{Access, Connector, KubernetesConfig, KubernetesLeaseStore, KubernetesMetrics};
use random_generator::clock::Clock;
use random_generator::lease::{LeaseObject, annotations};
use random_generator::record::Record;
use tokio::time::interval;

use crate::server::Server;

/// Of one request. Long enough for a busy machine, where nothing is meant to be late.
const ANSWER: Duration = Duration::from_secs(10);
/// Of one request that is meant to be late.
const SHORT: Duration = Duration::from_millis(600);

fn kubeconfig(directory: &Path, server: &str) -> Access {
    kubeconfig_of(directory, server, "token: secret")
}

/// With what `user` says about the user.
fn kubeconfig_of(directory: &Path, server: &str, user: &str) -> Access {
    let path = directory.join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: '{server}'}}}}]\n\
         users: [{{name: u, user: {{{user}}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
    );
    std::fs::write(&path, text).unwrap();
    Access::Kubeconfig(path)
}

fn store(connector: impl Into<Connector>, answer: Duration) -> KubernetesLeaseStore<Record> {
    let config = KubernetesConfig {
        namespace: "lab".to_owned(),
        name: "random-generator".to_owned(),
        annotations: annotations(),
        answer,
    };
    KubernetesLeaseStore::new(connector, config, Clock::system(), KubernetesMetrics::default())
}

/// A store over a server with a Lease.
struct Bench {
    server: Server,
    store: Arc<KubernetesLeaseStore<Record>>,
    directory: tempfile::TempDir,
}

impl Bench {
    async fn new(answer: Duration) -> Bench {
        let server = Server::start().await;
        server.create("uid-1");
        let directory = tempfile::tempdir().unwrap();
        let access = kubeconfig(directory.path(), &format!("http://{}", server.address));
        Bench {
            server,
            store: Arc::new(store(access, answer)),
            directory,
        }
    }

    async fn read(&self) -> Arc<LeaseObject> {
        self.store.read().await.unwrap().expect("a Lease")
    }
}

/// What happens in `work` must leave the runtime's one thread free: another task of it goes on all the while.
async fn holds_up_no_other_task(work: impl Future<Output = ()>) {
    let clock = Clock::system();
    let mut longest = Duration::ZERO;
    let ticking = async {
        let (mut ticks, mut last) = (interval(Duration::from_millis(10)), clock.boot());
        loop {
            ticks.tick().await;
            longest = longest.max(clock.boot().since(last));
            last = clock.boot();
        }
    };
    tokio::select! {
        () = ticking => unreachable!(),
        () = work => {}
    }
    assert!(longest < Duration::from_millis(500), "blocked for {longest:?}");
}
