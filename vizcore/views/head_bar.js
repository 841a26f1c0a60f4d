/**
 * The choices above the head view: which layer, what becomes of the first token, how many lines.
 * @import { HeadViewData, Sink } from "./look.d.ts"
 */
import { find, part } from "./parts.js";

const MARKUP = `
<div class="layers">
  <span class="name"></span><button type="button" class="previous">‹</button><select></select>
  <button type="button" class="next">›</button>
</div>
<div class="sinks" role="radiogroup"><span class="name"></span></div>
<label class="lines"><span class="name"></span><input type="range" min="0" step="1"><output></output></label>`;

/** @typedef {{ layer: (layer: number) => void, sink: (sink: Sink) => void, lines: (step: number) => void }} Listener */

export class HeadBar {
  /** @param {HTMLElement} el @param {Listener} listener told of what the reader chooses */
  constructor(el, listener) {
    this.el = el;
    el.innerHTML = MARKUP;
    this.layer = find(el, "select", HTMLSelectElement);
    this.slider = find(el, ".lines input", HTMLInputElement);
    this.layer.addEventListener("change", () => listener.layer(this.layer.selectedIndex));
    for (const [name, by] of /** @type {const} */ ([["previous", -1], ["next", 1]])) {
      find(el, `.${name}`, HTMLElement).addEventListener("click", () => listener.layer(this.layer.selectedIndex + by));
    }
    find(el, ".sinks", HTMLElement).addEventListener("change", (event) => {
      if (event.target instanceof HTMLInputElement) listener.sink(/** @type {Sink} */ (event.target.value));
    });
    this.slider.addEventListener("input", () => listener.lines(Number(this.slider.value)));
  }

  /** @param {HeadViewData} data */
  fill(data) {
    const { texts } = data;
    const name = (/** @type {string} */ of, /** @type {string} */ text) =>
      (find(this.el, `${of} .name`, HTMLElement).textContent = text);
    name(".layers", texts.layer);
    name(".sinks", texts.sink);
    name(".lines", texts.lines);
    find(this.el, ".layers", HTMLElement).hidden = data.layers.length < 2;
    find(this.el, ".previous", HTMLElement).setAttribute("aria-label", texts.previous);
    find(this.el, ".next", HTMLElement).setAttribute("aria-label", texts.next);
    this.layer.setAttribute("aria-label", texts.layer);
    this.layer.replaceChildren(...data.layers.map(({ layer }) => part("option", "", String(layer))));
    const signed = data.layers.some(({ weights }) => weights.signed);
    const sinks = find(this.el, ".sinks", HTMLElement);
    fillSinks(sinks, texts, data.sink, signed);
    sinks.hidden = data.keyTokens.length < 2;
  }

  /** @param {number} layer index @param {number} nLayers */
  showLayer(layer, nLayers) {
    this.layer.selectedIndex = layer;
    find(this.el, ".previous", HTMLButtonElement).disabled = layer === 0;
    find(this.el, ".next", HTMLButtonElement).disabled = layer === nLayers - 1;
  }

  /** @param {number} step @param {number} nSteps @param {string} words */
  showLines(step, nSteps, words) {
    this.slider.max = String(Math.max(0, nSteps - 1));
    this.slider.value = String(step);
    this.slider.setAttribute("aria-valuetext", words);
    find(this.el, ".lines output", HTMLElement).textContent = words;
  }
}

/**
 * The three things that may become of the first token.
 * @param {HTMLElement} el @param {Record<string, string>} texts @param {Sink} chosen
 * @param {boolean} signed whether there are numbers below zero, which cannot be scaled up
 */
export function fillSinks(el, texts, chosen, signed) {
  el.setAttribute("aria-label", texts.sink);
  el.querySelectorAll("label").forEach((old) => old.remove());
  // Two views on a page are two groups, though they stand in one document.
  const group = `sink-${Math.random().toString(36).slice(2)}`;
  for (const [sink, words] of [["keep", texts.sinkIn], ["grey", texts.sinkGrey], ["renormalise", texts.sinkAway]]) {
    if (sink === "renormalise" && signed) continue;
    const label = part("label");
    const input = document.createElement("input");
    input.type = "radio";
    input.name = group;
    input.value = sink;
    input.checked = sink === chosen;
    label.append(input, words);
    el.append(label);
  }
}
