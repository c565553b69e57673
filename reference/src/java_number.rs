//! Whole numbers as the image reads them from a request or a setting: decimal with a sign or without, or hexadecimal after
//! `0x` or `#`, with space around that doesn't count.

/// None for what is no such number, or beyond 64 bits.
pub(super) fn long(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let hexadecimal = ["0x", "0X", "#"].iter().find_map(|prefix| digits.strip_prefix(prefix));
    let (digits, radix) = match hexadecimal {
        Some(digits) => (digits, 16),
        None if negative => (digits, 10),
        None => (digits.strip_prefix('+').unwrap_or(digits), 10),
    };
    // `from_str_radix` takes a sign of its own, and a second one is no number.
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -value } else { value }).ok()
}

/// None for what is no number, or beyond 32 bits.
pub(super) fn int(text: &str) -> Option<i32> {
    i32::try_from(long(text)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_and_hexadecimal_numbers_are_read_to_the_ends_of_their_type_and_no_further() {
        for (text, value) in [
            ("0", 0),
            (" 42 ", 42),
            ("+7", 7),
            ("-7", -7),
            ("0x10", 16),
            ("-0X10", -16),
            ("#ff", 255),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(long(text), Some(value), "{text}");
        }
        for wrong in [
            "",
            " ",
            "-",
            "+",
            "0x",
            "ten",
            "1.5",
            "--1",
            "+-1",
            "0x-1",
            "1_000",
            "9223372036854775808",
        ] {
            assert_eq!(long(wrong), None, "{wrong}");
        }
        assert_eq!((int("2147483647"), int("2147483648")), (Some(i32::MAX), None));
    }
}
