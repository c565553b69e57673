//! `/info`.

use std::fs;

use serde_json::{Value, json};

use crate::service::Service;

#[test]
fn info_has_a_key_for_what_is_set_and_no_other() {
    let service = Service::start(&[]);
    let info = service.json("/info");
    let mut keys: Vec<&str> = info.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "cpu.procs",
            "env",
            "id",
            "memory.free",
            "memory.max",
            "memory.used",
            "version"
        ]
    );
    let number = |key: &str| info[key].as_u64().unwrap();
    assert!(number("memory.max") >= number("memory.free") && number("cpu.procs") > 0);
    assert!((1..200).contains(&number("memory.used")), "{info}");
    assert_eq!(info["id"], service.json("/")["id"]);
}

#[test]
fn all_that_is_set_is_shown_with_the_raw_text_of_the_downward_api() {
    let service = Service::start(&[
        ("SEED", "42"),
        ("PATTERN", "Health Probe"),
        ("RANDOM_PATTERN", "another"),
        ("BUILD_TYPE", "kaniko"),
        ("VERSION", "2.0"),
        ("LOG_FILE", "/dev/null"),
        ("LOG_URL", "http://127.0.0.1:1/"),
        ("NODE_NAME", "node-1"),
        ("POD_IP", "10.1.2.3"),
    ]);
    fs::create_dir(service.path("pod-info")).unwrap();
    let (labels, annotations) = ("app=\"random\"\ntier=\"web\"", "a=\"b\\nc\"\n");
    fs::write(service.path("pod-info/labels"), labels).unwrap();
    fs::write(service.path("pod-info/annotations"), annotations).unwrap();
    let info = service.json("/info");
    for (key, value) in [
        ("seed", json!(42)),
        ("pattern", json!("Health Probe")),
        ("build-type", json!("kaniko")),
        ("version", json!("2.0")),
        ("logFile", json!("/dev/null")),
        ("logUrl", json!("http://127.0.0.1:1/")),
        ("NODE_NAME", json!("node-1")),
        ("POD_IP", json!("10.1.2.3")),
        ("labels", json!(labels)),
        ("annotations", json!(annotations)),
    ] {
        assert_eq!(info[key], value, "{key}");
    }
    assert_eq!(info["env"]["RANDOM_PATTERN"], "another");
}

#[test]
fn a_pattern_with_a_prefix_is_shown_here_alone() {
    let service = Service::start(&[("RANDOM_PATTERN", "Configuration Resource")]);
    assert_eq!(service.json("/info")["pattern"], "Configuration Resource");
    assert_eq!(service.json("/").get("pattern"), None);
}

#[test]
fn of_the_environment_only_the_images_variables_are_shown() {
    let service = Service::start(&[
        ("PATTERN", "P"),
        ("HEALTHY", "true"),
        ("DATABASE_PASSWORD", "hidden"),
        ("RANDOM_GENERATOR_DRAIN_LIMIT", "1s"),
        ("RANDOM_GENERATOR_SERVICE_HOST", "10.0.0.1"),
    ]);
    let env: Value = service.json("/info")["env"].clone();
    let mut names: Vec<&String> = env.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["HEALTHY", "PATTERN", "SERVER_ADDRESS", "SERVER_PORT"]);
    assert_eq!(env["PATTERN"], "P");
}
