/**
 * The host of a view in a notebook or a page of its own.
 * @import { Mount, Selection } from "./types.d.ts"
 */

/**
 * Shows a view inside the element of that id, in a shadow root: no style goes in or out. What is
 * selected is told as an event, "headlight-select".
 * @template Data
 * @param {Mount<Data>} view
 * @param {string} id
 * @param {string} css
 * @param {Data} data
 */
export function show(view, id, css, data) {
  const host = document.getElementById(id);
  if (!host || host.shadowRoot) return;
  const shadow = host.attachShadow({ mode: "open" });
  const style = document.createElement("style");
  style.textContent = css;
  const el = document.createElement("div");
  shadow.append(style, el);
  const select = (/** @type {Selection} */ selection) =>
    host.dispatchEvent(new CustomEvent("headlight-select", { detail: selection, bubbles: true }));
  view({ el, data, select });
}
