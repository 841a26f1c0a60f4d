/**
 * One map enlarged, with the tokens beside and above it.
 * @import { Maps, Theme } from "./types.d.ts"
 */
import { evenSize, painter } from "./raster.js";

const FONT_SIZE = 13;
const LINE = 15;
const LABEL_SHARE = 0.3;

/** Room for the names of the axes, between the labels of both. */
const CORNER_WIDTH = 52;
const CORNER_HEIGHT = 32;

/**
 * @typedef {{ left: number, top: number, width: number, height: number }} Plot in CSS pixels
 */

/**
 * Draws the map `index` as large as the box allows, and says where it is.
 * @param {HTMLCanvasElement} canvas
 * @param {Maps} maps
 * @param {number} index
 * @param {{ width: number, height: number, ratio: number, theme: Theme, ownScale: boolean }} how
 * @returns {Plot}
 */
export function drawDetail(canvas, maps, index, { width, height, ratio, theme, ownScale }) {
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser cannot draw on a canvas.");
  context.scale(ratio, ratio);
  context.font = `${FONT_SIZE}px ${theme.font}`;
  context.fillStyle = theme.text;
  const { queryTokens, keyTokens } = maps.data;
  const most = LABEL_SHARE * Math.min(width, height);
  const left = Math.ceil(Math.max(widest(context, queryTokens, most), CORNER_WIDTH)) + 8;
  const top = Math.ceil(Math.max(widest(context, keyTokens, most), CORNER_HEIGHT)) + 8;
  const side = Math.min(width - left, height - top);
  const plot = {
    left,
    top,
    width: evenSize(Math.floor(side * ratio), maps.nColumns) / ratio,
    height: evenSize(Math.floor(side * ratio), maps.nRows) / ratio,
  };
  const paint = painter(maps, Math.round(plot.width * ratio), Math.round(plot.height * ratio), theme);
  context.putImageData(paint(index, ownScale), Math.round(left * ratio), Math.round(top * ratio));
  context.textBaseline = "middle";
  context.textAlign = "right";
  context.fillStyle = theme.quiet;
  context.fillText(maps.data.texts.keyAxis, left - 6, top - 10 - LINE);
  context.fillText(maps.data.texts.queryAxis, left - 6, top - 10);
  context.fillStyle = theme.text;
  const rowHeight = plot.height / maps.nRows;
  each(queryTokens, rowHeight, (token, place) => {
    const text = shorten(context, token, most);
    context.fillText(text, left - 6, top + place);
  });
  each(keyTokens, plot.width / maps.nColumns, (token, place) => {
    context.save();
    context.translate(left + place, top - 6);
    context.rotate(-Math.PI / 2);
    context.textAlign = "left";
    context.fillText(shorten(context, token, most), 0, 0);
    context.restore();
  });
  return plot;
}

/**
 * As many labels as have room, evenly.
 * @param {string[] | null} tokens
 * @param {number} step
 * @param {(token: string, place: number) => void} draw
 */
function each(tokens, step, draw) {
  const every = Math.ceil(LINE / step);
  tokens?.forEach((token, i) => {
    if (i % every === 0) draw(token, (i + 0.5) * step);
  });
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string[] | null} tokens
 * @param {number} most
 */
function widest(context, tokens, most) {
  const widths = (tokens ?? []).map((token) => context.measureText(token).width);
  return Math.min(most, Math.max(0, ...widths));
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} token
 * @param {number} most
 */
function shorten(context, token, most) {
  if (context.measureText(token).width <= most) return token;
  const letters = Array.from(token);
  while (letters.length && context.measureText(letters.join("") + "…").width > most) letters.pop();
  return letters.join("") + "…";
}
