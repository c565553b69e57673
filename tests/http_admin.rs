//! The admin and the metrics listener.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod http_world;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_world::{Reply, Running, chain, closed, get, ledger, request};
use prometheus_client::registry::Registry;
use random_generator::clock::Clock;
use random_generator::http::admin::{self, Admin, Done, Journal, Maintenance};
use random_generator::http::scrape;
use random_generator::metrics::Metrics;
use random_generator::server::exchange::RequestLimits;
use random_generator::server::limits::Limits;
use random_generator::server::metrics::HttpMetrics;
use random_generator::server::problem::Problem;
use random_generator::server::routes::Routes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

struct Member {
    running: Running,
    stopped: Arc<AtomicBool>,
    _ledger: watch::Sender<Arc<random_generator::draw::ledger::LedgerSnapshot>>,
}

struct Actions {
    stopped: Arc<AtomicBool>,
    level: Mutex<String>,
}

impl Maintenance for Actions {
    fn shut_down(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    fn log_level(&self) -> String {
        self.level.lock().unwrap().clone()
    }

    fn set_log_level(&self, filter: &str) -> Result<(), Problem> {
        if filter == "wrong" {
            return Err(Problem::malformed("no such level"));
        }
        *self.level.lock().unwrap() = filter.to_owned();
        Ok(())
    }

    fn journal(&self) -> Journal {
        Journal {
            condition: "tight",
            detail: Some("others fill the volume".to_owned()),
            rows: 7,
            bytes: 4096,
            max_bytes: 8192,
        }
    }

    async fn restore_ledger(&self) -> Done {
        Ok("restored 3 records".to_owned())
    }

    async fn restart_ledger(&self) -> Done {
        Err(Problem::conflict("this member doesn't hold the lease"))
    }
}

impl Member {
    async fn start(limits: RequestLimits) -> Member {
        let stopped = Arc::new(AtomicBool::new(false));
        let (_ledger, seen) = watch::channel(Arc::new(ledger(chain(3..=5))));
        let maintenance = Actions {
            stopped: stopped.clone(),
            level: Mutex::new("info".to_owned()),
        };
        let mut registry = Registry::default();
        let metrics = HttpMetrics::register(&mut registry);
        let routes = Routes::new("admin", limits, Clock::system(), metrics.clone(), 1);
        let paths = admin::paths(
            Admin {
                maintenance,
                ledger: seen,
                memory: metrics.budget("admin", 1 << 20),
            },
            routes,
        );
        let running = Running::start("admin", paths, Limits::internal(), metrics).await;
        Member {
            running,
            stopped,
            _ledger,
        }
    }

    async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        request(self.running.address, method, path, headers, body.as_bytes()).await
    }
}

#[tokio::test]
async fn an_operator_sees_and_does_what_there_is() {
    let member = Member::start(RequestLimits::admin()).await;
    assert_eq!(member.ask("GET", "/log-level", "", "").await.text(), "info\n");
    assert_eq!(member.ask("PUT", "/log-level", "", "debug\n").await.status, 200);
    assert_eq!(member.ask("GET", "/log-level", "", "").await.text(), "debug\n");
    let reply = member.ask("PUT", "/log-level", "", "wrong").await;
    assert_eq!(
        (reply.status, &reply.problem()["detail"]),
        (400, &"no such level".into())
    );
    let reply = member
        .ask("PUT", "/log-level", "content-type: image/png\r\n", "info")
        .await;
    assert_eq!(reply.problem()["status"], 415);
    assert_eq!(
        member.ask("PUT", "/log-level", "", &"a".repeat(5_000)).await.status,
        413
    );
    let seen = member.ask("GET", "/ledger", "", "").await.json();
    assert_eq!(seen["condition"], "writable");
    assert_eq!(
        (&seen["records"], &seen["oldest"], &seen["newest"]),
        (&3.into(), &3.into(), &5.into())
    );
    let seen = member.ask("GET", "/journal", "", "").await.json();
    let told = serde_json::json!({
        "condition": "tight", "detail": "others fill the volume", "rows": 7, "bytes": 4096, "max_bytes": 8192,
    });
    assert_eq!(seen, told);
    let reply = member.ask("POST", "/ledger/restore", "", "").await;
    assert_eq!(reply.json()["done"], "restored 3 records");
    let reply = member.ask("POST", "/ledger/restart", "", "").await;
    assert_eq!(reply.problem()["status"], 409);
    assert_eq!(member.ask("GET", "/shutdown", "", "").await.status, 405);
    assert!(!member.stopped.load(Ordering::SeqCst));
    assert_eq!(member.ask("POST", "/shutdown", "", "").await.status, 202);
    assert!(member.stopped.load(Ordering::SeqCst));
}

#[tokio::test]
async fn what_a_web_page_may_have_sent_is_refused() {
    let member = Member::start(RequestLimits::admin()).await;
    for headers in [
        "origin: http://localhost:8080\r\n",
        "origin: null\r\n",
        "host: rebound.example\r\n",
        "host: rebound.example:8082\r\n",
        "host: 127.0.0.1.example\r\n",
        "host: 10.0.0.1\r\n",
        "host: localhost\r\nhost: rebound.example\r\n",
    ] {
        let reply = member.ask("POST", "/shutdown", headers, "").await;
        assert_eq!(reply.problem()["status"], 403, "{headers}");
    }
    assert!(!member.stopped.load(Ordering::SeqCst));
    for host in [
        "localhost",
        "LOCALHOST:8082",
        "127.0.0.1:8082",
        "[::1]:8082",
        "[::ffff:127.0.0.1]:8082",
    ] {
        let reply = member.ask("GET", "/ledger", &format!("host: {host}\r\n"), "").await;
        assert_eq!(reply.status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_half_sent_body_is_a_408_in_time() {
    let limits = RequestLimits {
        time: Duration::from_millis(100),
        ..RequestLimits::admin()
    };
    let member = Member::start(limits).await;
    let mut stream = TcpStream::connect(member.running.address).await.unwrap();
    let half = b"PUT /log-level HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\ninf";
    stream.write_all(half).await.unwrap();
    let reply = Reply::parse(&closed(&mut stream).await).unwrap();
    assert_eq!(reply.problem()["status"], 408);
}

#[tokio::test]
async fn metrics_are_open_metrics_of_every_part() {
    let clock = Clock::system();
    let mut root = Metrics::new("1.2.3", &clock);
    let http = HttpMetrics::register(&mut root.registry);
    let routes = Routes::new("metrics", RequestLimits::public(), clock, http.clone(), 1);
    let memory = http.budget("metrics", 1 << 20);
    let paths = scrape::paths(Arc::new(root.registry), memory, routes);
    let running = Running::start("metrics", paths, Limits::internal(), http).await;
    get(running.address, "/metrics").await;
    // As Prometheus 3 asks for it.
    let accept =
        "accept: application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n";
    let reply = request(running.address, "GET", "/metrics", accept, b"").await;
    assert_eq!(
        reply.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let text = reply.text();
    assert!(text.ends_with("# EOF\n"));
    for accept in ["", "accept: */*\r\n", "accept: text/plain;version=0.0.4\r\n"] {
        let reply = request(running.address, "GET", "/metrics", accept, b"").await;
        let kind = "text/plain; version=0.0.4; charset=utf-8";
        assert_eq!(reply.header("content-type"), Some(kind), "{accept}");
        let older = reply.text();
        for line in [
            "# TYPE random_generator_build_info gauge",
            "random_generator_build_info{version=\"1.2.3\"} 1",
            "# TYPE random_generator_http_requests_total counter",
            "# TYPE random_generator_process_resident_memory_bytes gauge",
        ] {
            assert!(older.lines().any(|found| found == line), "no {line} in\n{older}");
        }
        let samples = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(samples(older), samples(text), "{older}");
        assert!(!older.contains("# EOF") && !older.contains("# UNIT"), "{older}");
    }
    for line in [
        "random_generator_build_info{version=\"1.2.3\"} 1",
        "random_generator_process_resident_memory_bytes ",
        "random_generator_http_requests_total{listener=\"metrics\",route=\"/metrics\",method=\"GET\",status=\"200\"} 1",
        "random_generator_http_requests_in_flight{listener=\"metrics\"} 1",
        // As its HELP says: the scrape's own, which it has while it counts.
        "random_generator_http_answer_memory_held_bytes{listener=\"metrics\"} 262144",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
}
