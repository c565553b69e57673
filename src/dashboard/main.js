// Puts the parts of the page together: one view of the set, once a second, for all of them.

import { poll } from "./connection.js";
import { Chain, missingOf } from "./chain.js";
import { byId, duration, put, setClass, timeOfDay } from "./dom.js";
import { Events, changes } from "./events.js";
import { Histogram } from "./histogram.js";
import { Members } from "./members.js";
import { Newest } from "./newest.js";
import { offerNumbers } from "./numbers.js";
import { Rate } from "./rate.js";
import { Stream } from "./stream.js";
import { offerVerification } from "./verify.js";

const members = new Members(byId("members"));
const events = new Events(byId("events"));
const chain = new Chain(byId("chain"), byId("chain-scroller"));
const newest = new Newest(byId("bits"));
const histogram = new Histogram(byId("histogram"), byId("histogram-button"));
const rate = new Rate(byId("rates"), byId("burst"));
offerNumbers();
offerVerification(() => drawn);
const banner = byId("banner");
const served = byId("served");
let view = null;
/** The members that answered this page. */
const answered = new Set();
let lost = null;
/** When the news that it is back was shown. */
let back = null;

/** The newest round when the page was opened: draws up to it are no news. */
let known = null;
let drawn = null;

const stream = new Stream({
  onDraw(record) {
    chain.add(record);
    newest.show(record);
    if (known !== null && record.round > known) tellOf(record, drawn);
    drawn = record;
  },
  onOther(from) {
    chain.forget(from);
    drawn = null;
    events.add(`another chain from round ${from} on`, "bad");
  },
});

function tellOf(record, before) {
  if (record.missed) events.add(`${record.missed === 1 ? "a slot" : `${record.missed} slots`} missed before draw ${record.round}`, "bad");
  const missing = missingOf(record).join(", ");
  const was = before ? missingOf(before).join(", ") : "";
  if (missing && missing !== was) events.add(`draw ${record.round} without ${missing}`, "bad");
  else if (was && !missing) events.add(`draw ${record.round} with everyone again`, "good");
}

/** When the next draw is due, by the member's clock. */
function countDown() {
  const draws = view?.members.find(member => member.self)?.report?.draws;
  if (!draws?.next_slot || lost) return;
  const now = Date.parse(view.at) + view.age_ms + performance.now() - view.received;
  let next = Date.parse(draws.next_slot);
  // It was drawn after the member was asked: with a period the page knows the next one itself.
  const every = drawn && Date.parse(drawn.slot) >= next && /^@every ([0-9]+)([smh])$/.exec(drawn.schedule);
  const period = every ? every[1] * { s: 1000, m: 60000, h: 3600000 }[every[2]] : next - Date.parse(draws.head?.slot ?? draws.next_slot);
  if (every) next = (Math.floor(Date.parse(drawn.slot) / period) + 1) * period;
  const left = next - now;
  put(byId("next-draw"), left > 0 ? `Next draw in ${left < 100000 ? `${Math.ceil(left / 1000)} s` : duration(left)}` : "Drawing …");
  const share = Math.min(1, Math.max(0, 1 - left / Math.max(1, period)));
  byId("next-bar").firstChild.style.transform = `scaleX(${share.toFixed(4)})`;
}

function announce(text, kind) {
  setClass(banner, kind);
  put(banner, text);
}

poll({
  onView(next) {
    if (view) for (const [text, kind] of changes(view, next)) events.add(text, kind);
    // A Service may spread the connections of one page: only the first answer of a member is news.
    if (view && !answered.has(next.self) && !back) events.add(`${next.self} answers now, at the same address, in place of ${view.self}`, "good");
    answered.add(next.self);
    put(served, `live, from ${next.self}`);
    setClass(served, "pill live");
    if (!view) histogram.go(0);
    view = next;
    members.show(next);
    const own = next.members.find(member => member.self);
    put(byId("set-name"), own.ordinal === null ? "" : `set ${next.self.slice(0, -String(own.ordinal).length - 1)}`);
    const draws = own.report?.draws;
    if (!draws) return put(byId("next-draw"), `${next.self} has no ordinal, so it takes part in no draws.`);
    if (!draws.head && !drawn) put(byId("newest-by"), "nobody yet: there is no draw");
    known ??= draws.head?.round ?? 0;
    stream.follow(draws.head?.round ?? null);
  },
  onLost(now) {
    const name = now.member ?? "The member";
    if (!lost) events.add(`${name} no longer answers this page: ${now.why}`, "bad", now.since);
    lost = now;
    back = null;
    stream.close();
    put(byId("next-draw"), "When the next draw comes is unknown.");
    put(served, "no answer");
    setClass(served, "pill lost");
    setClass(byId("members"), "cards stale");
    announce(`${name}, which this page came from, hasn't answered since ${timeOfDay(now.since)}: ${now.why}. Trying again; what you see is old.`, "lost");
  },
  onBack({ before, member, since }) {
    const gone = duration(Date.now() - since);
    const text = before === null || before === member ? `${member} answers again, after ${gone}.` : `${before} hasn't answered since ${timeOfDay(since)}. ${member} answers now, at the same address.`;
    lost = null;
    back = performance.now();
    setClass(byId("members"), "cards");
    events.add(text, "good");
    announce(text, "back");
  },
  onPause(hidden) {
    histogram.go();
    if (!hidden) return;
    stream.close();
    put(served, "paused while hidden");
  },
});

/** Time that runs down between two views. Those who prefer less motion get it once a second. */
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let ticked = 0;
setInterval(() => {
  const now = performance.now();
  if (document.hidden || (calm.matches && now - ticked < 990)) return;
  ticked = now;
  members.tick();
  countDown();
  rate.tick(now);
  if (back !== null && now - back > 10000) {
    back = null;
    announce("", "");
  }
}, 100);
