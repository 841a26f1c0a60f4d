/**
 * The text view: a text that is shaded by what the token that is pointed at looks at.
 *
 * Point at a token, or move to it with the arrow keys; a click or Enter holds it, and `select` is
 * told {side, token, direction}. Called again on the same element, it takes the new data and keeps
 * what the reader was doing.
 * @import { Close, Direction, Place, RunningText, Side, Sink, TextPick, TextViewData } from "./look.d.ts"
 * @import { Rows } from "./rows.js"
 * @import { Mount } from "./types.d.ts"
 */
import { readTheme } from "./colour.js";
import { fillSinks } from "./head_bar.js";
import { closely, tooLittle } from "./head_lines.js";
import { guard } from "./guard.js";
import { find, part } from "./parts.js";
import { readRows } from "./rows.js";
import { RunningView } from "./text_run.js";
import { placeOf, shadesOf, shadesOnAverage } from "./text_shades.js";
import { noteOf, showLegend, wordsOf } from "./text_words.js";
import { mounting, watch } from "./watch.js";
import { fill } from "./words.js";

const MARKUP = `
<div class="bar">
  <div class="directions choice" role="radiogroup"><span class="name"></span></div>
  <div class="sinks choice" role="radiogroup"><span class="name"></span></div>
  <label class="own"><input type="checkbox"><span></span></label>
  <label class="log"><input type="checkbox"><span></span></label>
</div>
<p class="told hint" role="status"></p>
<div class="texts"></div>
<p class="legend quiet"></p>
<p class="note quiet"></p>`;

class TextView {
  /** @param {HTMLElement} el */
  constructor(el) {
    this.root = document.createElement("div");
    this.root.className = "headlight text-view";
    this.root.innerHTML = MARKUP;
    el.append(this.root);
    this.told = find(this.root, ".told", HTMLElement);
    this.texts = find(this.root, ".texts", HTMLElement);
    this.own = find(this.root, ".own input", HTMLInputElement);
    this.log = find(this.root, ".log input", HTMLInputElement);
    /** What is looked at, and what looks: of one text the same. */
    this.runs = { key: new RunningView("key"), query: new RunningView("query") };
    /** @type {TextViewData | null} */
    this.data = null;
    /** @type {(pick: TextPick) => void} */
    this.select = () => {};
    /** @type {Rows | null} */
    this.rows = null;
    /** @type {Direction} */
    this.direction = "to";
    /** @type {Sink} */
    this.sink = "keep";
    /** @type {Place | null} */
    this.held = null;
    /** What is held, until it has been scrolled to. @type {Place | null} */
    this.unseen = null;
    /** @type {Place | null} */
    this.pointed = null;
    this.visible = false;
    this.frame = 0;
    this.version = 0;
    this.ending = new AbortController();
    this.watch();
  }

  watch() {
    const { signal } = this.ending;
    const on = (/** @type {string} */ name, /** @type {(event: any) => void} */ then) =>
      this.texts.addEventListener(name, then, { signal });
    on("pointerover", (event) => this.point(this.under(event)));
    on("pointerleave", () => this.point(null));
    on("focusin", (event) => this.point(this.under(event)));
    on("focusout", () => this.point(null));
    on("click", (event) => this.hold(this.under(event)));
    on("keydown", (event) => this.press(event));
    find(this.root, ".bar", HTMLElement).addEventListener("change", (event) => this.choose(event), { signal });
    watch(this, this.texts);
  }

  /** @param {TextViewData} data @param {(pick: TextPick) => void} select */
  async update(data, select) {
    const version = ++this.version;
    const before = this.data;
    const same = before?.identity === data.identity;
    this.data = data;
    this.select = select;
    this.root.style.setProperty("--height", `${data.height}px`);
    if (!same || JSON.stringify(before?.selected) !== JSON.stringify(data.selected)) this.held = data.selected;
    if (!same) {
      this.pointed = null;
      this.direction = data.direction;
      this.sink = data.sink;
      this.log.checked = data.log;
      this.own.checked = data.ownScale;
      const size = { nQueries: (data.queries ?? data.keys).pieces.length, nKeys: data.keys.pieces.length };
      const rows = await readRows(data.weights, data, size);
      if (version !== this.version || this.ending.signal.aborted) return;
      this.rows = rows;
      this.write(data, rows);
    }
    if (!same) this.unseen = this.held;
    this.redraw();
  }

  /** The words, choices and texts that stay. @param {TextViewData} data @param {Rows} rows */
  write(data, rows) {
    const { texts, keys, queries } = data;
    const directions = find(this.root, ".directions", HTMLElement);
    directions.hidden = queries !== null;
    directions.setAttribute("aria-label", texts.direction);
    find(directions, ".name", HTMLElement).textContent = texts.direction;
    directions.querySelectorAll("label").forEach((old) => old.remove());
    const group = `direction-${Math.random().toString(36).slice(2)}`;
    for (const direction of /** @type {Direction[]} */ (["to", "from"])) {
      const label = part("label");
      const input = document.createElement("input");
      Object.assign(input, { type: "radio", name: group, value: direction, checked: direction === this.direction });
      label.append(input, texts[direction]);
      directions.append(label);
    }
    const sinks = find(this.root, ".sinks", HTMLElement);
    find(sinks, ".name", HTMLElement).textContent = texts.sink;
    fillSinks(sinks, texts, this.sink, rows.packed.signed);
    sinks.hidden = keys.pieces.length < 2;
    find(this.root, ".own span", HTMLElement).textContent = texts.ownScale;
    find(this.root, ".log span", HTMLElement).textContent = texts.log;
    const cross = data.kind === "cross";
    const label = (/** @type {RunningText} */ text) => fill(texts.label, { tokens: text.pieces.length });
    this.runs.key.fill(keys, queries ? (cross ? texts.source : texts.keys) : "", label(keys));
    if (queries) this.runs.query.fill(queries, cross ? texts.target : texts.queries, label(queries));
    this.texts.replaceChildren(this.runs.key.el, ...(queries ? [this.runs.query.el] : []));
  }

  /** Draws in the next frame, if anybody can see it. */
  redraw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => guard(this, () => this.draw()));
  }

  draw() {
    const { data, rows, held } = this;
    if (!data || !rows || !this.visible) return;
    const { signed, isAttention, high } = rows.packed;
    const theme = readTheme(this.root, data.colours, signed);
    this.root.style.colorScheme = theme.dark ? "dark" : "light";
    const colours = theme.dark ? data.colours.dark : data.colours.light;
    this.root.style.setProperty("--ramp", (signed ? colours.diverging : colours.sequential).join(", "));
    this.root.style.setProperty("--undefined", `rgb(${theme.undefined.join(" ")})`);
    const place = held ?? this.pointed;
    const close = place && closely(rows, [0], place, this.sink);
    const own = this.own.checked;
    const most = Math.abs(close?.entries[0]?.weight ?? 0);
    const average = Math.max(...data.average.slice(this.sink === "keep" ? 0 : 1).map(Math.abs), 0);
    const whole = isAttention ? 1 : high;
    const scale = { high: (close ? (own ? most : whole) : average) || whole, log: this.log.checked, signed };
    const shades = place && close
      ? shadesOf(rows, close, { ...place, scale })
      : shadesOnAverage(data.average, this.sink, scale);
    const shaded = place?.side === "key" ? "query" : "key";
    for (const side of /** @type {Side[]} */ (["key", "query"])) {
      if (side === "query" && !data.queries) continue;
      const run = this.runs[side];
      const isShaded = data.queries === null || side === shaded;
      run.shade(isShaded ? shades : null, theme);
      run.showMarks(isShaded ? shades : null, theme, placeOf(0, scale));
      const here = place && (data.queries === null || place.side === side) ? place.token : -1;
      run.mark(here, held !== null && here === held.token);
    }
    if (this.unseen) this.runs[data.queries ? this.unseen.side : "key"].reveal(this.unseen.token);
    this.unseen = null;
    this.tell(place, close);
    const some = (/** @type {Uint8Array} */ marks) => marks.some((mark) => mark === 1);
    const has = { masked: some(shades.masked), broken: some(shades.broken), grey: some(shades.grey) };
    const words = !close ? data.texts.average : own && most ? data.texts.ownMost : "";
    showLegend(find(this.root, ".legend", HTMLElement), data, { scale, most: words, has });
    find(this.root, ".note", HTMLElement).textContent = noteOf(data, rows, this.sink);
    this.root.querySelector(".error")?.remove();
    this.root.dataset.drawn = String(this.version);
  }

  /** @param {Place | null} place @param {Close | null} close */
  tell(place, close) {
    const { data, rows, pointed, held } = this;
    if (!data || !rows) return;
    const { texts } = data;
    const queries = data.queries ?? data.keys;
    let words = texts.hint;
    if (place && close) {
      const [own, others] = place.side === "query" ? [queries, data.keys] : [data.keys, queries];
      const isOther = held && pointed && (data.queries ? pointed.side !== held.side : pointed.token !== held.token);
      const other = isOther ? pointed.token : -1;
      const { isAttention } = rows.packed;
      const now = { place, close, own, others, other, held: held !== null, isAttention, left: tooLittle(rows) };
      words = wordsOf(data, now);
    }
    if (this.told.textContent !== words) this.told.textContent = words;
    this.told.classList.toggle("hint", !place);
  }

  /** The token that an event happened on, as one that looks or is looked at. @param {Event} event @returns {Place | null} */
  under(event) {
    const token = event.target instanceof Element ? event.target.closest(".token") : null;
    if (!(token instanceof HTMLElement) || !this.data) return null;
    const side = this.data.queries ? /** @type {Side} */ (token.dataset.side) : this.side();
    return { side, token: Number(token.dataset.token) };
  }

  /** On which side the token of one text is. @returns {Side} */
  side() {
    return this.direction === "to" ? "query" : "key";
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
    this.redraw();
    this.report();
  }

  report() {
    const { held } = this;
    const direction = held ? (held.side === "query" ? "to" : "from") : this.direction;
    this.select({ side: held?.side ?? null, token: held?.token ?? null, direction });
  }

  /** @param {Event} event */
  choose(event) {
    const input = event.target;
    if (input instanceof HTMLInputElement && input.type === "radio") {
      if (input.closest(".sinks")) this.sink = /** @type {Sink} */ (input.value);
      else {
        this.direction = /** @type {Direction} */ (input.value);
        if (this.held) this.held = { ...this.held, side: this.side() };
        this.pointed = null;
        this.report();
      }
    }
    this.redraw();
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const here = this.under(event);
    if (!here || !this.data || event.ctrlKey || event.metaKey || event.altKey) return;
    const { token } = here;
    const run = this.runs[this.data.queries ? here.side : "key"];
    const last = run.tokens.length - 1;
    if (event.key === "Enter" || event.key === " ") this.hold(here);
    else if (event.key === "Escape" && this.held) this.hold(this.held);
    else if (event.key === "ArrowLeft") run.focus(Math.max(0, token - 1));
    else if (event.key === "ArrowRight") run.focus(Math.min(last, token + 1));
    else if (event.key === "ArrowUp") run.focus(run.beside(token, -1));
    else if (event.key === "ArrowDown") run.focus(run.beside(token, 1));
    else if (event.key === "Home") run.focus(0);
    else if (event.key === "End") run.focus(last);
    else return;
    event.preventDefault();
  }
}

/** @type {Mount<TextViewData, TextPick>} */
const mount = mounting((el) => new TextView(el));
export default mount;
