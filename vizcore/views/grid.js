/**
 * The grid of all heads: where each map is, what is in sight, zooming and panning.
 *
 * The browser itself scrolls an empty stage as large as all maps; a canvas of the size of what is
 * in sight stays in its place and shows that part of it.
 * @import { Arrangement, Box, Choice, Flow, ModelViewData, Picture, Theme } from "./heads.d.ts"
 */
import { find } from "./parts.js";
import { NUMBER_WIDTH, TITLE, arrange, flow } from "./layout.js";
import { drawNumbers } from "./numbers.js";
import { ordered } from "./order.js";
import { PATIENCE, Tiles } from "./tiles.js";

const FONT_SIZE = 12;
/** From a map up to the middle of its name. */
const CAPTION_MIDDLE = 7;
const MAX_ZOOM = 64;
const STEP = 1.5;
/** Pointers that move less than this clicked. */
const STILL = 4;

/**
 * @typedef {{ data: ModelViewData, choice: Choice, theme: Theme,
 *   pictureOf: (index: number) => Picture,
 *   paint: (picture: Picture, width: number, height: number) => ImageData,
 *   look: string }} Scene look: all that painting depends on
 */

export class Grid {
  /**
   * @param {HTMLElement} root of the view
   * @param {{ point: (index: number) => void, choose: (index: number) => void, redraw: () => void }} told
   * @param {AbortSignal} signal
   */
  constructor(root, told, signal) {
    this.root = root;
    this.told = told;
    this.scroller = find(root, ".grid", HTMLElement);
    this.stage = find(root, ".stage", HTMLElement);
    this.canvas = find(root, "canvas.all", HTMLCanvasElement);
    this.tiles = new Tiles();
    this.zoom = 1;
    /** @type {Scene | null} */
    this.scene = null;
    /** @type {Arrangement | null} */
    this.arrangement = null;
    /** @type {Flow | null} */
    this.flow = null;
    /** Maps in the order of a flow, and the place of each in it. @type {number[]} */
    this.order = [];
    /** @type {Map<number, number>} */
    this.positions = new Map();
    /** @type {(index: number) => boolean} */
    this.fits = () => true;
    this.frame = 0;
    this.dragged = false;
    this.watch(signal);
  }

  /** @param {AbortSignal} signal */
  watch(signal) {
    const { canvas, scroller } = this;
    /** @type {{ x: number, y: number, left: number, top: number } | null} */
    let held = null;
    canvas.addEventListener("pointerdown", (event) => {
      this.dragged = false;
      held = { x: event.clientX, y: event.clientY, left: scroller.scrollLeft, top: scroller.scrollTop };
    }, { signal });
    canvas.addEventListener("pointermove", (event) => {
      if (held && event.buttons & 1 && event.pointerType === "mouse") {
        const [x, y] = [event.clientX - held.x, event.clientY - held.y];
        if (!this.dragged && Math.hypot(x, y) < STILL) return;
        if (!this.dragged) canvas.setPointerCapture(event.pointerId);
        this.dragged = true;
        scroller.scrollTo(held.left - x, held.top - y);
        return;
      }
      this.told.point(this.under(event));
    }, { signal });
    canvas.addEventListener("pointerleave", () => this.told.point(-1), { signal });
    canvas.addEventListener("click", (event) => {
      held = null;
      if (!this.dragged) this.told.choose(this.under(event));
    }, { signal });
    scroller.addEventListener("scroll", () => this.move(), { signal, passive: true });
    scroller.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const box = scroller.getBoundingClientRect();
      const factor = Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) / 150);
      this.zoomTo(this.zoom * factor, event.clientX - box.left, event.clientY - box.top);
    }, { signal, passive: false });
    signal.addEventListener("abort", () => cancelAnimationFrame(this.frame));
  }

  /** Lays everything out and draws it. @param {Scene} scene */
  show(scene) {
    this.scene = scene;
    this.layOut();
    this.draw(Infinity);
  }

  layOut() {
    const { scene, scroller } = this;
    if (!scene) return;
    const { data, choice } = scene;
    const style = getComputedStyle(scroller);
    const size = {
      width: scroller.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight),
      height: scroller.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom),
      zoom: this.zoom,
    };
    const { sorted, order, fits } = ordered(data, choice);
    this.order = order;
    this.positions = new Map(order.map((index, position) => [index, position]));
    this.fits = fits;
    this.flow = sorted ? flow({ ...size, n: order.length }) : null;
    this.arrangement = sorted
      ? null
      : arrange({ ...size, nLayers: data.layers.length, nHeads: data.heads.length });
    const whole = this.flow ?? this.arrangement;
    if (!whole) return;
    this.stage.style.width = `${whole.width}px`;
    this.stage.style.height = `${whole.height}px`;
  }

  /** Another part came into sight. */
  move() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => {
      if (!this.draw(PATIENCE)) this.move();
    });
  }

  /** @param {number} patience @returns {boolean} whether nothing is left to be painted */
  draw(patience) {
    const { scene, scroller, canvas, stage } = this;
    if (!scene || scroller.clientWidth === 0) return true;
    const ratio = devicePixelRatio || 1;
    const width = Math.min(stage.offsetWidth, scroller.clientWidth);
    const height = Math.min(stage.offsetHeight, scroller.clientHeight);
    const window = { left: scroller.scrollLeft, top: scroller.scrollTop, width, height, ratio };
    const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== across || canvas.height !== down) {
      canvas.width = across;
      canvas.height = down;
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    const context = canvas.getContext("2d");
    if (!context) throw new Error("this browser cannot draw on a canvas.");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, across, down);
    const places = this.order.map((index) => ({
      index,
      box: this.boxOf(index) ?? { x: 0, y: 0, size: 0 },
      dimmed: !this.fits(index),
    }));
    const done = this.tiles.draw(context, places, window, { ...scene, patience });
    context.scale(ratio, ratio);
    context.fillStyle = scene.theme.quiet;
    context.font = `${FONT_SIZE}px ${scene.theme.font}`;
    context.textBaseline = "middle";
    context.textAlign = "center";
    if (this.arrangement) drawNumbers(context, scene, this.arrangement, window);
    else if (this.flow?.caption) {
      for (const { index, box } of places) {
        const { layers, heads, maps } = scene.data;
        const [layer, head] = maps[index].place;
        const name = [layers[layer], heads[head]].filter((number) => number !== null).join(" · ");
        context.fillText(name, box.x - window.left + box.size / 2, box.y - window.top - CAPTION_MIDDLE);
      }
    }
    return done;
  }

  /** Where a map is; null if it is not shown. @param {number} index @returns {Box | null} */
  boxOf(index) {
    const map = this.scene?.data.maps[index];
    if (!map) return null;
    if (this.arrangement) return this.arrangement.box(...map.place);
    const position = this.positions.get(index);
    return position === undefined || !this.flow ? null : this.flow.box(position);
  }

  /** The map under a pointer, or -1. @param {MouseEvent} event */
  under(event) {
    return this.at(event.offsetX + this.scroller.scrollLeft, event.offsetY + this.scroller.scrollTop);
  }

  /** @param {number} x @param {number} y of the stage */
  at(x, y) {
    if (this.flow) return this.order[this.flow.at(x, y)] ?? -1;
    const place = this.arrangement?.at(x, y);
    return place ? this.indexAt(...place) : -1;
  }

  /** @param {number} layer @param {number} head as indices */
  indexAt(layer, head) {
    const maps = this.scene?.data.maps ?? [];
    return maps.findIndex(({ place }) => place[0] === layer && place[1] === head);
  }

  /**
   * The next map in the direction of an arrow key; the same one if there is none.
   * @param {number} index
   * @param {string} key
   */
  beside(index, key) {
    /** @type {Record<string, [number, number]>} */
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const step = steps[key];
    const data = this.scene?.data;
    if (!step || !data) return index;
    if (this.flow) {
      const position = this.positions.get(index) ?? -1;
      const next = position + step[0] * this.flow.columns + step[1];
      return position < 0 ? (this.order[0] ?? index) : (this.order[next] ?? index);
    }
    const [byLayer, byHead] = this.arrangement?.across ? [step[1], step[0]] : step;
    let [layer, head] = data.maps[index].place;
    for (;;) {
      layer += byLayer;
      head += byHead;
      if (layer < 0 || head < 0 || layer >= data.layers.length || head >= data.heads.length) return index;
      const found = this.indexAt(layer, head);
      if (found >= 0) return found;
    }
  }

  /** One step nearer or further. @param {number} direction 1, -1, or 0 for all heads @param {number} [index] stays in sight */
  zoomBy(direction, index = -1) {
    const { clientWidth, clientHeight, scrollLeft, scrollTop } = this.scroller;
    const box = this.boxOf(index);
    const [x, y] = box
      ? [box.x + box.size / 2 - scrollLeft, box.y + box.size / 2 - scrollTop]
      : [clientWidth / 2, clientHeight / 2];
    this.zoomTo(direction ? this.zoom * STEP ** direction : 1, x, y);
    if (box && direction > 0) this.reveal(index);
  }

  /**
   * Zooms so that what is at that place stays there.
   * @param {number} zoom
   * @param {number} x
   * @param {number} y
   */
  zoomTo(zoom, x, y) {
    const { scroller } = this;
    const before = this.flow ?? this.arrangement;
    const within = Math.min(MAX_ZOOM, Math.max(1, zoom));
    if (!before || within === this.zoom) return;
    const [left, top] = [scroller.scrollLeft + x, scroller.scrollTop + y];
    const index = this.nearest(left, top);
    const old = this.boxOf(index);
    const pitch = before.pitch;
    this.zoom = within;
    this.layOut();
    const box = this.boxOf(index);
    const now = (this.flow ?? this.arrangement)?.pitch ?? pitch;
    if (old && box) {
      const factor = now / pitch;
      scroller.scrollTo(box.x + (left - old.x) * factor - x, box.y + (top - old.y) * factor - y);
    }
    this.told.redraw();
  }

  /** The map nearest to a place. @param {number} x @param {number} y */
  nearest(x, y) {
    let best = -1;
    let least = Infinity;
    for (const index of this.order) {
      const box = this.boxOf(index);
      if (!box) continue;
      const far = Math.hypot(box.x + box.size / 2 - x, box.y + box.size / 2 - y);
      if (far < least) [best, least] = [index, far];
    }
    return best;
  }

  /** Scrolls the grid, and nothing else, until that map is in sight. @param {number} index */
  reveal(index) {
    const box = this.boxOf(index);
    if (!box) return;
    const { scroller } = this;
    const { x, y, size } = box;
    const [right, down] = [x + size + 8 - scroller.clientWidth, y + size + 8 - scroller.clientHeight];
    const margin = this.flow ? this.flow.caption : NUMBER_WIDTH + TITLE + 3;
    scroller.scrollLeft = Math.min(Math.max(scroller.scrollLeft, right), x - margin);
    scroller.scrollTop = Math.min(Math.max(scroller.scrollTop, down), y - margin);
  }
}
