"""Attention through all layers: rollout and flow (Abnar & Zuidema 2020).

The idea: a layer hands on what its attention mixed and, by the residual connection, what was there
before; so each layer is a matrix of shares, and the layers together are their product (rollout) or
a network of pipes (flow). Both know nothing of values, norms and feed-forward layers: they say how
much attention there is along all paths, not what was carried. For what one layer moves see
`weighted_norms`.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import chain, groupby
from typing import Literal

import networkx as nx
import numpy as np
from jaxtyping import Bool, Float
from networkx.algorithms.flow import build_residual_network, shortest_augmenting_path

from vizcore.combine import max_map, mean_map, without_keys
from vizcore.errors import SelectionError, ShapeError
from vizcore.maps import AttentionMap, HasMaps, maps_of

MAX_FLOW_WORK = 20_000_000
"""Pipes times pairs of tokens, beyond which attention flow would take more than about a minute."""
FINEST = 2**40
"""Flows are computed in whole numbers, of which this many are a share of 1: exact, where sums of
floating-point numbers would leave a drop in every pipe."""


def rollout(
    source: HasMaps | Iterable[AttentionMap],
    kind: str | None = None,
    *,
    layer: int | None = None,
    residual: float | int = 0.5,
    heads: Literal["mean", "max"] = "mean",
    without: Sequence[int] = (),
) -> AttentionMap:
    """Attention rollout: how much of each position, after a layer, came from each input token.

    With Ā the attention of a layer averaged over heads and r the residual share, each layer is
    M = r·I + (1 - r)·Ā, its rows divided by their sums, and the rollout of layer l is
    M_l · M_(l-1) · … · M_0. Rows sum to 1. Layers that have no softmax attention are passed over.

    In an encoder-decoder, "encoder" and "decoder" are the rollouts of each stack alone. "cross"
    says how much of a target position came from each source token: a decoder layer first mixes
    target positions, then takes the share 1 - r of each from the encoder's rollout,

        T ← M_self · T,    T ← r·T + (1 - r)·(0 | Ā_cross · R_encoder),

    where a row of T has a share for every token of target and source, and T = (I | 0) at first
    (joint shares of source and target, as in Ferrando et al. 2022). The map is the source's part
    of T; what its rows lack of 1 came from the target's own tokens.

    Args:
        source: a trace, or all maps of it.
        kind: "decoder", "encoder" or "cross". None: the trace's default.
        layer: up to which layer; None: all of them.
        residual: the share r that passes a layer by, from 0 to 1. The paper takes 0.5.
        heads: "mean" of the heads, as in the paper, or "max": the largest weight of any head,
            scaled so that each row sums to what that of the mean does.
        without: keys whose weight is taken out of each Ā, and the rest of the row scaled to the
            sum that it had: (0,) discards the sink that the first token of a decoder is. A row
            with no rest has its residual share alone. Of kind "cross": source tokens.

    Returns:
        (query, key): of a text to itself square; of kind "cross" (target, source).

    Raises:
        SelectionError: if there are no maps, or no such layer or key; or the maps of the encoder
            or decoder are missing that "cross" needs.
        ShapeError: if maps differ in shape, or the maps of a text to itself are not square.
    """
    layers = rollout_layers(
        source, kind, residual=residual, heads=heads, without=without, until=layer
    )
    (last,) = deque(layers, maxlen=1)
    return last


def rollout_layers(
    source: HasMaps | Iterable[AttentionMap],
    kind: str | None = None,
    *,
    residual: float | int = 0.5,
    heads: Literal["mean", "max"] = "mean",
    without: Sequence[int] = (),
    until: int | None = None,
) -> Iterator[AttentionMap]:
    """The rollout after every layer, one after another. Arguments and errors as in `rollout`.

    Args:
        until: the last layer to look at.
    """
    shares: Float[np.ndarray, "position input"] | None = None
    reached: Bool[np.ndarray, "position input"] | None = None
    for step in _steps(source, kind, residual=residual, heads=heads, without=without, until=until):
        shares = step.matrix if shares is None else step.matrix @ shares
        reached = step.open if reached is None else _reached(step.open, reached)
        if step.map is None:
            continue
        rows, columns = step.shown
        yield replace(
            step.map,
            values=shares[rows, columns],
            masked=None if step.map.masked is None else ~reached[rows, columns],
            quantity="rollout",
        )


def attention_flow(
    source: HasMaps | Iterable[AttentionMap],
    kind: str | None = None,
    *,
    layer: int | None = None,
    residual: float | int = 0.5,
    heads: Literal["mean", "max"] = "mean",
    without: Sequence[int] = (),
    queries: Sequence[int] | None = None,
    normalise: bool = True,
) -> AttentionMap:
    """Attention flow: the largest flow from each input token to each position after a layer.

    The layers are a network of pipes: from every position before a layer to every one after it
    leads a pipe as wide as the share in M (see `rollout`), and the flow between two positions is
    the largest that the pipes allow, each pair by itself. So a token counts for as much as the
    narrowest part of all its ways lets through, where rollout multiplies along each way. Of kind
    "cross" the network goes through both stacks.

    Args:
        queries: the positions to compute it for, each a row of the map; None: all of them.
        normalise: divide each row by its sum, so that it can be read like attention. The flows
            themselves, from 0 to 1, need not sum to 1.

    The other arguments are as in `rollout`.

    Raises:
        SelectionError: besides the errors of `rollout`, if the text is too long: the time grows
            with the fourth power of its length. With one query a text may be several times longer.
    """
    steps: list[_Step] = []
    reached: Bool[np.ndarray, "position input"] | None = None
    n_pipes = 0
    for step in _steps(source, kind, residual=residual, heads=heads, without=without, until=layer):
        rows, columns = (range(*part.indices(len(step.matrix))) for part in step.shown)
        chosen = _chosen(rows, queries)
        reached = step.open if reached is None else _reached(step.open, reached)
        steps.append(step)
        n_pipes += int(np.count_nonzero(step.matrix))
        n_pairs = max(int(reached[chosen][:, columns].sum()), len(chosen))
        if n_pipes * n_pairs > MAX_FLOW_WORK:  # before all layers of a long text are in memory
            raise SelectionError(
                f"Attention flow through {n_pipes:,} pipes or more between {n_pairs:,} pairs of "
                f"tokens would take too long (pipes × pairs may be {MAX_FLOW_WORK:,}). Take a "
                "shorter text, fewer layers (layer=...), some of the positions (queries=[...]), "
                "or the rollout, which takes no time."
            )
    last = steps[-1].map
    assert last is not None  # noqa: S101 - a chain ends with a map
    assert reached is not None  # noqa: S101
    values = _flows(steps, chosen, columns, reached)
    if normalise:
        total = values.sum(axis=1, keepdims=True)
        values = values / np.where(total > 0, total, 1)
    return AttentionMap(
        values,
        [last.query_tokens[position - rows[0]] for position in chosen],
        last.key_tokens,
        quantity="attention flow",
        layer=last.layer,
        kind=last.kind,
        masked=None if last.masked is None else ~reached[chosen][:, columns],
        query_words=last.query_words if queries is None else None,
        key_words=last.key_words,
    )


def _chosen(rows: range, queries: Sequence[int] | None) -> list[int]:
    for query in queries or ():
        if not 0 <= query < len(rows):
            raise SelectionError(
                f"There is no query {query}: there are {len(rows)}, counted from 0 to "
                f"{len(rows) - 1}."
            )
    return list(rows) if queries is None else [rows[query] for query in queries]


def _flows(
    steps: Sequence["_Step"],
    positions: Sequence[int],
    inputs: Sequence[int],
    reached: Bool[np.ndarray, "position input"],
) -> Float[np.ndarray, "query key"]:
    """The largest flow from each input to each position after the last step."""
    size = len(steps[0].matrix)
    graph = nx.DiGraph()
    graph.add_nodes_from(range(size * (len(steps) + 1)))
    for level, step in enumerate(steps):
        widths = np.rint(step.matrix * FINEST).astype(np.int64)
        graph.add_edges_from(
            ((level + 1) * size + int(i), level * size + int(j), {"capacity": int(widths[i, j])})
            for i, j in np.argwhere(widths)
        )
    residual_network = build_residual_network(graph, "capacity")
    values = np.zeros((len(positions), len(inputs)))
    for row, position in enumerate(positions):
        for column, token in enumerate(inputs):
            if reached[position, token]:
                values[row, column] = nx.maximum_flow_value(
                    graph,
                    len(steps) * size + position,
                    token,
                    flow_func=shortest_augmenting_path,
                    residual=residual_network,
                )
    return values / FINEST


@dataclass(frozen=True, eq=False)
class _Step:
    """One mixing of all positions that take part: those of the text, or of target and source.

    Args:
        matrix: the shares; rows sum to 1.
        open: where there could be a share, however small.
        map: the labels of the rollout after this step; None if none is shown here.
        shown: the rows and columns of the matrix that this map is of.
    """

    matrix: Float[np.ndarray, "position position"]
    open: Bool[np.ndarray, "position position"]
    map: AttentionMap | None
    shown: tuple[slice, slice]


def _steps(
    source: HasMaps | Iterable[AttentionMap],
    kind: str | None,
    *,
    residual: float | int,
    heads: Literal["mean", "max"],
    without: Sequence[int],
    until: int | None,
) -> Iterator[_Step]:
    """What mixes positions, in the order in which it does."""
    if not 0 <= residual <= 1:
        raise SelectionError(f"The residual share must be from 0 to 1, not {residual}.")
    if not isinstance(source, HasMaps):
        source = list(source)
    maps = _layers(source, kind, heads=heads, without=without)
    first = next(maps, None)
    if first is None:
        of_kind = "" if kind is None else f" of kind {kind!r}"
        raise SelectionError(f"There are no maps{of_kind}: give a trace, or all maps of one.")
    maps = chain([first], maps)
    if first.kind == "cross":
        steps = _joint_steps(source, maps, first.values.shape, residual, heads, without)
    else:
        steps = _stack_steps(maps, residual)
    last = None
    for step in steps:
        if step.map is not None:
            if until is not None and (step.map.layer or 0) > until:
                break
            last = step.map.layer
        yield step
    if until is not None and last != until:
        raise SelectionError(f"There is no layer {until} among these maps.")


def _stack_steps(maps: Iterable[AttentionMap], residual: float | int) -> Iterator[_Step]:
    """The layers of one stack, in which a text looks at itself."""
    everything = (slice(None), slice(None))
    size = None
    for map in maps:
        size = _checked_size(map, size)
        yield _Step(_shares(np.eye(size), map.values, residual), _open(map), map, everything)


def _joint_steps(
    source: HasMaps | list[AttentionMap],
    crosses: Iterable[AttentionMap],
    shape: tuple[int, ...],
    residual: float | int,
    heads: Literal["mean", "max"],
    without: Sequence[int],
) -> Iterator[_Step]:
    """Encoder, then the decoder's own attention and the cross-attention of each layer in turn."""
    n_target, n_source = shape
    target, text = slice(0, n_target), slice(n_target, None)
    if not isinstance(source, HasMaps):
        for kind in ("encoder", "decoder"):
            if not any(map.kind == kind for map in source):
                raise SelectionError(
                    "A rollout of kind 'cross' goes through encoder and decoder, and there are no "
                    f"maps of kind {kind!r}: give a trace, or all maps of one."
                )
    own = _layers(source, "decoder", heads=heads)
    for map in chain(
        _layers(source, "encoder", heads=heads, without=without),
        merge(own, crosses, key=lambda map: -1 if map.layer is None else map.layer),
    ):
        matrix, is_open = np.eye(n_target + n_source), np.eye(n_target + n_source, dtype=bool)
        if map.kind == "cross":
            whole = np.eye(n_target, n_target + n_source)
            added = np.concatenate([np.zeros((n_target, n_target)), map.values], axis=1)
            matrix[target] = _shares(whole, added, residual)
            is_open[target, text] = True if map.masked is None else ~map.masked
            yield _Step(matrix, is_open, map, (target, text))
            continue
        part, size = (text, n_source) if map.kind == "encoder" else (target, n_target)
        _checked_size(map, size)
        matrix[part, part] = _shares(np.eye(size), map.values, residual)
        is_open[part, part] = _open(map)
        yield _Step(matrix, is_open, None, (target, text))


def _layers(
    source: HasMaps | list[AttentionMap],
    kind: str | None,
    *,
    heads: Literal["mean", "max"],
    without: Sequence[int] = (),
) -> Iterator[AttentionMap]:
    """One map for each layer: its heads together, without the keys that are left out."""
    maps = maps_of(source, kind)
    if not isinstance(source, HasMaps):
        maps = iter(sorted(maps, key=lambda map: -1 if map.layer is None else map.layer))
    its_kind = None
    for number, ((of_kind, _), group) in enumerate(
        groupby(maps, key=lambda map: (map.kind, map.layer))
    ):
        if number and of_kind != its_kind:
            raise SelectionError(
                f"There are maps of kind {its_kind!r} and of kind {of_kind!r}: say which are "
                f"meant (kind={of_kind!r})."
            )
        its_kind = of_kind
        its_heads = group if heads == "mean" else list(group)
        layer = mean_map(its_heads)
        if heads == "max":
            values = max_map(its_heads).values.astype(np.float64)
            total = values.sum(axis=1, keepdims=True)
            wanted = layer.values.sum(axis=1, keepdims=True)
            layer = replace(layer, values=values * wanted / np.where(total > 0, total, 1))
        yield without_keys(layer, without) if without else layer


def _shares(
    whole: Float[np.ndarray, "query position"],
    values: Float[np.ndarray, "query position"],
    residual: float | int,
) -> Float[np.ndarray, "query position"]:
    """r·I + (1 - r)·Ā with rows that sum to 1; a row in which nothing is left stays as it was."""
    mixed = residual * whole + (1 - residual) * values.astype(np.float64)
    total = mixed.sum(axis=1, keepdims=True)
    return np.where(total == 0, whole, mixed / np.where(total == 0, 1, total))


def _open(map: AttentionMap) -> Bool[np.ndarray, "query key"]:
    """Where there may be a share: at every key that is not masked, and at the position itself."""
    if map.masked is None:
        return np.ones(map.values.shape, dtype=bool)
    return ~map.masked | np.eye(len(map.masked), dtype=bool)


def _reached(
    later: Bool[np.ndarray, "position position"], before: Bool[np.ndarray, "position input"]
) -> Bool[np.ndarray, "position input"]:
    """From where there may be a share after one more step."""
    if np.array_equal(later, before) and np.array_equal(before, np.tri(len(before), dtype=bool)):
        return before  # as in most decoders: no need to multiply
    if before.all() and later.any(axis=1).all():
        return before
    product: Float[np.ndarray, "position input"] = later.astype(np.float32) @ before.astype(
        np.float32
    )
    return product > 0


def _checked_size(map: AttentionMap, size: int | None) -> int:
    n_queries, n_keys = map.values.shape
    size = n_queries if size is None else size
    if (n_queries, n_keys) != (size, size):
        raise ShapeError(
            f"The map of {map.name} has shape {map.values.shape}, and {(size, size)} was expected: "
            "a rollout takes maps of one text that looks at itself, in every layer the same."
        )
    return size
