/**
 * Runs what a view does; where that fails, the view says so in words, inside its element.
 */
import { part } from "./parts.js";
import { fill } from "./words.js";

/**
 * @param {{ root: HTMLElement, data?: { texts: Record<string, string> } | null }} view
 * @param {() => void | Promise<void>} task
 * @param {() => boolean} [hasPicture] whether there is one now, so that what failed before is past
 */
export async function guard(view, task, hasPicture = () => false) {
  try {
    await task();
    if (hasPicture()) view.root.querySelector(".error")?.remove();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const words = view.root.querySelector(".error") ?? part("p", "error");
    words.setAttribute("role", "alert");
    words.textContent = fill(view.data?.texts.error ?? "{reason}", { reason });
    view.root.prepend(words);
  }
}
