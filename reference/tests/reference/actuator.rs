//! `/actuator`.

use serde_json::json;

use crate::service::Service;

const ACTUATOR: &str = "application/vnd.spring-boot.actuator.v3+json";
const VERSION_2: &str = "application/vnd.spring-boot.actuator.v2+json";

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
    for key in ["usedMemory", "totalMemory", "maxMemory", "freeMemory"] {
        let text = toggle["details"][key].as_str().unwrap_or_else(|| panic!("{key}"));
        let megabytes = text.strip_suffix(" MB").unwrap_or_else(|| panic!("{key}: {text}"));
        assert!(megabytes.parse::<f64>().unwrap() > 0.0, "{key}: {text}");
        assert_eq!(megabytes.split_once('.').unwrap().1.len(), 1, "{key}: {text}");
    }
    assert!(number(&toggle["details"], "availableProcessors") > 0);
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
        (Some(VERSION_2), VERSION_2),
        (Some("application/*"), ACTUATOR),
        (
            Some("application/json;q=0.5, application/vnd.spring-boot.actuator.v2+json"),
            VERSION_2,
        ),
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
fn version_2_of_health_has_details_instead_of_components() {
    let service = Service::start(&[("X_SERVICE_HOST", "10.0.0.1"), ("X_SERVICE_PORT", "80")]);
    let health = service.ask("GET", "/actuator/health", &[("accept", VERSION_2)]).json();
    assert_eq!(health["components"], json!(null));
    assert_eq!(health["groups"], json!(["liveness", "readiness"]));
    assert_eq!(health["details"]["ping"], json!({"status": "UP"}));
    assert_eq!(health["details"]["diskSpace"]["details"]["exists"], json!(true));
}

#[test]
fn who_accepts_none_of_its_types_gets_406_whatever_the_component() {
    let service = Service::start(&[]);
    for path in ["ping", "db", "liveness", "liveness/ping"] {
        let path = format!("/actuator/health/{path}");
        let reply = service.ask("GET", &path, &[("accept", "text/plain")]);
        assert_eq!(reply.status, 406, "{path}");
        // An error is JSON all the same.
        assert_eq!(reply.json()["error"], json!("Not Acceptable"), "{path}");
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
    for other in [
        "healthToggleIndicator",
        "db",
        "liveness",
        "readiness",
        "livenessState",
        "readinessState",
        "ping/ping",
        "liveness/livenessState",
    ] {
        let reply = service.get(&format!("/actuator/health/{other}"));
        assert_eq!((reply.status, reply.text().as_str()), (404, ""), "{other}");
    }
}

/// As Spring Boot 2.7.9 with web and actuator answered, each path in both surroundings.
#[test]
fn with_a_service_beside_it_health_has_the_groups_that_probes_ask_for() {
    let service = Service::start(&[("X_SERVICE_HOST", "10.0.0.1"), ("X_SERVICE_PORT", "80")]);
    for path in ["/actuator/health", "/actuator/health/"] {
        let health = service.json(path);
        assert_eq!(health["groups"], json!(["liveness", "readiness"]), "{path}");
        for state in ["livenessState", "readinessState"] {
            assert_eq!(health["components"][state], json!({"status": "UP"}), "{path}");
        }
    }
    for path in ["liveness", "readiness", "livenessState", "readinessState", "ping"] {
        assert_eq!(
            service.json(&format!("/actuator/health/{path}")),
            json!({"status": "UP"}),
            "{path}"
        );
    }
    for path in ["db", "liveness/livenessState", "readiness/ping"] {
        let reply = service.get(&format!("/actuator/health/{path}"));
        assert_eq!((reply.status, reply.text().as_str()), (404, ""), "{path}");
    }
    for path in ["liveness", "liveness/livenessState", "db"] {
        let path = format!("/actuator/health/{path}");
        assert_eq!(service.ask("POST", &path, &[]).status, 405, "{path}");
    }
    // A toggle changes health as a whole, and no group.
    service.get("/toggle-live");
    assert_eq!(service.get("/actuator/health").status, 503);
    assert_eq!(service.get("/actuator/health/liveness").status, 200);
    let one_alone = Service::start(&[("X_SERVICE_HOST", "10.0.0.1"), ("Y_SERVICE_PORT", "80")]);
    assert_eq!(one_alone.get("/actuator/health/liveness").status, 404);
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
