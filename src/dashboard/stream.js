// The draws as they come, over /draws/stream. EventSource reconnects by itself where it can; where it gave up, or hears nothing of
// rounds that the set has, a new one goes on after the last round.

/** How many rounds before the newest a new page begins with. */
export const BACK = 60;
/** So long may rounds that the set has stay out before the stream is opened again, in ms. */
const STUCK = 4000;

export class Stream {
  /** `onDraw(record)`, once a round and in order; `onOther(from)`: from this round on it is another chain. */
  constructor({ onDraw, onOther }) {
    this.onDraw = onDraw;
    this.onOther = onOther;
    this.source = null;
    this.next = null;
    this.chain = null;
    this.behind = null;
  }

  /** Follows the chain of a member whose newest round is `head`, or null. Called with each view. */
  follow(head) {
    const now = performance.now();
    const waits = head !== null && this.next !== null && head >= this.next;
    this.behind = waits ? (this.behind ?? now) : null;
    if (this.behind !== null && now - this.behind > STUCK) this.close();
    if (this.source?.readyState === EventSource.CLOSED) this.close();
    if (!this.source) this.open(head);
  }

  open(head) {
    this.next ??= Math.max(1, (head ?? 0) - BACK + 1);
    this.behind = null;
    const source = (this.source = new EventSource(`draws/stream?from=${this.next}`));
    const on = (kind, take) => source.addEventListener(kind, event => source === this.source && take(JSON.parse(event.data)));
    on("draw", record => {
      this.next = record.round + 1;
      this.chain = record.chain;
      this.behind = null;
      this.onDraw(record);
    });
    on("chain", ({ from }) => this.onOther(from));
    on("ahead", ({ newest, chain }) => {
      // A member that is behind catches up. A new chain has to be read from its start.
      if (chain === null || chain === this.chain) return;
      this.close();
      this.next = Math.max(1, newest - BACK + 1);
      this.onOther(1);
    });
  }

  close() {
    this.source?.close();
    this.source = null;
  }
}
