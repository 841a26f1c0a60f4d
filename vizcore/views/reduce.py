"""Makes a map smaller, for pictures with fewer cells than there are tokens.

The idea: area averaging, exact also where a cell covers parts of tokens, so that nothing is
skipped and the mean stays the mean. Where rows are attention (they sum to 1), a cell that covers
k keys cannot be above 1/k, which is why a reduced picture has a scale of its own. Not for numbers
to go on with: take the map.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True, eq=False)
class Reduced:
    """A smaller map.

    Args:
        values: float32 (row, column), the mean over the cell's area; masked cells count as 0, and
            a cell that touches a number which is not finite is not a number.
        masked: bool (row, column), True where all of the cell's area is masked.
    """

    values: Float[np.ndarray, "row column"]
    masked: Bool[np.ndarray, "row column"]


def area_average(
    values: Float[np.ndarray, "query key"],
    *,
    n_rows: int,
    n_columns: int,
    masked: Bool[np.ndarray, "query key"] | None = None,
) -> Reduced:
    """The map divided into n_rows × n_columns cells of equal area, each its mean.

    A cell of an n × m map covers n / n_rows × m / n_columns tokens, at its edges parts of them.
    """
    n_queries, n_keys = values.shape
    return _average(values, masked, _shares(n_queries, n_rows), _shares(n_keys, n_columns))


def block_average(
    values: Float[np.ndarray, "query key"],
    *,
    rows: int,
    columns: int,
    masked: Bool[np.ndarray, "query key"] | None = None,
) -> Reduced:
    """The map cut into blocks of rows × columns whole tokens, each its mean.

    The last blocks may be smaller; theirs is the mean of what they hold.
    """
    n_queries, n_keys = values.shape
    return _average(values, masked, _blocks(n_queries, rows), _blocks(n_keys, columns))


def _average(
    values: Float[np.ndarray, "query key"],
    masked: Bool[np.ndarray, "query key"] | None,
    by_row: Float[np.ndarray, "row query"],
    by_column: Float[np.ndarray, "column key"],
) -> Reduced:
    if masked is not None:
        values = np.where(masked, np.float32(0), values)
    finite = np.isfinite(values)
    whole = bool(finite.all())
    means = by_row @ (values if whole else np.where(finite, values, 0)) @ by_column.T
    if not whole:
        touched = (by_row > 0) @ ~finite @ (by_column > 0).T
        means[touched] = np.nan
    shape = means.shape
    if masked is None:
        return Reduced(means.astype(np.float32), np.zeros(shape, dtype=bool))
    seen = (by_row > 0).astype(np.float32) @ (~masked).astype(np.float32) @ (by_column > 0).T
    return Reduced(means.astype(np.float32), seen == 0)


def _shares(n_tokens: int, n_cells: int) -> Float[np.ndarray, "cell token"]:
    """How much each token has in each cell's mean; every row sums to 1."""
    edges = np.arange(n_cells + 1) * (n_tokens / n_cells)
    token = np.arange(n_tokens)
    overlap = np.minimum(edges[1:, None], token + 1) - np.maximum(edges[:-1, None], token)
    # Rounding leaves slivers of 1e-14 where an edge is a whole number; they would mark a
    # neighbour's NaN or mask as this cell's own.
    overlap = np.where(overlap > 1e-9 * n_tokens, overlap, 0)
    shares: Float[np.ndarray, "cell token"] = overlap / overlap.sum(axis=1, keepdims=True)
    return shares.astype(np.float32)


def _blocks(n_tokens: int, size: int) -> Float[np.ndarray, "cell token"]:
    cell = np.arange(-(-n_tokens // size))[:, None]
    inside = np.arange(n_tokens) // size == cell
    shares: Float[np.ndarray, "cell token"] = inside / inside.sum(axis=1, keepdims=True)
    return shares.astype(np.float32)
