/**
 * The model view: a small map of every head of every layer, at a glance.
 *
 * Point at one, or move with the arrow keys, and it is named; click, or press Enter, and `select`
 * is told {layer, head, kind}. Called again on the same element, it takes the new data and keeps
 * what the reader was doing; the cleanup that it returns takes everything away.
 * @import { Arrangement, Maps, ModelViewData, Mount } from "./types.d.ts"
 */
import { readTheme } from "./colour.js";
import { unpack } from "./decode.js";
import { drawDetail } from "./detail.js";
import { drawGrid } from "./grid.js";
import { arrange } from "./layout.js";
import { find } from "./parts.js";

/** @typedef {import("./types.d.ts").Selection} Selection */

const MARKUP = `
<div class="bar">
  <span class="legend quiet"></span>
  <label class="own-scale"><input type="checkbox"><span></span></label>
</div>
<div class="body">
  <div class="grid"><div class="stage">
    <canvas class="all" tabindex="0" role="application"></canvas>
    <div class="mark pointed" hidden></div><div class="mark selected" hidden></div>
  </div></div>
  <div class="detail" hidden><canvas class="one" role="img"></canvas></div>
</div>
<p class="status" role="status"></p>`;

/** @type {WeakMap<HTMLElement, ModelView>} */
const views = new WeakMap();

class ModelView {
  /** @param {HTMLElement} el */
  constructor(el) {
    this.el = el;
    this.root = document.createElement("div");
    this.root.className = "headlight model-view";
    this.root.innerHTML = MARKUP;
    el.append(this.root);
    this.canvas = find(this.root, "canvas.all", HTMLCanvasElement);
    this.detailCanvas = find(this.root, "canvas.one", HTMLCanvasElement);
    this.grid = find(this.root, ".grid", HTMLElement);
    this.detail = find(this.root, ".detail", HTMLElement);
    this.status = find(this.root, ".status", HTMLElement);
    this.ownScale = find(this.root, ".own-scale input", HTMLInputElement);
    /** @type {ModelViewData | null} */
    this.data = null;
    /** @type {Maps | null} */
    this.maps = null;
    /** @type {Arrangement | null} */
    this.arrangement = null;
    /** @type {import("./detail.js").Plot | null} */
    this.plot = null;
    /** @type {(selection: Selection) => void} */
    this.select = () => {};
    /** Indices into `maps`, or -1. @type {number} */
    this.selected = -1;
    this.pointed = -1;
    /** What the grid was last drawn from. @type {unknown[]} */
    this.drawn = [];
    this.visible = false;
    this.frame = 0;
    this.version = 0;
    this.ending = new AbortController();
    this.watch();
  }

  watch() {
    const { signal } = this.ending;
    this.canvas.addEventListener("pointermove", (event) => this.point(this.under(event)), { signal });
    this.canvas.addEventListener("pointerleave", () => this.point(-1), { signal });
    this.canvas.addEventListener("blur", () => this.point(-1), { signal });
    this.canvas.addEventListener("click", (event) => this.choose(this.under(event)), { signal });
    this.canvas.addEventListener("keydown", (event) => this.press(event), { signal });
    this.canvas.addEventListener(
      "focus",
      () => this.canvas.matches(":focus-visible") && this.point(Math.max(0, this.selected)),
      { signal },
    );
    this.detailCanvas.addEventListener("pointermove", (event) => this.read(event), { signal });
    this.detailCanvas.addEventListener("pointerleave", () => this.tell(), { signal });
    this.ownScale.addEventListener("change", () => this.redraw(), { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw(), { signal });
    const resized = new ResizeObserver(() => this.redraw());
    resized.observe(this.grid);
    const seen = new IntersectionObserver(([entry]) => {
      this.visible = entry.isIntersecting;
      if (this.visible) this.redraw();
    });
    seen.observe(this.root);
    signal.addEventListener("abort", () => {
      resized.disconnect();
      seen.disconnect();
      cancelAnimationFrame(this.frame);
      this.root.remove();
      views.delete(this.el);
    });
  }

  /**
   * @param {ModelViewData} data
   * @param {(selection: Selection) => void} select
   */
  async update(data, select) {
    const version = ++this.version;
    const before = this.data;
    this.data = data;
    this.select = select;
    this.root.style.setProperty("--height", `${data.height}px`);
    this.detail.hidden = !data.detail;
    if (before?.codes.base64 !== data.codes.base64 || !this.maps) {
      this.maps = null;
      const codes = await unpack(data.codes);
      if (version !== this.version || this.ending.signal.aborted) return;
      const [, nRows, nColumns] = data.codes.shape;
      this.maps = { codes, nRows, nColumns, data };
      this.pointed = -1;
    }
    this.maps.data = data;
    this.selected = data.selected ? this.indexOf(data.selected) : -1;
    const { texts } = data;
    const size = { layers: data.layers.length, heads: data.heads.length, maps: data.maps.length };
    this.canvas.setAttribute("aria-label", fill(texts.label, size));
    find(this.root, ".own-scale span", HTMLElement).textContent = texts.ownScale;
    this.drawLegend(data);
    this.tell();
    this.redraw();
  }

  /** @param {[number | null, number | null]} selected layer and head, by their numbers */
  indexOf([layer, head]) {
    const data = this.data;
    return data
      ? data.maps.findIndex(
          ({ place }) => data.layers[place[0]] === layer && data.heads[place[1]] === head,
        )
      : -1;
  }

  /** Draws in the next frame, if anybody can see it. */
  redraw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => guard(this, () => this.draw()));
  }

  draw() {
    const { maps, data } = this;
    if (!maps || !data || !this.visible || this.grid.clientWidth === 0) return;
    const theme = readTheme(this.root, data.colours, data.low < 0);
    this.root.style.colorScheme = theme.dark ? "dark" : "light";
    this.root.style.setProperty("--ramp", (theme.dark ? data.colours.dark : data.colours.light)[
      data.low < 0 ? "diverging" : "sequential"
    ].join(", "));
    this.root.style.setProperty("--undefined", `rgb(${theme.undefined.join(" ")})`);
    const style = getComputedStyle(this.grid);
    this.arrangement = arrange({
      width: this.grid.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight),
      height: this.grid.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom),
      nLayers: data.layers.length,
      nHeads: data.heads.length,
    });
    const how = { ratio: devicePixelRatio || 1, theme, ownScale: this.ownScale.checked };
    // A selection that comes back from the host changes nothing here: it costs no drawing.
    const { width, height } = this.arrangement;
    const drawn = [maps.codes, data.texts.layer, width, height, how.ratio, how.ownScale];
    drawn.push(theme.background, theme.quiet, theme.font);
    if (drawn.some((value, i) => value !== this.drawn[i])) {
      drawGrid(this.canvas, maps, this.arrangement, how);
      this.drawn = drawn;
    }
    this.mark();
    this.drawOne();
    this.root.dataset.drawn = String(this.version);
  }

  drawOne() {
    const { maps, data } = this;
    if (!maps || !data || !data.detail || !this.visible) return;
    const { clientWidth: width, clientHeight: height } = this.detail;
    if (width < 40 || height < 40) return;
    const index = this.current();
    this.plot = drawDetail(this.detailCanvas, maps, index, {
      width,
      height,
      ratio: devicePixelRatio || 1,
      theme: readTheme(this.root, data.colours, data.low < 0),
      ownScale: this.ownScale.checked,
    });
    this.detailCanvas.setAttribute("aria-label", this.words(index));
  }

  /** The map that is pointed at, else the selected one, else the first. */
  current() {
    return Math.max(0, this.pointed >= 0 ? this.pointed : this.selected);
  }

  /** @param {MouseEvent} event */
  under(event) {
    const place = this.arrangement?.at(event.offsetX, event.offsetY);
    return place ? this.at(place[0], place[1]) : -1;
  }

  /** @param {number} layer @param {number} head as indices */
  at(layer, head) {
    return this.data
      ? this.data.maps.findIndex(({ place }) => place[0] === layer && place[1] === head)
      : -1;
  }

  /** @param {number} index */
  point(index) {
    if (index === this.pointed) return;
    this.pointed = index;
    this.canvas.style.cursor = index >= 0 ? "pointer" : "default";
    this.mark();
    this.tell();
    this.drawOne();
  }

  /** @param {number} index */
  choose(index) {
    if (index < 0 || !this.data) return;
    this.selected = index;
    this.mark();
    const { layers, heads, maps, kind } = this.data;
    const [layer, head] = maps[index].place;
    this.select({ layer: layers[layer], head: heads[head], kind });
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const { data, arrangement } = this;
    if (!data || !arrangement || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.choose(this.current());
      return;
    }
    /** @type {Record<string, [number, number]>} */
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const [byLayer, byHead] = arrangement.across ? [step[1], step[0]] : step;
    let [layer, head] = data.maps[this.current()].place;
    for (;;) {
      layer += byLayer;
      head += byHead;
      if (layer < 0 || head < 0 || layer >= data.layers.length || head >= data.heads.length) return;
      const index = this.at(layer, head);
      if (index >= 0) {
        this.point(index);
        this.reveal(index);
        return;
      }
    }
  }

  /** Scrolls the grid, and nothing else, until that map is in sight. @param {number} index */
  reveal(index) {
    if (!this.data || !this.arrangement) return;
    const [layer, head] = this.data.maps[index].place;
    const { x, y, size } = this.arrangement.box(layer, head);
    const { grid } = this;
    grid.scrollLeft = Math.min(Math.max(grid.scrollLeft, x + size + 8 - grid.clientWidth), x - 40);
    grid.scrollTop = Math.min(Math.max(grid.scrollTop, y + size + 8 - grid.clientHeight), y - 40);
  }

  /** Puts the outlines where they belong. */
  mark() {
    for (const [name, index] of /** @type {const} */ ([["pointed", this.pointed], ["selected", this.selected]])) {
      const outline = find(this.root, `.mark.${name}`, HTMLElement);
      outline.hidden = index < 0 || !this.arrangement || !this.data?.maps[index];
      if (outline.hidden || !this.arrangement || !this.data) continue;
      const [layer, head] = this.data.maps[index].place;
      const { x, y, size } = this.arrangement.box(layer, head);
      outline.style.transform = `translate(${x}px, ${y}px)`;
      outline.style.width = outline.style.height = `${size}px`;
    }
  }

  /** @param {number} index */
  words(index) {
    const data = this.data;
    if (!data || !data.maps[index]) return "";
    const { place, text } = data.maps[index];
    const [layer, head] = [data.layers[place[0]], data.heads[place[1]]];
    const which = layer === null ? "map" : head === null ? "layerOnly" : "named";
    return fill(data.texts[which], { layer, head, map: index, text });
  }

  tell() {
    if (!this.data) return;
    const index = this.pointed >= 0 ? this.pointed : this.selected;
    this.status.textContent = index >= 0 ? this.words(index) : this.data.texts.hint;
  }

  /** Tells the value under the pointer in the enlarged map. @param {PointerEvent} event */
  read(event) {
    const { data, maps, plot } = this;
    if (!data || !maps || !plot) return;
    const column = Math.floor(((event.offsetX - plot.left) / plot.width) * maps.nColumns);
    const row = Math.floor(((event.offsetY - plot.top) / plot.height) * maps.nRows);
    if (column < 0 || row < 0 || column >= maps.nColumns || row >= maps.nRows) return this.tell();
    const code = maps.codes[(this.current() * maps.nRows + row) * maps.nColumns + column];
    const value = data.low + (code / data.nSteps) * (data.high - data.low);
    const shown =
      code === data.maskedCode ? data.texts.masked
      : code === data.undefinedCode ? data.texts.undefined
      : value.toFixed(Math.max(2, Math.ceil(-Math.log10(data.high - data.low)) + 2));
    const { queryTokens, keyTokens } = data;
    this.status.textContent =
      queryTokens && keyTokens
        ? fill(data.texts.cell, { query: isolate(queryTokens[row]), key: isolate(keyTokens[column]), value: shown })
        : fill(data.texts.reducedCell, { value: shown });
  }

  /** @param {ModelViewData} data */
  drawLegend(data) {
    const legend = find(this.root, ".legend", HTMLElement);
    const { texts } = data;
    legend.replaceChildren(
      part("", data.texts.low),
      part("scale", ""),
      part("", data.texts.high),
      part("quantity", texts.quantity),
      ...(data.hasMasked ? [part("swatch masked", ""), part("", texts.masked)] : []),
      ...(data.hasUndefined ? [part("swatch undefined", ""), part("", texts.undefined)] : []),
      ...(texts.reduced ? [part("reduced", texts.reduced)] : []),
    );
  }
}

/** @param {string} className @param {string} text */
function part(className, text) {
  const span = document.createElement("span");
  span.className = className;
  span.textContent = text;
  return span;
}

/**
 * @param {string} template
 * @param {Record<string, string | number | null>} values
 */
function fill(template, values) {
  return template.replace(/\{(\w+)\}/g, (_, key) => String(values[key]));
}

/** Keeps a token of the other writing direction from turning its surroundings around. @param {string} token */
function isolate(token) {
  return `\u2068${token}\u2069`;
}

/**
 * Runs it; if that fails, says so inside the view, in words.
 * @param {ModelView} view
 * @param {() => void | Promise<void>} task
 */
async function guard(view, task) {
  const { root } = view;
  try {
    await task();
    if (view.maps) root.querySelector(".error")?.remove();
  } catch (error) {
    const words = root.querySelector(".error") ?? part("error", "");
    const reason = error instanceof Error ? error.message : String(error);
    words.setAttribute("role", "alert");
    words.textContent = fill(view.data?.texts?.error ?? "{reason}", { reason });
    root.prepend(words);
  }
}

/** @type {Mount<ModelViewData>} */
export default function mount({ el, data, select }) {
  const view = views.get(el) ?? new ModelView(el);
  views.set(el, view);
  guard(view, () => view.update(data, select));
  return () => view.ending.abort();
}
