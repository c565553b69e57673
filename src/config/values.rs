//! Parses single values: durations, sizes, addresses, names. Each error says only what is allowed: clap adds the argument's name.

use std::net::SocketAddr;
use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 4] = [
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// In seconds.
const AGE_UNITS: [(&str, u64); 2] = [("h", 3_600), ("d", 86_400)];

/// SI and IEC names, and `Ki Mi Gi` as in Kubernetes quantities.
const SIZE_UNITS: [(&str, u64); 11] = [
    ("", 1),
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
];

/// `500ms`, `1.5s`, `2m`, `1h`; at most 24 h. A bare number is refused: seconds and milliseconds are easily mixed up.
pub fn duration(text: &str) -> Result<Duration, String> {
    let allowed = || String::from("a number and a unit (ms, s, m, h), such as 500ms, 1.5s or 2m, at most 24h");
    let nanoseconds = quantity(text, &DURATION_UNITS).ok_or_else(allowed)?;
    let duration = Duration::from_nanos(nanoseconds);
    if duration > Duration::from_secs(24 * 3600) {
        return Err(allowed());
    }
    Ok(duration)
}

/// `12h`, `90d`: how long something is kept.
pub fn age(text: &str) -> Result<Duration, String> {
    let seconds = quantity(text, &AGE_UNITS).filter(|seconds| (3600..=36_500 * 86_400).contains(seconds));
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| String::from("a number and a unit (h, d), such as 12h or 90d, from 1h to 36500d"))
}

/// `1536KiB`, `10MiB`, `64KB`, `10Mi`, or plain bytes; fractions of a byte are truncated.
pub fn size(text: &str) -> Result<u64, String> {
    quantity(text, &SIZE_UNITS).ok_or_else(|| {
        String::from("bytes, or a number and a unit (KB, MB, GB, KiB, MiB, GiB), such as 64KB, 10MiB or 1.5GiB")
    })
}

/// Exact decimal arithmetic, so that `1.1s` is 1,100,000,000 ns.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    // More than nine decimals is below a nanosecond.
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 9 || fraction.contains('.') {
        return None;
    }
    let parts = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let number = whole.parse::<u64>().ok()?;
    let number = u128::from(number) * parts + fraction.parse::<u128>().ok()?;
    u64::try_from(number * u128::from(*scale) / parts).ok()
}

/// The form that [`duration`] reads, rounded down to milliseconds.
pub fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    if milliseconds.is_multiple_of(1000) {
        format!("{}s", milliseconds / 1000)
    } else {
        format!("{milliseconds}ms")
    }
}

/// `IP:PORT` of a DNS server.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| String::from("an IP address and a port, such as 10.96.0.10:53 or [fd00::a]:53"))
}

/// A DNS label (RFC 1123).
pub fn label(text: &str) -> Result<String, String> {
    if !is_label(text, 63) {
        return Err(String::from("1 to 63 of a-z 0-9 - without - at either end"));
    }
    Ok(text.to_owned())
}

fn is_label(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A DNS name of several labels, in lower case and without its trailing dot.
pub fn domain(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.contains("$(") {
        return Err(String::from(
            "a name without $(…): Kubernetes replaces a variable only if it is named earlier in the same list; or use --governing-service",
        ));
    }
    if is_label(&name, 63) {
        return Err(format!(
            "the whole name, such as {name}.default.svc.cluster.local; or use --governing-service {name}"
        ));
    }
    if name.ends_with(".svc") {
        return Err(format!(
            "the name with the cluster's domain, such as {name}.cluster.local; or use --governing-service"
        ));
    }
    // `_peer._tcp.` and 63 characters of a member's name go in front of it, within the 253 of a DNS name.
    if name.len() > 178 || !name.split('.').all(|part| is_label(part, 63)) {
        return Err(String::from(
            "the governing Service's whole DNS name without _peer._tcp, at most 178 characters, such as rg-peers.default.svc.cluster.local",
        ));
    }
    Ok(name)
}

/// The origin of a web page (RFC 6454, 6.2), or `*`.
pub fn origin(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let fits = |host: &str| {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-:[]".contains(&b);
        !host.is_empty() && host.bytes().all(known)
    };
    if text != "*" && !host.is_some_and(fits) {
        return Err(String::from(
            "https://HOST, http://HOST:PORT or *, in lower case and without a path",
        ));
    }
    Ok(text.to_owned())
}

/// A Pod's UID, or anything that may replace it in a lease identity.
pub fn uid(text: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !fits {
        return Err(String::from("1 to 64 letters, digits and -"));
    }
    Ok(text.to_owned())
}

/// A node's name: a DNS name.
pub fn node_name(text: &str) -> Result<String, String> {
    if text.len() > 253 || !text.split('.').all(|part| is_label(part, 63)) {
        return Err(String::from(
            "1 to 253 of a-z 0-9 - and ., as Kubernetes names its nodes",
        ));
    }
    Ok(text.to_owned())
}

/// The name of a Lease: a DNS name.
pub fn object_name(text: &str) -> Result<String, String> {
    node_name(text).map_err(|_| String::from("1 to 253 of a-z 0-9 - and ., as Kubernetes names a Lease"))
}

/// Where spans are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Of the signal: it ends with `/v1/traces`.
    pub url: String,
}

/// `http://HOST:PORT` or https, with or without a path; the default port is 4318.
pub fn collector(text: &str) -> Result<Collector, String> {
    let allowed =
        || String::from("http://HOST:PORT of a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318");
    let (scheme, rest) = text.split_once("://").ok_or_else(allowed)?;
    if !matches!(scheme, "http" | "https") {
        return Err(allowed());
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let port = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 0);
    let authority = match authority.rsplit_once(':') {
        Some((_, digits)) if port(digits) => authority.to_owned(),
        Some((_, inner)) if inner.ends_with(']') => format!("{authority}:4318"),
        None if !authority.is_empty() => format!("{authority}:4318"),
        _ => return Err(allowed()),
    };
    let plain = |text: &str| {
        text.bytes()
            .all(|c| c.is_ascii_graphic() && !b"?#@\"<>\\^`{|}".contains(&c))
    };
    if !plain(&authority) || !plain(path) || authority.starts_with(':') {
        return Err(allowed());
    }
    let url = format!("{scheme}://{authority}{}/v1/traces", path.trim_end_matches('/'));
    Ok(Collector { url })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_are_exact() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("1.1s"), Ok(Duration::from_nanos(1_100_000_000)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        for wrong in [
            "",
            "15",
            "s",
            "-1s",
            "1.s",
            ".5s",
            "1.2.3s",
            "1 s",
            "25h",
            "1e3s",
            "99999999999999999999s",
        ] {
            assert!(duration(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn an_age_is_in_hours_or_days_from_an_hour_to_a_century() {
        assert_eq!(age("1h"), Ok(Duration::from_secs(3_600)));
        assert_eq!(age("1.5d"), Ok(Duration::from_secs(129_600)));
        assert_eq!(age("36500d"), Ok(Duration::from_secs(36_500 * 86_400)));
        for wrong in ["", "90", "59m", "0.5h", "36501d", "d", "-1d", "1 d", "1w"] {
            assert!(age(wrong).unwrap_err().contains("from 1h to 36500d"), "{wrong:?}");
        }
    }

    #[test]
    fn sizes_tell_binary_units_from_decimal_ones() {
        assert_eq!(size("1536KiB"), Ok(1_572_864));
        assert_eq!(size("64KB"), Ok(64_000));
        assert_eq!(size("10Mi"), Ok(10 << 20));
        assert_eq!(size("1.5GiB"), Ok(1_610_612_736));
        assert_eq!(size("4096"), Ok(4096));
        for wrong in ["", "MiB", "10mib", "-1", "10 MiB", "18446744073709551615GiB"] {
            assert!(size(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn a_duration_is_shown_as_it_would_be_written() {
        for text in ["15s", "500ms", "1333ms", "0s"] {
            assert_eq!(duration(text).map(show_duration), Ok(text.to_owned()));
        }
    }

    #[test]
    fn a_collector_is_a_url_of_host_and_port() {
        for (text, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://collector/", "https://collector:4318/v1/traces"),
            ("http://[::1]/otlp/", "http://[::1]:4318/otlp/v1/traces"),
        ] {
            let url = url.to_owned();
            assert_eq!(collector(text), Ok(Collector { url }), "{text}");
        }
        for wrong in [
            "",
            "127.0.0.1:4318",
            "ftp://c:4318",
            "http://",
            "http://:4318",
            "http://c:0",
            "http://c:x",
            "http://c/?a",
        ] {
            assert!(collector(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn a_discovery_name_loses_its_dot_and_may_not_name_the_srv_owner() {
        assert_eq!(
            domain("RG.default.svc.cluster.local."),
            Ok("rg.default.svc.cluster.local".into())
        );
        for wrong in ["", ".", "a..b", "_peer._tcp.rg.default.svc", "rg default"] {
            assert!(domain(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn a_discovery_name_that_no_dns_answers_is_refused_with_what_to_write() {
        for (wrong, hint) in [
            ("rg", "rg.default.svc.cluster.local"),
            ("rg.", "--governing-service rg"),
            ("rg.default.svc", "rg.default.svc.cluster.local"),
            ("rg.$(POD_NAMESPACE).svc.cluster.local", "named earlier"),
        ] {
            let refused = domain(wrong).unwrap_err();
            assert!(refused.contains(hint), "{wrong}: {refused}");
        }
    }
}
