/**
 * What the tile view says in words: about a cell, about its colours, in its menus.
 * @import { Cell, Tile, TileViewData } from "./tile.d.ts"
 */
import { part } from "./parts.js";
import { short } from "./scale.js";
import { number, visible } from "./tile_axes.js";
import { fill } from "./words.js";

/** @param {TileViewData} data @param {Cell} cell */
export function cellWords(data, cell) {
  const { texts } = data;
  const keys = data.keyTokens ?? data.queryTokens;
  const value =
    cell.value === -Infinity ? texts.masked
    : cell.value === Infinity ? texts.tooLittle
    : Number.isNaN(cell.value) ? texts.undefined
    : digits(cell.value);
  const isOne = cell.queryEnd === cell.query && cell.keyEnd === cell.key;
  const words = !Number.isFinite(cell.value) ? texts.marked : data.isAttention ? texts.cells : texts.means;
  return fill(isOne ? texts.cell : words, {
    query: isolate(visible(data.queryTokens[cell.query])),
    key: isolate(visible(keys[cell.key])),
    queryAt: number(cell.query),
    queryEnd: number(cell.queryEnd),
    keyAt: number(cell.key),
    keyEnd: number(cell.keyEnd),
    value,
  });
}

/**
 * @param {HTMLElement} legend
 * @param {TileViewData} data
 * @param {{ tiles: Tile[], floor: number | null }} what
 */
export function drawLegend(legend, data, { tiles, floor }) {
  const { texts } = data;
  const lowest = data.low < 0 ? short(data.low) : floor === null ? "0" : `≤ ${short(floor)}`;
  const has = (/** @type {"masked" | "undefined" | "tooLittle"} */ mark) => tiles.some((tile) => tile.has[mark]);
  const parts = [
    part("span", "", lowest),
    part("span", "scale"),
    part("span", "", short(data.high)),
    part("span", "quantity", texts.quantity),
    ...(has("masked") ? [part("span", "swatch masked"), part("span", "", texts.masked)] : []),
    ...(has("undefined") ? [part("span", "swatch undefined"), part("span", "", texts.undefined)] : []),
    ...(has("tooLittle") ? [part("span", "swatch aside"), part("span", "", texts.tooLittle)] : []),
    ...resolution(data, tiles).map((words) => part("span", "block", words)),
  ];
  const now = parts.map((one) => `${one.className}:${one.textContent}`).join("|");
  if (legend.dataset.now === now) return;
  legend.dataset.now = now;
  legend.replaceChildren(...parts);
}

/** How many tokens a cell is, where that is not one everywhere. @param {TileViewData} data @param {Tile[]} tiles */
function resolution({ live, texts }, [tile, whole]) {
  if (live) return tile.block > 1 ? [fill(texts.block, { block: tile.block })] : [];
  if (!whole) return tile.block > 1 ? [fill(texts.noFiner, { block: tile.block })] : [];
  const place = {
    query: number(tile.query),
    queryEnd: number(tile.query + tile.nQueries - 1),
    key: number(tile.key),
    keyEnd: number(tile.key + tile.nKeys - 1),
  };
  return [fill(tile.block === 1 ? texts.partly : texts.noFiner, { ...place, block: whole.block })];
}

/**
 * Fills a menu.
 * @param {HTMLSelectElement} select
 * @param {string} label
 * @param {[string, string][]} options
 * @param {string} chosen
 */
export function choose(select, label, options, chosen) {
  select.setAttribute("aria-label", label);
  select.title = label;
  select.replaceChildren(
    ...options.map(([value, words]) => {
      const option = /** @type {HTMLOptionElement} */ (part("option", "", words));
      option.value = value;
      return option;
    }),
  );
  select.value = chosen;
}

/** A weight for people: three digits that count. @param {number} value */
function digits(value) {
  if (value === 0) return "0";
  const written = Math.abs(value) >= 0.001 ? value.toPrecision(3) : value.toExponential(1);
  return written.replaceAll("-", "−");
}

/** Keeps a token of the other writing direction from turning its surroundings around. @param {string} token */
function isolate(token) {
  return `\u2068${token}\u2069`;
}
