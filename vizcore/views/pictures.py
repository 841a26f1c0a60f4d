"""Maps of all heads as bytes to draw them from: reduced or in full, and without the first token.

The idea: keys go down and queries across, so that what a head does, which is mostly a column,
is a run of equal bytes and deflates well. The weight on the first key is kept apart, and what a
query leaves beside it is coded the finer the less it is: so the page itself can grey that key out
or renormalise it away, and the rest is not noise. Not for exact values: take the map.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from vizcore.maps import AttentionMap
from vizcore.views.payload import MASKED, quantise
from vizcore.views.reduce import Averaging
from vizcore.views.sinks import take_first

N_EXTRA = 2
"""Lines of a picture before those of the keys: how much each query leaves, and the first key."""

LEFT_STEPS = 16
"""How much is left is coded in steps of a sixteenth of a halving: b stands for 2^−(b + ½)/16."""

NOTHING_LEFT = 255

MAX_HALVINGS = 7
"""What a query leaves is coded on a scale up to so many times halved, 1/128 of the whole."""


@dataclass(frozen=True)
class Coding:
    """What a code stands for.

    Args:
        low: the value of code 0.
        high: the value of code `N_STEPS`.
        apart: whether the first key is coded apart; the rows are weights then, and low is 0.
    """

    low: float
    high: float
    apart: bool

    def in_cells_of(self, n_keys: float) -> "Coding":
        """The same for means over so many keys: weights of a row sum to 1, so at most 1/keys."""
        return Coding(self.low, self.high / n_keys, self.apart) if self.apart else self


@dataclass(frozen=True, eq=False)
class Picture:
    """One map, reduced or not, that can still be coded on any scale.

    Args:
        values: (row, column); without the first key, if that is apart.
        masked: (row, column).
        first: (row,), the weight on the first key; zeros, if it is not apart.
        left: (row,), the weight on all others; ones, if it is not apart.
    """

    values: Float[np.ndarray, "row column"]
    masked: Bool[np.ndarray, "row column"] | None
    first: Float[np.ndarray, " row"]
    left: Float[np.ndarray, " row"]

    def coded(self, coding: Coding) -> UInt8[np.ndarray, "line row"]:
        """`N_EXTRA` lines and one line a column: what is left, the first key, the other keys.

        Of a map whose first key is apart, a row whose queries leave 2^−b/16 is multiplied by
        2^⌊b/16⌋ (at most 2^`MAX_HALVINGS`) before it is quantised.
        """
        n_rows, n_columns = self.values.shape
        lines = np.zeros((N_EXTRA + n_columns, n_rows), np.uint8)
        values = self.values
        if coding.apart:
            with np.errstate(divide="ignore"):
                halvings = -np.log2(np.clip(self.left, 0, 1))
            finite = np.minimum(halvings * LEFT_STEPS, NOTHING_LEFT)
            lines[0] = np.where(np.isfinite(halvings), np.floor(finite), NOTHING_LEFT)
            finer = np.minimum(lines[0] // LEFT_STEPS, MAX_HALVINGS)
            values = values * (2.0**finer)[:, None].astype(np.float32)
            lines[1] = quantise(self.first, low=0.0, high=1.0)
        lines[N_EXTRA:] = quantise(values, low=coding.low, high=coding.high).T
        if self.masked is not None:
            lines[N_EXTRA:][self.masked.T] = MASKED
        return lines


def picture(map: AttentionMap, average: Averaging | None, *, apart: bool) -> Picture:
    """The picture of a map, reduced by `average` (None: not at all)."""
    values, masked = map.values, map.masked
    n_queries = len(values)
    first = np.zeros(n_queries, np.float32)
    left = np.ones(n_queries, np.float32)
    if masked is not None:
        values = np.where(masked, np.float32(0), values)
    if apart:
        first = values[:, 0]
        taken = take_first(values, renormalise=False)
        values, left = taken.values, taken.left
    if average is None:
        return Picture(values, masked, first, left)
    return shrunk(Picture(values, masked, first, left), average)


def shrunk(picture: Picture, average: Averaging) -> Picture:
    """A smaller picture: each row's numbers are the means over the queries that it covers."""
    reduced = average(picture.values, picture.masked)
    finite = np.isfinite(picture.first)
    first = average.by_row @ np.where(finite, picture.first, 0)
    first[(average.by_row > 0) @ ~finite] = np.nan
    left = average.by_row @ picture.left
    return Picture(
        reduced.values, reduced.masked, first.astype(np.float32), left.astype(np.float32)
    )


def together(picture: Picture, first_share: float) -> Picture:
    """The picture with its first key among the others again.

    Args:
        picture: a picture.
        first_share: how much of the first column the first key is.
    """
    values = picture.values.copy()
    values[:, 0] += picture.first * np.float32(first_share)
    nothing = np.zeros_like(picture.first)
    return Picture(values, picture.masked, nothing, nothing + 1)
