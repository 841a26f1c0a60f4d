/**
 * Turns the codes of one map into pixels.
 *
 * Where a pixel covers several tokens nothing is skipped: it takes the mean over its queries and,
 * for attention, the sum over its keys (the weight on all that it covers), so that a sharp line
 * stays as bright as it is in a small map; for other values the mean over its keys. Where a token
 * covers several pixels, it is one pixel here, which whoever draws it enlarges.
 * @import { HeadsData, Look, Picture, Theme } from "./heads.d.ts"
 */
import { N_EXTRA } from "./pictures.js";
import { placer } from "./scale.js";

/** pictures.py has the same numbers. */
const LEFT_STEPS = 16;
const NOTHING_LEFT = 255;
const MAX_HALVINGS = 7;

/** Cells that no code stands for: the sink that is left out, and rows that leave too little. */
export const SINK = 1;
export const TOO_LITTLE = 2;

/** Colours along a scale. */
const N_COLOURS = 1023;

/** A cell with a mark is so many pixels wide where there is room, so that the mark is seen. */
const GLYPH = 6;
const MAX_SIDE = 1536;

/**
 * @typedef {{ values: Float32Array, marks: Uint8Array, marked: boolean }} Cells
 *   values: column by column, as they are sent; shares of the scale, of weights the sum over the
 *   cell's keys. marks: 0 where the value counts; marked: whether there is more than masked cells
 */

/**
 * The cells of a picture, the first token taken out if it should be.
 * @param {Picture} picture
 * @param {HeadsData} data
 * @param {import("./heads.d.ts").Sink} sink
 * @returns {Cells}
 */
export function cellsOf(picture, data, sink) {
  const { lines, nRows, nColumns, apart } = picture;
  const { nSteps, marks: codes, minLeft } = data;
  const values = new Float32Array(nRows * nColumns);
  const marks = new Uint8Array(nRows * nColumns);
  const width = data.high - data.low;
  const slope = apart ? 1 / nSteps : (picture.high - picture.low) / width / nSteps;
  const offset = apart ? 0 : (picture.low - data.low) / width;
  const taken = apart && sink !== "keep";
  const divided = taken && sink === "renormalise";
  const factors = new Float32Array(nRows);
  const tooLittle = new Uint8Array(nRows);
  for (let row = 0; row < nRows; row++) {
    const left = apart ? leftOf(lines[row]) : 1;
    const finer = apart ? 2 ** Math.min(MAX_HALVINGS, Math.floor(lines[row] / LEFT_STEPS)) : 1;
    tooLittle[row] = divided && left < minLeft ? 1 : 0;
    factors[row] = slope / finer / (divided && !tooLittle[row] ? left : 1);
  }
  let marked = false;
  for (let column = 0; column < nColumns; column++) {
    const from = (N_EXTRA + column) * nRows;
    const to = column * nRows;
    for (let row = 0; row < nRows; row++) {
      const code = lines[from + row];
      if (code > nSteps) {
        marks[to + row] = code;
        if (code !== codes.masked) marked = true;
      } else if (tooLittle[row]) {
        marks[to + row] = TOO_LITTLE;
        marked = true;
      } else values[to + row] = offset + code * factors[row];
    }
  }
  if (!apart) return { values, marks, marked };
  const whole = nColumns === data.shape[1];
  for (let row = 0; row < nRows; row++) {
    const first = lines[nRows + row];
    if (marks[row] === codes.masked) continue;
    if (taken) {
      if (whole) marks[row] = SINK;
    } else if (first > nSteps) {
      marks[row] = first;
      marked = true;
    } else values[row] += first / nSteps;
  }
  return { values, marks, marked };
}

/** What a query leaves beside the first key. @param {number} code */
export function leftOf(code) {
  return code === NOTHING_LEFT ? 0 : Math.min(1, 2 ** -((code + 0.5) / LEFT_STEPS));
}

/**
 * How much of each cell is in each pixel.
 * @param {number} nCells
 * @param {number} nPixels
 * @returns {{ start: Int32Array, share: Float32Array[] }} the share is of the pixel, sums to 1
 */
function cover(nCells, nPixels) {
  const start = new Int32Array(nPixels);
  const share = [];
  for (let pixel = 0; pixel < nPixels; pixel++) {
    const from = (pixel * nCells) / nPixels;
    const to = ((pixel + 1) * nCells) / nPixels;
    const first = Math.floor(from + 1e-6);
    const last = Math.max(first, Math.ceil(to - 1e-6) - 1);
    const shares = new Float32Array(last - first + 1);
    for (let cell = first; cell <= last; cell++) {
      shares[cell - first] = (Math.min(to, cell + 1) - Math.max(from, cell)) / (to - from);
    }
    start[pixel] = first;
    share.push(shares);
  }
  return { start, share };
}

/**
 * Fewer cells: means over queries, and over keys or, of weights, their sums.
 * @param {Cells} cells
 * @param {[number, number]} from rows and columns
 * @param {[number, number]} to
 * @param {boolean} sums
 * @param {number} masked the mark that lets the page through
 * @returns {Cells}
 */
function fewer(cells, [nRows, nColumns], [height, width], sums, masked) {
  const across = cover(nColumns, width);
  const down = cover(nRows, height);
  const keysPerPixel = sums ? nColumns / width : 1;
  const values = new Float32Array(width * height);
  const marks = new Uint8Array(width * height);
  const sum = new Float32Array(nRows);
  const seen = new Float32Array(nRows);
  const bad = new Uint8Array(nRows);
  for (let x = 0; x < width; x++) {
    sum.fill(0);
    seen.fill(0);
    bad.fill(0);
    const shares = across.share[x];
    for (let k = 0; k < shares.length; k++) {
      const first = (across.start[x] + k) * nRows;
      const share = shares[k];
      for (let row = 0; row < nRows; row++) {
        const mark = cells.marks[first + row];
        if (mark === 0) sum[row] += share * cells.values[first + row];
        else if (mark === masked || mark === SINK) continue;
        else bad[row] = Math.max(bad[row], mark);
        seen[row] += share;
      }
    }
    for (let y = 0; y < height; y++) {
      const parts = down.share[y];
      const start = down.start[y];
      let total = 0;
      let visible = 0;
      let worst = 0;
      for (let k = 0; k < parts.length; k++) {
        total += parts[k] * sum[start + k];
        visible += parts[k] * seen[start + k];
        if (bad[start + k] > worst) worst = bad[start + k];
      }
      const at = x * height + y;
      values[at] = sums || visible === 0 ? total * keysPerPixel : total / visible;
      // Rows that leave too little do not hide the others of their pixel.
      marks[at] = visible === 0 ? masked : worst === TOO_LITTLE && total > 0 ? 0 : worst;
    }
  }
  return { values, marks, marked: cells.marked };
}

/**
 * The colours of evenly spaced values.
 * @param {Uint8ClampedArray} ramp
 * @param {(value: number) => number} place
 * @param {number} low
 * @param {number} high
 */
function colours(ramp, place, low, high) {
  const bytes = new Uint8ClampedArray(4 * (N_COLOURS + 1));
  for (let i = 0; i <= N_COLOURS; i++) {
    const at = 3 * Math.round(255 * place(low + (i / N_COLOURS) * (high - low)));
    bytes.set([ramp[at], ramp[at + 1], ramp[at + 2], 255], 4 * i);
  }
  return new Uint32Array(bytes.buffer);
}

/** One colour as a pixel. @param {readonly [number, number, number]} rgb */
function pixel(rgb) {
  return new Uint32Array(new Uint8ClampedArray([...rgb, 255]).buffer)[0];
}

/** What a logarithmic scale ends at: one step of the codes. @param {HeadsData} data */
export function floorOf(data) {
  return (data.high - data.low) / data.nSteps;
}

/**
 * A function that paints maps.
 * @param {HeadsData} data
 * @param {Theme} theme
 * @param {Look} look
 * @returns {(picture: Picture, width: number, height: number) => ImageData} at most so wide and
 *   high, in device pixels, and one pixel a cell (or, with marks, a few) if that is less
 */
export function painter(data, theme, look) {
  const { masked } = data.marks;
  const middle = data.low < 0 ? 0.5 : 0;
  // In shares of the scale: of values below zero, zero is at a half.
  const scale = (/** @type {number} */ size) =>
    placer({
      low: middle ? -size : 0,
      high: size,
      floor: look.log ? (middle ? 2 : 1) / data.nSteps : null,
    });
  const shared = colours(theme.ramp, scale(1), middle ? -1 : 0, 1);
  const looks = new Map([
    [data.marks.undefined, pixel(theme.undefined)],
    [data.marks.infinite, pixel(theme.infinite)],
    [data.marks.above, shared[N_COLOURS]],
    [data.marks.below, shared[0]],
    [SINK, pixel(theme.aside)],
    [TOO_LITTLE, pixel(theme.aside)],
    [masked, 0],
  ]);
  const dot = pixel(theme.undefined);

  return (picture, width, height) => {
    const { nRows, nColumns } = picture;
    let cells = cellsOf(picture, data, look.sink);
    const to = /** @type {[number, number]} */ ([Math.min(height, nRows), Math.min(width, nColumns)]);
    const coarse = to[0] < nRows || to[1] < nColumns;
    if (coarse) cells = fewer(cells, [nRows, nColumns], to, data.isAttention, masked);
    const { values, marks } = cells;
    let table = shared;
    let reach = 1;
    if (look.own) {
      let most = 0;
      for (let i = 0; i < values.length; i++) {
        if (!marks[i]) most = Math.max(most, middle ? 2 * Math.abs(values[i] - 0.5) : values[i]);
      }
      if (most > 0) reach = most;
      if (look.log) table = colours(theme.ramp, scale(reach), middle ? -reach : 0, reach);
    }
    const image = new ImageData(to[1], to[0]);
    const pixels = new Uint32Array(image.data.buffer);
    const slope = N_COLOURS / reach;
    const zero = middle ? (0.5 - 0.5 / reach) * N_COLOURS : 0;
    for (let x = 0, i = 0; x < to[1]; x++) {
      for (let at = x; at < pixels.length; at += to[1], i++) {
        if (marks[i]) pixels[at] = looks.get(marks[i]) ?? 0;
        else {
          const place = zero + values[i] * slope + 0.5;
          pixels[at] = table[place < 0 ? 0 : place > N_COLOURS ? N_COLOURS : place | 0];
        }
      }
    }
    const enlarged = GLYPH * Math.max(...to);
    const hasRoom = enlarged <= MAX_SIDE && enlarged <= Math.max(width, height);
    if (!cells.marked || coarse || !hasRoom) return image;
    return withGlyphs(image, marks, data, dot);
  };
}

/**
 * The picture with `GLYPH` pixels a cell, on which marks are shapes: a dot on what is beyond the
 * scale, a hole in what is infinite, points for rows that leave too little.
 * @param {ImageData} image
 * @param {Uint8Array} marks
 * @param {HeadsData} data
 * @param {number} dot
 */
function withGlyphs(image, marks, data, dot) {
  const { width, height } = image;
  const small = new Uint32Array(image.data.buffer);
  const large = new ImageData(width * GLYPH, height * GLYPH);
  const pixels = new Uint32Array(large.data.buffer);
  for (let i = 0; i < small.length; i++) {
    const mark = marks[(i % width) * height + Math.floor(i / width)];
    const first = Math.floor(i / width) * GLYPH * width * GLYPH + (i % width) * GLYPH;
    for (let y = 0; y < GLYPH; y++) {
      for (let x = 0; x < GLYPH; x++) {
        const hole = mark === data.marks.infinite || mark === TOO_LITTLE;
        const shape = glyph(mark, x, y, data);
        pixels[first + y * width * GLYPH + x] = !shape ? small[i] : hole ? 0 : dot;
      }
    }
  }
  return large;
}

/**
 * Whether a pixel of a cell belongs to the shape of its mark.
 * @param {number} mark
 * @param {number} x
 * @param {number} y
 * @param {HeadsData} data
 */
function glyph(mark, x, y, { marks }) {
  if (!mark) return false;
  if (mark === TOO_LITTLE) return (x + y) % 3 === 0;
  const middle = x >= 2 && x < GLYPH - 2 && y >= 2 && y < GLYPH - 2;
  return middle && (mark === marks.infinite || mark === marks.above || mark === marks.below);
}

/**
 * The largest size up to `size` that shows every cell equally large, if that costs little.
 * @param {number} size in device pixels
 * @param {number} nCells
 */
export function evenSize(size, nCells) {
  const even = Math.floor(size / nCells) * nCells;
  return even >= 0.88 * size ? even : size;
}
