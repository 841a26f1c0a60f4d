/**
 * The bar above the grid: in which order and which heads, what the colours stand for, zoom.
 * @import { Choice, ModelViewData } from "./heads.d.ts"
 */
import { find, part } from "./parts.js";
import { EVERY, choices } from "./order.js";

export const BAR = `
<div class="bar">
  <div class="controls">
    <select class="order"></select><button class="direction" type="button" hidden></button>
    <select class="show"></select>
    <details class="look"><summary></summary><div class="menu">
      <select class="own"></select><select class="log"></select>
      <label class="first"><span></span><select class="sink"></select></label>
    </div></details>
    <span class="zoom"><button class="out" type="button">−</button><button class="in" type="button">+</button></span>
  </div>
  <div class="legend quiet"></div>
</div>`;

const BY_LAYER = "";

export class Bar {
  /**
   * @param {HTMLElement} root of the view
   * @param {{ change: () => void, zoom: (direction: number) => void }} told
   * @param {AbortSignal} signal
   */
  constructor(root, told, signal) {
    const bar = find(root, ".bar", HTMLElement);
    const chosen = (/** @type {string} */ name) => find(bar, `select.${name}`, HTMLSelectElement);
    this.order = chosen("order");
    this.show = chosen("show");
    this.own = chosen("own");
    this.log = chosen("log");
    this.sink = chosen("sink");
    this.first = find(bar, ".first", HTMLElement);
    this.direction = find(bar, ".direction", HTMLButtonElement);
    this.look = find(bar, "details.look", HTMLDetailsElement);
    this.out = find(bar, ".out", HTMLButtonElement);
    this.into = find(bar, ".in", HTMLButtonElement);
    this.falling = true;
    /** @type {ModelViewData | null} */
    this.data = null;
    bar.addEventListener("change", () => { this.tell(); told.change(); }, { signal });
    this.direction.addEventListener("click", () => {
      this.falling = !this.falling;
      this.tell();
      told.change();
    }, { signal });
    this.into.addEventListener("click", () => told.zoom(1), { signal });
    this.out.addEventListener("click", () => told.zoom(-1), { signal });
    // A menu closes when the reader goes on elsewhere.
    root.addEventListener("pointerdown", (event) => {
      if (event.target instanceof Node && !this.look.contains(event.target)) this.look.open = false;
    }, { signal });
    this.look.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.look.open = false;
      find(this.look, "summary", HTMLElement).focus();
    }, { signal });
  }

  /** Takes other data and keeps what was chosen, as far as it is still there. @param {ModelViewData} data */
  update(data) {
    const { texts, begin } = data;
    const before = this.data ? this.choice() : { ...begin, falling: true, show: EVERY };
    const isNew = this.data === null;
    this.data = data;
    if (isNew) this.falling = true;
    fill(this.order, texts.order, [
      [BY_LAYER, texts.byLayer],
      ...data.scores.map(({ name, label }) => /** @type {[string, string]} */ ([name, texts.by.replace("{name}", label)])),
    ], before.sort ?? BY_LAYER);
    fill(this.show, texts.show, choices(data), before.show);
    fill(this.own, texts.colours, [["", texts.oneScale], ["own", texts.ownScale]], before.own ? "own" : "");
    fill(this.log, texts.colours, [["", texts.linear], ["log", texts.log]], before.log ? "log" : "");
    fill(this.sink, texts.firstToken, [
      ["keep", texts.keep],
      ["grey", texts.grey],
      ["renormalise", texts.renormalise],
    ], before.sink);
    find(this.first, "span", HTMLElement).textContent = texts.firstToken;
    this.first.hidden = !data.isAttention || data.shape[1] < 2;
    find(this.look, "summary", HTMLElement).textContent = texts.colours;
    name(this.into, texts.zoomIn);
    name(this.out, texts.zoomOut);
    this.tell();
  }

  tell() {
    const { data } = this;
    if (!data) return;
    this.direction.hidden = this.order.value === BY_LAYER;
    this.direction.textContent = this.falling ? "↓" : "↑";
    name(this.direction, this.falling ? data.texts.highest : data.texts.lowest);
  }

  /** @returns {Choice} */
  choice() {
    const sink = /** @type {Choice["sink"]} */ (this.sink.value);
    return {
      sort: this.order.value || null,
      falling: this.falling,
      show: this.show.value,
      own: this.own.value !== "",
      log: this.log.value !== "",
      sink: this.data?.isAttention ? sink : "keep",
    };
  }
}

/**
 * @param {HTMLSelectElement} select
 * @param {string} label
 * @param {[string, string][]} options
 * @param {string} chosen
 */
function fill(select, label, options, chosen) {
  name(select, label);
  select.replaceChildren(
    ...options.map(([value, words]) => {
      const option = /** @type {HTMLOptionElement} */ (part("option", "", words));
      option.value = value;
      return option;
    }),
  );
  select.value = options.some(([value]) => value === chosen) ? chosen : options[0][0];
}

/** @param {HTMLElement} control @param {string} words */
function name(control, words) {
  control.setAttribute("aria-label", words);
  control.title = words;
}
