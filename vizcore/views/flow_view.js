/**
 * The flow view: attention through all layers, from position to position, as a graph.
 *
 * Point at a place, or move with the arrow keys, and what flows into it (or out of it) is drawn and
 * told; click, or press Enter, to keep it, and `select` is told {layer, token, way}. Called again on
 * the same element, it takes the new data and keeps what the reader set.
 * @import { Mount } from "./types.d.ts"
 * @import { FlowLines, FlowPick, FlowPlace, FlowStage, FlowViewData, FlowWay } from "./flow.d.ts"
 */
import { readTheme } from "./colour.js";
import { arrange, draw, percent, placeAt } from "./flow_draw.js";
import { readFlow } from "./flow_numbers.js";
import { guard } from "./guard.js";
import { find } from "./parts.js";
import { mounting, watch } from "./watch.js";
import { bare, fill } from "./words.js";

const MARKUP = `
<div class="controls">
  <span class="ways" role="group"><button type="button" data-way="into"></button><button type="button" data-way="outOf"></button></span>
  <button type="button" class="everything"></button>
  <label><input type="checkbox" class="residual"><span></span></label>
  <label><span></span> <select class="sink"></select></label>
  <label class="least"><span></span> <input type="range" class="threshold" step="1" min="0"></label>
</div>
<p class="status" role="status"></p>
<div class="stage"><canvas tabindex="0" role="application"></canvas></div>
<p class="notes quiet"></p>`;

/** The shares that the slider goes through. */
const STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5];

/** So many lines can be told apart at first. */
const FEW = { place: 350, everything: 700 };

/** So many parts are told. */
const TOLD = 6;

class FlowView {
  /** @param {HTMLElement} el */
  constructor(el) {
    this.root = document.createElement("div");
    this.root.className = "headlight flow-view";
    this.root.innerHTML = MARKUP;
    el.append(this.root);
    this.canvas = find(this.root, "canvas", HTMLCanvasElement);
    this.box = find(this.root, ".stage", HTMLElement);
    this.status = find(this.root, ".status", HTMLElement);
    this.residual = find(this.root, ".residual", HTMLInputElement);
    this.sink = find(this.root, ".sink", HTMLSelectElement);
    this.slider = find(this.root, ".threshold", HTMLInputElement);
    /** @type {FlowViewData | null} */
    this.data = null;
    /** @type {import("./flow_numbers.js").Flow | null} */
    this.flow = null;
    /** @type {FlowStage | null} */
    this.stage = null;
    /** The place that is kept, and the one that is pointed at. @type {FlowPlace | null} */
    this.chosen = null;
    /** @type {FlowPlace | null} */
    this.pointed = null;
    /** @type {FlowWay} */
    this.way = "into";
    /** What the reader set; null: so that there are few lines. @type {number | null} */
    this.least = null;
    this.told = "";
    /** Places that were chosen here and that the host has not answered to yet. @type {string[]} */
    this.asked = [];
    /** @type {(pick: FlowPick) => void} */
    this.select = () => {};
    this.visible = false;
    this.version = 0;
    this.frame = 0;
    this.ending = new AbortController();
    this.watch();
  }

  watch() {
    const { signal } = this.ending;
    const listen = (/** @type {HTMLElement} */ on, /** @type {string} */ what, /** @type {(event: any) => void} */ then) =>
      on.addEventListener(what, then, { signal });
    listen(this.canvas, "pointermove", (event) => this.point(this.under(event)));
    listen(this.canvas, "pointerleave", () => this.point(null));
    listen(this.canvas, "blur", () => this.point(null));
    listen(this.canvas, "click", (event) => this.choose(this.under(event)));
    listen(this.canvas, "keydown", (event) => this.press(event));
    listen(this.canvas, "focus", () => this.canvas.matches(":focus-visible") && this.point(this.chosen ?? this.last()));
    listen(find(this.root, ".everything", HTMLElement), "click", () => this.choose(null));
    for (const button of this.root.querySelectorAll("button[data-way]")) {
      if (button instanceof HTMLElement) listen(button, "click", () => this.turn(/** @type {FlowWay} */ (button.dataset.way)));
    }
    listen(this.residual, "change", () => this.show());
    listen(this.sink, "change", () => this.show());
    listen(this.slider, "input", () => {
      this.least = STEPS[Number(this.slider.value)];
      this.redraw();
    });
    watch(this, this.box, { resized: () => this.show() });
  }

  /** @param {FlowViewData} data @param {(pick: FlowPick) => void} select */
  async update(data, select) {
    const version = ++this.version;
    this.select = select;
    const before = this.data;
    if (before?.weights.weights.base64 !== data.weights.weights.base64 || !this.flow) {
      const flow = await readFlow(data.weights);
      if (version !== this.version || this.ending.signal.aborted) return;
      this.flow = flow;
      this.told = "";
      this.pointed = null;
    }
    this.data = data;
    this.root.style.setProperty("--height", `${data.height}px`);
    // What the host says anew is taken; what it only repeats does not undo what the reader did.
    const told = JSON.stringify([data.chosen, data.way, data.sink, data.hasResidual, data.threshold]);
    // A host that answers to one choice while the next has been made must not take it back.
    const answered = this.asked.lastIndexOf(JSON.stringify([data.chosen, data.way]));
    this.asked = answered < 0 ? [] : this.asked.slice(answered + 1);
    if (told !== this.told) {
      this.told = told;
      if (!this.asked.length) [this.chosen, this.way] = [data.chosen, data.way];
      this.least = data.threshold;
      this.residual.checked = data.hasResidual;
      this.fillControls();
      this.sink.value = data.sink;
    }
    this.fillControls();
    this.show();
  }

  fillControls() {
    const { data } = this;
    if (!data) return;
    const { texts } = data;
    const sink = this.sink.value || data.sink;
    find(this.root, "[data-way=into]", HTMLElement).textContent = texts.into;
    find(this.root, "[data-way=outOf]", HTMLElement).textContent = texts.outOf;
    find(this.root, ".ways", HTMLElement).setAttribute("aria-label", texts.way);
    find(this.root, ".everything", HTMLElement).textContent = texts.everything;
    find(this.root, "label:has(.residual)", HTMLElement).hidden = data.whole;
    this.residual.title = texts.residualHint;
    find(this.root, ".residual + span", HTMLElement).textContent = fill(texts.residual, { share: Math.round(100 * data.residual) });
    find(this.root, "label:has(.sink) span", HTMLElement).textContent = texts.sink;
    this.sink.replaceChildren(
      ...[["keep", texts.sinkIn], ["grey", texts.sinkGrey], ["renormalise", texts.sinkAway]].map(([value, text]) => new Option(text, value)),
    );
    this.sink.value = sink;
    this.slider.max = String(STEPS.length - 1);
    const size = { tokens: data.tokens.length, layers: data.layers.length };
    this.canvas.setAttribute("aria-label", fill(texts.label, size));
  }

  /** Works out where the rows are, and draws. */
  show() {
    const { data, flow } = this;
    if (!data || !flow) return;
    flow.mix(this.residual.checked ? data.residual : 0, this.sink.value === "renormalise");
    const shares = this.chosen && flow.from(this.chosen, this.way);
    const received = shares ? null : flow.received();
    const importance = (/** @type {number} */ row) =>
      shares ? Math.max(...shares.map((column) => column[row])) : received ? received[row] : 0;
    const important = Float64Array.from({ length: data.tokens.length }, (_, row) => importance(row));
    this.stage = arrange(
      { width: this.box.clientWidth, height: this.box.clientHeight, nTokens: data.tokens.length, nColumns: data.layers.length + 1 },
      (row) => important[row],
      this.chosen ? [this.chosen[1]] : [],
    );
    this.redraw();
  }

  redraw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => guard(this, () => this.draw()));
  }

  draw() {
    const { data, flow, stage } = this;
    if (!data || !flow || !stage || !this.visible || this.box.clientWidth < 40) return;
    const place = this.pointed ?? this.chosen;
    const shares = place && flow.from(place, this.way);
    const limits = { column: place ? place[0] : 0, most: data.maxLines };
    let least = this.least;
    if (least === null) {
      const few = place ? FEW.place : FEW.everything;
      const start = 2;
      const lines = flow.lines(shares, this.way, { ...limits, least: STEPS[start], most: Infinity });
      const enough = (/** @type {number} */ step) => lines.n <= few || lines.share[lines.n - few - 1] < step;
      least = STEPS.slice(start).find(enough) ?? STEPS[STEPS.length - 1];
    }
    const lines = flow.lines(shares, this.way, { ...limits, least });
    const nearest = STEPS.reduce((best, step, i) => (Math.abs(step - least) < Math.abs(STEPS[best] - least) ? i : best), 0);
    this.slider.value = String(nearest);
    const words = fill(data.texts.threshold, { share: Number((100 * least).toPrecision(2)) });
    find(this.root, ".least span", HTMLElement).textContent = words;
    this.slider.setAttribute("aria-valuetext", words);
    const theme = readTheme(this.root, data.colours, false);
    this.root.style.colorScheme = theme.dark ? "dark" : "light";
    draw(this.canvas, stage, {
      theme, shares, lines, place,
      ratio: devicePixelRatio || 1,
      tokens: data.tokens,
      layers: data.layers,
      texts: data.texts,
      chosen: this.chosen,
      way: this.way,
      greyFirst: this.sink.value === "grey",
      broken: data.weights.broken,
    });
    for (const button of this.root.querySelectorAll("button[data-way]")) {
      button.setAttribute("aria-pressed", String(button instanceof HTMLElement && button.dataset.way === this.way));
    }
    find(this.root, ".everything", HTMLButtonElement).disabled = !this.chosen;
    this.tell(place, shares);
    this.note(lines);
    this.root.dataset.drawn = String(this.version);
  }

  /** Says what flows into the place that is shown, or out of it. @param {FlowPlace | null} place @param {Float64Array[] | null} shares */
  tell(place, shares) {
    const { data } = this;
    if (!data) return;
    const { texts, tokens } = data;
    if (!place || !shares) {
      this.status.textContent = texts.overview;
      return;
    }
    const [column, row] = place;
    const name = (/** @type {number} */ token) => `\u2068${bare(tokens[token])}\u2069`;
    const other = shares[this.way === "into" ? 0 : data.layers.length];
    const list = Array.from(other.keys())
      .sort((one, two) => other[two] - other[one])
      .slice(0, TOLD)
      .filter((token) => other[token] >= 0.005)
      .map((token) => fill(texts.part, { token: name(token), share: percent(other[token]) }));
    this.status.textContent = fill(this.way === "into" ? texts.fromWhom : texts.toWhom, {
      place: fill(column ? texts.place : texts.placeInput, {
        token: name(row), position: row, layer: column ? data.layers[column - 1] : "",
      }),
      list: list.join(", ") || texts.nowhere,
    });
  }

  /** Says what is not drawn. @param {FlowLines} lines */
  note(lines) {
    const { data, stage } = this;
    if (!data || !stage) return;
    const { texts, weights } = data;
    const folded = data.tokens.length - stage.rows.length;
    const said = [
      data.heads,
      ...(lines.n ? [fill(texts.thickest, { share: percent(lines.share[lines.n - 1]) })] : []),
      lines.n < lines.all ? fill(texts.strongest, { n: lines.n, all: lines.all }) : fill(texts.lines, { n: lines.n }),
      ...(folded ? [fill(texts.folded, { n: folded, all: data.tokens.length })] : []),
      ...(weights.keys
        ? [fill(texts.kept, { n: weights.nKept, error: Number((100 * data.error).toPrecision(1)) })]
        : []),
      ...(weights.broken.length ? [fill(texts.broken, { n: weights.broken.length })] : []),
    ];
    find(this.root, ".notes", HTMLElement).textContent = said.join(" · ");
  }

  /** @param {MouseEvent} event */
  under(event) {
    const { data, stage } = this;
    return data && stage ? placeAt(stage, data.layers.length + 1, event.offsetX, event.offsetY) : null;
  }

  /** The last token after the last layer. @returns {FlowPlace | null} */
  last() {
    return this.data && [this.data.layers.length, this.data.tokens.length - 1];
  }

  /** @param {FlowPlace | null} place */
  point(place) {
    if (String(place) === String(this.pointed)) return;
    this.pointed = place;
    this.canvas.style.cursor = place ? "pointer" : "default";
    this.redraw();
  }

  /** Keeps a place; the one that is kept already, or none: everything is shown. @param {FlowPlace | null} place */
  choose(place) {
    this.chosen = String(place) === String(this.chosen) ? null : place;
    if (!this.chosen) this.pointed = null;
    this.show();
    this.report();
  }

  report() {
    const { chosen, data } = this;
    if (!data) return;
    this.asked.push(JSON.stringify([chosen, this.way]));
    const layer = chosen && chosen[0] > 0 ? data.layers[chosen[0] - 1] : null;
    this.select({ layer, token: chosen ? chosen[1] : null, way: this.way });
  }

  /** @param {FlowWay} way */
  turn(way) {
    if (way === this.way || !this.data) return;
    this.way = way;
    // Nothing flows into the text or out of the last layer: the same token is shown at the other end.
    const [first, last] = [0, this.data.layers.length];
    const [dead, other] = way === "into" ? [first, last] : [last, first];
    if (this.chosen?.[0] === dead) this.chosen = [other, this.chosen[1]];
    this.show();
    if (this.chosen) this.report();
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const { data, stage } = this;
    const place = this.pointed ?? this.chosen ?? this.last();
    if (!data || !stage || !place || event.ctrlKey || event.metaKey || event.altKey) return;
    /** @type {Record<string, FlowPlace>} */
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = moves[event.key];
    if (event.key === "Enter" || event.key === " ") this.choose(place);
    else if (event.key === "Escape") {
      if (!this.chosen) return;
      this.choose(null);
    } else if (move) {
      const among = Math.min(Math.max(stage.rows.indexOf(place[1]) + move[1], 0), stage.rows.length - 1);
      this.point([Math.min(Math.max(place[0] + move[0], 0), data.layers.length), stage.rows[among]]);
    } else return;
    event.preventDefault();
  }
}

/** @type {Mount<FlowViewData, FlowPick>} */
const mount = mounting((el) => new FlowView(el));
export default mount;
