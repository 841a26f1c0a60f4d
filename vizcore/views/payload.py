"""Packs numbers for a browser view: small, and with an error that is stated.

The idea: 8 bits a cell, evenly spaced, so that the many weights that are next to nothing become
the same code; deflated where that pays, as base64 in JSON. The browser unpacks it with its own
DecompressionStream. Not for exact values: a view that shows few numbers gets them as float32.
"""

import base64
import zlib
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, UInt8

N_STEPS = 250
"""Codes 0 to 250 are values, evenly spaced over the scale: an error of at most 1/500 of it."""

BELOW = 251
"""The code of a cell whose value is below the scale."""

ABOVE = 252
"""The code of a cell whose value is above the scale."""

INFINITE = 253
"""The code of a cell that is infinite."""

UNDEFINED = 254
"""The code of a cell that is not a number."""

MASKED = 255
"""The code of a cell that the query was not allowed to look at."""

DEFLATE_PAYS_BELOW = 0.9
"""Unpacking costs the browser time, so deflate only what gets smaller than this share."""


def quantise(
    values: Float[np.ndarray, "..."], *, low: float, high: float
) -> UInt8[np.ndarray, "..."]:
    """Codes for values on the scale from low to high.

    A code c up to `N_STEPS` stands for low + c / N_STEPS · (high − low); for values on the scale
    that is within (high − low) / (2 · N_STEPS). Values further outside than that become `BELOW`
    or `ABOVE`, infinite ones `INFINITE`, and what is not a number `UNDEFINED`.
    """
    finite = np.isfinite(values)
    place = (np.where(finite, values, low) - low) * (N_STEPS / (high - low))
    codes = np.clip(np.rint(place), 0, N_STEPS).astype(np.uint8)
    codes[place < -0.5] = BELOW
    codes[place > N_STEPS + 0.5] = ABOVE
    codes[np.isinf(values)] = INFINITE
    codes[np.isnan(values)] = UNDEFINED
    return codes


def pack_exactly(array: Float[np.ndarray, "..."]) -> dict[str, object]:
    """Few numbers in full, as JSON-able data: the base64 of float32, with their shape."""
    raw = np.ascontiguousarray(array, dtype="<f4").tobytes()
    return {"shape": list(array.shape), "base64": base64.b64encode(raw).decode("ascii")}


def pack(array: np.ndarray) -> dict[str, object]:
    """An array as JSON-able data: dtype, shape, encoding ("deflate-raw" or "none"), base64."""
    raw = np.ascontiguousarray(array).tobytes()
    # Runs of equal codes are what repeats in a map. Looking for nothing else makes it a hundred
    # times faster than level 9, and no larger than level 6.
    compressor = zlib.compressobj(level=9, wbits=-15, memLevel=9, strategy=zlib.Z_RLE)
    deflated = compressor.compress(raw) + compressor.flush()
    pays = len(deflated) < DEFLATE_PAYS_BELOW * len(raw)
    return {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "encoding": "deflate-raw" if pays else "none",
        "base64": base64.b64encode(deflated if pays else raw).decode("ascii"),
    }


def shortened(tokens: Iterable[str], most: int) -> list[str]:
    """Labels of at most so many characters: of longer tokens the beginning, and an ellipsis."""
    return [token if len(token) <= most else token[: most - 1] + "…" for token in tokens]
