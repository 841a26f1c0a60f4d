/**
 * From queries and keys to weights: softmax(cap(scaling · q·k) + bias), over the keys that are not
 * hidden, the sink, and what the keys add that are not here. Sums are in double precision.
 * @import { Against, NeuronViewData } from "./neuron.d.ts"
 */
import { unpack, unpackExactly } from "./decode.js";

/** So many numbers say well enough where the colours should end. */
const SAMPLED = 20_000;

export class Vectors {
  /** @param {NeuronViewData} data @param {Uint8Array | null} hidden */
  constructor(data, hidden) {
    this.data = data;
    this.hidden = hidden;
    this.queries = unpackExactly(data.queries);
    this.keys = unpackExactly(data.keys);
    this.bias = data.bias && unpackExactly(data.bias);
    this.size = data.keys.shape[1];
    this.nKeys = data.keys.shape[0];
    this.nQueries = data.queries.shape[0];
    /** The number at the end of the colours of queries and keys. */
    this.scale = quantile([this.queries, this.keys], 0.97);
    this.broken = this.queries.some(isBroken) || this.keys.some(isBroken);
  }

  /** Whether the query of that token is here. @param {number} token */
  has(token) {
    return token >= this.data.first && token < this.data.first + this.nQueries;
  }

  /** The position of a key in the text. @param {number} key */
  position(key) {
    return this.data.positions ? this.data.positions[key] : key;
  }

  /** The key at a position of the text, or -1 if it is not here. @param {number} position */
  keyAt(position) {
    return this.data.positions ? this.data.positions.indexOf(position) : position < this.nKeys ? position : -1;
  }

  /** @param {number} key */
  key(key) {
    return this.keys.subarray(key * this.size, (key + 1) * this.size);
  }

  /** One query against all keys. @param {number} token @returns {Against} */
  against(token) {
    const { size, nKeys, data } = this;
    const place = token - data.first;
    const query = this.queries.subarray(place * size, (place + 1) * size);
    const bias = this.bias && this.bias.subarray(place * nKeys, (place + 1) * nKeys);
    const hidden = this.hidden && this.hidden.subarray(place * nKeys, (place + 1) * nKeys);
    const products = new Float32Array(nKeys * size);
    const [dots, scaled, capped, scores, weights] = [0, 1, 2, 3, 4].map(() => new Float64Array(nKeys));
    for (let key = 0; key < nKeys; key++) {
      let sum = 0;
      for (let d = 0; d < size; d++) {
        const product = query[d] * this.keys[key * size + d];
        products[key * size + d] = product;
        sum += product;
      }
      dots[key] = sum;
      scaled[key] = sum * data.scaling;
      capped[key] = data.softcap === null ? scaled[key] : data.softcap * Math.tanh(scaled[key] / data.softcap);
      scores[key] = hidden?.[key] ? -Infinity : capped[key] + (bias ? bias[key] : 0);
    }
    const others = [data.sink ?? -Infinity, data.rest?.logit ?? -Infinity];
    let largest = Math.max(...others);
    for (const score of scores) largest = Math.max(largest, score);
    const power = (/** @type {number} */ score) => (score === -Infinity ? 0 : Math.exp(score - largest));
    let total = power(others[0]) + power(others[1]);
    for (const score of scores) total += power(score);
    // A query that may look at nothing gives no weight to anything.
    const share = (/** @type {number} */ score) => (total === 0 ? 0 : power(score) / total);
    for (let key = 0; key < nKeys; key++) weights[key] = share(scores[key]);
    return {
      token, query, products, dots, scaled, capped, bias, hidden, scores, weights,
      sinkWeight: share(others[0]),
      restWeight: share(others[1]),
    };
  }
}

/** @param {NeuronViewData} data */
export async function readVectors(data) {
  return new Vectors(data, data.hidden && (await unpack(data.hidden)));
}

/** @param {number} number */
function isBroken(number) {
  return !Number.isFinite(number);
}

/** Below which such a share of the sizes lies. @param {Float32Array[]} arrays @param {number} share */
export function quantile(arrays, share) {
  /** @type {number[]} */
  const sizes = [];
  for (const numbers of arrays) {
    const step = Math.max(1, Math.floor(numbers.length / SAMPLED));
    for (let i = 0; i < numbers.length; i += step) if (!isBroken(numbers[i])) sizes.push(Math.abs(numbers[i]));
  }
  sizes.sort((one, other) => one - other);
  return sizes[Math.floor(share * (sizes.length - 1))] || 1;
}

/** 0, 1, 2 … sorted by a number of each, the largest first; what is no number comes last.
 * @param {ArrayLike<number>} numbers */
export function descending(numbers) {
  const rank = (/** @type {number} */ value) => (Number.isNaN(value) ? -Infinity : value);
  const order = Int32Array.from(numbers, (_, place) => place);
  return order.sort((one, other) => {
    const [a, b] = [rank(numbers[one]), rank(numbers[other])];
    return a === b ? one - other : b > a ? 1 : -1;
  });
}

/** 0, 1, 2 … @param {number} n */
export function ascending(n) {
  return Int32Array.from({ length: n }, (_, place) => place);
}
