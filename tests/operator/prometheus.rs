//! A real Prometheus scrapes real members each second, and the dashboard's queries say what happens to them.
//!
//! Debian's package; `tests/operator/get-prometheus` puts it where it is found. Without it this says so, and fails where CI=true.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::dashboard::queries_of;
use crate::harness::{Member, PATIENCE, ask, until, volume};
use crate::page;
use crate::set::Set;

/// On PATH, or where the script puts it.
#[allow(clippy::disallowed_methods)] // where programs are, and whether nobody may skip this
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    let found = std::env::split_paths(&path)
        .chain([target.join("tools/prometheus/usr/bin")])
        .map(|directory| directory.join(program))
        .find(|file| file.is_file());
    if found.is_none() {
        println!("{program}: not run (it is not here; tests/operator/get-prometheus gets it)");
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "{program} is not here"
        );
    }
    found
}

/// Name → query, in their order.
pub fn queries() -> Vec<(String, String)> {
    let text = page::read("dashboards/queries.promql");
    let queries: Vec<_> = text
        .split("\n\n")
        .skip(1)
        .map(|part| {
            let (name, query) = part.trim().split_once('\n').unwrap();
            (name.strip_prefix("# ").unwrap().to_owned(), query.to_owned())
        })
        .collect();
    assert!(queries.len() > 15 && queries.iter().all(|(_, query)| !query.contains("\n#")));
    queries
}

struct Prometheus {
    child: Child,
    port: u16,
    log: PathBuf,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    fn start(program: &Path, set: &Set) -> Prometheus {
        let directory = tempfile::tempdir().unwrap();
        let targets: String = (0..3)
            .map(|ordinal| {
                let port = set.member(ordinal).base + 3;
                format!(
                    "      - {{targets: ['127.0.0.1:{port}'], labels: {{namespace: default, member: rg-{ordinal}}}}}\n"
                )
            })
            .collect();
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['{}']\n\
             scrape_configs:\n  - job_name: random-generator\n    static_configs:\n{targets}",
            page::path("dashboards/alerts.yaml").display()
        );
        let file = directory.path().join("prometheus.yaml");
        fs::write(&file, config).unwrap();
        let log = directory.path().join("log");
        let child = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.path().join("data").display()
            ))
            .args(["--web.listen-address=127.0.0.1:0", "--log.format=json"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut prometheus = Prometheus {
            child,
            port: 0,
            log,
            _directory: directory,
        };
        prometheus.port = until("the port of Prometheus", || {
            let log = fs::read_to_string(&prometheus.log).unwrap();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let mut addresses = lines.filter(|line| line["msg"] == "Listening on");
            let address = addresses.next()?["address"].as_str()?.to_owned();
            address.rsplit(':').next()?.parse().ok()
        });
        until("Prometheus ready", || {
            prometheus.get("/-/ready").starts_with("HTTP/1.0 200").then_some(())
        });
        prometheus
    }

    /// The whole answer; in HTTP/1.0, where a body comes in one piece.
    fn get(&self, target: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else {
            return String::new();
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {target} HTTP/1.0\r\nhost: 127.0.0.1\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn api(&self, target: &str) -> Value {
        let answer = self.get(target);
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let value: Value = serde_json::from_str(body).unwrap();
        assert_eq!(value["status"], "success", "{target}: {value}");
        value["data"].clone()
    }

    /// (labels, value) of each series.
    fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let data = self.api(&format!("/api/v1/query?query={encoded}"));
        let result = data["result"].as_array().unwrap().clone();
        let value = |series: &Value| series["value"][1].as_str().unwrap().parse().unwrap();
        result
            .iter()
            .map(|series| (series["metric"].clone(), value(series)))
            .collect()
    }

    /// Of a query that is in the file under a name that begins so.
    fn named(&self, name: &str) -> Vec<(Value, f64)> {
        let queries = queries();
        let mut found = queries.iter().filter(|(of, _)| of.starts_with(name));
        let (Some((_, query)), None) = (found.next(), found.next()) else {
            panic!("not one query is named {name}");
        };
        self.query(query)
    }

    /// Its only value.
    fn one(&self, name: &str) -> Option<f64> {
        match &self.named(name)[..] {
            [(_, value)] => Some(*value),
            _ => None,
        }
    }

    fn until(&self, name: &str, right: impl Fn(f64) -> bool) -> f64 {
        until(name, || self.one(name).filter(|value| right(*value)))
    }

    fn is_alerting(&self, name: &str) -> Option<()> {
        let alerts = self.api("/api/v1/alerts");
        let alerts = alerts["alerts"].as_array().unwrap();
        alerts
            .iter()
            .any(|alert| alert["labels"]["alertname"] == name)
            .then_some(())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "--- log of Prometheus ---\n{}",
                fs::read_to_string(&self.log).unwrap_or_default()
            );
        }
        let _ = kill_process(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    let Some(promtool) = find("promtool") else { return };
    let (_directory, volume) = volume();
    let member = Member::start(&volume, &["--draw-schedule", "@every 1s"]);
    member.until_round(1);
    let text = ask(member.base + 3, "GET", "/metrics", &[], b"").unwrap().text();
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_alerts_are_what_prometheus_takes_for_rules() {
    let Some(promtool) = find("promtool") else { return };
    let rules = page::path("dashboards/alerts.yaml");
    let output = Command::new(promtool)
        .args(["check", "rules"])
        .arg(rules)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("6 rules found"),
        "{output:?}"
    );
}

#[test]
fn a_dashboard_says_who_leads_how_draws_go_and_why_they_stopped() {
    let Some(program) = find("prometheus") else { return };
    let set = Set::start(3, &[]);
    let prometheus = Prometheus::start(&program, &set);
    let busy = || {
        for ordinal in 0..3 {
            assert_eq!(set.member(ordinal).get("/").unwrap().status, 200);
        }
    };
    until("every query with something to say", || {
        busy();
        let silent = |(name, query): &(String, String)| {
            // What is wrong, of which there is nothing yet.
            !query.ends_with("> 0") && prometheus.query(query).is_empty() && !name.is_empty()
        };
        let dashboard = queries_of("default", "random-generator");
        (!queries().iter().chain(&dashboard).any(silent)).then_some(())
    });
    let of_another = queries_of("default", "another");
    assert!(of_another.iter().all(|(_, query)| prometheus.query(query).is_empty()));
    prometheus.until("Members that answer", |members| members == 3.0);
    prometheus.until("Members that are ready", |members| members == 3.0);
    prometheus.until("Members that lead", |leaders| leaders == 1.0);
    prometheus.until("Draws a minute", |draws| draws > 20.0 && draws < 80.0);
    prometheus.until("Age of the newest draw", |periods| periods < 2.0);
    prometheus.until("Round of the newest draw", |round| round >= 2.0);
    prometheus.until("Time until the holder stops", |left| left > 0.0 && left < 2.0);
    prometheus.until("Members whose ledger", |members| members == 0.0);
    prometheus.until("Age of the list of peers", |age| age < 10.0);
    prometheus.until("Share of requests that failed", |share| share == 0.0);
    prometheus.until("99 of 100 requests", |time| time > 0.0 && time < 5.0);
    prometheus.until("99 of 100 entries", |time| time > 0.0 && time < 5.0);
    prometheus.until("Fill of the fullest journal", |fill| fill > 0.0 && fill < 1.0);
    let routes = prometheus.named("Requests a second");
    assert!(
        routes
            .iter()
            .any(|(labels, rate)| labels["route"] == "/" && *rate > 0.0),
        "{routes:?}"
    );
    assert_eq!(prometheus.named("Age of what a member knows").len(), 3);
    assert_eq!(prometheus.named("Entries that no journal has"), []);
    let targets = prometheus.api("/api/v1/targets");
    for target in targets["activeTargets"].as_array().unwrap() {
        assert_eq!(
            (&target["health"], &target["lastError"]),
            (&"up".into(), &"".into()),
            "{target}"
        );
    }

    // Two of three members stop answering: whoever leads finds no majority.
    let holder = set.holder();
    let others: Vec<u16> = (0..3).filter(|ordinal| *ordinal != holder).collect();
    others
        .iter()
        .for_each(|ordinal| set.member(*ordinal).signal(Signal::STOP));
    let of = |name: &str, label: &str, value: &str| {
        prometheus
            .named(name)
            .into_iter()
            .find(|(labels, _)| labels[label] == value)
            .map(|(_, found)| found)
    };
    until("why slots were missed", || {
        of("Why slots were missed", "outcome", "no_majority")
    });
    let lost = until("members lost", || of("Members lost to the holder", "state", "timeout"));
    assert!((1.0..=2.0).contains(&lost), "{lost}");
    prometheus.until("Members that answer", |members| members == 1.0);
    prometheus.until("Age of the newest draw", |periods| periods > 3.0);
    until("what is degraded", || of("What is degraded", "source", "draw"));
    until("an alert", || prometheus.is_alerting("RandomGeneratorDrawsStopped"));

    others
        .iter()
        .for_each(|ordinal| set.member(*ordinal).signal(Signal::CONT));
    prometheus.until("Members that answer", |members| members == 3.0);
    prometheus.until("Age of the newest draw", |periods| periods < 2.0);
    until("no alert", || {
        prometheus
            .is_alerting("RandomGeneratorDrawsStopped")
            .is_none()
            .then_some(())
    });
    prometheus.until("Members that lead", |leaders| leaders == 1.0);
}
