// Fits a view, `({ el, data, select }) => cleanup`, to a Streamlit component. Streamlit calls the
// export again whenever the data changes, on the same element, and the last cleanup at the end.

/** @type {WeakMap<Element, { el: HTMLElement, cleanup: () => void }>} */
const mounted = new WeakMap();

/**
 * @param {{ parentElement: HTMLElement | ShadowRoot, data: any,
 *           setTriggerValue: (name: string, value: unknown) => void }} component
 */
export default ({ parentElement, data, setTriggerValue }) => {
  const before = mounted.get(/** @type {any} */ (parentElement));
  before?.cleanup();
  const el = before?.el ?? document.createElement("div");
  if (!before) parentElement.appendChild(el);
  const cleanup = view({ el, data, select: (choice) => setTriggerValue("select", choice) });
  mounted.set(/** @type {any} */ (parentElement), { el, cleanup });
  return () => {
    mounted.get(/** @type {any} */ (parentElement))?.cleanup();
    mounted.delete(/** @type {any} */ (parentElement));
    el.remove();
  };
};
