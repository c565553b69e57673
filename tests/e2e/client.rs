//! A Pod that asks members as other Pods do, on a node of choice: it goes on when the API server doesn't, and tells afterwards what
//! it was answered. It writes to a volume of its own: a node may rotate or drop the log of a container, and may make a container
//! again that it started just before it was cut off.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{BUILD, PATIENCE, every, run_within, until};
use crate::plan::root;
use crate::pod::Pod;
use crate::set::Set;

/// Each failure a line of its own, so that none is lost; the total now and then.
const LOAD: &str = r#"
exec >>/tmp/answers
n=$(sed -n 's/^total //p' /tmp/answers | tail -n 1)
n=${n:-0}
while :; do
  for url in $URLS; do
    n=$((n + 1))
    why=$(timeout 3 wget -q -O /dev/null "$url" 2>&1) || echo "failed $(date +%T) $url: ${why:-no answer within 3 s}"
  done
  [ $((n % 10)) -ne 0 ] || echo "total $n"
  sleep "$PAUSE"
done"#;

/// Each answer a line: Unix time, URL, body.
const WATCH: &str = r#"
exec >>/tmp/answers
while :; do
  for url in $URLS; do
    body=$(timeout 2 wget -q -O - "$url" 2>/dev/null) || body=failed
    echo "$(date +%s) $url $body"
  done
  sleep "$PAUSE"
done"#;

/// Runs what [`Client::keep_alive`] copies.
const KEEP_ALIVE: &str = "until [ -e /tmp/begin ]; do sleep 0.1; done; exec /tmp/keep-alive $URLS >>/tmp/answers";

/// Dropped, it is left to the deletion of its namespace.
pub struct Client {
    set: Set,
    name: String,
}

impl Client {
    /// Asks these URLs in turn, without rest, and counts.
    pub async fn load(set: &Set, name: &str, urls: &[String]) -> Client {
        Client::start(set, name, LOAD, urls, "0.02", None).await
    }

    /// Asks these URLs from a node, and keeps what they answer.
    pub async fn watch(set: &Set, name: &str, urls: &[String], node: &str) -> Client {
        Client::start(set, name, WATCH, urls, "0.3", Some(node)).await
    }

    /// Five clients of a Service's address and one of each Pod, which keep their connections. A Pod's client waits for
    /// [`Client::announce`] when its own has ended.
    pub async fn keep_alive(set: &Set, name: &str, service: &str, pods: &[Pod]) -> Client {
        let mut targets = vec![service.to_owned(); 5];
        targets.extend(pods.iter().map(address_file));
        let client = Client::create(set, name, KEEP_ALIVE, &targets, "", None).await;
        let program = build_keep_alive(&set.folder).await;
        let running = async || {
            let said = set.kubectl(&["exec", name, "--", "true"]).await;
            if said.ok { Ok(()) } else { Err(said.err) }
        };
        until(&format!("{name}, running"), running).await;
        set.kubectl(&["cp", &program, &format!("{name}:/tmp/keep-alive")])
            .await
            .expect_ok();
        for pod in pods {
            client.announce(pod).await;
        }
        client.shell("touch /tmp/begin").await;
        client.until_answered().await;
        client
    }

    /// The client of this ordinal's Pods may ask this one from now on.
    pub async fn announce(&self, pod: &Pod) {
        self.shell(&format!("echo {}:8080 >>{}", pod.ip, address_file(pod)))
            .await;
    }

    async fn shell(&self, script: &str) {
        let command = ["exec", &self.name, "--", "sh", "-c", script];
        self.set.kubectl(&command).await.expect_ok();
    }

    /// How many connections to a Pod of this ordinal ended because an answer said so.
    pub async fn ended(&self, pod: &Pod) -> usize {
        let ended = format!("ended {}", address_file(pod));
        self.log().await.lines().filter(|line| *line == ended).count()
    }

    async fn start(set: &Set, name: &str, script: &str, urls: &[String], pause: &str, node: Option<&str>) -> Client {
        let client = Client::create(set, name, script, urls, pause, node).await;
        client.until_answered().await;
        client
    }

    async fn create(set: &Set, name: &str, script: &str, urls: &[String], pause: &str, node: Option<&str>) -> Client {
        let env = json!([{"name": "URLS", "value": urls.join(" ")}, {"name": "PAUSE", "value": pause}]);
        let mut pod = shell_pod(set, name, script);
        pod["spec"]["containers"][0]["env"] = env;
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "tmp", "mountPath": "/tmp"}]);
        pod["spec"]["volumes"] = json!([{"name": "tmp", "emptyDir": {}}]);
        if let Some(node) = node {
            pod["spec"]["nodeName"] = json!(node);
        }
        set.cluster.create(&set.path("pods"), &pod).await.unwrap();
        Client {
            set: set.clone(),
            name: name.to_owned(),
        }
    }

    /// Waits until the API server reports it running, too: a node cut off before it has reported that may make the container again.
    async fn until_answered(&self) {
        let path = self.set.path(&format!("pods/{}", self.name));
        let running = async || match self.set.cluster.get(&path).await?["status"]["phase"].as_str() {
            Some("Running") => Ok(()),
            phase => Err(format!("{phase:?}")),
        };
        until(&format!("{}, running", self.name), running).await;
        let first = async || match self.log().await {
            log if log.lines().count() > 0 => Ok(()),
            log => Err(log),
        };
        until(&format!("the first answer to {}", self.name), first).await;
    }

    /// Empty as long as it can't be read: its container may not have begun yet.
    async fn log(&self) -> String {
        let said = self
            .set
            .kubectl(&["exec", &self.name, "--", "cat", "/tmp/answers"])
            .await;
        if said.ok { said.out } else { String::new() }
    }

    async fn total(&self) -> Result<u64, String> {
        let log = self.log().await;
        let total = log
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("total ")?.parse().ok());
        total.ok_or_else(|| format!("no total in {} lines", log.lines().count()))
    }

    /// Waits for requests that were begun after this, so that all that were under way before are counted.
    pub async fn counted(&self) -> (u64, Vec<String>) {
        let before = until("a total", async || self.total().await).await;
        let more = async || match self.total().await? {
            total if total >= before + 20 => Ok(total),
            total => Err(format!("{total} requests")),
        };
        let total = every(Duration::from_millis(200), PATIENCE, "more requests", more).await;
        let log = self.log().await;
        (
            total,
            log.lines()
                .filter(|line| line.starts_with("failed"))
                .map(str::to_owned)
                .collect(),
        )
    }

    /// Ends it. Not one request may have failed. Returns how many there were.
    pub async fn stop_without_failure(self) -> u64 {
        let (total, failed) = self.counted().await;
        self.delete().await;
        assert!(
            failed.is_empty(),
            "{} of {total} requests failed:\n{}",
            failed.len(),
            failed.join("\n")
        );
        total
    }

    /// (Unix time, URL, body) of each answer so far.
    pub async fn answers(&self) -> Vec<(u64, String, String)> {
        let log = until("its log", async || match self.log().await {
            log if log.is_empty() => Err("nothing"),
            log => Ok(log),
        })
        .await;
        let line = |line: &str| {
            let mut parts = line.splitn(3, ' ');
            let time = parts.next()?.parse().ok()?;
            Some((time, parts.next()?.to_owned(), parts.next()?.to_owned()))
        };
        log.lines().filter_map(line).collect()
    }

    pub async fn delete(self) {
        self.set
            .cluster
            .delete(&self.set.path(&format!("pods/{}", self.name)))
            .await
            .unwrap();
    }
}

/// The file in which the keep-alive client of this ordinal's Pods finds their addresses.
fn address_file(pod: &Pod) -> String {
    format!("/tmp/{}", pod.name)
}

/// Builds the keep-alive client as one static file; returns its path.
async fn build_keep_alive(folder: &Path) -> String {
    let program = folder.join("keep-alive").to_str().unwrap().to_owned();
    let source = root().join("tests/e2e/keep_alive.rs");
    let flags = [
        "--edition=2024",
        "-O",
        "-Ctarget-feature=+crt-static",
        "-Cstrip=symbols",
    ];
    let files = [source.to_str().unwrap(), "-o", &program];
    let rustc = Path::new(env!("CARGO")).with_file_name("rustc");
    run_within(BUILD, rustc, &[&flags[..], &files].concat())
        .await
        .expect_ok();
    program
}

/// A Pod with a shell, which runs a script, as `restricted` as the members.
pub fn shell_pod(set: &Set, name: &str, script: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": set.namespace, "labels": {"app.kubernetes.io/name": "e2e-client"}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "restartPolicy": "Never",
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "client",
                "image": set.cluster.given.client_image,
                "command": ["sh", "-c", script],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    })
}

impl Set {
    /// The client Service, by its address: DNS is another test's.
    pub async fn service_url(&self) -> String {
        let service = self
            .cluster
            .get(&self.path("services/random-generator-client"))
            .await
            .unwrap();
        format!("http://{}/", service["spec"]["clusterIP"].as_str().unwrap())
    }

    /// Each member by its own address.
    pub async fn member_urls(&self) -> Vec<String> {
        let pods = until("the Pods", async || self.pods().await).await;
        pods.iter().map(|pod| format!("http://{}:8080/", pod.ip)).collect()
    }
}
