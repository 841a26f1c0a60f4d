/** What the flow view is given, and its modules hand to each other; the Python side is flow_view.py. */
import type { Colours, Packed, Theme } from "./types.d.ts";

/** Whole numbers as two bytes each, all low ones before all high ones. */
export type FlowWeights = {
  nLayers: number;
  nTokens: number;
  nKept: number;
  /** (layer, row, kept), in 65535ths; where all are kept, in the order of the text. */
  weights: Packed;
  keys: Packed | null;
  /** (layer, row): what the other keys sum to, and (layer, row, 2) between which they lie. */
  rest: Packed | null;
  range: Packed | null;
  /** Layer and row of what is no number. */
  broken: [number, number][];
};

export type FlowSink = "keep" | "grey" | "renormalise";
export type FlowWay = "into" | "outOf";

export type FlowViewData = {
  weights: FlowWeights;
  layers: number[];
  tokens: string[];
  error: number;
  /** The share of the residual stream when it counts, and whether it does at first. */
  residual: number;
  hasResidual: boolean;
  /** The weights say themselves what stays, so nothing is to be switched. */
  whole: boolean;
  sink: FlowSink;
  way: FlowWay;
  threshold: number | null;
  /** Column (0: the text itself) and row of the place that is chosen. */
  chosen: [number, number] | null;
  maxLines: number;
  heads: string;
  height: number;
  colours: { light: Colours; dark: Colours };
  texts: Record<string, string>;
};

export type FlowPick = { layer: number | null; token: number | null; way: FlowWay };

/** A place: column and row. */
export type FlowPlace = [number, number];

/** What passes: from column `layer`, row `from`, to the next column, row `to`. */
export type FlowLines = {
  n: number;
  /** How many there are above the threshold; `n` are here. */
  all: number;
  layer: Uint16Array;
  from: Uint16Array;
  to: Uint16Array;
  share: Float32Array;
};

/** Where everything is, in CSS pixels. */
export type FlowStage = {
  width: number;
  height: number;
  left: number;
  top: number;
  pitch: number;
  step: number;
  font: number;
  /** The rows that are shown, in order, and where each is; -1: folded away. */
  rows: number[];
  y: Float32Array;
  /** Between which rows others are folded away. */
  folds: number[];
};

export type FlowLook = {
  theme: Theme;
  ratio: number;
  tokens: string[];
  layers: number[];
  texts: Record<string, string>;
  shares: Float64Array[] | null;
  lines: FlowLines;
  place: FlowPlace | null;
  chosen: FlowPlace | null;
  way: FlowWay;
  greyFirst: boolean;
  broken: [number, number][];
};
