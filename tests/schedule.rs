#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

//! Schedules against a matcher that goes minute by minute and shares no code with them.

use std::time::Duration;

use proptest::prelude::*;
use random_generator::record::schedule::Schedule;
use random_generator::record::{MAX_MISSED, Slot};

fn schedule(text: &str) -> Schedule {
    text.parse().unwrap()
}

fn at(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_second()
}

/// Does one field match a value? `docs/protocol.md` 1.3, by trial of each item.
fn field_matches(field: &str, value: u32, least: u32, greatest: u32) -> bool {
    field.split(',').any(|item| {
        let (range, step) = item.split_once('/').unwrap_or((item, "1"));
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (first.parse().unwrap(), last.parse().unwrap()),
            None if range == "*" => (least, greatest),
            None => (range.parse().unwrap(), range.parse().unwrap()),
        };
        first <= value && value <= last && (value - first).is_multiple_of(step.parse().unwrap())
    })
}

/// Month and day of month of a day since the epoch (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn month_and_day(day: i64) -> (u32, u32) {
    let of_era = (day + 719_468).rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (month as u32, day as u32)
}

fn naive(text: &str, seconds: i64) -> bool {
    let fields: Vec<&str> = text.split(' ').collect();
    let day = seconds / 86_400;
    let (month, day_of_month) = month_and_day(day);
    let weekday = ((day + 4) % 7) as u32;
    let by_date = field_matches(fields[2], day_of_month, 1, 31);
    let by_weekday = field_matches(fields[4], weekday, 0, 7) || (weekday == 0 && field_matches(fields[4], 7, 0, 7));
    let day_matches = match (fields[2] == "*", fields[4] == "*") {
        (false, false) => by_date || by_weekday,
        _ => by_date && by_weekday,
    };
    seconds % 60 == 0
        && field_matches(fields[0], (seconds / 60 % 60) as u32, 0, 59)
        && field_matches(fields[1], (seconds / 3600 % 24) as u32, 0, 23)
        && field_matches(fields[3], month, 1, 12)
        && day_matches
}

fn item(least: u32, greatest: u32) -> impl Strategy<Value = String> {
    let range = (least..=greatest, least..=greatest).prop_map(|(a, b)| (a.min(b), a.max(b)));
    prop_oneof![
        3 => (least..=greatest).prop_map(|n| n.to_string()),
        2 => range.clone().prop_map(|(a, b)| format!("{a}-{b}")),
        1 => (range, 1..20u32).prop_map(|((a, b), n)| format!("{a}-{b}/{n}")),
        1 => (1..40u32).prop_map(|n| format!("*/{n}")),
    ]
}

fn field(least: u32, greatest: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just("*".to_owned()),
        3 => prop::collection::vec(item(least, greatest), 1..4).prop_map(|items| items.join(",")),
    ]
}

fn cron() -> impl Strategy<Value = String> {
    (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7))
        .prop_map(|(a, b, c, d, e)| format!("{a} {b} {c} {d} {e}"))
        // Only day 31 of short months is refused here, which has a test of its own.
        .prop_filter("a day that exists", |text| text.parse::<Schedule>().is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn cron_agrees_with_a_matcher_that_tries_each_minute(text in cron(), from in 0i64..7_000_000_000, width in 1i64..6_000) {
        let schedule = schedule(&text);
        let minutes = from / 60 + 1..from / 60 + 1 + width;
        let mut expected = Vec::new();
        for minute in minutes.clone() {
            let matches = naive(&text, minute * 60);
            prop_assert_eq!(schedule.contains(Slot(minute * 60)), matches, "{} at {}", text, minute * 60);
            if matches {
                expected.push(Slot(minute * 60));
            }
        }
        let (start, end) = (minutes.start * 60 - 1, minutes.end * 60 - 1);
        let mut found = Vec::new();
        let mut cursor = start;
        while let Some(slot) = schedule.next_after(cursor).filter(|slot| slot.0 <= end) {
            found.push(slot);
            cursor = slot.0;
        }
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(schedule.missed_between(Slot(start), Slot(end + 1)), expected.len() as u64);
        if let Some(last) = expected.last() {
            prop_assert_eq!(schedule.at_or_before(end), Some(*last));
            prop_assert_eq!(schedule.missed_between(expected[0], *last), (expected.len() as u64).saturating_sub(2));
        }
    }

    #[test]
    fn every_period_is_aligned_to_the_epoch(period in 1i64..=86_400, seconds in 0i64..10_000_000_000) {
        let schedule = schedule(&format!("@every {period}s"));
        let before = schedule.at_or_before(seconds).unwrap();
        let after = schedule.next_after(seconds).unwrap();
        prop_assert_eq!(before.0 % period, 0);
        prop_assert!(before.0 <= seconds && seconds < after.0);
        prop_assert_eq!(after.0 - before.0, period);
        prop_assert!(schedule.contains(before));
        prop_assert_eq!(schedule.contains(Slot(before.0 + 1)), period == 1);
        prop_assert_eq!(schedule.missed_between(before, after), 0);
        prop_assert_eq!(schedule.missed_between(before, Slot(after.0 + 3 * period)), 3);
        prop_assert_eq!(schedule.missed_between(Slot(before.0 - 1), Slot(after.0 + 1)), 2);
    }

    #[test]
    fn a_schedule_written_and_read_again_is_the_same(text in cron()) {
        let once = schedule(&text);
        prop_assert_eq!(once.to_string(), text);
        prop_assert_eq!(schedule(&once.to_string()), once);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,40}", fields in "[@*/,0-9a-zLW#?-]{0,6}( [*/,0-9-]{0,6}){0,6}") {
        let _ = text.parse::<Schedule>();
        let _ = fields.parse::<Schedule>();
    }
}

#[test]
fn periods_are_whole_seconds_from_one_second_to_a_day() {
    let periods = [
        ("1s", 1),
        ("1m", 60),
        ("24h", 86_400),
        ("1440m", 86_400),
        ("86400s", 86_400),
    ];
    for (text, period) in periods {
        let schedule = schedule(&format!("@every {text}"));
        assert_eq!(
            schedule.period_hint(1_700_000_000),
            Duration::from_secs(period),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_schedule_is_refused_with_what_is_allowed() {
    let periods = [
        "", " 0s", " 01s", " 86401s", " 25h", " 1d", " 1.5s", " -1s", " 1s 2s", " +1s", " 1 s", " 99999h", " s",
    ];
    let fields = [
        "",
        "@daily",
        "@EVERY 1s",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 0 *",
        "* * * 13 *",
        "* * * * 8",
        "* * * JAN *",
        "* * * * MON",
        "* * L * *",
        "* * 15W * *",
        "* * * * 5#2",
        "* * ? * *",
        "* * * * +1",
        "5/10 * * * *",
        "*/0 * * * *",
        "/5 * * * *",
        "1,,2 * * * *",
        ",1 * * * *",
        "1, * * * *",
        "5-1 * * * *",
        "1-2-3 * * * *",
        "*,5 * * * *",
        "**/2 * * * *",
        "1-/2 * * * *",
        "001 * * * *",
        "*/100 * * * *",
        "*-5 * * * *",
        "0 0 30 2 *",
        "0 0 31 2,4,6,9,11 *",
        "٣ * * * *",
        "~ * * * *",
        "*/1/2 * * * *",
        "*/ * * * *",
    ];
    let texts = periods
        .iter()
        .map(|period| format!("@every{period}"))
        .chain(fields.map(str::to_owned));
    for text in texts {
        let error = text.parse::<Schedule>().expect_err(&text).to_string();
        assert!(
            error.contains("@every Ns") && error.contains("five cron fields"),
            "{error}"
        );
        assert!(!error.contains('\n'), "{error}");
    }
    assert!(format!("{}1 * * * *", "1,".repeat(200)).parse::<Schedule>().is_err());
}

#[test]
fn white_space_around_and_between_fields_is_not_part_of_a_schedule() {
    assert_eq!(schedule("  @every \t 10s ").to_string(), "@every 10s");
    assert_eq!(schedule(" 0  5 *   * * "), schedule("0 5 * * *"));
}

#[test]
fn a_day_that_comes_once_in_eight_years_is_found_across_a_year_without_it() {
    let leap = schedule("30 12 29 2 *");
    assert_eq!(
        leap.next_after(at("2096-03-01T00:00:00Z")),
        Some(Slot(at("2104-02-29T12:30:00Z")))
    );
    assert_eq!(
        leap.at_or_before(at("2104-02-29T12:29:59Z")),
        Some(Slot(at("2096-02-29T12:30:00Z")))
    );
}

#[test]
fn when_both_day_fields_are_restricted_either_is_enough() {
    // 2026-11-13 is a Friday.
    let either = schedule("0 0 1 * 5");
    assert!(either.contains(Slot(at("2026-11-13T00:00:00Z"))));
    assert!(either.contains(Slot(at("2026-11-01T00:00:00Z"))));
    assert!(!either.contains(Slot(at("2026-11-12T00:00:00Z"))));
    // A step is a restriction too: every second day, or a Friday.
    let step = schedule("0 0 */2 * 5");
    assert!(step.contains(Slot(at("2026-11-20T00:00:00Z"))) && step.contains(Slot(at("2026-11-21T00:00:00Z"))));
    assert!(!step.contains(Slot(at("2026-11-12T00:00:00Z"))));
}

#[test]
fn time_before_the_epoch_and_after_the_year_9998_has_no_slots() {
    let last = at("9998-12-31T23:59:59Z");
    for text in ["@every 7s", "* * * * *", "0 0 29 2 *"] {
        let schedule = schedule(text);
        assert_eq!(schedule.at_or_before(-1), None);
        assert_eq!(schedule.next_after(i64::MAX), None);
        assert_eq!(schedule.next_after(last), None);
        assert!(schedule.next_after(i64::MIN).unwrap().0 >= 0);
        assert!(schedule.at_or_before(i64::MAX).unwrap().0 <= last);
        assert!(!schedule.contains(Slot(i64::MAX)) && !schedule.contains(Slot(i64::MIN)));
        schedule.missed_between(Slot(i64::MIN), Slot(i64::MAX));
    }
}

#[test]
fn missed_slots_are_counted_up_to_the_limit_and_no_further() {
    let (from, until) = (Slot(0), Slot(at("9998-12-31T23:59:00Z")));
    assert_eq!(schedule("@every 1s").missed_between(from, until), MAX_MISSED);
    assert_eq!(schedule("* * * * *").missed_between(from, until), MAX_MISSED);
    assert_eq!(schedule("0 0 29 2 *").missed_between(from, until), 1947);
    assert_eq!(schedule("@every 1s").missed_between(Slot(0), Slot(100_000)), 99_999);
    assert_eq!(schedule("@every 1s").missed_between(Slot(0), Slot(100_002)), MAX_MISSED);
    assert_eq!(schedule("@every 1m").missed_between(Slot(600), Slot(600)), 0);
    assert_eq!(schedule("@every 1m").missed_between(Slot(601), Slot(60)), 0);
}

/// What a person wrote, and what a record holds. tests/interop compares the instants with those of robfig/cron.
const WRITTEN: &str = include_str!("interop/schedules/table.tsv");

#[test]
fn what_a_cronjob_accepts_is_accepted_and_the_record_holds_numbers() {
    let mut rows = 0;
    for row in WRITTEN.lines() {
        let (written, expected) = row.split_once('\t').unwrap();
        let read = Schedule::from_crontab(written).unwrap();
        assert_eq!(read.to_string(), expected, "{written}");
        // What a verifier reads has the same instants.
        let record: Schedule = expected.parse().unwrap();
        assert_eq!(record, read);
        rows += 1;
    }
    assert!(rows >= 60, "{rows}");
}

#[test]
fn what_is_refused_is_named_with_what_to_write_instead() {
    for (written, word, instead) in [
        ("", "0 fields", "write five"),
        ("0 0 * *", "4 fields", "write five"),
        ("0 0 0 * * ?", "6 fields", "without seconds"),
        (
            "CRON_TZ=Europe/Berlin 0 9 * * *",
            "CRON_TZ=Europe/Berlin",
            "write the hours in UTC",
        ),
        ("TZ=UTC 0 9 * * *", "TZ=UTC", "leave it out"),
        ("@reboot", "@reboot", "@hourly"),
        ("@Daily", "@Daily", "write @daily"),
        ("@daily 5", "@daily", "nothing behind it"),
        ("@every 1h30m", "1h30m", "write 90m"),
        ("60 * * * *", "60", "from 0 to 59"),
        ("* 24 * * *", "hour field", "from 0 to 23"),
        ("0 0 0 * *", "day of month field", "from 1 to 31"),
        ("0 0 * 13 *", "13", "from 1 to 12, or a name from JAN to DEC"),
        ("0 0 * * 8", "8", "from 0 to 7, or a name from SUN to SAT"),
        ("0 0 * * MONDAY", "MONDAY", "write MON"),
        ("0 0 * January *", "January", "write JAN"),
        ("0 0 L * *", "L", "no last day"),
        ("0 0 15W * *", "15W", "nearest weekday"),
        ("0 0 * * 5#2", "5#2", "nth weekday"),
        ("0 0 * * SAT-SUN", "SAT-SUN", "write 0,6"),
        ("0 22-2 * * *", "22-2", "write 0-2,22,23"),
        ("1-2-3 * * * *", "1-2-3", "write `a-b`"),
        ("/5 * * * *", "/5", "write `*/5`"),
        ("*/0 * * * *", "step \"0\"", "from 1 on"),
        ("*/1/2 * * * *", "1/2", "from 1 on"),
        (", * * * *", ",", "write `*`"),
        ("H * * * *", "H", "from 0 to 59"),
        ("1- * * * *", "1-", "from 0 to 59"),
        ("0 0 30 FEB *", "30", "such as 28"),
        ("٣ * * * *", "٣", "from 0 to 59"),
    ] {
        let error = Schedule::from_crontab(written).expect_err(written).to_string();
        for part in [word, instead, "allowed are `@every Ns`"] {
            assert!(error.contains(part), "{written}: {error}");
        }
        assert!(!error.contains('\n'), "{error}");
    }
}

/// As [`item`], and what only people write.
fn written_item(least: u32, greatest: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        6 => item(least, greatest),
        1 => Just("?".to_owned()),
        1 => (least..=greatest, 1..200u32).prop_map(|(a, n)| format!("{a}/{n}")),
        1 => (0..30u32).prop_map(|n| format!("*/{}", n + 1)),
    ]
}

fn written() -> impl Strategy<Value = String> {
    let field =
        |least, greatest| prop::collection::vec(written_item(least, greatest), 1..30).prop_map(|items| items.join(","));
    (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6))
        .prop_map(|(a, b, c, d, e)| format!("{a} {b} {c} {d} {e}"))
}

proptest! {
    #[test]
    fn the_canonical_form_is_its_own_and_fits_a_record_however_long_the_text(text in written()) {
        let read = Schedule::from_crontab(&text).unwrap();
        let again = Schedule::from_crontab(&read.to_string()).unwrap();
        prop_assert_eq!(&again, &read);
        prop_assert!(read.to_string().len() <= 256);
        // Without anything that only people write, the instants are those of the text itself.
        if let Some(same) = text.parse::<Schedule>().ok().filter(|_| !text.contains("*/1,") && !text.contains("*/1 ")) {
            prop_assert_eq!(same.next_after(1_800_000_000), read.next_after(1_800_000_000));
        }
    }

    #[test]
    fn no_text_of_a_person_makes_the_parser_panic(text in "\\PC{0,40}", fields in "[@*/,0-9a-zLW#?+-]{0,6}( [*/,0-9A-Z-]{0,6}){0,6}") {
        let _ = Schedule::from_crontab(&text);
        let _ = Schedule::from_crontab(&fields);
    }
}

#[test]
fn the_longest_canonical_text_fits_a_record() {
    // Two neighbours and a gap, from the end on, where numbers have two digits: what takes most characters.
    let field = |least: u32, last: u32| {
        let chosen = (least..=last)
            .rev()
            .enumerate()
            .filter(|(place, _)| place % 3 != 2)
            .map(|(_, value)| value.to_string());
        chosen.collect::<Vec<_>>().join(",")
    };
    let text = [field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6)].join(" ");
    assert!((240..=256).contains(&Schedule::from_crontab(&text).unwrap().to_string().len()));
}
