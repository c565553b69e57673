// The newest draws, a column each: who gave, who was missing, and the slots that were missed before.

import { make, timeOfDay } from "./dom.js";
import { BACK } from "./stream.js";

const REASONS = {
  unpublished: "not in DNS",
  unreachable: "unreachable",
  timeout: "no answer in time",
  refused: "refused",
  invalid: "its answer didn't verify",
  ledger: "no writable ledger",
};

export const memberOf = holder => holder.split("_")[0];
export const missingOf = record => record.missing.map(({ ordinal, reason }) => `${record.set}-${ordinal} (${REASONS[reason] ?? reason})`);

export class Chain {
  /** `scroller` holds `table`. */
  constructor(table, scroller) {
    this.table = table;
    this.scroller = scroller;
    this.records = [];
    this.due = false;
  }

  add(record) {
    this.records.push(record);
    if (this.records.length > BACK) this.records.shift();
    // Many come at once when the page is opened.
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => this.draw());
  }

  /** Another chain begins at this round. */
  forget(from) {
    this.records = this.records.filter(record => record.round < from);
  }

  draw() {
    this.due = false;
    const columns = this.records.flatMap((record, place) => {
      const before = this.records[place - 1];
      const unknown = before && before.round + 1 !== record.round;
      return [...(unknown ? [{ unknown: true }] : []), ...(record.missed ? [{ missed: record.missed }] : []), { record }];
    });
    const ordinals = new Set(this.records.flatMap(({ contributions, missing }) => [...contributions, ...missing].map(({ ordinal }) => ordinal)));
    const head = make("tr", {}, make("th", { scope: "col" }, make("span", { class: "hidden" }, "Member")), ...columns.map(heading));
    const rows = [...ordinals].sort((a, b) => a - b).map(ordinal => {
      const cells = columns.map(column => cell(column, ordinal));
      return make("tr", {}, make("th", { scope: "row" }, make("span", { class: "name" }, `${this.records[0].set}-${ordinal}`)), ...cells);
    });
    const atEnd = this.scroller.scrollWidth - this.scroller.clientWidth - this.scroller.scrollLeft < 60;
    this.table.tHead.replaceChildren(head);
    this.table.tBodies[0].replaceChildren(...rows);
    if (atEnd) this.scroller.scrollLeft = this.scroller.scrollWidth;
  }
}

function heading({ record, missed, unknown }) {
  if (unknown) return make("th", { scope: "col", class: "gap" }, make("span", { title: "These rounds are no longer kept" }, "…"));
  if (missed) {
    const text = missed === 1 ? "1 slot missed" : `${missed} slots missed`;
    return make("th", { scope: "col", class: "gap", title: text }, make("span", { "aria-hidden": "true" }, `−${missed}`), make("span", { class: "hidden" }, text));
  }
  const title = `Round ${record.round} of ${timeOfDay(new Date(record.slot))}, by ${memberOf(record.holder)}, fence ${record.fence}${record.output ? "" : ": no output"}`;
  return make("th", { scope: "col", class: record.output ? "draw" : "draw void", title }, make("span", { class: "block" }, String(record.round)));
}

function cell({ record }, ordinal) {
  if (!record) return make("td", { class: "gap" });
  const given = record.contributions.find(contribution => contribution.ordinal === ordinal);
  const missing = record.missing.find(missing => missing.ordinal === ordinal);
  if (!given && !missing) return make("td");
  const held = memberOf(record.holder) === `${record.set}-${ordinal}`;
  let kind = "missing";
  let text = `missing: ${REASONS[missing?.reason] ?? missing?.reason}`;
  if (given) {
    kind = given.reveal === null ? "new" : "gave";
    text = given.reveal === null ? "gave, with nothing to reveal yet" : "gave";
  }
  const mark = make("span", { class: `mark ${kind}${held ? " held" : ""}`, title: held ? `${text}; it conducted the draw` : text }, make("span", { class: "hidden" }, held ? `${text}, conducted` : text));
  return make("td", {}, mark);
}
