/**
 * Draws the graph of the flow view: columns are layers, rows are tokens, lines what passes.
 * @import { FlowLook, FlowPlace, FlowStage } from "./flow.d.ts"
 */

/** Room for the labels left and right, and for the numbers of the layers above. */
const LEFT = 190;
const RIGHT = 158;
const TOP = 31;
const BOTTOM = 4;

/** Rows are not drawn closer than this; where they would be, some are folded away. */
export const MIN_PITCH = 10.5;
const FOLDED_PITCH = 14;
const MAX_PITCH = 64;
const MAX_STEP = 260;

/**
 * Which rows are shown, and where.
 * @param {{ width: number, height: number, nTokens: number, nColumns: number }} box
 * @param {(row: number) => number} importance
 * @param {number[]} always rows that are shown in any case
 * @returns {FlowStage}
 */
export function arrange({ width, height, nTokens, nColumns }, importance, always) {
  const room = Math.max(height - TOP - BOTTOM, 60);
  let rows = Array.from({ length: nTokens }, (_, row) => row);
  if (room / nTokens < MIN_PITCH) {
    const wanted = [...new Set([...always, ...[...rows].sort((one, other) => importance(other) - importance(one))])];
    // As many as there is room for; a fold takes half a row.
    let most = Math.min(Math.floor(room / FOLDED_PITCH), nTokens - 1);
    do rows = wanted.slice(0, most).sort((one, other) => one - other);
    while (most-- > 4 && room / (rows.length + 0.5 * foldsOf(rows, nTokens).length) < FOLDED_PITCH);
  }
  const folds = foldsOf(rows, nTokens);
  const pitch = Math.min(room / (rows.length + 0.5 * folds.length), MAX_PITCH);
  const y = new Float32Array(nTokens).fill(-1);
  let at = TOP;
  for (const row of rows) {
    if (folds.includes(row)) at += pitch / 2;
    y[row] = at + pitch / 2;
    at += pitch;
  }
  const step = Math.min((width - LEFT - RIGHT) / Math.max(nColumns - 1, 1), MAX_STEP);
  return {
    width, height, left: LEFT, top: TOP, pitch, step, rows, y,
    font: Math.min(Math.max(pitch * 0.95, 9), 14),
    folds,
  };
}

/** The rows before which others are folded away. @param {number[]} rows @param {number} nTokens */
function foldsOf(rows, nTokens) {
  return [...rows, nTokens].filter((row, place) => row > (place ? rows[place - 1] + 1 : 0));
}

/** The place under a point, or null. @param {FlowStage} stage @param {number} nColumns @param {number} x @param {number} y @returns {FlowPlace | null} */
export function placeAt(stage, nColumns, x, y) {
  const column = Math.min(Math.max(Math.round((x - stage.left) / stage.step), 0), nColumns - 1);
  if (x > stage.left + (nColumns - 1) * stage.step + RIGHT) return null;
  let nearest = -1;
  for (const row of stage.rows) {
    if (nearest < 0 || Math.abs(stage.y[row] - y) < Math.abs(stage.y[nearest] - y)) nearest = row;
  }
  return nearest < 0 || Math.abs(stage.y[nearest] - y) > stage.pitch ? null : [column, nearest];
}

/** @param {HTMLCanvasElement} canvas @param {FlowStage} stage @param {FlowLook} look */
export function draw(canvas, stage, look) {
  const { ratio, theme } = look;
  canvas.width = Math.round(stage.width * ratio);
  canvas.height = Math.round(stage.height * ratio);
  canvas.style.width = `${stage.width}px`;
  canvas.style.height = `${stage.height}px`;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser cannot draw on a canvas.");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, stage.width, stage.height);
  context.font = `12px ${theme.font}`;
  drawAxis(context, stage, look);
  drawLines(context, stage, look);
  drawPlaces(context, stage, look);
  drawLabels(context, stage, look);
}

/** @param {CanvasRenderingContext2D} context @param {FlowStage} stage @param {FlowLook} look */
function drawAxis(context, stage, { layers, place, texts, theme }) {
  context.fillStyle = theme.quiet;
  context.textBaseline = "middle";
  const every = Math.ceil(22 / stage.step);
  layers.forEach((layer, index) => {
    const shown = (layers.length - 1 - index) % every === 0 || place?.[0] === index + 1;
    if (!shown) return;
    context.textAlign = "center";
    context.font = `${place?.[0] === index + 1 ? "bold " : ""}12px ${theme.font}`;
    context.fillText(String(layer), stage.left + (index + 1) * stage.step, 22);
  });
  context.font = `12px ${theme.font}`;
  context.textAlign = "right";
  context.fillText(texts.input, stage.left + 4, 22);
  context.textAlign = "center";
  context.fillText(texts.layerAxis, stage.left + ((layers.length + 1) / 2) * stage.step, 7);
  context.strokeStyle = theme.quiet;
  context.setLineDash([2, 4]);
  context.globalAlpha = 0.35;
  const right = stage.left + layers.length * stage.step;
  for (const row of stage.folds) {
    const shown = row < stage.y.length ? stage.y[row] - (3 * stage.pitch) / 4 : stage.y[stage.rows[stage.rows.length - 1]] + (3 * stage.pitch) / 4;
    context.beginPath();
    context.moveTo(stage.left - 12, shown);
    context.lineTo(right + 12, shown);
    context.stroke();
  }
  context.globalAlpha = 1;
  context.setLineDash([]);
}

/** @param {CanvasRenderingContext2D} context @param {FlowStage} stage @param {FlowLook} look */
function drawLines(context, stage, { greyFirst, lines, shares, theme }) {
  const strongest = lines.n ? lines.share[lines.n - 1] : 1;
  const widest = Math.min(Math.max(stage.pitch * 0.5, 2), shares ? 12 : 4);
  const grey = (/** @type {number} */ i) => greyFirst && lines.from[i] === 0 && lines.to[i] !== 0;
  for (const greyed of [true, false]) {
    for (let i = 0; i < lines.n; i++) {
      if (grey(i) !== greyed) continue;
      const [from, to] = [stage.y[lines.from[i]], stage.y[lines.to[i]]];
      if (from < 0 || to < 0) continue;
      const x = stage.left + lines.layer[i] * stage.step;
      const share = Math.sqrt(lines.share[i] / strongest);
      const at = 3 * Math.round(70 + 185 * share);
      const [red, green, blue] = theme.ramp.subarray(at, at + 3);
      context.strokeStyle = greyed ? theme.quiet : `rgb(${red} ${green} ${blue})`;
      context.globalAlpha = greyed ? 0.25 : shares ? 1 : 0.5;
      context.lineWidth = Math.max(widest * share * share, 0.6);
      context.beginPath();
      context.moveTo(x, from);
      const bend = stage.step * 0.5;
      context.bezierCurveTo(x + bend, from, x + stage.step - bend, to, x + stage.step, to);
      context.stroke();
    }
  }
  context.globalAlpha = 1;
}

/** @param {CanvasRenderingContext2D} context @param {FlowStage} stage @param {FlowLook} look */
function drawPlaces(context, stage, { broken, chosen, layers, place, shares, theme }) {
  const disc = (/** @type {FlowPlace} */ [column, row], /** @type {number} */ radius) => {
    context.beginPath();
    context.arc(stage.left + column * stage.step, stage.y[row], radius, 0, 7);
  };
  const largest = Math.min(Math.max(stage.pitch * 0.42, 2.5), 9);
  context.fillStyle = theme.text;
  for (let column = 0; column <= layers.length; column++) {
    for (const row of stage.rows) {
      const share = shares ? shares[column][row] : 0;
      context.globalAlpha = share >= 0.005 ? 1 : 0.35;
      disc([column, row], share >= 0.005 ? Math.max(largest * Math.sqrt(share), 1.2) : 0.8);
      context.fill();
    }
  }
  context.globalAlpha = 1;
  context.fillStyle = `rgb(${theme.undefined.join(" ")})`;
  for (const [layer, row] of broken) {
    if (stage.y[row] < 0) continue;
    disc([layer + 1, row], largest);
    context.fill();
  }
  for (const [which, width] of /** @type {[FlowPlace | null, number][]} */ ([[chosen, 3], [place, 2]])) {
    if (!which || stage.y[which[1]] < 0) continue;
    context.strokeStyle = theme.text;
    context.lineWidth = width;
    disc(which, largest + 3);
    context.stroke();
  }
}

/** @param {CanvasRenderingContext2D} context @param {FlowStage} stage @param {FlowLook} look */
function drawLabels(context, stage, { layers, place, shares, theme, tokens }) {
  const right = stage.left + layers.length * stage.step + 14;
  context.textBaseline = "middle";
  for (const row of stage.rows) {
    for (const [column, x, align, number] of /** @type {[number, number, CanvasTextAlign, number][]} */ ([
      [0, stage.left - 70, "right", stage.left - 16],
      [layers.length, right + 60, "left", right + 52],
    ])) {
      const share = shares ? shares[column][row] : 0;
      const isPlace = place?.[1] === row && place[0] === column;
      context.font = `${isPlace || share >= 0.05 ? "bold " : ""}${stage.font}px ${theme.font}`;
      context.fillStyle = !shares || share >= 0.005 || isPlace ? theme.text : theme.quiet;
      context.globalAlpha = !shares || share >= 0.005 || isPlace ? 1 : 0.75;
      context.textAlign = align;
      // Left-to-right and isolated, so that the number beside it stays where it is.
      context.fillText(`\u2068${cut(context, tokens[row], column ? RIGHT - 76 : LEFT - 74)}\u2069`, x, stage.y[row]);
      context.globalAlpha = 1;
      if (share < 0.005 || isPlace) continue;
      context.textAlign = "right";
      context.fillText(percent(share), number, stage.y[row]);
    }
  }
}

/** A share without decimals, which says so where that is not quite all. @param {number} share */
export function percent(share) {
  return share > 0.99 && share < 0.9995 ? "> 99 %" : `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

/** A label no wider than its room. @param {CanvasRenderingContext2D} context @param {string} text @param {number} room */
function cut(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  const letters = Array.from(text);
  while (letters.length > 1 && context.measureText(`${letters.join("")}…`).width > room) letters.pop();
  return `${letters.join("")}…`;
}
