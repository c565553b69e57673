// Asks the member for the set, and knows whether it answers. A browser asks another address of the origin by itself when one
// refuses; so after a member died the next request may be answered by another.

/** So old is a view when the member has a new one: to ask earlier would bring the same again. */
const OLD = 1020;
/** So long may an answer take before the page says that it is late. A member takes 1 s when another one is silent. */
const LATE = 1500;
/** So long may a request for the set take before it is given up. */
const LIMIT = 3000;
/** Waits after 1, 2, 3 and more failures. */
const WAITS = [200, 500, 1000, 2000];

let answered = 0;
/** How many requests of this page were answered. */
export const countAnswers = () => answered;

/** A request with a bound. `read` gets the response within that bound too. Throws an Error with one line for people. */
export async function ask(path, read = response => response.json(), { limit = 5000, signal } = {}) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort("late"), limit);
  const cancel = () => stop.abort("cancelled");
  signal?.addEventListener("abort", cancel);
  if (signal?.aborted) cancel();
  try {
    const response = await fetch(path, { signal: stop.signal, cache: "no-store" });
    answered += 1;
    if (!response.ok) throw new Error(await problem(response));
    return await read(response);
  } catch (error) {
    if (stop.signal.reason === "late") throw new Error(`no answer within ${limit / 1000} s`);
    if (stop.signal.aborted) throw new Error("cancelled");
    throw error instanceof TypeError ? new Error("can't be reached") : error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", cancel);
  }
}

async function problem(response) {
  const said = await response.json().catch(() => null);
  return said?.detail ? `${said.title}: ${said.detail}` : `status ${response.status}`;
}

/**
 * Polls `/set` while the tab is visible. `onView(view)` gets each answer; `onLost({ member, since, why })` that there is none, as
 * soon and as often as that is known; `onBack({ before, member, since })` that there is one again.
 */
export function poll({ onView, onLost, onBack, onPause }) {
  let failures = 0;
  let lost = null;
  let member = null;
  let timer = null;
  let current = null;

  const wait = ms => {
    clearTimeout(timer);
    timer = document.hidden ? null : setTimeout(look, ms);
  };
  const lose = (began, why) => {
    lost ??= { member, since: began };
    onLost({ ...lost, why });
  };

  async function look() {
    let rest = 0;
    const at = new Date();
    const mine = (current = new AbortController());
    const late = setTimeout(() => lose(at, `no answer within ${LATE / 1000} s`), LATE);
    try {
      const view = await ask("set", undefined, { limit: LIMIT, signal: mine.signal });
      if (mine.signal.aborted) return;
      const before = lost;
      failures = 0;
      lost = null;
      member = view.self;
      if (before) onBack({ before: before.member, member, since: before.since });
      onView({ ...view, received: performance.now() });
      rest = Math.max(200, OLD - view.age_ms);
    } catch (error) {
      if (mine.signal.aborted) return;
      lose(at, error.message);
      failures += 1;
    } finally {
      clearTimeout(late);
    }
    if (failures) rest = WAITS[Math.min(failures, WAITS.length) - 1] * (0.8 + Math.random() * 0.4);
    wait(rest);
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(timer);
      current?.abort();
    } else {
      failures = 0;
      wait(0);
    }
    onPause(document.hidden);
  });
  wait(0);
}
