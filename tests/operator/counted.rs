//! Metrics that neither a dashboard nor docs/operating.md asks for: each says what the member did, or what it has.

use crate::harness::{Member, ask, until, volume};
use crate::on_kubernetes::OnKubernetes;

fn metric(member: &Member, name: &str) -> f64 {
    member.metric(&format!("random_generator_{name}"))
}

#[test]
fn what_a_member_counts_is_what_it_did_and_has() {
    let (_directory, volume) = volume();
    let member = Member::start(&volume, &["--draw-schedule", "@every 1s"]);
    for _ in 0..20 {
        assert_eq!(member.get("/").unwrap().status, 200);
    }
    member.until_round(3);
    let seen = |name: &str| metric(&member, name);
    let is = |name: &str, value: f64| assert!((seen(name) - value).abs() < f64::EPSILON, "{name} is {}", seen(name));
    is("draw_voters", 1.0);
    is("lease_state{state=\"leading\"}", 1.0);
    is("lease_state{state=\"following\"}", 0.0);
    // One member alone has nobody to lose anything to.
    is("ledger_aside", 0.0);
    is("lease_conflicts_total", 0.0);
    is("lease_doubtful_writes_total", 0.0);
    is("draw_restorations_total", 0.0);
    is("draw_missing_total{reason=\"timeout\"}", 0.0);
    let ledger = member.admin("/ledger");
    is("ledger_promised_fence", ledger["promised_fence"].as_f64().unwrap());
    is("lease_fence", member.json("/leader")["fence"].as_f64().unwrap());
    // What is asked first is at most what is asked later.
    assert!(ledger["records"].as_f64().unwrap() <= seen("ledger_records"));
    assert!(seen("ledger_used_bytes") > 100.0 * seen("ledger_records"));
    assert!(seen("lease_expiry_remaining_seconds") > 0.0 && seen("lease_expiry_remaining_seconds") <= 15.0);
    assert!(seen("lease_reads_total") >= 1.0 && seen("lease_writes_total") >= 3.0);
    let keeps = "draw_questions_total{question=\"keep\",answer=\"answered\"}";
    let keeps_otherwise = "draw_questions_total{answer=\"answered\",question=\"keep\"}";
    assert!(seen(keeps) + seen(keeps_otherwise) >= 3.0);
    assert!(seen("draw_delay_seconds_count") >= 3.0);
    assert!(
        seen("draw_delay_seconds_sum") / seen("draw_delay_seconds_count") < 1.0,
        "each within its slot"
    );
    assert!((0.0..=1.0).contains(&seen("draw_conducting")));
    // Each number is a row, and a commit has one or more.
    until("20 rows", || {
        (seen("journal_rows_per_commit_sum") >= 20.0).then_some(())
    });
    assert!((1.0..=20.0).contains(&seen("journal_rows_per_commit_count")));
    let on_volume = std::fs::metadata(volume.join("journal.db")).unwrap().len() as f64;
    assert!(seen("journal_size_bytes") >= on_volume);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", member.pid().as_raw_pid())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    is(
        "process_max_fds",
        files.split_whitespace().nth(3).unwrap().parse().unwrap(),
    );
    // A lease directory that goes away makes the next questions fail.
    std::fs::rename(volume.join("lease"), volume.join("away")).unwrap();
    std::fs::write(volume.join("lease"), "a file").unwrap();
    until("failures", || (seen("lease_failures_total") >= 1.0).then_some(()));
}

#[test]
fn what_a_member_asks_of_an_api_server_is_counted_by_verb_and_code() {
    let other = OnKubernetes::start();
    other.server.create("uid-1");
    other.member.until_round(1);
    let seen = |name: &str| metric(&other.member, name);
    until("a watch", || (seen("lease_watching") > 0.5).then_some(()));
    let requests = |verb: &str| {
        let text = ask(other.member.base + 3, "GET", "/metrics", &[], b"").unwrap().text();
        let begins = "random_generator_lease_api_requests_total{";
        let lines = text
            .lines()
            .filter(|line| line.starts_with(begins) && line.contains(&format!("verb=\"{verb}\"")));
        lines.filter(|line| line.contains("code=\"200\"")).count()
    };
    assert_eq!((requests("GET"), requests("PUT"), requests("WATCH")), (1, 1, 1));
}
