/**
 * All heads as points: any two of their scores against each other, and the map of the one that is
 * pointed at.
 *
 * A click, or Enter, tells `select` {layer, head, kind}. Called again on the same element, it takes
 * the new data and keeps what the reader chose.
 * @import { Mount, Selection } from "./types.d.ts"
 * @import { ScatterData } from "./heads.d.ts"
 */
import { readTheme } from "./colour.js";
import { drawDetail } from "./detail.js";
import { guard } from "./guard.js";
import { find, part } from "./parts.js";
import { mounting, watch } from "./watch.js";
import { fill } from "./words.js";
import { Pictures } from "./pictures.js";
import { painter } from "./raster.js";
import { beside, drawPlot, markPlot, near, symbol } from "./scatter_plot.js";
import { shape } from "./shapes.js";

const MARKUP = `
<div class="bar">
  <label class="axis"><b>↑</b><select class="y"></select></label>
  <select class="colour"></select>
  <div class="legend quiet"></div>
</div>
<div class="body">
  <div class="left">
    <div class="plot" tabindex="0" role="application"></div>
    <div class="below"><label class="axis"><select class="x"></select><b>→</b></label></div>
  </div>
  <div class="detail" hidden><canvas role="img"></canvas></div>
</div>
<p class="status" role="status"></p>`;

class ScatterView {
  /** @param {HTMLElement} el */
  constructor(el) {
    this.root = document.createElement("div");
    this.root.className = "headlight scatter-view";
    this.root.innerHTML = MARKUP;
    el.append(this.root);
    this.plot = find(this.root, ".plot", HTMLElement);
    this.detail = find(this.root, ".detail", HTMLElement);
    this.canvas = find(this.root, "canvas", HTMLCanvasElement);
    this.status = find(this.root, ".status", HTMLElement);
    const chosen = (/** @type {string} */ name) => find(this.root, `select.${name}`, HTMLSelectElement);
    this.x = chosen("x");
    this.y = chosen("y");
    this.colour = chosen("colour");
    this.pictures = new Pictures();
    /** @type {ScatterData | null} */
    this.data = null;
    /** @type {import("./scatter_plot.js").Plot} */
    this.drawn = { dots: [], missing: 0 };
    /** @type {(selection: Selection) => void} */
    this.select = () => {};
    /** Indices of points, or -1. @type {number} */
    this.selected = -1;
    this.pointed = -1;
    this.version = 0;
    this.frame = 0;
    this.ending = new AbortController();
    this.watch();
  }

  watch() {
    const { signal } = this.ending;
    const { plot } = this;
    this.root.addEventListener("change", () => this.redraw(), { signal });
    plot.addEventListener("pointermove", (event) => this.point(this.under(event)), { signal });
    plot.addEventListener("pointerleave", () => this.point(-1), { signal });
    plot.addEventListener("blur", () => this.point(-1), { signal });
    plot.addEventListener("click", (event) => this.choose(this.under(event)), { signal });
    plot.addEventListener("focus", () => {
      if (plot.matches(":focus-visible")) this.point(this.selected >= 0 ? this.selected : (this.drawn.dots[0]?.index ?? -1));
    }, { signal });
    plot.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Enter" || event.key === " ") this.choose(this.current());
      else if (event.key.startsWith("Arrow")) this.point(beside(this.drawn, this.current(), event.key));
      else return;
      event.preventDefault();
    }, { signal });
    watch(this, plot);
  }

  /** @param {ScatterData} data @param {(selection: Selection) => void} select */
  async update(data, select) {
    const version = ++this.version;
    const isNew = this.data === null;
    this.data = data;
    this.select = select;
    this.root.style.setProperty("--height", `${data.height}px`);
    this.detail.hidden = data.maps === null;
    if (data.maps && !this.pictures.has(data.maps)) {
      await this.pictures.take(data.maps);
      if (version !== this.version || this.ending.signal.aborted) return;
    }
    const { texts, scores, kinds, begin, selected } = data;
    const options = scores.map(({ name, label }) => /** @type {[string, string]} */ ([name, label]));
    fillSelect(this.x, texts.x, options, isNew ? begin.x : this.x.value);
    fillSelect(this.y, texts.y, options, isNew ? begin.y : this.y.value);
    fillSelect(this.colour, texts.colour, [["layer", texts.byLayer], ["kind", texts.byKind]], isNew ? begin.colour : this.colour.value);
    this.colour.hidden = kinds.length < 2;
    this.selected = selected
      ? data.points.findIndex(
          ({ layer, head, kind }) => layer === selected[0] && head === selected[1] && (selected[2] ?? kind) === kind,
        )
      : -1;
    this.redraw();
  }

  redraw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => guard(this, () => this.draw(), () => true));
  }

  draw() {
    const { data, plot, root } = this;
    if (!data || plot.clientWidth < 80 || plot.clientHeight < 60) return;
    const theme = readTheme(root, data.colours, false);
    const ramp = (theme.dark ? data.colours.dark : data.colours.light).sequential;
    root.style.colorScheme = theme.dark ? "dark" : "light";
    root.style.setProperty("--ramp", ramp.slice(2).join(", "));
    const [x, y] = [this.x.value, this.y.value];
    this.drawn = drawPlot(plot, data, { x, y, colour: this.colour.value, ramp: theme.ramp });
    const name = (/** @type {string} */ of) => data.scores.find((one) => one.name === of)?.label ?? of;
    plot.setAttribute("aria-label", fill(data.texts.label, { n: this.drawn.dots.length, x: name(x), y: name(y) }));
    this.drawLegend(data);
    this.mark();
    root.dataset.drawn = String(this.version);
  }

  /** @param {ScatterData} data */
  drawLegend(data) {
    const legend = find(this.root, ".legend", HTMLElement);
    const { points, kinds, texts } = data;
    const layers = points.map(({ layer }) => layer);
    /** @type {HTMLElement[]} */
    const parts = [];
    if (this.colour.value === "layer" && layers.length) {
      parts.push(
        part("span", "", fill(texts.layer, { layer: Math.min(...layers) })),
        part("span", "scale"),
        part("span", "", String(Math.max(...layers))),
      );
    }
    if (kinds.length > 1) {
      kinds.forEach((kind, index) => {
        const pair = part("span", "pair");
        const svg = shape("svg", { width: 14, height: 14 });
        const made = symbol(index, 7, 7, 4);
        const fill = this.colour.value === "kind" ? `var(--kind-${index % 3})` : "var(--quiet)";
        made.setAttribute("style", `fill: ${fill}`);
        svg.append(made);
        pair.append(svg, part("span", "", kind));
        parts.push(pair);
      });
    }
    if (this.drawn.missing) parts.push(part("span", "", fill(texts.missing, { n: this.drawn.missing })));
    if (this.data?.maps) parts.push(part("span", "", texts.ownScale));
    legend.replaceChildren(...parts);
  }

  /** The point that is pointed at, else the selected one. */
  current() {
    return this.pointed >= 0 ? this.pointed : this.selected;
  }

  /** @param {MouseEvent} event */
  under(event) {
    const box = this.plot.getBoundingClientRect();
    return near(this.drawn, event.clientX - box.left, event.clientY - box.top);
  }

  /** @param {number} index */
  point(index) {
    if (index === this.pointed) return;
    this.pointed = index;
    this.plot.style.cursor = index >= 0 ? "pointer" : "";
    this.mark();
  }

  /** @param {number} index */
  choose(index) {
    const point = this.data?.points[index];
    if (!point) return;
    this.selected = index;
    this.mark();
    this.select({ layer: point.layer, head: point.head, kind: point.kind });
  }

  mark() {
    const { selected, pointed } = this;
    markPlot(this.plot, this.drawn, { selected, pointed, name: (index) => this.nameOf(index) });
    this.tell();
    this.drawOne();
  }

  /** @param {number} index */
  nameOf(index) {
    const { data } = this;
    if (!data) return "";
    const { layer, head, kind } = data.points[index];
    return fill(data.kinds.length > 1 && kind ? data.texts.ofKind : data.texts.named, { layer, head, kind });
  }

  tell() {
    const { data } = this;
    const index = this.current();
    const point = data?.points[index];
    if (!data || !point) {
      this.status.textContent = data?.texts.hint ?? "";
      return;
    }
    const told = [...new Set([this.x.value, this.y.value])].map((name) => {
      const score = data.scores.find((one) => one.name === name);
      const value = score?.values[index] ?? null;
      return fill(data.texts.score, { name: score?.label ?? name, value: value === null ? "–" : String(Number(value.toPrecision(3))) });
    });
    const words = point.text ? `${this.nameOf(index)}: ${point.text}` : this.nameOf(index);
    this.status.textContent = [words, ...told].join(" · ");
  }

  async drawOne() {
    const { data, detail } = this;
    const maps = data?.maps;
    if (!data || !maps || detail.clientWidth < 40 || detail.clientHeight < 40) return;
    const point = data.points[this.current()];
    const index = point?.map ?? -1;
    this.canvas.hidden = index < 0;
    detail.querySelector(".missing")?.remove();
    if (index < 0) {
      detail.append(part("p", "missing quiet", point ? data.texts.noMap : data.texts.mapHint));
      return;
    }
    const theme = readTheme(this.root, data.colours, maps.low < 0);
    const paint = painter(maps, theme, { own: true, log: false, sink: "keep" });
    const how = { width: detail.clientWidth, height: detail.clientHeight, ratio: devicePixelRatio || 1, theme, paint };
    drawDetail(this.canvas, this.pictures.of(index), maps, how);
    this.canvas.setAttribute("aria-label", this.nameOf(this.current()));
    if ((await this.pictures.open(index, true)) && data.points[this.current()]?.map === index) this.drawOne();
  }
}

/**
 * @param {HTMLSelectElement} select
 * @param {string} label
 * @param {[string, string][]} options
 * @param {string} chosen
 */
function fillSelect(select, label, options, chosen) {
  select.setAttribute("aria-label", label);
  select.title = label;
  select.replaceChildren(
    ...options.map(([value, words]) => {
      const option = /** @type {HTMLOptionElement} */ (part("option", "", words));
      option.value = value;
      return option;
    }),
  );
  select.value = options.some(([value]) => value === chosen) ? chosen : options[0][0];
}

/** @type {Mount<ScatterData>} */
const mount = mounting((el) => new ScatterView(el), () => true);
export default mount;
