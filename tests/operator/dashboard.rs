//! k8s/overlays/monitoring has the same queries and alerts as docs/dashboards, as Grafana and the Prometheus Operator read them.

use std::process::Command;

use serde_json::{Value, json};

use crate::page;
use crate::prometheus::{find, queries};

const RULES: &str = "../k8s/overlays/monitoring/rules.yaml";
/// The chart has copies: neither kustomize nor Helm reads files outside its folder.
const CHART_RULES: &str = "../k8s/chart/files/alerts.yaml";
const MADE: &str = "# Made from docs/dashboards/alerts.yaml (`make docs`); a test checks it.\n";
const DASHBOARDS: [&str; 2] = [
    "../k8s/overlays/monitoring/dashboard.json",
    "../k8s/chart/files/dashboard.json",
];
const PREFIX: &str = "random_generator_";
/// Of the set that one looks at.
const SELECTOR: &str = r#"namespace="$namespace",job="$job""#;

/// What Grafana makes of the scrape interval and of the time that is shown: four scrape intervals or more.
const RATE_INTERVAL: &str = "[$__rate_interval]";

/// The query with every metric limited to one set, and with rates over the time that Grafana chooses.
fn of_one_set(query: &str) -> String {
    let query = query.replace(r#"up{job="random-generator"}"#, &format!("up{{{SELECTOR}}}"));
    let mut rates = query.split("rate(");
    let first = rates.next().unwrap_or_default().to_owned();
    let query = rates.fold(first, |all, rest| {
        all + "rate(" + &rest.replacen("[1m]", RATE_INTERVAL, 1)
    });
    let mut limited = String::new();
    for (n, part) in query.split(PREFIX).enumerate() {
        if n == 0 {
            limited.push_str(part);
            continue;
        }
        let end = part
            .find(|c: char| !c.is_ascii_lowercase() && c != '_')
            .unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        limited.push_str(&match rest.strip_prefix('{') {
            Some(rest) => format!("{PREFIX}{name}{{{SELECTOR},{rest}"),
            None => format!("{PREFIX}{name}{{{SELECTOR}}}{rest}"),
        });
    }
    limited
}

/// Name → query of a set in this namespace and job, as Grafana asks them of a Prometheus that scrapes each second.
pub fn queries_of(namespace: &str, job: &str) -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&page::read(DASHBOARDS[0])).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |panel: &Value| {
        let query = text(&panel["targets"][0]["expr"]);
        (
            text(&panel["title"]),
            query
                .replace("$namespace", namespace)
                .replace("$job", job)
                .replace(RATE_INTERVAL, "[4s]"),
        )
    };
    panels.iter().map(of).collect()
}

fn panel(n: usize, name: &str, query: &str) -> Value {
    let (title, description) = name.split_once(": ").unwrap_or((name, ""));
    let source = json!({"type": "prometheus", "uid": "$datasource"});
    json!({
        "id": n + 1,
        "type": "timeseries",
        "title": title,
        "description": description,
        "datasource": source,
        "gridPos": {"x": 12 * (n % 2), "y": 8 * (n / 2), "w": 12, "h": 8},
        "targets": [{"refId": "A", "datasource": source, "expr": of_one_set(query), "legendFormat": "__auto"}],
    })
}

fn variable(name: &str, kind: &str, query: &str) -> Value {
    let mut variable = json!({"name": name, "type": kind, "query": query, "refresh": 1});
    if kind == "query" {
        variable["datasource"] = json!({"type": "prometheus", "uid": "$datasource"});
    }
    variable
}

#[test]
fn grafana_has_every_query_that_is_documented() {
    let panels: Vec<Value> = queries()
        .iter()
        .enumerate()
        .map(|(n, (name, query))| panel(n, name, query))
        .collect();
    let dashboard = json!({
        "uid": "random-generator",
        "title": "random-generator",
        "tags": ["random-generator"],
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": [
            variable("datasource", "datasource", "prometheus"),
            variable("namespace", "query", "label_values(random_generator_ready, namespace)"),
            variable("job", "query", "label_values(random_generator_ready{namespace=\"$namespace\"}, job)"),
        ]},
        "panels": panels,
    });
    let text = format!("{}\n", serde_json::to_string_pretty(&dashboard).unwrap());
    for rate in text.split("rate(").skip(1) {
        assert!(
            rate.split(']')
                .next()
                .is_some_and(|over| over.ends_with("[$__rate_interval")),
            "{rate}"
        );
    }
    DASHBOARDS.iter().for_each(|file| page::check(file, &text));
}

#[test]
fn the_operator_and_the_chart_have_the_alerts_that_are_documented() {
    let alerts = page::read("dashboards/alerts.yaml");
    let groups = alerts.find("groups:").unwrap();
    page::check(CHART_RULES, &format!("{MADE}{}", &alerts[groups..]));
    let indented: String = alerts[groups..].lines().map(|line| format!("  {line}\n")).collect();
    let rules = format!(
        "{MADE}\
         # https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PrometheusRule\n\
         apiVersion: monitoring.coreos.com/v1\n\
         kind: PrometheusRule\n\
         metadata:\n  name: random-generator\n  labels:\n    app.kubernetes.io/name: random-generator\n\
         spec:\n{indented}"
    );
    page::check(RULES, &rules);
}

#[test]
fn each_alert_comes_when_it_should_names_its_set_and_has_a_section() {
    let alerts = page::read("dashboards/alerts.yaml");
    let names: Vec<_> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    let operating = page::read("operating.md");
    let tested = page::read("../tests/operator/alerts_test.yaml");
    assert!(names.len() >= 5, "{names:?}");
    for name in names {
        assert!(
            operating.contains(&format!("\n### {name}\n")),
            "docs/operating.md has no section {name}"
        );
        assert!(
            tested.contains(&format!("alertname: {name}\n")),
            "{name} is never expected"
        );
    }
    for summary in alerts.lines().filter(|line| line.contains(" summary: ")) {
        let named = ["namespace", "job"].map(|label| summary.contains(&format!("{{{{ $labels.{label} }}}}")));
        assert_eq!(named, [true; 2], "{summary}: of which set?");
    }
    let Some(promtool) = find("promtool") else { return };
    let output = Command::new(promtool)
        .args(["test", "rules"])
        .arg(page::path("../tests/operator/alerts_test.yaml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
