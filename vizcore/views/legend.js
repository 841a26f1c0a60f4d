/**
 * What the colours and marks stand for; of marks only those that are there.
 * @import { Choice, ModelViewData } from "./heads.d.ts"
 */
import { part } from "./parts.js";
import { floorOf } from "./raster.js";
import { short } from "./scale.js";

/**
 * @param {HTMLElement} legend
 * @param {ModelViewData} data
 * @param {Choice} choice
 * @param {boolean} tooLittle whether some row leaves too little to be renormalised
 */
export function drawLegend(legend, data, { own, log, sink }, tooLittle) {
  const { texts, has, low } = data;
  const floor = short(data.isAttention ? 1 / data.nSteps : floorOf(data));
  const largest = own ? texts.itsLargest : texts.high;
  const negative = own && low < 0 ? `−${texts.itsLargest}` : texts.low;
  const lowest = low >= 0 && log ? texts.logBelow.replace("{floor}", floor) : negative;
  const words = [texts.quantity, own ? texts.ownScale : texts.oneScale];
  if (log) words.push(texts.log);
  if (log && low < 0) words.push(texts.within.replace("{floor}", floor));
  const marks = [
    ...(has.masked ? [["masked", texts.masked]] : []),
    ...(has.undefined ? [["undefined", texts.undefined]] : []),
    ...(has.infinite ? [["infinite", texts.infinite]] : []),
    ...(has.above ? [["above", texts.above]] : []),
    ...(has.below ? [["below", texts.below]] : []),
    ...(sink === "grey" ? [["aside", texts.firstGreyed]] : []),
    ...(sink === "renormalise" ? [["aside", texts.firstGone]] : []),
    ...(sink === "renormalise" && tooLittle ? [["too-little", texts.tooLittle]] : []),
  ];
  const scale = part("span", "scale");
  scale.title = texts.steps;
  legend.replaceChildren(
    part("span", "", lowest),
    scale,
    part("span", "", largest),
    part("span", "quantity", words.join(", ")),
    ...marks.map(([name, text]) => {
      const pair = part("span", "pair");
      pair.append(part("i", `swatch ${name}`), part("span", "", text));
      return pair;
    }),
    ...(texts.reduced ? [part("span", "reduced", texts.reduced)] : []),
  );
}
