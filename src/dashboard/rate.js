// Requests a second that this page had answered, in the last minute, and a burst as fast as the browser goes.

import { ask, countAnswers } from "./connection.js";
import { byId, make, put } from "./dom.js";
import { onPress } from "./numbers.js";

const SECONDS = 60;
/** A browser has six connections to an origin: one has the stream of draws, and one is left for the set. */
const AT_ONCE = 4;
const BURST = 5000;

export class Rate {
  constructor(canvas, button) {
    this.canvas = canvas;
    this.seen = [];
    this.before = null;
    this.at = 0;
    onPress(button, byId("burst-text"), () => this.burst());
  }

  /** Called often; takes a sample a second. */
  tick(now) {
    if (now - this.at < 1000) return;
    const count = countAnswers();
    if (this.before !== null) {
      this.seen.push((count - this.before) / ((now - this.at) / 1000));
      if (this.seen.length > SECONDS) this.seen.shift();
      this.paint();
    }
    [this.at, this.before] = [now, count];
  }

  paint() {
    const { canvas, seen } = this;
    const newest = seen.at(-1);
    const most = Math.max(...seen);
    const say = rate => (rate < 9.95 ? rate.toFixed(1) : Math.round(rate).toLocaleString());
    put(byId("rate"), say(newest));
    put(byId("rate-text"), `answered to this page in the last second; at most ${say(most)} in the last minute.`);
    const style = getComputedStyle(canvas);
    const context = canvas.getContext("2d");
    const step = canvas.width / SECONDS;
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = style.getPropertyValue("--lead");
    seen.forEach((rate, n) => {
      const high = Math.max(2, (rate / Math.max(most, 1)) * (canvas.height - 2));
      context.fillRect(canvas.width - (seen.length - n) * step, canvas.height - high, step - 2, high);
    });
  }

  async burst() {
    const text = byId("burst-text");
    const began = performance.now();
    let given = 0;
    put(text, "Asking …");
    const asker = async () => {
      while (performance.now() - began < BURST && !document.hidden) {
        await ask("./?format=json");
        given += 1;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, asker));
    const seconds = (performance.now() - began) / 1000;
    text.replaceChildren(make("span", {}, `${given.toLocaleString()} numbers in ${seconds.toFixed(1)} s: ${Math.round(given / seconds).toLocaleString()} a second.`));
  }
}
