/**
 * Where the map of each head goes: all layers × heads in the given box, as large as can be.
 *
 * Layers go down or across, and are cut into blocks if that makes the maps larger: 30 layers of 9
 * heads in a box that is taller than wide become two blocks of 15.
 * @import { Arrangement, Flow } from "./heads.d.ts"
 */

export const MIN_PITCH = 16;
export const MAX_PITCH = 140;

/** Room for a number beside and above the maps, for the word "Layer" or "Head", between blocks. */
export const NUMBER_WIDTH = 20;
export const NUMBER_HEIGHT = 16;
export const TITLE = 17;
const BLOCK_GAP = 8;

/** Prefers what is read more easily (layers down, one block) over maps that are barely larger. */
const TASTE = 0.94;

/**
 * @param {{ width: number, height: number, nLayers: number, nHeads: number, zoom?: number }} box
 *   in CSS pixels; zoom: how many times larger than fits the maps are
 * @returns {Arrangement}
 */
export function arrange({ width, height, nLayers, nHeads, zoom = 1 }) {
  /** @type {{ across: boolean, nBlocks: number, layersPerBlock: number, columns: number, rows: number,
   *   fixedWidth: number, fixedHeight: number, pitch: number, taste: number }[]} */
  const plans = [];
  for (const across of [false, true]) {
    for (let layersPerBlock = nLayers; layersPerBlock >= 1; layersPerBlock--) {
      const nBlocks = Math.ceil(nLayers / layersPerBlock);
      if (Math.ceil(nLayers / nBlocks) !== layersPerBlock) continue;
      const columns = across ? layersPerBlock : nHeads * nBlocks;
      const rows = across ? nHeads * nBlocks : layersPerBlock;
      const margins = (across ? 1 : nBlocks) * NUMBER_WIDTH + (across ? 0 : nBlocks - 1) * BLOCK_GAP;
      const headers = (across ? nBlocks : 1) * NUMBER_HEIGHT + (across ? nBlocks - 1 : 0) * BLOCK_GAP;
      const fixedWidth = TITLE + margins;
      const fixedHeight = TITLE + headers;
      const pitch = Math.floor(
        Math.min((width - fixedWidth) / columns, (height - fixedHeight) / rows, MAX_PITCH),
      );
      const taste = (across ? TASTE : 1) * (nBlocks > 1 ? TASTE : 1);
      plans.push({ across, nBlocks, layersPerBlock, columns, rows, fixedWidth, fixedHeight, pitch, taste });
    }
  }
  const largest = Math.max(...plans.map((plan) => plan.pitch));
  let plan;
  if (largest >= MIN_PITCH) {
    plan = plans.reduce((best, one) => (one.pitch * one.taste > best.pitch * best.taste ? one : best));
  } else {
    // Too many to see at once: full width, scrolled down.
    const fits = plans.filter((one) => one.columns * MIN_PITCH + one.fixedWidth <= width);
    const size = (/** @type {typeof plans[0]} */ one) =>
      fits.length ? one.rows * MIN_PITCH + one.fixedHeight : one.columns * MIN_PITCH + one.fixedWidth;
    plan = (fits.length ? fits : plans).reduce((best, one) => (size(one) < size(best) ? one : best));
    plan.pitch = MIN_PITCH;
  }
  const { across, nBlocks, layersPerBlock } = plan;
  const pitch = Math.round(plan.pitch * zoom);
  const gap = gapOf(pitch);
  const size = pitch - gap;
  const stride = across
    ? nHeads * pitch + NUMBER_HEIGHT + BLOCK_GAP
    : nHeads * pitch + NUMBER_WIDTH + BLOCK_GAP;
  const left = TITLE + NUMBER_WIDTH;
  const top = TITLE + NUMBER_HEIGHT;

  /** @type {Arrangement["box"]} */
  const box = (layer, head) => {
    const block = Math.floor(layer / layersPerBlock);
    const along = (layer % layersPerBlock) * pitch;
    const beside = head * pitch + block * stride;
    return across
      ? { x: left + along, y: top + beside, size }
      : { x: left + beside, y: top + along, size };
  };

  /** @type {Arrangement["at"]} */
  const at = (x, y) => {
    const along = across ? x - left : y - top;
    const beside = across ? y - top : x - left;
    const block = Math.floor(beside / stride);
    const step = Math.floor(along / pitch);
    const head = Math.floor((beside - block * stride) / pitch);
    const layer = block * layersPerBlock + step;
    const inside =
      block >= 0 && block < nBlocks && step >= 0 && step < layersPerBlock && head >= 0 && head < nHeads;
    return inside && layer < nLayers ? [layer, head] : null;
  };

  return {
    pitch,
    size,
    width: plan.columns * pitch + plan.fixedWidth,
    height: plan.rows * pitch + plan.fixedHeight,
    across,
    nBlocks,
    layersPerBlock,
    box,
    at,
  };
}

/** @param {number} pitch */
function gapOf(pitch) {
  return pitch >= 60 ? 5 : pitch >= 24 ? 3 : 2;
}

/** Room for a head's name above its map, where the map is wide enough for one. */
const CAPTION = 14;
const MIN_CAPTIONED = 44;

/**
 * So many maps one after the other, in rows, as large as can be.
 * @param {{ width: number, height: number, n: number, zoom?: number }} box in CSS pixels
 * @returns {Flow}
 */
export function flow({ width, height, n, zoom = 1 }) {
  const captionOf = (/** @type {number} */ pitch) => (pitch >= MIN_CAPTIONED ? CAPTION : 0);
  let columns = 1;
  let fitting = 0;
  for (let tried = 1; tried <= Math.max(1, n); tried++) {
    const rows = Math.ceil(n / tried);
    const broad = Math.floor(Math.min(width / tried, MAX_PITCH));
    // A map is as high as wide, and has its name above it if it is large enough.
    const high = Math.floor(height / rows);
    const named = Math.min(broad, high - CAPTION);
    const pitch = named >= MIN_CAPTIONED ? named : Math.min(broad, high, MIN_CAPTIONED - 1);
    if (pitch >= fitting) [columns, fitting] = [tried, pitch];
  }
  if (fitting < MIN_PITCH) {
    columns = Math.max(1, Math.floor(width / MIN_PITCH));
    fitting = MIN_PITCH;
  }
  const pitch = Math.round(fitting * zoom);
  const caption = captionOf(pitch);
  const size = pitch - gapOf(pitch);
  const stride = pitch + caption;
  return {
    pitch,
    size,
    width: Math.min(columns, n) * pitch,
    height: Math.ceil(n / columns) * stride,
    columns,
    caption,
    box: (position) => ({
      x: (position % columns) * pitch,
      y: Math.floor(position / columns) * stride + caption,
      size,
    }),
    at: (x, y) => {
      const column = Math.floor(x / pitch);
      const position = Math.floor(y / stride) * columns + column;
      return column >= 0 && column < columns && position >= 0 && position < n ? position : -1;
    },
  };
}
