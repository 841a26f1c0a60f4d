/**
 * Words with numbers in them, for views that say what is pointed at.
 */

/** @param {string} template @param {Record<string, string | number | null>} values */
export function fill(template, values) {
  return template.replace(/\{(\w+)\}/g, (_, key) => String(values[key]));
}

/** A token without the dot that stands for the space before it. @param {string} token */
export function bare(token) {
  return token.length > 1 && token.startsWith("·") ? token.slice(1) : token;
}

/** Quotes a token, and keeps one of the other writing direction to itself. @param {string} token */
export function quote(token) {
  return `“\u2068${bare(token)}\u2069”`;
}

/** A weight, with as many digits as it takes to tell it from 0. @param {number} weight */
export function number(weight) {
  const size = Math.abs(weight);
  if (Number.isNaN(weight)) return "NaN";
  const digits = size >= 100 ? size.toPrecision(3) : size >= 0.01 || size === 0 ? size.toFixed(2) : size.toPrecision(1);
  return (weight < 0 ? "−" : "") + (size > 0 && size < SMALLEST ? `< ${SMALLEST}` : digits);
}

/** Smaller ones are not told apart. */
const SMALLEST = 0.0001;

/** @param {number} share */
export function percent(share) {
  if (share > 0 && share < 0.01) return "< 1 %";
  return `${share < 1 && share > 0.99 ? "> 99" : Math.round(100 * share)} %`;
}
