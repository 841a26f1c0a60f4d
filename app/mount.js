// Fits a view, `({ el, data, select }) => cleanup`, to a Streamlit component. Streamlit calls the
// export again on the same element whenever the data changes, and the last cleanup at the end. A
// view called again on its own element takes the new data, so it gets the same one each time.

/** @type {WeakMap<object, HTMLElement>} */
const places = new WeakMap();

/**
 * @param {{ parentElement: HTMLElement | ShadowRoot, data: any,
 *           setTriggerValue: (name: string, value: unknown) => void }} component
 */
export default ({ parentElement, data, setTriggerValue }) => {
  const el = places.get(parentElement) ?? document.createElement("div");
  if (!places.has(parentElement)) {
    parentElement.appendChild(el);
    places.set(parentElement, el);
  }
  // @ts-ignore: the view's module stands in front of this text when the two are joined
  const cleanup = view({ el, data, select: (choice) => setTriggerValue("select", choice) });
  return () => {
    cleanup();
    places.delete(parentElement);
    el.remove();
  };
};
