/**
 * What the text view says about the token that is looked at, and about its scale.
 * @import { Close, Place, RunningText, Sink, TextViewData, Weighed } from "./look.d.ts"
 * @import { Rows } from "./rows.js"
 * @import { Scale } from "./text_shades.js"
 */
import { part } from "./parts.js";
import { lowest } from "./text_shades.js";
import { fill, number, quote } from "./words.js";

/** So many tokens are named. */
const NAMED = 5;

/**
 * @param {TextViewData} data
 * @param {{ place: Place, close: Close, own: RunningText, others: RunningText, other: number,
 *   held: boolean, isAttention: boolean, left: number }} now `other`: a token that is pointed at
 *   while one is held, or -1
 */
export function wordsOf({ texts }, { place, close, own, others, other, held, isAttention, left }) {
  const token = quote(own.tokens[place.token]);
  const looks = place.side === "query" ? texts.looks : texts.looked;
  const entry = (/** @type {Weighed} */ one) =>
    fill(texts.entry, { token: quote(others.tokens[one.token]), weight: number(one.weight) });
  if (other >= 0) {
    const found = [...close.entries, ...close.sink].find((one) => one.token === other);
    return fill(looks, { token, others: entry(found ?? { head: 0, token: other, weight: 0 }) });
  }
  const entries = close.entries.length || place.side === "query" ? close.entries : close.sink;
  const named = entries.slice(0, NAMED);
  const parts = [];
  if (named.length) parts.push(fill(looks, { token, others: named.map(entry).join(", ") }));
  else if (close.sink.length) parts.push(fill(texts.onlySink, { token, weight: number(close.sink[0].weight) }));
  else parts.push(fill(close.isEmpty ? texts.isEmpty : texts.nothing, { token, left }));
  const unnamed = entries.slice(NAMED);
  if (unnamed.length && place.side === "query" && isAttention) {
    const sum = unnamed.reduce((total, one) => total + one.weight, close.rest);
    parts.push(fill(texts.andOthers, { weight: number(sum), tokens: unnamed.length + close.nRest }));
  } else if (close.nRest && close.rest > 0) {
    parts.push(fill(texts.andRest, { weight: number(close.rest), tokens: close.nRest }));
  }
  if (close.sink.length && named.length && place.side === "query") {
    parts.push(fill(texts.andSink, { weight: number(close.sink[0].weight) }));
  }
  if (close.nBroken) parts.push(fill(texts.andBroken, { tokens: close.nBroken }));
  if (held) parts.push(texts.held);
  return parts.join("; ");
}

/**
 * The scale of the shades, and signs for tokens that are not on it.
 * @param {HTMLElement} el
 * @param {TextViewData} data
 * @param {{ scale: Scale, most: string, has: { masked: boolean, broken: boolean, grey: boolean } }} now
 */
export function showLegend(el, { texts, quantity }, { scale, most, has }) {
  const { high, log, signed } = scale;
  const low = signed ? number(-high) : log ? `≤ ${lowest(scale).toPrecision(1)}` : "0";
  const sign = (/** @type {string} */ name, /** @type {string} */ words) => [part("span", `sign ${name}`, "a"), part("span", "", words)];
  el.replaceChildren(
    part("span", "", low),
    part("span", "scale"),
    part("span", "", most ? `${number(high)} (${most})` : number(high)),
    part("span", "quantity", quantity),
    ...(has.masked ? sign("masked", texts.masked) : []),
    ...(has.broken ? sign("broken", texts.undefined) : []),
    ...(has.grey ? sign("grey", texts.greyed) : []),
  );
}

/** @param {TextViewData} data @param {Rows} rows @param {Sink} sink */
export function noteOf({ texts }, rows, sink) {
  const parts = [];
  if (sink === "renormalise") parts.push(texts.away);
  if (rows.packed.nKept !== null) parts.push(fill(texts.kept, { n: rows.packed.nKept }));
  parts.push(fill(texts.rounded, { error: Number(rows.error.toPrecision(1)) }));
  return parts.join(" ");
}
