//! `/memory-eater`.

use std::fs;

use crate::service::Service;

const MB: u64 = 1024 * 1024;

fn resident(service: &Service) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

#[test]
fn it_is_small_until_it_is_told_to_eat() {
    let service = Service::start(&[]);
    service.random();
    let before = resident(&service);
    for (method, eaten) in [("GET", 32), ("POST", 64)] {
        let reply = service.ask(method, "/memory-eater?mb=32", &[]);
        assert_eq!((reply.status, reply.body.len()), (200, 0));
        assert!(resident(&service) >= before + eaten * MB - MB, "{method}");
    }
    assert_eq!(service.get("/memory-eater?mb=0").status, 200);
}

#[test]
fn what_is_no_amount_is_refused() {
    let service = Service::start(&[]);
    for query in [
        "",
        "?mb",
        "?mb=",
        "?mb=ten",
        "?mb=1.5",
        "?mb=2147483648",
        "?mb=-1",
        "?mb=-2147483648",
    ] {
        assert_eq!(service.get(&format!("/memory-eater{query}")).status, 400, "{query}");
    }
    let before = resident(&service);
    assert!(before < 100 * MB, "{before}");
}
