//! `draws --follow` against real members and against streams that break.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use random_generator::record::Record;

use crate::harness::{Ended, Member, program, run};
use crate::linked::linked;
use crate::listener::{Listener, answer, closed, header, path};
use crate::waiting::until;

/// A chain that is kept with the tests of the verifiers.
fn records() -> Vec<Record> {
    let list = include_str!("../vectors/good.jsonl");
    list.lines().map(|line| Record::parse(line).unwrap()).collect()
}

fn event(record: &Record) -> String {
    format!("id: {}\nevent: draw\ndata: {}\n\n", record.round, record.canonical())
}

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

/// A member that has `records`: `/draws` and its like, and `/draws/stream`, which sends those after the id that it is given,
/// `at_once` of them, and ends.
fn streaming(records: Vec<Record>, at_once: usize) -> Listener {
    Listener::start(move |head, stream| {
        let from: u64 = match header(head, "last-event-id") {
            Some(last) => last.parse::<u64>().unwrap() + 1,
            None => records[0].round,
        };
        match path(head) {
            "/draws/stream" => {
                let _ = stream
                    .write_all(HEAD)
                    .and_then(|()| stream.write_all(b": a heartbeat\n\n"));
                for record in records.iter().filter(|record| record.round >= from).take(at_once) {
                    if stream.write_all(event(record).as_bytes()).is_err() {
                        return;
                    }
                }
            }
            "/draws/latest" => answer(stream, 200, records[0].canonical().as_bytes()),
            _ => answer(
                stream,
                200,
                format!(r#"{{"draws":[{}],"next":null}}"#, records[0].canonical()).as_bytes(),
            ),
        }
    })
}

#[test]
fn the_newest_draw_is_asked_for_once() {
    let records = records();
    let member = streaming(records, 0);
    let shown = run(&["draws", "--limit", "1", &member.url()]);
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""));
    assert_eq!(member.paths(), ["/draws/latest", "/draws?limit=1"]);
}

struct Following {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Following {
    fn start(arguments: &[&str]) -> Following {
        let mut child = program()
            .args(["draws", "--follow"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Following { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    /// Ends it, and gives what it said on standard error.
    fn end(mut self) -> String {
        self.child.kill().unwrap();
        let output = self.child.wait_with_output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn rounds_come_once_and_in_order_from_members_whose_streams_break() {
    let records = records();
    let (one, other) = (streaming(records.clone(), 2), streaming(records.clone(), 3));
    let mut following = Following::start(&["--json", "--limit", "1", &one.url(), &other.url()]);
    for record in &records {
        assert_eq!(following.line(), record.canonical());
    }
    let told = following.end();
    assert!(
        told.contains("it ended the stream") && told.contains("following http://127.0.0.1:"),
        "{told}"
    );
    let ids: Vec<Option<String>> = [one, other]
        .iter()
        .flat_map(|listener| listener.seen.lock().unwrap().clone())
        .filter(|head| path(head) == "/draws/stream")
        .map(|head| header(&head, "last-event-id").map(str::to_owned))
        .collect();
    assert!(
        ids.contains(&Some("1".to_owned())) && ids.iter().all(Option::is_some),
        "{ids:?}"
    );
}

#[test]
fn what_is_sent_twice_is_shown_once_and_rounds_that_are_gone_are_reported() {
    let records = records();
    let expected: Vec<String> = records[4..6].iter().map(Record::canonical).collect();
    let stream_of = records.clone();
    let listener = Listener::start(move |head, stream| match path(head) {
        "/draws/stream" => {
            let gap = "event: gap\ndata: {\"from\":2,\"oldest\":5}\n\n";
            let draws = [&stream_of[4], &stream_of[4], &stream_of[5], &stream_of[4]]
                .map(event)
                .concat();
            let _ = stream
                .write_all(HEAD)
                .and_then(|()| stream.write_all((gap.to_owned() + &draws).as_bytes()));
        }
        _ => answer(stream, 404, b"{}"),
    });
    let mut following = Following::start(&["--json", "--from", "2", &listener.url()]);
    assert_eq!([following.line(), following.line()], expected[..]);
    until("another question", || (listener.paths().len() >= 3).then_some(()));
    let told = following.end();
    assert!(told.contains("no longer keeps rounds 2 to 4"), "{told}");
}

#[test]
fn what_is_no_record_is_not_shown() {
    let listener = Listener::start(move |head, stream| match path(head) {
        "/draws/stream" => {
            let changed = event(&records()[0]).replacen("\"missed\":0", "\"missed\":1", 1);
            let _ = stream
                .write_all(HEAD)
                .and_then(|()| stream.write_all(changed.as_bytes()));
        }
        _ => answer(stream, 404, b"{}"),
    });
    let mut following = Following::start(&["--json", "--from", "1", &listener.url()]);
    until("another question", || (listener.paths().len() >= 2).then_some(()));
    following.child.kill().unwrap();
    assert!(following.lines.next().is_none());
    let told = following.end();
    assert!(told.contains("not a member's stream: "), "{told}");
}

#[test]
fn a_listener_without_a_stream_is_reported_by_the_path_that_was_asked() {
    let other = Listener::saying(404, "{}");
    let ended = run(&["draws", "--follow", "--quiet", "--from", "1", &other.url()]);
    assert_eq!(ended.code, Some(75), "{}", ended.stderr);
    let expected = format!("{}: /draws/stream: 404 Not Found, so it is not a member", other.url());
    assert!(ended.line().contains(&expected), "{}", ended.line());
    assert!(
        other.paths()[1..].iter().all(|path| path == "/draws/stream"),
        "{:?}",
        other.paths()
    );
}

#[test]
fn a_set_is_followed_while_its_member_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let lease = dir.path().join("lease");
    let more = |name: &'static str| {
        let lease = lease.to_str().unwrap().to_owned();
        let fast = [
            "--draw-schedule",
            "@every 1s",
            "--lease-duration",
            "3s",
            "--lease-renew-deadline",
            "2s",
        ];
        let own = [
            "--lease-retry",
            "500ms",
            "--pod-name",
            name,
            "--lease-directory",
            &lease,
        ];
        let arguments: Vec<String> = fast.iter().chain(&own).map(|text| (*text).to_owned()).collect();
        arguments
    };
    let start = |name: &'static str| {
        let more = more(name);
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        Member::start(&dir.path().join(name), &more)
    };
    // One voter; the other follows the lease and keeps copies.
    let voter = start("rg-0");
    voter.until_round(2);
    let copy = start("rg-1");
    copy.until_round(3);
    let url = |member: &Member| format!("http://127.0.0.1:{}", member.base);
    let mut following = Following::start(&["--json", "--from", "1", &url(&copy), &url(&voter)]);
    let round = |line: &str| Record::parse(line).unwrap().round;
    // The copy has what was drawn since it was started.
    let first = round(&following.line());
    let newest = copy.json("/draws/latest")["round"].as_u64().unwrap();
    copy.kill();
    // What the copy had may all be on its way; what was drawn later comes from the voter.
    for expected in first + 1..newest + 5 {
        assert_eq!(round(&following.line()), expected);
    }
    let told = following.end();
    assert!(told.contains(&format!("following {}", url(&voter))), "{told}");
    voter.stop();
}

/// A member whose chain a test changes: a stream has what there is after the id that it is given, and ends.
fn changing(records: Arc<Mutex<Vec<Record>>>) -> Listener {
    Listener::start(move |head, stream| {
        let records = records.lock().unwrap().clone();
        let newest = records.last().unwrap();
        if path(head) != "/draws/stream" {
            return answer(stream, 200, newest.canonical().as_bytes());
        }
        let from = header(head, "last-event-id").map_or(1, |last| last.parse::<u64>().unwrap() + 1);
        let mut text = String::from_utf8(HEAD.to_vec()).unwrap();
        if from > newest.round + 1 {
            text += &format!(
                "event: ahead\ndata: {{\"from\":{from},\"newest\":{}}}\n\n",
                newest.round
            );
        }
        text.extend(records.iter().filter(|record| record.round >= from).map(event));
        // The reader may have hung up.
        let _ = stream.write_all(text.as_bytes());
    })
}

fn lines(records: &[Record]) -> Vec<String> {
    records.iter().map(Record::canonical).collect()
}

#[test]
fn a_chain_that_began_again_is_shown_from_its_beginning_be_it_shorter_or_longer_by_now() {
    for rounds in [2, 8] {
        let (old, new) = (linked(1, 1_800_000_000, 1..=5), linked(2, 1_800_001_000, 1..=rounds));
        let there = Arc::new(Mutex::new(old.clone()));
        let member = changing(there.clone());
        let mut following = Following::start(&["--json", "--from", "1", &member.url()]);
        for expected in lines(&old) {
            assert_eq!(following.line(), expected);
        }
        *there.lock().unwrap() = new.clone();
        for expected in lines(&new) {
            assert_eq!(following.line(), expected);
        }
        let told = following.end();
        let line = format!(
            "a different chain, {}, from round 1 on; the draws shown so far belong to {}",
            new[0].chain, old[0].chain
        );
        assert_eq!(told.matches(&line).count(), 1, "{told}");
    }
}

#[test]
fn a_member_that_is_left_with_the_old_chain_shows_nothing_more_and_is_reported() {
    let (old, new) = (linked(1, 1_800_000_000, 1..=5), linked(2, 1_800_001_000, 1..=3));
    let there = Arc::new(Mutex::new(new[..2].to_vec()));
    let (left_behind, ahead) = (changing(Arc::new(Mutex::new(old.clone()))), changing(there.clone()));
    let mut following = Following::start(&["--json", "--from", "1", &left_behind.url(), &ahead.url()]);
    for expected in lines(&old).into_iter().chain(lines(&new[..2])) {
        assert_eq!(following.line(), expected);
    }
    // It is asked on, with a round of the new chain, and has later ones of its own.
    let asked = left_behind.paths().len();
    until("another question", || {
        (left_behind.paths().len() > asked + 1).then_some(())
    });
    *there.lock().unwrap() = new.clone();
    assert_eq!(following.line(), new[2].canonical());
    following.end();
}

#[test]
fn draws_go_on_being_shown_after_all_volumes_and_the_lease_were_lost() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join("rg-0");
    let member = Member::start(&volume, &["--draw-schedule", "@every 1s"]);
    member.until_round(4);
    let base = member.base;
    let mut following = Following::start(&["--json", "--from", "1", &format!("http://127.0.0.1:{base}")]);
    let read = |line: String| Record::parse(&line).unwrap();
    let first = read(following.line());
    for expected in 2..=4 {
        assert_eq!(read(following.line()).round, expected);
    }
    member.kill();
    std::fs::remove_dir_all(&volume).unwrap();
    let member = Member::start_at(base, &volume, &["--draw-schedule", "@every 1s"]);
    // What was drawn before the kill may still be on its way.
    let mut next = read(following.line());
    while next.chain == first.chain {
        next = read(following.line());
    }
    assert_eq!(next.round, 1);
    assert_eq!(read(following.line()).round, 2);
    let told = following.end();
    assert!(told.contains(&format!("a different chain, {}", next.chain)), "{told}");
    member.stop();
}

#[test]
fn nobody_to_follow_is_reported_within_a_bounded_time() {
    let nobody: Ended = run(&["draws", "--follow", "--from", "1", &closed(), &closed()]);
    assert_eq!(nobody.code, Some(75), "{}", nobody.stderr);
    assert!(nobody.stderr.contains("is the member running?"), "{}", nobody.stderr);
}

#[test]
fn a_follower_whose_reader_hangs_up_ends_quietly() {
    let member = streaming(records(), 100);
    let mut following = Following::start(&["--json", "--quiet", "--limit", "1", &member.url()]);
    following.line();
    let Following { child, lines } = following;
    drop(lines);
    // Of the stream's rounds, one after the first is written to nobody.
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
