"""All heads of a long text at a glance, without ever making a whole map.

The idea: a thumbnail is made of area averages, and the words for a head of sums over queries, so
both come from some queries at a time, computed from the recorded queries and keys and dropped
again. All maps of a model of 270 heads at 4,096 tokens are 18 GB; this takes some megabytes beside
the trace. For a short text `model_view(trace)` does the same from whole maps.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float

from vizcore.capture import Kind
from vizcore.tallies import Piece, RowsOf, Tally, Text
from vizcore.trace import Trace
from vizcore.views.head_facts import MAX_QUERIES, HeadFacts
from vizcore.views.head_pictures import MAX_CELLS_A_SIDE
from vizcore.views.overviews import Overview
from vizcore.views.pictures import Picture
from vizcore.views.reduce import Averaging, areas

CELLS_AT_ONCE = 200_000
"""So many weights of a head are computed at once: what stays in a processor's cache is quick."""


def head_overview(
    trace: Trace, kind: str | None = None, *, progress: Callable[[float], None] | None = None
) -> Overview:
    """Thumbnails of all heads of a text and words for what each does: what `model_view` shows.

    The thumbnails are exact area averages, the words those of `vizcore.describe`. Memory grows
    with the length of the text, not with its square; time with its square.

    Args:
        trace: what a text left.
        kind: of attention; None: the trace's main one.
        progress: called with how far it is, from 0 to 1.

    Raises:
        SelectionError: if there is no such kind.
    """
    maker = _Maker.of(trace, trace._kind(kind))
    total = len(maker.text.query_tokens)
    for queries in _pieces(total, len(maker.text.key_tokens)):
        for share in maker.count(queries):
            if progress is not None:
                progress((queries.start + share * (queries.stop - queries.start)) / total)
    return maker.overview()


@dataclass(eq=False)
class _Maker:
    trace: Trace
    kind: Kind
    text: Text
    average: Averaging
    tallies: list[Tally]
    pictures: "list[_Pictures]"
    seen: dict[object, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, trace: Trace, kind: Kind) -> "_Maker":
        text = Text(tuple(trace.query_tokens(kind)), tuple(trace.key_tokens(kind)), kind)
        shape = (len(text.query_tokens), len(text.key_tokens))
        n_rows, n_columns = (min(n_tokens, MAX_CELLS_A_SIDE) for n_tokens in shape)
        average = areas(shape, n_rows=n_rows, n_columns=n_columns)
        n_layers, n_heads = len(trace.layers(kind)), trace.n_heads(kind)
        return cls(
            trace,
            kind,
            text,
            average,
            [Tally(text, n_heads) for _ in range(n_layers)],
            [_Pictures.of(average, n_heads) for _ in range(n_layers)],
        )

    def count(self, queries: slice) -> Iterator[float]:
        """Count these queries in all layers; yields how much of that is done."""
        pieces: dict[object, Piece] = {}
        for place, (tally, pictures) in enumerate(zip(self.tallies, self.pictures, strict=True)):
            key = self._mask_of(place)
            if key not in pieces:
                pieces[key] = self._piece(place, queries)
                self._see(key, pieces[key])
            piece = pieces[key]
            for head, weights in enumerate(self._weights(place, piece)):
                finite = np.isfinite(weights.sum(axis=1))
                if not finite.all():
                    pictures.spoil(head, piece, np.isfinite(weights))
                    weights = np.where(np.isfinite(weights), weights, 0)
                pictures.add(head, piece, weights)
                tally.add(head, piece, weights, finite)
            yield (place + 1) / len(self.tallies)

    def overview(self) -> Overview:
        """What has been counted."""
        heads = []
        pictures = []
        layers = self.trace.layers(self.kind)
        every = -(-len(self.text.query_tokens) // MAX_QUERIES)
        for place, layer in enumerate(layers):
            masked = self.seen[self._mask_of(place)] == 0
            patterns = self.tallies[place].patterns(self._rows_of(layer))
            for head, pattern in enumerate(patterns):
                entropy = self.tallies[place].mean_entropy(head, every)
                heads.append(HeadFacts(layer, head, self.kind, pattern, entropy))
                pictures.append(self.pictures[place].picture(head, masked))
        return Overview(
            heads=tuple(heads),
            pictures=tuple(pictures),
            query_tokens=self.text.query_tokens,
            key_tokens=self.text.key_tokens,
        )

    def _piece(self, place: int, queries: slice) -> Piece:
        """What these queries may look at in a layer; keys that none of them may are left out."""
        layer = self.trace.layers(self.kind)[place]
        hidden = self.trace._masked_rows(layer, self.kind, queries)
        n_keys = len(self.text.key_tokens)
        if hidden is None:
            hidden = np.zeros((queries.stop - queries.start, n_keys), dtype=bool)
        keys = slice(0, n_keys)
        some = np.flatnonzero(~hidden.all(axis=0))
        if some.size and not self._heads_differ(place):
            keys = slice(int(some[0]), int(some[-1]) + 1)
        return Piece.of(self.text, queries, keys, ~hidden[:, keys])

    def _weights(self, place: int, piece: Piece) -> Iterator[Float[np.ndarray, "query key"]]:
        """Those of each head of a layer, one after the other."""
        run = self.trace.run
        differ = self._heads_differ(place)
        part = None
        if run.calls:
            part = run.calls[self.kind][place].part(piece.queries, keys=piece.keys)
        for head in range(self.trace.n_heads(self.kind)):
            with torch.no_grad():
                if part is None:
                    weights = run.maps[self.kind][place][head, piece.queries, piece.keys].float()
                else:
                    weights = part.head_weights(head).float()
            values: np.ndarray = weights.cpu().numpy()
            yield np.where(piece.visible, values, 0) if differ else values

    def _heads_differ(self, place: int) -> bool:
        """Whether the heads of a layer have masks of their own; thumbnails show the first's."""
        if not self.trace.run.calls:
            return False
        mask = self.trace.run.calls[self.kind][place].mask
        return mask is not None and mask.ndim > 2 and mask.shape[-3] > 1

    def _mask_of(self, place: int) -> object:
        """The same for layers that hide the same; they share the tensor of their mask."""
        if not self.trace.run.calls:
            return None
        call = self.trace.run.calls[self.kind][place]
        return id(call.mask), call.causal

    def _see(self, mask: object, piece: Piece) -> None:
        """Note which cells of a thumbnail have something that may be looked at."""
        rows, columns = self.average.by_row, self.average.by_column
        seen = self.seen.setdefault(mask, np.zeros((len(rows), len(columns)), np.float32))
        touched = (rows[:, piece.queries] > 0).astype(np.float32)
        seen += touched @ piece.visible @ (columns[:, piece.keys] > 0).T

    def _rows_of(self, layer: int) -> RowsOf:
        def rows_of(head: int, queries: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
            rows = self.trace.map_rows(layer, head, queries, self.kind)
            hidden = np.zeros(rows.values.shape, bool) if rows.masked is None else rows.masked
            return rows.values, ~hidden

        return rows_of


@dataclass(eq=False)
class _Pictures:
    """Thumbnails of the heads of one layer, as they grow; the first key is kept apart."""

    average: Averaging
    values: Float[np.ndarray, "head row column"]
    first: Float[np.ndarray, "head row"]
    left: Float[np.ndarray, "head row"]
    broken: Float[np.ndarray, "head row column"]

    @classmethod
    def of(cls, average: Averaging, n_heads: int) -> "_Pictures":
        n_rows, n_columns = len(average.by_row), len(average.by_column)
        cells = np.zeros((2, n_heads, n_rows, n_columns), np.float32)
        rows = np.zeros((2, n_heads, n_rows), np.float32)
        return cls(average, cells[0], rows[0], rows[1], cells[1])

    def add(self, head: int, piece: Piece, weights: Float[np.ndarray, "query key"]) -> None:
        shares = self.average.by_row[:, piece.queries]
        rows = np.flatnonzero(shares.any(axis=1))
        covered = slice(rows[0], rows[-1] + 1)
        means = shares[covered] @ weights
        if piece.keys.start == 0:
            self.first[head, covered] += means[:, 0]
            means[:, 0] = 0
        self.left[head, covered] += means.sum(axis=1)
        self.values[head, covered] += means @ self.average.by_column[:, piece.keys].T

    def spoil(self, head: int, piece: Piece, finite: Bool[np.ndarray, "query key"]) -> None:
        """Cells that touch a number which is not finite are none."""
        broken = (self.average.by_row[:, piece.queries] > 0).astype(np.float32) @ ~finite
        if piece.keys.start == 0:
            self.first[head, broken[:, 0] > 0] = np.nan
            broken[:, 0] = 0
        self.broken[head] += broken @ (self.average.by_column[:, piece.keys] > 0).T

    def picture(self, head: int, masked: Bool[np.ndarray, "row column"]) -> Picture:
        values = np.where(self.broken[head] > 0, np.float32(np.nan), self.values[head])
        return Picture(values, masked, self.first[head], self.left[head])


def _pieces(n_queries: int, n_keys: int) -> Iterator[slice]:
    step = max(1, CELLS_AT_ONCE // n_keys)
    for start in range(0, n_queries, step):
        yield slice(start, min(start + step, n_queries))
