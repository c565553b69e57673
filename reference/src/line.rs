//! The line that a number leaves in LOG_FILE, and that `RandomRunner` writes.

use std::io::Write;
use std::time::Duration;

use random_generator::clock::Wall;

/// Appends `HH:mm:ss.SSS,<id>,<duration in ns>,<number>\n`, in UTC.
pub(super) fn push(lines: &mut Vec<u8>, now: Wall, id: &str, took: Duration, number: i32) {
    let day = now.0.div_euclid(1_000).rem_euclid(86_400_000);
    let (hour, minute, second, ms) = (day / 3_600_000, day / 60_000 % 60, day / 1_000 % 60, day % 1_000);
    // Writing to a Vec does not fail.
    let _ = writeln!(
        lines,
        "{hour:02}:{minute:02}:{second:02}.{ms:03},{id},{},{number}",
        took.as_nanos()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_time_of_day_in_utc_to_the_millisecond() {
        let mut lines = Vec::new();
        push(
            &mut lines,
            Wall(1_795_231_629_005_999),
            "an-id",
            Duration::from_nanos(1_234),
            -7,
        );
        push(&mut lines, Wall(-1), "b", Duration::ZERO, 7);
        assert_eq!(
            String::from_utf8(lines).unwrap(),
            "03:27:09.005,an-id,1234,-7\n23:59:59.999,b,0,7\n"
        );
    }
}
