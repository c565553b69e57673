//! The schedule of draws: `@every` periods aligned to the epoch, or five cron fields in UTC (`docs/protocol.md`, 1.3).
//!
//! croner parses the fields and matches days. The search is here: croner's ends in the year 5000, and may take 31 million steps,
//! which would stall the caller.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

use super::{MAX_MISSED, MAX_SLOT, Slot, crontab};

/// The longest text of a schedule, which bounds a record.
pub const MAX_TEXT: usize = 256;
const LAST_SECOND: i64 = MAX_SLOT.0;
const LONGEST_PERIOD: i64 = 24 * 60 * 60;
const DAY: i64 = 24 * 60 * 60;
const DAY_MINUTES: i64 = 24 * 60;
/// The longest gap between two days of a cron schedule: 29 February, around a year like 2100 that has none.
const LONGEST_GAP_DAYS: i64 = 8 * 366;
/// Smallest and greatest number of each field.
const FIELDS: [(&str, u32, u32); 5] = [
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 7),
];

/// When draws take place. Parsed from the text of a record; its [`Display`](fmt::Display) is that text with single spaces, and
/// parses back to the same.
#[derive(Clone)]
pub struct Schedule {
    text: String,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    /// All multiples of so many seconds since the epoch.
    Every(i64),
    Cron(Box<Days>),
}

/// A cron schedule: the days that match, and the minutes of such a day.
#[derive(Clone)]
struct Days {
    cron: Cron,
    /// Minutes since midnight, ascending; never empty.
    minutes: Vec<i64>,
}

/// The schedule that was read last. Records in a row mostly have the same, and cron fields cost more to read than the rest of a record.
#[derive(Debug, Default)]
pub struct LastSchedule(Option<Schedule>);

impl LastSchedule {
    /// # Errors
    /// It is no schedule.
    pub fn read(&mut self, text: &str) -> Result<&Schedule, ScheduleError> {
        let schedule = match self.0.take().filter(|last| last.text == text) {
            Some(last) => last,
            None => text.parse()?,
        };
        Ok(self.0.insert(schedule))
    }
}

/// Why a text is not a schedule, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a schedule: {problem}; allowed are `@every Ns`, `@every Nm`, `@every Nh` (1 s to 24 h) and {fields}"
)]
pub struct ScheduleError {
    text: String,
    problem: String,
    fields: &'static str,
}

const FIELDS_OF_RECORDS: &str = "five cron fields in UTC: minute, hour, day of month, month, day of week, each `*`, or \
     numbers, `a-b`, `*/n`, `a-b/n` with commas between";
const FIELDS_OF_PEOPLE: &str = "five cron fields in UTC, as a CronJob has them";

impl ScheduleError {
    fn new(text: &str, problem: String, fields: &'static str) -> ScheduleError {
        ScheduleError {
            text: text.chars().take(80).collect(),
            problem,
            fields,
        }
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Schedule, ScheduleError> {
        let fail = |problem| ScheduleError::new(text, problem, FIELDS_OF_RECORDS);
        if text.len() > MAX_TEXT {
            return Err(fail(format!("it is longer than {MAX_TEXT} characters")));
        }
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let kind = match words.as_slice() {
            ["@every", period] => Kind::Every(parse_period(period).map_err(fail)?),
            [first, ..] if first.starts_with('@') => {
                return Err(fail(
                    "only `@every` is known, with one period: write `@every 10s`".into(),
                ));
            }
            [_, _, _, _, _] => Kind::Cron(Box::new(Days::parse(&words).map_err(fail)?)),
            _ => return Err(fail(format!("it has {} fields", words.len()))),
        };
        let text = words.join(" ");
        Ok(Schedule { text, kind })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({:?})", self.text)
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Schedule) -> bool {
        self.text == other.text
    }
}

impl Eq for Schedule {}

impl Schedule {
    /// As records have it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Reads what people write, which is more than records may hold: see [`crontab`].
    pub fn from_crontab(text: &str) -> Result<Schedule, ScheduleError> {
        let fail = |problem| ScheduleError::new(text, problem, FIELDS_OF_PEOPLE);
        let canonical = crontab::canonical(text).map_err(fail)?;
        canonical.parse().map_err(|error: ScheduleError| fail(error.problem))
    }

    /// The newest slot at or before `seconds` (Unix time). None before the first slot since the epoch.
    pub fn at_or_before(&self, seconds: i64) -> Option<Slot> {
        let seconds = seconds.min(LAST_SECOND);
        if seconds < 0 {
            return None;
        }
        match &self.kind {
            Kind::Every(period) => Some(Slot(seconds - seconds % period)),
            Kind::Cron(days) => days.last_until(seconds.div_euclid(60)),
        }
    }

    /// The first slot strictly after `seconds` (Unix time). None beyond [`MAX_SLOT`].
    pub fn next_after(&self, seconds: i64) -> Option<Slot> {
        if seconds >= LAST_SECOND {
            return None;
        }
        let from = seconds.max(-1) + 1;
        match &self.kind {
            Kind::Every(period) => Some(Slot(units_up(from, *period) * period)).filter(|slot| slot.0 <= LAST_SECOND),
            Kind::Cron(days) => days.first_from(units_up(from, 60)).filter(|slot| *slot <= MAX_SLOT),
        }
    }

    pub fn contains(&self, slot: Slot) -> bool {
        self.at_or_before(slot.0) == Some(slot)
    }

    /// Slots strictly between the two, counted up to [`MAX_MISSED`]. `after` need not be a slot of this schedule.
    pub fn missed_between(&self, after: Slot, before: Slot) -> u64 {
        let (from, until) = (after.0.clamp(-1, LAST_SECOND) + 1, before.0.clamp(0, LAST_SECOND) - 1);
        if from > until {
            return 0;
        }
        let missed = match &self.kind {
            Kind::Every(period) => until.div_euclid(*period) - (from - 1).div_euclid(*period),
            Kind::Cron(days) => days.count(units_up(from, 60), until.div_euclid(60)),
        };
        u64::try_from(missed).unwrap_or(0).min(MAX_MISSED)
    }

    /// The time between the slots around `at` (Unix time). The default draw deadline is half of it.
    pub fn period_hint(&self, at: i64) -> Duration {
        let around = self.at_or_before(at).zip(self.next_after(at));
        let seconds = around.map_or(LONGEST_PERIOD, |(before, after)| after.0 - before.0);
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    }
}

/// `seconds` in units, rounded up.
fn units_up(seconds: i64, unit: i64) -> i64 {
    (seconds + unit - 1).div_euclid(unit)
}

impl Days {
    fn parse(fields: &[&str]) -> Result<Days, String> {
        for (field, (name, least, greatest)) in fields.iter().zip(FIELDS) {
            check_field(field, least, greatest).map_err(|problem| format!("the {name} field {field:?} {problem}"))?;
        }
        let cron = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build()
            .parse(&fields.join(" "))
            .map_err(|error| error.to_string())?;
        let mut minutes = Vec::new();
        for hour in cron.pattern.hours.values() {
            for minute in cron.pattern.minutes.values() {
                minutes.push(i64::from(hour) * 60 + i64::from(minute));
            }
        }
        let days = Days { cron, minutes };
        if days.first_from(0).is_none() {
            let (day, month) = (fields[2], fields[3]);
            return Err(format!(
                "no month of {month:?} has a day of {day:?}: write a day that comes, such as 28"
            ));
        }
        Ok(days)
    }

    fn matches(&self, date: Date) -> bool {
        let pattern = &self.cron.pattern;
        let weekday = croner::time::Weekday::from_days_from_sunday(date.weekday().to_sunday_zero_offset() as u32);
        let (year, month, day) = (i32::from(date.year()), date.month() as u32, date.day() as u32);
        // An error means a number out of range, which a date never has.
        pattern.month_match(month).unwrap_or(false) && pattern.day_match(year, month, day, weekday).unwrap_or(false)
    }

    /// The first slot at `minute` since the epoch or later.
    fn first_from(&self, minute: i64) -> Option<Slot> {
        let (mut day, mut at_least) = (minute.div_euclid(DAY_MINUTES), minute.rem_euclid(DAY_MINUTES));
        let mut date = date_of(day)?;
        for _ in 0..=LONGEST_GAP_DAYS {
            if self.matches(date) {
                let index = self.minutes.partition_point(|minute| *minute < at_least);
                if let Some(minute) = self.minutes.get(index) {
                    return Some(Slot(day * DAY + minute * 60));
                }
            }
            date = date.tomorrow().ok()?;
            (day, at_least) = (day + 1, 0);
        }
        None
    }

    /// The last slot at `minute` since the epoch or earlier.
    fn last_until(&self, minute: i64) -> Option<Slot> {
        let (mut day, mut at_most) = (minute.div_euclid(DAY_MINUTES), minute.rem_euclid(DAY_MINUTES));
        let mut date = date_of(day)?;
        for _ in 0..=LONGEST_GAP_DAYS {
            if day < 0 {
                return None;
            }
            if self.matches(date) {
                let index = self.minutes.partition_point(|minute| *minute <= at_most);
                if let Some(minute) = index.checked_sub(1).and_then(|index| self.minutes.get(index)) {
                    return Some(Slot(day * DAY + minute * 60));
                }
            }
            date = date.yesterday().ok()?;
            (day, at_most) = (day - 1, DAY_MINUTES);
        }
        None
    }

    /// How many slots lie between two minutes since the epoch, both included; stops when [`MAX_MISSED`] is reached.
    /// Costs one step a day: at most three million for the years 1970 to 9998.
    fn count(&self, from: i64, until: i64) -> i64 {
        let (mut day, last) = (from.div_euclid(DAY_MINUTES), until.div_euclid(DAY_MINUTES));
        let mut next = date_of(day);
        let mut count = 0;
        while let Some(date) = next.filter(|_| day <= last && count < MAX_MISSED as i64) {
            if self.matches(date) {
                let before = |minute: i64| self.minutes.partition_point(|m| day * DAY_MINUTES + m < minute) as i64;
                count += before(until + 1) - before(from);
            }
            next = date.tomorrow().ok();
            day += 1;
        }
        count
    }
}

/// The date of a day since the epoch.
fn date_of(day: i64) -> Option<Date> {
    let midnight = Timestamp::from_second(day.checked_mul(DAY)?).ok()?;
    Some(Offset::UTC.to_datetime(midnight).date())
}

fn parse_period(text: &str) -> Result<i64, String> {
    let problem = || {
        format!(
            "the period {text:?} is not one number without leading zero, then s, m or h: write 90m for an hour and a half"
        )
    };
    let unit = match text.as_bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3600,
        _ => return Err(problem()),
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || digits.len() > 5 || digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(problem());
    }
    let seconds = digits.parse::<i64>().map_err(|_| problem())? * unit;
    if seconds > LONGEST_PERIOD {
        return Err("the period is longer than 24 h".into());
    }
    Ok(seconds)
}

/// What croner would read beyond the five fields of a record (names, `L`, `W`, `#`, `?`, empty items) is refused here.
fn check_field(field: &str, least: u32, greatest: u32) -> Result<(), String> {
    if field == "*" {
        return Ok(());
    }
    for item in field.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        if let Some(step) = step {
            number(step, 1, 99)?;
        }
        match (range, range.split_once('-')) {
            ("*", _) if step.is_some() => {}
            (_, Some((first, last))) => {
                let (first, last) = (number(first, least, greatest)?, number(last, least, greatest)?);
                if first > last {
                    return Err(format!("has a range that ends before it begins, {first}-{last}"));
                }
            }
            (single, None) if step.is_none() => {
                number(single, least, greatest)?;
            }
            _ => return Err("has a step without a range".into()),
        }
    }
    Ok(())
}

fn number(text: &str, least: u32, greatest: u32) -> Result<u32, String> {
    let digits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits && (least..=greatest).contains(&number) => Ok(number),
        _ => Err(format!(
            "has {text:?} where a number from {least} to {greatest} belongs"
        )),
    }
}
