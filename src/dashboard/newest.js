// The newest draw: a picture of its output, and who made it.

import { byId, put, timeOfDay } from "./dom.js";
import { memberOf, missingOf } from "./chain.js";

const COLUMNS = 32;
const ROWS = 16;

export class Newest {
  constructor(canvas) {
    this.canvas = canvas;
    this.record = null;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
  }

  show(record) {
    this.record = record;
    const when = timeOfDay(new Date(record.slot));
    put(byId("newest-title"), `Draw ${record.round}, of ${when}`);
    put(byId("newest-by"), `${memberOf(record.holder)}, fence ${record.fence}`);
    const gave = record.contributions.length;
    const missing = missingOf(record);
    put(byId("newest-gave"), `${gave} of ${gave + missing.length}${missing.length ? `; missing: ${missing.join(", ")}` : ""}`);
    put(byId("newest-missed"), record.missed ? `${record.missed} before it` : "none");
    put(byId("newest-output"), record.output ?? "none: nobody had committed to a secret one round earlier");
    put(byId("newest-hash"), record.hash);
    this.paint();
  }

  /** A square for each of the 512 bits, in rows. */
  paint() {
    if (!this.record) return;
    const { canvas, record } = this;
    const style = getComputedStyle(canvas);
    const [on, off] = ["--good", "--track"].map(name => style.getPropertyValue(name));
    const context = canvas.getContext("2d");
    const size = canvas.width / COLUMNS;
    for (let bit = 0; bit < COLUMNS * ROWS; bit += 1) {
      const set = record.output !== null && (parseInt(record.output[bit >> 2], 16) >> (3 - (bit & 3))) & 1;
      context.fillStyle = set ? on : off;
      context.fillRect((bit % COLUMNS) * size, Math.floor(bit / COLUMNS) * size, size - 1, size - 1);
    }
    canvas.setAttribute("aria-label", record.output ? `The 512 bits of the output of draw ${record.round}; the text beside it has them` : "No output");
  }
}
