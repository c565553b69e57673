// What happened: the differences between two views of the set, in words, newest first.

import { duration, make, timeOfDay } from "./dom.js";

/** How many are shown: the page may stay open for days. */
const MOST = 40;

export class Events {
  constructor(list) {
    this.list = list;
    this.began = false;
  }

  add(text, kind = "", at = new Date()) {
    if (!this.began) this.list.replaceChildren();
    this.began = true;
    this.list.prepend(make("li", { class: kind }, make("time", { datetime: at.toISOString() }, timeOfDay(at)), text));
    while (this.list.children.length > MOST) this.list.lastChild.remove();
  }
}

const leader = view => view.members.find(member => !member.silent && member.report?.lease.self);
const holder = view => view.members.find(member => member.self)?.report?.lease;

/** `[text, kind]` of each change between two views. */
export function changes(before, after) {
  const found = [];
  const known = new Map(before.members.map(member => [member.name, member]));
  for (const member of after.members) {
    const was = known.get(member.name);
    known.delete(member.name);
    if (!was) {
      found.push([`${member.name} is new`, "good"]);
      continue;
    }
    const name = member.name;
    if (member.silent && !was.silent) found.push([`${name} is gone: ${member.silent.why}`, "bad"]);
    const restarted = was.report && member.report && was.report.started_at !== member.report.started_at;
    if (!member.silent && restarted) found.push([`${name} was gone: its process ended, and a new one runs`, "bad"]);
    else if (!member.silent && was.silent) {
      const silent = duration(Date.parse(after.at) - Date.parse(was.silent.since));
      found.push([`${name} answers again, after ${silent}`, "good"]);
    }
    if (!member.silent && !was.silent && was.report.readiness.ready !== member.report.readiness.ready) {
      found.push(member.report.readiness.ready ? [`${name} is ready`, "good"] : [`${name} is no longer ready`, "bad"]);
    }
  }
  for (const name of known.keys()) found.push([`${name} left the set`, ""]);
  const [leads, led] = [leader(after), leader(before)];
  const fence = leads?.report.lease.fence;
  if (leads && (leads.name !== led?.name || fence !== led.report.lease.fence)) found.push([`${leads.name} leads, fence ${fence}`, "lead"]);
  else if (!leads && led) {
    const lease = holder(after);
    const left = lease?.remaining_ms ? `; its lease runs out in ${duration(lease.remaining_ms)}` : "";
    found.push([`nobody leads: ${led.name} did${left}`, "bad"]);
  }
  return found;
}
