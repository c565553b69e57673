//! A member's secrets: each follows from the seed on its volume and the round (`docs/protocol.md`, 1.1).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::{ChainId, Commitment, Hex, Reveal, prefixed};

/// 32 random bytes that are created with a ledger and never leave its volume.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

impl Seed {
    /// This member's secret for one round, always the same, so that a repeated request gets the same answer.
    pub fn secret(&self, set: &str, chain: &ChainId, round: u64) -> Reveal {
        // RFC 2104 pads a shorter key with zeros to the block size.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        for part in [
            b"random-generator/secret/1".as_slice(),
            set.as_bytes(),
            chain.to_string().as_bytes(),
            &round.to_be_bytes(),
        ] {
            prefixed(&mut mac, part);
        }
        Hex(mac.finalize().into_bytes().into())
    }
}

/// The commitment that a member gives one round before it reveals the secret.
pub fn commitment(ordinal: u16, secret: &Reveal) -> Commitment {
    let mut hasher = Sha256::new();
    prefixed(&mut hasher, b"random-generator/commitment/1");
    prefixed(&mut hasher, &u64::from(ordinal).to_be_bytes());
    prefixed(&mut hasher, &secret.0);
    Hex(hasher.finalize().into())
}
