/**
 * The sentences view: sentences one above the other, each part with a bar of surprise.
 *
 * Equal parts share columns. One part takes part in the tab order; arrow keys move among them, up
 * and down within a column; Enter or a click picks one, and `select` is told {line, part}. Called
 * again on the same element, it takes the new data.
 * @import { Mount, SentencesData, SentencePart, SentencesPick } from "./sentences.d.ts"
 */
import { find, part } from "./parts.js";
import { mounting } from "./watch.js";
import { fill } from "./words.js";

const MARKUP = `
<div class="board"><div class="lines" role="toolbar"></div></div>
<p class="status" role="status"></p>`;

class SentencesView {
  /** @param {HTMLElement} el */
  constructor(el) {
    this.root = document.createElement("div");
    this.root.className = "headlight sentences-view";
    this.root.innerHTML = MARKUP;
    el.append(this.root);
    this.board = find(this.root, ".lines", HTMLElement);
    this.status = find(this.root, ".status", HTMLElement);
    /** @type {SentencesData | null} */
    this.data = null;
    /** @type {Set<number>} */
    this.differing = new Set();
    /** @type {(pick: SentencesPick) => void} */
    this.select = () => {};
    this.ending = new AbortController();
    const { signal } = this.ending;
    this.board.addEventListener("pointerover", (event) => this.tell(under(event)), { signal });
    this.board.addEventListener("pointerleave", () => this.tell(this.picked()), { signal });
    this.board.addEventListener("focusin", (event) => this.tell(under(event)), { signal });
    this.board.addEventListener("click", (event) => this.choose(under(event)), { signal });
    this.board.addEventListener("keydown", (event) => this.press(event), { signal });
    signal.addEventListener("abort", () => this.root.remove());
  }

  /** @param {SentencesData} data @param {(pick: SentencesPick) => void} select */
  update(data, select) {
    this.select = select;
    this.data = data;
    this.differing = differing(data);
    const { texts } = data;
    this.board.setAttribute("aria-label", fill(texts.label, { lines: data.lines.length }));
    this.board.style.gridTemplateColumns = `max-content repeat(${data.nColumns}, minmax(34px, max-content))`;
    this.board.replaceChildren(...this.mark(), ...data.lines.flatMap((_, line) => this.line(line)));
    const first = this.picked() ?? this.board.querySelector("button");
    if (first) first.tabIndex = 0;
    this.tell(this.picked());
    this.root.dataset.drawn = "true";
  }

  /** The column in which the sentences part. */
  mark() {
    const { data } = this;
    if (!data || data.parting === null) return [];
    const mark = part("div", "parting");
    mark.style.gridArea = `1 / ${data.parting + 2} / ${data.lines.length + 2} / ${data.parting + 3}`;
    mark.append(part("span", "", data.texts.parting));
    return [mark];
  }

  /** @param {number} number */
  line(number) {
    const { data } = this;
    if (!data) return [];
    const { lines, texts } = data;
    const { model, total, behind, parts } = lines[number];
    const head = part("div", "head");
    head.style.gridArea = `${number + 2} / 1`;
    if (model) head.append(part("span", "model", model));
    head.append(part("span", "total", total === null ? texts.unknown : written(total)));
    if (total !== null) {
      const isBest = behind === 0;
      const words = isBest ? texts.best : fill(texts.behind, { nats: written(behind ?? 0) });
      head.append(part("span", isBest ? "behind best" : "behind", words));
    }
    return [head, ...parts.map((one, place) => this.part(one, number, place))];
  }

  /** @param {SentencePart} one @param {number} line @param {number} place */
  part(one, line, place) {
    const { parting, highest, selected } = /** @type {SentencesData} */ (this.data);
    const made = document.createElement("button");
    made.type = "button";
    made.tabIndex = -1;
    made.className = "part";
    made.dataset.line = String(line);
    made.dataset.part = String(place);
    made.style.gridArea = `${line + 2} / ${one.column + 2}`;
    made.classList.toggle("special", one.special);
    made.classList.toggle("shared", parting === null || one.column < parting);
    made.classList.toggle("apart", this.differing.has(one.column));
    const isHere = selected?.[0] === line && selected[1] === place;
    made.setAttribute("aria-pressed", String(isHere));
    const column = part("span", "column");
    if (one.bits !== null) {
      const bar = part("span", one.bits > highest ? "bar cut" : "bar");
      bar.style.setProperty("--share", String(Math.min(one.bits, highest) / highest));
      column.append(part("span", "bits", one.bits.toFixed(one.bits < 10 ? 1 : 0)), bar);
    }
    const label = part("span", "label", one.text);
    label.dir = "auto";
    made.append(column, label);
    return made;
  }

  /** @returns {HTMLButtonElement | null} */
  picked() {
    return this.board.querySelector('button[aria-pressed="true"]');
  }

  /** Says in words what is pointed at. @param {HTMLButtonElement | null} button */
  tell(button) {
    const { data } = this;
    if (!data) return;
    const one = button && data.lines[Number(button.dataset.line)].parts[Number(button.dataset.part)];
    if (!one) {
      this.status.textContent = data.texts.hint;
      return;
    }
    this.status.textContent = fill(data.texts[one.bits === null ? "unscored" : "part"], {
      text: `\u2068${one.text}\u2069`,
      bits: (one.bits ?? 0).toFixed(2),
      probability: share(2 ** -(one.bits ?? 0)),
      total: written(one.total ?? 0),
    });
  }

  /** @param {HTMLButtonElement | null} button */
  choose(button) {
    if (!button) return;
    this.select({ line: Number(button.dataset.line), part: Number(button.dataset.part) });
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const here = under(event);
    if (!here || !this.data || event.ctrlKey || event.metaKey || event.altKey) return;
    const line = Number(here.dataset.line);
    const place = Number(here.dataset.part);
    const { lines } = this.data;
    /** @type {Record<string, () => [number, number]>} */
    const steps = {
      ArrowLeft: () => [line, place - 1],
      ArrowRight: () => [line, place + 1],
      ArrowUp: () => [line - 1, this.nearest(line - 1, lines[line].parts[place].column)],
      ArrowDown: () => [line + 1, this.nearest(line + 1, lines[line].parts[place].column)],
    };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const [nextLine, nextPart] = step();
    const next = this.board.querySelector(`button[data-line="${nextLine}"][data-part="${nextPart}"]`);
    if (!(next instanceof HTMLButtonElement)) return;
    here.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  /** The part of a line that stands nearest to a column. @param {number} line @param {number} column */
  nearest(line, column) {
    const parts = this.data?.lines[line]?.parts ?? [];
    const distances = parts.map((one) => Math.abs(one.column - column));
    return distances.indexOf(Math.min(...distances));
  }
}

/** The columns that are not the same in all sentences. @param {SentencesData} data */
function differing(data) {
  /** @type {Map<number, string[]>} */
  const columns = new Map();
  for (const { column, text, special } of data.lines.flatMap((line) => line.parts)) {
    if (!special) columns.set(column, [...(columns.get(column) ?? []), text]);
  }
  const found = Array.from(columns).filter(
    ([, texts]) => texts.length < data.lines.length || new Set(texts).size > 1,
  );
  return new Set(found.map(([column]) => column));
}

/** @param {Event} event @returns {HTMLButtonElement | null} */
function under(event) {
  return event.target instanceof Element ? event.target.closest("button") : null;
}

/** With a real minus. @param {number} value */
function written(value) {
  return value.toFixed(2).replace("-", "−");
}

/** @param {number} probability */
function share(probability) {
  return probability < 0.0001 ? probability.toExponential(1) : `${(100 * probability).toFixed(2)} %`;
}

/** @type {Mount<SentencesData, SentencesPick>} */
const mount = mounting((el) => new SentencesView(el));
export default mount;
