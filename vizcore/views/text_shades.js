/**
 * From weights to shades: how dark each token of a text is.
 * @import { Close, Shades, Side, Sink } from "./look.d.ts"
 * @import { Rows } from "./rows.js"
 */

/** A logarithmic scale goes over so many powers of ten. */
const DECADES = 3;

/** @typedef {{ high: number, log: boolean, signed: boolean }} Scale */

/** Where a weight is on the scale, from 0 to 1. @param {number} weight @param {Scale} scale */
export function placeOf(weight, { high, log, signed }) {
  const share = Math.min(1, Math.abs(weight) / high);
  const size = !log || share === 0 ? share : Math.max(0, 1 + Math.log10(share) / DECADES);
  return signed ? 0.5 + (Math.sign(weight) * size) / 2 : size;
}

/** The smallest weight that a logarithmic scale tells from 0. @param {Scale} scale */
export function lowest({ high }) {
  return high / 10 ** DECADES;
}

/**
 * The shades of the tokens that one looks at, or that look at one.
 * @param {Rows} rows
 * @param {Close} close
 * @param {{ side: Side, token: number, scale: Scale }} how side and position of that one
 * @returns {Shades}
 */
export function shadesOf(rows, close, { side, token, scale }) {
  const n = side === "query" ? rows.nKeys : rows.nQueries;
  const shades = blank(n, scale);
  for (const { token: other, weight } of close.entries) shades.place[other] = placeOf(weight, scale);
  for (const { token: other } of close.sink) shades.grey[other] = 1;
  for (const other of close.broken) shades.broken[other] = 1;
  for (let other = 0; other < n; other++) {
    const masked = side === "query" ? rows.isMasked(token, other) : rows.isMasked(other, token);
    shades.masked[other] = Number(masked);
  }
  return shades;
}

/**
 * The shades where no token is pointed at: how much each is looked at on average.
 * @param {number[]} average @param {Sink} sink @param {Scale} scale
 * @returns {Shades}
 */
export function shadesOnAverage(average, sink, scale) {
  const shades = blank(average.length, scale);
  average.forEach((weight, key) => (shades.place[key] = placeOf(weight, scale)));
  if (sink !== "keep" && average.length > 1) shades.grey[0] = 1;
  return shades;
}

/** @param {number} n @param {Scale} scale @returns {Shades} */
function blank(n, scale) {
  return {
    place: new Float32Array(n).fill(placeOf(0, scale)),
    masked: new Uint8Array(n),
    broken: new Uint8Array(n),
    grey: new Uint8Array(n),
  };
}
