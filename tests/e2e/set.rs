//! A set of members in a namespace of its own, as a person sees it: its Pods, its Lease, and what each member says.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::chain::Seen;
use crate::cluster::{Cluster, PATIENCE, Said, Undo, every, run, until};
use crate::plan::Plan;
use crate::pod::{Pod, ordinal_of, text};

/// Clones are of the same set.
#[derive(Clone)]
pub struct Set {
    pub cluster: Arc<Cluster>,
    pub namespace: String,
    pub plan: Plan,
    /// What `kubectl apply` said at first.
    pub applied: Said,
    pub folder: PathBuf,
    /// Every record that any member ever showed.
    pub seen: Arc<Mutex<Seen>>,
}

/// Who holds the lease, by the Lease itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub ordinal: u16,
    pub identity: String,
    pub fence: u64,
}

impl Set {
    /// A namespace that warns of what is not `restricted`, and the plan in it.
    pub async fn deploy(cluster: Arc<Cluster>, namespace: &str, plan: Plan) -> Set {
        cluster
            .create(
                "/api/v1/namespaces",
                &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
                    "name": namespace,
                    "labels": {"pod-security.kubernetes.io/warn": "restricted", "random-generator-e2e": "true"},
                }}),
            )
            .await
            .unwrap();
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("e2e").join(namespace);
        let mut set = Set {
            cluster,
            namespace: namespace.to_owned(),
            plan,
            applied: Said {
                ok: false,
                out: String::new(),
                err: String::new(),
            },
            folder,
            seen: Arc::default(),
        };
        if set.plan.overlay.ends_with("secured") {
            let (kubectl, namespace) = (
                format!("KUBECTL={}", set.cluster.given.kubectl),
                format!("NAMESPACE={namespace}"),
            );
            run("make", &["peer-secret", &kubectl, &namespace]).await.expect_ok();
        }
        if !set.plan.overlay.is_empty() {
            set.applied = set.apply(&set.plan).await;
        }
        set
    }

    /// Another set in the same namespace. It goes with the namespace, or by [`Set::delete`].
    pub async fn beside(&self, plan: Plan) -> Set {
        let mut set = Set {
            folder: self.folder.join(plan.named("rg")),
            plan,
            seen: Arc::default(),
            ..self.clone()
        };
        set.applied = set.apply(&set.plan).await;
        set
    }

    /// Begins the deletion of all that the plan has; claims stay.
    pub async fn delete(&self) {
        let arguments = ["delete", "--kustomize", self.folder.to_str().unwrap(), "--wait=false"];
        self.kubectl(&arguments).await.expect_ok();
    }

    /// A member's name.
    pub fn member(&self, ordinal: u16) -> String {
        format!("{}-{ordinal}", self.plan.named("rg"))
    }

    /// The StatefulSet.
    pub async fn object(&self) -> Result<Value, String> {
        self.cluster
            .get(&self.path(&format!("statefulsets/{}", self.plan.named("rg"))))
            .await
    }

    pub fn path(&self, resource: &str) -> String {
        let group = match resource.split(['/', '?']).next().unwrap() {
            "leases" => "apis/coordination.k8s.io/v1",
            "statefulsets" | "deployments" => "apis/apps/v1",
            "roles" | "rolebindings" => "apis/rbac.authorization.k8s.io/v1",
            "endpointslices" => "apis/discovery.k8s.io/v1",
            _ => "api/v1",
        };
        format!("/{group}/namespaces/{}/{resource}", self.namespace)
    }

    /// `kubectl apply`, of the same plan or of another.
    pub async fn apply(&self, plan: &Plan) -> Said {
        plan.write(&self.folder, &self.cluster.given.image);
        self.kubectl(&["apply", "--kustomize", self.folder.to_str().unwrap()])
            .await
            .expect_ok()
    }

    pub async fn kubectl(&self, arguments: &[&str]) -> Said {
        let arguments = [&["--namespace", &self.namespace], arguments].concat();
        self.cluster.kubectl(&arguments).await
    }

    pub async fn pods(&self) -> Result<Vec<Pod>, String> {
        let name = self.plan.named("random-generator");
        self.pods_with(&format!(
            "app.kubernetes.io/component=member,app.kubernetes.io/name={name}"
        ))
        .await
    }

    pub async fn pods_with(&self, labels: &str) -> Result<Vec<Pod>, String> {
        let list = self
            .cluster
            .get(&self.path(&format!("pods?labelSelector={labels}")))
            .await?;
        let mut pods: Vec<Pod> = list["items"].as_array().unwrap().iter().map(Pod::of).collect();
        pods.sort_by_key(|pod| pod.ordinal);
        Ok(pods)
    }

    pub async fn pod(&self, ordinal: u16) -> Result<Pod, String> {
        let found = self.pods().await?.into_iter().find(|pod| pod.ordinal == ordinal);
        found.ok_or_else(|| format!("no {}", self.member(ordinal)))
    }

    /// Waits until exactly these many members are there, each ready, and of the newest revision where no partition holds it back.
    pub async fn until_ready(&self, members: u16) -> Vec<Pod> {
        self.until_ready_within(PATIENCE, members).await
    }

    pub async fn until_ready_within(&self, limit: Duration, members: u16) -> Vec<Pod> {
        let ready = async || {
            let set = self.object().await?;
            if set.pointer("/status/observedGeneration") != set.pointer("/metadata/generation") {
                return Err("its status is old".to_owned());
            }
            let update = text(&set, "/status/updateRevision");
            let partition = set
                .pointer("/spec/updateStrategy/rollingUpdate/partition")
                .and_then(Value::as_u64);
            let partition = partition.unwrap_or(0);
            let pods = self.pods().await?;
            let done = |pod: &Pod| {
                pod.ready && !pod.terminating && (u64::from(pod.ordinal) < partition || pod.revision == update)
            };
            if pods.iter().filter(|pod| done(pod)).count() == usize::from(members) && pods.len() == usize::from(members)
            {
                return Ok(pods);
            }
            let told = pods.iter().map(|pod| {
                let Pod {
                    name,
                    ready,
                    terminating,
                    waits_for,
                    ..
                } = pod;
                format!("{name} ready={ready} terminating={terminating} {waits_for}")
            });
            Err(told.collect::<Vec<_>>().join(", "))
        };
        every(
            Duration::from_millis(200),
            limit,
            &format!("{members} members, ready"),
            ready,
        )
        .await
    }

    /// Waits until the controller has seen the newest template: a Pod deleted before it may come back with the old one, and a Pod
    /// that never becomes ready isn't replaced.
    pub async fn until_observed(&self) {
        let observed = async || match self.object().await? {
            set if set.pointer("/status/observedGeneration") == set.pointer("/metadata/generation") => Ok(()),
            set => Err(set["status"].to_string()),
        };
        until("a status of the newest template", observed).await;
    }

    pub async fn delete_pod(&self, ordinal: u16) {
        self.cluster
            .delete(&self.path(&format!("pods/{}", self.member(ordinal))))
            .await
            .unwrap();
    }

    /// Waits until the Pod is another one than `old`, and ready.
    pub async fn until_replaced(&self, old: &Pod) -> Pod {
        let replaced = async || match self.pod(old.ordinal).await? {
            pod if pod.uid != old.uid && pod.ready => Ok(pod),
            pod => Err(format!("{pod:?}")),
        };
        until(&format!("another {}, ready", old.name), replaced).await
    }

    /// What a member answers, whatever the status.
    pub async fn answer(&self, ordinal: u16, path: &str) -> Result<(StatusCode, String), String> {
        self.asked(Request::get(self.proxy(ordinal, 8080, path)).body(Vec::new()).unwrap())
            .await
    }

    /// Through the API server, which every cluster offers.
    pub fn proxy(&self, ordinal: u16, port: u16, path: &str) -> String {
        self.path(&format!("pods/{}:{port}/proxy{path}", self.member(ordinal)))
    }

    pub async fn asked(&self, request: Request<Vec<u8>>) -> Result<(StatusCode, String), String> {
        let (status, body) = self.cluster.ask(request).await?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    pub async fn text(&self, ordinal: u16, path: &str) -> Result<String, String> {
        match self.answer(ordinal, path).await? {
            (StatusCode::OK, body) => Ok(body),
            (status, body) => Err(format!("{}{path}: {status}: {body}", self.member(ordinal))),
        }
    }

    pub async fn json(&self, ordinal: u16, path: &str) -> Result<Value, String> {
        let body = self.text(ordinal, path).await?;
        serde_json::from_str(&body).map_err(|error| format!("{}{path}: {error}: {body}", self.member(ordinal)))
    }

    /// The value of a metric, by its name and labels as they are written, without the prefix.
    pub async fn metric(&self, ordinal: u16, name: &str) -> Result<f64, String> {
        let request = Request::get(self.proxy(ordinal, 9797, "/metrics"))
            .body(Vec::new())
            .unwrap();
        let (_, text) = self.asked(request).await?;
        let name = format!("random_generator_{name}");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&name)?.strip_prefix(' ')?.parse().ok());
        line.ok_or_else(|| format!("{} has no metric {name}", self.member(ordinal)))
    }

    /// What `/readyz` says is wrong with one part.
    pub async fn degraded(&self, ordinal: u16, source: &str) -> Result<Option<String>, String> {
        let says = self.json(ordinal, "/readyz").await?;
        let list = says["degraded"].as_array().cloned().unwrap_or_default();
        let found = list.iter().find(|degraded| degraded["source"] == source);
        Ok(found.map(|degraded| text(degraded, "/reason")))
    }

    pub async fn until_undegraded(&self, ordinals: &[u16]) {
        for ordinal in ordinals {
            let well = async || match self.json(*ordinal, "/readyz").await? {
                says if says["degraded"] == json!([]) => Ok(()),
                says => Err(says.to_string()),
            };
            until(&format!("{}, not degraded", self.member(*ordinal)), well).await;
        }
    }

    pub async fn lease(&self) -> Result<Value, String> {
        self.cluster
            .get(&self.path(&format!("leases/{}", self.plan.named("random-generator"))))
            .await
    }

    pub async fn held(&self) -> Result<Holder, String> {
        let lease = self.lease().await?;
        let identity = text(&lease, "/spec/holderIdentity");
        let fence = text(&lease, "/metadata/annotations/random-generator~1fence");
        let member = identity.split_once('_').map(|(member, _)| ordinal_of(member));
        let ordinal = member.ok_or_else(|| format!("nobody holds the lease: {}", lease["spec"]))?;
        let fence = fence.parse().map_err(|_| format!("no fence: {lease}"))?;
        Ok(Holder {
            ordinal,
            identity,
            fence,
        })
    }

    /// The holder, once a member says itself that it leads.
    pub async fn holder(&self) -> Holder {
        let leading = async || {
            let holder = self.held().await?;
            let says = self.json(holder.ordinal, "/leader").await?;
            match says["self"] == true && says["fence"] == holder.fence {
                true => Ok(holder),
                false => Err(format!("{holder:?}, which says {says}")),
            }
        };
        until("a member that leads", leading).await
    }

    /// Waits until the lease is held with a greater fence; the moment at which the Lease was seen to say so.
    pub async fn takeover(&self, after: &Holder) -> (Holder, Instant) {
        let taken = async || match self.held().await? {
            holder if holder.fence > after.fence => Ok((holder, Instant::now())),
            holder => Err(format!("{holder:?}")),
        };
        every(Duration::from_millis(10), PATIENCE, "another holder", taken).await
    }

    /// The newest round that a member shows; 0 when there is none.
    pub async fn round(&self, ordinal: u16) -> Result<u64, String> {
        match self.answer(ordinal, "/draws/latest").await? {
            (StatusCode::OK, body) => {
                let record: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
                record["round"].as_u64().ok_or(body)
            }
            (StatusCode::NOT_FOUND, body) if body.contains("urn:") || body.contains("title") => Ok(0),
            (status, body) => Err(format!("{}: {status}: {body}", self.member(ordinal))),
        }
    }

    pub async fn until_round(&self, ordinal: u16, round: u64) {
        let there = async || match self.round(ordinal).await? {
            newest if newest >= round => Ok(()),
            newest => Err(format!("round {newest}")),
        };
        until(&format!("round {round} at {}", self.member(ordinal)), there).await;
    }

    /// Waits until these members have drawn so many rounds more than any of them shows now.
    pub async fn until_draws_go_on(&self, ordinals: &[u16], more: u64) -> u64 {
        let mut newest = 0;
        for ordinal in ordinals {
            newest = newest.max(until("a round", async || self.round(*ordinal).await).await);
        }
        for ordinal in ordinals {
            self.until_round(*ordinal, newest + more).await;
        }
        newest + more
    }

    /// How often containers of members were started again, by Pod.
    pub async fn restarts(&self) -> Vec<(String, u64)> {
        let pods = until("the Pods", async || self.pods().await).await;
        pods.into_iter().map(|pod| (pod.uid, pod.restarts)).collect()
    }

    /// To be done when the test ends, however it ends; `Cluster::mend` does it earlier.
    pub fn mend_later(&self, command: &[&str]) -> Undo {
        self.cluster.mend_later(&self.namespace, command)
    }
}
