/**
 * The attribution view: one text several times, its tokens on the colour of what each method says.
 *
 * Pointing at a token shows it in every method, with its numbers; a click picks it, and `select` is
 * told {token}. Called again on the same element, it takes the new data.
 * @import { Mount } from "./types.d.ts"
 * @import { AttributionMethod, AttributionViewData } from "./attribution.d.ts"
 */
import { lettersOn, readTheme } from "./colour.js";
import { find, part } from "./parts.js";

const MARKUP = `
<p class="legend quiet">
  <span class="low"></span><span class="scale"></span><span class="high"></span>
  <span class="trust"></span>
</p>
<div class="rows"></div>
<p class="status" role="status"></p>`;

/** @type {WeakMap<HTMLElement, AttributionView>} */
const views = new WeakMap();

class AttributionView {
  /** @param {HTMLElement} el */
  constructor(el) {
    this.el = el;
    this.root = part("div", "headlight attribution-view");
    this.root.innerHTML = MARKUP;
    el.append(this.root);
    this.rows = find(this.root, ".rows", HTMLElement);
    this.status = find(this.root, ".status", HTMLElement);
    /** @type {AttributionViewData | null} */
    this.data = null;
    /** @type {(selection: { token: number }) => void} */
    this.select = () => {};
    this.ending = new AbortController();
    const { signal } = this.ending;
    this.rows.addEventListener("pointerover", (event) => this.tell(under(event)), { signal });
    this.rows.addEventListener("pointerleave", () => this.tell(-1), { signal });
    this.rows.addEventListener("focusin", (event) => this.tell(under(event)), { signal });
    this.rows.addEventListener("click", (event) => this.choose(under(event)), { signal });
    this.rows.addEventListener("keydown", (event) => this.press(event), { signal });
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", () => this.colour(), { signal });
    signal.addEventListener("abort", () => {
      this.root.remove();
      views.delete(this.el);
    });
  }

  /** @param {AttributionViewData} data @param {(selection: { token: number }) => void} select */
  update(data, select) {
    this.data = data;
    this.select = select;
    find(this.root, ".low", HTMLElement).textContent = data.texts.against;
    find(this.root, ".high", HTMLElement).textContent = data.texts.for;
    find(this.root, ".trust", HTMLElement).textContent = data.texts.trust;
    this.rows.replaceChildren(...data.methods.map((method, row) => this.row(method, row)));
    this.colour();
    this.tell(-1);
    this.root.dataset.drawn = "true";
  }

  /** @param {AttributionMethod} method @param {number} row */
  row(method, row) {
    const made = part("section", `method ${method.verdict}`);
    const head = part("div", "head");
    const title = part("div", "title");
    const name = part("span", "name", method.name);
    name.title = method.hint;
    title.append(name, part("span", "value"));
    head.append(title, this.meter(method));
    made.append(head, this.text(method, row));
    return made;
  }

  /** @param {AttributionMethod} method */
  meter({ faithful, verdict }) {
    const { texts, random } = /** @type {AttributionViewData} */ (this.data);
    const meter = part("div", "meter");
    if (faithful === null) {
      meter.append(part("span", "quiet", texts.measuring));
      return meter;
    }
    const track = part("span", "track");
    const bar = part("span", "bar");
    bar.style.width = `${100 * Math.max(0, faithful)}%`;
    track.append(bar);
    if (random !== null) {
      const chance = part("span", "chance");
      chance.style.left = `${100 * Math.min(Math.max(0, random), 0.99)}%`;
      track.append(chance);
    }
    const number = part("span", "number", faithful.toFixed(2).replace("-0.00", "0.00"));
    meter.append(track, number, part("span", "verdict", verdict && texts[verdict]));
    return meter;
  }

  /** @param {AttributionMethod} method @param {number} row */
  text(method, row) {
    const { data } = this;
    const whole = part("div", "text");
    if (!data) return whole;
    whole.setAttribute("role", "toolbar");
    whole.setAttribute("aria-label", data.texts.label.replace("{method}", method.name));
    data.sides.forEach(({ start, name }, side) => {
      const end = data.sides[side + 1]?.start ?? data.tokens.length;
      const line = part("div", "line");
      line.dir = "auto";
      if (name) line.append(part("span", "side quiet", name));
      for (let token = start; token < end; token++) line.append(this.token(method, row, token));
      whole.append(line);
    });
    return whole;
  }

  /** @param {AttributionMethod} method @param {number} row @param {number} token */
  token(method, row, token) {
    const data = /** @type {AttributionViewData} */ (this.data);
    const button = part("button");
    button.setAttribute("type", "button");
    button.dataset.token = String(token);
    button.tabIndex = token === (data.selected ?? 0) && row === 0 ? 0 : -1;
    if (method.places[token] === null) button.classList.add("without");
    if (token === data.selected) button.setAttribute("aria-current", "true");
    const label = data.tokens[token];
    const lead = label.length > 1 && label.startsWith("·") ? "·" : "";
    if (lead) button.append(part("span", "space", lead));
    button.append(label.slice(lead.length));
    return button;
  }

  /** Gives every token its background, and letters that can be read on it. */
  colour() {
    const { data } = this;
    if (!data) return;
    const theme = readTheme(this.root, data.colours, true);
    const stops = (theme.dark ? data.colours.dark : data.colours.light).diverging;
    this.root.style.setProperty("--ramp", stops.join(", "));
    this.rows.querySelectorAll(".method").forEach((method, row) => {
      for (const button of buttons(method)) {
        const place = data.methods[row].places[Number(button.dataset.token)];
        if (place === null) continue;
        const at = 3 * Math.round(255 * place);
        const rgb = theme.ramp.subarray(at, at + 3);
        button.style.background = `rgb(${rgb.join(" ")})`;
        button.style.color = lettersOn(rgb);
      }
    });
  }

  /** Shows the numbers of a token in all methods; -1 for none. @param {number} token */
  tell(token) {
    const { data } = this;
    if (!data) return;
    for (const button of buttons(this.rows)) {
      button.classList.toggle("pointed", Number(button.dataset.token) === token);
    }
    this.rows.querySelectorAll(".method").forEach((method, row) => {
      find(method, ".value", HTMLElement).textContent = token < 0 ? "" : data.methods[row].values[token];
    });
    const nothing = token >= 0 && data.methods.every(({ places }) => places[token] === null);
    this.status.textContent = token < 0 ? data.texts.hint : `“\u2068${data.tokens[token]}\u2069”: ${
      nothing ? data.without : data.methods.map(({ name, values }) => `${name} ${values[token]}`).join(" · ")
    }`;
  }

  /** @param {number} token */
  choose(token) {
    const { data } = this;
    if (data?.pickable.includes(token)) this.select({ token: token - data.offset });
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const row = event.target instanceof Element ? event.target.closest(".method") : null;
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    const rows = Array.from(this.rows.children);
    const beside = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const across = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const next = across ? rows[rows.indexOf(row) + across] : row;
    const button = next && buttons(next)[under(event) + (beside ?? 0)];
    if (!button || !(beside || across)) return;
    event.preventDefault();
    button.focus();
  }
}

/** @param {Element} root @returns {HTMLElement[]} */
function buttons(root) {
  return Array.from(root.querySelectorAll("button"));
}

/** The token that an event happened on, or -1. @param {Event} event */
function under(event) {
  const button = event.target instanceof Element ? event.target.closest("button") : null;
  return button ? Number(button.dataset.token) : -1;
}

/** @type {Mount<AttributionViewData, { token: number }>} */
export default function mount({ el, data, select }) {
  const view = views.get(el) ?? new AttributionView(el);
  views.set(el, view);
  try {
    view.update(data, select);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    view.status.textContent = data.texts.error.replace("{reason}", reason);
    view.status.setAttribute("role", "alert");
  }
  return () => view.ending.abort();
}
