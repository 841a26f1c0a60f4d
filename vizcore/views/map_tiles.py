"""Parts of one long map as grids of few numbers: the whole of it coarsely, a region of it finely.

The idea: a screen shows a thousand cells a side, however long the text. So a map is read some rows
at a time, and blocks of block × block tokens become one number: of attention the weight that their
queries give to their keys, so that a line is as strong from afar as it is close up. With blocks of
one token the numbers are the map's own.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from vizcore.errors import SelectionError
from vizcore.maps import AttentionMap
from vizcore.views.sinks import are_weights, take_first

ROWS_CELLS = 500_000
"""So many cells of a map are read at once."""

MASKED = np.float32(-np.inf)
"""Stands for a cell of which nothing could be looked at."""

TOO_LITTLE = np.float32(np.inf)
"""Stands for a cell whose queries leave too little beside the first token to be scaled up."""


@runtime_checkable
class HasRows(Protocol):
    """Something that has rows of the map of every head, such as a trace."""

    def query_tokens(self, kind: str | None = None) -> list[str]:
        """The tokens that look."""
        ...

    def key_tokens(self, kind: str | None = None) -> list[str]:
        """The tokens that are looked at."""
        ...

    def map_rows(
        self, layer: int, head: int, queries: slice, kind: str | None = None
    ) -> AttentionMap:
        """Some rows of one head's map."""
        ...


@dataclass(frozen=True)
class MapRegion:
    """A part of a map, in tokens.

    Args:
        query: the first query.
        key: the first key.
        n_queries: how many queries.
        n_keys: how many keys.
    """

    query: int
    key: int
    n_queries: int
    n_keys: int

    def within(self, shape: tuple[int, int]) -> "MapRegion":
        """The part of it that a map of this shape has; at least one token each way."""
        query = min(max(0, self.query), shape[0] - 1)
        key = min(max(0, self.key), shape[1] - 1)
        return MapRegion(
            query,
            key,
            min(max(1, self.query + self.n_queries - query), shape[0] - query),
            min(max(1, self.key + self.n_keys - key), shape[1] - key),
        )


@dataclass(frozen=True, eq=False)
class Tile:
    """A region as a grid.

    Args:
        region: which.
        block: so many queries and keys are one number; the last may be of fewer.
        values: (row, column). Not a number where a cell touches something that is none or is
            infinite; `MASKED` and `TOO_LITTLE` are what they say.
    """

    region: MapRegion
    block: int
    values: Float[np.ndarray, "row column"]


@dataclass(frozen=True, eq=False)
class LongMap:
    """One map that is read by rows.

    Args:
        rows: gives the map of some queries and all keys.
        query_tokens, key_tokens: the labels of the whole map.
        name: which map it is, in words.
        quantity: what the numbers are, in words.
        limits: the least and the most that a number can be.
        is_attention: whether rows are weights.
    """

    rows: Callable[[slice], AttentionMap]
    query_tokens: Sequence[str]
    key_tokens: Sequence[str]
    name: str
    quantity: str
    limits: tuple[float, float]
    is_attention: bool

    @property
    def shape(self) -> tuple[int, int]:
        """(queries, keys)."""
        return len(self.query_tokens), len(self.key_tokens)

    @classmethod
    def of(
        cls, source: AttentionMap | HasRows, layer: int | None, head: int | None, kind: str | None
    ) -> "LongMap":
        """A map, or one head of a trace.

        Raises:
            SelectionError: if the head is missing, or there is nothing to see.
        """
        if isinstance(source, AttentionMap):
            return _of_map(source)
        if layer is None or head is None:
            raise SelectionError(
                "A trace has many maps: say which one, as in tile_view(trace, layer=3, head=2)."
            )
        first = source.map_rows(layer, head, slice(0, 1), kind)
        return cls(
            rows=lambda queries: source.map_rows(layer, head, queries, kind),
            query_tokens=source.query_tokens(kind),
            key_tokens=source.key_tokens(kind),
            name=first.name,
            quantity=first.quantity,
            limits=(0.0, 1.0),
            is_attention=True,
        )


def cut(
    map: LongMap, wanted: Sequence[tuple[MapRegion, int]], *, without_first: bool = False
) -> list[Tile]:
    """Tiles of a map, all from reading its rows once.

    Args:
        map: of which map.
        wanted: regions inside the map, and the size of the blocks.
        without_first: whether the first key is taken out and the rest of each row divided by what
            is left (`vizcore.views.sinks`).
    """
    grids = [_Grid(region, block, map) for region, block in wanted]
    for queries in _steps(map, [region for region, _ in wanted]):
        rows = map.rows(queries)
        values, usable = rows.values, np.ones(len(rows.values), np.float32)
        if rows.masked is not None:
            values = np.where(rows.masked, np.float32(0), values)
        if without_first:
            taken = take_first(values, renormalise=True)
            values, usable = taken.values, (~taken.too_little).astype(np.float32)
            values = values * usable[:, None]
        for grid in grids:
            grid.add(queries, values, rows.masked, usable)
    return [grid.tile() for grid in grids]


class _Grid:
    """The sums of the blocks of one region."""

    def __init__(self, region: MapRegion, block: int, map: LongMap) -> None:
        self.region, self.block, self.map = region, block, map
        self.columns = np.arange(0, region.n_keys, block)
        shape = (-(-region.n_queries // block), len(self.columns))
        self.sums = np.zeros(shape, np.float32)
        self.seen = np.zeros(shape, np.float32)
        self.queries = np.zeros((shape[0], 1), np.float32)

    def add(
        self,
        queries: slice,
        values: Float[np.ndarray, "query key"],
        masked: np.ndarray | None,
        usable: Float[np.ndarray, " query"],
    ) -> None:
        first = max(queries.start, self.region.query)
        end = min(queries.stop, self.region.query + self.region.n_queries)
        if first >= end:
            return
        rows = slice(first - queries.start, end - queries.start)
        keys = slice(self.region.key, self.region.key + self.region.n_keys)
        visible = np.ones((1, self.region.n_keys), bool) if masked is None else ~masked[rows, keys]
        values, usable = values[rows, keys], usable[rows]
        if self.block > 1:
            with np.errstate(invalid="ignore"):
                values = np.add.reduceat(values, self.columns, axis=1)
            visible = np.add.reduceat(visible, self.columns, axis=1, dtype=np.float32)
        visible = np.broadcast_to(visible, values.shape)
        place = np.arange(first - self.region.query, end - self.region.query) // self.block
        starts = np.flatnonzero(np.diff(place, prepend=-1))
        into = slice(place[0], place[-1] + 1)
        with np.errstate(invalid="ignore"):
            self.sums[into] += np.add.reduceat(values, starts, axis=0)
        self.seen[into] += np.add.reduceat(visible, starts, axis=0, dtype=np.float32)
        self.queries[into, 0] += np.add.reduceat(usable, starts)

    def tile(self) -> Tile:
        parts = np.maximum(self.queries if self.map.is_attention else self.seen, 1)
        values = self.sums / parts
        values[~np.isfinite(values)] = np.nan
        if self.map.is_attention:
            values[np.broadcast_to(self.queries == 0, values.shape)] = TOO_LITTLE
        values[self.seen == 0] = MASKED
        return Tile(self.region, self.block, values)


def _of_map(map: AttentionMap) -> LongMap:
    if not map.values.size:
        raise SelectionError("This map has no cells, so there is nothing to show.")

    def rows(queries: slice) -> AttentionMap:
        masked = None if map.masked is None else map.masked[queries]
        return AttentionMap(
            map.values[queries], map.query_tokens[queries], map.key_tokens, masked=masked
        )

    is_attention = are_weights(map.values)
    finite = map.values[np.isfinite(map.values)]
    largest = float(np.abs(finite).max(initial=0)) or 1.0
    low = -largest if finite.min(initial=0) < 0 else 0.0
    return LongMap(
        rows=rows,
        query_tokens=map.query_tokens,
        key_tokens=map.key_tokens,
        name=map.name,
        quantity=map.quantity,
        limits=(0.0, 1.0) if is_attention else (low, largest),
        is_attention=is_attention,
    )


def _steps(map: LongMap, regions: Sequence[MapRegion]) -> Iterator[slice]:
    """Rows that some region needs, so many at once."""
    needed = np.zeros(map.shape[0], bool)
    for region in regions:
        needed[region.query : region.query + region.n_queries] = True
    step = max(1, ROWS_CELLS // map.shape[1])
    edges = np.flatnonzero(np.diff(needed, prepend=False, append=False))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        for at in range(int(start), int(stop), step):
            yield slice(at, min(at + step, int(stop)))
