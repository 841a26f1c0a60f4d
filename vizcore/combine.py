"""Maps made of maps: the mean or maximum of several, the difference of two, one without a key.

The idea: what comes out is an `AttentionMap` again, so it can be shown, aggregated and compared
like one that a head gave. Maps are put together cell by cell, so what a cell stands for must be
the same in all of them: every function here says what it takes for the same, and refuses the rest.
Not for statistics over many texts of different lengths: those are scores of heads, not maps.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from vizcore.errors import SelectionError, ShapeError
from vizcore.maps import AttentionMap, HasMaps, maps_of


def mean_map(
    source: HasMaps | Iterable[AttentionMap],
    kind: str | None = None,
    *,
    layer: int | None = None,
    head: int | None = None,
    tokens: Literal["same", "any"] = "same",
) -> AttentionMap:
    """The mean of maps, cell by cell: over the heads of a layer, over layers, over everything.

    `mean_map(trace, layer=3)` is over the heads of layer 3, `mean_map(trace, head=2)` over the
    layers of head 2, `mean_map(trace)` over all; `mean_map([map, other])` over any maps. Each map
    counts the same. Rows sum to 1 if those of all maps do.

    Args:
        source: a trace, or any maps.
        kind: "decoder", "encoder" or "cross". None: the trace's default; of plain maps, all.
        layer: only maps of this layer.
        head: only maps of this head.
        tokens: "same" refuses maps over different tokens; with "any", position counts alone, and a
            position at which tokens differ is labelled with its number (`#3`).

    Returns:
        (query, key). A cell is masked if it is masked in all maps.

    Raises:
        SelectionError: if there is no such map, or tokens differ.
        ShapeError: if maps differ in shape.
    """
    together = _Together(tokens)
    total: Float[np.ndarray, "query key"] | None = None
    for map in _selected(source, kind, layer, head):
        together.add(map)
        # In float64, so that the order in which maps come makes no difference.
        total = map.values.astype(np.float64) if total is None else total + map.values
    return together.result(_found(total, kind, layer, head) / together.n, "mean")


def max_map(
    source: HasMaps | Iterable[AttentionMap],
    kind: str | None = None,
    *,
    layer: int | None = None,
    head: int | None = None,
    tokens: Literal["same", "any"] = "same",
) -> AttentionMap:
    """The maximum of maps, cell by cell: where any head looks. Its rows may sum to more than 1.

    Arguments, result and errors are those of `mean_map`.
    """
    together = _Together(tokens)
    largest: Float[np.ndarray, "query key"] | None = None
    for map in _selected(source, kind, layer, head):
        together.add(map)
        largest = map.values if largest is None else np.maximum(largest, map.values)
    return together.result(_found(largest, kind, layer, head), "maximum")


def mean_over_texts(
    sources: Iterable[HasMaps | Iterable[AttentionMap]], kind: str | None = None
) -> list[AttentionMap]:
    """For each head, the mean of its maps over several texts, position by position.

    All texts must have the same number of tokens: a cell is then "how much position i looks at
    position j", whatever stands there. Where all texts have the same token it is the label, and
    elsewhere the position (`#3`). For texts of different lengths there is no such mean.

    Args:
        sources: a trace for each text, or its maps, with the heads in the same order.
        kind: as in `mean_map`.

    Returns:
        One map for each head, layer by layer.

    Raises:
        SelectionError: if there is no text, or texts come with different heads.
        ShapeError: if texts differ in length.
    """
    texts = [iter(maps_of(source, kind)) for source in sources]
    if not texts:
        raise SelectionError("There are no texts: give at least one trace.")
    means = []
    for heads in zip_longest(*texts):
        places = {None if map is None else (map.kind, map.layer, map.head) for map in heads}
        if len(places) > 1:
            raise SelectionError(
                "The texts come with different heads: take traces of one model, or maps of the "
                "same heads in the same order."
            )
        means.append(mean_map(heads, tokens="any"))
    return means


def without_keys(map: AttentionMap, keys: Sequence[int]) -> AttentionMap:
    """The map without the weight on some keys, such as a sink; the rest scaled to make up for it.

        A'[i, j] = A[i, j] · ΣA[i] / ΣA[i, kept]  for the keys that are kept, else 0

    The keys stay on the axis, marked as masked. A row that had all its weight on them has none
    left, and is 0 throughout.

    Args:
        keys: positions, counted from 0, negative from the end.

    Raises:
        SelectionError: if there is no such key.
    """
    n_keys = len(map.key_tokens)
    for key in keys:
        if not -n_keys <= key < n_keys:
            raise SelectionError(
                f"There is no key {key}: there are {n_keys} keys, counted from 0 to {n_keys - 1}, "
                "or from -1 backwards."
            )
    values = map.values.astype(np.float64)
    before = values.sum(axis=1, keepdims=True)
    values[:, list(keys)] = 0
    left = values.sum(axis=1, keepdims=True)
    hidden = np.zeros(values.shape, dtype=bool) if map.masked is None else map.masked.copy()
    hidden[:, list(keys)] = True
    scaled = np.where(left > 0, values * before / np.where(left > 0, left, 1), values * 0)
    return replace(map, values=scaled, masked=hidden)


@runtime_checkable
class _HasHeads(Protocol):
    """What can give the map of one head alone, such as a trace."""

    def layers(self, kind: str | None = None) -> Sequence[int]: ...

    def n_heads(self, kind: str | None = None) -> int: ...

    def map(self, layer: int, head: int, kind: str | None = None) -> AttentionMap: ...


def _selected(
    source: HasMaps | Iterable[AttentionMap], kind: str | None, layer: int | None, head: int | None
) -> Iterator[AttentionMap]:
    if isinstance(source, _HasHeads) and (layer, head) != (None, None):
        # No need to compute what is not asked for.
        for its_layer in source.layers(kind) if layer is None else [layer]:
            for its_head in range(source.n_heads(kind)) if head is None else [head]:
                yield source.map(its_layer, its_head, kind)
        return
    for map in maps_of(source, kind):
        if layer in (None, map.layer) and head in (None, map.head):
            yield map


def _found(
    values: Float[np.ndarray, "query key"] | None,
    kind: str | None,
    layer: int | None,
    head: int | None,
) -> Float[np.ndarray, "query key"]:
    if values is not None:
        return values
    wanted = {"kind": kind and repr(kind), "layer": layer, "head": head}
    named = ", ".join(f"{name} {value}" for name, value in wanted.items() if value is not None)
    raise SelectionError(
        f"There is no map{' of ' * bool(named)}{named} among these: give at least one AttentionMap."
    )


class _Together:
    """What is the same in all maps of which one is made."""

    def __init__(self, tokens: Literal["same", "any"]) -> None:
        self.tokens = tokens
        self.n = 0
        self.masked: Bool[np.ndarray, "query key"] | None = None

    def add(self, map: AttentionMap) -> None:
        """One more map, over the same tokens as those before."""
        if not self.n:
            self.first = map
            self.layer, self.head, self.kind = map.layer, map.head, map.kind
            self.queries, self.keys = list(map.query_tokens), list(map.key_tokens)
            self.query_words, self.key_words = map.query_words, map.key_words
            self.masked = map.masked
        else:
            self._check(map)
            self.layer = self.layer if self.layer == map.layer else None
            self.head = self.head if self.head == map.head else None
            self.kind = self.kind if self.kind == map.kind else None
            self.queries = _labels(self.queries, map.query_tokens)
            self.keys = _labels(self.keys, map.key_tokens)
            self.query_words = self.query_words if self.query_words == map.query_words else None
            self.key_words = self.key_words if self.key_words == map.key_words else None
            if map.masked is None or self.masked is None:
                self.masked = None
            elif map.masked is not self.masked:  # the heads of a trace share theirs
                self.masked = self.masked & map.masked
        self.n += 1

    def result(self, values: Float[np.ndarray, "query key"], done: str) -> AttentionMap:
        """The map of these values, named by what was done."""
        quantity = self.first.quantity
        return AttentionMap(
            values,
            self.queries,
            self.keys,
            quantity=quantity if self.n == 1 else f"{done} {quantity}",
            layer=self.layer,
            head=self.head,
            kind=self.kind,
            masked=self.masked,
            query_words=self.query_words,
            key_words=self.key_words,
        )

    def _check(self, map: AttentionMap) -> None:
        if map.values.shape != self.first.values.shape:
            raise ShapeError(
                f"The map of {map.name} has shape {map.values.shape}, those before it "
                f"{self.first.values.shape}: only maps over equally many tokens have cells that "
                "mean the same. Take texts with the same number of tokens, or bring the maps to "
                "the same spans first (by_words, by_spans)."
            )
        for side in ("query_tokens", "key_tokens"):
            mine, its = getattr(self.first, side), getattr(map, side)
            if self.tokens == "same" and mine != its:
                place = next(i for i, (a, b) in enumerate(zip(mine, its, strict=True)) if a != b)
                raise SelectionError(
                    f"The maps are over different tokens: {side.replace('_tokens', '')} {place} is "
                    f'{mine[place]!r} in one and {its[place]!r} in another. With tokens="any" '
                    "they are put together position by position."
                )


def _labels(labels: Sequence[str], others: Sequence[str]) -> list[str]:
    """The labels that both have, and the position where they differ."""
    pairs = enumerate(zip(labels, others, strict=True))
    return [mine if mine == its else f"#{place}" for place, (mine, its) in pairs]
