// The members, a card each, by ordinal.

import { bytes, duration, make, put, setClass, timeOfDay } from "./dom.js";

const ROWS = ["Runs", "Node", "Volume", "Journal", "Ledger", "Lease seen", "Report"];

/** Shows views in `list`, and counts down between them. */
export class Members {
  constructor(list) {
    this.list = list;
    this.cards = new Map();
    this.view = null;
    /** The longest time left that was seen of a lease: what its bar is measured by. */
    this.longest = 1;
  }

  show(view) {
    if (!this.view) this.list.replaceChildren();
    this.view = view;
    this.lease = view.members.find(member => member.self)?.report?.lease ?? null;
    this.longest = Math.max(this.longest, this.lease?.remaining_ms ?? 1);
    const names = new Set(view.members.map(member => member.name));
    for (const [name, card] of this.cards) {
      if (names.has(name)) continue;
      card.item.remove();
      this.cards.delete(name);
    }
    view.members.forEach((member, place) => {
      const card = this.cards.get(member.name) ?? new Card(member.name);
      this.cards.set(member.name, card);
      if (this.list.children[place] !== card.item) this.list.insertBefore(card.item, this.list.children[place] ?? null);
    });
    this.tick();
  }

  /** What changes with time alone. */
  tick() {
    if (!this.view) return;
    const passed = performance.now() - this.view.received;
    const now = Date.parse(this.view.at) + this.view.age_ms + passed;
    for (const member of this.view.members) {
      const holds = this.lease?.member === member.name;
      const left = holds ? Math.max(0, (this.lease.remaining_ms ?? 0) - passed) : null;
      this.cards.get(member.name).show(member, { holds, left, longest: this.longest, fence: this.lease?.fence, now, passed });
    }
  }
}

class Card {
  constructor(name) {
    this.badge = make("span", { class: "badge" });
    this.from = make("span", { class: "badge" }, "this page");
    this.leaseText = make("p", { class: "quiet" });
    this.leaseBar = bar("lease");
    this.volumeBar = bar("");
    this.reasons = make("ul", { class: "reasons" });
    this.cells = new Map(ROWS.map(row => [row, make("dd")]));
    const rows = ROWS.flatMap(row => [make("dt", {}, row), this.cells.get(row)]);
    this.node = rows.slice(2, 4);
    this.lease = make("div", {}, this.leaseText, this.leaseBar);
    this.item = make("li", { class: "card" }, make("div", { class: "top" }, make("h3", {}, name), this.from, this.badge), this.lease, make("dl", {}, ...rows), this.reasons);
    this.cells.get("Volume").append((this.volumeText = make("span")), this.volumeBar);
  }

  show(member, { holds, left, longest, fence, now, passed }) {
    const state = stateOf(member, left, now);
    put(this.badge, state.text);
    setClass(this.badge, `badge ${state.kind}`);
    setClass(this.item, `card ${state.kind}`);
    this.from.hidden = !member.self;
    // Its space stays, so that the rows of all cards are at one height.
    setClass(this.lease, holds ? "" : "unseen");
    if (!holds) put(this.leaseText, "\u00a0");
    if (holds) {
      const seconds = `${(left / 1000).toFixed(1)} s`;
      const led = member.report?.lease.self && !member.silent && left > 0;
      put(this.leaseText, led ? `Lease: ${seconds} left, fence ${fence}` : left > 0 ? `Its last lease runs out in ${seconds}` : "Its lease has run out");
      fill(this.leaseBar, left / longest);
    }
    const reasons = reasonsOf(member);
    if (this.shown !== reasons.join("\n")) {
      this.shown = reasons.join("\n");
      this.reasons.replaceChildren(...reasons.map(reason => make("li", {}, reason)));
    }
    const report = member.report;
    const cell = (row, text) => put(this.cells.get(row), text);
    if (!report) {
      for (const row of ROWS.filter(row => row !== "Volume")) cell(row, "unknown");
      put(this.volumeText, "unknown");
      return;
    }
    cell("Runs", `${duration(now - Date.parse(report.started_at))}, version ${report.version}`);
    cell("Node", report.node ?? "");
    for (const part of this.node) part.hidden = report.node === null;
    const { bytes: size, used_bytes: used } = report.volume;
    put(this.volumeText, size === null || used === null ? "unknown" : `${Math.round((used / size) * 100)} % of ${bytes(size)} used`);
    fill(this.volumeBar, size ? used / size : 0);
    setClass(this.volumeBar, size && used / size > 0.9 ? "bar full" : "bar");
    cell("Journal", `${(report.journal.fill * 100).toFixed(report.journal.fill < 0.1 ? 1 : 0)} % full, ${report.journal.lag_ms} ms behind`);
    cell("Ledger", ledger(report));
    const seen = report.lease.view_age_ms;
    cell("Lease seen", seen === null ? "never" : ago(seen + (member.report_age_ms ?? 0) + passed));
    cell("Report", ago((member.report_age_ms ?? 0) + passed));
  }
}

function bar(kind) {
  return make("div", { class: `bar ${kind}`.trim(), "aria-hidden": "true" }, make("span"));
}

function fill(bar, share) {
  bar.firstChild.style.transform = `scaleX(${Math.min(1, Math.max(0, share)).toFixed(4)})`;
}

const ago = ms => (ms < 1950 ? `${(ms / 1000).toFixed(1)} s ago` : `${duration(ms)} ago`);

function ledger(report) {
  if (!report.ledger) return "none: a member without ordinal";
  const { rounds, newest } = report.ledger;
  return rounds ? `${rounds} rounds, newest ${newest}` : "no round yet";
}

/** What a card says first: { kind, text }. `left`: what is left of the lease that names it, or null. */
function stateOf(member, left, now) {
  if (member.silent) return { kind: "silent", text: `silent for ${duration(now - Date.parse(member.silent.since))}` };
  const { readiness, lease } = member.report;
  if (readiness.stopping) return { kind: "warns", text: "stopping" };
  if (lease.self && left > 0) return { kind: "leads", text: "leads" };
  // Its process ended, it stood aside, or nothing is heard of it: the lease is one of before.
  if (left !== null) return { kind: "warns", text: "lost the lead" };
  if (!readiness.ready) return { kind: "warns", text: "not ready" };
  if (readiness.degraded.length) return { kind: "warns", text: "degraded" };
  return { kind: "ready", text: "ready" };
}

function reasonsOf(member) {
  const reasons = [];
  if (member.silent) reasons.push(`No answer since ${timeOfDay(new Date(member.silent.since))}: ${member.silent.why}`);
  else if (!member.published) reasons.push("DNS doesn't list it");
  const readiness = member.report?.readiness;
  if (!readiness || member.silent) return reasons;
  const waiting = Object.entries(readiness.latches).filter(([, released]) => !released).map(([name]) => name);
  if (waiting.length) reasons.push(`Not ready: waits for ${waiting.join(", ")}`);
  return reasons.concat(readiness.degraded.map(({ source, reason }) => `${source}: ${reason}`));
}
