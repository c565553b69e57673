//! docs/http.md: its reference is made of the description, of the problems and limits in the sources, and of what a member
//! answers; what stands above the mark is written by hand.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lease_election::{Leadership, LeaseSpec};
use random_generator::clock::{Boot, Clock, Wall};
use random_generator::discovery::{Peer, PeerList};
use random_generator::lease::{Head, LeaseObject, LeaseSnapshot};
use random_generator::readiness::Latch;
use random_generator::record::Record;
use random_generator::server::limits::Limits;
use serde_json::Value;

use crate::http_world::{Member, Reply, ledger};
use crate::limits::grouped;
use crate::schema::resolved;
use crate::{check, description, limits, problems};

const MARK: &str = "<!-- Below stands what the program says of itself. -->\n";
/// Of an answer that is longer only the beginning is shown.
const SHOWN: usize = 700;
/// What each answer has, and what only tells of its transport.
const EVERYWHERE: [&str; 6] = [
    "content-type",
    "content-length",
    "transfer-encoding",
    "connection",
    "date",
    "x-request-id",
];

fn root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn updating() -> bool {
    std::env::var_os("RANDOM_GENERATOR_UPDATE_DOCS").is_some()
}

/// A member that is ready, sees two peers and leads, with the chain that the verifiers are tested with.
async fn member() -> Member {
    let member = Member::start(Limits::public()).await;
    let named = |ordinal: u16| Peer {
        name: format!("rg-{ordinal}"),
        ordinal,
        host: format!("rg-{ordinal}.rg.default.svc.cluster.local"),
        peer_port: 8081,
        addresses: Vec::new(),
        is_self: ordinal == 1,
    };
    let began = Wall(1_800_000_000_000_000);
    member.peers.send_replace(Arc::new(PeerList {
        peers: vec![named(0), named(1)],
        resolved_at: Some((Boot(1), began)),
        stale: false,
        trouble: None,
    }));
    let now = Clock::system().boot();
    let until = now + Duration::from_secs(3_600);
    member.lease.send_replace(Arc::new(LeaseSnapshot {
        leadership: Leadership::Leader {
            fence: 3,
            renew_deadline: until,
        },
        object: Some(Arc::new(LeaseObject {
            uid: "u".into(),
            version: 1,
            spec: LeaseSpec {
                holder: Some("rg-1_uid-nonce".into()),
                duration_seconds: Some(15),
                acquire_time: Some(began.timestamp()),
                renew_time: None,
                transitions: 1,
            },
            fence: 3,
            payload: Head::Absent,
            carried: Arc::new(Value::Null),
        })),
        confirmed_at: Some(now),
        expires_at: Some(until),
        trouble: None,
    }));
    let chain = include_str!("../vectors/good.jsonl").lines();
    let chain = chain.map(|line| Arc::new(Record::parse(line).unwrap())).collect();
    member.ledger.send_replace(ledger(chain).into());
    for latch in [Latch::Listeners, Latch::Volume, Latch::Entropy, Latch::Journal] {
        member.readiness.release(latch);
    }
    member
}

fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The path with the examples of its parameters.
fn asked(path: &str, parameters: &[Value]) -> String {
    let mut target = path.to_owned();
    let mut query = Vec::new();
    for parameter in parameters.iter().filter(|parameter| !parameter["example"].is_null()) {
        let (name, example) = (parameter["name"].as_str().unwrap(), written(&parameter["example"]));
        match parameter["in"].as_str() {
            Some("path") => target = target.replace(&format!("{{{name}}}"), &example),
            Some("query") => query.push(format!("{name}={example}")),
            _ => {}
        }
    }
    if !query.is_empty() {
        target = format!("{target}?{}", query.join("&"));
    }
    target
}

/// What a value may be: `(allowed, default)`.
fn schema(description: &Value, schema: &Value) -> (String, String) {
    let schema = resolved(description, schema);
    let number = |value: &Value| match (value.as_i64(), value.as_f64()) {
        (Some(whole), _) if whole.unsigned_abs() < 10_000 => whole.to_string(),
        (Some(whole), _) => format!("{}{}", if whole < 0 { "−" } else { "" }, grouped(whole.unsigned_abs())),
        (None, Some(real)) => format!("{real:e}").replace("e0", ""),
        _ => panic!("{value} is no number"),
    };
    let (minimum, maximum) = (&schema["minimum"], &schema["maximum"]);
    // One that may be left out is told as one that may be null, in a header.
    let kind = schema["type"].as_str().or(schema["type"][0].as_str()).unwrap();
    let allowed = if let Some(choices) = schema["enum"].as_array() {
        let choices: Vec<String> = choices.iter().map(|choice| format!("`{}`", written(choice))).collect();
        choices.join(", ")
    } else if !minimum.is_null() && !maximum.is_null() {
        let kind = if kind == "integer" { "whole number" } else { kind };
        format!("{kind} from {} to {}", number(minimum), number(maximum))
    } else {
        match kind {
            "boolean" => "`true`, `false`".to_owned(),
            "integer" => "any 64-bit integer".to_owned(),
            "string" => "text".to_owned(),
            other => panic!("{other}"),
        }
    };
    let default = &schema["default"];
    let default = match default.is_null() {
        true => String::new(),
        false => format!("`{}`", written(default)),
    };
    (allowed, default)
}

/// The example that the description gives is of the shape that the member gives.
fn same_shape(target: &str, described: &Value, given: &Value) {
    match (described, given) {
        (Value::Object(described), Value::Object(given)) => {
            assert!(described.keys().eq(given.keys()), "{target}");
            for (name, value) in described {
                same_shape(target, value, &given[name]);
            }
        }
        (Value::Array(described), Value::Array(given)) => {
            assert_eq!(described.len(), given.len(), "{target}: how many");
            described
                .iter()
                .zip(given)
                .for_each(|(one, other)| same_shape(target, one, other));
        }
        // Of values, as long as they are asked for; ids count up.
        (Value::String(described), Value::String(given))
            if target.contains("count=") && !target.starts_with("/ids") =>
        {
            assert_eq!(described.len(), given.len(), "{target}: {given}");
        }
        _ => assert_eq!(described.is_string(), given.is_string(), "{target}: {given}"),
    }
}

fn body(operation: &Value, target: &str, reply: &Reply) -> String {
    let kind = reply.header("content-type").unwrap();
    let mut text = reply.text().trim_end().to_owned();
    let example = &operation["responses"]["200"]["content"][kind]["example"];
    if !example.is_null() {
        same_shape(target, example, &reply.json());
        text = example.to_string();
    }
    if text.len() > SHOWN {
        text.truncate(text.floor_char_boundary(SHOWN));
        text.push('…');
    }
    text
}

async fn operation(text: &mut String, description: &Value, path: &str, operation: &Value) {
    let summary = operation["summary"].as_str().unwrap();
    write!(text, "\n### `{path}`\n\n{summary}.").unwrap();
    if let Some(more) = operation["description"].as_str() {
        write!(text, " {}", more.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap();
    }
    text.push_str("\n\n");
    let none = Vec::new();
    let parameters = operation["parameters"].as_array().unwrap_or(&none);
    if !parameters.is_empty() {
        text.push_str("| parameter | default | allowed | is |\n| --- | --- | --- | --- |\n");
    }
    for parameter in parameters {
        let name = parameter["name"].as_str().unwrap();
        let place = match parameter["in"].as_str().unwrap() {
            "query" => "",
            "header" => ", a header",
            _ => ", in the path",
        };
        let (allowed, mut default) = schema(description, &parameter["schema"]);
        if parameter["required"] == true {
            default = "must be given".to_owned();
        }
        let is = parameter["description"].as_str().unwrap();
        writeln!(text, "| `{name}`{place} | {default} | {allowed} | {is} |").unwrap();
    }
    if !parameters.is_empty() {
        text.push('\n');
    }
    let mut answers = Vec::new();
    let mut refusals = Vec::new();
    for (status, answer) in operation["responses"].as_object().unwrap() {
        if !answer["$ref"].is_null() {
            refusals.push(format!("`{status}`"));
            continue;
        }
        let told = answer["description"].as_str().unwrap();
        let kinds = answer["content"]
            .as_object()
            .map_or(Vec::new(), |content| content.keys().collect());
        let kinds: Vec<String> = kinds.into_iter().map(|kind| format!("`{kind}`")).collect();
        let kinds = if kinds.is_empty() {
            String::new()
        } else {
            format!(" ({})", kinds.join(", "))
        };
        answers.push(format!("- `{status}`{kinds}: {told}"));
    }
    writeln!(
        text,
        "{}\n- {}: [problems](#problems)",
        answers.join("\n"),
        refusals.join(", ")
    )
    .unwrap();
    let target = asked(path, parameters);
    let member = member().await;
    if path == "/draws/stream" {
        writeln!(text, "\n```sh\ncurl -N 'localhost:8080{target}'\n```").unwrap();
        return;
    }
    let reply = member.get(&target).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    if reply.header("content-type") == Some("application/json") {
        check(description, path, &target, &reply);
    }
    let headers: Vec<String> = reply
        .headers()
        .filter(|(name, _)| !EVERYWHERE.contains(name))
        .map(|(name, value)| format!("`{name}: {value}`"))
        .collect();
    writeln!(text, "- headers: {}", headers.join(", ")).unwrap();
    let body = body(operation, &target, &reply);
    writeln!(
        text,
        "\n```sh\ncurl 'localhost:8080{target}'\n```\n\n```text\n{body}\n```"
    )
    .unwrap();
}

async fn reference() -> String {
    let description = description();
    let mut text = format!(
        "\n## Problems\n\n{}\n## Limits\n\n{}",
        problems::table(),
        limits::table()
    );
    for tag in description["tags"].as_array().unwrap() {
        let (name, told) = (tag["name"].as_str().unwrap(), tag["description"].as_str().unwrap());
        let (first, rest) = name.split_at(1);
        writeln!(text, "\n## {}{rest}\n\n{told}.", first.to_uppercase()).unwrap();
        for (path, item) in description["paths"].as_object().unwrap() {
            if item["get"]["tags"][0] == name {
                operation(&mut text, &description, path, &item["get"]).await;
            }
        }
    }
    text
}

#[tokio::test]
async fn the_saved_page_is_what_the_description_and_a_member_say() {
    let path = root("docs/http.md");
    let kept = fs::read_to_string(&path).unwrap();
    let (preface, _) = kept.split_once(MARK).expect("the mark between preface and reference");
    let made = format!("{preface}{MARK}{}", reference().await);
    if updating() {
        fs::write(&path, &made).unwrap();
        return;
    }
    let differs = made.lines().zip(kept.lines()).find(|(made, kept)| made != kept);
    assert!(made == kept, "docs/http.md is old: {differs:?}: make docs");
}
