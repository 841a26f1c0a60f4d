/**
 * The head view: tokens left and right, and lines between them, a colour for each head.
 *
 * Point at a token, or move to it with the arrow keys, and only its lines are there, with numbers;
 * a click or Enter holds it, and `select` is told. Called again on the same element, it takes the
 * new data and keeps what the reader was doing.
 * @import { Close, HeadPick, HeadViewData, Lines, Place, Side, Sink, Weighed } from "./look.d.ts"
 * @import { Rows } from "./rows.js"
 * @import { Mount } from "./types.d.ts"
 */
import { readTheme } from "./colour.js";
import { guard } from "./guard.js";
import { HeadBar } from "./head_bar.js";
import { choices, closely, drawLines, fullWeight, nearest, strongest, tooLittle } from "./head_lines.js";
import { HeadPanel } from "./head_panel.js";
import { dress, lay, MANY_TOKENS, sizes } from "./head_stage.js";
import { Column } from "./head_tokens.js";
import { noteOf, wordsOf } from "./head_words.js";
import { find } from "./parts.js";
import { readRows } from "./rows.js";
import { mounting, watch } from "./watch.js";
import { fill } from "./words.js";

const MARKUP = `
<div class="bar"></div>
<p class="told hint" role="status"></p>
<div class="body">
  <div class="stage"><div class="inner">
    <div class="sight"><canvas aria-hidden="true"></canvas><p class="says"></p></div>
    <div class="column queries" role="listbox"></div><div class="column keys" role="listbox"></div>
  </div></div>
  <div class="panel"></div>
</div>
<p class="note quiet"></p>`;

/** Lines of a token that is looked at closely are left out below this share of its strongest. */
const FAINT = 0.02;

class HeadView {
  /** @param {HTMLElement} el */
  constructor(el) {
    this.root = document.createElement("div");
    this.root.className = "headlight head-view";
    this.root.innerHTML = MARKUP;
    el.append(this.root);
    this.stage = find(this.root, ".stage", HTMLElement);
    this.canvas = find(this.root, "canvas", HTMLCanvasElement);
    this.told = find(this.root, ".told", HTMLElement);
    this.bar = new HeadBar(find(this.root, ".bar", HTMLElement), {
      layer: (layer) => this.go(layer),
      sink: (sink) => {
        this.sink = sink;
        this.redraw();
      },
      lines: (step) => {
        this.perQuery = this.steps()[step];
        this.redraw();
      },
    });
    this.columns = {
      query: new Column(find(this.root, ".queries", HTMLElement), "query"),
      key: new Column(find(this.root, ".keys", HTMLElement), "key"),
    };
    this.panel = new HeadPanel(find(this.root, ".panel", HTMLElement), {
      change: () => {
        this.redraw();
        this.report();
      },
      preview: () => this.redraw(),
      layer: (by) => this.go(this.layer + by),
    });
    /** @type {HeadViewData | null} */
    this.data = null;
    /** @type {(pick: HeadPick) => void} */
    this.select = () => {};
    /** @type {Rows | null} */
    this.rows = null;
    this.layer = 0;
    /** @type {Sink} */
    this.sink = "keep";
    /** Lines of each token; null: as many as stay legible. @type {number | null} */
    this.perQuery = null;
    /** @type {Place | null} */
    this.held = null;
    /** @type {Place | null} */
    this.pointed = null;
    /** What is held, until it has been scrolled to. @type {Place | null} */
    this.unseen = null;
    /** @type {{ of: unknown[], lines: Lines } | null} */
    this.chosen = null;
    this.visible = false;
    this.frame = 0;
    this.version = 0;
    this.ending = new AbortController();
    this.watch();
  }

  watch() {
    const { signal } = this.ending;
    const { stage } = this;
    const on = (/** @type {string} */ name, /** @type {(event: any) => void} */ then) =>
      stage.addEventListener(name, then, { signal, passive: name === "scroll" });
    on("scroll", () => this.redraw());
    on("pointerover", (event) => this.point(this.under(event)));
    on("pointerleave", () => this.point(null));
    on("focusin", (event) => this.point(this.under(event)));
    on("focusout", () => this.point(null));
    on("click", (event) => this.hold(this.under(event)));
    on("keydown", (event) => this.press(event));
    watch(this, stage);
  }

  /** @param {HeadViewData} data @param {(pick: HeadPick) => void} select */
  async update(data, select) {
    const before = this.data;
    this.data = data;
    this.select = select;
    this.root.style.setProperty("--height", `${data.height}px`);
    const same = before?.identity === data.identity;
    const sameToken = JSON.stringify(before?.selected) === JSON.stringify(data.selected);
    if (!same || !sameToken) this.held = data.selected;
    if (!same) {
      this.sink = data.sink;
      this.perQuery = null;
      this.pointed = null;
      this.stage.scrollTop = 0;
      this.panel.on = new Set(data.on);
      this.write(data);
      await this.show(data.shown);
      this.unseen = this.held;
    }
    this.redraw();
  }

  /** The words and choices that stay. @param {HeadViewData} data */
  write(data) {
    const { texts } = data;
    this.bar.fill(data);
    const many = Math.max(data.queryTokens.length, data.keyTokens.length) > MANY_TOKENS;
    find(this.root, ".inner", HTMLElement).classList.toggle("few", !many);
    const { queryTokens, keyTokens } = data;
    this.columns.query.fill(queryTokens, fill(texts.queriesLabel, { tokens: queryTokens.length }));
    this.columns.key.fill(keyTokens, fill(texts.keysLabel, { tokens: keyTokens.length }));
  }

  /** Goes to a layer. @param {number} layer index */
  async show(layer) {
    const { data } = this;
    if (!data) return;
    const version = ++this.version;
    this.layer = layer;
    const size = { nQueries: data.queryTokens.length, nKeys: data.keyTokens.length };
    const rows = await readRows(data.layers[layer].weights, data, size);
    if (version !== this.version || this.ending.signal.aborted) return;
    this.rows = rows;
    this.chosen = null;
    this.bar.showLayer(layer, data.layers.length);
    this.panel.fill(data, layer);
    this.redraw();
  }

  /** @param {number} layer index */
  async go(layer) {
    if (!this.data || layer < 0 || layer >= this.data.layers.length) return;
    await guard(this, () => this.show(layer));
    this.report();
  }

  /** How many lines each token may have. */
  steps() {
    return this.rows ? choices(this.rows, this.panel.on.size) : [Infinity];
  }

  /** The nearest of them to what is wanted. */
  limit() {
    return this.rows ? nearest(this.rows, this.panel.on.size, this.perQuery) : Infinity;
  }

  /** Draws in the next frame, if anybody can see it. */
  redraw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => guard(this, () => this.draw()));
  }

  draw() {
    const { data, rows, stage } = this;
    if (!data || !rows || !this.visible || stage.clientWidth === 0) return;
    const theme = readTheme(this.root, data.colours, false);
    this.root.style.colorScheme = theme.dark ? "dark" : "light";
    this.root.style.setProperty("--undefined", `rgb(${theme.undefined.join(" ")})`);
    const colours = data.colours.heads[theme.dark ? "dark" : "light"];
    this.panel.colour(colours);
    const heads = this.panel.shown();
    const place = this.held ?? this.pointed;
    const close = place && closely(rows, heads, place, this.sink);
    const lines = this.lines(heads);
    const { queryTokens: queries, keyTokens: keys } = data;
    const box = sizes(stage, this.canvas, { queries, keys, nHeads: heads.length, font: theme.font });
    lay(stage, this.columns, box);
    if (this.unseen) stage.scrollTop = (this.unseen.token + 0.5) * box.rowHeight - stage.clientHeight / 2;
    this.unseen = null;
    dress(stage, this.columns, box.rowHeight, { rows, heads, colours, place, held: this.held, close, lines });
    const nothing = lines.n === 0 && !(this.sink === "grey" && lines.sinkShare);
    find(this.root, ".says", HTMLElement).textContent = this.panel.says(nothing);
    const nDrawn = drawLines(this.canvas, this.drawn(place, close, lines), {
      width: box.between,
      height: box.height,
      ratio: devicePixelRatio || 1,
      rowHeight: box.rowHeight,
      top: stage.scrollTop,
      nHeads: heads.length,
      rank: new Map(heads.map((head, rank) => [head, rank])),
      colours,
      quiet: theme.quiet,
      largest: fullWeight(rows, close ? close.entries.map((one) => one.weight) : lines.weight),
    });
    this.tell(place, close, heads, lines);
    this.root.dataset.lines = String(nDrawn);
    this.root.querySelector(".error")?.remove();
    this.root.dataset.drawn = String(this.version);
  }

  /** The strongest lines of all tokens; the same as long as nothing changes. @param {number[]} heads */
  lines(heads) {
    const perQuery = this.limit();
    const of = [this.rows, heads.join(), perQuery, this.sink];
    if (!this.chosen || of.some((value, i) => value !== this.chosen?.of[i])) {
      const rows = /** @type {Rows} */ (this.rows);
      this.chosen = { of, lines: strongest(rows, heads, { perQuery, sink: this.sink }) };
    }
    return this.chosen.lines;
  }

  /**
   * Every line that is drawn now: of the one token that is looked at, or of all queries in sight.
   * @param {Place | null} place @param {Close | null} close @param {Lines} lines
   */
  *drawn(place, close, lines) {
    if (place && close) {
      const line = (/** @type {Weighed} */ { head, token, weight }, /** @type {boolean} */ grey) =>
        place.side === "query"
          ? { query: place.token, key: token, head, weight, grey }
          : { query: token, key: place.token, head, weight, grey };
      const faint = FAINT * Math.abs(close.entries[0]?.weight ?? 0);
      for (const one of close.sink) yield line(one, true);
      for (const one of close.entries) if (Math.abs(one.weight) >= faint) yield line(one, false);
      return;
    }
    const { rows } = this;
    if (!rows) return;
    const [first, end] = this.inSight();
    const heads = this.panel.shown();
    for (let query = first; query < end && this.sink === "grey"; query++) {
      // One for all heads: it is there to be seen past.
      const sum = heads.reduce((total, head) => total + (rows.first(head, query) || 0), 0);
      if (sum) yield { query, key: 0, head: -1, weight: sum / heads.length, grey: true };
    }
    for (let i = lines.start[first]; i < lines.start[end]; i++) {
      const [query, key, head] = [lines.query[i], lines.key[i], lines.head[i]];
      yield { query, key, head, weight: lines.weight[i], grey: false };
    }
  }

  /** The first query that is scrolled to, and the one after the last. */
  inSight() {
    const { stage, rows } = this;
    const { rowHeight } = this.columns.query;
    const nQueries = rows?.nQueries ?? 0;
    const end = Math.ceil((stage.scrollTop + stage.clientHeight) / rowHeight);
    return [Math.min(nQueries, Math.floor(stage.scrollTop / rowHeight)), Math.min(nQueries, end)];
  }

  /** @param {Place | null} place @param {Close | null} close @param {number[]} heads @param {Lines} lines */
  tell(place, close, heads, lines) {
    const { data, rows } = this;
    if (!data || !rows) return;
    const left = tooLittle(rows);
    const { pointed } = this;
    const other = place && pointed && pointed.side !== place.side ? pointed.token : -1;
    const held = place !== null && place === this.held;
    const words = place && close ? wordsOf(data, this.layer, { place, close, heads, held, other, left }) : data.texts.hint;
    if (this.told.textContent !== words) this.told.textContent = words;
    this.told.classList.toggle("hint", !place);
    const [steps, limit] = [this.steps(), this.limit()];
    const shown = limit === Infinity ? data.texts.every : String(limit);
    this.bar.showLines(Math.max(0, steps.indexOf(limit)), steps.length, shown);
    const note = noteOf(data, rows, { lines, limit, sink: this.sink, left, nHeads: heads.length });
    find(this.root, ".note", HTMLElement).textContent = note;
  }

  /** The token that an event happened on. @param {Event} event @returns {Place | null} */
  under(event) {
    const row = event.target instanceof Element ? event.target.closest(".row") : null;
    if (!(row instanceof HTMLElement)) return null;
    const side = row.parentElement?.classList.contains("queries") ? "query" : "key";
    return { side, token: Number(row.dataset.token) };
  }

  /** @param {Place | null} place */
  point(place) {
    if (place?.side === this.pointed?.side && place?.token === this.pointed?.token) return;
    this.pointed = place;
    this.redraw();
  }

  /** @param {Place | null} place */
  hold(place) {
    if (!place) return;
    const same = this.held?.side === place.side && this.held.token === place.token;
    this.held = same ? null : place;
    if (same) this.pointed = null;
    this.columns[place.side].current = place.token;
    this.redraw();
    this.report();
  }

  report() {
    const { data, held } = this;
    if (!data) return;
    const { layer, heads } = data.layers[this.layer];
    const on = [...this.panel.on].sort((a, b) => a - b).map((index) => heads[index]?.head ?? null);
    this.select({ layer, heads: on, kind: data.kind, side: held?.side ?? null, token: held?.token ?? null });
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const here = this.under(event);
    if (!here || !this.data || event.ctrlKey || event.metaKey || event.altKey) return;
    const { side, token } = here;
    const column = this.columns[side];
    const page = Math.max(1, Math.floor(this.stage.clientHeight / column.rowHeight) - 1);
    const last = column.tokens.length - 1;
    /** @type {Record<string, number>} */
    const goals = { ArrowUp: token - 1, ArrowDown: token + 1, PageUp: token - page, PageDown: token + page, Home: 0, End: last };
    if (event.key === "Enter" || event.key === " ") this.hold(here);
    else if (event.key === "Escape" && this.held) this.hold(this.held);
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const other = event.key === "ArrowLeft" ? "query" : "key";
      this.move(other, Math.min(token, this.columns[other].tokens.length - 1));
    } else if (event.key in goals) this.move(side, Math.min(last, Math.max(0, goals[event.key])));
    else return;
    event.preventDefault();
  }

  /** @param {Side} side @param {number} token */
  move(side, token) {
    this.reveal(side, token);
    this.columns[side].focus(token);
  }

  /** Scrolls the columns until that token is in sight. @param {Side} side @param {number} token */
  reveal(side, token) {
    const { stage } = this;
    const height = this.columns[side].rowHeight;
    const [top, bottom] = [token * height, (token + 1) * height];
    if (top < stage.scrollTop) stage.scrollTop = top;
    else if (bottom > stage.scrollTop + stage.clientHeight) stage.scrollTop = bottom - stage.clientHeight;
  }
}

/** @type {Mount<HeadViewData, HeadPick>} */
const mount = mounting((el) => new HeadView(el));
export default mount;
