/**
 * One of the two columns of tokens. However many there are, only those in sight are elements.
 * @import { Side } from "./look.d.ts"
 */
import { part } from "./parts.js";
import { bare } from "./words.js";

/** Rows above and below what is in sight, so that a small scroll shows no gap. */
const MARGIN = 6;

/** @typedef {(row: HTMLElement, token: number) => void} Dress */

export class Column {
  /** @param {HTMLElement} el @param {Side} side */
  constructor(el, side) {
    this.el = el;
    this.side = side;
    /** @type {string[]} */
    this.tokens = [];
    /** @type {Map<number, HTMLElement>} */
    this.rows = new Map();
    this.rowHeight = 24;
    /** The one that takes part in the tab order. */
    this.current = 0;
  }

  /** @param {string[]} tokens @param {string} label */
  fill(tokens, label) {
    this.el.setAttribute("aria-label", label);
    if (this.tokens === tokens) return;
    this.tokens = tokens;
    this.rows.clear();
    this.el.replaceChildren();
    this.current = 0;
  }

  /**
   * Makes what is between two heights, drops the rest, and dresses each.
   * @param {number} top @param {number} bottom in pixels @param {number} rowHeight @param {Dress} dress
   */
  show(top, bottom, rowHeight, dress) {
    const first = Math.max(0, Math.floor(top / rowHeight) - MARGIN);
    const end = Math.min(this.tokens.length, Math.ceil(bottom / rowHeight) + MARGIN);
    const moved = rowHeight !== this.rowHeight;
    this.rowHeight = rowHeight;
    const focused = this.focused();
    for (const [token, row] of this.rows) {
      if ((token < first || token >= end) && token !== focused) {
        row.remove();
        this.rows.delete(token);
      } else if (moved) this.place(row, token);
    }
    for (let token = first; token < end; token++) if (!this.rows.has(token)) this.make(token);
    for (const [token, row] of this.rows) {
      row.tabIndex = token === this.current ? 0 : -1;
      dress(row, token);
    }
  }

  /** @param {number} token */
  make(token) {
    const row = part("div", "row");
    row.setAttribute("role", "option");
    row.setAttribute("aria-posinset", String(token + 1));
    row.setAttribute("aria-setsize", String(this.tokens.length));
    row.dataset.token = String(token);
    row.tabIndex = -1;
    const label = tokenPart(this.tokens[token]);
    row.append(part("span", "weights"), part("span", "position", String(token)), label);
    this.place(row, token);
    this.rows.set(token, row);
    const after = [...this.rows.keys()].filter((other) => other > token);
    this.el.insertBefore(row, after.length ? this.rows.get(Math.min(...after)) ?? null : null);
    return row;
  }

  /** @param {HTMLElement} row @param {number} token */
  place(row, token) {
    row.style.top = `${token * this.rowHeight}px`;
    row.style.height = `${this.rowHeight}px`;
  }

  /** The token that has the focus, or -1. */
  focused() {
    const root = /** @type {Document | ShadowRoot} */ (this.el.getRootNode());
    const active = root.activeElement;
    return active instanceof HTMLElement && this.el.contains(active) ? Number(active.dataset.token ?? -1) : -1;
  }

  /** @param {number} token */
  focus(token) {
    this.current = token;
    (this.rows.get(token) ?? this.make(token)).focus({ preventScroll: true });
  }
}

/** A token, with the dot that stands for its space set quietly. @param {string} token */
export function tokenPart(token) {
  const label = part("span", "token");
  label.dir = "auto";
  const text = bare(token);
  if (text !== token) label.append(part("span", "space", token.slice(0, -text.length)));
  label.append(text);
  return label;
}

/**
 * The weights beside a token: a bar for each head, and the strongest as a number.
 * @param {HTMLElement} place
 * @param {{ colour: string, share: number }[]} bars
 * @param {string} number
 */
export function showWeights(place, bars, number) {
  const parts = bars.map(({ colour, share }) => {
    const bar = part("i");
    bar.style.setProperty("--share", share.toFixed(3));
    bar.style.setProperty("--colour", colour);
    return bar;
  });
  const text = part("b", "", number);
  place.replaceChildren(...(number ? [...parts, text] : []));
}
