"""The model view: a small map of every head of every layer, at a glance.

The idea: what 270 heads do can be seen side by side, sorted and filtered by what they do, and
zoomed into. Heads are drawn from codes of 8 bits: in full where that is a page of a megabyte or
two, else from thumbnails of at most 64 × 64 cells, with some heads in full. It is for finding the
heads worth a closer look; exact values are in the map itself, and `heatmap` shows one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd

from vizcore.errors import SelectionError
from vizcore.maps import AttentionMap
from vizcore.views import colours, head_facts, page, payload, scales, sinks
from vizcore.views.head_pictures import HeadPictures, NamedHead, Wish
from vizcore.views.model_view_texts import TEXTS
from vizcore.views.score_table import ScoreTable

MAX_LABELS = 1024
"""Of maps in full; of thumbnails alone no label could be read, so none are sent."""

MAX_LABEL_LENGTH = 24
"""Characters of a label; what is cut ends in an ellipsis."""

MARKS = {
    "below": payload.BELOW,
    "above": payload.ABOVE,
    "infinite": payload.INFINITE,
    "undefined": payload.UNDEFINED,
    "masked": payload.MASKED,
}
"""Codes that are no values."""

HEIGHT = 560
"""Of the view, in CSS pixels, where the host does not say otherwise."""


@runtime_checkable
class HasMaps(Protocol):
    """Something that has a map of every head, such as a trace."""

    def maps(self, kind: str | None = None) -> Iterable[AttentionMap]:
        """The maps of that kind, layer by layer, head by head."""
        ...


def model_view(
    source: HasMaps | Iterable[AttentionMap],
    *,
    selected: tuple[int | None, int | None] | None = None,
    kind: str | None = None,
    scores: pd.DataFrame | None = None,
    sort: str | None = None,
    detail: bool | Iterable[tuple[int | None, int | None]] = True,
    scale: scales.Kind = "linear",
    own_scale: bool = False,
    sink: sinks.Sink = "keep",
    limits: tuple[float | int, float | int] | None = None,
    height: int = HEIGHT,
    title: str | None = None,
    texts: Mapping[str, str] | None = None,
) -> page.View:
    """All layers × heads at a glance: one small map a head, each named by what it mostly does.

    All maps have one colour scale, from 0 to 1 (in a reduced picture, to the largest mean that
    attention allows, 1 / keys a cell), so that heads can be compared. Maps with other values
    (differences) take the range of the values. The reader can sort the heads, show those alone
    that do one thing, zoom, give each head a scale of its own, make the scale logarithmic, and
    take the first token out; `sort`, `scale`, `own_scale` and `sink` are what the view begins with.

    Colours come from codes of 8 bits: a cell is within 1/500 of the scale of its value, and what a
    query leaves beside the first token is coded the finer the less it is. What is masked, infinite,
    not a number or beyond `limits` is drawn in a way of its own, which the legend then explains.

    Args:
        source: a trace, or any maps of one shape over the same tokens, each of another head.
        selected: (layer, head) of the map that is outlined, and large if `detail`; None: none,
            or with `detail` the first.
        kind: of the maps: "decoder", "encoder" or "cross". None: the source's default; of plain
            maps, all.
        scores: a row a head, columns layer, head, perhaps kind, and numbers to sort by, as
            `vizcore.head_scores` returns. Entropy, and how clear a head's pattern is, are always
            there.
        sort: what the heads are sorted by: a column of `scores`, "entropy" or "pattern"; None: by
            layer and head.
        detail: whether a large picture of the head that is pointed at stands beside the grid, and
            which heads are in full. True: all, where that takes no more than
            `head_pictures.MAX_FULL_CELLS`; otherwise the selected one, and of each pattern the
            clearest, within `head_pictures.MAX_DETAIL_BYTES`. Heads as (layer, head): these, within
            the same budget; an empty list: none, the large picture is the small one enlarged.
            False: no large picture, nothing in full.
        scale: "linear" or "log".
        own_scale: whether each head has a scale of its own.
        sink: the first token: "keep", "grey" (its column is greyed out) or "renormalise" (so is
            it, and what each query leaves is divided by its sum; where that is less than
            `sinks.MIN_LEFT`, the row is marked instead).
        limits: the values at the two ends of the colours; what is beyond them is marked.
        height: in CSS pixels.
        title: for a page; None: how many layers and heads there are.
        texts: replaces entries of `model_view_texts.TEXTS`, for a host in another language.

    Raises:
        SelectionError: if there is no map, one is there twice, one that is selected or wanted in
            full is missing, or there is nothing of that name to sort by.
        ShapeError: if the maps differ in shape.
    """
    if limits is not None and not limits[0] < limits[1]:
        raise SelectionError(
            f"limits must go up, from the value at one end of the colours to that at the other, "
            f"not from {limits[0]} to {limits[1]}."
        )
    table = None if scores is None else ScoreTable.of(scores)
    wish = _wish(selected, detail)
    maps = source.maps(kind) if isinstance(source, HasMaps) else _of_kind(source, kind)
    ends = None if limits is None else (float(limits[0]), float(limits[1]))
    made = HeadPictures.of(maps, wish=wish, limits=ends)
    if made.last is None:
        of_kind = "" if kind is None else f" of kind {kind!r}"
        raise SelectionError(f"There are no maps{of_kind} to show: give at least one AttentionMap.")
    places = _places(made.heads)
    for place in wish.heads:
        if place not in places:
            verb = "select" if selected is not None and place == tuple(selected) else "show in full"
            raise SelectionError(
                f"There is no map of layer {place[0]}, head {place[1]} to {verb}: there are "
                f"{_count(places)}."
            )
    if selected is None and detail is not False:
        selected = next(iter(places))
    words = {**TEXTS, **(texts or {})}
    found = head_facts.scores(made.heads, table, words)
    names = [str(one["name"]) for one in found]
    if sort is not None and sort not in names:
        raise SelectionError(
            f"There is no {sort!r} to sort by: there is {', '.join(map(repr, names))}."
        )
    data = _pictures(made) | {
        "kind": made.heads[0].kind,
        **_heads(made, places, words),
        "scores": found,
        "selected": None if selected is None else list(selected),
        "detail": detail is not False,
        "begin": {"sort": sort, "log": scale == "log", "own": own_scale, "sink": sink},
        "height": height,
        "colours": {"light": colours.LIGHT.to_dict(), "dark": colours.DARK.to_dict()},
        "texts": words | _words(made, words),
    }
    return page.View(
        name="model_view",
        title=title or f"Attention, {_count(places)}",
        data=data,
        js=page.script("model_view"),
        css=page.style("model_view"),
    )


def _wish(
    selected: tuple[int | None, int | None] | None,
    detail: bool | Iterable[tuple[int | None, int | None]],
) -> Wish:
    first: list[NamedHead] = [] if selected is None else [(selected[0], selected[1])]
    if isinstance(detail, bool):
        return Wish(first, others=detail)
    return Wish([*first, *((one[0], one[1]) for one in detail)], others=False)


def _of_kind(maps: Iterable[AttentionMap], kind: str | None) -> Iterator[AttentionMap]:
    return (map for map in maps if kind is None or map.kind == kind)


def _places(heads: Sequence[head_facts.HeadFacts]) -> dict[NamedHead, int]:
    """Which map is at each (layer, head), in order."""
    if len(heads) > 1 and all(one.layer is None and one.head is None for one in heads):
        return {(None, index): index for index in range(len(heads))}
    places: dict[NamedHead, int] = {}
    for index, one in enumerate(heads):
        if (one.layer, one.head) in places:
            raise SelectionError(
                f"Layer {one.layer}, head {one.head} is there twice, in a model view it has one "
                f"place. Give maps of one kind (kind={one.kind!r})."
            )
        places[one.layer, one.head] = index
    return places


def _count(places: Iterable[NamedHead]) -> str:
    layers, heads = (set(axis) for axis in zip(*places, strict=True))
    return f"{len(layers)} layers × {len(heads)} heads"


def _heads(
    made: HeadPictures, places: Mapping[NamedHead, int], words: Mapping[str, str]
) -> dict[str, object]:
    layers, heads = (sorted(set(axis), key=_none_first) for axis in zip(*places, strict=True))
    patterns = head_facts.pattern_names(made.heads, words)
    order = [one["name"] for one in patterns]
    return {
        "layers": layers,
        "heads": heads,
        "patterns": patterns,
        "maps": [
            {
                "place": [layers.index(layer), heads.index(head)],
                "text": made.heads[index].pattern.text,
                "pattern": order.index(made.heads[index].pattern.name),
            }
            for (layer, head), index in places.items()
        ],
    }


def _pictures(made: HeadPictures) -> dict[str, object]:
    coding = made.coding()
    codes = np.stack([one.coded(coding) for one in made.pictures])
    # What a row leaves is no code, so it is not looked at.
    found = np.bincount(codes[:, 1:].ravel(), minlength=256)
    is_in_full = made.n_cells == made.shape
    assert made.last is not None  # noqa: S101 - asked by the caller
    has_labels = (is_in_full or made.details) and max(made.shape) <= MAX_LABELS
    return {
        "codes": payload.pack(codes),
        "full": [
            {
                "index": one.index,
                "low": one.coding.low,
                "high": one.coding.high,
                "apart": one.coding.apart,
                "codes": one.packed,
            }
            for one in made.details
        ],
        "shape": list(made.shape),
        "nSteps": payload.N_STEPS,
        "minLeft": sinks.MIN_LEFT,
        "low": coding.low,
        "high": coding.high,
        "isAttention": coding.apart,
        "marks": MARKS,
        "has": {name: bool(found[code]) for name, code in MARKS.items()},
        "queryTokens": _labels(made.last.query_tokens) if has_labels else None,
        "keyTokens": _labels(made.last.key_tokens) if has_labels else None,
    }


def _words(made: HeadPictures, words: Mapping[str, str]) -> dict[str, str]:
    """The texts that depend on the maps."""
    assert made.last is not None  # noqa: S101 - asked by the caller
    coding = made.coding()
    (n_rows, n_columns), (n_queries, n_keys) = made.n_cells, made.shape
    filled = {"low": f"{coding.low:.2g}".replace("-", "−"), "high": f"{coding.high:.2g}"}
    filled["least"] = f"{100 * sinks.MIN_LEFT:.0f} %"
    if coding.apart:
        filled["high"] = "1"
    if made.last.quantity != "attention":
        filled["quantity"] = made.last.quantity
    if (n_rows, n_columns) != made.shape:
        filled["reduced"] = words["reducedFrom"].format(queries=n_queries, keys=n_keys)
        if made.details:
            filled["reduced"] = words["inFull"].format(
                full=len(made.details), maps=len(made.heads), rows=n_rows, columns=n_columns
            )
        filled["oneReduced"] = words["oneReduced"].format(rows=n_rows, columns=n_columns)
    filled["steps"] = words["steps"].format(
        error=f"{(coding.high - coding.low) / (2 * payload.N_STEPS):.2g}"
    )
    filled["tooLittle"] = words["tooLittle"].format(least=filled["least"])
    return filled


def _none_first(number: int | None) -> int:
    return -1 if number is None else number


def _labels(tokens: Iterable[str]) -> list[str]:
    return [
        token if len(token) <= MAX_LABEL_LENGTH else token[: MAX_LABEL_LENGTH - 1] + "…"
        for token in tokens
    ]
