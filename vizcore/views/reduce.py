"""Makes a map smaller, for pictures with fewer cells than there are tokens.

The idea: area averaging, exact also where a cell covers parts of tokens, so that nothing is
skipped and the mean stays the mean. Where rows are attention (they sum to 1), a cell that covers
k keys cannot be above 1/k, which is why a reduced picture has a scale of its own. Not for numbers
to go on with: take the map.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True, eq=False)
class Reduced:
    """A smaller map.

    Args:
        values: float32 (row, column), the mean over the cell's area; masked cells count as 0. A
            cell that touches an infinite number is infinite, one that touches something which is
            not a number, or infinities of both signs, is not a number.
        masked: bool (row, column), True where all of the cell's area is masked.
    """

    values: Float[np.ndarray, "row column"]
    masked: Bool[np.ndarray, "row column"]


@dataclass(eq=False)
class Averaging:
    """A way to divide maps of one shape into cells, made once and used for all of them.

    Args:
        by_row: (row, query), how much each query has in each row's mean; rows sum to 1.
        by_column: (column, key), the same for keys.
    """

    by_row: Float[np.ndarray, "row query"]
    by_column: Float[np.ndarray, "column key"]
    _mask: Bool[np.ndarray, "query key"] | None = field(default=None, repr=False)
    _mask_reduced: Bool[np.ndarray, "row column"] | None = field(default=None, repr=False)

    def __call__(
        self,
        values: Float[np.ndarray, "query key"],
        masked: Bool[np.ndarray, "query key"] | None = None,
    ) -> Reduced:
        """The map with each cell its mean."""
        if masked is not None:
            values = np.where(masked, np.float32(0), values)
        finite = np.isfinite(values)
        whole = bool(finite.all())
        means = self.by_row @ (values if whole else np.where(finite, values, 0)) @ self.by_column.T
        if not whole:
            above, below = self._touch(values == np.inf), self._touch(values == -np.inf)
            means[above], means[below] = np.inf, -np.inf
            means[self._touch(np.isnan(values)) | (above & below)] = np.nan
        return Reduced(means.astype(np.float32), self._reduced_mask(masked, means.shape))

    def _touch(self, cells: Bool[np.ndarray, "query key"]) -> Bool[np.ndarray, "row column"]:
        touched: np.ndarray = (self.by_row > 0) @ cells @ (self.by_column > 0).T
        return touched

    def _reduced_mask(
        self, masked: Bool[np.ndarray, "query key"] | None, shape: tuple[int, ...]
    ) -> Bool[np.ndarray, "row column"]:
        """Heads share their mask, so the last one is remembered."""
        if masked is None:
            return np.zeros(shape, dtype=bool)
        if self._mask is not masked or self._mask_reduced is None:
            seen = (self.by_row > 0).astype(np.float32) @ (~masked).astype(np.float32)
            self._mask_reduced = seen @ (self.by_column > 0).T == 0
            self._mask = masked
        return self._mask_reduced


def areas(shape: tuple[int, int], *, n_rows: int, n_columns: int) -> Averaging:
    """Maps of this shape divided into n_rows × n_columns cells of equal area.

    A cell of an n × m map covers n / n_rows × m / n_columns tokens, at its edges parts of them.
    """
    n_queries, n_keys = shape
    return Averaging(_shares(n_queries, n_rows), _shares(n_keys, n_columns))


def blocks(shape: tuple[int, int], *, rows: int, columns: int) -> Averaging:
    """Maps of this shape cut into blocks of rows × columns whole tokens.

    The last blocks may be smaller; theirs is the mean of what they hold.
    """
    n_queries, n_keys = shape
    return Averaging(_blocks(n_queries, rows), _blocks(n_keys, columns))


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
