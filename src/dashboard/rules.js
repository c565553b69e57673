// docs/protocol.md, 1.2 and 1.3: what a record is, and the rules that it keeps alone and after another. Written from that part
// alone, and with nothing from the members.

import { canonical, fromHex, h256, h512, need } from "./encoding.js";
import { MOST_MISSED, slotsBetween } from "./schedule.js";

/** Bytes of a record, at most. */
const RECORD_MAX = 65536;

const integer = (low, high = Number.MAX_SAFE_INTEGER) => value => Number.isInteger(value) && low <= value && value <= high;
const text = pattern => value => typeof value === "string" && pattern.test(value);
const nullable = check => value => value === null || check(value);
const many = (most, members) => value => Array.isArray(value) && value.length <= most && value.every(item => exactly(item, members));

function exactly(value, members) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const names = Object.keys(value);
  return names.length === Object.keys(members).length && names.every(name => Object.hasOwn(members, name) && members[name](value[name]));
}

const HASH = text(/^[0-9a-f]{64}$/);
const ORDINAL = integer(0, 1023);
const ANY = text(/^/);
const isRange = text(/^[1-9][0-9]{0,3}-[1-9][0-9]{0,3}$/);
const isVoters = value => {
  if (integer(1, 32)(value)) return true;
  if (!isRange(value)) return false;
  const [first, last] = ends(value);
  return first <= last && last - first < 32 && last <= 1023;
};
/** A day and time that there is, of the years 1970 to 9998. */
const isInstant = value => {
  if (!text(/^(?!9999)[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$/)(value)) return false;
  const ms = Date.parse(value);
  return ms >= 0 && new Date(ms).toISOString() === value.replace("Z", ".000Z");
};

const RECORD = {
  schema: integer(1, 2),
  set: text(/^[a-z0-9-]{1,52}$/),
  chain: text(/^[0-9a-f]{32}$/),
  round: integer(1),
  schedule: ANY,
  slot: isInstant,
  missed: integer(0, MOST_MISSED),
  holder: text(/^[!#-[\]-~]{1,253}$/),
  fence: integer(1),
  voters: isVoters,
  previous: nullable(HASH),
  contributions: many(32, { member: ANY, next_commitment: HASH, ordinal: ORDINAL, reveal: nullable(HASH) }),
  missing: many(64, { ordinal: ORDINAL, reason: text(/^(unpublished|unreachable|timeout|refused|invalid|ledger)$/) }),
  output: nullable(text(/^[0-9a-f]{128}$/)),
  hash: HASH,
};

/** The first and last ordinal of `voters`. */
function ends(voters) {
  return typeof voters === "number" ? [0, voters - 1] : voters.split("-").map(Number);
}

function isMajority(record, voters) {
  const [first, last] = ends(voters);
  const given = record.contributions.filter(({ ordinal }) => first <= ordinal && ordinal <= last).length;
  return 2 * given > last - first + 1;
}

export const unix = slot => Date.parse(slot) / 1000;
const revealed = record => record.contributions.filter(({ reveal }) => reveal !== null);

/** The record in a line, which ends with a line feed. */
export function parse(line) {
  need("form", line.length <= RECORD_MAX + 1, "it is longer than a record may be");
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(line);
  const record = JSON.parse(text);
  // This also notices a repeated member, which `record` has only once.
  need("form", text.isWellFormed() && `${canonical(record)}\n` === text, "it is not canonical JSON (RFC 8785) and a line feed");
  const known = exactly(record, RECORD) && record.contributions.every(({ member, ordinal }) => member === `${record.set}-${ordinal}`);
  need("form", known && (record.schema === 2) === (typeof record.voters === "string"), "it has not exactly the members of a record, each of its type and within its bounds");
  return record;
}

const ascends = ordinals => ordinals.every((ordinal, n) => n === 0 || ordinals[n - 1] < ordinal);

export async function checkAlone(record) {
  const slot = unix(record.slot);
  const reveals = revealed(record);
  need("slot", slotsBetween(record.schedule, slot - 1, slot + 1) === 1, `${record.slot} is no instant of ${record.schedule}`);
  need("previous", (record.previous === null) === (record.round === 1), "it is null in round 1 and nowhere else");
  need("missed", record.round > 1 || record.missed === 0, "round 1 has no slot before it to count from");
  const given = record.contributions.map(({ ordinal }) => ordinal);
  const missing = record.missing.map(({ ordinal }) => ordinal);
  need("order", ascends(given) && ascends(missing) && !given.some(ordinal => missing.includes(ordinal)), "the lists are not by ascending ordinal, or have one in common");
  need("reveal", record.round > 1 || !reveals.length, "nothing was committed to before round 1");
  need("majority", isMajority(record, record.voters), "fewer than a majority of its voters contributed");
  const parts = reveals.flatMap(({ ordinal, reveal }) => [ordinal, fromHex(reveal)]);
  const output = reveals.length ? await h512("random-generator/output/1", record.chain, record.round, ...parts) : null;
  need("output", record.output === output, "it does not follow from the reveals");
  const { hash, ...rest } = record;
  need("hash", hash === (await h256("random-generator/record/1", canonical(rest))), "it is not the hash of this record");
}

export async function checkAfter(before, record) {
  for (const [rule, expected] of [["set", before.set], ["chain", before.chain], ["round", before.round + 1], ["previous", before.hash]]) {
    need(rule, record[rule] === expected, `${record[rule]} where ${expected} belongs`);
  }
  const [from, to] = [unix(before.slot), unix(record.slot)];
  need("slot", from < to, `${record.slot} is not later than ${before.slot}`);
  const missed = slotsBetween(record.schedule, from, to);
  need("missed", record.missed === missed, `it says ${record.missed}, and ${missed} lie between ${before.slot} and ${record.slot}`);
  const least = before.fence + (record.holder === before.holder ? 0 : 1);
  need("fence", record.fence >= least, `${record.fence} after ${before.fence}`);
  const committed = new Map(before.contributions.map(({ ordinal, next_commitment }) => [ordinal, next_commitment]));
  for (const { ordinal, reveal } of revealed(record)) {
    const opened = await h256("random-generator/commitment/1", ordinal, fromHex(reveal));
    need("reveal", committed.get(ordinal) === opened, `that of ordinal ${ordinal} does not open a commitment of the record before`);
  }
  need("majority", isMajority(record, before.voters), "fewer than a majority of the voters of the record before contributed");
}
