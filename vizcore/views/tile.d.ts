/** What the tile view is given, and what its modules hand to each other; see tile_view.py. */
import type { Colours, Packed } from "./types.d.ts";

/** A region of the map as a grid: `planes` has the bytes of its numbers, first bytes first. */
export type PackedTile = {
  query: number;
  key: number;
  nQueries: number;
  nKeys: number;
  /** So many tokens a side are one cell. */
  block: number;
  /** (byte, row, column) of float16 or float32 */
  planes: Packed;
};

export type Tile = {
  query: number;
  key: number;
  nQueries: number;
  nKeys: number;
  block: number;
  nRows: number;
  nColumns: number;
  /** Row by row. Not a number: undefined; -Infinity: masked; Infinity: too little is left. */
  values: Float32Array;
  has: { masked: boolean; undefined: boolean; tooLittle: boolean };
};

/** A cell of a tile: which tokens it is, from the first to the last. */
export type Cell = { query: number; key: number; queryEnd: number; keyEnd: number; value: number };

export type TileViewData = {
  /** Says whether two of these are of the same map. */
  identity: string;
  name: string;
  /** Queries and keys. */
  shape: [number, number];
  queryTokens: string[];
  /** null: the same as the queries. */
  keyTokens: string[] | null;
  tile: PackedTile;
  /** The whole map; null if the tile is that. */
  backdrop: PackedTile | null;
  /** A tile has at most so many cells a side. */
  side: number;
  low: number;
  high: number;
  /** A logarithmic scale has so many powers of ten. */
  decades: number;
  isAttention: boolean;
  row: number | null;
  log: boolean;
  withoutFirst: boolean;
  /** Whether the host answers when it is asked for a tile. */
  live: boolean;
  height: number;
  colours: { light: Colours; dark: Colours };
  texts: Record<string, string>;
};

export type Wanted = { query: number; key: number; n_queries: number; n_keys: number };

export type TilePick = { tile: Wanted; without_first: boolean } | { row: number };

/** Where the map is on the canvas, in CSS pixels: `left` and `top` are of the plot. */
export type Frame = { left: number; top: number; width: number; height: number };

/** What is seen: the tokens at the plot's upper left corner, and how large a token is. */
export type Look = { key: number; query: number; cell: number };
