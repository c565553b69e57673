//! How far a command is, in one line: a bar, what is done, how fast, and how much longer.

use std::time::Duration;

const WIDTH: u64 = 24;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Bytes,
    Values,
}

/// `[######                  ]  25 %  256.0 of 1024.0 MiB, 64.0 MiB/s, 12 s left`
pub(super) fn bar(done: u64, total: u64, took: Duration, unit: Unit) -> String {
    let part = |of: u64| u64::try_from(u128::from(of) * u128::from(done) / u128::from(total.max(1))).unwrap_or(of);
    let filled = part(WIDTH) as usize;
    let (percent, rest) = (part(100), WIDTH as usize - filled);
    let seconds = took.as_secs_f64().max(0.001);
    let speed = done as f64 / seconds;
    let left = match done {
        0 => String::new(),
        _ => format!(", {} s left", ((total.saturating_sub(done)) as f64 / speed).ceil()),
    };
    let (amount, speed) = match unit {
        Unit::Bytes => {
            let (scale, name) = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
                .into_iter()
                .find(|(scale, _)| total >= *scale)
                .unwrap_or((1, "B"));
            let of = |bytes: f64| bytes / scale as f64;
            let amount = format!("{:.1} of {:.1} {name}", of(done as f64), of(total as f64));
            (amount, format!("{:.1} MiB/s", speed / f64::from(1 << 20)))
        }
        Unit::Values => (format!("{done} of {total}"), format!("{speed:.0} a second")),
    };
    format!(
        "[{}{}] {percent:3} %  {amount}, {speed}{left}",
        "#".repeat(filled),
        " ".repeat(rest)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_far_how_fast_and_how_much_longer() {
        let quarter = bar(256 << 20, 1 << 30, Duration::from_secs(4), Unit::Bytes);
        let expected = "[######                  ]  25 %  0.2 of 1.0 GiB, 64.0 MiB/s, 12 s left";
        assert_eq!(quarter, expected);
        let values = bar(0, 1000, Duration::ZERO, Unit::Values);
        assert_eq!(values, format!("[{}]   0 %  0 of 1000, 0 a second", " ".repeat(24)));
        let all = bar(u64::MAX, u64::MAX, Duration::from_secs(1), Unit::Values);
        assert!(all.starts_with(&format!("[{}] 100 %", "#".repeat(24))), "{all}");
    }
}
