//! docs/metrics.md has every metric that a member exposes, and nothing else; each is well formed.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::exposition::{Metric, parse};
use crate::harness::{Member, ask, until, volume};
use crate::on_kubernetes::OnKubernetes;
use crate::page;

/// Labels with a value for each path, code or version: what they can be is not told one by one.
const OPEN: [&str; 6] = ["route", "method", "status", "version", "code", "le"];

/// Everything that a member can expose: one with a lease directory, and one on Kubernetes.
fn exposed() -> BTreeMap<String, Metric> {
    let (_directory, volume) = volume();
    let alone = Member::start(&volume, &["--draw-schedule", "@every 1s"]);
    alone.until_round(1);
    let other = OnKubernetes::start();
    other.server.create("uid-1");
    other.member.until_round(1);
    let mut all = BTreeMap::new();
    for member in [&alone, &other.member] {
        let text = until("all four listeners", || {
            let text = ask(
                member.base + 3,
                "GET",
                "/metrics",
                &[("accept", "application/openmetrics-text")],
                b"",
            )
            .unwrap()
            .text();
            let listeners = ["public", "peer", "admin", "metrics"];
            let there = |name: &&str| text.contains(&format!("http_connections{{listener=\"{name}\"}}"));
            listeners.iter().all(there).then_some(text)
        });
        for (name, metric) in parse(&text) {
            all.insert(name, metric);
        }
    }
    all
}

#[test]
fn every_metric_that_a_member_exposes_is_well_formed_and_documented_and_no_other() {
    let metrics = exposed();
    let mut page = String::from(
        "# Metrics\n\n\
         For anyone who scrapes a member. Generated from what members expose (`make docs`); a test checks it.\n\n\
         A member's metrics listener (`--metrics-listen`, port 9797) answers `GET /metrics` with OpenMetrics text, or with that of Prometheus before it (0.0.4), as `Accept` says. Query a \
         counter with `_total` after its name, a histogram with `_bucket`, `_sum` or `_count`, an info with `_info`. \
         Times are in seconds, sizes in bytes, shares from 0 to 1. \
         Counters by reason start at 0, so that `increase()` sees the first event.\n\n\
         `route` is the pattern of a path (`/draws/{round}`; `other` for an unknown path), `method` one of those that are \
         served, or `other`, `status` and `code` an HTTP status (`none` when no answer came), `le` a bucket's bound: each \
         label has few values, and clients choose none of them. Only members with `--lease-store kubernetes` have the metrics \
         that begin with `lease_api` or `lease_watching`; a member without an ordinal has none of draws and ledger.\n\n\
         [dashboards/queries.promql](dashboards/queries.promql) has queries for a dashboard, \
         [dashboards/alerts.yaml](dashboards/alerts.yaml) rules for alerts, and [operating.md](operating.md) says what to do.\n",
    );
    let mut room = "";
    for (name, metric) in &metrics {
        let short = name.strip_prefix("random_generator_").expect(name);
        let Metric {
            kind,
            unit,
            help,
            labels,
            samples,
        } = metric;
        assert!(*samples > 0, "{name} has no sample");
        assert!(
            ["counter", "gauge", "histogram", "info"].contains(&kind.as_str()),
            "{name}: {kind}"
        );
        assert!(help.len() > 10 && help.ends_with('.'), "{name}: {help:?}");
        assert!(!name.ends_with("_total"), "{name}: only a counter's samples end so");
        for (suffix, of) in [("_seconds", "seconds"), ("_bytes", "bytes"), ("_ratio", "ratio")] {
            assert_eq!(name.ends_with(suffix), unit == of, "{name} has the unit {unit:?}");
        }
        let begins = short.split('_').next().unwrap();
        if begins != room {
            room = begins;
            writeln!(
                page,
                "\n## {room}\n\n| metric | type | labels | what it says |\n| --- | --- | --- | --- |"
            )
            .unwrap();
        }
        let labels: Vec<String> = labels
            .iter()
            .filter(|(label, _)| *label != "le")
            .map(|(label, values)| {
                let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
                assert!(
                    values.len() < 20 || OPEN.contains(&label.as_str()),
                    "{name}: {label} has {values:?}"
                );
                match OPEN.contains(&label.as_str()) {
                    true => format!("`{label}`"),
                    false => format!("`{label}`: {}", values.join(", ")),
                }
            })
            .collect();
        let (labels, help) = (page::cell(&labels.join("; ")), page::cell(help.trim_end_matches('.')));
        writeln!(page, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    page::check("metrics.md", &page);
}
