"""Pictures of all heads within budgets: small ones of every head, some or all of them in full.

The idea: maps stream by once. As long as all of them together are small they are kept, and the
page gets them in full and makes its small pictures itself; once they are too many, each is reduced
to a thumbnail by area averaging, and those worth a closer look are kept in full, packed, until
their budget is spent.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from vizcore.errors import ShapeError
from vizcore.maps import AttentionMap
from vizcore.views.head_facts import WITHOUT_SHARE, HeadFacts, facts
from vizcore.views.overviews import Overview
from vizcore.views.payload import pack
from vizcore.views.pictures import Coding, Picture, picture, shrunk, together
from vizcore.views.reduce import Averaging, areas
from vizcore.views.sinks import are_weights

MAX_CELLS_A_SIDE = 64
"""A thumbnail has at most so many cells down and across."""

MAX_BYTES = 2_000_000
"""All thumbnails together, before they are deflated. More heads get smaller thumbnails."""

MAX_FULL_CELLS = 6_000_000
"""Up to so many cells all heads are sent in full: 6 × 12 heads of 256 tokens are 4.7 million."""

MAX_DETAIL_BYTES = 6_000_000
"""Of heads in full beside the thumbnails, as base64."""

MAX_DETAIL_CELLS = 1_100_000
"""A map of more cells than this (1,024 × 1,024 has fewer) is not sent in full."""

BATCH_CELLS = 4_000_000
"""Maps are described in batches of so many numbers: fast for short texts, frugal for long."""

NamedHead = tuple[int | None, int | None]


@dataclass(frozen=True)
class Wish:
    """Which heads somebody wants in full.

    Args:
        heads: by (layer, head), the most important first.
        others: whether others may follow them, as far as the budgets go.
    """

    heads: Sequence[NamedHead]
    others: bool


@dataclass(frozen=True, eq=False)
class Detail:
    """One head in full: its index, what its codes stand for, and the packed codes."""

    index: int
    coding: Coding
    packed: dict[str, object]


@dataclass(eq=False)
class HeadPictures:
    """What is kept of the maps once they have been looked at.

    Args:
        wish: which heads to keep in full.
        limits: the ends of the scale, if they are given.
        heads: what is said about each.
        pictures: of each, in the end all of one size.
        details: heads in full beside their small pictures.
        weights: whether all rows are weights, which sum to 1; their first keys are apart then.
        last: one of the maps, or the overview, for its labels.
    """

    wish: Wish
    limits: tuple[float, float] | None
    heads: list[HeadFacts] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    details: list[Detail] = field(default_factory=list)
    weights: bool = True
    last: AttentionMap | Overview | None = None
    _waiting: list[AttentionMap] | None = field(default_factory=list)
    _average: Averaging | None = None

    @classmethod
    def of(
        cls, maps: Iterable[AttentionMap], *, wish: Wish, limits: tuple[float, float] | None
    ) -> "HeadPictures":
        """Looks at every map once.

        Raises:
            ShapeError: if the maps differ in shape.
        """
        made = cls(wish, limits, weights=limits is None)
        for batch in _batches(maps):
            for map, found in zip(batch, facts(batch), strict=True):
                made._add(map, found)
        made._finish()
        return made

    @classmethod
    def of_overview(
        cls, overview: Overview, *, wish: Wish, limits: tuple[float, float] | None
    ) -> "HeadPictures":
        """Takes what has been reduced already; no head is in full then."""
        made = cls(wish, limits, weights=limits is None, last=overview)
        made.heads, made.pictures = list(overview.heads), list(overview.pictures)
        made._waiting = None
        made._finish()
        return made

    @property
    def shape(self) -> tuple[int, int]:
        """(queries, keys) of every map."""
        if self.last is None:
            return 0, 0
        return len(self.last.query_tokens), len(self.last.key_tokens)

    @property
    def n_cells(self) -> tuple[int, int]:
        """(rows, columns) of every picture."""
        n_rows, n_columns = self.pictures[0].values.shape
        return n_rows, n_columns

    @property
    def first_share(self) -> float:
        """How much of a picture's first column the first key is."""
        return self.n_cells[1] / self.shape[1]

    def coding(self) -> Coding:
        """What the codes of the pictures stand for."""
        if self.limits is not None:
            return Coding(*self.limits, apart=False)
        if self.weights:
            return Coding(0.0, self.n_cells[1] / self.shape[1], apart=True)
        return _range([one.values for one in self.pictures])

    def _add(self, map: AttentionMap, found: HeadFacts) -> None:
        self.heads.append(found)
        self.last = map
        if self._waiting is None:
            self._reduce(len(self.heads) - 1, map)
            return
        self._waiting.append(map)
        if not self.wish.others or len(self._waiting) * map.values.size > MAX_FULL_CELLS:
            waiting, self._waiting = self._waiting, None
            for index, one in enumerate(waiting):
                self._reduce(index, one)

    def _reduce(self, index: int, map: AttentionMap) -> None:
        shape = map.values.shape
        average = self._average = self._average or _thumbnails_of(shape, MAX_CELLS_A_SIDE)
        apart = self._apart(map)
        self.pictures.append(picture(map, average, apart=apart))
        place = (map.layer, map.head)
        wanted = self.wish.others or place in self.wish.heads
        if wanted and max(shape) > MAX_CELLS_A_SIDE and map.values.size <= MAX_DETAIL_CELLS:
            coding = Coding(*self.limits, apart=False) if self.limits else _range([map.values])
            coding = Coding(0.0, 1.0, apart=True) if apart else coding
            packed = pack(picture(map, None, apart=apart).coded(coding))
            self.details.append(Detail(index, coding, packed))

    def _apart(self, map: AttentionMap) -> bool:
        apart = self.limits is None and are_weights(map.values)
        self.weights &= apart
        return apart

    def _finish(self) -> None:
        if self._waiting is not None:
            self.pictures = [picture(map, None, apart=self._apart(map)) for map in self._waiting]
            self._waiting = None
        if not self.pictures:
            return
        side = int(np.sqrt(MAX_BYTES / len(self.pictures)))
        is_reduced = self._average is not None or isinstance(self.last, Overview)
        if is_reduced and max(self.n_cells) > side:
            smaller = _thumbnails_of(self.n_cells, side)
            self.pictures = [shrunk(one, smaller) for one in self.pictures]
        if not self.weights:
            self.pictures = [together(one, self.first_share) for one in self.pictures]
        self.details = self._chosen()

    def _chosen(self) -> list[Detail]:
        """Those heads in full that the budget allows: first what was asked for, then of each
        pattern the clearest, then of each the second, and so on."""
        by_clearness = sorted(self.details, key=lambda one: -self._clearness(one.index))
        seen: Counter[str] = Counter()
        rank = {}
        for one in by_clearness:
            name = self.heads[one.index].pattern.name
            rank[one.index] = seen[name]
            seen[name] += 1
        asked = {place: at for at, place in enumerate(self.wish.heads)}
        by_clearness.sort(
            key=lambda one: (
                asked.get((self.heads[one.index].layer, self.heads[one.index].head), len(asked)),
                rank[one.index],
            )
        )
        chosen = []
        room = MAX_DETAIL_BYTES
        for one in by_clearness:
            room -= len(str(one.packed["base64"]))
            if room < 0:
                break
            chosen.append(one)
        return chosen

    def _clearness(self, index: int) -> float:
        pattern = self.heads[index].pattern
        return 0.0 if pattern.name in WITHOUT_SHARE else pattern.score


def _range(arrays: Iterable[np.ndarray]) -> Coding:
    """From zero, or as far below it as above, to the largest value."""
    least = most = 0.0
    for values in arrays:
        finite = values[np.isfinite(values)]
        least = min(least, float(finite.min(initial=0)))
        most = max(most, float(finite.max(initial=0)))
    size = max(-least, most) or 1.0
    return Coding(-size if least < 0 else 0.0, size, apart=False)


def _thumbnails_of(shape: tuple[int, ...], side: int) -> Averaging:
    n_queries, n_keys = shape
    return areas((n_queries, n_keys), n_rows=min(n_queries, side), n_columns=min(n_keys, side))


def _batches(maps: Iterable[AttentionMap]) -> Iterator[list[AttentionMap]]:
    """Maps of one shape, a few at a time, so that a long text is never all in memory."""
    batch: list[AttentionMap] = []
    shape = None
    for index, map in enumerate(maps):
        shape = shape or map.values.shape
        if map.values.shape != shape:
            raise ShapeError(
                f"Map {index} ({map.name}) has shape {map.values.shape}, those before it {shape}: "
                "all maps of a model view must be of the same tokens. Show them in separate views."
            )
        batch.append(map)
        if len(batch) * map.values.size >= BATCH_CELLS:
            yield batch
            batch = []
    if batch:
        yield batch
