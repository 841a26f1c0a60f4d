/**
 * The parts that views are built of: made, and found again.
 */

/**
 * The part of a view that a selector names; it must be there, and of that kind.
 * @template {Element} T
 * @param {Element} root
 * @param {string} selector
 * @param {new () => T} type
 * @returns {T}
 */
export function find(root, selector, type) {
  const found = root.querySelector(selector);
  if (!(found instanceof type)) throw new Error(`no ${selector} in the view.`);
  return found;
}

/** A new part. @param {string} tag @param {string} [className] @param {string} [text] */
export function part(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
