/**
 * What the head view says: about the token that is looked at, and about what is drawn.
 * @import { Close, HeadViewData, Lines, Place, Sink, Weighed } from "./look.d.ts"
 * @import { Rows } from "./rows.js"
 */
import { fill, number, percent, quote } from "./words.js";

/** So many tokens are named. */
const NAMED = 4;

/**
 * The token that is looked at, and what it looks at.
 * @param {HeadViewData} data
 * @param {number} layer index
 * @param {{ place: Place, close: Close, heads: number[], held: boolean, other: number,
 *   left: number }} now `other`: a token of the other column that is pointed at, or -1
 */
export function wordsOf(data, layer, { place, close, heads, held, other, left }) {
  const { texts } = data;
  const own = place.side === "query" ? data.queryTokens : data.keyTokens;
  const others = place.side === "query" ? data.keyTokens : data.queryTokens;
  const token = quote(own[place.token]);
  const many = heads.length > 1;
  const name = (/** @type {number} */ head) => String(data.layers[layer].heads[head]?.head ?? head);
  const entry = (/** @type {Weighed} */ one) =>
    fill(many ? texts.ofHead : texts.entry, {
      token: quote(others[one.token]),
      weight: number(one.weight),
      head: name(one.head),
    });
  const some = close.entries.length || place.side === "query" ? close.entries : close.sink;
  const told = other >= 0 ? [...close.entries, ...close.sink].filter((one) => one.token === other) : some;
  const parts = [];
  if (told.length) {
    const template = place.side === "query" ? texts.looks : texts.looked;
    parts.push(fill(template, { token, others: told.slice(0, NAMED).map(entry).join(", ") }));
  } else if (other >= 0) {
    const template = place.side === "query" ? texts.looks : texts.looked;
    parts.push(fill(template, { token, others: fill(texts.entry, { token: quote(others[other]), weight: "0" }) }));
  } else if (close.sink.length) parts.push(fill(texts.onlySink, { token, weight: number(close.sink[0].weight) }));
  else parts.push(fill(close.isEmpty ? `{token}: ${texts.isEmpty}` : texts.nothing, { token, left }));
  if (other < 0) {
    if (close.sink.length && close.entries.length && place.side === "query") {
      parts.push(fill(texts.andSink, { weight: number(close.sink[0].weight) }));
    }
    if (close.nRest && close.rest > 0) {
      parts.push(fill(texts.andRest, { weight: number(close.rest / heads.length), tokens: close.nRest }));
    }
    if (close.nMasked && place.side === "query") parts.push(fill(texts.andMasked, { tokens: close.nMasked }));
    if (close.nBroken) parts.push(fill(texts.andBroken, { tokens: close.nBroken }));
    if (held) parts.push(texts.held);
  }
  return parts.join("; ");
}

/**
 * What is drawn, and what is not.
 * @param {HeadViewData} data
 * @param {Rows} rows
 * @param {{ lines: Lines, limit: number, sink: Sink, left: number, nHeads: number }} now
 */
export function noteOf(data, rows, { lines, limit, sink, left, nHeads }) {
  const { texts } = data;
  if (!nHeads) return "";
  const { packed } = rows;
  const words = limit === Infinity ? texts.everyLine : fill(texts.strongest, { n: limit });
  const shares = { lines: words, share: percent(lines.share), sink: percent(lines.sinkShare) };
  const template = packed.signed
    ? texts.values
    : sink === "renormalise"
      ? texts.shareAway
      : sink === "grey"
        ? texts.shareGrey
        : texts.shareIn;
  const parts = [fill(template, shares)];
  const count = (/** @type {Uint8Array} */ marks) => marks.reduce((sum, one) => sum + one, 0);
  if (lines.nEmptyRows) {
    parts.push(fill(texts.emptyMark, { left, rows: lines.nEmptyRows, all: nHeads * rows.nQueries }));
  }
  if (count(lines.broken)) parts.push(fill(texts.brokenMark, { tokens: count(lines.broken) }));
  if (packed.nKept !== null) parts.push(fill(texts.kept, { n: packed.nKept }));
  parts.push(fill(texts.rounded, { error: Number(rows.error.toPrecision(1)) }));
  return parts.join(" ");
}
