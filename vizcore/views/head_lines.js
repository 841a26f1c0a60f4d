/**
 * Which lines are drawn, and how: the strongest of each query, or all of one token.
 * @import { Close, Lines, Place, Sink, Weighed } from "./look.d.ts"
 * @import { Rows } from "./rows.js"
 */

/** Lines that are drawn where nothing else is asked for, so that a screen of tokens stays legible. */
const LEGIBLE = 240;
const TOKENS_ON_A_SCREEN = 40;
const FEWEST = 3;

/** A row of which less is left without its first key is not scaled up: codes are too coarse for it. */
const TOO_LITTLE = { fine: 0.01, even: 0.05 };

/** Choices of how many lines each token has. */
const CHOICES = [1, 2, 3, 4, 6, 8, 12, 20, 40, 80];
/** All lines can be asked for where there are at most so many. */
const DRAWABLE = 20000;

/** @param {number} nQueries */
function legible(nQueries) {
  return Math.max(FEWEST, Math.round(LEGIBLE / Math.min(nQueries, TOKENS_ON_A_SCREEN)));
}

/** How many lines each token may have, the last perhaps all. @param {Rows} rows @param {number} nHeads */
export function choices(rows, nHeads) {
  const most = Math.max(1, nHeads) * (rows.packed.nKept ?? rows.nKeys);
  const some = CHOICES.filter((n) => n < most && n * rows.nQueries <= 2 * DRAWABLE);
  return most * rows.nQueries <= DRAWABLE ? [...some, Infinity] : some;
}

/** The nearest choice to what is wanted. @param {Rows} rows @param {number} nHeads @param {number | null} wanted null: what is legible */
export function nearest(rows, nHeads, wanted) {
  const some = choices(rows, nHeads);
  const most = nHeads * (rows.packed.nKept ?? rows.nKeys);
  const n = wanted ?? legible(rows.nQueries);
  return n >= most ? some[some.length - 1] : some.filter((choice) => choice <= n).at(-1) ?? some[0];
}

/** @param {Rows} rows */
export function tooLittle(rows) {
  return TOO_LITTLE[rows.packed.fine ? "fine" : "even"];
}

/**
 * How a weight of a row is changed where the first key is left out, or by what; 0: too little left.
 * @param {Rows} rows @param {number} map @param {number} query @param {Sink} sink
 */
function factor(rows, map, query, sink) {
  if (sink !== "renormalise") return 1;
  const left = rows.withoutFirst(map)[query];
  return left >= tooLittle(rows) ? 1 / left : 0;
}

/**
 * The strongest lines of every query over some heads.
 * @param {Rows} rows
 * @param {number[]} heads indices of maps
 * @param {{ perQuery: number, sink: Sink }} how
 * @returns {Lines}
 */
export function strongest(rows, heads, { perQuery, sink }) {
  const { nQueries } = rows;
  const empty = new Uint8Array(nQueries);
  let nEmptyRows = 0;
  const broken = new Uint8Array(nQueries);
  const start = new Int32Array(nQueries + 1);
  /** @type {number[]} */
  const found = [];
  let drawn = 0;
  let counted = 0;
  let all = 0;
  let ofFirst = 0;
  for (let query = 0; query < nQueries; query++) {
    start[query] = found.length / 4;
    /** @type {Weighed[]} */
    const row = [];
    let nEmpty = 0;
    for (const head of heads) {
      const by = factor(rows, head, query, sink);
      if (!by) nEmpty++;
      const rest = Math.abs(rows.rest(head, query));
      if (Number.isNaN(rest)) broken[query] = 1;
      else {
        all += rest;
        counted += by * rest;
      }
      rows.each(head, query, (token, weight) => {
        if (Number.isNaN(weight)) {
          broken[query] = 1;
          return;
        }
        const size = Math.abs(weight);
        all += size;
        if (token === 0) ofFirst += size;
        if (token === 0 && sink !== "keep") return;
        counted += size * by;
        if (by) keep(row, { head, token, weight: weight * by }, perQuery);
      });
    }
    nEmptyRows += nEmpty;
    if (nEmpty && nEmpty === heads.length) empty[query] = 1;
    for (const { head, token, weight } of row) {
      found.push(query, token, head, weight);
      drawn += Math.abs(weight);
    }
  }
  const n = found.length / 4;
  start[nQueries] = n;
  const pick = (/** @type {number} */ part) => (/** @type {unknown} */ _, /** @type {number} */ i) => found[4 * i + part];
  return {
    n,
    start,
    query: Int32Array.from({ length: n }, pick(0)),
    key: Int32Array.from({ length: n }, pick(1)),
    head: Int32Array.from({ length: n }, pick(2)),
    weight: Float32Array.from({ length: n }, pick(3)),
    share: counted ? Math.min(drawn / counted, 1) : 0,
    sinkShare: all ? ofFirst / all : 0,
    empty,
    nEmptyRows,
    broken,
  };
}

/** Adds one to the strongest so far, if it is one. @param {Weighed[]} row @param {Weighed} one @param {number} limit */
function keep(row, one, limit) {
  if (limit === Infinity) {
    row.push(one);
    return;
  }
  const size = Math.abs(one.weight);
  let place = row.length;
  while (place > 0 && Math.abs(row[place - 1].weight) < size) place--;
  if (place >= limit) return;
  row.splice(place, 0, one);
  if (row.length > limit) row.pop();
}

/** A line of this weight is as wide as any, where no weight is larger. */
const FULL = 0.25;

/** The weight of the widest line. @param {Rows} rows @param {Iterable<number>} weights of lines */
export function fullWeight(rows, weights) {
  const sizes = Float64Array.from(weights, Math.abs).sort();
  if (rows.packed.isAttention) return Math.max(FULL, sizes[sizes.length - 1] ?? 0);
  // Of differences a few may be far larger than all others, which are to be seen too.
  return sizes[Math.floor(0.95 * (sizes.length - 1))] || 1;
}

/**
 * All that is known of one token, over some heads.
 * @param {Rows} rows
 * @param {number[]} heads
 * @param {Place} place
 * @param {Sink} sink
 * @returns {Close}
 */
export function closely(rows, heads, { side, token }, sink) {
  /** @type {Close} */
  const close = { entries: [], sink: [], rest: 0, nRest: 0, nMasked: 0, nBroken: 0, broken: [], isEmpty: false };
  let nEmpty = 0;
  for (const head of heads) {
    const by = side === "query" ? factor(rows, head, token, sink) : 1;
    if (!by) nEmpty++;
    const see = (/** @type {number} */ other, /** @type {number} */ weight) => {
      const [query, key] = side === "query" ? [token, other] : [other, token];
      if (Number.isNaN(weight)) {
        close.nBroken++;
        close.broken.push(other);
      } else if (key === 0 && sink === "grey") close.sink.push({ head, token: other, weight });
      else if (key !== 0 || sink === "keep") {
        const scaled = weight * (side === "query" ? by : factor(rows, head, query, sink));
        if (scaled) close.entries.push({ head, token: other, weight: scaled });
      }
    };
    if (side === "query") rows.each(head, token, see);
    else rows.eachOf(head, token, see);
    close.rest += side === "query" ? rows.rest(head, token) * by : rows.restOf(head, token);
  }
  close.isEmpty = heads.length > 0 && nEmpty === heads.length;
  if (Number.isNaN(close.rest)) {
    close.nBroken ||= 1;
    close.rest = 0;
  }
  const n = side === "query" ? rows.nKeys : rows.nQueries;
  for (let other = 0; other < n; other++) {
    const masked = side === "query" ? rows.isMasked(token, other) : rows.isMasked(other, token);
    if (masked) close.nMasked++;
  }
  if (!rows.whole) {
    const seen = new Set([...close.entries, ...close.sink].map((one) => one.token));
    close.nRest = Math.max(0, n - close.nMasked - seen.size);
  }
  for (const entries of [close.entries, close.sink]) entries.sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight));
  return close;
}

/** How lines of the heads after the last colour are dashed. */
export const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3]];

/** Rows above and below what is in sight at which lines to what is further off end. */
const BEYOND = 2;

/**
 * @typedef {{ query: number, key: number, head: number, weight: number, grey: boolean }} Line
 * @typedef {{ width: number, height: number, ratio: number, rowHeight: number, top: number,
 *   nHeads: number, rank: Map<number, number>, colours: string[], quiet: string,
 *   largest: number }} Canvas
 */

/**
 * Draws lines between the rows that are scrolled to; weak ones first.
 * @param {HTMLCanvasElement} canvas
 * @param {Iterable<Line>} lines
 * @param {Canvas} how `top`: how far the columns are scrolled; `largest`: the weight of a full line
 */
export function drawLines(canvas, lines, how) {
  const { width, height, ratio, rowHeight, top, rank, colours } = how;
  const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== across) canvas.width = across;
  if (canvas.height !== down) canvas.height = down;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser cannot draw on a canvas.");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.lineCap = "round";
  // Lines of several heads between the same tokens lie side by side.
  const step = Math.min(3, (0.6 * rowHeight) / Math.max(1, how.nHeads));
  // Of a line to a token far off, the end is drawn just outside: else it would fall through all others.
  const clamp = (/** @type {number} */ y) => Math.min(Math.max(y, -BEYOND * rowHeight), height + BEYOND * rowHeight);
  const seen = [];
  for (const line of lines) {
    const shift = ((rank.get(line.head) ?? 0) - (how.nHeads - 1) / 2) * step;
    const at = (/** @type {number} */ token) => clamp((token + 0.5) * rowHeight - top + shift);
    seen.push({ line, from: at(line.query), to: at(line.key) });
  }
  seen.sort((a, b) => Math.abs(a.line.weight) - Math.abs(b.line.weight));
  for (const { line, from, to } of seen) {
    const share = Math.min(1, Math.abs(line.weight) / how.largest);
    context.globalAlpha = line.grey ? 0.1 + 0.25 * share : 0.12 + 0.88 * share;
    context.lineWidth = line.grey ? 1 : 0.8 + 3.7 * share;
    context.strokeStyle = line.grey ? how.quiet : colours[line.head % colours.length];
    const dashes = DASHES[Math.floor(line.head / colours.length) % DASHES.length];
    context.setLineDash(line.grey ? [] : line.weight < 0 ? [2, 5] : dashes);
    context.beginPath();
    context.moveTo(0, from);
    context.bezierCurveTo(0.35 * width, from, 0.65 * width, to, width, to);
    context.stroke();
  }
  context.globalAlpha = 1;
  return seen.length;
}
