/** What the sentences view is given, and what it tells. */
import type { Mount } from "./types.d.ts";

export type { Mount };

/** bits, total: null where nothing is scored. */
export type SentencePart = {
  text: string;
  column: number;
  special: boolean;
  bits: number | null;
  total: number | null;
};

export type SentencesData = {
  /** behind: the difference to the model's likeliest one, 0 for itself. */
  lines: { model: string; total: number | null; behind: number | null; parts: SentencePart[] }[];
  nColumns: number;
  /** The column in which they first differ. */
  parting: number | null;
  /** Bits at the top of a bar. */
  highest: number;
  /** Line and part. */
  selected: [number, number] | null;
  texts: Record<string, string>;
};

export type SentencesPick = { line: number; part: number };
