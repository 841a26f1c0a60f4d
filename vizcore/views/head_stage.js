/**
 * The columns of the head view: how large they are, and what is marked in them.
 * @import { Close, Lines, Place, Side, Weighed } from "./look.d.ts"
 * @import { Column } from "./head_tokens.js"
 * @import { Rows } from "./rows.js"
 */
import { showWeights } from "./head_tokens.js";
import { find, part } from "./parts.js";
import { number } from "./words.js";

const ROW = { least: 23, most: 64 };
const FONT = { least: 15, most: 26, ofRow: 0.62 };
/** Room beside a token: for a number (in heights of its letters), for the bar of a head, for a position. */
const NUMBER_ROOM = 4.2;
const BAR_ROOM = 9;
const POSITION_ROOM = 36;
const MOST_BARS = 12;
const LEAST_COLUMN = 90;
const MOST_COLUMN = 0.38;
const MOST_BETWEEN = 560;
/** Tokens are numbered where there are more. */
export const MANY_TOKENS = 24;
/** A column is as wide as all but a few of its tokens. */
const FITTING = 0.98;
const MEASURED = 2000;

/**
 * @typedef {{ rowHeight: number, size: number, longest: number, left: number, right: number,
 *   margin: number, between: number, height: number }} Sizes in CSS pixels
 */

/**
 * @param {HTMLElement} stage
 * @param {HTMLCanvasElement} canvas that measures text
 * @param {{ queries: string[], keys: string[], nHeads: number, font: string }} now
 * @returns {Sizes}
 */
export function sizes(stage, canvas, { queries, keys, nHeads, font }) {
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser cannot draw on a canvas.");
  const longest = Math.max(queries.length, keys.length);
  const fitting = Math.floor(stage.clientHeight / longest);
  const rowHeight = Math.min(ROW.most, Math.max(ROW.least, fitting));
  const size = Math.min(FONT.most, Math.max(FONT.least, Math.floor(FONT.ofRow * rowHeight)));
  context.font = `${size}px ${font}`;
  const bars = nHeads > 1 ? BAR_ROOM * Math.min(nHeads, MOST_BARS) : 0;
  const beside = NUMBER_ROOM * size + bars + (longest > MANY_TOKENS ? POSITION_ROOM : 0);
  const width = stage.clientWidth;
  const [left, right] = [queries, keys].map((column) => {
    const widths = column.slice(0, MEASURED).map((token) => context.measureText(token).width);
    widths.sort((a, b) => a - b);
    const last = widths.length - 1;
    const wide = (widths[last < MANY_TOKENS ? last : Math.floor(FITTING * last)] ?? 0) + 26 + beside;
    return Math.round(Math.min(MOST_COLUMN * width, Math.max(LEAST_COLUMN, wide)));
  });
  const between = Math.min(MOST_BETWEEN, width - left - right);
  const margin = Math.max(0, Math.floor((width - left - right - between) / 2));
  return { rowHeight, size, longest, left, right, margin, between, height: stage.clientHeight };
}

/**
 * Puts the columns and the canvas where they belong.
 * @param {HTMLElement} stage
 * @param {Record<Side, Column>} columns
 * @param {Sizes} box
 */
export function lay(stage, columns, { rowHeight, size, longest, left, right, margin, between }) {
  Object.assign(find(stage, ".inner", HTMLElement).style, {
    height: `${longest * rowHeight}px`,
    fontSize: `${size}px`,
  });
  find(stage, "canvas", HTMLElement).style.left = `${margin + left}px`;
  Object.assign(find(stage, ".says", HTMLElement).style, { left: `${margin + left}px`, width: `${between}px` });
  Object.assign(columns.query.el.style, { left: `${margin}px`, width: `${left}px` });
  Object.assign(columns.key.el.style, { left: `${margin + left + between}px`, width: `${right}px` });
}

/**
 * Shows the tokens that are scrolled to, with the weights of the one that is looked at closely.
 * @param {HTMLElement} stage
 * @param {Record<Side, Column>} columns
 * @param {number} rowHeight
 * @param {{ rows: Rows, heads: number[], colours: string[], place: Place | null,
 *   held: Place | null, close: Close | null, lines: Lines }} now
 */
export function dress(stage, columns, rowHeight, { rows, heads, colours, place, held, close, lines }) {
  const weighed = byToken([...(close?.entries ?? []), ...(close?.sink ?? [])]);
  const sunk = new Set(close?.sink.map((one) => one.token));
  const full = Math.abs(close?.entries[0]?.weight ?? 1);
  for (const side of /** @type {Side[]} */ (["query", "key"])) {
    const isOther = place !== null && place.side !== side;
    const [top, bottom] = [stage.scrollTop, stage.scrollTop + stage.clientHeight];
    columns[side].show(top, bottom, rowHeight, (row, token) => {
      const own = isOther ? weighed.get(token) : undefined;
      const at = place?.token ?? 0;
      const isMasked = isOther && (side === "key" ? rows.isMasked(at, token) : rows.isMasked(token, at));
      const isBroken = side === "query" && lines.broken[token] === 1;
      const isEmpty = side === "query" && lines.empty[token] === 1;
      row.setAttribute("aria-selected", String(held?.side === side && held.token === token));
      row.classList.toggle("here", place?.side === side && place.token === token);
      row.classList.toggle("masked", isMasked);
      row.classList.toggle("pale", isOther && !own);
      row.classList.toggle("sink", own !== undefined && sunk.has(token));
      row.classList.toggle("broken", isBroken);
      mark(row, isBroken ? "!" : isEmpty ? "∅" : "");
      const bars = (own && heads.length > 1 ? heads.slice(0, MOST_BARS) : []).map((head) => ({
        colour: colours[head % colours.length],
        share: Math.min(1, Math.abs(own?.find((one) => one.head === head)?.weight ?? 0) / full),
      }));
      const top = own?.reduce((best, one) => (Math.abs(one.weight) > Math.abs(best.weight) ? one : best));
      showWeights(find(row, ".weights", HTMLElement), bars, top ? number(top.weight) : "");
    });
  }
}

/** @param {Weighed[]} entries */
function byToken(entries) {
  /** @type {Map<number, Weighed[]>} */
  const weighed = new Map();
  for (const one of entries) {
    const same = weighed.get(one.token);
    if (same) same.push(one);
    else weighed.set(one.token, [one]);
  }
  return weighed;
}

/** @param {HTMLElement} row @param {string} sign */
function mark(row, sign) {
  const old = row.querySelector(".mark");
  if (!sign) old?.remove();
  else if (old) old.textContent = sign;
  else find(row, ".weights", HTMLElement).after(part("span", "mark", sign));
}
