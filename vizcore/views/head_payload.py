"""The pictures of all heads as a page gets them, and the words that depend on them.

The idea: every view that draws a head's map from codes is told the same things, so that the same
modules of JavaScript draw it: `raster.js` and `detail.js`.
"""

from collections.abc import Mapping

import numpy as np

from vizcore.views import payload, sinks
from vizcore.views.head_pictures import HeadPictures

MAX_LABELS = 1024
"""Of maps in full; of thumbnails alone no label could be read, so none are sent."""

MAX_LABEL_LENGTH = 24
"""Characters of a label; what is cut ends in an ellipsis."""

MARKS = {
    "below": payload.BELOW,
    "above": payload.ABOVE,
    "infinite": payload.INFINITE,
    "undefined": payload.UNDEFINED,
    "masked": payload.MASKED,
}
"""Codes that are no values."""


def pictures_data(made: HeadPictures) -> dict[str, object]:
    """The pictures, and what a page must know to draw them. There must be at least one."""
    coding = made.coding()
    codes = np.stack([one.coded(coding) for one in made.pictures])
    # What a row leaves is no code, so it is not looked at.
    found = np.bincount(codes[:, 1:].ravel(), minlength=256)
    is_in_full = made.n_cells == made.shape
    assert made.last is not None  # noqa: S101 - asked by the caller
    has_labels = (is_in_full or made.details) and max(made.shape) <= MAX_LABELS
    query_tokens, key_tokens = (
        payload.shortened(tokens, MAX_LABEL_LENGTH)
        for tokens in (made.last.query_tokens, made.last.key_tokens)
    )
    return {
        "codes": payload.pack(codes),
        "full": [
            {
                "index": one.index,
                "low": one.coding.low,
                "high": one.coding.high,
                "apart": one.coding.apart,
                "codes": one.packed,
            }
            for one in made.details
        ],
        "shape": list(made.shape),
        "nSteps": payload.N_STEPS,
        "minLeft": sinks.MIN_LEFT,
        "low": coding.low,
        "high": coding.high,
        "isAttention": coding.apart,
        "marks": MARKS,
        "has": {name: bool(found[code]) for name, code in MARKS.items()},
        "queryTokens": query_tokens if has_labels else None,
        "keyTokens": key_tokens if has_labels else None,
    }


def words_about(made: HeadPictures, words: Mapping[str, str]) -> dict[str, str]:
    """The texts that depend on the maps."""
    assert made.last is not None  # noqa: S101 - asked by the caller
    coding = made.coding()
    (n_rows, n_columns), (n_queries, n_keys) = made.n_cells, made.shape
    filled = {"low": f"{coding.low:.2g}".replace("-", "−"), "high": f"{coding.high:.2g}"}
    filled["least"] = f"{100 * sinks.MIN_LEFT:.0f} %"
    if coding.apart:
        filled["high"] = "1"
    if made.last.quantity != "attention":
        filled["quantity"] = made.last.quantity
    if (n_rows, n_columns) != made.shape:
        filled["reduced"] = words["reducedFrom"].format(queries=n_queries, keys=n_keys)
        if made.details:
            which = "allInFull" if len(made.details) == len(made.heads) else "inFull"
            filled["reduced"] = words[which].format(
                full=len(made.details), maps=len(made.heads), rows=n_rows, columns=n_columns
            )
        filled["oneReduced"] = words["oneReduced"].format(rows=n_rows, columns=n_columns)
    filled["steps"] = words["steps"].format(
        error=f"{(coding.high - coding.low) / (2 * payload.N_STEPS):.2g}"
    )
    filled["tooLittle"] = words["tooLittle"].format(least=filled["least"])
    return filled
