/**
 * Pictures of maps that are kept once painted, and painted when they are seen.
 *
 * Moving over the grid only copies pictures; where one is missing or was painted for another size,
 * it is made within the time that a frame has left, and until then the old one is stretched.
 * @import { Box, Picture, Window } from "./heads.d.ts"
 */
import { evenSize } from "./raster.js";

/** Milliseconds of a frame that painting may take while the reader moves. */
export const PATIENCE = 7;

/** So many pixels are kept of pictures out of sight. */
const MAX_KEPT = 24_000_000;

/** @typedef {{ canvas: HTMLCanvasElement, key: string }} Tile */

export class Tiles {
  constructor() {
    /** @type {Map<number, Tile>} */
    this.kept = new Map();
    this.pixels = 0;
  }

  clear() {
    this.kept.clear();
    this.pixels = 0;
  }

  /**
   * Draws those maps that are in sight.
   * @param {CanvasRenderingContext2D} context
   * @param {{ index: number, box: Box, dimmed: boolean }[]} places
   * @param {Window} window
   * @param {{ pictureOf: (index: number) => Picture, paint: (picture: Picture, width: number, height: number) => ImageData, look: string, patience: number }} how
   *   look: what the painting depends on
   * @returns {boolean} whether all that is in sight is as it should be
   */
  draw(context, places, window, { pictureOf, paint, look, patience }) {
    const { left, top, width, height, ratio } = window;
    const until = performance.now() + patience;
    let done = true;
    context.imageSmoothingEnabled = false;
    for (const { index, box, dimmed } of places) {
      const [x, y] = [box.x - left, box.y - top];
      if (x + box.size < 0 || y + box.size < 0 || x > width || y > height) continue;
      const picture = pictureOf(index);
      const size = Math.round(box.size * ratio);
      const across = evenSize(size, picture.nColumns);
      const down = evenSize(size, picture.nRows);
      const key = `${look} ${across} ${down} ${picture.nColumns}`;
      let tile = this.kept.get(index);
      if (!tile || tile.key !== key) {
        if (performance.now() < until) tile = this.keep(index, key, paint(picture, across, down));
        else done = false;
      }
      if (!tile) continue;
      context.globalAlpha = dimmed ? 0.13 : 1;
      context.drawImage(
        tile.canvas,
        Math.round(x * ratio + (size - across) / 2),
        Math.round(y * ratio + (size - down) / 2),
        across,
        down,
      );
    }
    context.globalAlpha = 1;
    return done;
  }

  /** @param {number} index @param {string} key @param {ImageData} image */
  keep(index, key, image) {
    if (this.pixels > MAX_KEPT) this.clear();
    const canvas = this.kept.get(index)?.canvas ?? document.createElement("canvas");
    this.pixels += image.width * image.height - (this.kept.has(index) ? canvas.width * canvas.height : 0);
    canvas.width = image.width;
    canvas.height = image.height;
    canvas.getContext("2d")?.putImageData(image, 0, 0);
    const tile = { canvas, key };
    this.kept.set(index, tile);
    return tile;
  }
}
