/**
 * Turns the codes of one map into pixels.
 *
 * Where a pixel covers several tokens nothing is skipped: it takes the mean over its queries and,
 * for attention, the sum over its keys (the weight on all that it covers), so that a sharp line
 * stays as bright as it is in a small map; for other values the mean over its keys.
 * @import { Maps, Theme } from "./types.d.ts"
 */

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
 * A function that paints maps of one size onto pictures of one size.
 * @param {Maps} maps
 * @param {number} width in device pixels
 * @param {number} height
 * @param {Theme} theme
 * @returns {(index: number, ownScale: boolean) => ImageData}
 */
export function painter(maps, width, height, theme) {
  const { codes, nRows, nColumns, data } = maps;
  const { nSteps, undefinedCode, maskedCode } = data;
  const across = cover(nColumns, width);
  const down = cover(nRows, height);
  const keysPerPixel = data.isAttention ? Math.max(1, nColumns / width) : 1;
  const coarse = nColumns > width || nRows > height;
  const value = new Float32Array(width * height);
  const visible = new Float32Array(width * height);
  const broken = new Uint8Array(width * height);
  const rowValue = new Float32Array(nRows * width);
  const rowVisible = new Float32Array(nRows * width);
  const rowBroken = new Uint8Array(nRows * width);

  return (index, ownScale) => {
    const offset = index * nRows * nColumns;
    for (let row = 0; row < nRows; row++) {
      for (let x = 0; x < width; x++) {
        let sum = 0;
        let seen = 0;
        let bad = 0;
        const shares = across.share[x];
        const first = offset + row * nColumns + across.start[x];
        for (let k = 0; k < shares.length; k++) {
          const code = codes[first + k];
          if (code === maskedCode) continue;
          seen += shares[k];
          if (code === undefinedCode) bad = 1;
          else sum += shares[k] * code;
        }
        const at = row * width + x;
        rowValue[at] = (sum * keysPerPixel) / nSteps;
        rowVisible[at] = seen;
        rowBroken[at] = bad;
      }
    }
    let largest = 0;
    for (let y = 0; y < height; y++) {
      const shares = down.share[y];
      for (let x = 0; x < width; x++) {
        let sum = 0;
        let seen = 0;
        let bad = 0;
        for (let k = 0; k < shares.length; k++) {
          const at = (down.start[y] + k) * width + x;
          sum += shares[k] * rowValue[at];
          seen += shares[k] * rowVisible[at];
          bad |= rowBroken[at];
        }
        const at = y * width + x;
        // At the edge of what is masked, a large pixel is the weight it holds, a small one is the
        // colour of its cell, let through in part.
        value[at] = (coarse && data.isAttention) || seen === 0 ? sum : sum / seen;
        visible[at] = coarse && seen > 0 ? 1 : seen;
        broken[at] = bad;
        if (seen > 0 && value[at] > largest) largest = value[at];
      }
    }
    const stretch = ownScale && largest > 0 && data.low === 0 ? 255 / largest : 255;
    const image = new ImageData(width, height);
    for (let at = 0; at < value.length; at++) {
      const place = 3 * Math.min(255, Math.max(0, Math.round(value[at] * stretch)));
      for (let c = 0; c < 3; c++) {
        image.data[4 * at + c] = broken[at] ? theme.undefined[c] : theme.ramp[place + c];
      }
      image.data[4 * at + 3] = 255 * visible[at];
    }
    return image;
  };
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
