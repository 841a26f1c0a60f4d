/**
 * Follows attention through all layers: M = r·I + (1 - r)·Ā with rows that sum to 1, one a layer.
 *
 * Of long texts only the largest weights of a row are here, and the others count as spread evenly
 * over the keys among which they lie; flow_pack.py measures how far that is from the truth.
 * @import { FlowLines, FlowPlace, FlowWay, FlowWeights } from "./flow.d.ts"
 */
import { unpack } from "./decode.js";

const FINE = 65_535;

/** A row of which less is left counts as one that has nothing left. */
const NOTHING = 1e-6;

export class Flow {
  /**
   * @param {FlowWeights} packed
   * @param {{ weights: Uint16Array, keys: Uint16Array | null, rest: Uint16Array | null, range: Uint16Array | null }} parts
   */
  constructor(packed, { weights, keys, rest, range }) {
    this.nLayers = packed.nLayers;
    this.nTokens = packed.nTokens;
    this.nKept = packed.nKept;
    this.keys = keys;
    this.range = range;
    const nRows = this.nLayers * this.nTokens;
    this.raw = Float32Array.from(weights, (code) => code / FINE);
    this.rest = rest ? Float32Array.from(rest, (code) => code / FINE) : new Float32Array(nRows);
    /** What each row's kept keys, its other keys, and the place itself hand on. */
    this.weights = new Float32Array(this.raw.length);
    this.spread = new Float32Array(nRows);
    this.self = new Float32Array(nRows);
    this.known = "";
  }

  /** @param {number} row @param {number} place */
  key(row, place) {
    return this.keys ? this.keys[row * this.nKept + place] : place;
  }

  /**
   * Works out M anew where the residual share or the first token's part in it has changed.
   * @param {number} residual @param {boolean} withoutFirst
   */
  mix(residual, withoutFirst) {
    if (this.known === `${residual} ${withoutFirst}`) return;
    this.known = `${residual} ${withoutFirst}`;
    const { nKept, raw } = this;
    for (let row = 0; row < this.self.length; row++) {
      let sum = this.rest[row];
      let kept = 0;
      let first = -1;
      for (let place = 0; place < nKept; place++) {
        sum += raw[row * nKept + place];
        if (raw[row * nKept + place] > 0) kept += 1;
        if (this.key(row, place) === 0) first = place;
      }
      const [low, high] = this.bounds(row);
      const density = this.rest[row] / Math.max(high - low + 1 - kept, 1);
      let scale = 1;
      if (withoutFirst) {
        const gone = first >= 0 ? raw[row * nKept + first] : low === 0 ? density : 0;
        const left = sum - gone;
        scale = left > NOTHING ? sum / left : 0;
        if (scale === 0) sum = 0;
      }
      const total = residual + (1 - residual) * sum;
      const share = total > 0 ? ((1 - residual) * scale) / total : 0;
      for (let place = 0; place < nKept; place++) {
        this.weights[row * nKept + place] = raw[row * nKept + place] * share;
      }
      if (withoutFirst && first >= 0) this.weights[row * nKept + first] = 0;
      this.spread[row] = density * share;
      // A row of which nothing is left stays as it was.
      this.self[row] = total > 0 ? residual / total : 1;
    }
    this.withoutFirst = withoutFirst;
  }

  /** Between which keys a row has any weight. @param {number} row */
  bounds(row) {
    return this.range ? [this.range[2 * row], this.range[2 * row + 1]] : [0, this.nTokens - 1];
  }

  /** Where the even part of a row begins: the first token has none of it where it is taken out. @param {number} row */
  evenly(row) {
    const [low, high] = this.bounds(row);
    return [this.withoutFirst ? Math.max(low, 1) : low, high];
  }

  /**
   * The share of every place, column by column: of what flows into this one, or what of each place
   * came from this one.
   * @param {FlowPlace} place @param {FlowWay} way
   */
  from([column, token], way) {
    const shares = Array.from({ length: this.nLayers + 1 }, () => new Float64Array(this.nTokens));
    shares[column][token] = 1;
    if (way === "into") for (let layer = column - 1; layer >= 0; layer--) this.back(layer, shares[layer + 1], shares[layer]);
    else for (let layer = column; layer < this.nLayers; layer++) this.ahead(layer, shares[layer], shares[layer + 1]);
    return shares;
  }

  /** @param {number} layer @param {Float64Array} later @param {Float64Array} before what is filled */
  back(layer, later, before) {
    const { nKept, nTokens, spread, weights } = this;
    const steps = new Float64Array(nTokens + 1);
    for (let token = 0; token < nTokens; token++) {
      const share = later[token];
      if (share === 0) continue;
      const row = layer * nTokens + token;
      before[token] += share * this.self[row];
      const even = spread[row];
      if (even > 0) {
        const [low, high] = this.evenly(row);
        steps[low] += share * even;
        steps[high + 1] -= share * even;
      }
      for (let place = row * nKept, end = place + nKept; place < end; place++) {
        if (weights[place] === 0) continue;
        before[this.keys ? this.keys[place] : place - row * nKept] += share * (weights[place] - even);
      }
    }
    let sum = 0;
    for (let token = 0; token < nTokens; token++) {
      sum += steps[token];
      before[token] = Math.max(before[token] + sum, 0);
    }
  }

  /** @param {number} layer @param {Float64Array} before @param {Float64Array} later what is filled */
  ahead(layer, before, later) {
    const { nKept, nTokens, spread, weights } = this;
    const sums = new Float64Array(nTokens + 1);
    for (let token = 0; token < nTokens; token++) sums[token + 1] = sums[token] + before[token];
    for (let token = 0; token < nTokens; token++) {
      const row = layer * nTokens + token;
      const even = spread[row];
      const [low, high] = this.evenly(row);
      let share = before[token] * this.self[row] + (even > 0 ? even * (sums[high + 1] - sums[low]) : 0);
      for (let place = row * nKept, end = place + nKept; place < end; place++) {
        if (weights[place] === 0) continue;
        share += (weights[place] - even) * before[this.keys ? this.keys[place] : place - row * nKept];
      }
      later[token] = Math.max(share, 0);
    }
  }

  /**
   * All lines that pass at least a share, strongest last; without shares what each layer takes from
   * other places.
   * @param {Float64Array[] | null} shares @param {FlowWay} way
   * @param {{ column: number, least: number, most: number }} limits column: of the place
   * @returns {FlowLines}
   */
  lines(shares, way, { column, least, most }) {
    const { nKept, nTokens } = this;
    /** @type {number[]} */
    const rows = [];
    /** @type {number[]} */
    const tokens = [];
    /** @type {number[]} */
    const found = [];
    const [begin, end] = !shares ? [0, this.nLayers] : way === "into" ? [0, column] : [column, this.nLayers];
    for (let layer = begin; layer < end; layer++) {
      for (let to = 0; to < nTokens; to++) {
        const later = shares && way === "into" ? shares[layer + 1][to] : 1;
        if (later < least) continue;
        const row = layer * nTokens + to;
        let own = this.self[row];
        for (let place = 0; place < nKept; place++) {
          const weight = this.weights[row * nKept + place];
          if (weight === 0) continue;
          const key = this.key(row, place);
          if (key === to) {
            own += weight;
            continue;
          }
          const share = weight * later * (shares && way === "outOf" ? shares[layer][key] : 1);
          if (share >= least) rows.push(row), tokens.push(key), found.push(share);
        }
        const share = own * later * (shares && way === "outOf" ? shares[layer][to] : 1);
        if (shares && share >= least && share > 0) rows.push(row), tokens.push(to), found.push(share);
      }
    }
    const order = Array.from(found.keys()).sort((one, other) => found[one] - found[other]).slice(-most);
    return {
      n: order.length,
      all: found.length,
      layer: Uint16Array.from(order, (i) => Math.floor(rows[i] / nTokens)),
      to: Uint16Array.from(order, (i) => rows[i] % nTokens),
      from: Uint16Array.from(order, (i) => tokens[i]),
      share: Float32Array.from(order, (i) => found[i]),
    };
  }

  /** How much is looked at each token, in all layers together, by others. */
  received() {
    const sums = new Float64Array(this.nTokens);
    for (let row = 0; row < this.self.length; row++) {
      for (let place = 0; place < this.nKept; place++) {
        const key = this.key(row, place);
        if (key !== row % this.nTokens) sums[key] += this.weights[row * this.nKept + place];
      }
    }
    return sums;
  }
}

/** @param {FlowWeights} packed */
export async function readFlow(packed) {
  const [weights, keys, rest, range] = await Promise.all(
    [packed.weights, packed.keys, packed.rest, packed.range].map(async (one) => {
      if (!one) return null;
      const bytes = await unpack(one);
      const n = bytes.length / 2;
      return Uint16Array.from({ length: n }, (_, i) => bytes[i] + 256 * bytes[n + i]);
    }),
  );
  if (!weights) throw new Error("there are no weights in the data.");
  return new Flow(packed, { weights, keys, rest, range });
}
