// "Verify this chain in my browser": gets the draws in pages, checks them here, and says what it found.

import { ask } from "./connection.js";
import { byId, put, setClass } from "./dom.js";
import { Broken, need } from "./encoding.js";
import { Verifier, linesOf } from "./verifier.js";

const PAGE = 200;
const LIMIT = 20000;

/** Lets the button verify. `newest()` is the newest record that the stream gave, or null: the list must have it. */
export function offerVerification(newest) {
  const button = byId("verify");
  const text = byId("verify-text");
  const progress = byId("verify-progress");
  if (!window.isSecureContext) {
    button.disabled = true;
    put(text, "A browser has WebCrypto only for localhost and over HTTPS. To verify here, forward the port, for example with kubectl port-forward, and open this page at localhost.");
    return;
  }
  let stop = null;
  button.addEventListener("click", async () => {
    if (stop) return stop.abort();
    stop = new AbortController();
    put(button, "Stop");
    setClass(text, "");
    put(text, "Verifying …");
    progress.hidden = false;
    const began = performance.now();
    const verifier = new Verifier();
    try {
      await verify(verifier, newest(), progress, stop.signal);
      setClass(text, "verdict good");
      put(text, `${verifier.summary()}. In ${Math.round(performance.now() - began).toLocaleString()} ms, by this browser.`);
    } catch (error) {
      const broken = error instanceof Broken;
      setClass(text, broken ? "verdict bad" : "");
      const where = error.line ? `line ${error.line}${error.round ? `, round ${error.round}` : ""}: ` : "";
      put(text, broken ? `not verified: ${where}${error.rule}: ${error.message}` : stop.signal.aborted ? `Stopped after ${verifier.records} records, which verified.` : `Can't read the draws: ${error.message}. ${verifier.records} records verified before.`);
    } finally {
      stop = null;
      progress.hidden = true;
      put(byId("verify-count"), "");
      put(button, "Verify this chain in my browser");
    }
  });
}

async function verify(verifier, seen, progress, signal) {
  for (let from = null; ; ) {
    const query = `draws?format=jsonl&limit=${PAGE}${from === null ? "" : `&from=${from}`}`;
    const read = async response => ({ bytes: new Uint8Array(await response.arrayBuffer()), next: response.headers.get("random-generator-next") });
    const { bytes, next } = await ask(query, read, { limit: LIMIT, signal });
    for (const line of linesOf(bytes)) {
      const record = await verifier.push(line);
      if (signal.aborted) throw new Error("stopped");
      const isOther = seen !== null && record.round === seen.round && record.hash !== seen.hash;
      need("head", !isOther, `round ${record.round} is another record than the one that the stream gave`);
      if (verifier.records % 50 === 0) show(verifier, seen, progress);
    }
    show(verifier, seen, progress);
    if (next === null) break;
    from = next;
  }
  verifier.finish();
  need("head", seen === null || verifier.last.round >= seen.round, `the list ends with round ${verifier.last.round}, and the stream gave ${seen?.round}`);
}

function show(verifier, seen, progress) {
  if (!verifier.last) return;
  progress.max = Math.max(1, (seen ?? verifier.last).round - verifier.first.round + 1);
  progress.value = verifier.records;
  put(byId("verify-count"), `${verifier.records.toLocaleString()} records`);
}
