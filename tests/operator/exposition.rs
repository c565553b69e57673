//! OpenMetrics text, as a member exposes it.

use std::collections::{BTreeMap, BTreeSet};

/// Everything that is said of one metric.
#[derive(Debug, Default)]
pub struct Metric {
    pub kind: String,
    pub unit: String,
    pub help: String,
    /// Label → values seen.
    pub labels: BTreeMap<String, BTreeSet<String>>,
    pub samples: usize,
}

/// By name, as the metadata has it: a counter's samples have `_total` after it.
pub fn parse(text: &str) -> BTreeMap<String, Metric> {
    assert!(text.ends_with("# EOF\n"), "an exposition ends with # EOF");
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    for line in text.lines().take_while(|line| *line != "# EOF") {
        if let Some(told) = line.strip_prefix("# ") {
            let (what, told) = told.split_once(' ').unwrap();
            let (name, value) = told.split_once(' ').unwrap();
            let metric = metrics.entry(name.to_owned()).or_default();
            match what {
                "HELP" => metric.help = value.to_owned(),
                "TYPE" => metric.kind = value.to_owned(),
                "UNIT" => metric.unit = value.to_owned(),
                other => panic!("{other} is no metadata"),
            }
            continue;
        }
        let (sample, labels) = match line.split_once('{') {
            Some((sample, rest)) => (sample, rest.rsplit_once('}').unwrap().0),
            None => (line.split_once(' ').unwrap().0, ""),
        };
        let base = ["_total", "_bucket", "_sum", "_count", "_info"]
            .iter()
            .filter_map(|suffix| sample.strip_suffix(suffix))
            .find(|base| metrics.contains_key(*base))
            .unwrap_or(sample);
        let metric = metrics.get_mut(base).unwrap_or_else(|| panic!("no metadata: {line}"));
        metric.samples += 1;
        for (label, value) in pairs(labels) {
            metric.labels.entry(label).or_default().insert(value);
        }
    }
    metrics
}

/// `a="b",c="d"`: the values that members give have no quotes in them.
fn pairs(labels: &str) -> impl Iterator<Item = (String, String)> {
    labels.split("\",").filter(|pair| !pair.is_empty()).map(|pair| {
        let (label, value) = pair.split_once("=\"").unwrap();
        (label.to_owned(), value.trim_end_matches('"').to_owned())
    })
}
