/**
 * Numbers of a tile to pixels, once; moving and zooming then only copy those.
 * @import { Theme } from "./types.d.ts"
 * @import { PackedTile, Tile } from "./tile.d.ts"
 */
import { unpack } from "./decode.js";

/** @type {Float32Array | null} */
let halves = null;

/** The number that each two bytes of float16 stand for. */
function float16() {
  if (halves) return halves;
  halves = new Float32Array(65536);
  for (let code = 0; code < 65536; code++) {
    const sign = code & 0x8000 ? -1 : 1;
    const exponent = (code >> 10) & 31;
    const fraction = code & 1023;
    halves[code] =
      exponent === 31 ? (fraction ? NaN : sign * Infinity)
      : exponent === 0 ? sign * fraction * 2 ** -24
      : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return halves;
}

/** @param {PackedTile} packed @returns {Promise<Tile>} */
export async function readTile(packed) {
  const bytes = await unpack(packed.planes);
  const [size, nRows, nColumns] = packed.planes.shape;
  const n = nRows * nColumns;
  let values = new Float32Array(n);
  if (size === 2) {
    const table = float16();
    for (let i = 0; i < n; i++) values[i] = table[bytes[i] | (bytes[n + i] << 8)];
  } else {
    const whole = new Uint8Array(4 * n);
    for (let i = 0; i < n; i++) for (let b = 0; b < 4; b++) whole[4 * i + b] = bytes[b * n + i];
    values = new Float32Array(whole.buffer);
  }
  const has = { masked: false, undefined: false, tooLittle: false };
  for (const value of values) {
    if (Number.isFinite(value)) continue;
    if (value === -Infinity) has.masked = true;
    else if (value === Infinity) has.tooLittle = true;
    else has.undefined = true;
  }
  const { query, key, nQueries, nKeys, block } = packed;
  return { query, key, nQueries, nKeys, block, nRows, nColumns, values, has };
}

/**
 * @param {Tile} tile
 * @param {(value: number) => number} place on the ramp, from 0 to 1
 * @param {Theme} theme
 * @returns {HTMLCanvasElement} one pixel a cell; masked cells let the page through
 */
export function paintTile(tile, place, theme) {
  const canvas = document.createElement("canvas");
  canvas.width = tile.nColumns;
  canvas.height = tile.nRows;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser cannot draw on a canvas.");
  const image = context.createImageData(tile.nColumns, tile.nRows);
  const pixels = image.data;
  tile.values.forEach((value, i) => {
    if (value === -Infinity) return;
    const known = Number.isFinite(value);
    const colour = known ? theme.ramp : value === Infinity ? theme.aside : theme.undefined;
    const at = known ? 3 * Math.round(255 * place(value)) : 0;
    pixels[4 * i] = colour[at];
    pixels[4 * i + 1] = colour[at + 1];
    pixels[4 * i + 2] = colour[at + 2];
    pixels[4 * i + 3] = 255;
  });
  context.putImageData(image, 0, 0);
  return canvas;
}

/**
 * Draws a painted tile where it belongs. Where cells are smaller than pixels they are averaged,
 * where they are much larger their edges stay sharp.
 * @param {CanvasRenderingContext2D} context
 * @param {HTMLCanvasElement} painted
 * @param {Tile} tile
 * @param {import("./tile_place.js").Place} place
 * @param {number} ratio
 */
export function drawTile(context, painted, tile, place, ratio) {
  const width = place.look.cell * tile.block;
  const height = place.cellHeight * tile.block;
  const x = place.x(tile.key);
  const y = place.y(tile.query);
  // The last cells may be of fewer tokens than the others; what is beyond the map is cut off.
  context.save();
  context.beginPath();
  context.rect(x, y, place.look.cell * tile.nKeys, place.cellHeight * tile.nQueries);
  context.clip();
  // What is masked is painted nowhere, so what was drawn below has to go.
  context.clearRect(x, y, place.look.cell * tile.nKeys, place.cellHeight * tile.nQueries);
  context.imageSmoothingEnabled = Math.min(width, height) * ratio < 3;
  context.imageSmoothingQuality = "high";
  context.drawImage(painted, x, y, width * tile.nColumns, height * tile.nRows);
  context.restore();
}

/** The cell of a tile that a token of each side is in. @param {Tile} tile @param {number} query @param {number} key */
export function cellAt(tile, query, key) {
  const row = Math.floor((query - tile.query) / tile.block);
  const column = Math.floor((key - tile.key) / tile.block);
  const inside =
    query >= tile.query && query < tile.query + tile.nQueries &&
    key >= tile.key && key < tile.key + tile.nKeys;
  if (!inside) return null;
  const at = { query: tile.query + row * tile.block, key: tile.key + column * tile.block };
  return {
    ...at,
    queryEnd: Math.min(at.query + tile.block, tile.query + tile.nQueries) - 1,
    keyEnd: Math.min(at.key + tile.block, tile.key + tile.nKeys) - 1,
    value: tile.values[row * tile.nColumns + column],
  };
}
