/**
 * The training view: one text at every snapshot of a training, to be played.
 *
 * Curves with a mark, the maps of all heads, the text and what is expected after one of its tokens,
 * all at the same snapshot. A slider, a click in a curve or the play button moves it; `select` is
 * told {step, token, layer, head} once it rests. Called again with the same data it only follows
 * what is selected.
 * @import { Mount, TrainingFrame, TrainingPick, TrainingViewData } from "./types.d.ts"
 */
import { Curves } from "./curves.js";
import { default as mountMaps } from "./model_view.js";
import { find, part } from "./parts.js";
import { default as mountText } from "./tokens_view.js";

/** Milliseconds for which a snapshot is shown while playing. */
const PACE = 900;

const MARKUP = `
<div class="player">
  <button class="play" type="button"></button>
  <input class="when" type="range" min="0" step="1">
  <output class="step"></output>
</div>
<div class="body">
  <div class="curves"></div>
  <div class="looks">
    <div class="maps"></div>
    <div class="words"><div class="text"></div><div class="expected"></div></div>
  </div>
</div>
<p class="error" role="alert" hidden></p>`;

/** @type {WeakMap<HTMLElement, TrainingView>} */
const views = new WeakMap();

class TrainingView {
  /** @param {HTMLElement} el */
  constructor(el) {
    this.el = el;
    this.root = document.createElement("div");
    this.root.className = "headlight training-view";
    this.root.innerHTML = MARKUP;
    el.append(this.root);
    this.play = find(this.root, ".play", HTMLButtonElement);
    this.when = find(this.root, ".when", HTMLInputElement);
    this.step = find(this.root, ".step", HTMLElement);
    this.maps = find(this.root, ".maps", HTMLElement);
    this.text = find(this.root, ".text", HTMLElement);
    this.expected = find(this.root, ".expected", HTMLElement);
    /** @type {TrainingViewData | null} */
    this.data = null;
    /** @type {(pick: TrainingPick) => void} */
    this.select = () => {};
    this.index = 0;
    this.token = -1;
    /** @type {[number | null, number | null] | null} */
    this.head = null;
    this.timer = 0;
    this.ending = new AbortController();
    const { signal } = this.ending;
    /** @type {(() => void)[]} */
    this.inside = [];
    this.curves = new Curves(find(this.root, ".curves", HTMLElement), (step) => this.goTo(step), signal);
    this.play.addEventListener("click", () => this.toggle(), { signal });
    this.when.addEventListener("input", () => this.drag(), { signal });
    this.when.addEventListener("change", () => this.report(), { signal });
    signal.addEventListener("abort", () => {
      clearInterval(this.timer);
      for (const end of this.inside) end();
      this.root.remove();
      views.delete(this.el);
    });
  }

  /** @param {TrainingViewData} data @param {(pick: TrainingPick) => void} select */
  update(data, select) {
    const before = this.data;
    const isNew = before?.identity !== data.identity;
    this.data = data;
    this.select = select;
    this.root.style.setProperty("--height", `${data.height}px`);
    if (isNew) this.build(data);
    // What comes back from the host is not news, and must not turn back what was picked since.
    if (isNew || data.step !== before?.step) this.index = this.nearest(data.step);
    if (isNew || data.token !== before?.token) this.token = data.token ?? -1;
    if (isNew || String(data.head) !== String(before?.head)) this.head = data.head;
    if (this.timer === 0 || isNew) this.show();
  }

  /** @param {TrainingViewData} data */
  build(data) {
    this.stop();
    const { frames, texts } = data;
    this.root.classList.toggle("still", frames.length === 0);
    this.root.classList.toggle("unscored", !frames.some((frame) => frame.places.some((one) => one !== null)));
    this.when.max = String(Math.max(0, frames.length - 1));
    this.when.setAttribute("aria-label", texts.snapshot);
    this.curves.update(data.charts, data.logSteps);
    this.label();
  }

  /** The frame nearest to a step; without one, the last. @param {number | null} step */
  nearest(step) {
    const frames = this.data?.frames ?? [];
    if (step === null) return frames.length - 1;
    const log = this.data?.logSteps ?? false;
    const far = frames.map((frame) =>
      Math.abs(log ? Math.log1p(frame.step) - Math.log1p(step) : frame.step - step),
    );
    return far.indexOf(Math.min(...far));
  }

  /** Shows the snapshot that it is at. */
  show() {
    const { data } = this;
    const frame = data?.frames[this.index];
    this.root.dataset.drawn = "true";
    if (!data || !frame) return this.curves.mark(null);
    this.when.value = String(this.index);
    const words = fill(data.texts.step, {
      step: frame.step.toLocaleString(),
      last: data.frames[data.frames.length - 1].step.toLocaleString(),
    });
    this.step.textContent = words;
    this.when.setAttribute("aria-valuetext", words);
    this.curves.mark(frame.step);
    const inside = [];
    if (data.maps) {
      inside.push(
        mountMaps({
          el: this.maps,
          data: { ...data.maps, ...frame.maps, selected: this.head },
          select: ({ layer, head }) => {
            this.head = [layer, head];
            this.show();
            this.report();
          },
        }),
      );
    }
    if (data.text) {
      inside.push(
        mountText({
          el: this.text,
          data: {
            ...data.text,
            places: frame.places,
            details: frame.details,
            selected: this.token < 0 ? null : this.token,
          },
          select: ({ token }) => {
            this.token = token;
            this.expect(frame);
            this.report();
          },
        }),
      );
    }
    this.inside = inside;
    this.expect(frame);
  }

  /** What is expected after the token that was picked. @param {TrainingFrame} frame */
  expect(frame) {
    const { data } = this;
    if (!data?.text || !frame.expected.length) return this.expected.replaceChildren();
    const at = this.token < 0 ? frame.expected.length - 1 : Math.min(this.token, frame.expected.length - 1);
    const following = frame.following[at];
    const title = part("p", "title", fill(data.texts.expects, { token: isolate(data.text.tokens[at]) }));
    if (following) {
      const [token, , rank] = following;
      const words = { token: isolate(token), rank: rank.toLocaleString() };
      title.append(part("span", "comes", fill(data.texts.comes, words)));
    }
    let told = false;
    const rows = frame.expected[at].map(([token, probability]) => {
      const comes = following !== null && token === following[0] && !told;
      told ||= comes;
      return bar(token, probability, comes);
    });
    if (following && !told) {
      const row = bar(following[0], following[1], true);
      row.classList.add("later");
      rows.push(row);
    }
    this.expected.replaceChildren(title, ...rows);
  }

  /** Goes to the snapshot nearest to a step. @param {number} step */
  goTo(step) {
    if (!this.data?.frames.length) return;
    this.stop();
    this.index = this.nearest(step);
    this.show();
    this.report();
  }

  drag() {
    this.stop();
    this.index = Number(this.when.value);
    this.show();
  }

  toggle() {
    if (this.timer) {
      this.stop();
      this.report();
      return;
    }
    const last = (this.data?.frames.length ?? 0) - 1;
    if (this.index >= last) this.index = 0;
    else this.index += 1;
    this.show();
    this.timer = window.setInterval(() => {
      if (this.index < last) this.index += 1;
      this.show();
      if (this.index < last) return;
      this.stop();
      this.report();
    }, PACE);
    this.label();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = 0;
    this.label();
  }

  label() {
    const texts = this.data?.texts;
    if (!texts) return;
    this.play.textContent = this.timer ? `❚❚ ${texts.pause}` : `▶ ${texts.play}`;
    this.root.dataset.playing = String(this.timer !== 0);
  }

  report() {
    const frame = this.data?.frames[this.index];
    if (!frame || this.timer) return;
    const [layer, head] = this.head ?? [null, null];
    this.select({ step: frame.step, token: this.token < 0 ? null : this.token, layer, head });
  }
}

/** @param {string} token @param {number} probability @param {boolean} comes */
function bar(token, probability, comes) {
  const row = part("div", comes ? "row comes" : "row");
  const fillOf = part("span", "share");
  fillOf.style.width = `${(100 * probability).toFixed(1)}%`;
  const label = part("span", "label", token);
  label.dir = "auto";
  const percent = probability >= 0.001 ? `${(100 * probability).toFixed(1)} %` : "< 0.1 %";
  row.append(fillOf, label, part("span", "percent", percent));
  return row;
}

/** @param {string} template @param {Record<string, string>} values */
function fill(template, values) {
  return template.replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

/** Keeps a token of the other writing direction from turning its surroundings around. @param {string} token */
function isolate(token) {
  return `\u2068${token}\u2069`;
}

/** @type {Mount<TrainingViewData, TrainingPick>} */
export default function mount({ el, data, select }) {
  const view = views.get(el) ?? new TrainingView(el);
  views.set(el, view);
  const error = find(view.root, ".error", HTMLElement);
  try {
    view.update(data, select);
    error.hidden = true;
  } catch (reason) {
    const words = reason instanceof Error ? reason.message : String(reason);
    error.textContent = fill(data.texts.error, { reason: words });
    error.hidden = false;
  }
  return () => view.ending.abort();
}
