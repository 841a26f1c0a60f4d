/**
 * Heads as points in a drawing of lines: axes, shapes, and what is nearest to a place.
 * @import { ScatterData } from "./heads.d.ts"
 */
import { short } from "./scale.js";
import { shape, ticks } from "./shapes.js";

const LEFT = 48;
const RIGHT = 14;
const TOP = 10;
const BOTTOM = 22;
const RADIUS = 5;
/** A pointer so near means a point. */
const NEAR = 24;
/** Lighter colours of the ramp are not told from the page. */
const PALEST = 0.2;

/**
 * @typedef {{ index: number, x: number, y: number }} Dot in CSS pixels
 * @typedef {{ dots: Dot[], missing: number }} Plot
 */

/**
 * Draws all heads that have both scores, and says where.
 * @param {HTMLElement} el
 * @param {ScatterData} data
 * @param {{ x: string, y: string, colour: string, ramp: Uint8ClampedArray }} how
 * @returns {Plot}
 */
export function drawPlot(el, data, { x, y, colour, ramp }) {
  const { clientWidth: width, clientHeight: height } = el;
  const [across, up] = [x, y].map((name) => data.scores.find((one) => one.name === name)?.values ?? []);
  const svg = shape("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
  const [left, right] = range(across);
  const [low, high] = range(up);
  const xOf = (/** @type {number} */ value) => LEFT + ((value - left) / (right - left)) * (width - LEFT - RIGHT);
  const yOf = (/** @type {number} */ value) => TOP + ((high - value) / (high - low)) * (height - TOP - BOTTOM);
  for (const tick of ticks(left, right)) {
    svg.append(
      shape("line", { class: "rule", x1: xOf(tick), x2: xOf(tick), y1: TOP, y2: height - BOTTOM }),
      written(xOf(tick), height - 6, "middle", short(tick)),
    );
  }
  for (const tick of ticks(low, high)) {
    svg.append(
      shape("line", { class: "rule", x1: LEFT, x2: width - RIGHT, y1: yOf(tick), y2: yOf(tick) }),
      written(LEFT - 6, yOf(tick) + 4, "end", short(tick)),
    );
  }
  const last = Math.max(1, ...data.points.map(({ layer }) => layer));
  /** @type {Dot[]} */
  const dots = [];
  data.points.forEach((point, index) => {
    const [a, b] = [across[index], up[index]];
    if (a === null || b === null || a === undefined || b === undefined) return;
    const dot = { index, x: xOf(a), y: yOf(b) };
    dots.push(dot);
    const kind = Math.max(0, data.kinds.indexOf(point.kind ?? ""));
    const place = 3 * Math.round(255 * (PALEST + (1 - PALEST) * (point.layer / last)));
    const fill =
      colour === "kind" ? `var(--kind-${kind % 3})` : `rgb(${ramp[place]} ${ramp[place + 1]} ${ramp[place + 2]})`;
    const made = symbol(kind, dot.x, dot.y, RADIUS);
    made.setAttribute("class", "point");
    made.setAttribute("style", `fill: ${fill}`);
    svg.append(made);
  });
  svg.append(shape("g", { class: "over" }));
  el.replaceChildren(svg);
  return { dots, missing: data.points.length - dots.length };
}

/**
 * Rings and a name on top of the points.
 * @param {HTMLElement} el
 * @param {Plot} plot
 * @param {{ selected: number, pointed: number, name: (index: number) => string }} marks
 */
export function markPlot(el, { dots }, { selected, pointed, name }) {
  const over = el.querySelector(".over");
  if (!over) return;
  over.replaceChildren();
  for (const [kind, index] of /** @type {[string, number][]} */ ([["selected", selected], ["pointed", pointed]])) {
    const dot = dots.find((one) => one.index === index);
    if (!dot) continue;
    over.append(shape("circle", { class: `ring ${kind}`, cx: dot.x, cy: dot.y, r: RADIUS + 3 }));
    if (kind === "selected" && pointed >= 0) continue;
    const isRight = dot.x < el.clientWidth * 0.7;
    const text = written(dot.x + (isRight ? 14 : -14), Math.max(14, dot.y + 4), isRight ? "start" : "end", name(index));
    text.setAttribute("class", "name");
    over.append(text);
  }
}

/** The head near a pointer, or -1. @param {Plot} plot @param {number} x @param {number} y */
export function near({ dots }, x, y) {
  let best = -1;
  let least = NEAR;
  for (const dot of dots) {
    const far = Math.hypot(dot.x - x, dot.y - y);
    if (far < least) [best, least] = [dot.index, far];
  }
  return best;
}

/**
 * The next head in the direction of an arrow key: near, and not too far aside.
 * @param {Plot} plot
 * @param {number} from
 * @param {string} key
 */
export function beside({ dots }, from, key) {
  /** @type {Record<string, [number, number]>} */
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const way = ways[key];
  const start = dots.find(({ index }) => index === from);
  if (!way) return from;
  if (!start) return dots[0]?.index ?? -1;
  let best = from;
  let least = Infinity;
  for (const dot of dots) {
    const [x, y] = [dot.x - start.x, dot.y - start.y];
    const along = x * way[0] + y * way[1];
    const aside = Math.abs(x * way[1] + y * way[0]);
    // Points in one place are all reached: the later ones are further along.
    const ahead = along > 0.01 || (along > -0.01 && aside < 0.01 && dot.index > from && (way[0] > 0 || way[1] > 0));
    if (!ahead || dot === start) continue;
    const far = along + 2 * aside;
    if (far < least) [best, least] = [dot.index, far];
  }
  return best;
}

/** A point of its kind: a disc, a square or a triangle. @param {number} kind @param {number} x @param {number} y @param {number} r */
export function symbol(kind, x, y, r) {
  if (kind === 1) return shape("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r });
  if (kind === 2) return shape("polygon", { points: `${x},${y - r - 1} ${x - r - 1},${y + r} ${x + r + 1},${y + r}` });
  return shape("circle", { cx: x, cy: y, r });
}

/** From where to where the values go, with some room. @param {(number | null)[]} values @returns {[number, number]} */
function range(values) {
  const there = values.filter((value) => value !== null);
  if (!there.length) return [0, 1];
  const [low, high] = [Math.min(...there), Math.max(...there)];
  const room = (high - low) * 0.05 || Math.abs(high) * 0.1 || 1;
  return [low - room, high + room];
}

/** @param {number} x @param {number} y @param {string} anchor @param {string} text */
function written(x, y, anchor, text) {
  const made = shape("text", { x, y, "text-anchor": anchor });
  made.textContent = text;
  return made;
}
