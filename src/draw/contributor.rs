//! The peer's side of a draw: how a member answers a holder's *keep* (`docs/protocol.md`, 3.3).

use std::sync::Arc;

use super::ledger::logic::Ledger;
use super::ledger::{Promise, Write};
use crate::clock::Wall;
use crate::peer::message::{
    Given, HeadsAnswer, HeadsRequest, KeepAnswer, KeepRequest, MOST_PASSED_OVER, Refusal, VERSION,
};
use crate::record::secrets::commitment;
use crate::record::{MAX_INTEGER, Record, is_holder};

/// A holder whose clock is further ahead would draw a slot before its time.
const EARLY_MS: i64 = 5_000;

/// The member that answers.
#[derive(Clone, Debug)]
pub struct Contributor {
    pub set: String,
    pub ordinal: u16,
}

impl Contributor {
    fn member(&self) -> String {
        format!("{}-{}", self.set, self.ordinal)
    }

    /// What to make durable, and the answer to give once it is. The answer depends only on the seed and the request, so a repeated
    /// request gets the same answer.
    pub fn keep(
        &self,
        ledger: &Ledger,
        request: &KeepRequest,
        wall: Wall,
    ) -> Result<(Vec<Write>, KeepAnswer), Refusal> {
        self.check_addressee(request.version, &request.set)?;
        well_formed(request, ledger)?;
        let ahead_ms = request.slot.0.saturating_mul(1000).saturating_sub(wall.0 / 1000);
        if ahead_ms > EARLY_MS {
            return Err(Refusal::Early {
                ahead_ms: ahead_ms.unsigned_abs(),
            });
        }
        let promise = promise(ledger, request.head.as_ref(), request.fence, &request.holder)?;
        if let Some(newest) = ledger.newest().filter(|newest| !may_follow(request, newest)) {
            return Err(Refusal::Ahead { head: newest.clone() });
        }
        let mut writes = Vec::new();
        if let Some(head) = request.head.as_ref().filter(|head| !ledger.knows(head)) {
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
            contribution: request.contribute.then(|| self.contribute(ledger, request)),
        };
        Ok((writes, answer))
    }

    fn contribute(&self, ledger: &Ledger, request: &KeepRequest) -> Given {
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

    /// The newest record known here, for a recovery. The promise has to be durable first, so that a process that lost its volume to
    /// another can't answer from memory.
    pub fn heads(&self, ledger: &Ledger, request: &HeadsRequest) -> Result<(Vec<Write>, HeadsAnswer), Refusal> {
        self.check_addressee(request.version, &request.set)?;
        well_formed_term(request.fence, &request.holder)?;
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

    fn check_addressee(&self, version: u32, set: &str) -> Result<(), Refusal> {
        if version != VERSION {
            return Err(Refusal::Version { speaks: VERSION });
        }
        if set != self.set {
            return Err(Refusal::Set { set: self.set.clone() });
        }
        Ok(())
    }
}

/// The promise to make to this holder; none if it was made before. Refused if a greater fence, or the same fence of another
/// holder, was promised or is in a record: a record proves a majority's promises, and a new volume has only the record.
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

/// Whether a member whose newest record is this one may answer the request.
fn may_follow(request: &KeepRequest, newest: &Record) -> bool {
    let Some(head) = &request.head else {
        return request.restart;
    };
    // The record drawn for this request has its fence, so it will be newer than the one passed over.
    let passed_over = || head.chain != newest.chain && request.passed_over.contains(&newest.hash);
    head.age() >= newest.age() || (passed_over() && request.fence > newest.fence)
}

fn malformed(detail: &str) -> Result<(), Refusal> {
    Err(Refusal::Malformed {
        detail: detail.to_owned(),
    })
}

fn well_formed_term(fence: u64, holder: &str) -> Result<(), Refusal> {
    if !(1..=MAX_INTEGER).contains(&fence) {
        return malformed("a fence is from 1 to 2^53 - 1");
    }
    if !is_holder(holder) {
        return malformed("a holder has 1 to 253 printable ASCII characters, no space, quote or backslash");
    }
    Ok(())
}

fn well_formed(request: &KeepRequest, ledger: &Ledger) -> Result<(), Refusal> {
    well_formed_term(request.fence, &request.holder)?;
    if !(1..MAX_INTEGER).contains(&request.round) {
        return malformed("a round is from 1 to 2^53 - 2");
    }
    if !request.voters.is_valid() {
        return malformed("voters are 1 to 32 ordinals, up to 1023");
    }
    if request.passed_over.len() > MOST_PASSED_OVER {
        return malformed("at most 32 records are passed over");
    }
    match &request.head {
        None if request.round == 1 => Ok(()),
        None => malformed("only round 1 has no head"),
        Some(_) if request.restart => malformed("a restart begins with round 1"),
        Some(head) => {
            // A stored record was checked when it came.
            if !ledger.knows(head) && head.check().is_err() || head.set != request.set {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::ledger::Stored;
    use crate::record::secrets::Seed;
    use crate::record::{Contribution, Draft, Hex, Slot};

    const CHAIN: crate::record::ChainId = Hex([7; 16]);
    const START: i64 = 1_800_000_000;

    fn contributor() -> Contributor {
        Contributor {
            set: "rg".to_owned(),
            ordinal: 0,
        }
    }

    fn ledger() -> Ledger {
        Ledger::new(Stored {
            seed: Seed([3; 32]),
            records: Vec::new(),
            runs: Vec::new(),
            head: None,
            promise: None,
            aside: Vec::new(),
        })
    }

    fn request(head: Option<&Arc<Record>>, fence: u64, holder: &str) -> KeepRequest {
        let round = head.map_or(1, |head| head.round + 1);
        KeepRequest {
            version: VERSION,
            set: "rg".to_owned(),
            from: "rg-1".to_owned(),
            holder: holder.to_owned(),
            fence,
            voters: 1.into(),
            chain: CHAIN,
            round,
            slot: slot(round),
            head: head.cloned(),
            contribute: true,
            restart: false,
            passed_over: Vec::new(),
        }
    }

    fn slot(round: u64) -> Slot {
        Slot(START + i64::try_from(round).unwrap())
    }

    fn wall(round: u64) -> Wall {
        Wall(slot(round).0 * 1_000_000)
    }

    /// Asks, and applies the writes.
    fn ask(ledger: &mut Ledger, request: &KeepRequest) -> Result<KeepAnswer, Refusal> {
        let (writes, answer) = contributor().keep(ledger, request, wall(request.round))?;
        writes.iter().for_each(|write| ledger.apply(write));
        Ok(answer)
    }

    /// The record that follows from one member's answer.
    fn drawn(request: &KeepRequest, answer: &KeepAnswer) -> Arc<Record> {
        let given = answer.contribution.clone().unwrap();
        let record = Draft {
            chain: request.chain,
            slot: request.slot,
            holder: request.holder.clone(),
            contributions: vec![Contribution {
                member: "rg-0".to_owned(),
                next_commitment: given.next_commitment,
                ordinal: 0,
                reveal: given.reveal,
            }],
            ..Draft::after(request.head.as_deref(), request.fence)
        };
        Arc::new(record.seal())
    }

    #[test]
    fn a_keep_that_is_not_well_formed_is_refused() {
        let mut ledger = ledger();
        let opening = request(None, 1, "a");
        let first = drawn(&opening, &ask(&mut ledger, &opening).unwrap());
        let next = request(Some(&first), 1, "a");
        let altered = Arc::new(Record {
            fence: 9,
            ..Record::clone(&first)
        });
        let mut of_another_set = Record {
            set: "web".to_owned(),
            ..Record::clone(&first)
        };
        of_another_set.contributions[0].member = "web-0".to_owned();
        of_another_set.hash = of_another_set.computed_hash();
        assert_eq!(of_another_set.check(), Ok(()));
        type Wrong = fn(&mut KeepRequest);
        let wrongs: [(&str, Wrong); 13] = [
            ("a round 0", |wrong| wrong.round = 0),
            ("too great a round", |wrong| wrong.round = MAX_INTEGER),
            ("a fence 0", |wrong| wrong.fence = 0),
            ("too great a fence", |wrong| wrong.fence = MAX_INTEGER + 1),
            ("no voters", |wrong| wrong.voters = 0.into()),
            ("no holder", |wrong| wrong.holder.clear()),
            ("a long holder", |wrong| wrong.holder = "a".repeat(254)),
            ("a holder with a space", |wrong| wrong.holder = "a b".to_owned()),
            ("much passed over", |wrong| {
                wrong.passed_over = vec![Hex([1; 32]); MOST_PASSED_OVER + 1]
            }),
            ("no head", |wrong| wrong.head = None),
            ("a restart", |wrong| wrong.restart = true),
            ("another chain", |wrong| wrong.chain = Hex([8; 16])),
            ("a slot not later", |wrong| wrong.slot = slot(1)),
        ];
        for (what, wrong) in wrongs {
            let mut request = next.clone();
            wrong(&mut request);
            let refused = contributor().keep(&ledger, &request, wall(2));
            assert!(matches!(refused, Err(Refusal::Malformed { .. })), "{what}: {refused:?}");
        }
        for request in [
            KeepRequest {
                round: 3,
                ..next.clone()
            },
            KeepRequest {
                head: Some(altered),
                ..next.clone()
            },
            KeepRequest {
                head: Some(Arc::new(of_another_set)),
                ..next.clone()
            },
        ] {
            let refused = contributor().keep(&ledger, &request, wall(2));
            assert!(matches!(refused, Err(Refusal::Malformed { .. })), "{refused:?}");
        }
        let refused = |request| contributor().keep(&ledger, &request, wall(2)).unwrap_err();
        let version = KeepRequest {
            version: 2,
            ..next.clone()
        };
        assert_eq!(refused(version), Refusal::Version { speaks: 1 });
        let set = KeepRequest {
            set: "web".to_owned(),
            ..next.clone()
        };
        assert_eq!(refused(set), Refusal::Set { set: "rg".to_owned() });
        assert!(ask(&mut ledger, &next).is_ok());
    }

    #[test]
    fn a_fence_below_the_promise_is_refused_and_so_is_another_holder_with_the_same() {
        let mut ledger = ledger();
        ask(&mut ledger, &request(None, 5, "a")).unwrap();
        assert_eq!(
            ask(&mut ledger, &request(None, 4, "b")),
            Err(Refusal::Fence { fence: 5 })
        );
        assert_eq!(
            ask(&mut ledger, &request(None, 5, "b")),
            Err(Refusal::Fence { fence: 5 })
        );
        ask(&mut ledger, &request(None, 5, "a")).unwrap();
        ask(&mut ledger, &request(None, 6, "b")).unwrap();
        assert_eq!(
            ask(&mut ledger, &request(None, 5, "a")),
            Err(Refusal::Fence { fence: 6 })
        );
    }

    #[test]
    fn a_record_stands_for_the_promise_that_a_new_volume_lacks() {
        let mut first = ledger();
        let opening = request(None, 5, "a");
        let record = drawn(&opening, &ask(&mut first, &opening).unwrap());
        let mut new = ledger();
        new.seen(&record).iter().for_each(|write| new.apply(write));
        assert_eq!(
            ask(&mut new, &request(Some(&record), 5, "b")),
            Err(Refusal::Fence { fence: 5 })
        );
    }

    #[test]
    fn the_same_request_gets_the_same_answer_and_reveals_what_was_committed() {
        let mut ledger = ledger();
        let opening = request(None, 1, "a");
        let answer = ask(&mut ledger, &opening).unwrap();
        assert_eq!(
            answer.contribution.as_ref().unwrap().reveal,
            None,
            "nothing was committed to"
        );
        let record = drawn(&opening, &answer);
        let second = request(Some(&record), 1, "a");
        let given = ask(&mut ledger, &second).unwrap();
        let reveal = given.contribution.as_ref().unwrap().reveal.unwrap();
        assert_eq!(commitment(0, &reveal), record.contributions[0].next_commitment);
        let mut later = KeepRequest {
            slot: Slot(second.slot.0 + 3),
            ..second.clone()
        };
        later.fence = 2;
        assert_eq!(ask(&mut ledger, &later).unwrap().contribution, given.contribution);
    }

    #[test]
    fn a_head_is_reported_with_a_promise_on_the_volume() {
        let request = HeadsRequest {
            version: VERSION,
            set: "rg".to_owned(),
            from: "rg-1".to_owned(),
            holder: "a".to_owned(),
            fence: 4,
        };
        let (writes, answer) = contributor().heads(&ledger(), &request).unwrap();
        assert_eq!((answer.head, answer.fence), (None, 4));
        assert!(matches!(&writes[..], [Write::Promise(promise)] if promise.fence == 4 && promise.holder == "a"));
        for (fence, holder) in [(0, "a"), (MAX_INTEGER + 1, "a"), (4, ""), (4, "a b")] {
            let request = HeadsRequest {
                fence,
                holder: holder.to_owned(),
                ..request.clone()
            };
            let refused = contributor().heads(&ledger(), &request);
            assert!(matches!(refused, Err(Refusal::Malformed { .. })), "{fence} {holder:?}");
        }
    }

    #[test]
    fn an_older_head_and_a_slot_ahead_of_time_are_refused() {
        let mut ledger = ledger();
        let opening = request(None, 1, "a");
        let first = drawn(&opening, &ask(&mut ledger, &opening).unwrap());
        let next = request(Some(&first), 1, "a");
        let second = drawn(&next, &ask(&mut ledger, &next).unwrap());
        ask(&mut ledger, &request(Some(&second), 1, "a")).unwrap();
        let behind = ask(&mut ledger, &request(Some(&first), 1, "a"));
        assert_eq!(behind, Err(Refusal::Ahead { head: second.clone() }));
        assert_eq!(
            ask(&mut ledger, &request(None, 1, "a")),
            Err(Refusal::Ahead { head: second.clone() })
        );
        let early = contributor().keep(&ledger, &request(Some(&second), 1, "a"), Wall((START - 10) * 1_000_000));
        assert!(matches!(early, Err(Refusal::Early { .. })));
    }

    #[test]
    fn a_head_of_another_chain_comes_in_place_of_a_record_that_was_passed_over_and_of_no_other() {
        let mut here = ledger();
        let opening = request(None, 3, "a");
        let lost = drawn(&opening, &ask(&mut here, &opening).unwrap());
        here.seen(&lost).iter().for_each(|write| here.apply(write));
        let mut elsewhere = ledger();
        let other_chain = KeepRequest {
            chain: Hex([8; 16]),
            ..request(None, 1, "b")
        };
        let taken = drawn(&other_chain, &ask(&mut elsewhere, &other_chain).unwrap());

        let mut next = KeepRequest {
            chain: taken.chain,
            ..request(Some(&taken), 4, "b")
        };
        assert_eq!(ask(&mut here, &next), Err(Refusal::Ahead { head: lost.clone() }));
        next.passed_over = vec![taken.hash];
        assert_eq!(ask(&mut here, &next), Err(Refusal::Ahead { head: lost.clone() }));
        next.passed_over = vec![lost.hash];
        // A record of the same fence would be no newer.
        let same_fence = KeepRequest {
            fence: lost.fence,
            holder: lost.holder.clone(),
            ..next.clone()
        };
        assert_eq!(ask(&mut here, &same_fence), Err(Refusal::Ahead { head: lost.clone() }));
        assert_eq!(ask(&mut here, &next).unwrap().kept, Some(taken.hash));

        // Of the same chain nothing can be passed over: the older head is the one that was set back.
        let second = request(Some(&lost), 5, "a");
        let second = drawn(&second, &ask(&mut here, &second).unwrap());
        here.seen(&second).iter().for_each(|write| here.apply(write));
        let mut behind = request(Some(&lost), 6, "b");
        behind.passed_over = vec![second.hash];
        assert_eq!(ask(&mut here, &behind), Err(Refusal::Ahead { head: second }));
    }
}
