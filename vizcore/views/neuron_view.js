/**
 * The neuron view: one query against all keys, dimension by dimension, down to the weights.
 *
 * Point at a dimension and its numbers are told; choose a key and its score is added up; take
 * another token as the query and `select` is told {token}. Called again on the same element, it
 * takes the new data and keeps how things are sorted.
 * @import { Mount, Theme } from "./types.d.ts"
 * @import { Against, NeuronPick, NeuronViewData, RowLook } from "./neuron.d.ts"
 */
import { readTheme } from "./colour.js";
import { guard } from "./guard.js";
import { ascending, descending, quantile, readVectors } from "./neuron_numbers.js";
import { drawFoot, drawLegend, drawQueries, drawScore, drawSum, isolate } from "./neuron_parts.js";
import { RowTable, paint, share } from "./neuron_rows.js";
import { find } from "./parts.js";
import { written } from "./strips.js";
import { mounting, watch } from "./watch.js";
import { fill } from "./words.js";

const MARKUP = `
<div class="controls">
  <div class="queries" role="toolbar"></div>
  <span class="legend quiet"></span>
  <label class="switch"><input type="checkbox" class="by-product"><span></span></label>
  <label class="switch"><input type="checkbox" class="by-weight"><span></span></label>
</div>
<p class="sum" aria-live="polite"></p>
<div class="frame">
  <div class="scroller">
    <div class="head">
      <span class="title"></span>
      <span class="cell"><span class="title"></span><canvas class="strip query" role="img"></canvas></span>
      <span class="cell"><span class="title"></span><canvas class="sums" role="img"></canvas></span>
      <span class="title end"></span><span class="title end"></span><span class="title end"></span>
    </div>
    <div class="list" role="listbox" tabindex="0"></div>
    <div class="foot"></div>
  </div>
  <div class="guide" hidden></div><div class="guide" hidden></div>
</div>
<p class="status" role="status"></p>`;

let made = 0;

class NeuronView {
  /** @param {HTMLElement} el */
  constructor(el) {
    this.root = document.createElement("div");
    this.root.className = "headlight neuron-view";
    this.root.innerHTML = MARKUP;
    el.append(this.root);
    this.scroller = find(this.root, ".scroller", HTMLElement);
    this.list = find(this.root, ".list", HTMLElement);
    this.status = find(this.root, ".status", HTMLElement);
    this.byProduct = find(this.root, ".by-product", HTMLInputElement);
    this.byWeight = find(this.root, ".by-weight", HTMLInputElement);
    this.list.id = `neuron-${++made}`;
    this.table = new RowTable(this.scroller, this.list, this.list.id);
    /** @type {NeuronViewData | null} */
    this.data = null;
    /** @type {import("./neuron_numbers.js").Vectors | null} */
    this.vectors = null;
    /** @type {Against | null} */
    this.against = null;
    /** @type {RowLook | null} */
    this.look = null;
    /** @type {Theme | null} */
    this.theme = null;
    /** The key whose score is added up, and the dimension that is told; -1: none. */
    this.key = -1;
    this.dimension = -1;
    /** The query that the host said last, and those taken here that it has not answered to yet. */
    this.told = -1;
    /** @type {number[]} */
    this.asked = [];
    /** @type {(pick: NeuronPick) => void} */
    this.select = () => {};
    this.version = 0;
    this.frame = 0;
    this.ending = new AbortController();
    this.watch();
  }

  watch() {
    const { signal } = this.ending;
    this.scroller.addEventListener("scroll", () => this.redraw(), { signal });
    this.scroller.addEventListener("pointermove", (event) => this.point(event), { signal });
    this.scroller.addEventListener("pointerleave", () => this.tell(-1), { signal });
    this.list.addEventListener("click", (event) => this.choose(this.under(event)), { signal });
    this.list.addEventListener("dblclick", (event) => this.lookFrom(this.under(event)), { signal });
    this.list.addEventListener("keydown", (event) => this.press(event), { signal });
    find(this.root, ".queries", HTMLElement).addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest("button") : null;
      if (button?.dataset.token) this.take(Number(button.dataset.token));
    }, { signal });
    find(this.root, ".queries", HTMLElement).addEventListener("keydown", (event) => this.step(event), { signal });
    for (const box of [this.byProduct, this.byWeight]) {
      box.addEventListener("change", () => this.show(), { signal });
    }
    watch(this, this.scroller, { recoloured: () => this.show() });
  }

  /** @param {NeuronViewData} data @param {(pick: NeuronPick) => void} select */
  async update(data, select) {
    const version = ++this.version;
    this.select = select;
    const before = this.data;
    const same = before && before.keys.base64 === data.keys.base64 &&
      before.queries.base64 === data.queries.base64 && before.layer === data.layer && before.head === data.head;
    const vectors = same && this.vectors ? this.vectors : await readVectors(data);
    if (version !== this.version || this.ending.signal.aborted) return;
    vectors.data = data;
    // A host that answers to one query while the next has been taken must not take it back.
    const answered = this.asked.lastIndexOf(data.token);
    this.asked = this.asked.slice(answered + 1);
    const late = same && this.asked.length > 0 && (answered >= 0 || data.token === this.told);
    if (!late) this.asked = [];
    const token = late && this.against ? this.against.token : data.token;
    const keeps = same && this.against?.token === token && this.told === data.token;
    this.told = data.token;
    [this.data, this.vectors] = [data, vectors];
    this.root.style.setProperty("--height", `${data.height}px`);
    find(this.root, ".by-product + span", HTMLElement).textContent = data.texts.sortDimensions;
    find(this.root, ".by-weight + span", HTMLElement).textContent = data.texts.sortKeys;
    find(this.root, ".queries", HTMLElement).setAttribute("aria-label", data.texts.queries);
    if (keeps) return this.show();
    this.become(token, token === data.token ? vectors.keyAt(data.key) : -1);
  }

  /** Shows another query. @param {number} token @param {number} key -1: that with the largest weight */
  become(token, key) {
    const { vectors } = this;
    if (!vectors) return;
    this.against = vectors.against(token);
    this.key = key >= 0 ? key : descending(this.against.weights)[0];
    this.dimension = -1;
    this.show();
    this.reveal();
  }

  /** Draws everything but the rows at once, and the rows in the next frame. */
  show() {
    const { data, vectors, against } = this;
    if (!data || !vectors || !against) return;
    const theme = readTheme(this.root, data.colours, true);
    const stops = (theme.dark ? data.colours.dark : data.colours.light).diverging;
    this.root.style.colorScheme = theme.dark ? "dark" : "light";
    this.root.style.setProperty("--ramp", stops.join(", "));
    this.root.style.setProperty("--positive", stops[stops.length - 2]);
    this.root.style.setProperty("--negative", stops[1]);
    this.root.style.setProperty("--undefined", `rgb(${theme.undefined.join(" ")})`);
    this.theme = theme;
    this.look = {
      ramp: theme.ramp,
      undefined: theme.undefined,
      vectorScale: vectors.scale,
      productScale: quantile([against.products], 0.99),
      dimensions: this.byProduct.checked ? descending(this.products()) : ascending(vectors.size),
      keys: this.byWeight.checked ? this.mostFirst() : ascending(vectors.nKeys),
    };
    drawQueries(find(this.root, ".queries", HTMLElement), data, against.token, vectors);
    drawLegend(find(this.root, ".legend", HTMLElement), data, vectors, this.look);
    drawFoot(find(this.root, ".foot", HTMLElement), data, against);
    const pair = `${isolate(data.queryTokens[against.token])} × ${this.keyToken(this.key)}`;
    drawScore(find(this.root, ".sum", HTMLElement), data, against, this.key, pair);
    this.tell(this.dimension);
    this.redraw();
  }

  /** Keys by weight; of those that are hidden, in the order of the text. */
  mostFirst() {
    const { hidden, weights } = /** @type {Against} */ (this.against);
    return descending(weights.map((weight, key) => (hidden?.[key] ? -1 : weight)));
  }

  /** The products of the chosen key. */
  products() {
    const { against, vectors, key } = this;
    return against && vectors ? against.products.subarray(key * vectors.size, (key + 1) * vectors.size) : new Float32Array();
  }

  redraw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => guard(this, () => this.draw()));
  }

  draw() {
    const { against, data, look, theme, vectors } = this;
    if (!against || !data || !look || !theme || !vectors || !this.scroller.clientWidth) return;
    const token = isolate(data.queryTokens[against.token]);
    this.table.fill(against, vectors, look, {
      chosen: this.key,
      isQuery: (position) => data.kind !== "cross" && position === against.token,
      called: (what, key) => this.called(what, key),
    });
    const query = find(this.root, "canvas.query", HTMLCanvasElement);
    paint(query, against.query, { ...look, scale: look.vectorScale });
    const titles = Array.from(this.root.querySelectorAll(".head .title"));
    const names = [
      data.texts.key,
      fill(data.texts.query, { token }),
      fill(data.texts.product, { token: this.keyToken(this.key) }),
      data.texts.dot,
      data.texts.score,
      data.texts.weight,
    ];
    names.forEach((name, place) => (titles[place].textContent = name));
    query.setAttribute("aria-label", names[1]);
    this.list.setAttribute("aria-label", fill(data.texts.label, { keys: data.keyTokens.length, token }));
    const sums = find(this.root, "canvas.sums", HTMLCanvasElement);
    sums.setAttribute("aria-label", names[2]);
    drawSum(sums, this.products(), look.dimensions, theme, this.root);
    const index = look.keys.indexOf(this.key);
    this.list.setAttribute("aria-activedescendant", `${this.list.id}-${index}`);
    this.mark();
    this.root.dataset.drawn = String(against.token);
  }

  /** @param {string} what @param {number} key */
  called(what, key) {
    const { against, data, vectors } = this;
    if (!against || !data || !vectors) return "";
    return fill(data.texts[what], {
      token: this.keyToken(key),
      position: vectors.position(key),
      score: written(against.scores[key]),
      weight: share(against.weights[key]),
    });
  }

  /** @param {number} key */
  keyToken(key) {
    const { data, vectors } = this;
    return data && vectors ? isolate(data.keyTokens[vectors.position(key)]) : "";
  }

  /** The key of the row under the pointer, or -1. @param {MouseEvent} event */
  under(event) {
    const row = event.target instanceof Element ? event.target.closest(".list .row") : null;
    return row instanceof HTMLElement ? Number(row.dataset.key) : -1;
  }

  /** @param {PointerEvent} event */
  point(event) {
    const canvas = event.target instanceof HTMLCanvasElement ? event.target : null;
    if (!canvas || !this.look) return this.tell(-1);
    const box = canvas.getBoundingClientRect();
    const n = this.look.dimensions.length;
    const place = Math.min(Math.max(Math.floor(((event.clientX - box.left) / box.width) * n), 0), n - 1);
    this.tell(this.look.dimensions[place], this.under(event));
  }

  /** Says the numbers of a dimension, or what can be done. @param {number} dimension @param {number} [key] */
  tell(dimension, key = -1) {
    const { against, data, vectors } = this;
    if (!against || !data || !vectors) return;
    this.dimension = dimension;
    this.mark();
    if (dimension < 0) {
      const { first, texts } = data;
      const away = vectors.nQueries < data.queryTokens.length && !data.answers;
      const range = { first, last: first + vectors.nQueries - 1 };
      const held = away ? ` ${fill(vectors.nQueries === 1 ? texts.awayOne : texts.away, range)}` : "";
      this.status.textContent = (data.kind === "cross" ? texts.hintCross : texts.hint) + held;
      return;
    }
    const pair = key < 0 ? this.key : key;
    const products = against.products.subarray(pair * vectors.size, (pair + 1) * vectors.size);
    const precise = (/** @type {number} */ number) => number.toPrecision(4).replace("-", "−");
    this.status.textContent = fill(data.texts.dimension, {
      place: dimension,
      query: precise(against.query[dimension]),
      key: precise(vectors.key(pair)[dimension]),
      product: precise(products[dimension]),
      rank: descending(products).indexOf(dimension) + 1,
      n: vectors.size,
      token: this.keyToken(pair),
    });
  }

  /** Frames the dimension that is told, in both columns. */
  mark() {
    const { look } = this;
    const place = look ? look.dimensions.indexOf(this.dimension) : -1;
    const frame = find(this.root, ".frame", HTMLElement).getBoundingClientRect();
    const strips = Array.from(this.root.querySelectorAll(".head canvas"));
    Array.from(this.root.querySelectorAll(".guide")).forEach((guide, column) => {
      if (!(guide instanceof HTMLElement) || !look) return;
      guide.hidden = place < 0;
      const box = strips[column].getBoundingClientRect();
      guide.style.left = `${box.left - frame.left + (place * box.width) / look.dimensions.length - 1}px`;
      guide.style.width = `${box.width / look.dimensions.length + 2}px`;
    });
  }

  /** Adds up the score of a key. @param {number} key */
  choose(key) {
    if (key < 0) return;
    this.key = key;
    this.show();
  }

  /** Looks from the token of a key, where queries and keys are of one text. @param {number} key */
  lookFrom(key) {
    if (key >= 0 && this.vectors && this.data?.kind !== "cross") this.take(this.vectors.position(key));
  }

  /** Takes another query: at once, if it is here. @param {number} token */
  take(token) {
    const { vectors, data } = this;
    if (!vectors || !data || token === this.against?.token) return;
    const here = vectors.has(token);
    if (!here && !data.answers) return;
    this.asked.push(token);
    if (here) this.become(token, -1);
    this.select({ token });
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const { look, key } = this;
    if (!look || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / 40));
    /** @type {Record<string, number>} */
    const moves = { ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity };
    const across = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Enter" || event.key === " ") this.lookFrom(key);
    else if (across) {
      const place = look.dimensions.indexOf(this.dimension) + across;
      this.tell(look.dimensions[Math.min(Math.max(place, 0), look.dimensions.length - 1)]);
    } else if (event.key in moves) {
      const index = Math.min(Math.max(look.keys.indexOf(key) + moves[event.key], 0), look.keys.length - 1);
      const dimension = this.dimension;
      this.choose(look.keys[index]);
      this.tell(dimension);
      this.reveal();
    } else return;
    event.preventDefault();
  }

  /** Arrow keys among the tokens that can look. @param {KeyboardEvent} event */
  step(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || !this.against || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const token = this.against.token + by;
    if (token < 0 || token >= (this.data?.queryTokens.length ?? 0)) return;
    this.take(token);
    find(this.root, ".queries [aria-pressed=true]", HTMLElement).focus();
  }

  reveal() {
    const covered = this.list.offsetTop + find(this.root, ".foot", HTMLElement).offsetHeight;
    if (this.look) this.table.reveal(this.look.keys.indexOf(this.key), covered);
  }
}

/** @type {Mount<NeuronViewData, NeuronPick>} */
const mount = mounting((el) => new NeuronView(el));
export default mount;
