/**
 * Unpacks what payload.py packed: base64 of bytes, deflated or not, or of float32.
 * @import { Exact, Packed } from "./types.d.ts"
 */

/**
 * @param {Packed} packed
 * @returns {Promise<Uint8Array>} the bytes, as many as the shape says
 */
export async function unpack(packed) {
  const letters = atob(packed.base64);
  let bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  if (packed.encoding === "deflate-raw") {
    if (typeof DecompressionStream === "undefined") {
      throw new Error("this browser is too old to unpack the data (it has no DecompressionStream).");
    }
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  }
  const expected = packed.shape.reduce((product, n) => product * n, 1);
  if (bytes.length !== expected) {
    throw new Error(`the data has ${bytes.length} bytes, but its shape says ${expected}.`);
  }
  return bytes;
}

/**
 * @param {Exact} packed
 * @returns {Float32Array} the numbers, row by row
 */
export function unpackExactly(packed) {
  const letters = atob(packed.base64);
  const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}
