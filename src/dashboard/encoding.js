// docs/protocol.md, 1.1: how values become bytes, and their hashes.

/** A rule by its name in docs/protocol.md, 1.3, and how it is broken. */
export class Broken extends Error {
  constructor(rule, detail) {
    super(detail);
    this.rule = rule;
  }
}

export function need(rule, holds, detail) {
  if (!holds) throw new Broken(rule, detail);
}

export const toHex = bytes => Array.from(bytes, byte => byte.toString(16).padStart(2, "0")).join("");
export const fromHex = text => Uint8Array.from(text.match(/../g) ?? [], pair => parseInt(pair, 16));

function u64(number) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(number));
  return bytes;
}

/** `lp` of each part, one after the other: numbers are 8 bytes, texts their ASCII. */
function lp(parts) {
  const raw = parts.map(part => (typeof part === "number" ? u64(part) : typeof part === "string" ? new TextEncoder().encode(part) : part));
  const all = new Uint8Array(raw.reduce((sum, part) => sum + 8 + part.length, 0));
  let at = 0;
  for (const part of raw) {
    all.set(u64(part.length), at);
    all.set(part, at + 8);
    at += 8 + part.length;
  }
  return all;
}

async function digest(algorithm, parts) {
  return toHex(new Uint8Array(await crypto.subtle.digest(algorithm, lp(parts))));
}

/** `H256(lp(…) ‖ …)` and `H512(lp(…) ‖ …)`, in hexadecimal. */
export const h256 = (...parts) => digest("SHA-256", parts);
export const h512 = (...parts) => digest("SHA-512", parts);

/** RFC 8785, which is made of JSON.stringify with members in the order of their names. */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.keys(value).sort();
  return `{${members.map(name => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}
