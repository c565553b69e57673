//! What comes to the peer port of a real member: refused and counted when it isn't a message of this protocol, version and
//! set; answered the same however often it is asked, across kill -9.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use random_generator::clock::Clock;
use random_generator::peer::message::KeepRequest;
use random_generator::peer::signature::{MAC_HEADER, Message, PeerSecret, TIME_HEADER};
use random_generator::record::{Hex, Slot};
use serde_json::{Value, json};

use crate::harness::{Member, Reply, run, until, volume};
use crate::set::Set;

/// A member that draws nothing of its own within a test.
const QUIET: [&str; 4] = ["--draw-schedule", "0 0 1 1 *", "--pod-name", "rg-0"];
/// As the holder of a lease that this member never saw.
const HOLDER: &str = "rg-7_uid-0000abcd";

/// Round 1 of a chain, with a fence above that of the member's own term.
fn keep() -> Value {
    let request = KeepRequest {
        version: 1,
        set: "rg".into(),
        from: "rg-7".into(),
        holder: HOLDER.into(),
        fence: 100,
        voters: 1.into(),
        chain: Hex(*b"a chain of draws"),
        round: 1,
        slot: Slot(Clock::system().wall().seconds()),
        head: None,
        contribute: true,
        restart: false,
        passed_over: Vec::new(),
    };
    serde_json::to_value(request).unwrap()
}

fn with(member: &str, value: Value) -> Value {
    let mut keep = keep();
    keep[member] = value;
    keep
}

fn post(member: &Member, body: &Value) -> Reply {
    member.peer(
        "/v1/keep",
        &[("content-type", "application/json")],
        body.to_string().as_bytes(),
    )
}

fn refusals(member: &Member, reason: &str) -> f64 {
    member.metric(&format!(
        "random_generator_peer_messages_refused_total{{reason=\"{reason}\"}}"
    ))
}

#[test]
fn a_message_of_another_version_set_or_form_is_refused_and_counted() {
    let (_dir, volume) = volume();
    let member = Member::start(&volume, &QUIET);
    let far = Slot(Clock::system().wall().seconds() + 3600);
    let text = keep().to_string();
    let cases: Vec<(String, u16, &str)> = vec![
        (with("version", json!(2)).to_string(), 409, "version"),
        (with("version", json!(0)).to_string(), 409, "version"),
        // What a later version may look like: its number is read before the rest.
        (json!({"version": 2, "anything": true}).to_string(), 409, "version"),
        (with("version", json!("1")).to_string(), 400, "malformed"),
        (with("set", json!("dice")).to_string(), 409, "set"),
        (with("round", json!(2)).to_string(), 400, "malformed"),
        (with("round", json!(0)).to_string(), 400, "malformed"),
        (with("fence", json!(0)).to_string(), 400, "malformed"),
        (with("voters", json!(33)).to_string(), 400, "malformed"),
        (with("unknown", json!(1)).to_string(), 400, "malformed"),
        (with("chain", json!("x")).to_string(), 400, "malformed"),
        (with("holder", json!("with space")).to_string(), 400, "malformed"),
        (with("slot", json!(far)).to_string(), 409, "early"),
        (text[..text.len() / 2].to_owned(), 400, "malformed"),
        (String::new(), 400, "malformed"),
        ("[".repeat(100_000), 400, "malformed"),
    ];
    for (body, status, reason) in cases {
        let before = refusals(&member, reason);
        let reply = member.peer("/v1/keep", &[], body.as_bytes());
        let shown = &body[..body.len().min(200)];
        assert_eq!(reply.status, status, "{shown}: {}", reply.text());
        assert_eq!(reply.json()["refusal"], reason, "{shown}: {}", reply.text());
        assert_eq!(refusals(&member, reason), before + 1.0, "{shown}");
    }
    let promised = member.admin("/ledger")["promised_fence"].as_u64().unwrap();
    assert!(promised < 100, "a refused message promises nothing");
    assert_eq!(post(&member, &keep()).status, 200);

    // From here on a lower fence, and another holder with the same, are refused.
    for (key, value) in [("fence", json!(99)), ("holder", json!("rg-8_uid-0"))] {
        let reply = post(&member, &with(key, value));
        assert_eq!(
            (reply.status, reply.json()),
            (409, json!({"refusal": "fence", "fence": 100}))
        );
    }
    assert_eq!(refusals(&member, "fence"), 2.0);
    assert_eq!(member.peer("/v2/keep", &[], b"{}").status, 404);
    assert_eq!(member.get("/").unwrap().status, 200);
    member.stop();
}

#[test]
fn a_message_cut_off_on_its_way_changes_nothing() {
    let (_dir, volume) = volume();
    let member = Member::start(&volume, &QUIET);
    let body = keep().to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", member.base + 1)).unwrap();
    let head = format!(
        "POST /v1/keep HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body.as_bytes()[..body.len() - 1]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
    assert_ne!(member.admin("/ledger")["promised_fence"], 100);
    member.stop();
}

#[test]
fn the_same_keep_gets_the_same_answer_also_after_kill_9() {
    let (_dir, volume) = volume();
    let member = Member::start(&volume, &QUIET);
    let first = post(&member, &keep());
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(post(&member, &keep()).body, first.body);
    // In a later slot, too: new tries would be new reveals.
    let later = with("slot", json!(Slot(Clock::system().wall().seconds() + 2)));
    assert_eq!(post(&member, &later).body, first.body);
    let base = member.base;
    member.kill();
    let member = Member::start_at(base, &volume, &QUIET);
    until("the ledger is open", || {
        (member.admin("/ledger")["condition"] == "writable").then_some(())
    });
    assert_eq!(post(&member, &keep()).body, first.body);
    assert_eq!(
        member.admin("/ledger")["promised_fence"],
        100,
        "the promise was kept as well"
    );
    let lower = post(&member, &with("fence", json!(99)));
    assert_eq!(lower.json()["refusal"], "fence");
    member.stop();
}

#[test]
fn a_message_that_is_unsigned_forged_or_old_is_refused_and_counted() {
    let (dir, volume) = volume();
    let path = dir.path().join("secret");
    fs::write(&path, "0123456789abcdef\n").unwrap();
    let arguments = [&QUIET[..], &["--peer-secret-file", path.to_str().unwrap()]].concat();
    let member = Member::start(&volume, &arguments);
    let body = keep().to_string();
    let now = Clock::system().wall();
    let signed = |secret: &[u8], signed_body: &str, age: i64| {
        let mut wall = now;
        wall.0 -= age * 1_000_000;
        let message = Message::Request {
            method: "POST",
            target: "/v1/keep",
            body: signed_body.as_bytes(),
        };
        let signature = PeerSecret::new(secret).unwrap().sign(message, wall);
        let (mac, time) = (hex::encode(signature.mac), signature.time_ms.to_string());
        member.peer("/v1/keep", &[(MAC_HEADER, &mac), (TIME_HEADER, &time)], body.as_bytes())
    };
    for (reply, reason) in [
        (post(&member, &keep()), "unsigned"),
        (signed(b"another secret..", &body, 0), "forged"),
        (signed(b"0123456789abcdef", "another body", 0), "forged"),
        (signed(b"0123456789abcdef", &body, 60), "late"),
        (signed(b"0123456789abcdef", &body, -60), "late"),
    ] {
        assert_eq!(reply.status, 401, "{reason}: {}", reply.text());
        assert!(
            reply
                .header("content-type")
                .unwrap()
                .starts_with("application/problem+json")
        );
        assert!(refusals(&member, reason) >= 1.0, "{reason}");
    }
    assert_ne!(member.admin("/ledger")["promised_fence"], 100);
    let reply = signed(b"0123456789abcdef", &body, 0);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.header(MAC_HEADER).is_some(), "the answer is signed as well");
    member.stop();
}

#[test]
fn a_member_with_another_secret_is_left_out_and_the_others_go_on() {
    let secrets = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = secrets.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let (ours, other) = (
        file("ours", "the secret of the set"),
        file("other", "a secret of another set"),
    );
    // A set's first record needs every voter, so all begin alike.
    let mut set = Set::prepared(3, &[]);
    let secret = |path: &PathBuf| ["--peer-secret-file".to_owned(), path.to_str().unwrap().to_owned()];
    for ordinal in 0..3 {
        set.start_member(ordinal, &secret(&ours).each_ref().map(String::as_str));
    }
    set.member(0).until_round(2);
    set.take(2).stop();
    set.start_member(2, &secret(&other).each_ref().map(String::as_str));
    let told = until("the third is left out", || {
        let latest = set.member(0).json("/draws/latest");
        let missing = latest["missing"].as_array().unwrap();
        let reason = missing.iter().find(|missing| missing["ordinal"] == 2)?["reason"].clone();
        (reason != "unreachable").then_some(reason)
    });
    assert_eq!(told, "invalid");
    let round = set.member(0).round();
    set.member(0).until_round(round + 3);
    assert_ne!(set.holder(), 2, "it can't conduct, and lets others");
    assert_eq!(set.member(2).get("/").unwrap().status, 200);
    assert!((0..3).any(|ordinal| refusals(set.member(ordinal), "forged") > 0.0));
    // It sees the Lease, so it learns of every draw; what it lacks it can't fetch.
    set.member(2).until_round(round);

    set.take(2).stop();
    set.start_member(2, &["--peer-secret-file", ours.to_str().unwrap()]);
    until("it contributes", || {
        let latest = set.member(0).json("/draws/latest");
        latest["contributions"].to_string().contains("\"rg-2\"").then_some(())
    });
    let verified = run(&["verify", &format!("http://127.0.0.1:{}", set.member(2).base)]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}
