//! Files of properties, as java.util.Properties documents them
//! (<https://docs.oracle.com/en/java/javase/21/docs/api/java.base/java/util/Properties.html#load(java.io.Reader)>).

use std::iter::Peekable;
use std::str::Chars;

/// Returns the keys and values of a text, in order. If a key repeats, its last value counts.
pub(super) fn parse(text: &str) -> Vec<(String, String)> {
    logical_lines(text).iter().map(|line| pair(line)).collect()
}

/// Lines without comments and blank ones, each joined with those that an odd number of backslashes at its end continues it by.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open: Option<String> = None;
    for natural in text.split(['\n', '\r']) {
        let natural = natural.trim_start_matches([' ', '\t', '\u{c}']);
        if open.is_none() && (natural.is_empty() || natural.starts_with(['#', '!'])) {
            continue;
        }
        let mut line = open.take().unwrap_or_default();
        let backslashes = natural.len() - natural.trim_end_matches('\\').len();
        if backslashes % 2 == 1 {
            line.push_str(natural.strip_suffix('\\').unwrap_or(natural));
            open = Some(line);
        } else {
            line.push_str(natural);
            lines.push(line);
        }
    }
    lines.extend(open);
    lines
}

fn pair(line: &str) -> (String, String) {
    let mut chars = line.chars().peekable();
    let is_space = |c: &char| matches!(c, ' ' | '\t' | '\u{c}');
    let key = until(&mut chars, |c| matches!(c, '=' | ':') || is_space(&c));
    while chars.next_if(is_space).is_some() {}
    if chars.next_if(|c| matches!(c, '=' | ':')).is_some() {
        while chars.next_if(is_space).is_some() {}
    }
    (key, until(&mut chars, |_| false))
}

/// What stands before a character that ends it, with its escapes resolved.
fn until(chars: &mut Peekable<Chars<'_>>, ends: impl Fn(char) -> bool) -> String {
    let mut text = String::new();
    while let Some(c) = chars.next_if(|c| !ends(*c)) {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => text.push('\t'),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('f') => text.push('\u{c}'),
            Some('u') => {
                let code = chars.by_ref().take(4).collect::<String>();
                let code = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
                text.push(code.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => text.push(other),
            None => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_values_comments_escapes_and_continued_lines_are_read_as_documented() {
        let text = "# a comment\n! another\n\nversion=2.0\n log.file : /tmp/a\\ b\r\nseed 42\nempty=\n\
                    long = one, \\\n       two\nwith\\:colon=x\\\\\nunicode=\\u00fc\\t!\nno-value\n";
        let expected = [
            ("version", "2.0"),
            ("log.file", "/tmp/a b"),
            ("seed", "42"),
            ("empty", ""),
            ("long", "one, two"),
            ("with:colon", "x\\"),
            ("unicode", "ü\t!"),
            ("no-value", ""),
        ];
        let read = parse(text);
        let read: Vec<(&str, &str)> = read.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn a_comment_is_not_continued_and_an_end_without_line_feed_counts() {
        assert_eq!(parse("# a \\\nb=1"), [("b".into(), "1".into())]);
        assert_eq!(parse("b=1\\"), [("b".into(), "1".into())]);
    }
}
