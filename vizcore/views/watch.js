/**
 * What every drawn view does the same: one to an element, drawn anew when something around it
 * changes, and gone without a trace when its host is done with it.
 * @import { Mount } from "./types.d.ts"
 */
import { guard } from "./guard.js";

/**
 * @typedef {{ root: HTMLElement, ending: AbortController, frame: number, visible?: boolean,
 *   redraw: () => void }} Drawn `ending` ends it; `frame` is the one that is asked for
 */

/**
 * Draws a view when it comes into sight, when it changes its size, and when the reader's system
 * turns light or dark; and takes it away when it ends.
 * @param {Drawn} view
 * @param {HTMLElement} stage what the picture has to fit into
 * @param {{ resized?: () => void, recoloured?: () => void }} [instead] of drawing alone
 */
export function watch(view, stage, { resized, recoloured } = {}) {
  const { signal } = view.ending;
  const draw = () => view.redraw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recoloured ?? draw, { signal });
  const size = new ResizeObserver(resized ?? draw);
  size.observe(stage);
  const sight = new IntersectionObserver(([entry]) => {
    view.visible = entry.isIntersecting;
    if (view.visible) draw();
  });
  sight.observe(view.root);
  signal.addEventListener("abort", () => {
    size.disconnect();
    sight.disconnect();
    cancelAnimationFrame(view.frame);
    view.root.remove();
  });
}

/**
 * The function that a host calls: the same element keeps its view, and what the reader did there.
 * @template Data
 * @template Pick
 * @template {{ root: HTMLElement, ending: AbortController, data?: any,
 *   update: (data: Data, select: (pick: Pick) => void) => void | Promise<void> }} View
 * @param {(el: HTMLElement) => View} make
 * @param {(view: View) => boolean} [hasPicture] whether there is one now, see guard
 * @returns {Mount<Data, Pick>}
 */
export function mounting(make, hasPicture = () => false) {
  /** @type {WeakMap<HTMLElement, View>} */
  const views = new WeakMap();
  return ({ el, data, select }) => {
    const view = views.get(el) ?? make(el);
    if (!views.has(el)) view.ending.signal.addEventListener("abort", () => views.delete(el));
    views.set(el, view);
    guard(view, () => view.update(data, select), () => hasPicture(view));
    return () => view.ending.abort();
  };
}
