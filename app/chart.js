// Shows a Plotly figure of a map, and tells which row (and column) of it was clicked. Streamlit's own chart
// element is built anew whenever its figure changes, which takes longer than switching a head may;
// here the chart stays and takes the new figure. Plotly itself is Streamlit's: it puts it on
// `globalThis` with the first chart of a page, so the page holds an empty one.

/**
 * @typedef {HTMLElement & { on?: (name: string, listener: (event: any) => void) => void }} Plot
 * @typedef {{ figure: string, rows: number[], alt: string, missing: string }} Data
 * @typedef {{ plot: Plot, rows: number[], pick: (row: number, column: number) => void, version: number,
 *   drawing: Promise<void> }} Chart
 */

const PATIENCE = 30_000;
const EMPTY_CHART = ".st-key-plotly_itself";

/** @type {WeakMap<object, Chart>} */
const charts = new WeakMap();

/** @returns {Promise<any>} Plotly, once the page has it; null if it never comes */
async function library() {
  const end = performance.now() + PATIENCE;
  while (performance.now() < end) {
    const plotly = /** @type {any} */ (globalThis).Plotly;
    if (plotly?.react) return plotly;
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  return null;
}

/** @param {HTMLElement} parent @returns {Chart} */
function create(parent) {
  const plot = document.createElement("div");
  parent.append(plot);
  return { plot, rows: [], pick: () => {}, version: 0, drawing: Promise.resolve() };
}

/** @param {Chart} chart @param {Data} data */
async function draw(chart, data) {
  const version = ++chart.version;
  const plotly = await library();
  if (version !== chart.version) return;
  if (!plotly) {
    chart.plot.textContent = data.missing;
    return;
  }
  const { data: traces, layout } = JSON.parse(data.figure);
  chart.plot.setAttribute("role", "img");
  chart.plot.setAttribute("aria-label", data.alt);
  chart.plot.style.height = `${layout.height}px`;
  const isNew = !chart.plot.on;
  await plotly.react(chart.plot, traces, layout, { displayModeBar: false, responsive: true });
  for (const empty of document.querySelectorAll(`${EMPTY_CHART} .js-plotly-plot`)) {
    empty.classList.remove("js-plotly-plot"); // whoever looks for the chart of the page finds one
  }
  if (!isNew) return;
  chart.plot.on?.("plotly_click", ({ points }) => {
    const row = chart.rows[Math.round(points[0]?.y)];
    if (row !== undefined) chart.pick(row, Math.round(points[0].x));
  });
}

/**
 * @param {{ parentElement: HTMLElement, data: Data,
 *           setTriggerValue: (name: string, value: unknown) => void }} component
 */
export default ({ parentElement, data, setTriggerValue }) => {
  const chart = charts.get(parentElement) ?? create(parentElement);
  charts.set(parentElement, chart);
  chart.rows = data.rows;
  chart.pick = (row, column) => setTriggerValue("select", { row, column });
  chart.drawing = draw(chart, data);
  return () => {
    chart.version = -1;
    // Plotly lays out margins a moment later, and fails if its plot is gone by then.
    chart.drawing.finally(() => {
      /** @type {any} */ (globalThis).Plotly?.purge(chart.plot);
      chart.plot.remove();
    });
    charts.delete(parentElement);
  };
};
