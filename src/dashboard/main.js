// Puts the parts of the page together: one view of the set, once a second, for all of them.

import { poll } from "./connection.js";
import { byId, duration, put, setClass, timeOfDay } from "./dom.js";
import { Events, changes } from "./events.js";
import { Members } from "./members.js";

const members = new Members(byId("members"));
const events = new Events(byId("events"));
const banner = byId("banner");
const served = byId("served");
let view = null;
/** The members that answered this page. */
const answered = new Set();
let lost = null;
/** When the news that it is back was shown. */
let back = null;

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
    view = next;
    put(served, `live, from ${next.self}`);
    setClass(served, "pill live");
    put(byId("set-name"), `set ${next.self.replace(/-[0-9]+$/, "")}`);
    members.show(next);
  },
  onLost(now) {
    const name = now.member ?? "The member";
    if (!lost) events.add(`${name} no longer answers this page: ${now.why}`, "bad", now.since);
    lost = now;
    back = null;
    put(served, "no answer");
    setClass(served, "pill lost");
    setClass(byId("members"), "cards stale");
    announce(`${name}, which this page came from, doesn't answer since ${timeOfDay(now.since)}: ${now.why}. Trying again; what you see is old.`, "lost");
  },
  onBack({ before, member, since }) {
    const gone = duration(Date.now() - since);
    const text = before === null || before === member ? `${member} answers again, after ${gone}.` : `${before} doesn't answer since ${timeOfDay(since)}. ${member} answers now, at the same address.`;
    lost = null;
    back = performance.now();
    setClass(byId("members"), "cards");
    events.add(text, "good");
    announce(text, "back");
  },
  onPause(hidden) {
    if (hidden) put(served, "paused while hidden");
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
  if (back !== null && now - back > 10000) {
    back = null;
    announce("", "");
  }
}, 100);
