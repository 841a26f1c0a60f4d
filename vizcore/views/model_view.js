/**
 * The model view: a small map of every head of every layer, at a glance.
 *
 * Point at one, or move with the arrow keys, and it is named; click, or press Enter, and `select`
 * is told {layer, head, kind}. Called again on the same element, it takes the new data and keeps
 * what the reader was doing; the cleanup that it returns takes everything away.
 * @import { Selection, Mount } from "./types.d.ts"
 * @import { ModelViewData, Picture } from "./heads.d.ts"
 */
import { BAR, Bar } from "./bar.js";
import { readTheme } from "./colour.js";
import { drawDetail } from "./detail.js";
import { Grid } from "./grid.js";
import { drawLegend } from "./legend.js";
import { guard } from "./guard.js";
import { find } from "./parts.js";
import { mounting, watch } from "./watch.js";
import { fill } from "./words.js";
import { Pictures } from "./pictures.js";
import { cellsOf, leftOf, painter } from "./raster.js";

const MARKUP = `${BAR}
<div class="body">
  <div class="grid"><div class="stage">
    <canvas class="all" tabindex="0" role="application"></canvas>
    <div class="mark pointed" hidden></div><div class="mark selected" hidden></div>
  </div></div>
  <div class="detail" hidden><canvas class="one" role="img"></canvas></div>
</div>
<p class="status" role="status"></p>`;

class ModelView {
  /** @param {HTMLElement} el */
  constructor(el) {
    this.root = document.createElement("div");
    this.root.className = "headlight model-view";
    this.root.innerHTML = MARKUP;
    el.append(this.root);
    this.canvas = find(this.root, "canvas.all", HTMLCanvasElement);
    this.detailCanvas = find(this.root, "canvas.one", HTMLCanvasElement);
    this.detail = find(this.root, ".detail", HTMLElement);
    this.status = find(this.root, ".status", HTMLElement);
    this.ending = new AbortController();
    const { signal } = this.ending;
    this.grid = new Grid(this.root, {
      point: (index) => this.point(index),
      choose: (index) => this.choose(index),
      redraw: () => this.redraw(),
    }, signal);
    this.bar = new Bar(this.root, {
      change: () => { this.tellLegend(); this.redraw(); },
      zoom: (direction) => this.grid.zoomBy(direction, this.selected),
    }, signal);
    /** @type {ModelViewData | null} */
    this.data = null;
    this.pictures = new Pictures();
    /** @type {import("./detail.js").Plot | null} */
    this.plot = null;
    /** @type {(selection: Selection) => void} */
    this.select = () => {};
    /** Indices of maps, or -1. @type {number} */
    this.selected = -1;
    this.pointed = -1;
    this.visible = false;
    this.frame = 0;
    this.version = 0;
    /** @type {{ look: string, shown: string }} */
    this.drawn = { look: "", shown: "" };
    /** @type {((picture: Picture, width: number, height: number) => ImageData) | null} */
    this.paint = null;
    this.watch(signal);
  }

  /** @param {AbortSignal} signal */
  watch(signal) {
    this.canvas.addEventListener("blur", () => this.point(-1), { signal });
    this.canvas.addEventListener("keydown", (event) => this.press(event), { signal });
    this.canvas.addEventListener(
      "focus",
      () => this.canvas.matches(":focus-visible") && this.point(this.current()),
      { signal },
    );
    this.detailCanvas.addEventListener("pointermove", (event) => this.read(event), { signal });
    this.detailCanvas.addEventListener("pointerleave", () => this.tell(), { signal });
    watch(this, this.grid.scroller);
  }

  /**
   * @param {ModelViewData} data
   * @param {(selection: Selection) => void} select
   */
  async update(data, select) {
    const version = ++this.version;
    this.data = data;
    this.select = select;
    this.root.style.setProperty("--height", `${data.height}px`);
    this.detail.hidden = !data.detail;
    const { pictures } = this;
    if (!pictures.has(data)) {
      await pictures.take(data);
      if (version !== this.version || this.ending.signal.aborted) return;
      this.pointed = -1;
    }
    this.selected = data.selected ? this.indexOf(data.selected) : -1;
    const { texts } = data;
    const size = { layers: data.layers.length, heads: data.heads.length, maps: data.maps.length };
    this.canvas.setAttribute("aria-label", fill(texts.label, size));
    this.bar.update(data);
    this.tellLegend();
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

  /** Has a head unpacked that was sent in full, and draws it then. @param {number} index */
  async open(index) {
    if (!(await this.pictures.open(index, index === this.current()))) return;
    if (index === this.current()) this.drawOne();
    this.grid.move();
  }

  /** Draws in the next frame, if anybody can see it. */
  redraw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => guard(this, () => this.draw(), () => this.pictures.version > 0));
  }

  draw() {
    const { data, grid, root } = this;
    if (!data || !this.pictures.version || !this.visible || grid.scroller.clientWidth === 0) return;
    const theme = readTheme(root, data.colours, data.low < 0);
    const colours = theme.dark ? data.colours.dark : data.colours.light;
    const ramp = colours[data.low < 0 ? "diverging" : "sequential"];
    root.style.colorScheme = theme.dark ? "dark" : "light";
    root.style.setProperty("--ramp", ramp.join(", "));
    root.style.setProperty("--ramp-low", ramp[0]);
    root.style.setProperty("--ramp-high", ramp[ramp.length - 1]);
    for (const name of /** @type {const} */ (["undefined", "infinite", "aside"])) {
      root.style.setProperty(`--${name}`, colours[name]);
    }
    const choice = this.bar.choice();
    const { own, log, sink } = choice;
    const known = [this.pictures.version, theme.background, theme.text, own, log, sink].join();
    if (this.drawn.look !== known || !this.paint) this.paint = painter(data, theme, choice);
    const { clientWidth, clientHeight } = grid.scroller;
    const { sort, falling, show } = choice;
    const shown = [
      ...[clientWidth, clientHeight, devicePixelRatio, theme.quiet, theme.font],
      ...[grid.zoom, sort, falling, show, data.texts.layer, JSON.stringify(data.scores)],
    ].join();
    // A selection that comes back from the host changes nothing here: it costs no drawing.
    if (this.drawn.look !== known || this.drawn.shown !== shown) {
      const { paint } = this;
      const pictureOf = (/** @type {number} */ index) => {
        if (grid.zoom > 1) this.open(index);
        return this.pictures.of(index);
      };
      grid.show({ data, choice, theme, pictureOf, paint, look: known });
      this.drawn = { look: known, shown };
    }
    this.mark();
    this.drawOne();
    root.dataset.drawn = String(this.version);
  }

  drawOne() {
    const { data, paint } = this;
    if (!data || !paint || !data.detail || !this.visible) return;
    const { clientWidth: width, clientHeight: height } = this.detail;
    if (width < 40 || height < 40) return;
    const index = this.current();
    this.open(index);
    const theme = readTheme(this.root, data.colours, data.low < 0);
    const ratio = devicePixelRatio || 1;
    const how = { width, height, ratio, theme, paint };
    this.plot = drawDetail(this.detailCanvas, this.pictures.of(index), data, how);
    this.detailCanvas.setAttribute("aria-label", this.words(index));
  }

  /** The map that is pointed at, else the selected one, else the first. */
  current() {
    if (this.pointed >= 0) return this.pointed;
    return this.selected >= 0 ? this.selected : (this.grid.order[0] ?? 0);
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
    this.tell();
    const { layers, heads, maps, kind } = this.data;
    const [layer, head] = maps[index].place;
    this.select({ layer: layers[layer], head: heads[head], kind });
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const { data, grid } = this;
    if (!data || event.ctrlKey || event.metaKey || event.altKey) return;
    /** @type {Record<string, () => void>} */
    const does = {
      Enter: () => this.choose(this.current()),
      " ": () => this.choose(this.current()),
      "+": () => grid.zoomBy(1, this.current()),
      "=": () => grid.zoomBy(1, this.current()),
      "-": () => grid.zoomBy(-1, this.current()),
      "0": () => grid.zoomBy(0),
    };
    if (does[event.key]) {
      event.preventDefault();
      does[event.key]();
    } else if (event.key.startsWith("Arrow")) {
      event.preventDefault();
      const index = grid.beside(this.current(), event.key);
      this.point(index);
      grid.reveal(index);
    }
  }

  /** Puts the outlines where they belong. */
  mark() {
    for (const [name, index] of /** @type {const} */ ([["pointed", this.pointed], ["selected", this.selected]])) {
      const outline = find(this.root, `.mark.${name}`, HTMLElement);
      const box = index < 0 ? null : this.grid.boxOf(index);
      outline.hidden = !box;
      if (!box) continue;
      outline.style.transform = `translate(${box.x}px, ${box.y}px)`;
      outline.style.width = outline.style.height = `${box.size}px`;
    }
  }

  /** @param {number} index */
  words(index) {
    const data = this.data;
    if (!data || !data.maps[index]) return "";
    const { place, text } = data.maps[index];
    const [layer, head] = [data.layers[place[0]], data.heads[place[1]]];
    const which = layer === null ? "map" : head === null ? "layerOnly" : "named";
    const words = [fill(data.texts[which], { layer, head, map: index, text })];
    const { sort } = this.bar.choice();
    const score = data.scores.find(({ name }) => name === sort && name !== "pattern");
    if (score) {
      const value = score.values[index];
      const said = value === null ? data.texts.noScore : data.texts.score;
      words.push(fill(said, { name: score.label, value: value === null ? "" : value.toPrecision(3) }));
    }
    if (data.full.length && !data.full.some((one) => one.index === index)) words.push(data.texts.oneReduced);
    return words.join(" · ");
  }

  tell() {
    if (!this.data) return;
    const index = this.pointed >= 0 ? this.pointed : this.selected;
    this.status.textContent = index >= 0 ? this.words(index) : this.data.texts.hint;
  }

  tellLegend() {
    if (!this.data) return;
    const { minLeft } = this.data;
    // A first row that has nothing else to look at is no exception that needs words.
    const tooLittle = this.pictures.small.some(
      ({ lines, nRows, apart }) => apart && lines.subarray(1, nRows).some((code) => leftOf(code) < minLeft),
    );
    drawLegend(find(this.root, ".legend", HTMLElement), this.data, this.bar.choice(), tooLittle);
    this.tell();
  }

  /** Tells the value under the pointer in the enlarged map. @param {PointerEvent} event */
  read(event) {
    const { data, plot } = this;
    if (!data || !plot) return;
    const picture = this.pictures.of(this.current());
    const { nRows, nColumns } = picture;
    const column = Math.floor(((event.offsetX - plot.left) / plot.width) * nColumns);
    const row = Math.floor(((event.offsetY - plot.top) / plot.height) * nRows);
    if (column < 0 || row < 0 || column >= nColumns || row >= nRows) return this.tell();
    // The value as it was sent, whatever the colours leave out.
    const { values, marks } = cellsOf(picture, data, "keep");
    const at = column * nRows + row;
    const high = picture.apart ? nColumns / data.shape[1] : data.high;
    const value = data.low + values[at] * (high - data.low);
    const digits = Math.max(2, Math.ceil(-Math.log10(high - data.low)) + 2);
    const mark = Object.entries(data.marks).find(([, code]) => code === marks[at]);
    const shown = mark ? data.texts[mark[0]] : value.toFixed(digits);
    const { queryTokens, keyTokens, shape } = data;
    const isCell = queryTokens && keyTokens && nRows === shape[0] && nColumns === shape[1];
    this.status.textContent = isCell
      ? fill(data.texts.cell, { query: isolate(queryTokens[row]), key: isolate(keyTokens[column]), value: shown })
      : fill(data.texts.reducedCell, { value: shown });
  }
}

/** Keeps a token of the other writing direction from turning its surroundings around. @param {string} token */
function isolate(token) {
  return `\u2068${token}\u2069`;
}

/** @type {Mount<ModelViewData>} */
const mount = mounting((el) => new ModelView(el), (view) => view.pictures.version > 0);
export default mount;
