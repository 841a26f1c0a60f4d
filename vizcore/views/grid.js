/**
 * Draws the map of every head on one canvas, with the numbers of layers and heads around.
 * @import { Arrangement, Maps, Theme } from "./types.d.ts"
 */
import { NUMBER_HEIGHT, NUMBER_WIDTH, TITLE } from "./layout.js";
import { evenSize, painter } from "./raster.js";

const FONT_SIZE = 12;

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Maps} maps
 * @param {Arrangement} arrangement
 * @param {{ ratio: number, theme: Theme, ownScale: boolean }} how
 */
export function drawGrid(canvas, maps, arrangement, { ratio, theme, ownScale }) {
  canvas.width = Math.round(arrangement.width * ratio);
  canvas.height = Math.round(arrangement.height * ratio);
  canvas.style.width = `${arrangement.width}px`;
  canvas.style.height = `${arrangement.height}px`;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser cannot draw on a canvas.");
  const size = Math.round(arrangement.size * ratio);
  const width = evenSize(size, maps.nColumns);
  const height = evenSize(size, maps.nRows);
  const paint = painter(maps, width, height, theme);
  maps.data.maps.forEach(({ place: [layer, head] }, index) => {
    const { x, y } = arrangement.box(layer, head);
    const left = Math.round(x * ratio + (size - width) / 2);
    const top = Math.round(y * ratio + (size - height) / 2);
    context.putImageData(paint(index, ownScale), left, top);
  });
  context.scale(ratio, ratio);
  context.fillStyle = theme.quiet;
  context.font = `${FONT_SIZE}px ${theme.font}`;
  context.textBaseline = "middle";
  context.textAlign = "center";
  drawNumbers(context, maps, arrangement);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Maps} maps
 * @param {Arrangement} arrangement
 */
function drawNumbers(context, { data }, { across, pitch, size, layersPerBlock, nBlocks, box }) {
  const { layers, heads, texts } = data;
  const middle = size / 2;
  const every = Math.ceil((across ? NUMBER_WIDTH : NUMBER_HEIGHT - 1) / pitch);
  const everyHead = Math.ceil((across ? NUMBER_HEIGHT - 1 : NUMBER_WIDTH) / pitch);
  layers.forEach((layer, index) => {
    const { x, y } = box(index, 0);
    if (layer === null || (index % layersPerBlock) % every !== 0) return;
    if (across) context.fillText(String(layer), x + middle, y - NUMBER_HEIGHT / 2);
    else right(context, String(layer), x - 4, y + middle);
  });
  for (let block = 0; block < nBlocks; block++) {
    heads.forEach((head, index) => {
      const { x, y } = box(block * layersPerBlock, index);
      if (head === null || index % everyHead !== 0) return;
      if (across) right(context, String(head), x - 4, y + middle);
      else context.fillText(String(head), x + middle, y - NUMBER_HEIGHT / 2);
    });
  }
  const named = [layers.some((layer) => layer !== null), heads.some((head) => head !== null)];
  const first = box(0, 0);
  const last = box(Math.min(layersPerBlock, layers.length) - 1, heads.length - 1);
  const [words, isNamed] = across
    ? [[texts.layer, texts.head], named]
    : [[texts.head, texts.layer], named.reverse()];
  if (isNamed[0]) {
    context.fillText(words[0], (first.x + last.x + size) / 2, TITLE / 2);
  }
  if (isNamed[1]) {
    context.translate(TITLE / 2, (first.y + last.y + size) / 2);
    context.rotate(-Math.PI / 2);
    context.fillText(words[1], 0, 0);
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} text
 * @param {number} x
 * @param {number} y
 */
function right(context, text, x, y) {
  context.textAlign = "right";
  context.fillText(text, x, y);
  context.textAlign = "center";
}
