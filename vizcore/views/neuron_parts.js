/**
 * What stands around the rows of the neuron view: the tokens that can look, what the colours mean,
 * a score part by part, the products of a pair as bars, and what is no key.
 * @import { Theme } from "./types.d.ts"
 * @import { Against, NeuronViewData, RowLook } from "./neuron.d.ts"
 */
import { share, weightBar } from "./neuron_rows.js";
import { part } from "./parts.js";
import { written } from "./strips.js";
import { fill } from "./words.js";

/** So many tokens of the text are shown around the one that looks. */
const AROUND = 24;

/** Keeps a token of the other writing direction from turning its surroundings around. @param {string} token */
export function isolate(token) {
  return `\u2068${token}\u2069`;
}

/**
 * The text around the query, as buttons that take another one.
 * @param {HTMLElement} line
 * @param {NeuronViewData} data
 * @param {number} token
 * @param {{ has: (token: number) => boolean }} vectors
 */
export function drawQueries(line, data, token, vectors) {
  const { queryTokens, answers, texts } = data;
  const n = queryTokens.length;
  const first = Math.min(Math.max(token - AROUND / 2, 0), Math.max(n - AROUND, 0));
  const end = Math.min(first + AROUND, n);
  const button = (/** @type {number} */ place, /** @type {string} */ text, /** @type {string} */ name) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.title = name;
    made.setAttribute("aria-label", name);
    made.dataset.token = String(place);
    made.disabled = place < 0 || place >= n || !(answers || vectors.has(place));
    return made;
  };
  const tokens = part("span", "tokens");
  for (let place = first; place < end; place++) {
    const label = queryTokens[place];
    const made = button(place, label, fill(texts.look, { token: isolate(label), position: place }));
    made.setAttribute("aria-pressed", String(place === token));
    made.tabIndex = place === token ? 0 : -1;
    tokens.append(made);
  }
  const had = line.getRootNode();
  const focused = (had instanceof Document || had instanceof ShadowRoot) && line.contains(had.activeElement);
  line.replaceChildren(
    button(token - 1, "‹", texts.previous),
    ...(first > 0 ? [part("span", "quiet", "…")] : []),
    tokens,
    ...(end < n ? [part("span", "quiet", "…")] : []),
    button(token + 1, "›", texts.next),
  );
  // The line stays one line high: the token that looks is brought into sight.
  const here = tokens.querySelector("[aria-pressed=true]");
  if (!(here instanceof HTMLElement)) return;
  tokens.scrollLeft = here.offsetLeft - tokens.offsetLeft - (tokens.clientWidth - here.offsetWidth) / 2;
  if (focused) here.focus({ preventScroll: true });
}

/**
 * The products of one pair as bars from zero, in the columns of the strips below.
 * @param {HTMLCanvasElement} canvas
 * @param {Float32Array} products
 * @param {Int32Array} dimensions which one is at each place
 * @param {Theme} theme
 * @param {HTMLElement} root
 */
export function drawSum(canvas, products, dimensions, theme, root) {
  const ratio = devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  const context = canvas.getContext("2d");
  if (!context || !width) return;
  context.scale(ratio, ratio);
  let [low, high] = [0, 0];
  for (const product of products) {
    if (!Number.isFinite(product)) continue;
    low = Math.min(low, product);
    high = Math.max(high, product);
  }
  const scale = (height - 2) / (high - low || 1);
  const zero = 1 + high * scale;
  const style = getComputedStyle(root);
  const each = width / dimensions.length;
  dimensions.forEach((dimension, place) => {
    const product = products[dimension];
    const gap = each > 3 ? 1 : 0;
    context.fillStyle = style.getPropertyValue(
      !Number.isFinite(product) ? "--undefined" : product < 0 ? "--negative" : "--positive",
    );
    const size = Number.isFinite(product) ? Math.abs(product) * scale : height - 2;
    const top = Number.isFinite(product) ? (product < 0 ? zero : zero - size) : 1;
    context.fillRect(place * each, top, Math.max(each - gap, 0.5), Math.max(size, 0.5));
  });
  context.fillStyle = theme.quiet;
  context.fillRect(0, zero - 0.5, width, 1);
}

/**
 * What the colours mean, and whose keys these are.
 * @param {HTMLElement} legend
 * @param {NeuronViewData} data
 * @param {{ broken: boolean }} vectors
 * @param {RowLook} look
 */
export function drawLegend(legend, { sharedBy, texts }, { broken }, look) {
  const group = (/** @type {Node[]} */ ...parts) => {
    const whole = part("span", "group");
    whole.append(...parts);
    return whole;
  };
  const ramp = (/** @type {number} */ end, /** @type {string} */ name) => group(
    part("span", "", `≤ −${written(end)}`), part("span", "scale"), part("span", "", `≥ ${written(end)}`),
    part("span", "", name),
  );
  legend.replaceChildren(
    ramp(look.vectorScale, texts.vectors),
    ramp(look.productScale, texts.products),
    ...(broken ? [group(part("span", "swatch"), part("span", "", texts.undefined))] : []),
    ...(sharedBy ? [part("span", "", fill(texts.shared, { first: sharedBy[0], last: sharedBy[1] }))] : []),
  );
}

/**
 * What takes part in the softmax and is no row: keys that are not here, and the sink.
 * @param {HTMLElement} foot
 * @param {NeuronViewData} data
 * @param {Against} against
 */
export function drawFoot(foot, { rest, sink, texts }, { restWeight, sinkWeight, weights }) {
  const high = Math.max(...weights, sinkWeight, restWeight, 1e-9);
  const line = (/** @type {string} */ name, /** @type {string} */ score, /** @type {number} */ weight) => {
    const row = part("div", "row");
    const cell = part("span", "weight");
    cell.append(weightBar(weight, high));
    row.append(part("span", "label", name), part("span"), part("span"), part("span"));
    row.append(part("span", "number", score), cell);
    return row;
  };
  foot.replaceChildren(
    ...(rest ? [line(fill(texts.rest, { n: rest.n }), "", restWeight)] : []),
    ...(sink === null ? [] : [line(texts.sink, written(sink), sinkWeight)]),
  );
}

/**
 * The score of one key, part by part, up to its weight.
 * @param {HTMLElement} line
 * @param {NeuronViewData} data
 * @param {Against} against
 * @param {number} key
 * @param {string} pair the two tokens
 */
export function drawScore(line, { scaling, softcap, texts }, against, key, pair) {
  const parts = [part("span", "pair", pair)];
  const term = (/** @type {string} */ name, /** @type {string} */ result) => {
    const box = part("span", "term");
    box.append(part("span", "quiet", name), part("b", "", result));
    parts.push(box);
  };
  term(fill(texts.sum, { n: against.query.length }), written(against.dots[key]));
  term(fill(texts.scaling, { scaling: Number(scaling.toPrecision(4)) }), `= ${written(against.scaled[key])}`);
  if (softcap !== null) term(fill(texts.softcap, { softcap }), `→ ${written(against.capped[key])}`);
  if (against.bias) {
    const bias = against.bias[key];
    const signed = `${bias < 0 ? "−" : "+"} ${written(Math.abs(bias))}`;
    term(fill(texts.bias, { bias: signed }), `= ${written(against.capped[key] + bias)}`);
  }
  if (against.hidden?.[key]) term(texts.masked, "");
  term(texts.softmax, `→ ${share(against.weights[key])}`);
  line.replaceChildren(...parts);
}
