//! The peer secret: each message between members, and each answer, carries an HMAC-SHA-256 (RFC 2104) and a time.
//!
//! A message: HMAC(secret, lp("random-generator/peer-request/1") ‖ lp(method) ‖ lp(path and query) ‖ lp(u64(time)) ‖ lp(body)).
//! Its answer: HMAC(secret, lp("random-generator/peer-response/1") ‖ lp(HMAC of the message) ‖ lp(u64(status)) ‖
//! lp(u64(time)) ‖ lp(body)), so that an answer fits one message only. `lp` and `u64` as in `docs/protocol.md`, 1.1; times
//! are Unix milliseconds. A message repeated within 30 s is answered again: all of them may be repeated.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::clock::Wall;

/// Header of the HMAC, in lower-case hexadecimal.
pub const MAC_HEADER: &str = "random-generator-mac";
/// Header of the time, in Unix milliseconds.
pub const TIME_HEADER: &str = "random-generator-time";
/// How far the time of a message may be off, either way, in milliseconds.
pub const TOLERANCE_MS: u64 = 30_000;
/// Shorter secrets could be guessed.
pub const SECRET_MIN: usize = 16;

/// The secret that the members of a set share. Never shown, not even by `Debug`.
#[derive(Clone)]
pub struct PeerSecret(Hmac<Sha256>);

impl fmt::Debug for PeerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerSecret(…)")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a peer secret has at least {SECRET_MIN} bytes (without the line's end); this one has {length}")]
pub struct SecretTooShort {
    pub length: usize,
}

/// An HMAC with the time it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    pub mac: [u8; 32],
    pub time_ms: u64,
}

/// Why a signature was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the headers {MAC_HEADER} and {TIME_HEADER} are absent or can't be read")]
    Absent,
    #[error("its HMAC is not that of our peer secret")]
    Forged,
    #[error("its time is {off_ms} ms off, which is more than {TOLERANCE_MS}")]
    Late { off_ms: u64 },
}

impl SignatureError {
    /// For the metric's label.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            SignatureError::Absent => "unsigned",
            SignatureError::Forged => "forged",
            SignatureError::Late { .. } => "late",
        }
    }
}

/// What is signed, in addition to the time.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    Request {
        method: &'a str,
        /// Path and query.
        target: &'a str,
        body: &'a [u8],
    },
    Response {
        /// The HMAC of the message that is answered.
        request: &'a [u8; 32],
        status: u16,
        body: &'a [u8],
    },
}

impl PeerSecret {
    /// `bytes` is the content of the file; one line end at its end doesn't count.
    pub fn new(bytes: &[u8]) -> Result<PeerSecret, SecretTooShort> {
        let key = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let key = key.strip_suffix(b"\r").unwrap_or(key);
        if key.len() < SECRET_MIN {
            return Err(SecretTooShort { length: key.len() });
        }
        // HMAC takes keys of any length.
        let hmac = Hmac::new_from_slice(key).map_err(|_| SecretTooShort { length: key.len() })?;
        Ok(PeerSecret(hmac))
    }

    pub fn sign(&self, message: Message<'_>, now: Wall) -> Signature {
        let time_ms = unix_ms(now);
        Signature {
            mac: self.hmac(message, time_ms).finalize().into_bytes().into(),
            time_ms,
        }
    }

    /// Compares in constant time; the time is looked at only after the HMAC, which covers it.
    pub fn verify(&self, message: Message<'_>, signature: &Signature, now: Wall) -> Result<(), SignatureError> {
        self.hmac(message, signature.time_ms)
            .verify_slice(&signature.mac)
            .map_err(|_| SignatureError::Forged)?;
        let off_ms = unix_ms(now).abs_diff(signature.time_ms);
        match off_ms <= TOLERANCE_MS {
            true => Ok(()),
            false => Err(SignatureError::Late { off_ms }),
        }
    }

    fn hmac(&self, message: Message<'_>, time_ms: u64) -> Hmac<Sha256> {
        let mut hmac = self.0.clone();
        let mut add = |part: &[u8]| {
            hmac.update(&(part.len() as u64).to_be_bytes());
            hmac.update(part);
        };
        let time = time_ms.to_be_bytes();
        match message {
            Message::Request { method, target, body } => {
                add(b"random-generator/peer-request/1");
                add(method.as_bytes());
                add(target.as_bytes());
                add(&time);
                add(body);
            }
            Message::Response { request, status, body } => {
                add(b"random-generator/peer-response/1");
                add(request);
                add(&u64::from(status).to_be_bytes());
                add(&time);
                add(body);
            }
        }
        hmac
    }
}

impl Signature {
    /// Writes both headers.
    pub(crate) fn write(&self, headers: &mut hyper::HeaderMap) {
        if let Ok(mac) = hyper::header::HeaderValue::from_str(&hex::encode(self.mac)) {
            headers.insert(MAC_HEADER, mac);
        }
        headers.insert(TIME_HEADER, self.time_ms.into());
    }

    /// Reads both headers. Each must appear exactly once.
    pub(crate) fn read(headers: &hyper::HeaderMap) -> Result<Signature, SignatureError> {
        let one = |name| {
            let mut values = headers.get_all(name).iter();
            match (values.next(), values.next()) {
                (Some(value), None) => value.to_str().map_err(|_| SignatureError::Absent),
                _ => Err(SignatureError::Absent),
            }
        };
        let mut mac = [0; 32];
        hex::decode_to_slice(one(MAC_HEADER)?, &mut mac).map_err(|_| SignatureError::Absent)?;
        let time_ms = one(TIME_HEADER)?.parse().map_err(|_| SignatureError::Absent)?;
        Ok(Signature { mac, time_ms })
    }
}

fn unix_ms(now: Wall) -> u64 {
    u64::try_from(now.0 / 1_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall(1_700_000_000_000_000);

    fn request(body: &[u8]) -> Message<'_> {
        Message::Request {
            method: "POST",
            target: "/v1/keep",
            body,
        }
    }

    #[test]
    fn a_signature_covers_every_part_and_no_two_splits_are_alike() {
        let secret = PeerSecret::new(b"0123456789abcdef").unwrap();
        let signature = secret.sign(request(b"body"), NOW);
        assert_eq!(secret.verify(request(b"body"), &signature, NOW), Ok(()));
        let others = [
            request(b"bodY"),
            Message::Request {
                method: "POST",
                target: "/v1/keepb",
                body: b"ody",
            },
            Message::Request {
                method: "GET",
                target: "/v1/keep",
                body: b"body",
            },
        ];
        for other in others {
            assert_eq!(secret.verify(other, &signature, NOW), Err(SignatureError::Forged));
        }
        let redated = Signature {
            time_ms: signature.time_ms + 1,
            ..signature
        };
        assert_eq!(
            secret.verify(request(b"body"), &redated, NOW),
            Err(SignatureError::Forged)
        );
        let other = PeerSecret::new(b"0123456789abcdeF").unwrap();
        assert_eq!(
            other.verify(request(b"body"), &signature, NOW),
            Err(SignatureError::Forged)
        );
    }

    #[test]
    fn a_message_is_accepted_for_thirty_seconds_either_way() {
        let secret = PeerSecret::new(b"0123456789abcdef").unwrap();
        let signature = secret.sign(request(b""), NOW);
        for (seconds, accepted) in [(30, true), (-30, true), (31, false), (-31, false)] {
            let then = Wall(NOW.0 + seconds * 1_000_000);
            assert_eq!(
                secret.verify(request(b""), &signature, then).is_ok(),
                accepted,
                "{seconds}"
            );
        }
    }

    #[test]
    fn the_end_of_the_secrets_line_is_no_part_of_it_and_a_short_one_is_refused() {
        let signature = PeerSecret::new(b"0123456789abcdef\n").unwrap().sign(request(b""), NOW);
        let bare = PeerSecret::new(b"0123456789abcdef").unwrap();
        assert_eq!(bare.verify(request(b""), &signature, NOW), Ok(()));
        assert_eq!(PeerSecret::new(b"0123456789abcde\n").unwrap_err().length, 15);
    }
}
