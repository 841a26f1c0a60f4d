/**
 * The rows of the neuron view: a key, its strip, the strip of its products, its score and weight.
 *
 * Of a thousand keys only the rows in sight exist; scrolling fills the same ones anew.
 * @import { Against, RowLook } from "./neuron.d.ts"
 */
import { part } from "./parts.js";
import { bar, written } from "./strips.js";

/** Height of a row, in CSS pixels; the style sheet has the same. */
export const ROW = 22;

/** Rows that are kept ready above and below what is in sight. */
const SPARE = 4;

/**
 * @typedef {{ element: HTMLElement, position: HTMLElement, token: HTMLElement, key: HTMLCanvasElement,
 *   product: HTMLCanvasElement, dot: HTMLElement, score: HTMLElement, weight: HTMLElement }} Row
 */

/** A weight with three decimals. @param {number} weight */
export function share(weight) {
  return Number.isNaN(weight) ? "NaN" : weight > 0 && weight < 0.0005 ? "< 0.001" : weight.toFixed(3);
}

/**
 * Colours the cells of a strip.
 * @param {HTMLCanvasElement} canvas
 * @param {Float32Array} numbers
 * @param {{ dimensions: Int32Array, scale: number, ramp: Uint8ClampedArray, undefined: [number, number, number] }} look
 */
export function paint(canvas, numbers, { dimensions, scale, ramp, undefined: broken }) {
  const n = numbers.length;
  if (canvas.width !== n || canvas.height !== 1) [canvas.width, canvas.height] = [n, 1];
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser cannot draw on a canvas.");
  const image = context.createImageData(n, 1);
  for (let cell = 0; cell < n; cell++) {
    const number = numbers[dimensions[cell]];
    if (!Number.isFinite(number)) {
      image.data.set([...broken, 255], 4 * cell);
      continue;
    }
    const at = 3 * Math.round(127.5 * (Math.min(Math.max(number / scale, -1), 1) + 1));
    image.data.set([ramp[at], ramp[at + 1], ramp[at + 2], 255], 4 * cell);
  }
  context.putImageData(image, 0, 0);
}

export class RowTable {
  /**
   * @param {HTMLElement} scroller what scrolls
   * @param {HTMLElement} list what holds the rows
   * @param {string} id of the list, from which those of its rows are made
   */
  constructor(scroller, list, id) {
    this.scroller = scroller;
    this.list = list;
    this.id = id;
    /** @type {Row[]} */
    this.rows = [];
  }

  /**
   * Fills the rows that are in sight.
   * @param {Against} against
   * @param {import("./neuron_numbers.js").Vectors} vectors
   * @param {RowLook} look
   * @param {{ chosen: number, isQuery: (key: number) => boolean, called: (what: string, key: number) => string }} how
   */
  fill(against, vectors, look, { chosen, isQuery, called }) {
    const nRows = look.keys.length;
    this.list.style.height = `${nRows * ROW}px`;
    const top = this.scroller.scrollTop;
    const first = Math.max(0, Math.floor(top / ROW) - SPARE);
    const nShown = Math.min(nRows, Math.ceil(this.scroller.clientHeight / ROW) + 2 * SPARE);
    while (this.rows.length < nShown) this.rows.push(this.made());
    this.rows.forEach((row, place) => {
      row.element.hidden = place >= nShown;
    });
    const range = ends(against.scores);
    const high = Math.max(...against.weights, against.sinkWeight, against.restWeight, 1e-9);
    for (let place = 0; place < nShown; place++) {
      // A row keeps its element as long as it is in sight.
      const index = first + ((place - first) % nShown + nShown) % nShown;
      const row = this.rows[place];
      row.element.hidden = index >= nRows;
      if (index >= nRows) continue;
      const key = look.keys[index];
      const position = vectors.position(key);
      const isHidden = Boolean(against.hidden?.[key]);
      row.element.style.transform = `translateY(${index * ROW}px)`;
      row.element.dataset.key = String(key);
      row.element.id = `${this.id}-${index}`;
      row.element.setAttribute("aria-posinset", String(index + 1));
      row.element.setAttribute("aria-setsize", String(nRows));
      row.element.setAttribute("aria-selected", String(key === chosen));
      row.element.setAttribute("aria-label", called(isHidden ? "hiddenRow" : "row", key));
      row.element.classList.toggle("masked", isHidden);
      row.element.classList.toggle("looking", isQuery(position));
      row.position.textContent = String(position);
      row.token.textContent = vectors.data.keyTokens[position];
      const { dimensions, ramp } = look;
      const strips = { dimensions, ramp, undefined: look.undefined };
      paint(row.key, vectors.key(key), { ...strips, scale: look.vectorScale });
      const products = against.products.subarray(key * vectors.size, (key + 1) * vectors.size);
      paint(row.product, products, { ...strips, scale: look.productScale });
      row.dot.textContent = written(against.dots[key]);
      const score = against.scores[key];
      row.score.replaceChildren(
        isHidden ? part("span", "gone", "−∞")
        : Number.isFinite(score) ? bar(score, range)
        : part("span", "broken", vectors.data.texts.undefined),
      );
      row.weight.replaceChildren(isHidden ? part("span", "none", "0") : weightBar(against.weights[key], high));
    }
  }

  /** @returns {Row} */
  made() {
    const element = part("div", "row");
    element.setAttribute("role", "option");
    const label = part("span", "label");
    const position = part("span", "position");
    const token = part("bdi", "token");
    label.append(position, token);
    const [key, product] = ["key", "product"].map((name) => {
      const canvas = document.createElement("canvas");
      canvas.className = `strip ${name}`;
      return canvas;
    });
    const [dot, score, weight] = ["number", "score", "weight"].map((name) => part("span", name));
    element.append(label, key, product, dot, score, weight);
    this.list.append(element);
    return { element, position, token, key, product, dot, score, weight };
  }

  /** Scrolls until a row is in sight. @param {number} index @param {number} covered by the head of the table */
  reveal(index, covered) {
    const { scroller } = this;
    const room = scroller.clientHeight - covered;
    const above = index * ROW;
    if (scroller.scrollTop > above) scroller.scrollTop = above;
    else if (scroller.scrollTop < above + ROW - room) scroller.scrollTop = above + ROW - room;
  }
}

/** @param {number} weight @param {number} high */
export function weightBar(weight, high) {
  const whole = bar(Number.isFinite(weight) ? weight : 0, { low: 0, high });
  const number = whole.querySelector(".number");
  if (number) number.textContent = share(weight);
  return whole;
}

/** Between which numbers the bars of the scores lie; zero is always there. @param {Float64Array} scores */
function ends(scores) {
  let [low, high] = [0, 0];
  for (const score of scores) {
    if (!Number.isFinite(score)) continue;
    low = Math.min(low, score);
    high = Math.max(high, score);
  }
  return { low, high: high - low > 1e-9 ? high : low + 1e-9 };
}
