/**
 * Line charts over the steps of a training, one below the other on one axis, with a mark at a step.
 *
 * The legend of each chart tells its values where the mark is, or where somebody points.
 * @import { Chart, Line } from "./types.d.ts"
 */
import { part } from "./parts.js";
import { shape, ticks } from "./shapes.js";

const LEFT = 40;
const RIGHT = 8;
const TOP = 6;
const TICKS = 16;
const BOTTOM = 4;

/** @typedef {{ chart: Chart, box: HTMLElement, plot: HTMLElement, legend: HTMLElement }} Part */

export class Curves {
  /**
   * @param {HTMLElement} el
   * @param {(step: number) => void} pick
   * @param {AbortSignal} signal
   */
  constructor(el, pick, signal) {
    this.el = el;
    this.pick = pick;
    /** @type {Part[]} */
    this.parts = [];
    this.log = false;
    this.last = 1;
    /** @type {number | null} */
    this.marked = null;
    /** @type {number | null} */
    this.pointed = null;
    const resized = new ResizeObserver(() => this.draw());
    resized.observe(el);
    el.addEventListener("pointermove", (event) => this.point(this.under(event)), { signal });
    el.addEventListener("pointerleave", () => this.point(null), { signal });
    el.addEventListener(
      "click",
      (event) => {
        const step = this.under(event);
        if (step !== null) this.pick(step);
      },
      { signal },
    );
    signal.addEventListener("abort", () => resized.disconnect());
  }

  /** @param {Chart[]} charts @param {boolean} log */
  update(charts, log) {
    this.log = log;
    this.last = Math.max(1, ...charts.flatMap((chart) => chart.lines.flatMap((line) => line.steps)));
    this.parts = charts.map((chart) => {
      const box = part("div", "chart");
      const head = part("p", "head");
      head.append(part("strong", "", chart.title), part("span", "quiet", chart.unit));
      const legend = part("p", "legend");
      const plot = part("div", "plot");
      plot.setAttribute("role", "img");
      plot.setAttribute("aria-label", [chart.title, ...chart.lines.map(ends)].join(". "));
      box.append(head, legend, plot);
      return { chart, box, plot, legend };
    });
    this.el.replaceChildren(...this.parts.map(({ box }) => box));
    this.draw();
  }

  /** @param {number | null} step */
  mark(step) {
    this.marked = step;
    this.tell();
  }

  /** @param {number | null} step */
  point(step) {
    this.pointed = step;
    this.tell();
  }

  /** The step below the pointer. @param {MouseEvent} event */
  under(event) {
    const plot = this.parts[0]?.plot;
    const target = event.target instanceof Element ? event.target.closest(".plot") : null;
    if (!plot || !target) return null;
    const box = plot.getBoundingClientRect();
    const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    const place = Math.min(1, Math.max(0, share));
    return this.log ? Math.expm1(place * Math.log1p(this.last)) : place * this.last;
  }

  /** @param {number} step @param {number} width */
  x(step, width) {
    const share = this.log ? Math.log1p(step) / Math.log1p(this.last) : step / this.last;
    return LEFT + share * (width - LEFT - RIGHT);
  }

  draw() {
    this.parts.forEach(({ chart, plot }, index) => {
      const { clientWidth: width, clientHeight: height } = plot;
      if (width < 60 || height < 20) return;
      const below = index === this.parts.length - 1 ? TICKS : BOTTOM;
      const [low, high] = range(chart.lines);
      const y = (/** @type {number} */ value) =>
        TOP + ((high - value) / (high - low)) * (height - TOP - below);
      const svg = shape("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
      for (const tick of ticks(low, high)) {
        svg.append(
          shape("line", { class: "rule", x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick) }),
          written(LEFT - 6, y(tick) + 4, "end", short(tick)),
        );
      }
      const [first, second] = chart.lines.map((line) => points(line, (step) => this.x(step, width), y));
      if (chart.gap && first && second) {
        const around = [...first, ...second.reverse()].join(" ");
        svg.append(shape("polygon", { class: "gap", points: around }));
      }
      chart.lines.forEach((line, at) => {
        const along = points(line, (step) => this.x(step, width), y).join(" ");
        svg.append(shape("polyline", { class: `line line-${at % 4}`, points: along }));
      });
      if (below === TICKS) this.axis(svg, width, height);
      svg.append(shape("line", { class: "here", y1: TOP, y2: height - below }));
      plot.replaceChildren(svg);
    });
    this.tell();
  }

  /** @param {SVGElement} svg @param {number} width @param {number} height */
  axis(svg, width, height) {
    const steps = [0];
    if (this.log) for (let step = 1; step <= this.last; step *= 10) steps.push(step);
    else steps.push(...ticks(0, this.last).filter((step) => step > 0));
    let free = -Infinity;
    for (const step of steps) {
      const x = this.x(step, width);
      const label = step >= 10_000 ? `${step / 1000}k` : String(step);
      if (x < free) continue;
      free = x + 9 * label.length + 8;
      svg.append(written(Math.min(x, width - 4 * label.length - 2), height - 3, "middle", label));
    }
  }

  /** Moves the marks, and tells the values there. */
  tell() {
    const step = this.pointed ?? this.marked;
    for (const { chart, plot, legend } of this.parts) {
      const here = plot.querySelector(".here");
      if (here instanceof SVGElement) {
        here.style.display = this.marked === null ? "none" : "";
        const x = String(this.x(this.marked ?? 0, plot.clientWidth));
        here.setAttribute("x1", x);
        here.setAttribute("x2", x);
      }
      const values = chart.lines.map((line) => (step === null ? lastOf(line) : nearest(line, step)));
      const parts = chart.lines.map((line, at) => {
        const entry = part("span", `key line-${at % 4}`);
        entry.append(part("i", ""), part("span", "", line.name), part("b", "", told(values[at])));
        return entry;
      });
      if (chart.gap && values[0] !== null && values[1] !== null && values.length > 1) {
        const entry = part("span", "key gap");
        entry.append(part("i", ""), part("span", "", chart.gap));
        entry.append(part("b", "", told(values[1] - values[0])));
        parts.push(entry);
      }
      legend.replaceChildren(...parts);
    }
  }
}

/** @param {Line} line @param {(step: number) => number} x @param {(value: number) => number} y */
function points(line, x, y) {
  return line.steps.flatMap((step, i) => {
    const value = line.values[i];
    return value === null ? [] : [`${x(step).toFixed(1)},${y(value).toFixed(1)}`];
  });
}

/** @param {Line} line @returns {number | null} */
function lastOf(line) {
  return line.values.filter((value) => value !== null).at(-1) ?? null;
}

/** The value measured nearest to a step. @param {Line} line @param {number} step @returns {number | null} */
function nearest(line, step) {
  let best = null;
  let distance = Infinity;
  line.steps.forEach((other, i) => {
    const value = line.values[i];
    if (value !== null && Math.abs(other - step) < distance) {
      distance = Math.abs(other - step);
      best = value;
    }
  });
  return best;
}

/** From where to where the lines go, with some room. @param {Line[]} lines @returns {[number, number]} */
function range(lines) {
  const values = lines.flatMap((line) => line.values.filter((value) => value !== null));
  if (!values.length) return [0, 1];
  const low = Math.min(...values);
  const high = Math.max(...values);
  const room = (high - low) * 0.04 || Math.abs(high) * 0.1 || 1;
  return [low >= 0 && low < 0.3 * high ? 0 : low - room, high + room];
}

/** @param {number} value */
function short(value) {
  return String(Number(value.toPrecision(3)));
}

/** @param {number | null} value */
function told(value) {
  if (value === null) return "–";
  const text = value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2);
  return Number(text) === 0 ? text.replace("-", "") : text;
}

/** A line in words. @param {Line} line */
function ends(line) {
  return `${line.name}: ${told(line.values.find((value) => value !== null) ?? null)} → ${told(lastOf(line))}`;
}

/** @param {number} x @param {number} y @param {string} anchor @param {string} text */
function written(x, y, anchor, text) {
  const made = shape("text", { x, y, "text-anchor": anchor });
  made.textContent = text;
  return made;
}
