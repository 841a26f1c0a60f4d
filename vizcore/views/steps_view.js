/**
 * The steps view: one attention head for one token, to be stepped through.
 *
 * Buttons, arrow keys and the keys of a presenter go from step to step; the picture changes at once
 * and `select` is told {step}, or {token} where another token of the text was clicked. Called again
 * on the same element, it takes the new data.
 * @import { Mount, Scale, StepsViewData } from "./types.d.ts"
 */
import { readTheme } from "./colour.js";
import { find, part } from "./parts.js";
import { Pictures } from "./step_pictures.js";
import { numbersACell, pointedAt, written } from "./strips.js";

const MARKUP = `
<nav><button type="button" class="previous">‹</button><ol></ol><button type="button" class="next">›</button></nav>
<p class="words" aria-live="polite"></p>
<div class="picture"></div>
<p class="status quiet"></p>`;

/** @type {Record<string, number>} */
const KEYS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -1, PageDown: 1 };

/** Where these keys mean something else. */
const TAKEN =
  "input, textarea, select, [contenteditable=''], [contenteditable='true'], [role=slider], " +
  "[role=spinbutton], [role=combobox], [role=listbox], [role=radio], [role=radiogroup], [role=tab], " +
  "[role=menu], [role=grid], [role=dialog]";

/** @type {WeakMap<HTMLElement, StepsView>} */
const views = new WeakMap();

class StepsView {
  /** @param {HTMLElement} el */
  constructor(el) {
    this.el = el;
    this.root = document.createElement("div");
    this.root.className = "headlight steps-view";
    this.root.innerHTML = MARKUP;
    el.append(this.root);
    this.words = find(this.root, ".words", HTMLElement);
    this.picture = find(this.root, ".picture", HTMLElement);
    this.status = find(this.root, ".status", HTMLElement);
    /** @type {StepsViewData | null} */
    this.data = null;
    this.known = "";
    this.step = "";
    /** The step that the host said last. */
    this.told = "";
    /** Steps that were taken here and that the host has not answered to yet. @type {string[]} */
    this.asked = [];
    /** @type {(selection: { step?: string, token?: number }) => void} */
    this.select = () => {};
    this.ending = new AbortController();
    const { signal } = this.ending;
    find(this.root, ".previous", HTMLElement).addEventListener("click", () => this.go(-1), { signal });
    find(this.root, ".next", HTMLElement).addEventListener("click", () => this.go(1), { signal });
    this.root.addEventListener("click", (event) => this.choose(event), { signal });
    this.root.addEventListener("keydown", (event) => this.press(event), { signal });
    this.picture.addEventListener("pointermove", (event) => this.tell(event), { signal });
    this.picture.addEventListener("pointerleave", () => this.tell(null), { signal });
    document.addEventListener("keydown", (event) => this.data?.listens && this.press(event), { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(), { signal });
    signal.addEventListener("abort", () => {
      this.root.remove();
      views.delete(this.el);
    });
  }

  /** @param {StepsViewData} data @param {(selection: { step?: string, token?: number }) => void} select */
  update(data, select) {
    this.select = select;
    const background = getComputedStyle(this.root).backgroundColor;
    const known = JSON.stringify([{ ...data, step: "" }, background]);
    // A host that answers to one step while the next has been taken must not take it back.
    const answered = this.asked.lastIndexOf(data.step);
    this.asked = this.asked.slice(answered + 1);
    const late = this.asked.length > 0 && (answered >= 0 || data.step === this.told);
    if (!late) this.asked = [];
    const step = late ? this.step : data.step;
    this.told = data.step;
    if (known === this.known && step === this.step) return;
    this.data = data;
    this.known = known;
    this.step = step;
    find(this.root, ".previous", HTMLElement).setAttribute("aria-label", data.texts.previous);
    find(this.root, ".next", HTMLElement).setAttribute("aria-label", data.texts.next);
    find(this.root, "nav", HTMLElement).setAttribute("aria-label", data.texts.steps);
    this.draw();
  }

  /** The number of the step that is shown. */
  get place() {
    return this.data ? this.data.steps.findIndex(({ name }) => name === this.step) : -1;
  }

  draw() {
    const { data } = this;
    if (!data) return;
    const theme = readTheme(this.root, data.colours, true);
    const current = data.steps[this.place];
    find(this.root, "ol", HTMLElement).replaceChildren(
      ...data.steps.map(({ name, label, title }) => {
        const item = part("li");
        const button = part("button", name === this.step ? "here" : "", label);
        button.setAttribute("type", "button");
        button.setAttribute("aria-label", title);
        button.title = title;
        button.dataset.step = name;
        if (name === this.step) button.setAttribute("aria-current", "step");
        if (data.leftOut.includes(name)) button.classList.add("out");
        item.append(button);
        return item;
      }),
    );
    find(this.root, ".previous", HTMLElement).toggleAttribute("disabled", this.place <= 0);
    find(this.root, ".next", HTMLElement).toggleAttribute("disabled", this.place === data.steps.length - 1);
    this.words.replaceChildren(...spoken(current.words));
    this.picture.className = `picture of-${this.step}`;
    this.picture.replaceChildren(...new Pictures(data, theme.ramp).draw(this.step));
    const stops = (theme.dark ? data.colours.dark : data.colours.light).diverging;
    this.root.style.setProperty("--ramp", stops.join(", "));
    this.root.style.setProperty("--positive", stops[stops.length - 2]);
    this.root.style.setProperty("--negative", stops[1]);
    this.tell(null);
    this.root.dataset.drawn = this.step;
  }

  /** @param {Event} event */
  choose(event) {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    if (button?.dataset.step) this.take(button.dataset.step);
    if (button?.dataset.token) this.select({ token: Number(button.dataset.token) });
  }

  /** @param {number} steps */
  go(steps) {
    const next = this.data?.steps[this.place + steps];
    if (next) this.take(next.name);
  }

  /** @param {string} step */
  take(step) {
    if (step === this.step) return;
    const focused = this.root.contains(activeIn(this.root)) && activeIn(this.root)?.closest("ol");
    this.step = step;
    this.draw();
    if (focused) find(this.root, "ol [aria-current]", HTMLElement).focus();
    this.asked.push(step);
    this.select({ step });
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const steps = KEYS[event.key];
    const inside = event.composedPath()[0];
    if (!steps || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    if (inside instanceof Element && inside.closest(TAKEN)) return;
    event.preventDefault();
    this.go(steps);
  }

  /** Says the number that is pointed at, or what the colours mean. @param {PointerEvent | null} event */
  tell(event) {
    const { data } = this;
    if (!data) return;
    const found = event && pointedAt(event);
    if (found) {
      this.status.textContent = data.texts.dimension
        .replace("{place}", String(found.place))
        .replace("{name}", `\u2068${found.name}\u2069`)
        .replace("{value}", found.value.toPrecision(4).replace("-", "−"));
      return;
    }
    const strips = Array.from(this.picture.querySelectorAll("canvas"));
    if (!strips.length) {
      this.status.replaceChildren("\u00a0");
      return;
    }
    /** @type {Record<string, Scale>} */
    const scales = { values: "value", sum: "sum", concat: "concat", output: data.vectors.result ? "output" : "concat" };
    const end = written(data.scales[scales[this.step] ?? "match"]);
    const each = Math.max(...strips.map(numbersACell));
    this.status.replaceChildren(
      part("span", "", `−${end}`),
      part("span", "scale"),
      part("span", "", `+${end}`),
      part("span", "", each > 1 ? data.texts.strongest.replace("{n}", String(each)) : ""),
    );
  }
}

/** A sentence whose tokens stand between isolates. @param {string} words @returns {Node[]} */
function spoken(words) {
  return words.split(/\u2068|\u2069/).map((piece, place) =>
    place % 2 ? part("bdi", "token", piece) : document.createTextNode(piece),
  );
}

/** What has the focus in the same document or shadow root. @param {Node} node */
function activeIn(node) {
  const tree = node.getRootNode();
  return tree instanceof Document || tree instanceof ShadowRoot ? tree.activeElement : null;
}

/** @type {Mount<StepsViewData, { step?: string, token?: number }>} */
export default function mount({ el, data, select }) {
  const view = views.get(el) ?? new StepsView(el);
  views.set(el, view);
  try {
    view.update(data, select);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    view.words.textContent = data.texts.error.replace("{reason}", reason);
    view.words.setAttribute("role", "alert");
  }
  return () => view.ending.abort();
}
