//! k8s/chart as a person installs it, with helm 3 and helm 4: what its notes say works, `helm test` passes, and the chain outlives an
//! upgrade, a rollback and an uninstallation.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::cluster::{Said, run, until};
use crate::group::{Group, Start};
use crate::plan::{Plan, root};
use crate::set::Set;
use crate::steps;

/// None, and a line that says so, where `tests/manifests/get-helm` has built none; a failure where CI=true.
pub fn group() -> Option<Group> {
    let absent = ["helm3", "helm4"].map(program).into_iter().find(|helm| !helm.is_file());
    if let Some(absent) = absent {
        println!(
            "chart: not run ({} is not here; tests/manifests/get-helm builds it)",
            absent.display()
        );
        assert!(std::env::var("CI").as_deref() != Ok("true"), "helm is not here");
        return None;
    }
    Some(Group {
        name: "chart",
        plan: Plan::nothing(),
        start: Start::Empty,
        steps: steps![
            the_chart_is_installed_tested_upgraded_and_uninstalled_with_helm_3,
            the_chart_is_installed_tested_upgraded_and_uninstalled_with_helm_4,
        ],
    })
}

fn program(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir));
    target.join("tools").join(name)
}

async fn the_chart_is_installed_tested_upgraded_and_uninstalled_with_helm_3(set: Set) {
    Release::new(&set, "helm3", "three", "three-").life().await;
}

async fn the_chart_is_installed_tested_upgraded_and_uninstalled_with_helm_4(set: Set) {
    Release::new(&set, "helm4", "four", "four-").life().await;
}

struct Release {
    helm: PathBuf,
    name: &'static str,
    set: Set,
}

impl Release {
    /// Its set is beside those of other releases.
    fn new(beside: &Set, program_name: &str, name: &'static str, prefix: &'static str) -> Release {
        let plan = Plan {
            prefix,
            ..Plan::nothing()
        };
        let set = Set {
            folder: beside.folder.join(name),
            plan,
            seen: Arc::default(),
            ..beside.clone()
        };
        std::fs::create_dir_all(&set.folder).unwrap();
        Release {
            helm: program(program_name),
            name,
            set,
        }
    }

    /// Short waits, and the image under test.
    fn values(&self) -> Value {
        let image = &self.set.cluster.given.image;
        let (repository, tag) = image.rsplit_once(':').unwrap();
        json!({
            "image": {"repository": repository, "tag": tag},
            "draw": {"schedule": "@every 1s"},
            "lease": {"duration": "3s"},
            "discovery": {"interval": "1s"},
            "shutdown": {"delay": "1s"},
            "podManagementPolicy": "Parallel",
        })
    }

    /// With no configuration of a person's own, and no complaint of the namespace's Pod Security Standard.
    async fn helm(&self, arguments: &[&str]) -> Said {
        let home = self.set.folder.display();
        let mut command: Vec<String> = ["CACHE", "CONFIG", "DATA"]
            .map(|kind| format!("HELM_{kind}_HOME={home}"))
            .into();
        command.push(self.helm.display().to_string());
        command.extend(arguments.iter().map(|word| (*word).to_owned()));
        command.extend(["--namespace".to_owned(), self.set.namespace.clone()]);
        let said = run("env", &command.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert!(!said.err.contains("PodSecurity"), "{}", said.err);
        said
    }

    async fn install(&self) -> Said {
        let file = self.set.folder.join("values.yaml");
        std::fs::write(&file, self.values().to_string()).unwrap();
        let chart = root().join("k8s/chart");
        let arguments = [
            "install",
            self.name,
            chart.to_str().unwrap(),
            "--values",
            file.to_str().unwrap(),
        ];
        let said = self
            .helm(&[&arguments[..], &["--wait", "--timeout", "100s"]].concat())
            .await;
        self.set.until_ready(3).await;
        said.expect_ok()
    }

    async fn test(&self) {
        let said = self
            .helm(&["test", self.name, "--logs", "--timeout", "100s"])
            .await
            .expect_ok();
        let verdict = format!("verified: set {}rg, ", self.set.plan.prefix);
        assert!(said.out.contains(&verdict), "{}", said.out);
    }

    async fn upgrade(&self, values: &[&str]) -> Said {
        let chart = root().join("k8s/chart");
        let mut arguments = vec!["upgrade", self.name, chart.to_str().unwrap(), "--reuse-values"];
        values.iter().for_each(|value| arguments.extend(["--set", value]));
        self.helm(&arguments).await
    }

    async fn life(&self) {
        let set = &self.set;
        let installed = self.install().await;
        self.test().await;
        self.try_notes(&installed.out).await;

        let refused = self.upgrade(&["replicas=many"]).await;
        assert!(
            !refused.ok && refused.err.contains("at '/replicas': got string, want integer"),
            "{}",
            refused.err
        );
        for (value, line) in [
            (
                "storage.size=20Mi",
                "storage.size is \"20Mi\" and the set has \"10Mi\": it can't be changed",
            ),
            (
                "podManagementPolicy=OrderedReady",
                "podManagementPolicy is \"OrderedReady\" and the set has \"Parallel\"",
            ),
        ] {
            let refused = self.upgrade(&[value]).await;
            assert!(!refused.ok && refused.err.contains(line), "{}", refused.err);
        }
        // What an uninstallation does to the claims is up to the set that is there.
        for (retention, line) in [
            ("Delete", "uninstall (which deletes the claims and all draws, unless"),
            ("Retain", "uninstall (the claims stay, as they are)"),
        ] {
            let value = format!("retention.whenDeleted={retention}");
            self.upgrade(&[&value]).await.expect_ok();
            let refused = self.upgrade(&["storage.size=20Mi"]).await;
            assert!(!refused.ok && refused.err.contains(line), "{}", refused.err);
        }
        let lacking = self.upgrade(&["monitoring.podMonitor.enabled=true"]).await;
        assert!(
            !lacking.ok && lacking.err.contains("no matches for kind \"PodMonitor\""),
            "{}",
            lacking.err
        );
        set.until_draws_go_on(&[0, 1, 2], 1).await;

        self.upgrade(&["replicas=4", "draw.schedule=@every 2s", "storage.size=10240Ki"])
            .await
            .expect_ok();
        set.until_ready(4).await;
        self.until_drawn_by("@every 2s").await;
        set.check_chain(&[0, 1, 2, 3]).await;
        self.helm(&["rollback", self.name, "1"]).await.expect_ok();
        set.until_ready(3).await;
        self.until_drawn_by("@every 1s").await;
        let drawn = set.check_chain(&[0, 1, 2]).await.len();

        self.helm(&["uninstall", self.name]).await.expect_ok();
        let gone = async || match set.pods().await? {
            pods if pods.is_empty() => Ok(()),
            pods => Err(format!("{} Pods", pods.len())),
        };
        until("the end of the members", gone).await;
        let lease = set.path(&format!("leases/{}", set.plan.named("random-generator")));
        until("the end of the Lease", async || set.cluster.gone(&lease).await).await;
        let claim = |ordinal: u16| set.path(&format!("persistentvolumeclaims/logs-{}", set.member(ordinal)));
        for ordinal in 0..4 {
            set.cluster.get(&claim(ordinal)).await.unwrap();
        }

        self.install().await;
        assert!(set.check_chain(&[0, 1, 2]).await.len() > drawn);
        self.test().await;
        self.helm(&["uninstall", self.name]).await.expect_ok();
    }

    async fn until_drawn_by(&self, schedule: &str) {
        let drawn = async || match self.set.json(0, "/draws/latest").await? {
            record if record["schedule"] == *schedule => Ok(()),
            record => Err(record.to_string()),
        };
        until(&format!("a draw by {schedule}"), drawn).await;
    }

    /// Runs what the notes tell a person to run, except what waits or deletes.
    async fn try_notes(&self, said: &str) {
        let commands = said.lines().filter_map(|line| line.strip_prefix("  kubectl "));
        let mut tried = 0;
        for command in commands.filter(|command| !command.contains("port-forward") && !command.contains(" delete ")) {
            let words: Vec<&str> = command.split(' ').collect();
            self.set.cluster.kubectl(&words).await.expect_ok();
            tried += 1;
        }
        assert!(tried >= 6, "{said}");
    }
}
