/**
 * The tokens view: the text itself, each token on the colour of a number.
 *
 * One token takes part in the tab order; arrow keys move among them, Enter or a click picks one,
 * and `select` is told {token}. Called again on the same element, it takes the new data.
 * @import { Mount, TokensViewData } from "./types.d.ts"
 */
import { lettersOn, readTheme } from "./colour.js";
import { find } from "./parts.js";

const MARKUP = `
<p class="legend quiet"><span class="low"></span><span class="scale"></span><span class="high"></span></p>
<div class="text" role="toolbar" dir="auto"></div>
<p class="status" role="status"></p>`;

/** @type {WeakMap<HTMLElement, TokensView>} */
const views = new WeakMap();

class TokensView {
  /** @param {HTMLElement} el */
  constructor(el) {
    this.el = el;
    this.root = document.createElement("div");
    this.root.className = "headlight tokens-view";
    this.root.innerHTML = MARKUP;
    el.append(this.root);
    this.text = find(this.root, ".text", HTMLElement);
    this.status = find(this.root, ".status", HTMLElement);
    /** @type {TokensViewData | null} */
    this.data = null;
    /** @type {(selection: { token: number }) => void} */
    this.select = () => {};
    this.selected = -1;
    this.ending = new AbortController();
    const { signal } = this.ending;
    this.text.addEventListener("pointerover", (event) => this.tell(this.under(event)), { signal });
    this.text.addEventListener("pointerleave", () => this.tell(this.selected), { signal });
    this.text.addEventListener("focusin", (event) => this.tell(this.under(event)), { signal });
    this.text.addEventListener("click", (event) => this.choose(this.under(event)), { signal });
    this.text.addEventListener("keydown", (event) => this.press(event), { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.colour(), { signal });
    signal.addEventListener("abort", () => {
      this.root.remove();
      views.delete(this.el);
    });
  }

  /** @param {TokensViewData} data @param {(selection: { token: number }) => void} select */
  update(data, select) {
    const sameTokens = JSON.stringify(this.data?.tokens) === JSON.stringify(data.tokens);
    this.data = data;
    this.select = select;
    find(this.root, ".low", HTMLElement).textContent = data.lowLabel;
    find(this.root, ".high", HTMLElement).textContent = data.highLabel;
    const label = data.texts.label.replace("{tokens}", String(data.tokens.length));
    this.text.setAttribute("aria-label", label);
    if (!sameTokens) this.write(data);
    this.mark(data.selected ?? -1);
    this.colour();
    this.tell(this.selected);
    this.root.dataset.drawn = "true";
  }

  /** @param {TokensViewData} data */
  write(data) {
    const special = new Set(data.special);
    const pieces = data.tokens.flatMap((token, position) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.position = String(position);
      button.tabIndex = -1;
      if (special.has(position)) button.className = "special";
      const lead = token.length > 1 && token.startsWith("·") ? "·" : "";
      if (lead) {
        const dot = document.createElement("span");
        dot.className = "space";
        dot.textContent = lead;
        button.append(dot);
      }
      button.append(token.slice(lead.length));
      return token.endsWith("⏎") ? [button, document.createElement("br")] : [button];
    });
    this.text.replaceChildren(...pieces);
  }

  /** Gives every token its background, and letters that can be read on it. */
  colour() {
    const { data } = this;
    if (!data) return;
    const theme = readTheme(this.root, data.colours, false);
    const stops = (theme.dark ? data.colours.dark : data.colours.light).sequential;
    this.root.style.setProperty("--ramp", stops.join(", "));
    for (const button of this.buttons()) {
      const place = data.places[Number(button.dataset.position)];
      if (place === null) {
        button.style.background = "none";
        button.style.color = "";
        continue;
      }
      const rgb = theme.ramp.subarray(3 * Math.round(255 * place), 3 * Math.round(255 * place) + 3);
      button.style.background = `rgb(${rgb.join(" ")})`;
      button.style.color = lettersOn(rgb);
    }
  }

  /** @returns {HTMLElement[]} */
  buttons() {
    return Array.from(this.text.querySelectorAll("button"));
  }

  /** The position of the token that an event happened on, or -1. @param {Event} event */
  under(event) {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    return button ? Number(button.dataset.position) : -1;
  }

  /** @param {number} position */
  mark(position) {
    this.selected = position;
    for (const button of this.buttons()) {
      const here = Number(button.dataset.position) === position;
      button.setAttribute("aria-pressed", String(here));
      button.tabIndex = here ? 0 : -1;
    }
    const first = this.buttons()[0];
    if (first && position < 0) first.tabIndex = 0;
  }

  /** @param {number} position */
  choose(position) {
    if (position < 0) return;
    this.mark(position);
    this.tell(position);
    this.select({ token: position });
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    /** @type {Record<string, number>} */
    const steps = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
    const step = steps[event.key];
    const here = this.under(event);
    const next = step && here >= 0 ? this.buttons()[here + step] : null;
    if (!next || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    next.focus();
  }

  /** @param {number} position */
  tell(position) {
    const { data } = this;
    if (!data) return;
    if (position < 0) {
      this.status.textContent = data.texts.hint;
      return;
    }
    const words = data.details?.[position] ?? (data.places[position] === null ? data.texts.unknown : "");
    this.status.textContent = `“\u2068${data.tokens[position]}\u2069” (${position}): ${words}`;
  }
}

/** @type {Mount<TokensViewData, { token: number }>} */
export default function mount({ el, data, select }) {
  const view = views.get(el) ?? new TokensView(el);
  views.set(el, view);
  try {
    view.update(data, select);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    view.status.textContent = data.texts.error.replace("{reason}", reason);
    view.status.setAttribute("role", "alert");
  }
  return () => view.ending.abort();
}
