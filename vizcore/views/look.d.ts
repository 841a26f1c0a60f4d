/** What the head view and the text view are given, and hand to each other; the Python side is rows.py. */
import type { Colours, Packed } from "./types.d.ts";

export type PackedStrongest = { codes: Packed; keys: Packed; rest: Packed; restHigh: number };

export type PackedRows = {
  high: number;
  signed: boolean;
  /** Whether codes are those of square roots. */
  fine: boolean;
  isAttention: boolean;
  nKept: number | null;
  visible: Packed | null;
  codes: Packed;
  keys: Packed | null;
  rest: Packed | null;
  restHigh?: number;
  first: Packed | null;
  /** The strongest queries of each key, where they are sent. */
  queries: PackedStrongest | null;
};

/** What becomes of the first token: drawn like all, greyed, or left out and the rest scaled up. */
export type Sink = "keep" | "grey" | "renormalise";

export type Side = "query" | "key";

export type Place = { side: Side; token: number };

export type HeadLayer = {
  layer: number | null;
  heads: { head: number | null; name: string; text: string }[];
  weights: PackedRows;
};

export type HeadColours = { light: string[]; dark: string[] };

export type HeadViewData = {
  /** Says whether two of these are the same, but for what is selected. */
  identity: string;
  kind: string | null;
  layers: HeadLayer[];
  /** Index into `layers`. */
  shown: number;
  /** Heads are described by so many tokens. */
  nDescribed: number;
  /** Indices of heads that are on at first. */
  on: number[];
  sink: Sink;
  queryTokens: string[];
  keyTokens: string[];
  selected: Place | null;
  height: number;
  nSteps: number;
  undefinedCode: number;
  maskedCode: number;
  colours: { heads: HeadColours; light: Colours; dark: Colours };
  texts: Record<string, string>;
};

export type HeadPick = {
  layer: number | null;
  heads: (number | null)[];
  kind: string | null;
  side: Side | null;
  token: number | null;
};

/** Lines by query: `query`, `key`, `head` and `weight` of each, and where each query's begin. */
export type Lines = {
  n: number;
  start: Int32Array;
  query: Int32Array;
  key: Int32Array;
  head: Int32Array;
  weight: Float32Array;
  /** The share of the weight that the lines hold, of all that counts. */
  share: number;
  /** The share of all weight that the first token has. */
  sinkShare: number;
  /** Queries of which, in every head, too little is left without the first token. */
  empty: Uint8Array;
  /** The same, counted for each head. */
  nEmptyRows: number;
  /** Queries with weights that are not numbers. */
  broken: Uint8Array;
};

/** One of several weights of a token that is looked at closely. */
export type Weighed = { head: number; token: number; weight: number };

export type Close = {
  /** The other tokens, strongest first; one entry a head and token. */
  entries: Weighed[];
  /** Of the entries, those of the first token where it is greyed. */
  sink: Weighed[];
  /** Weight that was not sent, summed over heads. */
  rest: number;
  nRest: number;
  nMasked: number;
  nBroken: number;
  /** The tokens of weights that are not numbers. */
  broken: number[];
  isEmpty: boolean;
};

/** A text: the labels of its tokens, what is printed of each, and flags as in running.py. */
export type RunningText = { tokens: string[]; pieces: string[]; flags: number[] };

/** "to": what a token looks at; "from": what looks at it. */
export type Direction = "to" | "from";

export type TextViewData = {
  /** Says whether two of these are the same, but for what is selected. */
  identity: string;
  keys: RunningText;
  /** Where it is another text. */
  queries: RunningText | null;
  kind: string | null;
  quantity: string;
  weights: PackedRows;
  /** How much each key is looked at on average. */
  average: number[];
  direction: Direction;
  sink: Sink;
  log: boolean;
  ownScale: boolean;
  selected: Place | null;
  height: number;
  nSteps: number;
  undefinedCode: number;
  maskedCode: number;
  colours: { light: Colours; dark: Colours };
  texts: Record<string, string>;
};

export type TextPick = { side: Side | null; token: number | null; direction: Direction };

/** The shade of every token of one text: from 0 to 1, or a sign that it has none. */
export type Shades = { place: Float32Array; masked: Uint8Array; broken: Uint8Array; grey: Uint8Array };
