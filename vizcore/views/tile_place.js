/**
 * What part of a map is seen: moving, zooming, and which tile that needs. No drawing in here.
 * @import { Frame, Look, Tile, Wanted } from "./tile.d.ts"
 */

/** A token is never larger than so many CSS pixels. */
export const MAX_CELL = 44;

/** Of what is seen, so much more is asked for on each side, so that moving finds it there. */
const MARGIN = 0.25;

/** A new tile is asked for before the margin is used up: while this much of what is seen is left. */
const RESERVE = 0.1;

/** A map that is longer than wide, or the other way round, by more than this fills its frame. */
const MOST_UNEQUAL = 3;

export class Place {
  constructor() {
    /** @type {[number, number]} queries and keys */
    this.shape = [1, 1];
    /** @type {Frame} */
    this.frame = { left: 0, top: 0, width: 1, height: 1 };
    /** @type {Look} */
    this.look = { key: 0, query: 0, cell: 0 };
    /** How tall a cell is, as a multiple of how wide. */
    this.tall = 1;
  }

  /** @param {[number, number]} shape @param {Frame} frame */
  fit(shape, frame) {
    const whole = this.look.cell <= this.leastCell * 1.001;
    this.shape = shape;
    this.frame = frame;
    const ratio = shape[1] / shape[0];
    const fills = ratio > MOST_UNEQUAL || ratio < 1 / MOST_UNEQUAL;
    this.tall = fills ? (frame.height / shape[0]) / (frame.width / shape[1]) : 1;
    if (whole) this.look = { key: 0, query: 0, cell: 0 };
    this.settle();
  }

  /** The size of a token with which the whole map is seen. */
  get leastCell() {
    const [nQueries, nKeys] = this.shape;
    return Math.min(this.frame.width / nKeys, this.frame.height / (nQueries * this.tall));
  }

  get mostCell() {
    return Math.max(this.leastCell, MAX_CELL / Math.max(1, this.tall));
  }

  /**
   * On the canvas, the middle of the whole map, which may leave room beside it. What is zoomed there
   * stays there, so that of a text that looks at itself the diagonal stays in sight.
   * @returns {[number, number]}
   */
  get middle() {
    const { frame, shape, leastCell, tall } = this;
    const [nQueries, nKeys] = shape;
    return [frame.left + (leastCell * nKeys) / 2, frame.top + (leastCell * tall * nQueries) / 2];
  }

  get isWhole() {
    return this.look.cell <= this.leastCell * 1.001;
  }

  get cellHeight() {
    return this.look.cell * this.tall;
  }

  /**
   * Keeps the map where the whole of it would be: what zooming is aimed at can then stay in place
   * also where the frame has room beside the map.
   */
  settle() {
    const { look, shape, leastCell } = this;
    look.cell = Math.min(this.mostCell, Math.max(leastCell, look.cell));
    const share = leastCell / look.cell;
    look.key = Math.max(0, Math.min(look.key, shape[1] * (1 - share)));
    look.query = Math.max(0, Math.min(look.query, shape[0] * (1 - share)));
  }

  /** @param {number} x CSS pixels @param {number} y */
  move(x, y) {
    this.look.key -= x / this.look.cell;
    this.look.query -= y / this.cellHeight;
    this.settle();
  }

  /** Zooms so that what is at a place of the canvas stays there. @param {number} factor @param {number} x @param {number} y */
  zoom(factor, x, y) {
    const at = this.under(x, y);
    this.look.cell = Math.min(this.mostCell, Math.max(this.leastCell, this.look.cell * factor));
    this.look.key = at.key - (x - this.frame.left) / this.look.cell;
    this.look.query = at.query - (y - this.frame.top) / this.cellHeight;
    this.settle();
  }

  /** The tokens at a place of the canvas, with fractions. @param {number} x @param {number} y */
  under(x, y) {
    return {
      key: this.look.key + (x - this.frame.left) / this.look.cell,
      query: this.look.query + (y - this.frame.top) / this.cellHeight,
    };
  }

  /** @param {number} key */
  x(key) {
    return this.frame.left + (key - this.look.key) * this.look.cell;
  }

  /** @param {number} query */
  y(query) {
    return this.frame.top + (query - this.look.query) * this.cellHeight;
  }

  /** The tokens that are seen, from the first to the one after the last. */
  get seen() {
    const { look, frame, shape } = this;
    const end = (/** @type {number} */ value, /** @type {number} */ most) => Math.min(most, Math.ceil(value - 1e-6));
    return {
      key: Math.floor(look.key + 1e-6),
      query: Math.floor(look.query + 1e-6),
      keyEnd: end(look.key + frame.width / look.cell, shape[1]),
      queryEnd: end(look.query + frame.height / this.cellHeight, shape[0]),
    };
  }

  /** How far the map reaches on the canvas. */
  get extent() {
    const { frame } = this;
    return {
      right: Math.min(frame.left + frame.width, this.x(this.shape[1])),
      bottom: Math.min(frame.top + frame.height, this.y(this.shape[0])),
    };
  }

  /** What a tile for what is seen, and a margin, would be. @returns {Wanted} */
  get wanted() {
    const { key, query, keyEnd, queryEnd } = this.seen;
    const [nQueries, nKeys] = this.shape;
    const across = Math.ceil((keyEnd - key) * MARGIN);
    const down = Math.ceil((queryEnd - query) * MARGIN);
    const [firstKey, firstQuery] = [Math.max(0, key - across), Math.max(0, query - down)];
    return {
      key: firstKey,
      query: firstQuery,
      n_keys: Math.min(nKeys, keyEnd + across) - firstKey,
      n_queries: Math.min(nQueries, queryEnd + down) - firstQuery,
    };
  }

  /**
   * Whether another tile would show more than this one.
   * @param {Tile} tile
   * @param {number} side
   */
  needs(tile, side) {
    const { key, query, keyEnd, queryEnd } = this.seen;
    const [nQueries, nKeys] = this.shape;
    const [across, down] = [RESERVE * (keyEnd - key), RESERVE * (queryEnd - query)];
    const covered =
      tile.key <= Math.max(0, key - across) &&
      tile.query <= Math.max(0, query - down) &&
      Math.min(nKeys, keyEnd + across) <= tile.key + tile.nKeys &&
      Math.min(nQueries, queryEnd + down) <= tile.query + tile.nQueries;
    const { n_keys, n_queries } = this.wanted;
    const block = Math.max(1, Math.ceil(Math.max(n_keys, n_queries) / side));
    return !covered || block < tile.block;
  }
}
