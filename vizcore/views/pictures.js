/**
 * The pictures of all heads as they were sent, and those in full, which are unpacked when asked for.
 * @import { HeadsData, Picture } from "./heads.d.ts"
 */
import { unpack } from "./decode.js";

/** Lines of a picture before those of the keys; pictures.py has the same number. */
export const N_EXTRA = 2;

/** So many bytes of heads in full are kept unpacked. */
const MAX_OPEN = 96_000_000;

export class Pictures {
  constructor() {
    /** @type {Picture[]} */
    this.small = [];
    /** By index; null while they are unpacked. @type {Map<number, Picture | null>} */
    this.full = new Map();
    /** Goes up with other pictures; 0: there are none. */
    this.version = 0;
    /** @type {HeadsData | null} */
    this.data = null;
  }

  /** Whether these are the pictures that are here. @param {HeadsData} data */
  has(data) {
    const same = this.data?.codes.base64 === data.codes.base64;
    if (same) this.data = data;
    return same && this.small.length > 0;
  }

  /** @param {HeadsData} data */
  async take(data) {
    this.data = data;
    this.small = [];
    this.full.clear();
    const bytes = await unpack(data.codes);
    if (this.data !== data) return;
    const [n, nLines, nRows] = data.codes.shape;
    const { low, high, isAttention: apart } = data;
    for (let i = 0; i < n; i++) {
      const lines = bytes.subarray(i * nLines * nRows, (i + 1) * nLines * nRows);
      this.small.push({ lines, nRows, nColumns: nLines - N_EXTRA, low, high, apart });
    }
    this.version += 1;
  }

  /** The best picture of a map that is there now. @param {number} index */
  of(index) {
    return this.full.get(index) ?? this.small[index];
  }

  /**
   * Unpacks a head that was sent in full.
   * @param {number} index
   * @param {boolean} makesRoom whether others may go; else it stays packed if there is no room
   * @returns {Promise<boolean>} whether there is a better picture now than there was
   */
  async open(index, makesRoom) {
    const { data } = this;
    const sent = data?.full.find((one) => one.index === index);
    if (!sent || this.full.has(index)) return false;
    const [nLines, nRows] = sent.codes.shape;
    const hasRoom = () => (this.full.size + 1) * nLines * nRows <= MAX_OPEN;
    if (!hasRoom() && !makesRoom) return false;
    for (const [oldest] of this.full) if (!hasRoom()) this.full.delete(oldest);
    this.full.set(index, null);
    const lines = await unpack(sent.codes);
    if (data?.codes.base64 !== this.data?.codes.base64) return false;
    const { low, high, apart } = sent;
    this.full.set(index, { lines, nRows, nColumns: nLines - N_EXTRA, low, high, apart });
    return true;
  }
}
