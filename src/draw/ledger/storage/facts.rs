//! Everything in the file but the records, under one seal.

use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use sha2::{Digest, Sha256};

use super::super::{Aside, Promise, Run};
use super::{signed, toggle};
use crate::record::secrets::Seed;
use crate::record::{Hash, Hex, HexError, Record, prefixed};

/// Bytes of a run in `runs`.
const RUN_BYTES: usize = 8 + 8 + 32 + 1 + 32;

/// Everything but the records, and a digest of those: the seal covers it.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub seed: Seed,
    pub head: Option<Hash>,
    /// (Fence and round, hash) of the newest record, final or not.
    pub newest: Option<((u64, u64), Hash)>,
    pub promise: Option<Promise>,
    pub aside: Vec<Aside>,
    /// That of the records which are a part of the chain, or of a run below a gap.
    pub era: i64,
    pub runs: Vec<Run>,
    pub count: u64,
    /// Exclusive or of the records' hashes, which shows a missing or an additional record.
    pub digest: [u8; 32],
}

impl Facts {
    pub fn new(seed: [u8; 32]) -> Facts {
        Facts {
            seed: Seed(seed),
            head: None,
            newest: None,
            promise: None,
            aside: Vec::new(),
            era: 1,
            runs: Vec::new(),
            count: 0,
            digest: [0; 32],
        }
    }

    pub fn add(&mut self, record: &Record) {
        toggle(&mut self.digest, &record.hash);
        self.count += 1;
        let new = (record.age(), record.hash);
        if self.newest.is_none_or(|newest| newest < new) {
            self.newest = Some(new);
        }
    }

    pub fn remove(&mut self, hash: &Hash) {
        toggle(&mut self.digest, hash);
        self.count = self.count.saturating_sub(1);
        self.newest.take_if(|(_, newest)| newest == hash);
    }

    /// A checksum, because SQLite has none: a flipped bit in the seed or in a promise would go unnoticed.
    pub fn seal(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        prefixed(&mut hasher, b"random-generator/ledger/2");
        self.hash_into(&mut hasher);
        let newest = self.newest.as_ref().map_or(&[][..], |(_, newest)| &newest.0);
        prefixed(&mut hasher, newest);
        prefixed(&mut hasher, &self.era.to_be_bytes());
        prefixed(&mut hasher, &self.runs_as_bytes());
        hasher.finalize().into()
    }

    /// That of schema 1.
    pub fn seal_before(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        prefixed(&mut hasher, b"random-generator/ledger/1");
        self.hash_into(&mut hasher);
        hasher.finalize().into()
    }

    fn hash_into(&self, hasher: &mut Sha256) {
        prefixed(hasher, &self.seed.0);
        prefixed(hasher, self.head.as_ref().map_or(&[][..], |head| &head.0));
        if let Some(promise) = &self.promise {
            prefixed(hasher, &promise.fence.to_be_bytes());
            prefixed(hasher, promise.holder.as_bytes());
        }
        prefixed(hasher, &self.count.to_be_bytes());
        prefixed(hasher, &self.digest);
        for aside in &self.aside {
            prefixed(hasher, &aside.chain.0);
            prefixed(hasher, &aside.head.0);
            prefixed(hasher, &aside.from_round.to_be_bytes());
            prefixed(hasher, &aside.to_round.to_be_bytes());
        }
    }

    fn runs_as_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.runs.len() * RUN_BYTES);
        for run in &self.runs {
            bytes.extend(run.low.to_be_bytes());
            bytes.extend(run.high.to_be_bytes());
            bytes.extend(run.tip.0);
            bytes.push(u8::from(run.base.is_some()));
            bytes.extend(run.base.unwrap_or(Hex([0; 32])).0);
        }
        bytes
    }

    /// Those whose seal is intact; of the present schema or of the one before. Of the newest record only the hash is known.
    pub fn read(db: &Connection, is_present: bool) -> rusqlite::Result<Facts> {
        let columns = if is_present {
            "newest, era, runs"
        } else {
            "NULL, 1, x''"
        };
        let sql = format!("SELECT seed, head, fence, holder, count, digest, seal, {columns} FROM ledger");
        let (mut facts, seal) = db.query_row(&sql, [], |row| {
            let fence = row.get::<_, Option<i64>>(2)?.map(|_| natural(row, 2)).transpose()?;
            let promise = fence.zip(row.get::<_, Option<String>>(3)?);
            let hash = |column| {
                row.get::<_, Option<String>>(column)?
                    .map(|_| hex(row, column))
                    .transpose()
            };
            let facts = Facts {
                seed: Seed(row.get(0)?),
                head: hash(1)?,
                newest: hash(7)?.map(|newest| ((0, 0), newest)),
                promise: promise.map(|(fence, holder)| Promise { fence, holder }),
                aside: Vec::new(),
                era: row.get(8)?,
                runs: runs(row, 9)?,
                count: natural(row, 4)?,
                digest: row.get(5)?,
            };
            Ok((facts, row.get::<_, Vec<u8>>(6)?))
        })?;
        let mut statement = db.prepare("SELECT chain, head, from_round, to_round FROM aside ORDER BY id")?;
        let aside = statement.query_map([], |row| {
            let (from_round, to_round) = (natural(row, 2)?, natural(row, 3)?);
            Ok(Aside {
                chain: hex(row, 0)?,
                head: hex(row, 1)?,
                from_round,
                to_round,
            })
        })?;
        facts.aside = aside.collect::<rusqlite::Result<_>>()?;
        let expected = if is_present { facts.seal() } else { facts.seal_before() };
        if expected.as_slice() != seal {
            return Err(super::rows::damage(
                "its seal is broken: seed, head, promise or list of tails was changed".to_owned(),
            ));
        }
        Ok(facts)
    }

    /// Also inserts the first row of a new ledger.
    pub fn put(&self, db: &Connection) -> rusqlite::Result<()> {
        db.prepare_cached(
            "INSERT OR REPLACE INTO ledger (id, seed, head, newest, fence, holder, era, runs, count, digest, seal)
             VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            self.seed.0,
            self.head.map(|head| head.to_string()),
            self.newest.map(|(_, newest)| newest.to_string()),
            self.promise.as_ref().map(|promise| signed(promise.fence)).transpose()?,
            self.promise.as_ref().map(|promise| promise.holder.as_str()),
            self.era,
            self.runs_as_bytes(),
            signed(self.count)?,
            self.digest,
            self.seal(),
        ])?;
        Ok(())
    }

    pub fn put_aside(&self, db: &Connection) -> rusqlite::Result<()> {
        db.execute("DELETE FROM aside", [])?;
        let mut insert =
            db.prepare_cached("INSERT INTO aside (chain, head, from_round, to_round) VALUES (?1, ?2, ?3, ?4)")?;
        for tail in &self.aside {
            insert.execute(params![
                tail.chain.to_string(),
                tail.head.to_string(),
                signed(tail.from_round)?,
                signed(tail.to_round)?
            ])?;
        }
        Ok(())
    }
}

/// Reads runs as [`Facts::put`] wrote them.
fn runs(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<Run>> {
    let bytes: Vec<u8> = row.get(column)?;
    let (runs, rest) = bytes.as_chunks::<RUN_BYTES>();
    if !rest.is_empty() {
        return Err(super::rows::damage("its chain is not described".to_owned()));
    }
    Ok(runs
        .iter()
        .map(|run| Run {
            low: number(&run[..8]),
            high: number(&run[8..16]),
            tip: hash(&run[16..48]),
            base: (run[48] != 0).then(|| hash(&run[49..])),
        })
        .collect())
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn hash(bytes: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(bytes);
    Hex(hash)
}

fn natural(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

fn hex<const N: usize>(row: &Row<'_>, column: usize) -> rusqlite::Result<Hex<N>> {
    let text: String = row.get(column)?;
    text.parse()
        .map_err(|error: HexError| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}
