//! W3C Trace Context, level 1 (<https://www.w3.org/TR/trace-context-1/>): what of a trace goes from process to process.

use std::sync::Arc;

/// Characters of a `traceparent` of version 00: version, trace id, parent id, flags.
const LENGTH: usize = 2 + 1 + 32 + 1 + 16 + 1 + 2;
/// The flag `sampled`: the sender may have recorded the trace.
const SAMPLED: u8 = 0x01;
/// Entries of a `tracestate` (3.3.1.1).
const STATE_ENTRIES: usize = 32;
/// Characters of a `tracestate` that are passed on: as many as one must (3.3.1.5).
const STATE_LENGTH: usize = 512;
/// An entry longer than this is dropped first when it gets too long.
const LONG_ENTRY: usize = 128;

/// Where in a trace a piece of work is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Never all zeros.
    pub trace: [u8; 16],
    /// This piece of work; never all zeros.
    pub span: [u8; 8],
    /// The work that it is a part of; none for the first of a trace.
    pub parent: Option<[u8; 8]>,
    pub sampled: bool,
    /// What tracing systems add for themselves, passed on as it came; none when there was none, or a broken one.
    pub state: Option<Arc<str>>,
}

impl TraceContext {
    /// The first piece of work of a new trace.
    pub fn begin() -> TraceContext {
        TraceContext {
            trace: unlike_zero(),
            span: unlike_zero(),
            parent: None,
            sampled: true,
            state: None,
        }
    }

    /// A piece of work that this one asks for.
    pub fn child(&self) -> TraceContext {
        TraceContext {
            span: unlike_zero(),
            parent: Some(self.span),
            ..self.clone()
        }
    }

    /// Where the sender of these headers is in its trace; none without a valid `traceparent`, or with more than one.
    /// A `tracestate` without one, or a broken one, counts as none (3.2.2.5, 3.3.1.1).
    pub fn from_headers<'a>(
        mut parents: impl Iterator<Item = &'a [u8]>,
        states: impl Iterator<Item = &'a [u8]>,
    ) -> Option<TraceContext> {
        let parent = parents.next()?;
        if parents.next().is_some() {
            return None;
        }
        let sender = parse(parent)?;
        Some(TraceContext {
            state: state(states),
            ..sender
        })
    }

    /// The header `traceparent` for work that this one asks for.
    pub fn traceparent(&self) -> String {
        let flags = if self.sampled { SAMPLED } else { 0 };
        format!("00-{}-{}-{flags:02x}", hex::encode(self.trace), hex::encode(self.span))
    }
}

fn unlike_zero<const N: usize>() -> [u8; N] {
    loop {
        let bytes: [u8; N] = std::array::from_fn(|_| rand::random());
        if bytes != [0; N] {
            return bytes;
        }
    }
}

/// 3.2.2. A later version may be longer, after another hyphen, and begins like 00; of its flags only `sampled` is known.
fn parse(text: &[u8]) -> Option<TraceContext> {
    let (known, beyond) = text.split_at_checked(LENGTH)?;
    let [version] = digits(known, 0)?;
    let well_ended = match version {
        0xff => false,
        0 => beyond.is_empty(),
        _ => matches!(beyond, [] | [b'-', ..]),
    };
    let hyphens = [2, 35, 52].iter().all(|at| known.get(*at) == Some(&b'-'));
    let (trace, span): ([u8; 16], [u8; 8]) = (digits(known, 3)?, digits(known, 36)?);
    let [flags]: [u8; 1] = digits(known, 53)?;
    let named = trace != [0; 16] && span != [0; 8];
    (well_ended && hyphens && named).then_some(TraceContext {
        trace,
        span,
        parent: None,
        sampled: flags & SAMPLED != 0,
        state: None,
    })
}

/// `N` bytes as lower-case hexadecimal digits: capitals are not allowed (3.2.2).
fn digits<const N: usize>(text: &[u8], from: usize) -> Option<[u8; N]> {
    let text = text.get(from..from + 2 * N)?;
    let lower = text.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    let mut bytes = [0; N];
    (lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

/// 3.3. Several headers are one list, in their order.
fn state<'a>(headers: impl Iterator<Item = &'a [u8]>) -> Option<Arc<str>> {
    let mut entries: Vec<&str> = Vec::new();
    for header in headers {
        for entry in std::str::from_utf8(header).ok()?.split(',') {
            let entry = entry.trim_matches([' ', '\t']);
            // An empty entry is allowed, and counts for nothing (3.3.1.1).
            if entry.is_empty() {
                continue;
            }
            let (key, value) = entry.split_once('=')?;
            let repeated = || entries.iter().any(|other| other.split('=').next() == Some(key));
            if entries.len() == STATE_ENTRIES || !is_key(key) || !is_value(value) || repeated() {
                return None;
            }
            entries.push(entry);
        }
    }
    let length = |entries: &[&str]| entries.iter().map(|entry| entry.len() + 1).sum::<usize>();
    while length(&entries) > STATE_LENGTH + 1 {
        let last_long = entries.iter().rposition(|entry| entry.len() > LONG_ENTRY);
        entries.remove(last_long.unwrap_or(entries.len() - 1));
    }
    (!entries.is_empty()).then(|| entries.join(",").into())
}

/// 3.3.1.3.1: `key`, or `tenant@system`.
fn is_key(text: &str) -> bool {
    let tail = |text: &str, most: usize| {
        text.len() <= most
            && text
                .bytes()
                .all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'))
    };
    let lower = |text: &str| text.starts_with(|c: char| c.is_ascii_lowercase());
    match text.split_once('@') {
        None => lower(text) && tail(text, 256),
        Some((tenant, system)) => {
            let begins = tenant.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
            begins && tail(tenant, 241) && lower(system) && tail(system, 14)
        }
    }
}

/// 3.3.1.3.2: up to 256 printable characters, neither comma nor equals sign, and no space at the end.
fn is_value(text: &str) -> bool {
    let allowed = |c: u8| matches!(c, b' '..=b'~') && c != b',' && c != b'=';
    (1..=256).contains(&text.len()) && text.bytes().all(allowed) && !text.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn received(parents: &[&str], states: &[&str]) -> Option<TraceContext> {
        let bytes = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
        let (parents, states) = (bytes(parents), bytes(states));
        let sender = TraceContext::from_headers(parents.iter().map(Vec::as_slice), states.iter().map(Vec::as_slice));
        sender.map(|sender| sender.child())
    }

    #[test]
    fn a_traceparent_is_taken_on_with_a_span_of_our_own() {
        let context = received(&[GOOD], &[]).unwrap();
        assert_eq!(hex::encode(context.trace), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.parent.map(hex::encode).as_deref(), Some("00f067aa0ba902b7"));
        assert_ne!(Some(context.span), context.parent);
        assert!(context.sampled);
        let passed_on = context.traceparent();
        assert_eq!(received(&[&passed_on], &[]).unwrap().parent, Some(context.span));
        assert_eq!(passed_on.len(), LENGTH);
        let unsampled = GOOD.replace("-01", "-00");
        assert!(received(&[&unsampled], &[]).unwrap().traceparent().ends_with("-00"));
    }

    #[test]
    fn flags_that_are_not_known_are_neither_refused_nor_passed_on() {
        let context = received(&[&GOOD.replace("-01", "-ff")], &[]).unwrap();
        assert!(context.sampled && context.traceparent().ends_with("-01"));
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for later in [GOOD.replacen("00", "01", 1), GOOD.replacen("00", "fe", 1) + "-more"] {
            let context = received(&[&later], &[]).unwrap();
            assert!(context.traceparent().starts_with("00-4bf92f3577b34da6"), "{later}");
        }
        let wrong = GOOD.replacen("00", "01", 1) + "more";
        assert_eq!(received(&[&wrong], &[]), None);
    }

    #[test]
    fn what_is_no_traceparent_begins_a_new_trace() {
        let wrong = [
            "".to_owned(),
            GOOD[..54].to_owned(),
            format!("{GOOD}-00"),
            format!("{GOOD} "),
            format!(" {GOOD}"),
            GOOD.to_uppercase(),
            GOOD.replace('-', "_"),
            GOOD.replacen("00", "ff", 1),
            GOOD.replacen("00", "0x", 1),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace("-01", "-0g"),
            GOOD.replace("4bf9", "4bfé"),
        ];
        for text in &wrong {
            assert_eq!(received(&[text], &["a=1"]), None, "{text:?} was taken");
        }
        assert_eq!(received(&[GOOD, GOOD], &[]), None, "two of them");
        assert_eq!(received(&[], &["a=1"]), None);
    }

    fn passed_on(states: &[&str]) -> Option<String> {
        received(&[GOOD], states).unwrap().state.map(|state| state.to_string())
    }

    #[test]
    fn a_tracestate_is_passed_on_in_its_order_and_a_broken_one_is_not() {
        let two = passed_on(&["rojo=00f067aa0ba902b7, congo = t61", "1t@nr=x;y z,,"]);
        assert_eq!(two, None, "a space before the equals sign");
        let two = passed_on(&["rojo=00f067aa0ba902b7, congo=t61", "1t@nr=x;y z,,\t"]);
        assert_eq!(two.as_deref(), Some("rojo=00f067aa0ba902b7,congo=t61,1t@nr=x;y z"));
        let many = (0..33).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        for wrong in [
            "a", "=v", "a=", "A=v", "1=v", "a=1,a=2", "a=b=c", "a@=v", "t@1=v", "a=\u{e9}", &many,
        ] {
            assert_eq!(passed_on(&[wrong]), None, "{wrong:?} was taken");
        }
        assert_eq!(passed_on(&[" , "]), None);
    }

    #[test]
    fn of_a_tracestate_that_is_too_long_the_long_entries_go_first() {
        let long = format!("big={}", "x".repeat(200));
        let entries: Vec<String> = (0..30).map(|n| format!("key-{n:02}={}", "v".repeat(8))).collect();
        let text = format!("{long},{}", entries.join(","));
        let kept = passed_on(&[&text]).unwrap();
        assert!(kept.len() <= STATE_LENGTH, "{}", kept.len());
        assert!(kept.starts_with("key-00=") && !kept.contains("big="), "{kept}");
    }
}
