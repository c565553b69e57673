// How often each integer came, beside the ideal. It asks for a while, not for ever: each answer is an entry in the journal.

import { ask } from "./connection.js";
import { byId, make, put } from "./dom.js";

const BINS = 20;
const BATCH = 500;
/** Batches until it stops by itself. */
const MOST = 60;
const PERIOD = 1000;
/** 95 % of fair histograms of 20 bins have a smaller χ² (19 degrees of freedom). */
const USUAL = 30.1;

export class Histogram {
  constructor(canvas, button) {
    this.canvas = canvas;
    this.button = button;
    this.counts = new Array(BINS).fill(0);
    this.left = MOST;
    this.runs = true;
    this.timer = null;
    button.addEventListener("click", () => {
      this.runs = !this.runs;
      if (this.runs && this.left === 0) this.left = MOST;
      this.label();
      this.go(0);
    });
    byId("counts").addEventListener("toggle", () => this.list());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
    new ResizeObserver(() => this.paint()).observe(canvas);
    this.label();
  }

  /** Goes on, unless it is paused, under way or hidden. */
  go(wait = PERIOD) {
    clearTimeout(this.timer);
    if (this.runs && !document.hidden) this.timer = setTimeout(() => this.batch(), wait);
  }

  async batch() {
    let wrong = "";
    try {
      const { values } = await ask(`integers?min=1&max=${BINS}&count=${BATCH}`);
      for (const value of values) this.counts[value - 1] += 1;
      this.left -= 1;
      if (this.left <= 0) this.runs = false;
    } catch (error) {
      wrong = ` Now: ${error.message}.`;
    }
    this.paint();
    this.list();
    put(byId("histogram-text"), this.say() + wrong);
    this.label();
    this.go();
  }

  get total() {
    return this.counts.reduce((sum, count) => sum + count, 0);
  }

  label() {
    put(this.button, this.runs ? "Pause the histogram" : this.left > 0 ? "Go on" : `Draw ${(MOST * BATCH).toLocaleString()} more`);
  }

  say() {
    const ideal = this.total / BINS;
    if (!ideal) return "No number yet.";
    const furthest = this.counts.reduce((at, count, n) => (Math.abs(count - ideal) > Math.abs(this.counts[at] - ideal) ? n : at), 0);
    const off = ((this.counts[furthest] - ideal) / ideal) * 100;
    const square = this.counts.reduce((sum, count) => sum + (count - ideal) ** 2 / ideal, 0);
    return `${this.total.toLocaleString()} numbers, ideally ${Math.round(ideal).toLocaleString()} of each. Furthest from it: ${furthest + 1}, by ${off < 0 ? "−" : "+"}${Math.abs(off).toFixed(1)}\u00a0%. χ² is ${square.toFixed(1)}; below ${USUAL} for 95 % of fair ones.`;
  }

  list() {
    if (!byId("counts").open) return;
    const rows = this.counts.map((count, n) => make("tr", {}, make("th", { scope: "row" }, String(n + 1)), make("td", {}, count.toLocaleString())));
    byId("counts-rows").replaceChildren(...rows);
  }

  paint() {
    const { canvas, counts } = this;
    const scale = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    canvas.width = width * scale;
    canvas.height = height * scale;
    const style = getComputedStyle(canvas);
    const colour = name => style.getPropertyValue(name);
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    const floor = height - 18;
    const ideal = this.total / BINS;
    const top = Math.max(1, ideal * 1.35, ...counts);
    const y = count => floor - (count / top) * (floor - 6);
    const step = width / BINS;
    // Two standard deviations of a count to both sides.
    const spread = 2 * Math.sqrt(ideal * (1 - 1 / BINS));
    context.fillStyle = colour("--lead-soft");
    context.fillRect(0, y(ideal + spread), width, y(ideal - spread) - y(ideal + spread));
    context.font = `11px ${style.fontFamily}`;
    context.textAlign = "center";
    counts.forEach((count, n) => {
      context.fillStyle = colour("--good");
      context.fillRect(n * step + 2, y(count), step - 4, floor - y(count));
      context.fillStyle = colour("--quiet");
      if ((n + 1) % 5 === 0 || n === 0) context.fillText(String(n + 1), (n + 0.5) * step, height - 4);
    });
    context.strokeStyle = colour("--lead");
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(0, y(ideal));
    context.lineTo(width, y(ideal));
    context.stroke();
    canvas.setAttribute("aria-label", `Histogram of ${this.total} integers from 1 to ${BINS}, beside the ideal; the text below says how far it is off`);
  }
}
