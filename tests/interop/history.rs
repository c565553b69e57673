//! The Lease as the API server told it, version by version, and the rules that each version has to keep.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use random_generator::record::Record;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::spans::Side;

const ANSWER: Duration = Duration::from_secs(10);
const NOTE: &str = "example.com/note";

/// What stood in the Lease.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// "" when nobody.
    pub holder: String,
    pub duration: Option<i32>,
    pub acquired: Option<Timestamp>,
    pub renewed: Option<Timestamp>,
    pub transitions: i32,
    pub fence: Option<String>,
    pub record: Option<String>,
    note: Option<String>,
    label: Option<String>,
}

impl Version {
    fn of(lease: Lease) -> Version {
        let spec = lease.spec.unwrap_or_default();
        let annotation = |name: &str| lease.metadata.annotations.as_ref()?.get(name).cloned();
        Version {
            holder: spec.holder_identity.unwrap_or_default(),
            duration: spec.lease_duration_seconds,
            acquired: spec.acquire_time.map(|time| time.0),
            renewed: spec.renew_time.map(|time| time.0),
            transitions: spec.lease_transitions.unwrap_or(0),
            fence: annotation("random-generator/fence"),
            record: annotation("random-generator/record"),
            note: annotation(NOTE),
            label: lease
                .metadata
                .labels
                .as_ref()
                .and_then(|labels| labels.get("app").cloned()),
        }
    }

    fn fence_number(&self) -> u64 {
        self.fence.as_ref().map_or(0, |fence| fence.parse().unwrap())
    }
}

/// A Lease of its own, deleted when this is dropped.
pub struct History {
    runtime: Runtime,
    leases: Api<Lease>,
    pub namespace: String,
    pub lease: String,
    versions: Arc<Mutex<Vec<Version>>>,
    watch: JoinSet<()>,
}

impl History {
    /// Makes the Lease in the namespace of the kubeconfig's context, bare as the manifest has it.
    pub fn begin(kubeconfig: &str, lease: &str) -> History {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let made = runtime.block_on(async {
            let read = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
            let config = kube::Config::from_custom_kubeconfig(read, &Default::default()).await;
            let client = kube::Client::try_from(config.unwrap()).unwrap();
            let namespace = client.default_namespace().to_owned();
            let leases: Api<Lease> = Api::namespaced(client, &namespace);
            let bare = json!({"metadata": {"name": lease, "labels": {"app": "rg"}, "annotations": {NOTE: "keep me"}}});
            let bare = serde_json::from_value(bare).unwrap();
            let created = timeout(ANSWER, leases.create(&PostParams::default(), &bare)).await;
            let created = created.expect("an API server that answers").unwrap();
            (leases, namespace, created)
        });
        let (leases, namespace, created) = made;
        let version = created.metadata.resource_version.clone().unwrap();
        let versions = Arc::new(Mutex::new(vec![Version::of(created)]));
        let mut watch = JoinSet::new();
        watch.spawn_on(
            follow(leases.clone(), lease.to_owned(), version, versions.clone()),
            runtime.handle(),
        );
        History {
            runtime,
            leases,
            namespace,
            lease: lease.to_owned(),
            versions,
            watch,
        }
    }

    pub fn versions(&self) -> Vec<Version> {
        assert!(!self.watch.is_empty(), "the watch of the Lease ended");
        self.versions.lock().unwrap().clone()
    }

    pub fn newest(&self) -> Version {
        self.versions.lock().unwrap().last().unwrap().clone()
    }

    /// What a person may do: takes the Lease from whoever holds it.
    pub fn empty(&self) {
        let nobody = Patch::Merge(json!({"spec": {"holderIdentity": ""}}));
        let params = PatchParams::default();
        let patched = self.runtime.block_on(async {
            let patch = self.leases.patch(&self.lease, &params, &nobody);
            timeout(ANSWER, patch).await
        });
        patched.expect("an API server that answers").unwrap();
    }

    /// Whether `identity` let the Lease go, rather than lose it.
    pub fn released(&self, identity: &str) -> bool {
        let versions = self.versions();
        let last = versions.iter().rposition(|version| version.holder == identity);
        let next = last.and_then(|last| versions.get(last + 1));
        next.is_some_and(|next| next.holder.is_empty())
    }

    /// When the last renewal of `identity` was sent that was sent before `at`.
    pub fn last_renewal(&self, identity: &str, at: Timestamp) -> Option<Timestamp> {
        let versions = self.versions();
        let its = versions.iter().filter(|version| version.holder == identity);
        its.filter_map(|version| version.renewed)
            .filter(|sent| *sent <= at)
            .max()
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.watch.abort_all();
        let params = DeleteParams::default();
        let gone = self.runtime.block_on(async {
            let deletion = self.leases.delete(&self.lease, &params);
            timeout(ANSWER, deletion).await
        });
        let gone = matches!(gone, Ok(Ok(_)));
        assert!(gone || std::thread::panicking(), "the Lease {} is left", self.lease);
    }
}

/// Every version, in order: the API server leaves none out of a watch, nor of one that goes on where another ended.
async fn follow(leases: Api<Lease>, name: String, mut at: String, versions: Arc<Mutex<Vec<Version>>>) {
    let params = WatchParams::default().fields(&format!("metadata.name={name}"));
    loop {
        let Ok(stream) = leases.watch(&params, &at).await else {
            // A pause between two requests, not a wait for what a test asks: whoever reads the versions has a bound.
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        let mut stream = stream.boxed();
        while let Some(Ok(event)) = stream.next().await {
            match event {
                WatchEvent::Added(lease) | WatchEvent::Modified(lease) => {
                    at = lease.metadata.resource_version.clone().unwrap();
                    versions.lock().unwrap().push(Version::of(lease));
                }
                WatchEvent::Bookmark(bookmark) => at = bookmark.metadata.resource_version,
                WatchEvent::Deleted(_) => return,
                WatchEvent::Error(error) => panic!("the history of the Lease has a gap: {error:?}"),
            }
        }
    }
}

/// Holds each version against the one before it.
pub fn check(versions: &[Version]) {
    let mut records: Vec<Record> = Vec::new();
    for pair in versions.windows(2) {
        let [before, after] = pair else { unreachable!() };
        let here = format!("\n{before:?}\n{after:?}");
        assert_eq!(
            (&after.note, &after.label),
            (&before.note, &before.label),
            "others' metadata{here}"
        );

        let taken = !after.holder.is_empty() && after.holder != before.holder;
        assert_eq!(
            after.transitions,
            before.transitions + i32::from(taken),
            "transitions{here}"
        );

        let ours = Side::of(&after.holder) == Some(Side::Members);
        let acquired = ours && after.acquired != before.acquired;
        match acquired {
            true => assert!(
                after.fence_number() > before.fence_number(),
                "each term of ours has a greater fence{here}"
            ),
            false => assert_eq!(
                after.fence, before.fence,
                "the fence stays within a term, and when another holds{here}"
            ),
        }
        if after.record != before.record {
            assert!(
                ours && !acquired && after.holder == before.holder,
                "only a holder of ours draws{here}"
            );
            let record = Record::parse(after.record.as_deref().unwrap()).unwrap();
            assert_eq!(
                (&record.holder, record.fence),
                (&after.holder, after.fence_number()),
                "{here}"
            );
            let previous = records.last();
            assert_eq!(
                record.round,
                previous.map_or(1, |previous| previous.round + 1),
                "{here}"
            );
            assert_eq!(record.previous, previous.map(|previous| previous.hash), "{here}");
            records.push(record);
        }
    }
}
