/**
 * The colours of the host's theme, and ramps as tables to look up.
 * @import { Colours, Theme } from "./types.d.ts"
 */

/**
 * Any CSS colour as red, green, blue from 0 to 255: the browser itself reads it.
 * @param {string} colour
 * @returns {[number, number, number]}
 */
export function toRgb(colour) {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("this browser cannot draw on a canvas.");
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
  return [red, green, blue];
}

/**
 * @param {string[]} stops colours at even distances
 * @returns {Uint8ClampedArray} 256 × red, green, blue
 */
export function toRamp(stops) {
  const colours = stops.map(toRgb);
  const ramp = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i++) {
    const place = (i / 255) * (colours.length - 1);
    const left = Math.min(Math.floor(place), colours.length - 2);
    for (let c = 0; c < 3; c++) {
      ramp[3 * i + c] = colours[left][c] + (place - left) * (colours[left + 1][c] - colours[left][c]);
    }
  }
  return ramp;
}

/** Letters that can be read on a colour. @param {ArrayLike<number>} rgb @returns {string} */
export function lettersOn(rgb) {
  // Relative luminance after WCAG 2.
  const [red, green, blue] = Array.from(rgb, (value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 ? "#000000" : "#ffffff";
}

/**
 * What the style sheet and the host decided. Reads styles, so call it once a draw.
 * @param {HTMLElement} root
 * @param {{ light: Colours, dark: Colours }} colours
 * @param {boolean} diverging
 * @returns {Theme}
 */
export function readTheme(root, colours, diverging) {
  const style = getComputedStyle(root);
  const [red, green, blue] = toRgb(style.backgroundColor);
  const dark = 0.2126 * red + 0.7152 * green + 0.0722 * blue < 110;
  const chosen = dark ? colours.dark : colours.light;
  const quiet = root.querySelector(".quiet");
  return {
    dark,
    background: style.backgroundColor,
    text: style.color,
    quiet: quiet ? getComputedStyle(quiet).color : style.color,
    font: style.fontFamily,
    ramp: toRamp(diverging ? chosen.diverging : chosen.sequential),
    undefined: toRgb(chosen.undefined),
    infinite: toRgb(chosen.infinite),
    aside: toRgb(chosen.aside),
  };
}
