/**
 * Wheel, drag, pinch, keys and clicks on an element, as moves and zooms.
 *
 * @typedef {{
 *   move: (x: number, y: number) => void,
 *   zoom: (factor: number, x: number, y: number) => boolean,
 *   point: (x: number, y: number) => void,
 *   leave: () => void,
 *   click: (x: number, y: number) => void,
 *   key: (name: string) => boolean,
 * }} Told
 *   in CSS pixels of the element; `zoom` and `key` say whether anything came of it
 */

/** A press that moves less than this is a click. */
const STILL = 4;

/** How much one unit of a wheel zooms; a notch of most mice is 100. */
const WHEEL = 0.0022;

const LINE_HEIGHT = 16;

export class Gestures {
  /**
   * @param {HTMLElement} element
   * @param {Told} told
   * @param {AbortSignal} signal
   */
  constructor(element, told, signal) {
    this.told = told;
    /** Where each pressed pointer is. @type {Map<number, { x: number, y: number }>} */
    this.down = new Map();
    this.travelled = 0;
    const on = (/** @type {string} */ name, /** @type {(event: any) => void} */ act) =>
      element.addEventListener(name, act, { signal, passive: false });
    on("pointerdown", (event) => this.press(element, event));
    on("pointermove", (event) => this.drag(event));
    on("pointerup", (event) => this.lift(event, true));
    on("pointercancel", (event) => this.lift(event, false));
    on("pointerleave", (event) => !this.down.has(event.pointerId) && told.leave());
    on("wheel", (/** @type {WheelEvent} */ event) => {
      const by = event.deltaMode === 1 ? event.deltaY * LINE_HEIGHT : event.deltaY;
      // At the end of zooming the page may scroll again.
      if (told.zoom(Math.exp(-by * WHEEL), event.offsetX, event.offsetY)) event.preventDefault();
      told.point(event.offsetX, event.offsetY);
    });
    on("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (told.key(event.key)) event.preventDefault();
    });
  }

  /** @param {HTMLElement} element @param {PointerEvent} event */
  press(element, event) {
    if (event.button !== 0) return;
    element.setPointerCapture(event.pointerId);
    if (!this.down.size) this.travelled = 0;
    this.down.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
  }

  /** @param {PointerEvent} event */
  drag(event) {
    const before = this.down.get(event.pointerId);
    if (!before) {
      this.told.point(event.offsetX, event.offsetY);
      return;
    }
    const now = { x: event.offsetX, y: event.offsetY };
    this.travelled += Math.abs(now.x - before.x) + Math.abs(now.y - before.y);
    if (this.down.size === 1) {
      if (this.travelled >= STILL) this.told.move(now.x - before.x, now.y - before.y);
      this.down.set(event.pointerId, now);
      return;
    }
    const other = [...this.down.entries()].find(([id]) => id !== event.pointerId)?.[1];
    if (!other) return;
    const middle = (/** @type {{ x: number, y: number }} */ one) => ({ x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 });
    const apart = (/** @type {{ x: number, y: number }} */ one) => Math.hypot(one.x - other.x, one.y - other.y) || 1;
    const [from, to] = [middle(before), middle(now)];
    this.told.move(to.x - from.x, to.y - from.y);
    this.told.zoom(apart(now) / apart(before), to.x, to.y);
    this.down.set(event.pointerId, now);
  }

  /** @param {PointerEvent} event @param {boolean} meant */
  lift(event, meant) {
    if (!this.down.delete(event.pointerId) || this.down.size) return;
    if (meant && this.travelled < STILL) this.told.click(event.offsetX, event.offsetY);
    else this.told.point(event.offsetX, event.offsetY);
  }
}
