//! What the description says of a parameter that isn't given, and of the values that it may have, is what a member does.

use std::sync::Arc;

use random_generator::record::Hex;
use random_generator::server::limits::Limits;
use serde_json::Value;

use crate::description;
use crate::http_world::{Member, Reply, chain, ledger};
use crate::schema::resolved;

/// A member of its own for each question: its numbers count up, so the same first question has the same answer.
async fn answer(target: &str) -> Reply {
    let member = Member::start(Limits::public()).await;
    let mut records = chain(1..=150);
    Arc::make_mut(&mut records[1]).output = Some(Hex([9; 64]));
    member.ledger.send_replace(ledger(records).into());
    let reply = member.get(target).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    reply
}

fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The path with the parameters that it must have, and those of `query`.
fn target(path: &str, parameters: &[Value], mut query: Vec<String>) -> String {
    let mut target = path.to_owned();
    for parameter in parameters {
        let (name, example) = (parameter["name"].as_str().unwrap(), written(&parameter["example"]));
        if parameter["in"] == "path" {
            target = target.replace(&format!("{{{name}}}"), &example);
        } else if parameter["required"] == true {
            query.push(format!("{name}={example}"));
        }
    }
    format!("{target}?{}", query.join("&"))
}

#[tokio::test]
async fn each_choice_that_is_described_is_taken() {
    let description = description();
    let mut tried = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        for parameter in item["get"]["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            let choices = &resolved(&description, &parameter["schema"])["enum"];
            for choice in choices.as_array().into_iter().flatten() {
                let parameters = item["get"]["parameters"].as_array().unwrap();
                let query = vec![format!("{name}={}", written(choice))];
                answer(&target(path, parameters, query)).await;
                tried += 1;
            }
        }
    }
    assert!(tried > 40, "only {tried} choices");
}

/// The answer without the times of its making, which two answers of `/set` don't share.
fn timeless(path: &str, reply: &Reply) -> Vec<u8> {
    if path != "/set" {
        return reply.body.clone();
    }
    let mut set = reply.json();
    for name in ["at", "age_ms"] {
        assert!(set.as_object_mut().unwrap().remove(name).is_some());
    }
    for member in set["members"].as_array_mut().unwrap() {
        member["report_age_ms"].take();
        member.pointer_mut("/silent/since").map(Value::take);
    }
    set.to_string().into_bytes()
}

#[tokio::test]
async fn a_parameter_that_is_left_out_has_the_default_that_is_described() {
    let description = description();
    let mut tried = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        let empty = Vec::new();
        let parameters = item["get"]["parameters"].as_array().unwrap_or(&empty);
        for parameter in parameters.iter().filter(|parameter| parameter["in"] == "query") {
            let name = parameter["name"].as_str().unwrap();
            let default = &resolved(&description, &parameter["schema"])["default"];
            if default.is_null() {
                // Without them it begins elsewhere, takes something else, or says what is missing.
                let known = ["from", "items", "characters", "seed"];
                assert!(known.contains(&name), "{path} {name} has no default");
                continue;
            }
            // Of many values one shows what a single one may hide.
            let counted = name != "count" && parameters.iter().any(|other| other["name"] == "count");
            let mut query: Vec<String> = counted.then(|| "count=500".to_owned()).into_iter().collect();
            let without = answer(&target(path, parameters, query.clone())).await;
            query.push(format!("{name}={}", written(default)));
            let target = target(path, parameters, query);
            let with = answer(&target).await;
            assert!(
                timeless(path, &without) == timeless(path, &with),
                "{target} is not what {path} gives without"
            );
            assert_eq!(without.header("content-type"), with.header("content-type"), "{target}");
            tried += 1;
        }
    }
    assert!(tried > 30, "only {tried} defaults");
}
