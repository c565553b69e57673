//! Runs tests that share a set, and clears away after them.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::cluster::{Cluster, until};
use crate::plan::Plan;
use crate::set::Set;

/// Longer than any of them takes, on a busy machine too.
const STEP: Duration = Duration::from_secs(480);

type Test = Box<dyn Fn(Set) -> Pin<Box<dyn Future<Output = ()>>>>;

pub struct Step {
    pub name: &'static str,
    pub test: Test,
}

/// What a set has before the first test.
#[derive(Clone, Copy)]
pub enum Start {
    Empty,
    /// So many members are ready.
    Ready(u16),
    /// And each has a draw. A first chain needs every voter: a fault before it stops all draws, as it should.
    Drawing(u16),
}

/// Tests of one set, in this order.
pub struct Group {
    pub name: &'static str,
    pub plan: Plan,
    pub start: Start,
    pub steps: Vec<Step>,
}

/// The tests by their names.
#[macro_export]
macro_rules! steps {
    ($($test:path),+ $(,)?) => {
        vec![$($crate::group::Step {
            name: stringify!($test).rsplit("::").next().unwrap().trim(),
            test: Box::new(|set| Box::pin($test(set))),
        }),+]
    };
}

#[derive(Default)]
struct Verdict {
    passed: usize,
    failed: Vec<String>,
    namespaces: Vec<String>,
}

/// Clones are of the same run.
#[derive(Clone)]
pub struct Run {
    cluster: Arc<Cluster>,
    name: String,
    verdict: Arc<Mutex<Verdict>>,
}

impl Run {
    pub fn new(cluster: Arc<Cluster>) -> Run {
        Run {
            cluster,
            name: format!("random-generator-e2e-{:04x}", rand::random::<u16>()),
            verdict: Arc::default(),
        }
    }

    pub async fn group(&self, group: Group) {
        let mut set = None;
        for step in &group.steps {
            let began = Instant::now();
            let outcome = self.step(&group, step, &mut set).await;
            let took = began.elapsed().as_secs_f64();
            let mended = match &set {
                Some(set) => self.cluster.mend_all(Some(&set.namespace)).await,
                None => Ok(()),
            };
            match outcome.and(mended) {
                Ok(()) => {
                    println!("ok      {:5.1} s  {}", took, step.name);
                    self.told().passed += 1;
                }
                Err(why) => {
                    let found = match set.take() {
                        Some(set) => self.give_up(set).await,
                        None => String::new(),
                    };
                    println!("FAILED  {:5.1} s  {}\n{why}\n{found}", took, step.name);
                    self.told().failed.push(step.name.to_owned());
                }
            }
        }
        if let Some(set) = set {
            let _ = self.delete(&set.namespace).await;
        }
    }

    async fn give_up(&self, set: Set) -> String {
        let found = timeout(Duration::from_secs(60), set.describe()).await;
        let _ = self.delete(&set.namespace).await;
        found.unwrap_or_else(|_| "(the cluster doesn't say more)".to_owned())
    }

    async fn step(&self, group: &Group, step: &Step, set: &mut Option<Set>) -> Result<(), String> {
        if set.is_none() {
            let name = {
                let mut verdict = self.told();
                let name = format!("{}-{}-{}", self.name, group.name, verdict.namespaces.len());
                verdict.namespaces.push(name.clone());
                name
            };
            let (cluster, plan, start) = (self.cluster.clone(), group.plan.clone(), group.start);
            let made = async move {
                let set = Set::deploy(cluster, &name, plan).await;
                match start {
                    Start::Empty => {}
                    Start::Ready(members) => {
                        set.until_ready(members).await;
                    }
                    Start::Drawing(members) => {
                        set.until_ready(members).await;
                        for ordinal in 0..members {
                            set.until_round(ordinal, 1).await;
                        }
                    }
                }
                set
            };
            *set = Some(caught(made).await?);
        }
        let set = set.clone().ok_or("no set")?;
        caught((step.test)(set)).await
    }

    /// Begins the deletion of a namespace. Its Pods end before: as long as one is there, Kubernetes looks again only after half of its
    /// grace period.
    async fn delete(&self, namespace: &str) -> Result<(), String> {
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        for kind in ["statefulsets", "deployments", "replicasets"] {
            self.cluster
                .delete(&format!("/apis/apps/v1/namespaces/{namespace}/{kind}"))
                .await?;
        }
        self.cluster.delete(&pods).await?;
        let ended = async {
            let none = async || match self.cluster.get(&pods).await?["items"].as_array() {
                Some(pods) if pods.is_empty() => Ok(()),
                pods => Err(format!("{} Pods", pods.map_or(0, Vec::len))),
            };
            until(&format!("the end of the Pods of {namespace}"), none).await;
        };
        let _ = timeout(Duration::from_secs(30), ended).await;
        self.cluster.delete(&format!("/api/v1/namespaces/{namespace}")).await
    }

    /// Mends and deletes everything that this run made, and waits until it is gone.
    pub async fn clear(&self) -> Result<(), String> {
        let mended = self.cluster.mend_all(None).await;
        let namespaces = self.told().namespaces.clone();
        let cleared = async {
            // All at once; some wait for the grace period of a Pod.
            for namespace in &namespaces {
                let _ = self.cluster.delete(&format!("/api/v1/namespaces/{namespace}")).await;
            }
            for namespace in &namespaces {
                let path = format!("/api/v1/namespaces/{namespace}");
                until(&format!("the end of {namespace}"), async || {
                    self.cluster.delete(&path).await?;
                    self.cluster.gone(&path).await
                })
                .await;
            }
        };
        let cleared = timeout(Duration::from_secs(180), cleared).await;
        mended?;
        cleared.map_err(|_| format!("namespaces {namespaces:?} are not gone"))
    }

    /// How many passed, and the names of those that failed.
    pub fn verdict(&self) -> (usize, Vec<String>) {
        let told = self.told();
        (told.passed, told.failed.clone())
    }

    fn told(&self) -> MutexGuard<'_, Verdict> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A panic as an error: what it said.
async fn caught<T: 'static>(test: impl Future<Output = T> + 'static) -> Result<T, String> {
    let mut running = JoinSet::new();
    running.spawn_local(timeout(STEP, test));
    match running.join_next().await {
        Some(Ok(Ok(value))) => Ok(value),
        Some(Ok(Err(_))) => Err(format!("not done within {STEP:?}")),
        Some(Err(error)) => Err(error
            .try_into_panic()
            .map_or_else(|_| "cancelled".to_owned(), |said| words(&*said))),
        None => Err("it never ran".to_owned()),
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()))
        .unwrap_or_default()
}
