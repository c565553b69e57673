//! Schedules as people write them for CronJobs, turned into the form that records hold.
//!
//! It reads what Kubernetes reads: `ParseStandard` of robfig/cron v3 (<https://github.com/robfig/cron/blob/v3.0.1/parser.go>).
//! The result has the same instants, and schedules that mean the same become the same text: numbers only, ascending.

/// A field of cron.
struct Field {
    name: &'static str,
    least: u64,
    /// The end of `*` and of `a/n`.
    last: u64,
    /// 7 is Sunday too.
    greatest: u64,
    /// From `least` on.
    names: &'static [&'static str],
    /// Whether `*` means more than all values: then a day is chosen by the other day field alone.
    is_day: bool,
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const FIELDS: [Field; 5] = [
    Field::of("minute", 0, 59, 59, &[], false),
    Field::of("hour", 0, 23, 23, &[], false),
    Field::of("day of month", 1, 31, 31, &[], true),
    Field::of("month", 1, 12, 12, &MONTHS, false),
    Field::of("day of week", 0, 6, 7, &DAYS, true),
];

const NAMED: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// The text as a record holds it; `@every` as it is. An error names the word that is wrong, and what to write instead.
pub fn canonical(text: &str) -> Result<String, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        [zone, ..] if zone.starts_with("CRON_TZ=") || zone.starts_with("TZ=") => Err(format!(
            "{zone:?} names a time zone, and slots are in UTC, so that every member and verifier computes the same: leave it \
             out, and write the hours in UTC"
        )),
        ["@every", ..] => Ok(words.join(" ")),
        [name, ..] if name.starts_with('@') => named(name, words.len()),
        [_, _, _, _, _] => {
            let fields = FIELDS.iter().zip(&words);
            let texts = fields.map(|(field, text)| field.canonical(text));
            Ok(texts.collect::<Result<Vec<_>, _>>()?.join(" "))
        }
        [_, _, _, _, _, _, ..] => Err(format!(
            "it has {} fields: write five, without seconds before them or years behind them",
            words.len()
        )),
        _ => Err(format!("it has {} fields: write five", words.len())),
    }
}

fn named(name: &str, words: usize) -> Result<String, String> {
    let known = || NAMED.iter().map(|(name, _)| *name);
    match NAMED.iter().find(|(known, _)| *known == name) {
        Some((_, fields)) if words == 1 => Ok((*fields).to_owned()),
        Some(_) => Err(format!("{name} stands alone: write nothing behind it")),
        None => match known().find(|known| known.eq_ignore_ascii_case(name)) {
            Some(known) => Err(format!("{name:?} is not known: write {known}")),
            None => Err(format!(
                "{name:?} is not known: write `@every` with a period, or one of {}",
                known().collect::<Vec<_>>().join(", ")
            )),
        },
    }
}

impl Field {
    const fn of(
        name: &'static str,
        least: u64,
        last: u64,
        greatest: u64,
        names: &'static [&'static str],
        is_day: bool,
    ) -> Field {
        Field {
            name,
            least,
            last,
            greatest,
            names,
            is_day,
        }
    }

    fn canonical(&self, text: &str) -> Result<String, String> {
        let failed = |problem| format!("the {} field {text:?}: {problem}", self.name);
        let (mut values, mut is_star) = (0, false);
        // Like robfig/cron, which passes over empty items.
        for item in text.split(',').filter(|item| !item.is_empty()) {
            let (chosen, star) = self.read_item(item).map_err(failed)?;
            values |= chosen;
            is_star |= star;
        }
        let values: Vec<u64> = (self.least..=self.last)
            .filter(|value| values >> value & 1 == 1)
            .collect();
        match values.len() as u64 {
            0 => Err(failed("it chooses nothing: write `*` for all".to_owned())),
            all if is_star || !self.is_day && all == self.last - self.least + 1 => Ok("*".to_owned()),
            _ => Ok(self.shortest(&values)),
        }
    }

    /// A bit for each value, and whether the item counts as `*`.
    fn read_item(&self, item: &str) -> Result<(u64, bool), String> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step_of(step)?)),
            None => (item, None),
        };
        let ends: Vec<&str> = range.split('-').collect();
        let (first, last) = match ends.as_slice() {
            // robfig/cron reads no further.
            ["*" | "?", ..] => {
                let values = self.bits(self.least, self.last, step.unwrap_or(1));
                return Ok((values, step.unwrap_or(1) == 1));
            }
            [""] => return Err(format!("{item:?} has a step of nothing: write `*{item}`")),
            [first] => match (self.value(first)?, step) {
                (first, Some(_)) => (first, self.last.max(first)),
                (first, None) => (first, first),
            },
            [first, last] => (self.value(first)?, self.value(last)?),
            _ => return Err(format!("{item:?} has two hyphens: write `a-b`")),
        };
        if first > last {
            let around = self.bits(first, self.last, 1) | self.bits(self.least, last, 1);
            let around: Vec<u64> = (self.least..=self.last)
                .filter(|value| around >> value & 1 == 1)
                .collect();
            let instead = self.shortest(&around);
            return Err(format!("{range:?} ends before it begins: write {instead}"));
        }
        Ok((self.bits(first, last, step.unwrap_or(1)), false))
    }

    fn bits(&self, first: u64, last: u64, step: u64) -> u64 {
        let mut bits = 0;
        let mut next = Some(first);
        while let Some(value) = next.filter(|value| *value <= last) {
            bits |= 1 << if value > self.last { self.least } else { value };
            next = value.checked_add(step);
        }
        bits
    }

    fn value(&self, text: &str) -> Result<u64, String> {
        if let Some(place) = self.names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            return Ok(self.least + place as u64);
        }
        match text.parse::<u64>() {
            Ok(value) if (self.least..=self.greatest).contains(&value) => Ok(value),
            _ => Err(format!("{text:?} is not known: {}", self.instead(text))),
        }
    }

    /// What to write in place of a word that is no value.
    fn instead(&self, text: &str) -> String {
        let long = text
            .get(..3)
            .and_then(|start| self.names.iter().find(|name| name.eq_ignore_ascii_case(start)));
        if let Some(name) = long.filter(|_| text.bytes().all(|byte| byte.is_ascii_alphabetic())) {
            return format!("write {name}");
        }
        let numbers = format!("write a number from {} to {}", self.least, self.greatest);
        let numbers = match self.names {
            [first, .., last] => format!("{numbers}, or a name from {first} to {last}"),
            _ => numbers,
        };
        match text.to_ascii_uppercase() {
            quartz if self.is_day && quartz.contains(['L', 'W', '#']) => {
                format!("cron has no last day, nearest weekday or nth weekday; {numbers}")
            }
            _ => numbers,
        }
    }

    /// Values in ascending order, as even steps or as ranges.
    fn shortest(&self, values: &[u64]) -> String {
        if let [first, second, .., last] = *values {
            let step = second - first;
            if step > 1 && values.windows(2).all(|pair| pair[1] - pair[0] == step) {
                return match first == self.least && last + step > self.last {
                    true => format!("*/{step}"),
                    false => format!("{first}-{last}/{step}"),
                };
            }
        }
        let runs = values.chunk_by(|value, next| value + 1 == *next);
        let texts = runs.map(|run| match *run {
            [first, _, .., last] => format!("{first}-{last}"),
            _ => run.iter().map(u64::to_string).collect::<Vec<_>>().join(","),
        });
        texts.collect::<Vec<_>>().join(",")
    }
}

fn step_of(text: &str) -> Result<u64, String> {
    match text.parse::<i64>() {
        Ok(step @ 1..) => Ok(step.unsigned_abs()),
        _ => Err(format!("the step {text:?} is not known: write a number from 1 on")),
    }
}
