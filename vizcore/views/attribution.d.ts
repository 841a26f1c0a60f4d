/** What the attribution view is told. */
import type { Colours } from "./types.d.ts";

export type AttributionMethod = {
  name: string;
  hint: string;
  /** Of each token from 0 (speaks most against) to 1 (most for); null where it cannot matter. */
  places: (number | null)[];
  /** The same in words, for the token that is pointed at. */
  values: string[];
  /** From -1 to 1; null while it is not known. */
  faithful: number | null;
  /** What is said of that. */
  verdict: "best" | "worse" | "";
};

export type AttributionViewData = {
  methods: AttributionMethod[];
  tokens: string[];
  /** For each text where its tokens begin, and what it is called. */
  sides: { start: number; name: string }[];
  /** What is said of a token that has no value. */
  without: string;
  /** The token after which, or in place of which, is asked. */
  selected: number | null;
  /** Where the text that is asked about begins. */
  offset: number;
  /** Positions whose picking is reported. */
  pickable: number[];
  /** The faithfulness of an order at random; null if there is none. */
  random: number | null;
  colours: { light: Colours; dark: Colours };
  texts: Record<string, string>;
};
