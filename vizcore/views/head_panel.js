/**
 * The heads of a layer: a switch for each, in its colour, with what it does in words.
 * @import { HeadViewData } from "./look.d.ts"
 */
import { DASHES } from "./head_lines.js";
import { find, part } from "./parts.js";
import { shape } from "./shapes.js";
import { fill } from "./words.js";

const MARKUP = `
<header><strong class="title"></strong><button type="button" class="every"></button><button type="button" class="nobody"></button></header>
<p class="described quiet"></p>
<div class="heads" role="toolbar" aria-orientation="vertical"></div>`;

/** @typedef {{ change: () => void, preview: () => void, layer: (by: number) => void }} Listener */

export class HeadPanel {
  /** @param {HTMLElement} el @param {Listener} listener told of what the reader does */
  constructor(el, listener) {
    this.el = el;
    this.listener = listener;
    el.innerHTML = MARKUP;
    this.list = find(el, ".heads", HTMLElement);
    /** Places of the heads that are on. @type {Set<number>} */
    this.on = new Set();
    /** The head that is pointed at, and shown alone; -1: none. */
    this.alone = -1;
    /** @type {HeadViewData | null} */
    this.data = null;
    this.layer = 0;
    this.list.addEventListener("pointerover", (event) => this.point(this.under(event)));
    this.list.addEventListener("pointerleave", () => this.point(-1));
    this.list.addEventListener("focusin", (event) => this.focused(event));
    this.list.addEventListener("focusout", () => this.point(-1));
    this.list.addEventListener("click", (event) => this.toggle(this.under(event), event));
    this.list.addEventListener("keydown", (event) => this.press(event));
    find(el, ".every", HTMLElement).addEventListener("click", () => this.set(this.places()));
    find(el, ".nobody", HTMLElement).addEventListener("click", () => this.set([]));
  }

  /** @param {HeadViewData} data @param {number} layer index */
  fill(data, layer) {
    const same = this.data === data && this.places().length === data.layers[layer].heads.length;
    this.data = data;
    this.layer = layer;
    const { texts } = data;
    const { layer: name, heads } = data.layers[layer];
    if (!same) this.on = new Set([...this.on].filter((place) => place < heads.length));
    const title = name === null ? texts.heads : fill(texts.headsOf, { layer: name });
    find(this.el, ".title", HTMLElement).textContent = title;
    find(this.el, ".every", HTMLElement).textContent = texts.all;
    find(this.el, ".nobody", HTMLElement).textContent = texts.none;
    const described = find(this.el, ".described", HTMLElement);
    described.textContent = fill(texts.described, { tokens: data.nDescribed });
    described.hidden = data.nDescribed >= Math.max(data.queryTokens.length, data.keyTokens.length);
    this.list.setAttribute("aria-label", title);
    const focused = this.focusedPlace();
    this.list.replaceChildren(...heads.map((head, place) => this.button(head, place)));
    this.write();
    if (focused >= 0) this.buttons()[Math.min(focused, heads.length - 1)]?.focus();
  }

  /** @param {{ head: number | null, name: string, text: string }} head @param {number} place */
  button({ head, name, text }, place) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.place = String(place);
    button.title = fill(this.data?.texts.headHint ?? "", { text });
    const label = head === null ? name : fill(this.data?.texts.head ?? "", { head });
    button.setAttribute("aria-label", `${label}: ${text}`);
    const swatch = shape("svg", { viewBox: "0 0 34 14", "aria-hidden": "true" });
    swatch.append(shape("line", { x1: 1, y1: 7, x2: 33, y2: 7 }));
    button.append(swatch, part("span", "number", head === null ? name : String(head)), part("span", "does", text));
    return button;
  }

  /** @param {string[]} colours of heads */
  colour(colours) {
    for (const [place, button] of this.buttons().entries()) {
      button.style.setProperty("--colour", colours[place % colours.length]);
      const dashes = DASHES[Math.floor(place / colours.length) % DASHES.length];
      find(button, "line", SVGElement).setAttribute("stroke-dasharray", dashes.join(" "));
    }
  }

  /** Shows which are on. */
  write() {
    const current = Math.max(0, this.focusedPlace());
    for (const [place, button] of this.buttons().entries()) {
      button.setAttribute("aria-pressed", String(this.on.has(place)));
      button.classList.toggle("alone", place === this.alone);
      button.tabIndex = place === current ? 0 : -1;
    }
  }

  /** The heads whose lines are drawn: the one that is pointed at, else those that are on. */
  shown() {
    return this.alone >= 0 ? [this.alone] : [...this.on].sort((a, b) => a - b);
  }

  /** Why there is no line, in words; "" if there are some. @param {boolean} nothing */
  says(nothing) {
    const texts = this.data?.texts;
    if (!texts) return "";
    if (this.shown().length === 0) return texts.noHead;
    return nothing ? texts.noLine : "";
  }

  buttons() {
    return Array.from(this.list.querySelectorAll("button"));
  }

  places() {
    return this.buttons().map((_, place) => place);
  }

  /** @param {Event} event */
  under(event) {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    return button ? Number(button.dataset.place) : -1;
  }

  focusedPlace() {
    const root = /** @type {Document | ShadowRoot} */ (this.el.getRootNode());
    return this.buttons().findIndex((button) => button === root.activeElement);
  }

  /** @param {Event} event */
  focused(event) {
    const button = event.target;
    if (button instanceof HTMLElement && button.matches(":focus-visible")) this.point(this.under(event));
  }

  /** @param {number} place */
  point(place) {
    if (place === this.alone) return;
    this.alone = place;
    this.write();
    this.listener.preview();
  }

  /** @param {number} place @param {MouseEvent} event */
  toggle(place, event) {
    if (place < 0) return;
    if (event.shiftKey || event.detail === 2) {
      const only = this.on.size === 1 && this.on.has(place) && event.detail !== 2;
      this.set(only ? this.places() : [place]);
      return;
    }
    const on = new Set(this.on);
    if (!on.delete(place)) on.add(place);
    this.set([...on]);
  }

  /** @param {Iterable<number>} places */
  set(places) {
    this.on = new Set(places);
    this.write();
    this.listener.change();
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const here = this.under(event);
    if (here < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    /** @type {Record<string, number>} */
    const moves = { ArrowUp: -1, ArrowDown: 1 };
    /** @type {Record<string, number>} */
    const layers = { ArrowLeft: -1, ArrowRight: 1 };
    if (event.key in moves) this.buttons()[here + moves[event.key]]?.focus();
    else if (event.key in layers) this.listener.layer(layers[event.key]);
    else return;
    event.preventDefault();
  }
}
