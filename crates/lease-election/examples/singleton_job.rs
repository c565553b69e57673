//! A job that runs on one process at a time: the holder of a Lease. Start it in several terminals, and kill the one that works:
//!
//! ```sh
//! kubectl apply --filename crates/lease-election/examples/singleton_job.yaml
//! cargo run --package lease-election --example singleton_job -- one
//! ```
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PostParams};
use lease_election::clock::Clock;
use lease_election::kubernetes::{KubernetesConfig, KubernetesLeaseStore, KubernetesMetrics};
use lease_election::metrics::LeaseMetrics;
use lease_election::{Annotations, ElectorConfig, task};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args().nth(1).ok_or("usage: singleton_job NAME")?;
    let (client, clock) = (kube::Client::try_default().await?, Clock::system());
    // A process that is started again must not pass for the one before.
    let config = ElectorConfig::with_default_times(format!("{name}_{}", uuid::Uuid::new_v4()))?;
    let lease = KubernetesConfig {
        namespace: client.default_namespace().to_owned(),
        name: "singleton-job".to_owned(),
        annotations: Annotations::with_prefix("example.com"),
        answer: Duration::from_secs(3),
    };
    let store = KubernetesLeaseStore::<()>::new(client.clone(), lease, clock.clone(), KubernetesMetrics::default());
    let (elector, election, _commits) = task::new(config, store, clock, LeaseMetrics::default());
    election.stand(true).await;

    let target = Api::<ConfigMap>::default_namespaced(client);
    let job = async {
        loop {
            if let Some(fence) = election.leads() {
                tokio::select! {
                    // In this order: a process that was stopped looks whether it still leads before it works on.
                    biased;
                    () = election.lost(fence) => println!("{name}: lost fence {fence}, the work is dropped"),
                    done = work(&target, &name, fence) => match done {
                        Ok(count) => println!("{name}: {count}, under fence {fence}"),
                        Err(error) => println!("{name}: under fence {fence}: {error}"),
                    },
                }
            }
            sleep(Duration::from_millis(500)).await;
        }
    };
    let mut terminated = signal(SignalKind::terminate())?;
    // The elector ends once it has released the lease, and the job with it.
    tokio::select! {
        () = elector.run(async { _ = terminated.recv().await }) => Ok(()),
        () = job => Ok(()),
    }
}

/// Counts up in the ConfigMap: a target that remembers the highest fence that it has seen, and refuses a lower one. The resource
/// version makes check and write one step: the API server refuses the write if anything changed in between.
async fn work(target: &Api<ConfigMap>, name: &str, fence: u64) -> Result<u64, Box<dyn Error>> {
    let mut map = target.get("singleton-job").await?;
    let data = map.data.get_or_insert_default();
    let number = |key| data.get(key).map_or(Ok(0), |text: &String| text.parse::<u64>());
    let (seen, count) = (number("fence")?, number("count")? + 1);
    if fence < seen {
        return Err(format!("refused, since the target has seen fence {seen}").into());
    }
    data.insert("fence".to_owned(), fence.to_string());
    data.insert("count".to_owned(), count.to_string());
    data.insert("holder".to_owned(), name.to_owned());
    target.replace("singleton-job", &PostParams::default(), &map).await?;
    Ok(count)
}
