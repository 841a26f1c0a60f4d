"""Reads what a view of all heads was given, by code of the tests' own."""

import base64
import json
import zlib
from typing import Any

import numpy as np

from vizcore.views.page import View


def unpacked(packed: Any) -> np.ndarray:
    """The array that was packed."""
    text = json.loads(json.dumps(packed))
    raw = base64.b64decode(text["base64"])
    if text["encoding"] == "deflate-raw":
        raw = zlib.decompress(raw, wbits=-15)
    return np.frombuffer(raw, dtype=text["dtype"]).reshape(text["shape"])


def codes_of(view: View) -> np.ndarray:
    """(map, row, column): the codes of the cells."""
    return unpacked(view.data["codes"])[:, 2:].transpose(0, 2, 1)


def values_of(view: View) -> np.ndarray:
    """(map, row, column): what the codes stand for; NaN where they stand for no value."""
    data: Any = view.data
    lines = unpacked(data["codes"])
    n_keys = data["shape"][1]
    return np.stack(
        [values(one, data["low"], data["high"], data["isAttention"], n_keys) for one in lines]
    )


def values(lines: np.ndarray, low: float, high: float, apart: bool, n_keys: int) -> np.ndarray:
    """(row, column) of one map; lines are what is left, the first key, and the other keys."""
    codes = lines[2:].T.astype(float)
    read = low + codes / 250 * (high - low)
    if apart:
        read /= 2.0 ** np.minimum(lines[0].astype(int) // 16, 7)[:, None]
        read[:, 0] += lines[1] / 250 * (codes.shape[1] / n_keys)
        codes[:, 0] = np.maximum(codes[:, 0], lines[1])
    read[codes > 250] = np.nan
    return read


def left_of(lines: np.ndarray) -> np.ndarray:
    """What each row has beside the first key."""
    left = 2.0 ** (-(lines[0].astype(float) + 0.5) / 16)
    return np.where(lines[0] == 255, 0, left)
