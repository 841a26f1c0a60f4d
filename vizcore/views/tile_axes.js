/**
 * What stands beside a map that is seen in part: tokens where they have room, else positions.
 * @import { Theme } from "./types.d.ts"
 */

export const LEFT = 104;
export const TOP = 76;
const FONT_SIZE = 13;
const LINE = 16;
const GAP = 6;
const TICK = 4;

/** Positions are so many CSS pixels apart, at least. */
const STEP = 52;

/**
 * @param {CanvasRenderingContext2D} context
 * @param {import("./tile_place.js").Place} place
 * @param {{ queries: string[], keys: string[], texts: Record<string, string>, theme: Theme,
 *   row: number | null, pointed: { query: number, key: number } | null }} what
 */
export function drawAxes(context, place, { queries, keys, texts, theme, row, pointed }) {
  const { frame, seen, look } = place;
  context.font = `${FONT_SIZE}px ${theme.font}`;
  context.textBaseline = "middle";
  context.fillStyle = theme.quiet;
  context.strokeStyle = theme.quiet;
  context.lineWidth = 1;
  context.textAlign = "right";
  context.fillText(texts.keyAxis, frame.left - 2 * GAP, frame.top - GAP - 1.5 * LINE);
  context.fillText(texts.queryAxis, frame.left - 2 * GAP, frame.top - GAP - LINE / 2);

  const down = labels(seen.query, seen.queryEnd, place.cellHeight, [row, pointed?.query ?? null]);
  for (const { at, isToken, isMarked } of down) {
    const y = place.y(at + 0.5);
    if (y < frame.top - 1 || y > frame.top + frame.height - FONT_SIZE / 3) continue;
    context.fillStyle = isMarked ? theme.text : theme.quiet;
    const words = isToken ? visible(queries[at]) : number(at);
    context.fillText(shorten(context, words, LEFT - GAP - 8), frame.left - GAP, y);
    if (!isToken) tick(context, frame.left - TICK, y, TICK, 0);
  }
  context.textAlign = "left";
  const across = labels(seen.key, seen.keyEnd, look.cell, [pointed?.key ?? null], STEP);
  for (const { at, isToken, isMarked } of across) {
    const x = place.x(at + 0.5);
    if (x < frame.left - 1 || x > frame.left + frame.width + 1) continue;
    context.fillStyle = isMarked ? theme.text : theme.quiet;
    if (isToken) {
      context.save();
      context.translate(x, frame.top - GAP);
      context.rotate(-Math.PI / 2);
      context.fillText(shorten(context, visible(keys[at]), TOP - GAP - 8), 0, 0);
      context.restore();
    } else {
      context.textAlign = "center";
      context.fillText(number(at), x, frame.top - GAP - LINE / 2);
      context.textAlign = "left";
      tick(context, x, frame.top - TICK, 0, TICK);
    }
  }
}

/**
 * What is written along one side: every token if there is room, else round positions; and always
 * those that are marked, in place of what would touch them.
 * @param {number} first
 * @param {number} end
 * @param {number} size of a token in CSS pixels
 * @param {(number | null)[]} marked
 * @param {number} step how far positions are apart, at least
 */
function labels(first, end, size, marked, step = 2 * LINE) {
  /** @type {Map<number, { at: number, isToken: boolean, isMarked: boolean }>} */
  const found = new Map();
  if (size >= LINE - 2) {
    for (let at = first; at < end; at++) found.set(at, { at, isToken: true, isMarked: false });
  } else {
    const every = roundStep(step / size);
    for (let at = Math.ceil(first / every) * every; at < end; at += every) {
      found.set(at, { at, isToken: false, isMarked: false });
    }
  }
  for (const at of marked) {
    if (at === null || at < first || at >= end) continue;
    for (const other of found.keys()) {
      if (Math.abs(other - at) * size < (size >= LINE - 2 ? size / 2 : step / 2 + LINE / 2)) found.delete(other);
    }
    found.set(at, { at, isToken: true, isMarked: true });
  }
  return found.values();
}

/** The smallest of 1, 2, 5, 10, 20 … that is not below it. @param {number} least */
function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= least) ?? 10 * power;
}

/** @param {CanvasRenderingContext2D} context @param {number} x @param {number} y @param {number} dx @param {number} dy */
function tick(context, x, y, dx, dy) {
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x + dx, y + dy);
  context.stroke();
}

/** A position, for people. @param {number} at */
export function number(at) {
  return at.toLocaleString("en-US");
}

/** A token with what cannot be seen made visible. @param {string} token */
export function visible(token) {
  return token.replace(/\r/g, "").replace(/\n/g, "⏎").replace(/\t/g, "⇥") || "␣";
}

/** @param {CanvasRenderingContext2D} context @param {string} words @param {number} most */
function shorten(context, words, most) {
  if (context.measureText(words).width <= most) return words;
  const letters = Array.from(words);
  while (letters.length && context.measureText(letters.join("") + "…").width > most) letters.pop();
  return letters.join("") + "…";
}
