/** What the modules of this folder hand to each other; of views of all heads see heads.d.ts. */
import type { ModelViewData } from "./heads.d.ts";

export type Packed = {
  dtype: "uint8";
  shape: number[];
  encoding: "deflate-raw" | "none";
  base64: string;
};

/** Numbers in full: float32, little-endian. */
export type Exact = { shape: number[]; base64: string };

export type Colours = {
  sequential: string[];
  diverging: string[];
  undefined: string;
  infinite: string;
  aside: string;
};

export type Selection = { layer: number | null; head: number | null; kind: string | null };

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

/** Vectors of one scale share their colours. */
export type Scale = "match" | "value" | "sum" | "concat" | "output";

export type StepsViewData = {
  step: string;
  /** In order; `words` says what the step does with the numbers at hand, tokens between U+2068 and U+2069. */
  steps: { name: string; label: string; title: string; words: string }[];
  query: { position: number; token: string };
  /** The text around the query, for the first step; `at` is the query's place in it. */
  around: { tokens: string[]; first: number; at: number; before: boolean; after: boolean };
  /** The keys that are shown, in order. */
  rows: { position: number; token: string; hidden: boolean; isQuery: boolean }[];
  /** Of the keys that are not shown: how many, and what weight they have together. */
  rest: { n: number; weight: number } | null;
  /** What goes to no key, where the head has a sink. */
  sink: number | null;
  head: number;
  nHeads: number;
  leftOut: string[];
  vectors: Record<string, Exact | null>;
  /** One number a row. */
  numbers: Record<string, Exact | null>;
  /** The largest number of each family of vectors; beyond it colours stay the same. */
  scales: Record<Scale, number>;
  /** RoPE: some pairs, with the query's two numbers before and after. */
  dials: { pair: number; angle: number; before: [number, number]; after: [number, number] }[];
  /** Whether arrow keys step wherever on the page they are pressed. */
  listens: boolean;
  colours: { light: Colours; dark: Colours };
  texts: Record<string, string>;
};

/** One measure over the steps; null where it was not measured. */
export type Line = { name: string; steps: number[]; values: (number | null)[] };

/** `gap`: the name of the difference between the first two lines, or "". */
export type Chart = { title: string; unit: string; gap: string; lines: Line[] };

/** One snapshot: what differs between the views of it. */
export type TrainingFrame = {
  step: number;
  maps: Partial<ModelViewData>;
  places: (number | null)[];
  details: string[];
  /** For each token the likeliest ones: label and probability. */
  expected: [string, number][][];
  /** For each token the one that comes after it: label, probability and rank; null: none. */
  following: ([string, number, number] | null)[];
};

export type TrainingViewData = {
  /** Says whether two of these are the same, but for what is selected. */
  identity: string;
  charts: Chart[];
  logSteps: boolean;
  maps: ModelViewData | null;
  text: TokensViewData | null;
  frames: TrainingFrame[];
  /** Of a frame. */
  step: number | null;
  token: number | null;
  head: [number | null, number | null] | null;
  height: number;
  texts: Record<string, string>;
};

export type TrainingPick = {
  step: number;
  token: number | null;
  layer: number | null;
  head: number | null;
};

/** A token that was, or could have been, written. */
export type Choice = { token: string; id: number; probability: number; nats: number; rank: number };

/** One step; `written` is null for what would come next. */
export type Column = { written: Choice | null; forced: boolean; special: boolean; options: Choice[] };

export type AlternativesData = {
  columns: Column[];
  text: string;
  note: string;
  selected: number | null;
  texts: Record<string, string>;
};

export type AlternativesPick = { action: "force" | "free" | "look"; step: number; token_id: number };

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
  infinite: [number, number, number];
  aside: [number, number, number];
};
