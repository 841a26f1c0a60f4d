/**
 * A running text whose every token can be pointed at, and has a shade.
 * @import { RunningText, Shades, Side } from "./look.d.ts"
 * @import { Theme } from "./types.d.ts"
 */
import { part } from "./parts.js";

/** The flags of running.py. */
const SPACED = 1;
const BREAKS = 2;
const QUIET = 4;

/** From this shade on, letters are white or black as it takes; see luminance. */
const TURNS = 0.18;

/** Shades above this are marked beside a text that is scrolled. */
const MARKED = 0.25;

/** Letters are large where the text is short. */
const SIZES = [[16, 36], [60, 27], [160, 21], [600, 18], [Infinity, 16]];

export class RunningView {
  /** @param {Side} side */
  constructor(side) {
    this.side = side;
    this.el = part("section", `block ${side}`);
    this.title = part("p", "title");
    this.text = part("div", "text");
    this.text.setAttribute("role", "toolbar");
    this.marks = document.createElement("canvas");
    this.marks.className = "marks";
    this.marks.setAttribute("aria-hidden", "true");
    const frame = part("div", "frame");
    frame.append(this.text, this.marks);
    this.el.append(this.title, frame);
    /** @type {HTMLElement[]} */
    this.tokens = [];
    /** The one that takes part in the tab order. */
    this.current = 0;
  }

  /** @param {RunningText} text @param {string} title @param {string} label */
  fill({ pieces, flags }, title, label) {
    this.title.textContent = title;
    this.title.hidden = !title;
    this.text.setAttribute("aria-label", label);
    this.text.dir = direction(pieces.filter((_, token) => !(flags[token] & QUIET)).join(""));
    this.tokens = pieces.map((piece, token) => {
      const made = part("span", flags[token] & QUIET ? "token special" : "token", piece);
      made.setAttribute("role", "button");
      made.tabIndex = token === 0 ? 0 : -1;
      made.dataset.token = String(token);
      made.dataset.side = this.side;
      return made;
    });
    this.current = 0;
    this.text.replaceChildren(
      ...this.tokens.flatMap((token, i) => [
        ...(flags[i] & SPACED ? [" "] : []),
        token,
        ...(flags[i] & BREAKS ? [document.createElement("br")] : []),
      ]),
    );
    const size = SIZES.find(([most]) => pieces.length <= most)?.[1] ?? 16;
    this.text.style.fontSize = `${size}px`;
  }

  /** @param {Shades | null} shades null: none @param {Theme} theme */
  shade(shades, theme) {
    const colours = new Map();
    this.tokens.forEach((token, i) => {
      const masked = shades !== null && shades.masked[i] === 1;
      const broken = shades !== null && shades.broken[i] === 1;
      const grey = shades !== null && shades.grey[i] === 1;
      const step = shades === null || masked || broken || grey ? -1 : Math.round(255 * shades.place[i]);
      const state = `${step}${masked ? "m" : ""}${broken ? "b" : ""}${grey ? "g" : ""}${theme.dark}`;
      if (token.dataset.state === state) return;
      token.dataset.state = state;
      token.classList.toggle("masked", masked);
      token.classList.toggle("broken", broken);
      token.classList.toggle("grey", grey);
      if (step >= 0 && !colours.has(step)) {
        const rgb = theme.ramp.subarray(3 * step, 3 * step + 3);
        colours.set(step, [`rgb(${rgb.join(" ")})`, luminance(rgb) > TURNS ? "#000000" : "#ffffff"]);
      }
      [token.style.backgroundColor, token.style.color] = step >= 0 ? colours.get(step) : ["", ""];
    });
  }

  /** Marks, beside a text that is scrolled, where its dark tokens are. @param {Shades | null} shades @param {Theme} theme @param {number} middle the shade of 0 */
  showMarks(shades, theme, middle) {
    const { text, marks } = this;
    const scrolls = text.scrollHeight > text.clientHeight + 4;
    marks.hidden = !scrolls;
    if (!scrolls) return;
    const ratio = devicePixelRatio || 1;
    const [width, height] = [12, text.clientHeight];
    [marks.width, marks.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    marks.style.height = `${height}px`;
    const context = marks.getContext("2d");
    if (!context || !shades) return;
    context.scale(ratio, ratio);
    const by = height / text.scrollHeight;
    const origin = this.tokens[0]?.offsetTop ?? 0;
    shades.place.forEach((place, i) => {
      if (Math.abs(place - middle) < MARKED || shades.masked[i] || shades.grey[i] || shades.broken[i]) return;
      const step = 3 * Math.round(255 * place);
      context.fillStyle = `rgb(${theme.ramp.subarray(step, step + 3).join(" ")})`;
      context.fillRect(0, (this.tokens[i].offsetTop - origin) * by, width, 3);
    });
  }

  /** @param {number} here the token that is looked at closely, or -1 @param {boolean} held */
  mark(here, held) {
    for (const old of this.text.querySelectorAll(".here, [aria-pressed]")) {
      old.classList.remove("here");
      old.removeAttribute("aria-pressed");
    }
    const token = this.tokens[here];
    token?.classList.add("here");
    if (held) token?.setAttribute("aria-pressed", "true");
  }

  /** Scrolls so that there is as much above the token as below. @param {number} token */
  reveal(token) {
    const { text } = this;
    const { offsetTop, offsetHeight } = this.tokens[token];
    text.scrollTop = offsetTop + (offsetHeight - text.clientHeight) / 2;
  }

  /** @param {number} token */
  focus(token) {
    if (!this.tokens[token]) return;
    this.tokens[this.current].tabIndex = -1;
    this.current = token;
    this.tokens[token].tabIndex = 0;
    this.tokens[token].focus();
  }

  /** The token nearest to this one in the next line. @param {number} token @param {number} by −1: up, 1: down */
  beside(token, by) {
    const box = this.tokens[token].getBoundingClientRect();
    let best = token;
    let line = 0;
    let nearest = Infinity;
    for (let other = token + by; other >= 0 && other < this.tokens.length; other += by) {
      const to = this.tokens[other].getBoundingClientRect();
      if (Math.abs(to.top - box.top) < box.height / 2) continue;
      line ||= to.top;
      if (Math.abs(to.top - line) > box.height / 2) break;
      const distance = Math.abs(to.left + to.width / 2 - box.left - box.width / 2);
      if (distance < nearest) [best, nearest] = [other, distance];
    }
    return best;
  }
}

/** Letters that are written from right to left: Hebrew, Arabic and their neighbours. */
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/** Where a text begins: its first letter says so. @param {string} text */
function direction(text) {
  return RIGHT_TO_LEFT.test(text.match(/\p{L}/u)?.[0] ?? "") ? "rtl" : "ltr";
}

/** Relative luminance after WCAG 2. @param {ArrayLike<number>} rgb */
function luminance(rgb) {
  const [red, green, blue] = Array.from(rgb, (value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
