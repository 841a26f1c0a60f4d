/**
 * Vectors as strips of colour, and numbers as bars: what every step is drawn with.
 *
 * A strip is a canvas one pixel high with a pixel for each number, which the style sheet stretches,
 * so it is sharp at any size. It knows its numbers, to tell the one that is pointed at.
 */

/** More cells than this are narrower than a pixel. */
const MAX_CELLS = 800;

/** @type {WeakMap<Element, { numbers: Float32Array, each: number, name: string }>} */
const known = new WeakMap();

/**
 * @param {Float32Array} numbers
 * @param {{ scale: number, ramp: Uint8ClampedArray, name: string }} look
 *   scale: the number at the end of the colours; name: what the vector is, in words
 */
export function strip(numbers, { scale, ramp, name }) {
  const each = Math.ceil(numbers.length / MAX_CELLS);
  const n = Math.ceil(numbers.length / each);
  const canvas = document.createElement("canvas");
  canvas.className = "strip";
  canvas.width = n;
  canvas.height = 1;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", name);
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser cannot draw on a canvas.");
  const pixels = context.createImageData(n, 1);
  for (let cell = 0; cell < n; cell++) {
    const place = Math.min(Math.max(strongest(numbers, cell * each, each) / scale, -1), 1);
    const colour = 3 * Math.round(127.5 * (place + 1));
    pixels.data.set([ramp[colour], ramp[colour + 1], ramp[colour + 2], 255], 4 * cell);
  }
  context.putImageData(pixels, 0, 0);
  known.set(canvas, { numbers, each, name });
  return canvas;
}

/** How many numbers a cell of the strip stands for. @param {Element} canvas */
export function numbersACell(canvas) {
  return known.get(canvas)?.each ?? 1;
}

/**
 * The number of a strip that an event points at.
 * @param {MouseEvent} event
 * @returns {{ place: number, value: number, name: string } | null}
 */
export function pointedAt(event) {
  const canvas = event.target instanceof Element ? event.target : null;
  const vector = canvas && known.get(canvas);
  if (!canvas || !vector) return null;
  const box = canvas.getBoundingClientRect();
  const share = (event.clientX - box.left) / box.width;
  const n = vector.numbers.length;
  const place = Math.min(Math.max(Math.floor(share * n), 0), n - 1);
  return { place, value: vector.numbers[place], name: vector.name };
}

/** @param {Float32Array} numbers @param {number} first @param {number} count */
function strongest(numbers, first, count) {
  let found = 0;
  for (let i = first; i < Math.min(first + count, numbers.length); i++) {
    if (Math.abs(numbers[i]) > Math.abs(found)) found = numbers[i];
  }
  return found;
}

/**
 * A bar that grows from zero to either side, with its number; the bar beneath says what it was.
 * @param {number} value
 * @param {{ low: number, high: number, ghost?: number | null, leaks?: boolean }} look
 */
export function bar(value, { low, high, ghost = null, leaks = false }) {
  const whole = document.createElement("div");
  whole.className = leaks ? "bar leaks" : "bar";
  const track = document.createElement("div");
  track.className = "track";
  if (low < 0) {
    const zero = document.createElement("div");
    zero.className = "zero";
    zero.style.left = `${(-100 * low) / (high - low)}%`;
    track.append(zero);
  }
  for (const [name, number] of /** @type {[string, number | null][]} */ ([["fill", value], ["ghost", ghost]])) {
    if (number === null) continue;
    const fill = document.createElement("div");
    fill.className = number < 0 ? `${name} negative` : name;
    fill.style.left = `${(100 * (Math.min(number, 0) - low)) / (high - low)}%`;
    fill.style.width = `${(100 * Math.abs(number)) / (high - low)}%`;
    track.append(fill);
  }
  const text = document.createElement("span");
  text.className = "number";
  text.textContent = written(value);
  whole.append(track, text);
  return whole;
}

/** A number with about three digits and a real minus. @param {number} value */
export function written(value) {
  const size = Math.abs(value);
  const text = value.toFixed(size < 10 ? 2 : size < 100 ? 1 : 0);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
}
