/**
 * Reads what rows.py packed: what one query looks at, and what looks at one key.
 * @import { PackedRows } from "./look.d.ts"
 * @import { Packed } from "./types.d.ts"
 */
import { unpack } from "./decode.js";

/** @typedef {{ nSteps: number, undefinedCode: number, maskedCode: number }} Codes */
/** @typedef {{ codes: Uint8Array, places: Uint8Array, rest: Float32Array, nKept: number }} Kept */

export class Rows {
  /**
   * @param {PackedRows} packed
   * @param {Codes} special
   * @param {{ codes: Uint8Array, rows: Kept | null, columns: Kept | null, first: Uint8Array | null,
   *   visible: Uint8Array | null, nQueries: number, nKeys: number }} parts
   */
  constructor(packed, special, { codes, rows, columns, first, visible, nQueries, nKeys }) {
    this.packed = packed;
    this.codes = codes;
    this.rows = rows;
    this.columns = columns;
    this.firstCodes = first;
    this.bounds = visible;
    this.nQueries = nQueries;
    this.nKeys = nKeys;
    this.nMaps = packed.codes.shape[0];
    this.masked = special.maskedCode;
    this.value = table(packed.high, packed.signed, packed.fine, special);
    /** How far a number may be from the true one. */
    this.error = ((packed.signed ? 2 : 1) * (packed.fine ? 2 : 1) * packed.high) / (2 * special.nSteps);
    /** What a row sums to without its first key, by map, once somebody asks. @type {Float32Array[]} */
    this.leftovers = [];
  }

  /** Whether every weight is here. */
  get whole() {
    return this.rows === null;
  }

  /**
   * Visits what a query looks at: every weight that is here and is not 0; NaN where it is none.
   * @param {number} map @param {number} query @param {(key: number, weight: number) => void} visit
   */
  each(map, query, visit) {
    const { rows, codes, value, masked, nKeys } = this;
    if (rows) return this.eachKept(rows, map * this.nQueries + query, visit);
    const start = (map * this.nQueries + query) * nKeys;
    for (let key = 0; key < nKeys; key++) {
      const code = codes[start + key];
      if (code !== masked && value[code] !== 0) visit(key, value[code]);
    }
  }

  /**
   * Visits what looks at a key, likewise.
   * @param {number} map @param {number} key @param {(query: number, weight: number) => void} visit
   */
  eachOf(map, key, visit) {
    const { rows, columns, codes, value, masked, nQueries, nKeys } = this;
    if (columns) return this.eachKept(columns, map * nKeys + key, visit);
    for (let query = 0; query < nQueries; query++) {
      if (rows) {
        this.each(map, query, (other, weight) => other === key && visit(query, weight));
        continue;
      }
      const code = codes[(map * nQueries + query) * nKeys + key];
      if (code !== masked && value[code] !== 0) visit(query, value[code]);
    }
  }

  /** @param {Kept} kept @param {number} row @param {(place: number, weight: number) => void} visit */
  eachKept({ codes, places, nKept }, row, visit) {
    for (let at = row * nKept; at < (row + 1) * nKept; at++) {
      const code = codes[at];
      if (code === this.masked || this.value[code] === 0) continue;
      visit(places[2 * at] + 256 * places[2 * at + 1], this.value[code]);
    }
  }

  /** What a query gives to keys that are not here. @param {number} map @param {number} query */
  rest(map, query) {
    return this.rows ? this.rows.rest[map * this.nQueries + query] : 0;
  }

  /** What a key gets from queries that are not here. @param {number} map @param {number} key */
  restOf(map, key) {
    return this.columns ? this.columns.rest[map * this.nKeys + key] : 0;
  }

  /** What a query gives to the first key. @param {number} map @param {number} query */
  first(map, query) {
    const at = map * this.nQueries + query;
    const code = this.firstCodes ? this.firstCodes[at] : this.codes[at * this.nKeys];
    return code === this.masked ? 0 : this.value[code];
  }

  /** What each query of a map gives to all keys but the first. @param {number} map */
  withoutFirst(map) {
    if (!this.leftovers[map]) {
      const left = new Float32Array(this.nQueries);
      for (let query = 0; query < this.nQueries; query++) {
        let sum = this.rest(map, query);
        this.each(map, query, (key, weight) => (sum += key ? weight : 0));
        left[query] = sum;
        // Where the first key is not among the strongest, the rest has it.
        if (this.rows && !this.keeps(map, query, 0)) left[query] -= this.first(map, query);
      }
      this.leftovers[map] = left;
    }
    return this.leftovers[map];
  }

  /** @param {number} map @param {number} query @param {number} key */
  keeps(map, query, key) {
    if (!this.rows) return true;
    const { places, nKept, codes } = this.rows;
    const row = map * this.nQueries + query;
    for (let at = row * nKept; at < (row + 1) * nKept; at++) {
      if (places[2 * at] + 256 * places[2 * at + 1] === key && codes[at] !== this.masked) return true;
    }
    return false;
  }

  /** Whether a query may not look at a key. @param {number} query @param {number} key @param {number} [map] */
  isMasked(query, key, map = 0) {
    if (!this.rows) return this.codes[(map * this.nQueries + query) * this.nKeys + key] === this.masked;
    if (!this.bounds) return false;
    const [first, end] = this.range(query);
    return key < first || key >= end;
  }

  /** The first key that a query may look at, and the one after the last. @param {number} query */
  range(query) {
    const { bounds } = this;
    if (!bounds) return [0, this.nKeys];
    const [low, high, endLow, endHigh] = bounds.subarray(4 * query, 4 * query + 4);
    return [low + 256 * high, endLow + 256 * endHigh];
  }

  get hasMasked() {
    return this.bounds !== null;
  }
}

/** What each code stands for. @param {number} high @param {boolean} signed @param {boolean} fine @param {Codes} special */
function table(high, signed, fine, { nSteps, undefinedCode, maskedCode }) {
  const value = new Float32Array(256);
  for (let code = 0; code <= nSteps; code++) {
    const place = signed ? (2 * code) / nSteps - 1 : code / nSteps;
    value[code] = high * (fine ? place * Math.abs(place) : place);
  }
  value[undefinedCode] = NaN;
  value[maskedCode] = 0;
  return value;
}

/**
 * @param {PackedRows} packed
 * @param {Codes} special
 * @param {{ nQueries: number, nKeys: number }} size
 */
export async function readRows(packed, special, { nQueries, nKeys }) {
  const some = (/** @type {Packed | null} */ one) => (one ? unpack(one) : null);
  const [codes, keys, rest, first, visible] = await Promise.all(
    [packed.codes, packed.keys, packed.rest, packed.first, packed.visible].map(some),
  );
  if (!codes) throw new Error("there are no weights in the data.");
  const kept = (/** @type {Uint8Array} */ own, /** @type {Uint8Array} */ places,
    /** @type {Uint8Array} */ others, /** @type {number} */ high, /** @type {number} */ nKept) => {
    const value = table(high, false, true, special);
    return { codes: own, places, rest: Float32Array.from(others, (code) => value[code]), nKept };
  };
  const rows = keys && rest ? kept(codes, keys, rest, packed.restHigh ?? 1, packed.codes.shape[2]) : null;
  const { queries } = packed;
  const columns = queries && kept(
    await unpack(queries.codes), await unpack(queries.keys), await unpack(queries.rest),
    queries.restHigh, queries.codes.shape[2],
  );
  return new Rows(packed, special, { codes, rows, columns, first, visible, nQueries, nKeys });
}
