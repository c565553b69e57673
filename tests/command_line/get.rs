//! `get` against real members, and against listeners that fail.

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::harness::{Ended, Member, program, run};
use crate::listener::{Listener, answer, closed, path};
use crate::waiting::until;

fn member(dir: &tempfile::TempDir, name: &str) -> Member {
    Member::start(&dir.path().join(name), &["--durability", "none"])
}

fn url(member: &Member) -> String {
    format!("http://127.0.0.1:{}", member.base)
}

fn get(arguments: &[&str]) -> Ended {
    run(&[&["get"], arguments].concat())
}

fn good(arguments: &[&str]) -> String {
    let ended = get(arguments);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    ended.stdout
}

fn integers(text: &str) -> Vec<i64> {
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn requests(route: &str) -> String {
    let labels = format!("listener=\"public\",route=\"{route}\",method=\"GET\",status=\"200\"");
    format!("random_generator_http_requests_total{{{labels}}}")
}

#[test]
fn each_kind_is_given_as_text_and_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let member = member(&dir, "rg-0");
    let at = url(&member);
    let dice = integers(&good(&["integers", "--min", "1", "--max", "6", "--count", "500", &at]));
    assert_eq!(dice.len(), 500);
    assert_eq!(dice.iter().collect::<HashSet<_>>().len(), 6, "{dice:?}");
    let negative = integers(&good(&["integers", "--min", "-3", "--max", "-3", &at]));
    assert_eq!(negative, [-3]);
    let json: Value = serde_json::from_str(&good(&["integers", "--count", "3", "--json", &at])).unwrap();
    assert!(json["values"].as_array().unwrap().iter().all(Value::is_i64), "{json}");
    let ids = good(&["ids", "--count", "2500", &at]);
    assert_eq!(ids.lines().collect::<HashSet<_>>().len(), 2500);
    let json: Value = serde_json::from_str(&good(&["ids", "--count", "1001", "--json", &at])).unwrap();
    assert_eq!(json["values"].as_array().unwrap().len(), 1001);
    assert!(json["values"][1000].is_string(), "{json}");
    let number: i64 = good(&["number", &at]).trim_end().parse().unwrap();
    assert!(i32::try_from(number).is_ok());
    let json: Value = serde_json::from_str(&good(&["number", "--json", &at])).unwrap();
    assert!(json["random"].is_i64() && json["version"].is_string(), "{json}");
    let hex = good(&["bytes", "--count", "16", "--hex", &at]);
    assert!(
        hex.len() == 33 && hex.trim_end().bytes().all(|b| b.is_ascii_hexdigit()),
        "{hex}"
    );
    let json: Value = serde_json::from_str(&good(&["bytes", "--count", "1500000", "--json", &at])).unwrap();
    assert_eq!(json["values"][0].as_str().unwrap().len(), 3_000_000);
}

#[test]
fn a_million_different_integers_get_into_a_file_from_two_members() {
    let dir = tempfile::tempdir().unwrap();
    let members = [member(&dir, "rg-0"), member(&dir, "rg-1")];
    let file = dir.path().join("tickets.txt");
    let arguments = [
        "integers", "--min", "1", "--max", "1500000", "--count", "1000000", "--unique",
    ];
    let out = ["--output", file.to_str().unwrap(), &url(&members[0]), &url(&members[1])];
    assert_eq!(good(&[&arguments[..], &out].concat()), "");
    let numbers = integers(&fs::read_to_string(&file).unwrap());
    assert_eq!(numbers.len(), 1_000_000);
    assert!(numbers.iter().all(|number| (1..=1_500_000).contains(number)));
    assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), 1_000_000);
    assert!(!numbers.is_sorted());
    for member in &members {
        let asked = member.metric(&requests("/bytes"));
        assert!((2.0..7.0).contains(&asked), "{asked} of 8 batches");
    }
}

#[test]
fn numbers_that_are_different_may_be_a_whole_range_and_no_more_than_it() {
    let dir = tempfile::tempdir().unwrap();
    let member = member(&dir, "rg-0");
    let at = url(&member);
    for count in ["49", "20000"] {
        let mut all = integers(&good(&["integers", "--max", count, "--count", count, "--unique", &at]));
        all.sort();
        assert!(all.into_iter().eq(1..=count.parse().unwrap()));
    }
    let many = get(&["integers", "--max", "5", "--count", "6", "--unique", &at]);
    assert_eq!(many.code, Some(64));
    assert!(
        many.line().contains("from 1 to 5 there are 5 numbers"),
        "{}",
        many.line()
    );
    let many = get(&["integers", "--max", "99999999", "--count", "10000001", "--unique", &at]);
    assert!(
        many.code == Some(64) && many.line().contains("10000000"),
        "{}",
        many.line()
    );
}

#[test]
fn a_member_that_is_killed_costs_no_byte_while_another_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (member(&dir, "rg-0"), member(&dir, "rg-1"));
    let file = dir.path().join("noise");
    let mut child = program()
        .args(["get", "bytes", "--count", "200MiB", "--verbose", "--output"])
        .args([file.to_str().unwrap(), &url(&first), &url(&second)])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let drafts = || {
        let files = fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path());
        let drafts = files.filter(|path| path.to_str().unwrap().ends_with(".part"));
        drafts.collect::<Vec<_>>()
    };
    until("some megabytes", || {
        let lengths = drafts()
            .into_iter()
            .map(|draft| fs::metadata(draft).map_or(0, |draft| draft.len()));
        (lengths.sum::<u64>() > 8 << 20).then_some(())
    });
    assert!(!file.exists(), "it has its name before it is whole");
    first.kill();
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{told}");
    assert_eq!(fs::metadata(&file).unwrap().len(), 200 << 20);
    assert_eq!(drafts().len(), 0);
    assert!(
        told.contains("asking again") && told.contains("209715200 bytes in"),
        "{told}"
    );
}

/// Answers `/integers` with the numbers from 0 on; each third request fails in one of three ways.
fn unreliable() -> Listener {
    let (asked, given) = (AtomicUsize::new(0), AtomicUsize::new(0));
    Listener::start(move |head, stream| {
        let count: usize = path(head).rsplit('=').next().unwrap().parse().unwrap();
        let number = asked.fetch_add(1, Ordering::SeqCst);
        match number % 9 {
            2 => return answer(stream, 503, br#"{"detail":"no entropy"}"#),
            5 => return answer(stream, 200, b"7\n7"),
            // Cut off in the middle.
            8 => {
                use std::io::Write;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n1\n2\n");
                return;
            }
            _ => {}
        }
        let first = given.fetch_add(count, Ordering::SeqCst);
        let numbers: String = (first..first + count).map(|number| format!("{number}\n")).collect();
        answer(stream, 200, numbers.as_bytes());
    })
}

#[test]
fn what_failed_on_its_way_is_asked_for_again_and_nothing_is_lost_or_counted_twice() {
    let (one, other) = (unreliable(), unreliable());
    let text = good(&["integers", "--count", "205000", &one.url(), &other.url()]);
    let numbers = integers(&text);
    assert_eq!(numbers.len(), 205_000);
    let mut seen = [0; 205_000];
    for number in &numbers {
        seen[*number as usize] += 1;
    }
    // Each of the two counts from 0 on, so the numbers that both gave come first, each twice, and then those of one. A batch
    // that was lost, or counted twice, would leave a dent or a bump.
    assert!(seen[0] == 2 && seen.is_sorted_by(|one, next| one >= next));
}

#[test]
fn what_can_not_be_had_ends_with_its_exit_code_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out");
    fs::write(&file, "before").unwrap();
    let refusing = Listener::saying(400, r#"{"detail":"the range is too wide"}"#);
    let older = Listener::saying(404, r#"{"detail":"there is no such path"}"#);
    let other = Listener::saying(200, "<html>\n");
    let broken = Listener::saying(503, r#"{"detail":"no entropy"}"#);
    for (url, code, part) in [
        (closed(), 75, "given up after 8 attempts"),
        (broken.url(), 75, "no entropy"),
        (refusing.url(), 64, "the range is too wide"),
        (older.url(), 64, "there is no such path"),
        (other.url(), 65, "not a value of this kind"),
    ] {
        let ended = get(&["integers", "--output", file.to_str().unwrap(), "--timeout", "1m", &url]);
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert!(
            ended.line().contains(part) && ended.line().contains(&url),
            "{}",
            ended.line()
        );
    }
    let silent = Listener::start(|_, stream| {
        let _ = stream.read(&mut [0]);
    });
    let late = get(&[
        "integers",
        "--timeout",
        "300ms",
        "--output",
        file.to_str().unwrap(),
        &silent.url(),
    ]);
    assert_eq!(late.code, Some(75), "{}", late.stderr);
    assert!(late.line().contains("--timeout 300ms"), "{}", late.line());
    assert_eq!(fs::read_to_string(&file).unwrap(), "before");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "a draft was left");
    let nowhere = get(&["integers", "--output", "/nonexistent/x", &older.url()]);
    assert_eq!(nowhere.code, Some(74), "{}", nowhere.stderr);
    let reversed = get(&["integers", "--min", "5", "--max", "4"]);
    assert_eq!(reversed.code, Some(64), "{}", reversed.stderr);
    for wrong in [
        &["integers", "--cuont", "5"][..],
        &["bytes", "--count", "0"],
        &["integer"],
        &[],
    ] {
        assert_eq!(get(wrong).code, Some(64), "{wrong:?}");
    }
}

#[test]
fn an_interrupted_command_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let member = member(&dir, "rg-0");
    let outputs = tempfile::tempdir().unwrap();
    let file = outputs.path().join("noise");
    let mut child = program()
        .args([
            "get",
            "bytes",
            "--count",
            "100GiB",
            "--output",
            file.to_str().unwrap(),
            &url(&member),
        ])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("a draft", || {
        (fs::read_dir(outputs.path()).unwrap().count() > 0).then_some(())
    });
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(75));
    assert_eq!(fs::read_dir(outputs.path()).unwrap().count(), 0);
}

#[test]
fn a_pipe_that_nobody_reads_holds_up_neither_its_time_limit_nor_a_signal() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from(0o600));
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, fifo, mode, 0).unwrap();
    let listener = Listener::saying(200, "7\n");
    let (pipe, at) = (pipe.to_str().unwrap(), listener.url());
    let late = get(&["integers", "--timeout", "300ms", "--output", pipe, &at]);
    assert_eq!(late.code, Some(75), "{}", late.stderr);
    assert!(late.line().contains("--timeout 300ms"), "{}", late.line());
    let asked = listener.paths().len();
    let child = program()
        .args(["get", "integers", "--output", pipe, &at])
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    until("its question", || (listener.paths().len() > asked).then_some(()));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    let ended = until("its end", || child.try_wait().unwrap());
    let told = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    assert_eq!(ended.code(), Some(75), "{told}");
    assert!(told.contains("the output is incomplete"), "{told}");
    // With a reader all arrives.
    let reader = program_reading(pipe);
    assert_eq!(good(&["integers", "--output", pipe, &at]), "");
    assert_eq!(reader.wait_with_output().unwrap().stdout, b"7\n");
}

/// A process that reads a pipe to its end.
fn program_reading(pipe: &str) -> std::process::Child {
    let mut cat = std::process::Command::new("cat");
    cat.arg(pipe).stdout(Stdio::piped()).spawn().unwrap()
}

/// In a container every process has the same id, and SIGKILL leaves the draft.
#[test]
fn what_a_killed_command_of_the_same_process_id_left_is_in_no_way() {
    let dir = tempfile::tempdir().unwrap();
    let listener = Listener::saying(200, "7\n");
    let file = dir.path().join("out");
    let script = "touch $1/.out.$$.part; exec \"$0\" get integers --output $1/out $2";
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_random-generator")]);
    let output = shell.arg(dir.path()).arg(listener.url()).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), told.as_str()), (Some(0), ""));
    assert_eq!(fs::read_to_string(&file).unwrap(), "7\n");
}

#[test]
fn a_link_to_nothing_is_refused_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let listener = Listener::saying(200, "7\n");
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(dir.path().join("nothing"), &link).unwrap();
    let refused = get(&["integers", "--output", link.to_str().unwrap(), &listener.url()]);
    assert_eq!(refused.code, Some(74), "{}", refused.stderr);
    assert!(refused.line().contains("names nothing"), "{}", refused.line());
    assert!(link.is_symlink());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "something was made");
}

/// Three quarters of 2^64 numbers: a quarter of all bits would prefer some of them, and the first answer is all such.
#[test]
fn an_answer_of_which_nothing_can_be_used_leaves_one_document() {
    let asked = AtomicUsize::new(0);
    let listener = Listener::start(move |head, stream| {
        let count: usize = path(head).rsplit('=').next().unwrap().parse().unwrap();
        let turn = asked.fetch_add(1, Ordering::SeqCst) as u64;
        let bits = |place: u64| match turn {
            0 => 0,
            _ => (place + (turn << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15),
        };
        let bytes: Vec<u8> = (0..count as u64 / 8)
            .flat_map(|place| bits(place).to_be_bytes())
            .collect();
        answer(stream, 200, &bytes);
    });
    let range = ["--min", "-9223372036854775808", "--max", "4611686018427387903"];
    let how = ["--count", "10001", "--unique", "--json", &listener.url()];
    let text = good(&[&["integers"], &range[..], &how].concat());
    let json: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:.60}"));
    let numbers: HashSet<i64> = json["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_i64().unwrap())
        .collect();
    assert_eq!(numbers.len(), 10_001);
}

#[test]
fn a_reader_that_hangs_up_ends_it_quietly_and_a_full_disk_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let member = member(&dir, "rg-0");
    let mut child = program()
        .args(["get", "bytes", "--count", "100GiB", &url(&member)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut some = vec![0; 3_000_000];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    assert!(some.iter().collect::<HashSet<_>>().len() == 256);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
    let full = get(&["integers", "--output", "/dev/full", &url(&member)]);
    assert_eq!(full.code, Some(74), "{}", full.stderr);
    assert!(full.line().contains("/dev/full"), "{}", full.line());
}

#[test]
fn a_file_that_is_replaced_keeps_its_permissions_and_a_link_stays_a_link() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let member = member(&dir, "rg-0");
    let (file, link) = (dir.path().join("secret"), dir.path().join("link"));
    fs::write(&file, "before").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    good(&[
        "bytes",
        "--count",
        "64KiB",
        "--output",
        link.to_str().unwrap(),
        &url(&member),
    ]);
    assert!(link.is_symlink());
    let found = fs::metadata(&file).unwrap();
    assert_eq!((found.len(), found.permissions().mode() & 0o777), (65536, 0o600));
}

#[test]
fn the_kinds_of_other_members_are_asked_for_with_their_parameters() {
    for (arguments, values, expected) in [
        (
            &["decimals", "--min", "-1.5"][..],
            "0.5\n",
            "/decimals?min=-1.5&count=1",
        ),
        (
            &["gaussians", "--mean", "100", "--deviation", "15"],
            "99.1\n",
            "/gaussians?mean=100&deviation=15&count=1",
        ),
        (
            &["strings", "--length", "4", "--characters", "a&b"],
            "a&b&\n",
            "/strings?length=4&characters=a%26b&count=1",
        ),
        (
            &["strings", "--alphabet", "hex"],
            "00ff00ff00ff00ff\n",
            "/strings?length=16&alphabet=hex&count=1",
        ),
        (&["uuids", "--version", "7"], "x\n", "/uuids?version=7&count=1"),
        (&["shuffle", "--items", "a,b"], "b\na\n", "/shuffle?items=a,b"),
        (&["shuffle", "--max", "2"], "2\n1\n", "/shuffle?min=1&max=2"),
        (
            &["sequence", "--seed", "42", "--count", "2"],
            "-1170105035\n234785527\n",
            "/sequence?seed=42&count=2",
        ),
    ] {
        let listener = Listener::saying(200, values);
        assert_eq!(good(&[arguments, &[&listener.url()]].concat()), values, "{arguments:?}");
        assert_eq!(listener.paths(), [expected]);
    }
}
