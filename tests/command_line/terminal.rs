//! What commands write on a terminal: a pseudo-terminal, each with its TERM and NO_COLOR.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::harness::{Ended, Member};
use crate::linked::linked;
use crate::listener::{Listener, answer, header, path};
use crate::pseudo_terminal::run_on_terminal;

/// Longer than a command runs before it shows progress.
const LONG: Duration = Duration::from_millis(1300);

type Variables = &'static [(&'static str, &'static str)];

const ABLE: [Variables; 2] = [&[("TERM", "xterm")], &[("TERM", "xterm"), ("NO_COLOR", "1")]];
const DUMB: Variables = &[("TERM", "dumb")];

fn on_terminal(variables: Variables, arguments: &[&str]) -> Ended {
    let program = [&[env!("CARGO_BIN_EXE_random-generator")], arguments].concat();
    let ended = run_on_terminal(&program.join(" "), variables);
    assert_eq!(ended.code, Some(0), "{variables:?}: {ended:?}");
    assert!(!ended.stdout.contains('\u{1b}'), "{variables:?}: {ended:?}");
    ended
}

/// Whether a line was written over: a terminal's own lines end with a return too, before the line feed.
fn writes_over(ended: &Ended) -> bool {
    ended.stdout.replace("\r\n", "\n").contains('\r')
}

#[test]
fn a_bar_shows_on_a_terminal_that_can_write_over_a_line_and_no_escape_sequence_on_any() {
    let dir = tempfile::tempdir().unwrap();
    let member = Member::start(&dir.path().join("rg-0"), &["--durability", "none"]);
    let url = format!("http://127.0.0.1:{}", member.base);
    let (mut count, mut long) = (8 << 20, false);
    // A faster machine needs more bytes before it shows a bar.
    while !long {
        count *= 2;
        let bytes = count.to_string();
        let get = [
            "get",
            "bytes",
            "--count",
            &bytes,
            "--verbose",
            "--output",
            "/dev/null",
            &url,
        ];
        let dumb = on_terminal(DUMB, &get);
        assert!(!writes_over(&dumb) && !dumb.stdout.contains('['), "{dumb:?}");
        let (_, took) = dumb.stdout.rsplit_once(" bytes in ").unwrap();
        long = took.trim_end().trim_end_matches(" s").parse::<f64>().unwrap() > 1.5;
        for variables in ABLE.into_iter().filter(|_| long) {
            let able = on_terminal(variables, &get);
            assert!(able.stdout.contains("\r[#") && writes_over(&able), "{able:?}");
        }
    }
}

#[test]
fn a_verification_shows_how_far_it_is_in_the_same_way() {
    let records = linked(7, 1_800_000_000, 1..=20_000);
    let began = Mutex::new(None);
    // One record a page, until the command has run long enough to show progress.
    let member = Listener::start(move |head, stream| {
        let from = path(head)
            .split_once("from=")
            .map_or(1, |(_, from)| from.parse().unwrap());
        assert!(header(head, "accept").unwrap().contains("ndjson"));
        let mut began = began.lock().unwrap();
        if from == 1 {
            *began = Some(Instant::now());
        }
        let since: Instant = began.unwrap();
        let line = match since.elapsed() < LONG {
            true => records[from - 1].canonical() + "\n",
            false => String::new(),
        };
        answer(stream, 200, line.as_bytes());
    });
    let verify = ["verify", &member.url()];
    for variables in ABLE {
        let able = on_terminal(variables, &verify);
        assert!(
            able.stdout.contains("\rverified up to round ") && writes_over(&able),
            "{able:?}"
        );
    }
    let dumb = on_terminal(DUMB, &verify);
    assert!(
        dumb.stdout.starts_with("verified: set rg") && !writes_over(&dumb),
        "{dumb:?}"
    );
}
