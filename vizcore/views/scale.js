/**
 * Colour scales, linear or logarithmic, and the first token taken out; what scales.py and sinks.py
 * are for Python.
 *
 * A logarithm has no zero: a logarithmic scale ends at a floor, and what is nearer to zero has the
 * floor's colour. On a scale with negative values the same happens on both sides of zero.
 */

/**
 * @typedef {{ low: number, high: number, floor: number | null }} Scale
 *   low: the value at the ramp's beginning, below 0 if 0 is in its middle; floor: null if linear
 */

/**
 * The place of a value on the ramp, from 0 to 1.
 * @param {Scale} scale
 * @returns {(value: number) => number}
 */
export function placer({ low, high, floor }) {
  const clip = (/** @type {number} */ place) => Math.min(1, Math.max(0, place));
  if (floor === null || !(high > floor)) return (value) => clip((value - low) / (high - low || 1));
  const decades = Math.log(high / floor);
  const above = (/** @type {number} */ size) => (size > floor ? Math.log(size / floor) / decades : 0);
  if (low >= 0) return (value) => clip(above(value));
  return (value) => clip(0.5 + (Math.sign(value) * above(Math.abs(value))) / 2);
}

/**
 * The weights of one query without that on the first key.
 * @param {ArrayLike<number>} weights
 * @param {boolean} renormalise whether the rest is divided by what is left, so that it sums to 1
 * @param {number} minLeft
 * @returns {{ weights: Float32Array, left: number, tooLittle: boolean }} tooLittle: less than
 *   `minLeft` was left, and nothing was divided
 */
export function takeFirst(weights, renormalise, minLeft) {
  const rest = Float32Array.from(weights);
  rest[0] = 0;
  let left = 0;
  for (const weight of rest) if (Number.isFinite(weight)) left += weight;
  const tooLittle = renormalise && left < minLeft;
  if (renormalise && !tooLittle) for (let k = 1; k < rest.length; k++) rest[k] /= left;
  return { weights: rest, left, tooLittle };
}

/** A number for a legend or a tick. @param {number} value */
export function short(value) {
  return Number(value.toPrecision(2)).toString().replace("-", "−");
}
