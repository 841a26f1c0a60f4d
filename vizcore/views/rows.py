"""Packs maps for views that show, token by token, what looks at what.

The idea: such a view needs few numbers of a long text. Maps that fit into a byte budget are sent
whole, 8 bits a cell; of others each row keeps its strongest keys, and says what the rest of it
sums to. Not for pictures of a whole map: those take `payload.quantise` and `reduce`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from vizcore.errors import ShapeError
from vizcore.maps import AttentionMap
from vizcore.views.payload import MASKED, N_STEPS, UNDEFINED, pack
from vizcore.views.sinks import are_weights

ENTRY_BYTES = 3
"""Of one weight that is kept: two for its key, one for its code."""

MIN_KEPT = 12
"""A row of which fewer keys would be kept is not worth sending."""

MAX_KEPT = 64
"""Nobody looks at more of the keys of one row, and there may be thousands of rows."""

CHUNK_CELLS = 2_000_000
"""A long map is searched for its strongest keys in pieces of so many cells."""


@dataclass(frozen=True)
class Form:
    """How maps are sent.

    Args:
        kept: how many keys of each row; None: all of them.
        fine: whether codes stand closer together where weights are small (squares), so that a row
            can be scaled up; they deflate less well than even steps.
    """

    kept: int | None
    fine: bool


def form_of(
    n_maps: int,
    shape: tuple[int, int],
    *,
    fine_bytes: int,
    max_bytes: int,
    both_ways: bool = False,
    least: int = MIN_KEPT,
) -> Form | None:
    """The most exact way to send so many maps of one shape within a budget; None: there is none.

    Args:
        n_maps: how many.
        shape: (queries, keys).
        fine_bytes: up to so many bytes, before they are deflated, everything is sent, finely.
        max_bytes: up to so many everything is sent, in even steps; above it the strongest keys.
        both_ways: whether the strongest queries of each key are kept as well.
        least: if fewer keys than that would be kept, there is no way.
    """
    n_queries, n_keys = shape
    whole = n_maps * n_queries * n_keys
    if whole <= max_bytes:
        return Form(kept=None, fine=whole <= fine_bytes)
    n_rows = n_queries + (n_keys if both_ways else 0)
    kept = max_bytes // (ENTRY_BYTES * n_maps * n_rows)
    return Form(kept=min(kept, n_keys, MAX_KEPT), fine=True) if kept >= least else None


def pack_rows(
    maps: Sequence[AttentionMap], form: Form, *, both_ways: bool = False
) -> dict[str, object]:
    """Maps of the same tokens as JSON-able data; `Rows` in rows.js reads it.

    Args:
        maps: at least one.
        form: how.
        both_ways: whether the strongest queries of each key are kept as well.

    Returns:
        high: what the last code stands for: the largest size of any number.
        signed: whether there are numbers below zero.
        isAttention: whether every row sums to 1, or to less.
        codes: uint8 (map, query, key), or (map, query, kept).
        keys: where not all are kept, which ones, as two bytes each (map, query, kept, 2).
        rest, restHigh: what the keys that are not kept sum to, (map, query).
        first: the code of the first key, (map, query).
        queries: with `both_ways`, the same for each key: codes, keys, rest.
        visible: the first key that any query may look at, and the one after the last, for each
            query as four bytes (query, 4); None if nothing is masked.

    Raises:
        ShapeError: if the maps differ in shape.
    """
    shape = maps[0].values.shape
    for map in maps:
        if map.values.shape != shape:
            raise ShapeError(
                f"{map.name} has shape {map.values.shape}, {maps[0].name} has {shape}: maps that "
                "are shown together must be of the same tokens."
            )
    usable = [_usable(map) for map in maps]
    ends = [_ends(one) for one in usable]
    signed = min(low for low, _ in ends) < 0
    largest = max(max(-low, high) for low, high in ends)
    scale = _Scale(high=largest or 1.0, signed=signed, fine=form.fine)
    data: dict[str, object] = {
        "high": scale.high,
        "signed": signed,
        "fine": form.fine,
        "isAttention": all(are_weights(one) for one in usable),
        "nKept": form.kept,
        "visible": _visible(maps),
        "queries": None,
    }
    if form.kept is None:
        codes = np.stack([scale.codes(one) for one in usable])
        for index, map in enumerate(maps):
            if map.masked is not None:
                codes[index][map.masked] = MASKED
        return data | {"codes": pack(codes), "keys": None, "rest": None, "first": None}
    data |= _strongest(usable, [map.masked for map in maps], form.kept, scale)
    data["first"] = pack(np.stack([scale.codes(one[:, 0]) for one in usable]))
    if both_ways:
        masks = [None if map.masked is None else map.masked.T for map in maps]
        kept = min(form.kept, shape[0])
        data["queries"] = _strongest([one.T for one in usable], masks, kept, scale)
    return data


@dataclass(frozen=True)
class _Scale:
    """From numbers to codes."""

    high: float
    signed: bool
    fine: bool

    def codes(self, values: Float[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
        finite = np.isfinite(values)
        share = np.where(finite, values, 0) / self.high
        if self.fine:
            share = np.sign(share) * np.sqrt(np.abs(share))
        place = (share + 1) / 2 if self.signed else share
        codes = np.clip(np.rint(place * N_STEPS), 0, N_STEPS).astype(np.uint8)
        codes[~finite] = UNDEFINED
        return codes


def _usable(map: AttentionMap) -> Float[np.ndarray, "query key"]:
    """The numbers, with 0 wherever nobody may look."""
    return map.values if map.masked is None else np.where(map.masked, np.float32(0), map.values)


def _ends(values: Float[np.ndarray, "query key"]) -> tuple[float, float]:
    """The smallest and the largest number, of those that are finite; 0 is among them."""
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if not (np.isfinite(low) and np.isfinite(high)):
        finite = values[np.isfinite(values)]
        low, high = float(finite.min(initial=0)), float(finite.max(initial=0))
    return low, high


def _strongest(
    values: Sequence[Float[np.ndarray, "row key"]],
    masks: Sequence[Bool[np.ndarray, "row key"] | None],
    n_kept: int,
    scale: _Scale,
) -> dict[str, object]:
    codes, keys, rests = [], [], []
    for one, mask in zip(values, masks, strict=True):
        parts = list(_kept(one, mask, n_kept))
        found = np.concatenate([part for part, _ in parts])
        rests.append(np.concatenate([rest for _, rest in parts]))
        code = scale.codes(np.take_along_axis(one, found, axis=1))
        if mask is not None:
            code[np.take_along_axis(mask, found, axis=1)] = MASKED
        codes.append(code)
        keys.append(found.astype("<u2"))
    rest = np.stack(rests)
    high = float(np.max(rest, initial=0, where=np.isfinite(rest))) or 1.0
    return {
        "codes": pack(np.stack(codes)),
        "keys": pack(np.stack(keys)[..., None].view(np.uint8)),
        "rest": pack(_Scale(high=high, signed=False, fine=True).codes(rest)),
        "restHigh": high,
    }


def _kept(
    values: Float[np.ndarray, "row key"], mask: Bool[np.ndarray, "row key"] | None, n_kept: int
) -> Iterator[tuple[Int[np.ndarray, "row kept"], Float[np.ndarray, " row"]]]:
    """The strongest keys of each row in order, and what the others sum to; NaN in a row: NaN."""
    n_rows, n_keys = values.shape
    step = max(CHUNK_CELLS // n_keys, 1)
    place = np.arange(n_keys, dtype=np.uint64)
    for start in range(0, n_rows, step):
        chunk = np.ascontiguousarray(values[start : start + step])
        size = np.abs(chunk)
        size[~np.isfinite(chunk)] = 0
        totals = size.sum(axis=1)
        if mask is not None:
            size[mask[start : start + step]] = 0
        # Bits of floats from 0 on are in the order of the floats; with the place below them no two
        # are alike, and whole numbers that differ are much the fastest to divide.
        ranks = size.view(np.uint32).astype(np.uint64) << np.uint64(16) | place
        ranks.partition(n_keys - n_kept, axis=1)
        found = np.sort(ranks[:, n_keys - n_kept :] & np.uint64(0xFFFF), axis=1).astype(np.int64)
        inside = np.take_along_axis(size, found, axis=1).sum(axis=1)
        rest = np.maximum(totals - inside, 0)
        rest[~np.isfinite(chunk).all(axis=1)] = np.nan
        yield found, rest


def _visible(maps: Sequence[AttentionMap]) -> dict[str, object] | None:
    masks = {id(map.masked): map.masked for map in maps}
    if any(mask is None for mask in masks.values()):
        return None
    n_queries, n_keys = maps[0].values.shape
    first = np.full(n_queries, n_keys)
    end = np.zeros(n_queries, dtype=int)
    for mask in masks.values():
        seen = ~np.asarray(mask)
        some = seen.any(axis=1)
        first = np.minimum(first, np.where(some, seen.argmax(axis=1), n_keys))
        end = np.maximum(end, np.where(some, n_keys - seen[:, ::-1].argmax(axis=1), 0))
    hull = np.stack([np.minimum(first, end), end], axis=1)
    return pack(np.ascontiguousarray(hull.astype("<u2")).view(np.uint8))
