//! The description of the public listener: it is the code's, the saved file is the description, and a member keeps to it; and
//! the page that is made of it, docs/http.md.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)] // a test fails by panicking; make docs

#[path = "../http_world/mod.rs"]
mod http_world;

mod defaults;
mod limits;
mod page;
mod problems;
mod schema;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use http_world::{Member, Reply, request};
use random_generator::http::openapi::document;
use random_generator::record::Hex;
use random_generator::server::limits::Limits;
use serde_json::Value;

fn description() -> Value {
    serde_json::to_value(document()).unwrap()
}

fn paths(description: &Value) -> BTreeSet<String> {
    description["paths"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_saved_description_is_what_the_code_makes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let made = document().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("RANDOM_GENERATOR_UPDATE_DOCS").is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    let saved = std::fs::read_to_string(&file).unwrap();
    assert!(saved == made, "docs/openapi.json is old: make docs");
}

#[test]
fn each_operation_has_a_name_of_its_own_a_tag_and_described_parameters() {
    let description = description();
    let mut names = BTreeSet::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{name} is there twice");
            assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{method} {path}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["description"].is_string(), "{method} {path}: {parameter}");
            }
        }
        assert!(item["get"].is_object() && item["head"].is_object(), "{path}");
    }
}

/// Reads the body as the schema that the description has for this path and status.
fn check(description: &Value, path: &str, target: &str, reply: &Reply) {
    let answers = &description["paths"][path]["get"]["responses"];
    let answer = schema::resolved(description, &answers[reply.status.to_string()]);
    assert!(answer.is_object(), "{target}: {} is not described", reply.status);
    let described = &answer["content"][reply.header("content-type").unwrap()]["schema"];
    if let Err(wrong) = schema::check(description, described, &reply.json(), target) {
        panic!("{wrong}");
    }
}

/// The description doesn't describe itself, nor the pages for people; tests/http_dashboard.rs has those.
const ITSELF: [&str; 4] = ["/openapi.json", "/docs", "/dashboard", "/dashboard/{file}"];

#[tokio::test]
async fn each_path_answers_as_it_is_described() {
    let member = Member::start(Limits::public()).await;
    let description = description();
    let asked = [
        ("/", "/"),
        ("/integers", "/integers?count=3&unique=true"),
        ("/decimals", "/decimals?count=3"),
        ("/gaussians", "/gaussians?count=3"),
        ("/bytes", "/bytes?format=json"),
        ("/strings", "/strings?alphabet=base64url"),
        ("/uuids", "/uuids?version=7"),
        ("/shuffle", "/shuffle"),
        ("/shuffle", "/shuffle?items=a,b"),
        ("/sequence", "/sequence?seed=42"),
        ("/ids", "/ids"),
        ("/draws", "/draws?limit=2"),
        ("/draws/latest", "/draws/latest"),
        ("/draws/stream", "/draws/stream?from=0"),
        ("/draws/{round}", "/draws/4"),
        ("/draws/{round}/integers", "/draws/4/integers?count=3"),
        ("/peers", "/peers"),
        ("/leader", "/leader"),
        ("/set", "/set"),
        ("/livez", "/livez"),
        ("/readyz", "/readyz"),
        ("/version", "/version"),
        // Each kind of problem has one shape.
        ("/integers", "/integers?count=0"),
        ("/draws/{round}", "/draws/9"),
        ("/", "/?format=jsonl"),
    ];
    let described = paths(&description);
    let routes = include_str!("../../src/http/public.rs").split(".route(\"").skip(1);
    let routes = routes.map(|rest| rest.split('"').next().unwrap().to_owned());
    let routes: BTreeSet<String> = routes.filter(|path| !ITSELF.contains(&path.as_str())).collect();
    assert_eq!(routes, described, "what is served is what is described");
    let tried: BTreeSet<String> = asked.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(tried, described);
    let mut records = http_world::chain(1..=5);
    Arc::make_mut(&mut records[3]).output = Some(Hex([9; 64]));
    member.ledger.send_replace(http_world::ledger(records).into());
    for (path, target) in asked {
        check(&description, path, target, &member.get(target).await);
    }
    let nowhere = member.get("/nowhere").await;
    let problem = &description["components"]["responses"]["Problem"]["content"]["application/problem+json"]["schema"];
    schema::check(&description, problem, &nowhere.json(), "/nowhere").unwrap();
}

#[tokio::test]
async fn the_description_and_the_page_that_shows_it_are_served() {
    let member = Member::start(Limits::public()).await;
    let reply = member.get("/openapi.json").await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(serde_json::from_str::<Value>(reply.text()).unwrap() == description());
    let page = member.get("/docs").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .contains("default-src 'none'")
    );
    // Nothing of it is anywhere else.
    assert!(!page.text().contains("http://") && !page.text().contains("https://"));
    // Whoever has them is told that they are unchanged, in place of getting them again.
    for (target, first) in [("/openapi.json", &reply), ("/docs", &page)] {
        assert_eq!(first.header("cache-control"), Some("no-cache"), "{target}");
        assert_eq!(first.header("vary"), None, "{target}");
        let tag = first.header("etag").expect(target);
        let having = format!("if-none-match: {tag}\r\n");
        let again = request(member.running.address, "GET", target, &having, b"").await;
        assert_eq!((again.status, again.text()), (304, ""), "{target}");
    }
    assert_ne!(reply.header("etag"), page.header("etag"));
    let head = request(member.running.address, "HEAD", "/docs", "", b"").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}
