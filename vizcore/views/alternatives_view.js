/**
 * The alternatives view: a column for each step of a text that was written.
 *
 * On top what was written, below it the likeliest tokens with their probabilities. One button takes
 * part in the tab order; arrow keys move among them. `select` is told {action, step, token_id}.
 * Called again on the same element, it takes the new data.
 * @import { AlternativesData, AlternativesPick, Choice, Column, Mount } from "./types.d.ts"
 */

import { find, part } from "./parts.js";

const MARKUP = `
<div class="result"><p class="all" dir="auto"></p><button class="copy" type="button"></button></div>
<p class="note"></p>
<div class="columns" role="toolbar"></div>
<p class="status" role="status"></p>`;
const COPIED_FOR = 1500;

/** @type {WeakMap<HTMLElement, AlternativesView>} */
const views = new WeakMap();

class AlternativesView {
  /** @param {HTMLElement} el */
  constructor(el) {
    this.el = el;
    this.root = document.createElement("div");
    this.root.className = "headlight alternatives-view";
    this.root.innerHTML = MARKUP;
    el.append(this.root);
    this.columns = find(this.root, ".columns", HTMLElement);
    this.status = find(this.root, ".status", HTMLElement);
    this.copy = find(this.root, ".copy", HTMLButtonElement);
    /** @type {AlternativesData | null} */
    this.data = null;
    /** @type {(pick: AlternativesPick) => void} */
    this.select = () => {};
    this.ending = new AbortController();
    const { signal } = this.ending;
    this.columns.addEventListener("pointerover", (event) => this.tell(event), { signal });
    this.columns.addEventListener("pointerleave", () => this.tell(null), { signal });
    this.columns.addEventListener("focusin", (event) => this.tell(event), { signal });
    this.columns.addEventListener("click", (event) => this.choose(event), { signal });
    this.columns.addEventListener("keydown", (event) => this.press(event), { signal });
    this.copy.addEventListener("click", () => this.copyAll(), { signal });
    signal.addEventListener("abort", () => {
      this.root.remove();
      views.delete(this.el);
    });
  }

  /** @param {AlternativesData} data @param {(pick: AlternativesPick) => void} select */
  update(data, select) {
    this.data = data;
    this.select = select;
    const { texts } = data;
    find(this.root, ".result", HTMLElement).hidden = !data.text;
    find(this.root, ".all", HTMLElement).textContent = data.text;
    this.copy.textContent = texts.copy;
    find(this.root, ".note", HTMLElement).textContent = data.note;
    this.columns.setAttribute("aria-label", fill(texts.label, { steps: data.columns.length }));
    this.columns.replaceChildren(...data.columns.map((column, step) => this.column(column, step)));
    const first = this.columns.querySelector("button");
    if (first) first.tabIndex = 0;
    this.tell(null);
    this.root.dataset.drawn = "true";
  }

  /** @param {Column} column @param {number} step */
  column(column, step) {
    const { texts, selected } = /** @type {AlternativesData} */ (this.data);
    const { written, options } = column;
    const box = part("div", "column");
    box.setAttribute("role", "group");
    box.classList.toggle("forced", column.forced);
    const top = button("written", step, "look", written?.id ?? -1);
    top.classList.toggle("special", column.special);
    const label = part("span", "label", written?.token ?? texts.nothing);
    label.dir = "auto";
    top.append(label);
    if (written) {
      top.append(part("span", "share", `${percent(written.probability)} · #${written.rank.toLocaleString()}`));
      top.setAttribute("aria-pressed", String(step === selected));
    }
    top.disabled = !written;
    const rows = options.map((option) => this.option(option, step, option.id === written?.id));
    box.append(top, ...rows);
    if (column.forced) {
      const free = button("free", step, "free", -1);
      free.textContent = `↶ ${texts.free}`;
      box.append(free);
    }
    return box;
  }

  /** @param {Choice} choice @param {number} step @param {boolean} isWritten */
  option(choice, step, isWritten) {
    const row = button("option", step, isWritten ? "look" : "force", choice.id);
    row.classList.toggle("taken", isWritten);
    const bar = part("span", "bar");
    bar.style.width = `${(100 * choice.probability).toFixed(1)}%`;
    const label = part("span", "label", choice.token);
    label.dir = "auto";
    row.append(bar, label, part("span", "percent", percent(choice.probability)));
    return row;
  }

  /** @param {Event} event @returns {HTMLButtonElement | null} */
  under(event) {
    return event.target instanceof Element ? event.target.closest("button") : null;
  }

  /** Says in words what is pointed at. @param {Event | null} event */
  tell(event) {
    const { data } = this;
    const at = event && this.under(event);
    if (!data) return;
    const column = at && data.columns[Number(at.dataset.step)];
    const id = Number(at?.dataset.id);
    const choice = column?.options.find((one) => one.id === id) ?? (column?.written?.id === id ? column.written : null);
    if (!column || !choice) {
      this.status.textContent = data.texts.hint;
      return;
    }
    const isWritten = choice.id === column.written?.id;
    const template = data.texts[!isWritten ? "other" : column.forced ? "forced" : "written"];
    this.status.textContent = fill(template, {
      token: `\u2068${choice.token}\u2069`,
      probability: percent(choice.probability),
      rank: choice.rank.toLocaleString(),
      nats: choice.nats.toFixed(2),
    });
  }

  /** @param {Event} event */
  choose(event) {
    const at = this.under(event);
    if (!at) return;
    const action = /** @type {AlternativesPick["action"]} */ (at.dataset.action);
    this.select({ action, step: Number(at.dataset.step), token_id: Number(at.dataset.id) });
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    /** @type {Record<string, [number, number]>} */
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[event.key];
    const here = this.under(event);
    if (!step || !here || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const columns = Array.from(this.columns.children, (box) => Array.from(box.querySelectorAll("button")));
    const across = columns.findIndex((buttons) => buttons.includes(here));
    const column = columns[across + step[0]];
    const next = column?.[Math.min(columns[across].indexOf(here) + step[1], column.length - 1)];
    if (!next || next.disabled) return;
    here.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  async copyAll() {
    const { data, copy } = this;
    if (!data) return;
    await writeClipboard(data.text, find(this.root, ".all", HTMLElement));
    copy.textContent = data.texts.copied;
    setTimeout(() => (copy.textContent = data.texts.copy), COPIED_FOR);
  }
}

/** Where a page may not write there by itself, as the reader would. @param {string} text @param {HTMLElement} shown */
async function writeClipboard(text, shown) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  getSelection()?.selectAllChildren(shown);
  document.execCommand("copy");
}

/** @param {string} className @param {number} step @param {string} action @param {number} id */
function button(className, step, action, id) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = className;
  made.tabIndex = -1;
  made.dataset.step = String(step);
  made.dataset.action = action;
  made.dataset.id = String(id);
  return made;
}

/** @param {number} probability */
function percent(probability) {
  const share = 100 * probability;
  return share < 0.1 ? "< 0.1 %" : `${share.toFixed(share < 10 ? 1 : 0)} %`;
}

/** @param {string} template @param {Record<string, string | number>} values */
function fill(template, values) {
  return template.replace(/\{(\w+)\}/g, (_, key) => String(values[key]));
}

/** @type {Mount<AlternativesData, AlternativesPick>} */
export default function mount({ el, data, select }) {
  const view = views.get(el) ?? new AlternativesView(el);
  views.set(el, view);
  try {
    view.update(data, select);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    view.status.textContent = fill(data.texts.error, { reason });
    view.status.setAttribute("role", "alert");
  }
  return () => view.ending.abort();
}
