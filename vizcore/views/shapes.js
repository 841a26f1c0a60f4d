/**
 * The shapes that drawings in lines are built of.
 */

/** A new shape of a drawing. @param {string} tag @param {Record<string, string | number>} attributes @returns {SVGElement} */
export function shape(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return /** @type {SVGElement} */ (made);
}
