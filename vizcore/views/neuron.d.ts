/** What the neuron view is given, and its modules hand to each other; the Python side is neuron_view.py. */
import type { Colours, Exact, Packed } from "./types.d.ts";

export type NeuronViewData = {
  layer: number;
  head: number;
  kind: string;
  /** The positions of the query that is shown and of the key whose score is added up. */
  token: number;
  key: number;
  queryTokens: string[];
  keyTokens: string[];
  /** The position of the first query that is here; (query, d_head). */
  first: number;
  queries: Exact;
  /** (key, d_head); of long texts those at `positions` only. */
  keys: Exact;
  positions: number[] | null;
  /** (query, key), 1 where the query may not look; null: nowhere. */
  hidden: Packed | null;
  bias: Exact | null;
  /** The keys that are not here: how many, and the logarithm of what they add to the softmax. */
  rest: { n: number; logit: number | null } | null;
  scaling: number;
  softcap: number | null;
  sink: number | null;
  sharedBy: [number, number] | null;
  answers: boolean;
  height: number;
  colours: { light: Colours; dark: Colours };
  texts: Record<string, string>;
};

export type NeuronPick = { token: number };

/** One query against every key that is here, by the keys' order in the data. */
export type Against = {
  token: number;
  query: Float32Array;
  /** (key, d_head) */
  products: Float32Array;
  dots: Float64Array;
  scaled: Float64Array;
  capped: Float64Array;
  bias: Float32Array | null;
  hidden: Uint8Array | null;
  scores: Float64Array;
  weights: Float64Array;
  /** What no token gets, and what the keys get that are not here. */
  sinkWeight: number;
  restWeight: number;
};

/** How the rows of the table are to look. */
export type RowLook = {
  ramp: Uint8ClampedArray;
  undefined: [number, number, number];
  /** The numbers at the ends of the colours. */
  vectorScale: number;
  productScale: number;
  /** Which dimension is at each place, and which key in each row. */
  dimensions: Int32Array;
  keys: Int32Array;
};
