// docs/protocol.md, 1.3: the slots of a schedule.

import { need } from "./encoding.js";

export const MOST_MISSED = 100000;
const DAY = 86400;
const UNITS = { s: 1, m: 60, h: 3600 };
/** The longest that each month is, in some year. */
const DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** The values of one cron field. */
function fieldOf(field, low, high) {
  const values = new Set();
  for (const item of field.split(",")) {
    const [, star, from, to, step] = /^(?:(\*)|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:\/([0-9]{1,2}))?$/.exec(item) ?? [];
    // A step needs a range, and `*` stands alone or has a step.
    const known = star ? step !== undefined || field === "*" : from !== undefined && (to !== undefined || step === undefined);
    need("schedule", known, `"${item}" is none of a number, a-b, a-b/n and */n`);
    const first = Number(from ?? low);
    const last = Number(to ?? from ?? high);
    const every = Number(step ?? 1);
    need("schedule", low <= first && first <= last && last <= high && every >= 1, `"${item}" is not within ${low} to ${high}`);
    for (let value = first; value <= last; value += every) values.add(value);
  }
  return values;
}

function cron(schedule) {
  const fields = schedule.split(" ");
  need("schedule", fields.length === 5 && schedule.length <= 256, "it is neither a period nor five fields");
  const [minutes, hours, days, months, weekdays] = fields.map((field, n) => fieldOf(field, [0, 0, 1, 1, 0][n], [59, 23, 31, 12, 7][n]));
  const restricted = { day: fields[2] !== "*", weekday: fields[4] !== "*" };
  const comes = restricted.weekday || [...months].some(month => Math.min(...days) <= DAYS[month - 1]);
  need("schedule", comes, "no month has such a day");
  if (weekdays.has(7)) weekdays.add(0);
  const isOn = date => {
    const [day, weekday] = [days.has(date.getUTCDate()), weekdays.has(date.getUTCDay())];
    return months.has(date.getUTCMonth() + 1) && (restricted.day && restricted.weekday ? day || weekday : day && weekday);
  };
  return { minutes, hours, isOn };
}

/** How many instants of a schedule lie strictly between two Unix times, at most 100000. */
export function slotsBetween(schedule, after, before) {
  const period = /^@every ([1-9][0-9]{0,4})([smh])$/.exec(schedule);
  if (period) {
    const every = Number(period[1]) * UNITS[period[2]];
    need("schedule", every <= DAY, "the period is longer than 24 h");
    return Math.max(0, Math.min(Math.floor((before - 1) / every) - Math.floor(after / every), MOST_MISSED));
  }
  const { minutes, hours, isOn } = cron(schedule);
  let count = 0;
  for (let day = Math.floor((after + 1) / DAY); day <= Math.floor((before - 1) / DAY) && count < MOST_MISSED; day += 1) {
    const start = day * DAY;
    if (!isOn(new Date(start * 1000))) continue;
    if (after < start && start + DAY <= before) {
      count += hours.size * minutes.size;
      continue;
    }
    for (const hour of hours) {
      for (const minute of minutes) {
        const instant = start + hour * 3600 + minute * 60;
        if (after < instant && instant < before) count += 1;
      }
    }
  }
  return Math.min(count, MOST_MISSED);
}
