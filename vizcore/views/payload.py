"""Packs numbers for a browser view: small, and with an error that is stated.

The idea: one array for all heads, 8 bits a cell, deflated where that pays, as base64 in JSON. The
browser unpacks it with its own DecompressionStream. Not for exact values: a view that shows one
map in full gets float32.
"""

import base64
import zlib

import numpy as np
from jaxtyping import Float, UInt8

N_STEPS = 250
"""Codes 0 to 250 are values, evenly spaced over the scale: an error of at most 1/500 of it."""

UNDEFINED = 254
"""The code of a cell that is not a number, or infinite."""

MASKED = 255
"""The code of a cell that the query was not allowed to look at."""

DEFLATE_PAYS_BELOW = 0.9
"""Unpacking costs the browser time, so deflate only what gets smaller than this share."""


def quantise(
    values: Float[np.ndarray, "..."], *, low: float, high: float
) -> UInt8[np.ndarray, "..."]:
    """Codes for values on the scale from low to high.

    A code c up to `N_STEPS` stands for low + c / N_STEPS · (high − low); for values on the scale
    that is within (high − low) / (2 · N_STEPS). Values outside take the nearest end; what is not
    finite becomes `UNDEFINED`.
    """
    finite = np.isfinite(values)
    place = (np.where(finite, values, low) - low) * (N_STEPS / (high - low))
    codes = np.clip(np.rint(place), 0, N_STEPS).astype(np.uint8)
    codes[~finite] = UNDEFINED
    return codes


def pack_exactly(array: Float[np.ndarray, "..."]) -> dict[str, object]:
    """Few numbers in full, as JSON-able data: the base64 of float32, with their shape."""
    raw = np.ascontiguousarray(array, dtype="<f4").tobytes()
    return {"shape": list(array.shape), "base64": base64.b64encode(raw).decode("ascii")}


def pack(array: np.ndarray) -> dict[str, object]:
    """An array as JSON-able data: dtype, shape, encoding ("deflate-raw" or "none"), base64."""
    raw = np.ascontiguousarray(array).tobytes()
    compressor = zlib.compressobj(level=6, wbits=-15)
    deflated = compressor.compress(raw) + compressor.flush()
    pays = len(deflated) < DEFLATE_PAYS_BELOW * len(raw)
    return {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "encoding": "deflate-raw" if pays else "none",
        "base64": base64.b64encode(deflated if pays else raw).decode("ascii"),
    }
