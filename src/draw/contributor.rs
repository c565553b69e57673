//! The peer's side of a draw: what a member answers to a holder's *keep* (`docs/protocol.md`, 3.3).

use std::sync::Arc;

use super::ledger::logic::Ledger;
use super::ledger::{Promise, Write};
use super::message::{Given, HeadsAnswer, HeadsRequest, KeepAnswer, KeepRequest, Refusal, VERSION};
use super::record::{MAX_CONTRIBUTIONS, MAX_INTEGER, Record};
use super::secrets::commitment;
use crate::clock::Wall;

/// A holder whose clock is ahead by more than this would have its slot drawn before its time.
const EARLY_MS: i64 = 5_000;

/// Who answers.
#[derive(Clone, Debug)]
pub struct Contributor {
    pub set: String,
    pub ordinal: u16,
}

impl Contributor {
    fn member(&self) -> String {
        format!("{}-{}", self.set, self.ordinal)
    }

    /// What to make durable, and what to answer once it is. The answer depends on the seed and the request alone, so that
    /// a question asked again gets the same answer.
    pub fn keep(
        &self,
        ledger: &Ledger,
        request: &KeepRequest,
        wall: Wall,
    ) -> Result<(Vec<Write>, KeepAnswer), Refusal> {
        self.is_for_us(request.version, &request.set)?;
        well_formed(request, ledger)?;
        let ahead_ms = request.slot.0.saturating_mul(1000).saturating_sub(wall.0 / 1000);
        if ahead_ms > EARLY_MS {
            return Err(Refusal::Early {
                ahead_ms: ahead_ms.unsigned_abs(),
            });
        }
        let promise = promise(ledger, request.head.as_ref(), request.fence, &request.holder)?;
        let known = match &request.head {
            Some(head) => ledger.ahead_of(head),
            None if request.restart => None,
            None => ledger.newest(),
        };
        if let Some(head) = known {
            return Err(Refusal::Ahead { head: head.clone() });
        }
        let mut writes = Vec::new();
        if let Some(head) = request.head.as_ref().filter(|head| ledger.get(&head.hash).is_none()) {
            writes.push(Write::Record(head.clone()));
        }
        writes.extend(promise);
        let answer = KeepAnswer {
            version: VERSION,
            set: self.set.clone(),
            member: self.member(),
            ordinal: self.ordinal,
            chain: request.chain,
            round: request.round,
            kept: request.head.as_ref().map(|head| head.hash),
            contribution: request.contribute.then(|| self.give(ledger, request)),
        };
        Ok((writes, answer))
    }

    fn give(&self, ledger: &Ledger, request: &KeepRequest) -> Given {
        let secret = |round| ledger.seed().secret(&self.set, &request.chain, round);
        let due = secret(request.round);
        let committed = request
            .head
            .as_ref()
            .and_then(|head| head.contribution(self.ordinal))
            .is_some_and(|before| before.next_commitment == commitment(self.ordinal, &due));
        Given {
            reveal: committed.then_some(due),
            next_commitment: commitment(self.ordinal, &secret(request.round + 1)),
        }
    }

    /// The newest record known here: asked for in recovery. What to make durable first is the promise, so that a process
    /// whose volume has gone to another can't speak for it from memory.
    pub fn heads(&self, ledger: &Ledger, request: &HeadsRequest) -> Result<(Vec<Write>, HeadsAnswer), Refusal> {
        self.is_for_us(request.version, &request.set)?;
        let promise = promise(ledger, None, request.fence, &request.holder)?;
        let answer = HeadsAnswer {
            version: VERSION,
            set: self.set.clone(),
            member: self.member(),
            ordinal: self.ordinal,
            head: ledger.newest().cloned(),
            fence: request.fence,
        };
        Ok((promise.into_iter().collect(), answer))
    }

    fn is_for_us(&self, version: u32, set: &str) -> Result<(), Refusal> {
        if version != VERSION {
            return Err(Refusal::Version { speaks: VERSION });
        }
        if set != self.set {
            return Err(Refusal::Set { set: self.set.clone() });
        }
        Ok(())
    }
}

/// The promise to make to this holder; none if it was made before. Refused when a greater fence, or this one of another
/// holder, was promised, or drawn with: a record stands for the promises that a majority gave for it, and a volume that is
/// new has only the record.
fn promise(ledger: &Ledger, head: Option<&Arc<Record>>, fence: u64, holder: &str) -> Result<Option<Write>, Refusal> {
    let promised = ledger.promise().map(|promise| (promise.fence, promise.holder.as_str()));
    let drawn = [ledger.newest(), head].into_iter().flatten();
    let taken = drawn
        .map(|record| (record.fence, record.holder.as_str()))
        .chain(promised);
    for (taken, by) in taken {
        if fence < taken || (fence == taken && holder != by) {
            return Err(Refusal::Fence { fence: taken });
        }
    }
    let new = promised.is_none_or(|(promised, _)| promised < fence);
    Ok(new.then(|| {
        Write::Promise(Promise {
            fence,
            holder: holder.to_owned(),
        })
    }))
}

fn well_formed(request: &KeepRequest, ledger: &Ledger) -> Result<(), Refusal> {
    let malformed = |detail: &str| {
        Err(Refusal::Malformed {
            detail: detail.to_owned(),
        })
    };
    if request.round == 0 || request.round >= MAX_INTEGER || request.fence == 0 || request.fence > MAX_INTEGER {
        return malformed("round and fence are from 1 to 2^53 - 1");
    }
    if request.voters == 0 || usize::from(request.voters) > MAX_CONTRIBUTIONS {
        return malformed("voters are 1 to 32");
    }
    if request.holder.is_empty() || request.holder.len() > 253 {
        return malformed("holder has 1 to 253 characters");
    }
    match &request.head {
        None if request.round == 1 => Ok(()),
        None => malformed("only round 1 has no head"),
        Some(_) if request.restart => malformed("a restart begins with round 1"),
        Some(head) => {
            // One that is held here was checked when it came.
            let known = ledger.get(&head.hash).is_some_and(|known| known == head);
            if !known && head.check().is_err() || head.set != request.set {
                return malformed("the head is no record of this set");
            }
            if request.round != head.round + 1 || request.chain != head.chain {
                return malformed("round and chain don't follow the head");
            }
            if request.slot <= head.slot {
                return malformed("the slot isn't later than the head's");
            }
            Ok(())
        }
    }
}
