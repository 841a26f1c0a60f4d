/**
 * The tile view: one map of a long text, to zoom into and to move over like a street map.
 *
 * Where the host answers, `select` is told which tile is needed ({tile, without_first}), once the
 * reader has stopped moving; until it comes, what is there is shown enlarged. A click on a row that
 * can be told from its neighbours picks it ({row}); from further away it zooms in. Called again on
 * the same element, the view takes the new data and stays where the reader was.
 * @import { Mount, Theme } from "./types.d.ts"
 * @import { PackedTile, Tile, TilePick, TileViewData } from "./tile.d.ts"
 */
import { readTheme } from "./colour.js";
import { guard } from "./guard.js";
import { find } from "./parts.js";
import { placer } from "./scale.js";
import { LEFT, TOP, drawAxes } from "./tile_axes.js";
import { Gestures } from "./tile_gestures.js";
import { cellAt, drawTile, paintTile, readTile } from "./tile_paint.js";
import { Place } from "./tile_place.js";
import { cellWords, choose, drawLegend } from "./tile_words.js";
import { mounting, watch } from "./watch.js";
import { fill } from "./words.js";

const MARKUP = `
<div class="bar">
  <div class="controls">
    <button class="out" type="button">−</button><button class="in" type="button">+</button>
    <button class="whole" type="button">⤢</button>
    <select class="log"></select><select class="sink"></select>
  </div>
  <div class="legend quiet"></div>
</div>
<div class="stage"><canvas tabindex="0" role="application"></canvas></div>
<p class="status" role="status"></p>`;

/** Milliseconds without a movement before a tile is asked for. */
const REST = 120;

/** A row that is so many CSS pixels high can be picked. */
const PICKABLE = 3;

const BUTTON_ZOOM = 1.6;
const CLICK_ZOOM = 4;
const KEY_STEP = 0.15;

class TileView {
  /** @param {HTMLElement} el */
  constructor(el) {
    this.root = document.createElement("div");
    this.root.className = "headlight tile-view";
    this.root.innerHTML = MARKUP;
    el.append(this.root);
    this.stage = find(this.root, ".stage", HTMLElement);
    this.canvas = find(this.root, "canvas", HTMLCanvasElement);
    this.status = find(this.root, ".status", HTMLElement);
    this.log = find(this.root, "select.log", HTMLSelectElement);
    this.sink = find(this.root, "select.sink", HTMLSelectElement);
    this.place = new Place();
    /** @type {TileViewData | null} */
    this.data = null;
    /** The tile, and the whole map below it. @type {{ tile: Tile, packed: PackedTile, painted: HTMLCanvasElement | null }[]} */
    this.layers = [];
    /** What the layers were painted with. */
    this.painted = "";
    /** @type {Theme | null} */
    this.theme = null;
    /** @type {{ query: number, key: number } | null} */
    this.pointed = null;
    /** The last tile that was asked for. */
    this.asked = "";
    /** Whether the host has yet to answer to a row: hosts may drop what is overtaken. */
    this.waits = false;
    /** @type {(pick: TilePick) => void} */
    this.select = () => {};
    this.visible = false;
    this.frame = 0;
    this.timer = 0;
    this.version = 0;
    this.ending = new AbortController();
    this.watch();
  }

  watch() {
    const { signal } = this.ending;
    const middle = () => this.place.middle;
    const zoom = (/** @type {number} */ factor) => this.moved(() => this.place.zoom(factor, ...middle()));
    const press = (/** @type {string} */ name, /** @type {() => void} */ act) =>
      find(this.root, `button.${name}`, HTMLButtonElement).addEventListener("click", act, { signal });
    press("in", () => zoom(BUTTON_ZOOM));
    press("out", () => zoom(1 / BUTTON_ZOOM));
    press("whole", () => this.moved(() => this.place.zoom(0, ...middle())));
    new Gestures(this.canvas, {
      move: (x, y) => this.moved(() => this.place.move(x, y)),
      zoom: (factor, x, y) => {
        const before = this.place.look.cell;
        this.moved(() => this.place.zoom(factor, x, y));
        return this.place.look.cell !== before;
      },
      point: (x, y) => this.point(x, y),
      leave: () => this.point(-1, -1),
      click: (x, y) => this.click(x, y),
      key: (name) => {
        const { width, height } = this.place.frame;
        /** @type {Record<string, () => void>} */
        const acts = {
          ArrowLeft: () => this.place.move(KEY_STEP * width, 0),
          ArrowRight: () => this.place.move(-KEY_STEP * width, 0),
          ArrowUp: () => this.place.move(0, KEY_STEP * height),
          ArrowDown: () => this.place.move(0, -KEY_STEP * height),
          "+": () => this.place.zoom(BUTTON_ZOOM, ...middle()),
          "=": () => this.place.zoom(BUTTON_ZOOM, ...middle()),
          "-": () => this.place.zoom(1 / BUTTON_ZOOM, ...middle()),
          "0": () => this.place.zoom(0, ...middle()),
        };
        if (acts[name]) this.moved(acts[name]);
        return name in acts;
      },
    }, signal);
    this.log.addEventListener("change", () => this.redraw(), { signal });
    this.sink.addEventListener("change", () => this.ask(), { signal });
    watch(this, this.stage);
    signal.addEventListener("abort", () => clearTimeout(this.timer));
  }

  /**
   * @param {TileViewData} data
   * @param {(pick: TilePick) => void} select
   */
  async update(data, select) {
    const version = ++this.version;
    const before = this.data;
    this.select = select;
    this.root.style.setProperty("--height", `${data.height}px`);
    const packed = data.backdrop ? [data.tile, data.backdrop] : [data.tile];
    const layers = await Promise.all(packed.map((one) => this.layer(one)));
    if (version !== this.version || this.ending.signal.aborted) return;
    this.data = data;
    this.layers = layers;
    this.waits = false;
    if (!this.asked.includes(tileName(data.tile))) this.asked = ""; // it was not this that was asked for
    if (before?.shape.join() !== data.shape.join()) this.place = new Place();
    const { texts } = data;
    choose(this.log, texts.colours, [["", texts.linear], ["log", texts.log]], before ? this.log.value : data.log ? "log" : "");
    choose(this.sink, texts.firstToken, [["", texts.keep], ["out", texts.renormalise]], data.withoutFirst ? "out" : "");
    this.sink.hidden = !data.live || !data.isAttention || data.shape[1] < 2;
    for (const [name, words] of [["in", texts.zoomIn], ["out", texts.zoomOut], ["whole", texts.whole]]) {
      const button = find(this.root, `button.${name}`, HTMLButtonElement);
      button.title = words;
      button.setAttribute("aria-label", words);
    }
    const [queries, keys] = data.shape;
    this.canvas.setAttribute("aria-label", fill(texts.label, { name: data.name, queries, keys }));
    if (before && before.row !== data.row && data.row !== null) this.reveal(data.row);
    this.tell();
    this.redraw();
  }

  /** @param {PackedTile} packed */
  async layer(packed) {
    const kept = this.layers.find((one) => one.packed.planes.base64 === packed.planes.base64);
    const same = kept && kept.packed.key === packed.key && kept.packed.query === packed.query;
    return same && kept.packed.block === packed.block ? kept : { tile: await readTile(packed), packed, painted: null };
  }

  /** Brings a query into sight. @param {number} query */
  reveal(query) {
    const { seen, look, frame, cellHeight } = this.place;
    if (query >= seen.query && query < seen.queryEnd) return;
    look.query = query - frame.height / cellHeight / 2;
    this.place.settle();
  }

  /** @param {() => void} act what moves or zooms */
  moved(act) {
    act();
    this.redraw();
  }

  /** Draws in the next frame, if anybody can see it. */
  redraw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => guard(this, () => this.draw(), () => this.layers.length > 0));
  }

  draw() {
    const { data, stage, canvas, place } = this;
    const { clientWidth: width, clientHeight: height } = stage;
    if (!data || !this.visible || width < LEFT + 40 || height < TOP + 40) return;
    const ratio = devicePixelRatio || 1;
    this.paint(data);
    const theme = this.theme;
    if (!theme) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const frame = { left: LEFT, top: TOP, width: width - LEFT - 1, height: height - TOP - 1 };
    place.fit(data.shape, frame);
    const context = canvas.getContext("2d");
    if (!context) throw new Error("this browser cannot draw on a canvas.");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.save();
    context.beginPath();
    context.rect(frame.left, frame.top, frame.width, frame.height);
    context.clip();
    for (const { painted, tile } of [...this.layers].reverse()) {
      if (painted) drawTile(context, painted, tile, place, ratio);
    }
    this.outline(context, theme);
    context.restore();
    drawAxes(context, place, {
      queries: data.queryTokens,
      keys: data.keyTokens ?? data.queryTokens,
      texts: data.texts,
      theme,
      row: data.row,
      pointed: this.pointed,
    });
    const tiles = this.layers.map(({ tile }) => tile);
    drawLegend(find(this.root, ".legend", HTMLElement), data, { tiles, floor: this.floor(data) });
    this.root.dataset.drawn = String(this.version);
    this.askSoon();
  }

  /** Paints what is not painted yet, or was for other colours. @param {TileViewData} data */
  paint(data) {
    // Reading a theme takes longer than a frame has while the reader moves.
    const { backgroundColor, color, fontFamily } = getComputedStyle(this.root);
    const look = [backgroundColor, color, fontFamily, data.low, data.high, this.log.value].join();
    if (look === this.painted && this.theme) return this.paintLayers(data, this.theme);
    const theme = readTheme(this.root, data.colours, data.low < 0);
    this.theme = theme;
    if (look !== this.painted) for (const layer of this.layers) layer.painted = null;
    this.painted = look;
    this.root.style.colorScheme = theme.dark ? "dark" : "light";
    const ramp = (theme.dark ? data.colours.dark : data.colours.light)[data.low < 0 ? "diverging" : "sequential"];
    this.root.style.setProperty("--ramp", ramp.join(", "));
    this.root.style.setProperty("--undefined", `rgb(${theme.undefined.join(" ")})`);
    this.root.style.setProperty("--aside", `rgb(${theme.aside.join(" ")})`);
    this.paintLayers(data, theme);
  }

  /** @param {TileViewData} data @param {Theme} theme */
  paintLayers(data, theme) {
    const place = placer({ low: data.low, high: data.high, floor: this.floor(data) });
    for (const layer of this.layers) layer.painted ??= paintTile(layer.tile, place, theme);
  }

  /** @param {TileViewData} data */
  floor(data) {
    return this.log.value ? data.high / 10 ** data.decades : null;
  }

  /** The edge of the map, the row that is picked, and the cell that is pointed at. @param {CanvasRenderingContext2D} context @param {Theme} theme */
  outline(context, theme) {
    const { place, data } = this;
    const { right, bottom } = place.extent;
    const { left, top } = place.frame;
    context.lineWidth = 1;
    context.strokeStyle = theme.quiet;
    context.globalAlpha = 0.45;
    context.strokeRect(left + 0.5, top + 0.5, right - left - 1, bottom - top - 1);
    context.globalAlpha = 1;
    const accent = getComputedStyle(this.root).getPropertyValue("--accent") || theme.text;
    if (data && data.row !== null) {
      context.strokeStyle = accent;
      context.lineWidth = 2;
      const y = place.y(data.row);
      context.strokeRect(left - 2, y - 1, right - left + 4, Math.max(2, place.cellHeight) + 2);
    }
    const cell = this.cell();
    if (!cell) return;
    const [x, y] = [place.x(cell.key), place.y(cell.query)];
    const width = Math.max(6, (cell.keyEnd - cell.key + 1) * place.look.cell);
    const height = Math.max(6, (cell.queryEnd - cell.query + 1) * place.cellHeight);
    context.strokeStyle = theme.background;
    context.lineWidth = 3;
    context.strokeRect(x - 1, y - 1, width + 2, height + 2);
    context.strokeStyle = theme.text;
    context.lineWidth = 1.5;
    context.strokeRect(x - 1, y - 1, width + 2, height + 2);
  }

  /** The cell that is pointed at, of the finest tile that has it. */
  cell() {
    if (!this.pointed) return null;
    for (const { tile } of this.layers) {
      const found = cellAt(tile, this.pointed.query, this.pointed.key);
      if (found) return found;
    }
    return null;
  }

  /** @param {number} x @param {number} y CSS pixels on the canvas */
  point(x, y) {
    const { left, top } = this.place.frame;
    const { right, bottom } = this.place.extent;
    const { query, key } = this.place.under(x, y);
    const inside = x >= left && y >= top && x < right && y < bottom;
    this.pointed = inside ? { query: Math.floor(query), key: Math.floor(key) } : null;
    this.tell();
    this.redraw();
  }

  /** @param {number} x @param {number} y */
  click(x, y) {
    const beside = x < this.place.frame.left && y >= this.place.frame.top && y < this.place.extent.bottom;
    this.point(x, y);
    const query = this.pointed?.query ?? (beside ? Math.floor(this.place.under(x, y).query) : null);
    if (query === null) return;
    if (this.place.cellHeight >= PICKABLE) {
      this.waits = !!this.data?.live;
      this.select({ row: query });
    }
    else if (this.pointed) this.moved(() => this.place.zoom(CLICK_ZOOM, x, y));
  }

  tell() {
    const { data } = this;
    if (!data) return;
    const cell = this.cell();
    this.status.textContent = cell ? cellWords(data, cell) : data.texts.hint;
  }

  askSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), REST);
  }

  /** Asks the host for another tile, if that would show more, or the first token is to go. */
  ask() {
    const { data, place } = this;
    if (!data?.live || !this.layers.length || this.waits) return;
    const without = this.sink.value === "out";
    if (without === data.withoutFirst && !place.needs(this.layers[0].tile, data.side)) return;
    const wanted = place.wanted;
    const { query, key, n_queries: nQueries, n_keys: nKeys } = wanted;
    const asked = `${data.identity} ${without} ${tileName({ query, key, nQueries, nKeys })}`;
    if (asked === this.asked) return;
    this.asked = asked;
    this.select({ tile: wanted, without_first: without });
  }
}

/** @param {{ query: number, key: number, nQueries: number, nKeys: number }} tile */
function tileName({ query, key, nQueries, nKeys }) {
  return `at ${query} ${key} of ${nQueries} ${nKeys}.`;
}

/** @type {Mount<TileViewData, TilePick>} */
const mount = mounting((el) => new TileView(el), (view) => view.layers.length > 0);
export default mount;
