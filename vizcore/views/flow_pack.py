"""Packs one map a layer so that a page can follow attention through all of them.

The idea: short texts are sent whole. Of longer ones each row keeps its largest weights, and what
the others sum to is spread evenly over the keys among which they lie; how far that puts a rollout
from the true one is measured, so that the page can say it. Two bytes a weight: 8 bits would lose
the many small ones. Not for pictures of maps: those take `payload.quantise`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from vizcore.errors import SelectionError, ShapeError
from vizcore.maps import AttentionMap
from vizcore.views.payload import pack

ENTRY_BYTES = 4
"""Of a weight that is kept: two for its key, two for itself."""

FINE = 65_535
"""A weight w is sent as the whole number nearest to w · 65535, an error of at most 0.00001."""

MIN_KEPT = 4
"""With fewer weights a row there is nothing to follow."""

N_CHECKED = 16
"""So many tokens, at even distances, are followed both exactly and as the page does it."""


@dataclass(frozen=True, eq=False)
class Layer:
    """The largest weights of each row of one layer, and the rest of it.

    Args:
        keys: which keys, the one with the largest weight first; `weights` theirs.
        rest: what all other keys of a row sum to.
        first, last: between which keys there is any weight.
        broken: rows with weights that are not numbers; they have none here.
    """

    keys: Int[np.ndarray, "row kept"]
    weights: Float[np.ndarray, "row kept"]
    rest: Float[np.ndarray, " row"]
    first: Int[np.ndarray, " row"]
    last: Int[np.ndarray, " row"]
    broken: Bool[np.ndarray, " row"]

    def cut(self, n_kept: int) -> "Layer":
        """The same with fewer weights a row."""
        others = self.weights[:, n_kept:].sum(axis=1)
        kept, weights = self.keys[:, :n_kept], self.weights[:, :n_kept]
        return Layer(kept, weights, self.rest + others, self.first, self.last, self.broken)

    @property
    def density(self) -> Float[np.ndarray, " row"]:
        """What each of the other keys gets if they share evenly."""
        n_others = self.last - self.first + 1 - (self.weights > 0).sum(axis=1)
        evenly: Float[np.ndarray, " row"] = self.rest / np.maximum(n_others, 1)
        return evenly

    def times(self, shares: Float[np.ndarray, "key token"]) -> Float[np.ndarray, "row token"]:
        """The layer, as it is sent, times a matrix."""
        spread = np.concatenate([np.zeros((1, shares.shape[1])), np.cumsum(shares, axis=0)])
        density = self.density[:, None]
        above = np.where(self.weights > 0, self.weights - density, 0)
        found: Float[np.ndarray, "row token"]
        found = density * (spread[self.last + 1] - spread[self.first])
        for place in range(self.keys.shape[1]):
            found += above[:, place, None] * shares[self.keys[:, place]]
        return found


@dataclass(frozen=True, eq=False)
class Packed:
    """What a page gets of all layers.

    Args:
        data: JSON-able; see `FlowWeights` in flow.d.ts.
        layers: the number of each layer, counted from 0.
        tokens: the labels of the positions.
        error: how far a rollout may be off, as far as was measured; 0 if everything was sent.
    """

    data: dict[str, object]
    layers: list[int]
    tokens: tuple[str, ...]
    error: float


def pack_layers(maps: Iterable[AttentionMap], *, residual: float, max_bytes: int) -> Packed:
    """One square map a layer, from the first layer to the last, within a budget.

    Args:
        residual: the share that passes a layer by, for measuring the error.
        max_bytes: of weights and their keys, before they are deflated.

    Raises:
        ShapeError: if a map is not square, differs in shape, or is not made of weights.
        SelectionError: if there are no maps, or the text is too long for the budget.
    """
    layers: list[Layer] = []
    numbers: list[int] = []
    first: AttentionMap | None = None
    exact: dict[float, Float[np.ndarray, "position token"]] = {}
    for map in maps:
        first = first or map
        n_tokens = _size(map, first)
        values = np.where(np.isfinite(map.values), map.values, 0).astype(np.float64)
        broken = ~np.isfinite(map.values).all(axis=1)
        values[broken] = 0
        layers.append(
            _strongest(values, broken, min(n_tokens, max(max_bytes // (ENTRY_BYTES * n_tokens), 1)))
        )
        numbers.append(len(numbers) if map.layer is None else map.layer)
        for share in {residual, 0.0}:
            start = exact[share] if share in exact else _checked(n_tokens)
            exact[share] = mixed(start, values @ start, values.sum(axis=1), share)
    if first is None:
        raise SelectionError("There are no maps to follow: give a trace, or the maps of one.")
    n_tokens = len(first.query_tokens)
    n_kept = min(max_bytes // (ENTRY_BYTES * len(layers) * n_tokens), n_tokens)
    if n_kept < min(MIN_KEPT, n_tokens):
        most = max_bytes // (ENTRY_BYTES * len(layers) * MIN_KEPT)
        raise SelectionError(
            f"{n_tokens} tokens in {len(layers)} layers are too many to follow: up to {most} fit "
            "into the page. Give maps of words or sentences, a shorter text, or more max_bytes."
        )
    layers = [layer.cut(n_kept) for layer in layers]
    whole = n_kept == n_tokens
    error = 0.0 if whole else max(_error(layers, exact[share], share) for share in exact)
    return Packed(_data(layers, whole), numbers, first.query_tokens, error)


def mixed(
    before: Float[np.ndarray, "position token"],
    attended: Float[np.ndarray, "position token"],
    sums: Float[np.ndarray, " position"],
    residual: float,
) -> Float[np.ndarray, "position token"]:
    """(r·before + (1 - r)·attended) / (r + (1 - r)·sums): one layer of a rollout.

    A row of which nothing is left stays as it was.
    """
    total = (residual + (1 - residual) * sums)[:, None]
    result: Float[np.ndarray, "position token"] = np.where(
        total > 0,
        (residual * before + (1 - residual) * attended) / np.where(total > 0, total, 1),
        before,
    )
    return result


def _size(map: AttentionMap, first: AttentionMap) -> int:
    """The number of tokens, once the map is known to be one that can be followed."""
    n_tokens = len(first.query_tokens)
    if map.values.shape != (n_tokens, n_tokens):
        raise ShapeError(
            f"The map of {map.name} has shape {map.values.shape}, and {(n_tokens, n_tokens)} was "
            "expected: attention can be followed through maps of one text that looks at itself, "
            "in every layer the same."
        )
    finite = np.where(np.isfinite(map.values), map.values, 0)
    if finite.min(initial=0) < 0 or finite.sum(axis=1).max(initial=0) > 1 + 1e-3:
        raise ShapeError(
            f"The map of {map.name} has rows that are no weights: they must not be below 0 or sum "
            "to more than 1. Show differences as a heatmap."
        )
    return n_tokens


def _strongest(
    values: Float[np.ndarray, "row key"], broken: Bool[np.ndarray, " row"], n_kept: int
) -> Layer:
    keys = np.arange(values.shape[1])[None].repeat(len(values), axis=0)
    if n_kept < values.shape[1]:
        keys = np.argpartition(-values, n_kept - 1, axis=1)[:, :n_kept]
    order = np.argsort(-np.take_along_axis(values, keys, axis=1), axis=1, kind="stable")
    keys = np.take_along_axis(keys, order, axis=1)
    weights = np.take_along_axis(values, keys, axis=1)
    some = values > 0
    n_keys = values.shape[1]
    any_weight = some.any(axis=1)
    return Layer(
        keys=keys.astype(np.int32),
        weights=weights,
        rest=np.maximum(values.sum(axis=1) - weights.sum(axis=1), 0),
        first=np.where(any_weight, some.argmax(axis=1), 0),
        last=np.where(any_weight, n_keys - 1 - some[:, ::-1].argmax(axis=1), 0),
        broken=broken,
    )


def _checked(n_tokens: int) -> Float[np.ndarray, "position token"]:
    """The inputs that are followed: a column for each of some tokens."""
    chosen = np.unique(np.linspace(0, n_tokens - 1, min(N_CHECKED, n_tokens)).astype(int))
    return np.eye(n_tokens)[:, chosen]


def _error(
    layers: list[Layer], exact: Float[np.ndarray, "position token"], residual: float
) -> float:
    """How far the page's rollout of the checked tokens is from the exact one, at most."""
    shares = _checked(len(exact))
    for layer in layers:
        sums = layer.weights.sum(axis=1) + layer.rest
        shares = mixed(shares, layer.times(shares), sums, residual)
    return float(np.abs(shares - exact).max())


def _data(layers: list[Layer], whole: bool) -> dict[str, object]:
    weights = np.stack([layer.weights for layer in layers])
    n_layers, n_tokens, n_kept = weights.shape
    data: dict[str, object] = {
        "nLayers": n_layers,
        "nTokens": n_tokens,
        "nKept": n_kept,
        "keys": None,
        "rest": None,
        "range": None,
        "broken": [
            [index, int(row)]
            for index, layer in enumerate(layers)
            for row in np.flatnonzero(layer.broken)
        ],
    }
    if whole:  # in the order of the text, so no keys need be told
        square = np.zeros_like(weights)
        for index, layer in enumerate(layers):
            np.put_along_axis(square[index], layer.keys.astype(np.int64), layer.weights, axis=1)
        return data | {"weights": _bytes(np.rint(square * FINE))}
    bounds = np.stack([np.stack([layer.first, layer.last], axis=1) for layer in layers])
    return data | {
        "weights": _bytes(np.rint(weights * FINE)),
        "keys": _bytes(np.stack([layer.keys for layer in layers])),
        "rest": _bytes(np.rint(np.stack([layer.rest for layer in layers]) * FINE)),
        "range": _bytes(bounds),
    }


def _bytes(numbers: np.ndarray) -> dict[str, object]:
    """Whole numbers up to 65535 as two bytes each, all low ones before all high ones."""
    small = np.clip(numbers, 0, FINE).astype("<u2").ravel()
    return pack(np.stack([small & 255, small >> 8]).astype(np.uint8))
