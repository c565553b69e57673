//! Secrets of members that say all they can stand in none of their log lines, metrics and answers.

use std::fs;

use rusqlite::{Connection, OpenFlags};

use crate::harness::{ask, until};
use crate::set::Set;

/// Every form in which `secret` may stand in a text.
fn forms(secret: &[u8]) -> Vec<(String, Vec<u8>)> {
    let hex = hex::encode(secret);
    let listed = format!("{secret:?}");
    let mut forms = vec![
        ("raw".to_owned(), secret.to_vec()),
        ("hexadecimal".to_owned(), hex.clone().into_bytes()),
        ("capital hexadecimal".to_owned(), hex.to_uppercase().into_bytes()),
        ("a list".to_owned(), listed.trim_matches(['[', ']']).as_bytes().to_vec()),
    ];
    for (name, alphabet) in [("base64", b"+/"), ("base64url", b"-_")] {
        for before in 0..3 {
            let text = base64(&[vec![0; before], secret.to_vec()].concat(), alphabet);
            // What comes before and after the secret changes the digits at its ends.
            let inner = &text[before * 2..text.len() - 3];
            forms.push((format!("{name} after {before} bytes"), inner.as_bytes().to_vec()));
        }
    }
    forms
}

/// Without padding.
fn base64(bytes: &[u8], last: &[u8; 2]) -> String {
    let digits: Vec<u8> = (b'A'..=b'Z')
        .chain(b'a'..=b'z')
        .chain(b'0'..=b'9')
        .chain(*last)
        .collect();
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let bits = part
            .iter()
            .chain(&[0, 0])
            .take(3)
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        for place in 0..=part.len() {
            text.push(digits[(bits >> (18 - 6 * place) & 63) as usize] as char);
        }
    }
    text
}

/// The form in which it stands there.
fn found(secret: &[u8], text: &[u8]) -> Option<String> {
    let stands = |form: &[u8]| text.windows(form.len()).any(|part| part == form);
    forms(secret)
        .into_iter()
        .find(|(_, form)| stands(form))
        .map(|(name, _)| name)
}

#[test]
fn a_secret_is_found_in_every_form() {
    let secret = b"\x00\xff secret of 32 bytes, or so \n\"";
    assert_eq!(base64(b"any carnal pleas", b"+/"), "YW55IGNhcm5hbCBwbGVhcw");
    let texts = [
        [b"before ".to_vec(), secret.to_vec(), b" after".to_vec()].concat(),
        format!("Secret({})", hex::encode(secret)).into_bytes(),
        hex::encode_upper(secret).into_bytes(),
        format!("Seed({secret:?})").into_bytes(),
        base64(secret, b"-_").into_bytes(),
        base64(&[b"k=".to_vec(), secret.to_vec(), b"&x=1".to_vec()].concat(), b"+/").into_bytes(),
    ];
    for text in texts {
        assert!(found(secret, &text).is_some(), "{:?}", String::from_utf8_lossy(&text));
    }
    assert_eq!(found(secret, b"nothing of it"), None);
}

#[test]
fn secrets_are_in_no_log_line_no_metric_and_no_answer_of_members_that_say_all_they_can() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("peer-secret");
    let secret = hex::encode(rand::random::<[u8; 24]>());
    fs::write(&file, &secret).unwrap();
    rustix::fs::chmod(&file, rustix::fs::Mode::RUSR).unwrap();
    let more = ["--peer-secret-file", file.to_str().unwrap(), "--log-filter", "trace"];
    let set = Set::start(2, &more);
    let mut secrets = vec![("the peer secret", secret.into_bytes())];
    for ordinal in 0..2 {
        let ledger = set.volume(ordinal).join("ledger.db");
        let ledger = Connection::open_with_flags(ledger, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let seed: Vec<u8> = ledger
            .query_row("SELECT seed FROM ledger", [], |row| row.get(0))
            .unwrap();
        assert_eq!(seed.len(), 32);
        secrets.push(("the seed of a volume", seed));
    }
    let paths = [
        (0, "/"),
        (0, "/integers?count=3"),
        (0, "/bytes?count=9"),
        (0, "/ids"),
        (0, "/draws"),
        (0, "/draws/latest"),
        (0, "/draws/1"),
        (0, "/peers"),
        (0, "/leader"),
        (0, "/set"),
        (0, "/livez"),
        (0, "/readyz"),
        (0, "/version"),
        (0, "/nothing"),
        (1, "/v1/records/00"),
        (1, "/v1/keep"),
        (1, "/v1/heads"),
        (1, "/v1/report"),
        (2, "/ledger"),
        (2, "/log-level"),
        (3, "/metrics"),
    ];
    let mut said = Vec::new();
    for member in [set.member(0), set.member(1)] {
        for (listener, path) in paths {
            for method in ["GET", "POST", "PUT"] {
                // Unsigned, and wrongly signed: what a refusal says is looked at, too.
                let mac = "0".repeat(64);
                let headers = [("random-generator-mac", mac.as_str()), ("random-generator-time", "1")];
                let reply = ask(member.base + listener, method, path, &headers, b"{}").unwrap();
                said.push((
                    format!("{method} {path}"),
                    format!("{:?}\n", reply.headers).into_bytes(),
                ));
                said.push((format!("{method} {path}"), reply.body));
            }
        }
        let round = member.round();
        member.until_round(round + 2);
    }
    for ordinal in 0..2 {
        let log = until("a log at its most verbose", || {
            let log = set.member(ordinal).log();
            log.contains("\"level\":\"DEBUG\"").then_some(log)
        });
        said.push((format!("the log of rg-{ordinal}"), log.into_bytes()));
    }
    for (whose, secret) in &secrets {
        for (place, text) in &said {
            assert_eq!(found(secret, text), None, "{whose} stands in {place}");
        }
    }
}
