/** What the modules of the views of all heads hand to each other; the Python side is model_view.py. */
import type { Colours, Packed, Theme } from "./types.d.ts";

export type Sink = "keep" | "grey" | "renormalise";

/** The pictures of all heads, and what drawing them takes; the Python side is head_payload.py. */
export type HeadsData = {
  /** shape (map, line, row): what is left, the first key, then a line for each column */
  codes: Packed;
  /** Heads in full beside their small pictures. */
  full: { index: number; low: number; high: number; apart: boolean; codes: Packed }[];
  /** Queries and keys of every map. */
  shape: [number, number];
  nSteps: number;
  minLeft: number;
  low: number;
  high: number;
  /** True where rows are weights: a pixel then shows the weight on all of its keys. */
  isAttention: boolean;
  marks: Record<Mark, number>;
  has: Record<Mark, boolean>;
  queryTokens: string[] | null;
  keyTokens: string[] | null;
  /** Every word that is shown; `{name}` stands for what the view fills in. */
  texts: Record<string, string>;
};

export type ModelViewData = HeadsData & {
  kind: string | null;
  layers: (number | null)[];
  heads: (number | null)[];
  /** One entry a map, in the order of `codes`; `place` is [index in layers, index in heads]. */
  maps: { place: [number, number]; text: string; pattern: number }[];
  /** What heads do here, the most frequent first; `pattern` of a map is an index. */
  patterns: { name: string; label: string }[];
  /** What heads can be sorted by; a value a map. */
  scores: { name: string; label: string; values: (number | null)[] }[];
  selected: [number | null, number | null] | null;
  detail: boolean;
  begin: { sort: string | null; log: boolean; own: boolean; sink: Sink };
  height: number;
  colours: { light: Colours; dark: Colours };
};

export type Mark = "below" | "above" | "infinite" | "undefined" | "masked";

/** One map as it was sent: pictures.py says what the lines are. */
export type Picture = {
  lines: Uint8Array;
  nRows: number;
  nColumns: number;
  low: number;
  high: number;
  apart: boolean;
};

/** How values become colours. */
export type Look = { own: boolean; log: boolean; sink: Sink };

/** What the reader chose in the bar. */
export type Choice = Look & { sort: string | null; falling: boolean; show: string };

export type Box = { x: number; y: number; size: number };

export type Arrangement = {
  /** Distance from one map to the next, in CSS pixels; the map itself is `size`. */
  pitch: number;
  size: number;
  width: number;
  height: number;
  /** True if layers go from left to right and heads down. */
  across: boolean;
  nBlocks: number;
  layersPerBlock: number;
  box: (layer: number, head: number) => Box;
  at: (x: number, y: number) => [number, number] | null;
};

/** Sorted heads in rows. */
export type Flow = {
  pitch: number;
  size: number;
  width: number;
  height: number;
  columns: number;
  /** Room for a head's name above its map; 0: none. */
  caption: number;
  box: (position: number) => Box;
  at: (x: number, y: number) => number;
};

/** What is in sight. */
export type Window = { left: number; top: number; width: number; height: number; ratio: number };

/** What stands for a head in a scatter: which, what it does, and which picture is its. */
export type Point = { layer: number; head: number; kind: string | null; text: string; map: number | null };

export type ScatterData = {
  points: Point[];
  /** What heads can be placed by; a value a point. */
  scores: { name: string; label: string; values: (number | null)[] }[];
  kinds: string[];
  begin: { x: string; y: string; colour: "layer" | "kind" };
  selected: [number, number, string | null] | null;
  maps: HeadsData | null;
  height: number;
  colours: { light: Colours; dark: Colours };
  texts: Record<string, string>;
};

export type { Theme };
