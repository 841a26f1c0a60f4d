/**
 * The numbers of layers and heads around the grid.
 * @import { Arrangement, Window } from "./heads.d.ts"
 */
import { NUMBER_HEIGHT, NUMBER_WIDTH, TITLE } from "./layout.js";

/**
 * The numbers of layers and heads; in a grid that is zoomed into they stay at its edge.
 * @param {CanvasRenderingContext2D} context
 * @param {import("./grid.js").Scene} scene
 * @param {Arrangement} arrangement
 * @param {Window} window
 */
export function drawNumbers(context, { data, theme }, arrangement, { left, top, width, height }) {
  const { across, pitch, size, layersPerBlock, nBlocks, box } = arrangement;
  const { layers, heads, texts } = data;
  const middle = size / 2;
  const every = Math.ceil((across ? NUMBER_WIDTH : NUMBER_HEIGHT - 1) / pitch);
  const everyHead = Math.ceil((across ? NUMBER_HEIGHT - 1 : NUMBER_WIDTH) / pitch);
  /** @type {(text: string, x: number, y: number, beside: boolean, end: number) => void} */
  const number = (text, x, y, beside, end) => {
    // Beside a row it stays right of the left edge, above a column below the upper one.
    const at = beside ? [Math.max(x - left, NUMBER_WIDTH), y - top] : [x - left, Math.max(y - top, NUMBER_HEIGHT / 2)];
    if ((beside ? x - left < NUMBER_WIDTH : y - top < NUMBER_HEIGHT / 2) && end - (beside ? left : top) < 30) return;
    const pinned = beside ? at[0] !== x - left : at[1] !== y - top;
    if (pinned) {
      const wide = context.measureText(text).width + 6;
      context.fillStyle = theme.background;
      context.fillRect(beside ? at[0] - wide + 3 : at[0] - wide / 2, at[1] - 8, wide, 16);
      context.fillStyle = theme.quiet;
    }
    context.textAlign = beside ? "right" : "center";
    context.fillText(text, at[0], at[1]);
  };
  const lastHead = heads.length - 1;
  layers.forEach((layer, index) => {
    const { x, y } = box(index, 0);
    if (layer === null || (index % layersPerBlock) % every !== 0) return;
    const end = box(index, lastHead);
    if (across) number(String(layer), x + middle, y - NUMBER_HEIGHT / 2, false, end.y + size);
    else number(String(layer), x - 4, y + middle, true, end.x + size);
  });
  for (let block = 0; block < nBlocks; block++) {
    const lastLayer = Math.min((block + 1) * layersPerBlock, layers.length) - 1;
    heads.forEach((head, index) => {
      const { x, y } = box(block * layersPerBlock, index);
      if (head === null || index % everyHead !== 0) return;
      const end = box(lastLayer, index);
      if (across) number(String(head), x - 4, y + middle, true, end.x + size);
      else number(String(head), x + middle, y - NUMBER_HEIGHT / 2, false, end.y + size);
    });
  }
  const named = [layers.some((layer) => layer !== null), heads.some((head) => head !== null)];
  const first = box(0, 0);
  const last = box(Math.min(layersPerBlock, layers.length) - 1, lastHead);
  const [words, isNamed] = across
    ? [[texts.layer, texts.head], named]
    : [[texts.head, texts.layer], named.reverse()];
  context.textAlign = "center";
  // Where the grid is larger than what is in sight, the words stand in the middle of that.
  const [x, y] = [(first.x + last.x + size) / 2, (first.y + last.y + size) / 2];
  if (isNamed[0] && top < TITLE) {
    context.fillText(words[0], Math.min(x - left, Math.max(width / 2, first.x - left)), TITLE / 2 - top);
  }
  if (isNamed[1] && left < TITLE) {
    context.translate(TITLE / 2 - left, Math.min(y - top, Math.max(height / 2, first.y - top)));
    context.rotate(-Math.PI / 2);
    context.fillText(words[1], 0, 0);
  }
}
