// Verifies a chain of draws, line by line: the third verifier, after the ones in Rust and in Python.

import { Broken, need } from "./encoding.js";
import { checkAfter, checkAlone, parse } from "./rules.js";

/** The lines of bytes, each with its line feed; the last may have none. */
export function* linesOf(bytes) {
  for (let at = 0; at < bytes.length; ) {
    const feed = bytes.indexOf(10, at);
    const end = feed < 0 ? bytes.length : feed + 1;
    yield bytes.subarray(at, end);
    at = end;
  }
}

/** Holds one record, however long the chain is. */
export class Verifier {
  constructor() {
    this.first = null;
    this.last = null;
    this.records = 0;
    this.outputs = 0;
    this.missed = 0;
  }

  /** Checks the next line, and returns its record. Throws a Broken with the `rule`, the `line` and, if known, the `round`. */
  async push(line) {
    let record = null;
    try {
      record = parse(line);
      await checkAlone(record);
      if (this.last) await checkAfter(this.last, record);
    } catch (error) {
      const broken = error instanceof Broken ? error : new Broken("form", error.message);
      throw Object.assign(broken, { line: this.records + 1, round: record?.round });
    }
    this.missed += this.last ? record.missed : 0;
    this.first ??= record;
    this.last = record;
    this.records += 1;
    this.outputs += record.output === null ? 0 : 1;
    return record;
  }

  /** With a `head`, a list that was cut short is noticed. */
  finish(head = null) {
    need("empty", this.last, "there is no record");
    need("head", head === null || head === this.last.hash, `the last record is ${this.last.hash}, not ${head}`);
  }

  summary() {
    const { first, last, records, outputs, missed } = this;
    const before = first.round > 1 ? ` (what lies before round ${first.round} was not judged)` : "";
    return `verified: set ${last.set}, chain ${last.chain}, rounds ${first.round} to ${last.round}${before}: ${records} records, ${outputs} outputs, ${missed} slots missed, head ${last.hash}`;
  }
}
