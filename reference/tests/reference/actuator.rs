//! `/actuator`.

use serde_json::json;

use crate::service::Service;

const ACTUATOR: &str = "application/vnd.spring-boot.actuator.v3+json";

#[test]
fn health_has_the_components_of_the_image() {
    let service = Service::start(&[]);
    let health = service.json("/actuator/health");
    assert_eq!(health["status"], "UP");
    let components = &health["components"];
    assert_eq!(components["ping"], json!({"status": "UP"}));
    let disk = &components["diskSpace"];
    let number = |of: &serde_json::Value, key: &str| of[key].as_u64().unwrap_or_else(|| panic!("{key} of {of}"));
    assert_eq!(disk["status"], "UP");
    let details = &disk["details"];
    assert!(number(details, "total") >= number(details, "free"));
    assert_eq!(
        (number(details, "threshold"), &details["exists"]),
        (10_485_760, &json!(true))
    );
    let toggle = &components["healthToggleIndicator"];
    assert_eq!(
        (&toggle["status"], &toggle["details"]["toggle"]),
        (&json!("UP"), &json!(true))
    );
    for key in [
        "usedMemory",
        "totalMemory",
        "maxMemory",
        "freeMemory",
        "availableProcessors",
    ] {
        assert!(number(&toggle["details"], key) > 0, "{key}");
    }
    service.get("/toggle-live");
    let reply = service.get("/actuator/health");
    let toggle = &reply.json()["components"]["healthToggleIndicator"];
    assert_eq!(
        (reply.status, &toggle["status"], &toggle["details"]["toggle"]),
        (503, &json!("DOWN"), &json!(false))
    );
}

#[test]
fn the_type_is_the_actuators_or_plain_json_when_asked_for() {
    let service = Service::start(&[]);
    for (accept, media_type) in [
        (None, ACTUATOR),
        (Some("*/*"), ACTUATOR),
        (Some("application/json"), "application/json"),
        (Some("application/json, */*;q=0.1"), "application/json"),
        (Some(ACTUATOR), ACTUATOR),
    ] {
        let headers: Vec<_> = accept.map(|accept| ("accept", accept)).into_iter().collect();
        for path in ["/actuator", "/actuator/health", "/actuator/health/ping"] {
            let reply = service.ask("GET", path, &headers);
            assert_eq!(
                (reply.status, reply.header("content-type")),
                (200, Some(media_type)),
                "{path} {accept:?}"
            );
        }
    }
}

#[test]
fn single_components_are_ping_and_disk_space() {
    let service = Service::start(&[("HEALTHY", "false")]);
    assert_eq!(service.json("/actuator/health/ping"), json!({"status": "UP"}));
    assert_eq!(
        service.json("/actuator/health/diskSpace")["details"]["threshold"],
        10_485_760
    );
    for other in ["healthToggleIndicator", "db", "liveness"] {
        assert_eq!(service.get(&format!("/actuator/health/{other}")).status, 404, "{other}");
    }
}

#[test]
fn the_actuator_tells_where_health_is() {
    let service = Service::start(&[]);
    let host = format!("127.0.0.1:{}", service.port());
    let links = &service.json("/actuator")["_links"];
    assert_eq!(
        links["health"],
        json!({"href": format!("http://{host}/actuator/health"), "templated": false})
    );
}
