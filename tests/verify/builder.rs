//! Makes chains as members would, from fixed seeds.

use std::collections::BTreeMap;
use std::io::Write;

use random_generator::record::schedule::Schedule;
use random_generator::record::secrets::{Seed, commitment};
use random_generator::record::{Contribution, Draft, Hex, MAX_MISSED, Missing, Reason, Record, Voters, output};

/// Unix time of 2026-11-21T06:00:00Z, where chains begin.
pub const START: i64 = 1_795_240_800;

/// What is different in one round.
#[derive(Clone, Debug)]
pub struct Round {
    pub contributors: Vec<u16>,
    pub missing: Vec<(u16, Reason)>,
    /// These begin with a new ledger.
    pub lost: Vec<u16>,
    pub voters: Voters,
    pub schedule: String,
    /// So many slots are skipped.
    pub skip: u64,
    pub holder: u16,
    pub fence: u64,
}

impl Default for Round {
    fn default() -> Round {
        Round {
            contributors: vec![0, 1, 2],
            missing: Vec::new(),
            lost: Vec::new(),
            voters: 3.into(),
            schedule: "@every 10s".into(),
            skip: 0,
            holder: 0,
            fence: 1,
        }
    }
}

pub struct Builder {
    pub records: Vec<Record>,
    /// How often an ordinal has begun a new ledger.
    ledgers: BTreeMap<u16, u8>,
}

impl Builder {
    pub fn new() -> Builder {
        Builder {
            records: Vec::new(),
            ledgers: BTreeMap::new(),
        }
    }

    fn seed(&self, ordinal: u16) -> Seed {
        let ledger = self.ledgers.get(&ordinal).copied().unwrap_or(0);
        let [high, low] = ordinal.to_be_bytes();
        let mut seed = [ledger; 32];
        seed[..2].copy_from_slice(&[high, low]);
        Seed(seed)
    }

    pub fn draw(&mut self, round: Round) -> &Record {
        for ordinal in &round.lost {
            *self.ledgers.entry(*ordinal).or_default() += 1;
        }
        let (set, chain) = ("rg", Hex(*b"a chain of draws"));
        let previous = self.records.last();
        let number = previous.map_or(1, |record| record.round + 1);
        let schedule: Schedule = round.schedule.parse().unwrap();
        let mut slot = schedule
            .next_after(previous.map_or(START - 1, |record| record.slot.0))
            .unwrap();
        for _ in 0..round.skip {
            slot = schedule.next_after(slot.0).unwrap();
        }
        let contributions = round.contributors.iter().map(|&ordinal| {
            let seed = self.seed(ordinal);
            let secret = seed.secret(set, &chain, number);
            let committed = previous
                .and_then(|record| record.contribution(ordinal))
                .map(|c| c.next_commitment);
            Contribution {
                member: format!("{set}-{ordinal}"),
                next_commitment: commitment(ordinal, &seed.secret(set, &chain, number + 1)),
                ordinal,
                reveal: Some(secret).filter(|secret| committed == Some(commitment(ordinal, secret))),
            }
        });
        let draft = Draft {
            set: set.into(),
            chain,
            round: number,
            schedule: round.schedule.clone(),
            slot,
            missed: if previous.is_some() {
                round.skip.min(MAX_MISSED)
            } else {
                0
            },
            holder: format!("{set}-{}_uid-{:08x}", round.holder, round.fence),
            fence: round.fence,
            voters: round.voters,
            previous: previous.map(|record| record.hash),
            contributions: contributions.collect(),
            missing: round
                .missing
                .iter()
                .map(|&(ordinal, reason)| Missing { ordinal, reason })
                .collect(),
        };
        self.records.push(draft.seal());
        self.records.last().unwrap()
    }
}

/// Writes a chain of usual rounds as JSON lines, and returns its last record. Holds one record at a time.
pub fn write_chain(to: &mut impl Write, rounds: u64) -> Record {
    let mut chain = Builder::new();
    for _ in 0..rounds {
        chain.draw(Round::default());
        chain.records.drain(..chain.records.len() - 1);
        writeln!(to, "{}", chain.records[0].canonical()).unwrap();
    }
    chain.records.pop().unwrap()
}

/// Makes output and hash true again after a change.
pub fn reseal(mut record: Record) -> Record {
    record.output = output(&record.chain, record.round, &record.contributions);
    record.hash = record.computed_hash();
    record
}

pub fn lines(records: &[Record]) -> Vec<u8> {
    records
        .iter()
        .flat_map(|record| (record.canonical() + "\n").into_bytes())
        .collect()
}

/// One of everything that may happen to a chain.
pub fn eventful() -> Vec<Record> {
    let mut chain = Builder::new();
    let usual = Round::default;
    chain.draw(usual());
    chain.draw(usual());
    // A fourth member joins, and has nothing to reveal yet; it is no voter.
    let four = || Round {
        contributors: vec![0, 1, 2, 3],
        ..usual()
    };
    chain.draw(four());
    // Two slots are missed, another holder takes over, one member does not answer.
    let absent = vec![(1, Reason::Timeout), (4, Reason::Unpublished)];
    chain.draw(Round {
        contributors: vec![0, 2, 3],
        missing: absent,
        skip: 2,
        holder: 2,
        fence: 2,
        ..four()
    });
    // It is back, without a commitment in the record before; the same holder has acquired the lease anew.
    let second = || Round {
        holder: 2,
        fence: 3,
        ..four()
    };
    chain.draw(second());
    // A member lost its volume.
    chain.draw(Round {
        lost: vec![2],
        ..second()
    });
    // Scaled up to five voters, then down to three.
    chain.draw(Round {
        contributors: vec![0, 1, 2, 3, 4],
        voters: 5.into(),
        ..second()
    });
    chain.draw(Round {
        contributors: vec![0, 1, 2, 3],
        voters: 5.into(),
        missing: vec![(4, Reason::Ledger)],
        ..second()
    });
    let refused = vec![(3, Reason::Refused), (5, Reason::Invalid), (6, Reason::Unreachable)];
    chain.draw(Round {
        contributors: vec![0, 1, 2],
        missing: refused,
        ..second()
    });
    // Schedules change; each counts its own slots.
    let cron = |schedule: &str, skip| Round {
        schedule: schedule.into(),
        skip,
        fence: 4,
        holder: 0,
        ..usual()
    };
    chain.draw(cron("*/2 * * * *", 1));
    chain.draw(cron("30 4 1,15 * 5", 3));
    chain.draw(cron("0 0 29 2 *", 0));
    chain.draw(cron("@every 1s", 100_000));
    // Nobody that committed before is left with its ledger: a round without output.
    chain.draw(Round {
        lost: vec![0, 1, 2],
        fence: 4,
        ..usual()
    });
    chain.draw(Round {
        contributors: vec![0, 1],
        missing: vec![(2, Reason::Unreachable)],
        fence: 4,
        ..usual()
    });
    chain.records
}

/// A set that moves from start ordinal 0 to 3: both its old and its new voters keep each record meanwhile.
pub fn moved() -> Vec<Record> {
    let mut chain = Builder::new();
    chain.draw(Round::default());
    let both = |voters: &str| Round {
        contributors: (0..6).collect(),
        voters: voters.parse().unwrap(),
        ..Round::default()
    };
    chain.draw(both("3"));
    chain.draw(both("0-5"));
    chain.draw(both("3-5"));
    chain.draw(both("3-5"));
    for voters in ["3-5", "3-5", "4-6"] {
        chain.draw(Round {
            contributors: vec![3, 4, 5, 1023],
            ..both(voters)
        });
    }
    chain.draw(Round {
        contributors: vec![4, 5],
        ..both("4-6")
    });
    chain.records
}

/// Three usual rounds.
pub fn short() -> Vec<Record> {
    let mut chain = Builder::new();
    for _ in 0..3 {
        chain.draw(Round::default());
    }
    chain.records
}
