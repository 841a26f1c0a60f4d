"""The model view: a small map of every head of every layer, at a glance.

The idea: what 270 heads do can be seen side by side, sorted and filtered by what they do, and
zoomed into. Heads are drawn from codes of 8 bits: in full where that is a page of a megabyte or
two, else from thumbnails of at most 64 × 64 cells, with some heads in full. It is for finding the
heads worth a closer look; exact values are in the map itself, and `heatmap` shows one.
"""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from vizcore.errors import SelectionError
from vizcore.maps import AttentionMap, HasMaps, maps_of
from vizcore.views import colours, head_facts, page, scales, sinks
from vizcore.views.head_payload import pictures_data, words_about
from vizcore.views.head_pictures import HeadPictures, NamedHead, Wish
from vizcore.views.model_view_texts import TEXTS
from vizcore.views.overviews import Overview
from vizcore.views.score_table import ScoreTable

HEIGHT = 560
"""Of the view, in CSS pixels, where the host does not say otherwise."""


def model_view(
    source: HasMaps | Iterable[AttentionMap] | Overview,
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
        source: a trace, or any maps of one shape over the same tokens, each of another head; of a
            long text an overview (`vizcore.head_overview`), which has no head in full.
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
    ends = None if limits is None else (float(limits[0]), float(limits[1]))
    if isinstance(source, Overview):
        made = HeadPictures.of_overview(source.of_kind(kind), wish=wish, limits=ends)
    else:
        made = HeadPictures.of(maps_of(source, kind), wish=wish, limits=ends)
    if not made.heads:
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
    data = pictures_data(made) | {
        "kind": made.heads[0].kind,
        **_heads(made, places, words),
        "scores": found,
        "selected": None if selected is None else list(selected),
        "detail": detail is not False,
        "begin": {"sort": sort, "log": scale == "log", "own": own_scale, "sink": sink},
        "height": height,
        "colours": {"light": colours.LIGHT.to_dict(), "dark": colours.DARK.to_dict()},
        "texts": words | words_about(made, words),
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
    counted = ((len(layers), "layer"), (len(heads), "head"))
    return " × ".join(f"{n} {name}{'' if n == 1 else 's'}" for n, name in counted)


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


def _none_first(number: int | None) -> int:
    return -1 if number is None else number
