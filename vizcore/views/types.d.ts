/** What the modules of this folder hand to each other; the Python side is payload.py and model_view.py. */

export type Packed = {
  dtype: "uint8";
  shape: number[];
  encoding: "deflate-raw" | "none";
  base64: string;
};

export type Colours = { sequential: string[]; diverging: string[]; undefined: string };

export type Selection = { layer: number | null; head: number | null; kind: string | null };

export type ModelViewData = {
  kind: string | null;
  layers: (number | null)[];
  heads: (number | null)[];
  /** One entry a map, in the order of `codes`; `place` is [index in layers, index in heads]. */
  maps: { place: [number, number]; text: string }[];
  /** shape (map, row, column) */
  codes: Packed;
  nSteps: number;
  undefinedCode: number;
  maskedCode: number;
  low: number;
  high: number;
  /** True where rows are attention: a pixel then shows the weight on all of its keys. */
  isAttention: boolean;
  hasMasked: boolean;
  hasUndefined: boolean;
  queryTokens: string[] | null;
  keyTokens: string[] | null;
  selected: [number | null, number | null] | null;
  detail: boolean;
  height: number;
  colours: { light: Colours; dark: Colours };
  /** Every word that is shown; `{name}` stands for what the view fills in. */
  texts: Record<string, string>;
};

export type TokensViewData = {
  tokens: string[];
  /** From 0 to 1 on the colour scale; null where there is no value. */
  places: (number | null)[];
  details: string[] | null;
  /** Positions of tokens that are no part of the text. */
  special: number[];
  selected: number | null;
  lowLabel: string;
  highLabel: string;
  colours: { light: Colours; dark: Colours };
  texts: Record<string, string>;
};

export type Mount<Data, Picked = Selection> = (arguments_: {
  el: HTMLElement;
  data: Data;
  select: (selection: Picked) => void;
}) => () => void;

export type Theme = {
  dark: boolean;
  background: string;
  text: string;
  quiet: string;
  font: string;
  /** 256 × red, green, blue */
  ramp: Uint8ClampedArray;
  undefined: [number, number, number];
};

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

export type Maps = {
  codes: Uint8Array;
  nRows: number;
  nColumns: number;
  data: ModelViewData;
};
