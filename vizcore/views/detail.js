/**
 * One map enlarged, with the tokens beside and above it.
 * @import { HeadsData, Picture, Theme } from "./heads.d.ts"
 */
import { evenSize } from "./raster.js";

const FONT_SIZE = 13;
const LINE = 15;
const LABEL_SHARE = 0.3;

/** Room for the names of the axes, between the labels of both. */
const CORNER_WIDTH = 58;
const CORNER_HEIGHT = 38;

/**
 * @typedef {{ left: number, top: number, width: number, height: number }} Plot in CSS pixels
 */

/**
 * Draws a map as large as the box allows, and says where it is.
 * @param {HTMLCanvasElement} canvas
 * @param {Picture} picture
 * @param {HeadsData} data
 * @param {{ width: number, height: number, ratio: number, theme: Theme,
 *   paint: (picture: Picture, width: number, height: number) => ImageData }} how
 * @returns {Plot}
 */
export function drawDetail(canvas, picture, data, { width, height, ratio, theme, paint }) {
  const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== across || canvas.height !== down) {
    canvas.width = across;
    canvas.height = down;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser cannot draw on a canvas.");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, across, down);
  context.scale(ratio, ratio);
  context.font = `${FONT_SIZE}px ${theme.font}`;
  context.fillStyle = theme.text;
  const { queryTokens, keyTokens, shape, texts } = data;
  const most = LABEL_SHARE * Math.min(width, height);
  const left = Math.ceil(Math.max(widest(context, queryTokens, most), CORNER_WIDTH)) + 8;
  const top = Math.ceil(Math.max(widest(context, keyTokens, most), CORNER_HEIGHT)) + 8;
  const side = Math.min(width - left, height - top);
  const plot = {
    left,
    top,
    width: evenSize(Math.floor(side * ratio), picture.nColumns) / ratio,
    height: evenSize(Math.floor(side * ratio), picture.nRows) / ratio,
  };
  const image = paint(picture, Math.round(plot.width * ratio), Math.round(plot.height * ratio));
  stretched(context, image, plot);
  context.textBaseline = "middle";
  context.textAlign = "right";
  context.fillStyle = theme.quiet;
  context.fillText(texts.keyAxis, left - 12, top - 16 - LINE);
  context.fillText(texts.queryAxis, left - 12, top - 16);
  context.fillStyle = theme.text;
  const rowHeight = plot.height / shape[0];
  each(queryTokens, rowHeight, (token, place) => {
    const text = shorten(context, token, most);
    context.fillText(text, left - 6, top + place);
  });
  each(keyTokens, plot.width / shape[1], (token, place) => {
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
 * Puts an image where the map is, every pixel of it a sharp rectangle.
 * @param {CanvasRenderingContext2D} context
 * @param {ImageData} image
 * @param {Plot} plot
 */
function stretched(context, image, { left, top, width, height }) {
  const small = document.createElement("canvas");
  small.width = image.width;
  small.height = image.height;
  small.getContext("2d")?.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, left, top, width, height);
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
