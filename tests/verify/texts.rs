//! Vectors of lines that are no records: the rule `form`.

use crate::builder::short;
use crate::vectors::Vector;

fn raw(name: &'static str, line: u64, list: impl Into<Vec<u8>>) -> Vector {
    Vector {
        name,
        rule: "form",
        line,
        head: None,
        list: list.into(),
    }
}

pub fn broken() -> Vec<Vector> {
    let records = short();
    let (first, second) = (records[0].canonical(), records[1].canonical());
    let changed = |name, from: &str, to: &str| {
        let text = second.replacen(from, to, 1);
        assert_ne!(text, second, "{name}: {from} is not there");
        Vector {
            name,
            rule: "form",
            line: 2,
            head: None,
            list: format!("{first}\n{text}\n").into_bytes(),
        }
    };
    let ranged = |name, voters: &str| {
        let text = second.replacen("\"schema\":1", "\"schema\":2", 1);
        let text = text.replacen("\"voters\":3", &format!("\"voters\":\"{voters}\""), 1);
        raw(name, 2, format!("{first}\n{text}\n"))
    };
    let end = second.len() - 1;
    let hash = records[1].hash.to_string();
    vec![
        changed("form-with-white-space", ",\"fence\"", ", \"fence\""),
        changed(
            "form-with-unsorted-members",
            "\"schema\":1,\"set\":\"rg\"",
            "\"set\":\"rg\",\"schema\":1",
        ),
        changed(
            "form-with-an-unknown-member",
            "\"fence\":1,",
            "\"fence\":1,\"gence\":1,",
        ),
        changed(
            "form-with-an-unknown-member-of-a-contribution",
            ",\"reveal\"",
            ",\"rest\":1,\"reveal\"",
        ),
        changed(
            "form-with-a-repeated-member",
            "\"fence\":1,",
            "\"fence\":1,\"fence\":1,",
        ),
        changed("form-without-a-member", "\"missed\":0,", ""),
        raw(
            "form-without-a-reveal",
            1,
            format!("{}\n", first.replacen(",\"reveal\":null", "", 1)),
        ),
        changed("form-with-a-number-as-text", "\"round\":2", "\"round\":\"2\""),
        changed("form-with-a-fraction", "\"round\":2", "\"round\":2.0"),
        changed("form-with-an-exponent", "\"round\":2", "\"round\":2e0"),
        changed("form-with-a-truth-value-as-number", "\"fence\":1", "\"fence\":true"),
        changed("form-with-a-negative-number", "\"missed\":0", "\"missed\":-1"),
        changed("form-with-minus-zero", "\"missed\":0", "\"missed\":-0"),
        changed(
            "form-with-a-huge-number",
            "\"missed\":0",
            "\"missed\":100000000000000000000000",
        ),
        ranged("form-with-a-range-from-0", "0-2"),
        ranged("form-with-a-leading-zero-in-a-range", "03-5"),
        ranged("form-with-a-range-of-other-digits", "٣-5"),
        ranged("form-with-half-a-range", "3-"),
        ranged("form-with-a-number-as-a-range", "3"),
        changed("form-with-nan", "\"missed\":0", "\"missed\":NaN"),
        changed("form-with-null-for-a-number", "\"missed\":0", "\"missed\":null"),
        changed("form-with-null-for-a-list", "\"missing\":[]", "\"missing\":null"),
        changed(
            "form-with-an-unknown-reason",
            "\"missing\":[]",
            "\"missing\":[{\"ordinal\":9,\"reason\":\"late\"}]",
        ),
        changed("form-with-an-escape", "\"set\":\"rg\"", "\"set\":\"r\\u0067\""),
        changed("form-with-half-a-surrogate", "\"holder\":\"", "\"holder\":\"\\ud800"),
        changed("form-with-a-hash-in-capitals", &hash, &hash.to_uppercase()),
        changed("form-with-a-short-hash", &hash, &hash[2..]),
        changed("form-with-a-slot-of-another-zone", ":10Z\"", ":10+00:00\""),
        changed("form-with-a-slot-in-fractions", ":10Z\"", ":10.0Z\""),
        changed(
            "form-with-a-slot-that-is-no-date",
            "\"slot\":\"2026-11",
            "\"slot\":\"2026-13",
        ),
        changed("form-with-a-leap-second", ":10Z\"", ":60Z\""),
        changed("form-with-a-slot-in-1969", "\"slot\":\"2026", "\"slot\":\"1969"),
        changed("form-with-a-slot-in-9999", "\"slot\":\"2026", "\"slot\":\"9999"),
        changed(
            "form-with-a-slot-as-number",
            &format!("\"{}\"", records[1].slot),
            "1795240810",
        ),
        raw("form-without-a-line-feed-at-the-end", 2, format!("{first}\n{second}")),
        raw(
            "form-cut-within-a-record",
            2,
            format!("{first}\n{}", &second[..end / 2]),
        ),
        raw("form-with-carriage-returns", 1, format!("{first}\r\n{second}\r\n")),
        raw("form-with-an-empty-line", 2, format!("{first}\n\n{second}\n")),
        raw("form-with-a-byte-order-mark", 1, format!("\u{feff}{first}\n")),
        raw(
            "form-beyond-utf-8",
            2,
            [first.as_bytes(), b"\n", &second.as_bytes()[..end], b"\xff}\n"].concat(),
        ),
        raw(
            "form-in-utf-16",
            1,
            first.bytes().chain([b'\n']).flat_map(|b| [b, 0]).collect::<Vec<u8>>(),
        ),
        raw("form-with-two-records-in-a-line", 1, format!("{first}{second}\n")),
        raw("form-of-a-list", 1, format!("[{first},{second}]\n").as_bytes()),
        raw("form-of-a-text", 1, b"\"record\"\n"),
        raw("form-of-no-json", 1, b"rounds\n"),
        raw("form-nested-too-deep", 1, format!("{}\n", "[".repeat(60_000))),
        raw(
            "form-of-a-long-line",
            1,
            format!("{{\"chain\":\"{}\"}}\n", "0".repeat(70_000)),
        ),
    ]
}
