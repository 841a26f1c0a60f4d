/**
 * Which heads are shown, and in which order.
 *
 * By layer every head keeps its place, and those that do not fit the choice are dimmed; sorted,
 * they are left out.
 * @import { Choice, ModelViewData } from "./heads.d.ts"
 */

export const EVERY = "all";
export const FULL = "full";

/**
 * @param {ModelViewData} data
 * @param {Choice} choice
 * @returns {{ sorted: boolean, order: number[], fits: (index: number) => boolean }} indices of maps
 */
export function ordered(data, { sort, falling, show }) {
  const full = new Set(data.full.map(({ index }) => index));
  const pattern = data.patterns.findIndex(({ name }) => name === show);
  const fits = (/** @type {number} */ index) =>
    show === EVERY || (show === FULL ? full.has(index) : data.maps[index].pattern === pattern);
  const score = data.scores.find(({ name }) => name === sort);
  const every = data.maps.map((_, index) => index);
  if (!score) return { sorted: false, order: every, fits };
  const { values } = score;
  const sign = falling ? 1 : -1;
  const order = every.filter(fits).sort((a, b) => {
    const [one, other] = [values[a], values[b]];
    if (one === null || other === null) return Number(one === null) - Number(other === null) || a - b;
    return sign * (other - one) || a - b;
  });
  return { sorted: true, order, fits };
}

/**
 * What there is to choose from: every pattern with the number of heads that do it.
 * @param {ModelViewData} data
 * @returns {[string, string][]} name and words
 */
export function choices(data) {
  const { texts, maps, patterns, full } = data;
  const count = (/** @type {number} */ pattern) => maps.filter((one) => one.pattern === pattern).length;
  const say = (/** @type {string} */ words, /** @type {number} */ n, pattern = "") =>
    words.replace("{n}", String(n)).replace("{pattern}", pattern);
  return [
    [EVERY, say(texts.all, maps.length)],
    ...patterns.map(
      ({ name, label }, index) =>
        /** @type {[string, string]} */ ([name, say(texts.some, count(index), label)]),
    ),
    .../** @type {[string, string][]} */ (full.length ? [[FULL, say(texts.onlyFull, full.length)]] : []),
  ];
}
