//! Schedules as Kubernetes reads them: robfig/cron v3 itself, in a Go program. These tests need no cluster.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use random_generator::record::schedule::Schedule;

use crate::elector::build;

/// 2026-01-01T00:00:00Z.
const FROM: i64 = 1_767_225_600;
const DAY: i64 = 86_400;
const RANDOM_LINES: usize = 1_500;

/// What robfig/cron says of each line: the instants after [`FROM`], or why it is refused.
fn of_robfig(lines: &[String], days: i64) -> Vec<Result<Vec<i64>, String>> {
    static BUILT: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| build("./schedules", "schedules"));
    let program: &Path = BUILT.as_deref().unwrap_or_else(|error| panic!("{error}"));
    let mut child = Command::new(program)
        .args([format!("-from={FROM}"), format!("-until={}", FROM + days * DAY)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = lines.join("\n") + "\n";
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<_> = answers.lines().map(instants).collect();
    assert_eq!(answers.len(), lines.len());
    answers
}

fn instants(answer: &str) -> Result<Vec<i64>, String> {
    let Some(gaps) = answer.strip_prefix("accepted") else {
        return Err(answer.to_owned());
    };
    let mut last = FROM;
    let next = |gap: &str| {
        last += gap.parse::<i64>().unwrap();
        last
    };
    Ok(gaps.split_whitespace().map(next).collect())
}

/// Those of this schedule, in the same days.
fn of_ours(schedule: &Schedule, days: i64) -> Vec<i64> {
    let mut instants = Vec::new();
    let mut last = FROM;
    while let Some(slot) = schedule.next_after(last).filter(|slot| slot.0 <= FROM + days * DAY) {
        last = slot.0;
        instants.push(last);
    }
    instants
}

#[test]
fn sixty_schedules_of_cronjobs_have_the_instants_of_kubernetes_over_two_years() {
    let rows = include_str!("schedules/table.tsv").lines();
    let lines: Vec<String> = rows.map(|row| row.split('\t').next().unwrap().to_owned()).collect();
    assert!(lines.len() >= 60);
    for (line, robfig) in lines.iter().zip(of_robfig(&lines, 730)) {
        let ours = of_ours(&Schedule::from_crontab(line).unwrap(), 730);
        assert!(robfig.as_ref() == Ok(&ours), "{line}");
    }
}

/// A field with all that robfig/cron knows, and some that it refuses.
fn field(least: u32, greatest: u32, names: &'static [&'static str]) -> impl Strategy<Value = String> {
    let end = move || {
        let number = least.saturating_sub(1)..=greatest + 1;
        prop_oneof![
            30 => (least..=greatest).prop_map(|number| number.to_string()),
            1 => number.prop_map(|number| number.to_string()),
            3 => prop::sample::select(names).prop_map(str::to_owned),
            1 => (least..=greatest).prop_map(|number| format!("0{number}")),
        ]
    };
    let range = prop_oneof![
        4 => end(),
        1 => (end(), end()).prop_map(|(first, last)| format!("{first}-{last}")),
        3 => (least..=greatest, least..=greatest).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        3 => Just("*".to_owned()),
        1 => Just("?".to_owned()),
    ];
    let step = prop_oneof![
        10 => Just(String::new()),
        5 => (1_u32..12).prop_map(|step| format!("/{step}")),
        1 => prop::sample::select(&["/0", "/100", "/", "/+2", "/1/2", "/-1"][..]).prop_map(str::to_owned),
    ];
    let item = (range, step).prop_map(|(range, step)| range + &step);
    prop_oneof![
        2 => Just("*".to_owned()),
        4 => prop::collection::vec(item, 1..3).prop_map(|items| items.join(",")),
    ]
}

#[test]
fn random_lines_are_accepted_or_refused_as_by_kubernetes_with_the_same_instants() {
    const MONTHS: &[&str] = &["JAN", "feb", "Mar", "oct", "DEC"];
    const DAYS: &[&str] = &["SUN", "mon", "Tue", "FRI", "sat"];
    // No names: 0, which no day of the month is.
    const NONE: &[&str] = &["0"];
    let line = (
        field(0, 59, NONE),
        field(0, 23, NONE),
        field(1, 31, NONE),
        field(1, 12, MONTHS),
        // 7 is Sunday here, and refused there.
        field(0, 5, DAYS),
    );
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    let lines: Vec<String> = (0..RANDOM_LINES)
        .map(|_| {
            let (minute, hour, day, month, weekday) = line.new_tree(&mut runner).unwrap().current();
            format!("{minute} {hour} {day} {month} {weekday}")
        })
        .collect();
    let mut accepted = 0;
    for (line, robfig) in lines.iter().zip(of_robfig(&lines, 32)) {
        match (Schedule::from_crontab(line), robfig) {
            (Ok(ours), Ok(robfig)) => {
                assert!(of_ours(&ours, 32) == robfig, "{line}: as {ours}");
                accepted += 1;
            }
            (Err(_), Err(_)) => {}
            // It accepts what never comes.
            (Err(error), Ok(robfig)) => {
                assert!(
                    robfig.is_empty() && error.to_string().contains("a day that comes"),
                    "{line}: {error}"
                );
            }
            (Ok(ours), Err(error)) => panic!("{line} is read as {ours}, and there {error}"),
        }
    }
    assert!(
        (RANDOM_LINES / 3..RANDOM_LINES).contains(&accepted),
        "{accepted} accepted"
    );
}
