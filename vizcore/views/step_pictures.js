/**
 * The picture of each step: most are a table with a row for each token that is looked at, in which
 * what goes into the step stands on the left and what comes out of it on the right.
 * @import { Exact, Scale, StepsViewData } from "./types.d.ts"
 */
import { unpackExactly } from "./decode.js";
import { part } from "./parts.js";
import { shape } from "./shapes.js";
import { bar, strip, written } from "./strips.js";

/**
 * @typedef {{ title: string, width: number, cell: (row: number) => Node | string,
 *   top?: Node, sum?: Node, real?: Node, rest?: Node | string, sink?: string }} Column
 */

/** Draws one step after the other from the same data. */
export class Pictures {
  /** @param {StepsViewData} data @param {Uint8ClampedArray} ramp */
  constructor(data, ramp) {
    this.data = data;
    this.ramp = ramp;
    /** @param {Record<string, Exact | null>} packed */
    const unpacked = (packed) =>
      Object.fromEntries(Object.entries(packed).map(([name, one]) => [name, one && unpackExactly(one)]));
    this.vectors = unpacked(data.vectors);
    this.numbers = unpacked(data.numbers);
  }

  /** The picture of a step. @param {string} name @returns {Node[]} */
  draw(name) {
    const { vectors } = this;
    const texts = this.data.texts;
    /** @type {Record<string, () => Node[]>} */
    const pictures = {
      query: () => [this.text(), this.large("query", "match", this.called("query"))],
      rotation: () => [
        this.large("queryBefore", "match", texts.before),
        this.dials(),
        this.large("query", "match", texts.after),
      ],
      keys: () => [this.table([this.keys(8)])],
      scores: () => [this.table([this.keys(6), this.bars("products", texts.product, 4, ["products"])])],
      scaling: () => [this.scaled()],
      softcap: () => [
        this.table([
          this.bars("scaled", texts.scaled, 4, ["scaled", "capped"]),
          this.bars("capped", texts.capped, 4, ["scaled", "capped"]),
        ]),
      ],
      bias: () => [
        this.table([
          this.bars("capped", texts.score, 3, ["capped", "biased", "bias"]),
          this.bars("bias", "+ " + texts.bias, 3, ["capped", "biased", "bias"]),
          this.bars("biased", "= " + texts.score, 3, ["capped", "biased", "bias"]),
        ]),
      ],
      mask: () => [
        this.table([
          this.bars("biased", texts.score, 4, ["biased"]),
          this.masked(this.bars("biased", texts.masked, 4, ["biased"])),
        ]),
      ],
      softmax: () => [
        this.table([
          this.masked(this.bars("biased", texts.score, 4, ["biased"])),
          this.weights(5),
        ]),
      ],
      values: () => [this.table([this.weights(3), this.strips("value", texts.value, 6)])],
      sum: () => [this.table([this.weighted()])],
      concat: () => this.concat(),
      output: () => this.output(),
    };
    if (!pictures[name] || !vectors) throw new Error(`there is no picture of a step ${name}.`);
    return pictures[name]();
  }

  /** The tokens of the text, with the one that looks. */
  text() {
    const { tokens, at, first, before, after } = this.data.around;
    const line = part("p", "text");
    line.dir = "auto";
    tokens.forEach((token, place) => {
      const chip = part("button", place === at ? "token looking" : "token", token);
      const position = String(first + place);
      chip.setAttribute("type", "button");
      chip.setAttribute("aria-pressed", String(place === at));
      chip.dataset.token = position;
      chip.title = this.called("look", token).replace("{position}", position);
      line.append(chip);
    });
    if (before) line.prepend("… ");
    if (after) line.append(" …");
    return line;
  }

  /** @param {string} what @param {string} [token] */
  called(what, token) {
    return this.data.texts[what].replace("{token}", token ?? this.data.query.token);
  }

  /** A vector as large as the picture is wide. @param {string} name @param {Scale} scale @param {string} title */
  large(name, scale, title) {
    const block = part("div", "large");
    const numbers = this.vectors[name];
    if (!numbers) return block;
    block.append(part("span", "title", title), this.strip(numbers, scale, title));
    return block;
  }

  /** @param {Float32Array} numbers @param {Scale} scale @param {string} name */
  strip(numbers, scale, name) {
    return strip(numbers, { scale: this.data.scales[scale], ramp: this.ramp, name });
  }

  /** Pairs of the query as arrows: where they pointed, and where they point now. */
  dials() {
    const all = part("div", "dials");
    const longest = Math.max(...this.data.dials.map(({ after }) => Math.hypot(...after)), 1e-9);
    for (const { pair, angle, before, after } of this.data.dials) {
      const dial = part("div", "dial");
      const svg = shape("svg", {});
      svg.setAttribute("viewBox", "-50 -50 100 100");
      const circle = shape("circle", { r: "46" });
      svg.append(circle);
      for (const [name, [x, y]] of /** @type {[string, [number, number]][]} */ ([["was", before], ["is", after]])) {
        // Short arrows are drawn longer, so that one sees where they point.
        const length = 18 + 26 * (Math.hypot(x, y) / longest);
        const size = Math.hypot(x, y) || 1;
        svg.append(
          shape("line", { class: name, x2: String((length * x) / size), y2: String((-length * y) / size) }),
        );
      }
      dial.append(
        svg,
        part("span", "", this.data.texts.pair.replace("{pair}", String(pair))),
        part("span", "number", `${written(angle)}°`),
      );
      all.append(dial);
    }
    return all;
  }

  /** The keys, with the query above them. @param {number} width */
  keys(width) {
    const column = this.strips("key", this.data.texts.key, width);
    const query = this.vectors.query;
    if (query) column.top = this.strip(query, "match", this.called("query"));
    return column;
  }

  /** @param {"key" | "value" | "weighted"} name @param {string} title @param {number} width @returns {Column} */
  strips(name, title, width) {
    const numbers = this.vectors[name] ?? new Float32Array();
    const d = numbers.length / this.data.rows.length;
    return {
      title: "",
      width,
      cell: (row) =>
        this.strip(
          numbers.subarray(row * d, (row + 1) * d),
          name === "key" ? "match" : "value",
          title.replace("{token}", this.data.rows[row].token),
        ),
    };
  }

  /**
   * @param {string} name @param {string} title @param {number} width
   * @param {string[]} together the numbers that are on the same scale
   * @param {string} [real] the numbers as they really are
   * @returns {Column}
   */
  bars(name, title, width, together, real = "") {
    const values = this.numbers[name] ?? new Float32Array();
    const ghosts = this.numbers[real];
    const all = together.flatMap((other) => Array.from(this.numbers[other] ?? []));
    const range = { low: Math.min(0, ...all), high: Math.max(0, ...all) || 1e-9 };
    return {
      title: ghosts ? `${title} (${this.data.texts.really}: ┃)` : title,
      width,
      cell: (row) => bar(values[row], { ...range, ghost: ghosts ? ghosts[row] : null, leaks: this.leaks(row) }),
    };
  }

  /** Whether a token is looked at that must not be seen. @param {number} row */
  leaks(row) {
    return this.data.rows[row].hidden && this.data.leftOut.includes("mask");
  }

  /** The products, and what is left of them after the division. */
  scaled() {
    const { texts, leftOut } = this.data;
    const title = leftOut.includes("scaling") ? texts.notScaled : texts.scaled;
    const together = ["products", "scaled"];
    return this.table([
      this.bars("products", texts.product, 4, together),
      this.bars("scaled", title, 4, together, "realScaled"),
    ]);
  }

  /** The same, with −∞ where the mask hides a key. @param {Column} column @returns {Column} */
  masked(column) {
    const { leftOut, rows, texts } = this.data;
    if (leftOut.includes("mask")) return column;
    const cell = (/** @type {number} */ row) =>
      rows[row].hidden ? part("div", "gone", texts.hidden) : column.cell(row);
    return { ...column, cell };
  }

  /** @param {number} width @returns {Column} */
  weights(width) {
    const { rest, sink, texts } = this.data;
    return {
      ...this.bars("weights", texts.weight, width, ["weights", "realWeights"], "realWeights"),
      rest: rest ? written(rest.weight) : undefined,
      sink: sink === null ? undefined : written(sink),
    };
  }

  /** Each value times its weight, and their sum. @returns {Column} */
  weighted() {
    const weights = this.numbers.weights ?? new Float32Array();
    const { rows, texts } = this.data;
    const { output, realOutput } = this.vectors;
    const column = this.strips("weighted", texts.weighted, 8);
    const cell = (/** @type {number} */ row) => {
      const line = part("div", "product");
      const title = texts.weighted
        .replace("{weight}", written(weights[row]))
        .replace("{token}", rows[row].token);
      const numbers = this.vectors.weighted ?? new Float32Array();
      const d = numbers.length / rows.length;
      line.append(
        part("span", "number", `${written(weights[row])} ×`),
        this.strip(numbers.subarray(row * d, (row + 1) * d), "sum", title),
      );
      return line;
    };
    const line = (/** @type {Float32Array} */ numbers, /** @type {string} */ title, sign = "Σ =") => {
      const sum = part("div", "product");
      sum.append(part("span", "number", sign), this.strip(numbers, "sum", title));
      return sum;
    };
    const others = this.vectors.rest;
    const rest = this.data.rest;
    return {
      ...column,
      cell,
      sum: output ? line(output, texts.sum) : undefined,
      real: realOutput ? line(realOutput, texts.really) : undefined,
      rest:
        rest && others
          ? line(others, texts.rest.replace("{n}", String(rest.n)), `${written(rest.weight)} ×`)
          : undefined,
    };
  }

  /** This head's output above the outputs of all heads, to which it belongs. */
  concat() {
    const { head, nHeads, texts } = this.data;
    const title = texts.output.replace("{head}", String(head));
    const all = texts.concat.replace("{first}", "0").replace("{last}", String(nHeads - 1));
    const lens = shape("svg", {});
    lens.setAttribute("class", "lens");
    lens.setAttribute("viewBox", "0 0 100 10");
    lens.setAttribute("preserveAspectRatio", "none");
    const [left, right] = [(100 * head) / nHeads, (100 * (head + 1)) / nHeads];
    lens.append(shape("path", { d: `M0 0 L100 0 L${right} 10 L${left} 10 Z` }));
    const whole = this.large("concat", "concat", all);
    const mark = part("div", "mark");
    mark.style.left = `${left}%`;
    mark.style.width = `${100 / nHeads}%`;
    const under = part("div", "under");
    const strips = whole.querySelector("canvas");
    if (strips) under.append(strips);
    under.append(mark);
    whole.prepend(under);
    const own = this.large("output", "concat", title);
    const both = part("div", "lensed");
    both.append(own, lens, whole);
    return [both];
  }

  /** The concatenation, and what Wᴼ makes of each part of it. */
  output() {
    const { texts, head } = this.data;
    const own = texts.own.replace("{head}", String(head));
    const all = part("div", "parts");
    const parts = /** @type {[string, string, string][]} */ ([
      ["own", "", own],
      ["others", "+", texts.others],
      ["projectionBias", "+", texts.projectionBias],
      ["result", "=", texts.result],
    ]);
    for (const [name, sign, title] of parts) {
      const numbers = this.vectors[name];
      if (!numbers) continue;
      all.append(
        part("span", "sign", sign),
        part("span", "label", title),
        this.strip(numbers, "output", title),
      );
    }
    return all.childNodes.length ? [all] : this.concat();
  }

  /** A row for each token that is looked at. @param {Column[]} columns */
  table(columns) {
    const { rows, rest, sink, query, texts } = this.data;
    const table = part("div", "table");
    table.style.gridTemplateColumns = `minmax(8em, max-content) ${columns
      .map(({ width }) => `minmax(0, ${width}fr)`)
      .join(" ")}`;
    if (columns.some(({ title }) => title)) {
      table.append(part("span"), ...columns.map(({ title }) => part("span", "title", title)));
    }
    const line = (/** @type {Node} */ label, /** @type {(column: Column) => Node | string | undefined} */ of) => {
      table.append(label, ...columns.map((column) => cell(of(column))));
    };
    if (columns.some(({ top }) => top)) {
      line(labelled(query.position, query.token, "looking top"), ({ top }) => top);
    }
    rows.forEach((row, place) => {
      line(labelled(row.position, row.token, row.isQuery ? "looking" : row.hidden ? "hidden-from" : ""), (column) => column.cell(place));
    });
    if (rest) {
      const label = part("span", "label quiet", texts.rest.replace("{n}", String(rest.n)));
      line(label, ({ rest }) => (typeof rest === "string" ? part("span", "number quiet", rest) : rest));
    }
    if (sink !== null && columns.some((column) => column.sink)) {
      const label = part("span", "label quiet", texts.nothing);
      line(label, (column) => column.sink && part("span", "number quiet", column.sink));
    }
    if (columns.some(({ sum }) => sum)) line(part("span", "label sum", texts.sum), ({ sum }) => sum);
    if (columns.some(({ real }) => real)) line(part("span", "label", texts.really), ({ real }) => real);
    return table;
  }
}

/** @param {number} position @param {string} token @param {string} name */
function labelled(position, token, name) {
  const label = part("span", `label ${name}`);
  label.append(part("span", "position", String(position)), part("bdi", "token", token));
  label.title = token;
  return label;
}

/** @param {Node | string | undefined} content */
function cell(content) {
  const place = part("div", "cell");
  if (content !== undefined && content !== "") place.append(content);
  return place;
}
