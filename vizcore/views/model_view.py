"""The model view: a small map of every head of every layer, at a glance.

The idea: what 270 heads do can be seen side by side if each is a thumbnail, reduced by area
averaging to at most 64 × 64 cells of 8 bits, and named in words. It is for finding the heads worth
a closer look; exact values are in the map itself, and `heatmap` shows one in full.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from vizcore.errors import SelectionError, ShapeError
from vizcore.maps import AttentionMap, HasMaps, maps_of
from vizcore.patterns import Pattern, describe_all
from vizcore.views import colours, page
from vizcore.views.payload import MASKED, N_STEPS, UNDEFINED, pack, quantise
from vizcore.views.reduce import Averaging, Reduced, areas

MAX_CELLS_A_SIDE = 64
"""A thumbnail has at most so many cells down and across."""

MAX_BYTES = 2_000_000
"""All thumbnails together, before they are deflated. More heads get smaller thumbnails."""

MAX_LABELS = 64
"""With more tokens than this no label could be read, so none are sent."""

MAX_LABEL_LENGTH = 24
"""Characters of a label; what is cut ends in an ellipsis."""

HEIGHT = 560
"""Of the view, in CSS pixels, where the host does not say otherwise."""

BATCH_CELLS = 4_000_000
"""Maps are described in batches of so many numbers: fast for short texts, frugal for long."""

TEXTS = {
    "quantity": "weight",
    "masked": "masked",
    "undefined": "not a number",
    "reduced": "",
    "reducedFrom": "reduced from {queries} × {keys} tokens",
    "ownScale": "One scale for each head",
    "layer": "Layer",
    "head": "Head",
    "label": (
        "{maps} attention maps, {layers} layers of {heads} heads. "
        "Arrow keys move, Enter opens the map in large."
    ),
    "hint": "Point at a map to see what that head does. Click to open it.",
    "named": "Layer {layer} · Head {head}: {text}",
    "layerOnly": "Layer {layer}: {text}",
    "map": "Map {map}: {text}",
    "queryAxis": "query ↓",
    "keyAxis": "key →",
    "cell": "“{query}” looks at “{key}”: {value}",
    "reducedCell": "Mean of this cell: {value}",
    "error": "This picture cannot be drawn: {reason}",
}
"""Every word that the view shows, in English; `model_view(texts=...)` replaces any of them."""


def model_view(
    source: HasMaps | Iterable[AttentionMap],
    *,
    selected: tuple[int | None, int | None] | None = None,
    kind: str | None = None,
    detail: bool = True,
    height: int = HEIGHT,
    title: str | None = None,
    texts: Mapping[str, str] | None = None,
) -> page.View:
    """All layers × heads at a glance: one small map a head, each named by what it mostly does.

    All maps have one colour scale, from 0 to 1 (in a reduced picture, to the largest mean that
    attention allows, 1 / keys a cell), so that heads can be compared; the reader can switch to a
    scale for each head. Maps with other values (differences) take the range of the values.

    Args:
        source: a trace, or any maps of one shape over the same tokens, each of another head.
        selected: (layer, head) of the map that is outlined, and large if `detail`; None: none,
            or with `detail` the first.
        kind: of the maps: "decoder", "encoder" or "cross". None: the source's default; of plain
            maps, all.
        detail: whether a large picture of the head that is pointed at stands beside the grid.
        height: in CSS pixels.
        title: for a page; None: how many layers and heads there are.
        texts: replaces entries of `TEXTS`, for a host in another language.

    Raises:
        SelectionError: if there is no map, one is there twice, or the selected one is missing.
        ShapeError: if the maps differ in shape.
    """
    thumbnails = _Thumbnails.of(maps_of(source, kind))
    if not thumbnails.heads:
        of_kind = "" if kind is None else f" of kind {kind!r}"
        raise SelectionError(f"There are no maps{of_kind} to show: give at least one AttentionMap.")
    places = _places(thumbnails.heads)
    if selected is not None and tuple(selected) not in places:
        raise SelectionError(
            f"There is no map of layer {selected[0]}, head {selected[1]} to select: there are "
            f"{_count(places)}."
        )
    if selected is None and detail:
        selected = next(iter(places))
    return page.View(
        name="model_view",
        title=title or f"Attention, {_count(places)}",
        data=_data(thumbnails, places, selected, detail=detail, height=height, texts=texts or {}),
        js=page.script("model_view"),
        css=page.style("model_view"),
    )


@dataclass(frozen=True)
class _Head:
    layer: int | None
    head: int | None
    kind: str | None
    text: str


@dataclass(frozen=True, eq=False)
class _Thumbnails:
    """What is kept of the maps once they have been looked at."""

    heads: list[_Head]
    values: Float[np.ndarray, "map row column"]
    masked: Bool[np.ndarray, "map row column"]
    shape: tuple[int, int]
    query_tokens: tuple[str, ...]
    key_tokens: tuple[str, ...]
    quantity: str
    is_attention: bool

    @classmethod
    def of(cls, maps: Iterable[AttentionMap]) -> "_Thumbnails":
        heads: list[_Head] = []
        reduced: list[Reduced] = []
        is_attention = True
        last: AttentionMap | None = None
        average: Averaging | None = None
        for batch in _batches(maps):
            for map, pattern in zip(batch, _patterns(batch), strict=True):
                heads.append(_Head(map.layer, map.head, map.kind, pattern.text))
                average = average or _thumbnails_of(map.values.shape, MAX_CELLS_A_SIDE)
                reduced.append(average(map.values, map.masked))
                is_attention &= _is_attention(map.values)
                last = map
        if last is None:
            return cls([], np.zeros((0, 0, 0)), np.zeros((0, 0, 0), bool), (0, 0), (), (), "", True)
        side = int(np.sqrt(MAX_BYTES / len(heads)))
        if max(reduced[0].values.shape) > side:
            average = _thumbnails_of(reduced[0].values.shape, side)
            reduced = [average(one.values, one.masked) for one in reduced]
        return cls(
            heads=heads,
            values=np.stack([one.values for one in reduced]),
            masked=np.stack([one.masked for one in reduced]),
            shape=last.values.shape,
            query_tokens=last.query_tokens,
            key_tokens=last.key_tokens,
            quantity=last.quantity,
            is_attention=is_attention,
        )


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


def _patterns(batch: Sequence[AttentionMap]) -> list[Pattern]:
    first = batch[0]
    masks = [map.masked for map in batch]
    alike = all(
        mask is masks[0]
        or (mask is not None and masks[0] is not None and np.array_equal(mask, masks[0]))
        for mask in masks
    )
    nothing = np.zeros(first.values.shape, dtype=bool)
    return describe_all(
        np.stack([map.values for map in batch]),
        query_tokens=first.query_tokens,
        key_tokens=first.key_tokens,
        masked=masks[0] if alike else np.stack([nothing if m is None else m for m in masks]),
        kind=first.kind,
    )


def _is_attention(values: Float[np.ndarray, "query key"]) -> bool:
    """Whether every row could be weights that sum to 1 (or less, with an attention sink)."""
    finite = np.where(np.isfinite(values), values, 0)
    return bool(finite.min() >= 0 and finite.sum(axis=1).max() <= 1 + 1e-3)


def _places(heads: Sequence[_Head]) -> dict[tuple[int | None, int | None], int]:
    """Which map is at each (layer, head), in order."""
    if len(heads) > 1 and all(one.layer is None and one.head is None for one in heads):
        return {(None, index): index for index in range(len(heads))}
    places: dict[tuple[int | None, int | None], int] = {}
    for index, one in enumerate(heads):
        if (one.layer, one.head) in places:
            raise SelectionError(
                f"Layer {one.layer}, head {one.head} is there twice, in a model view it has one "
                f"place. Give maps of one kind (kind={one.kind!r})."
            )
        places[one.layer, one.head] = index
    return places


def _count(places: Iterable[tuple[int | None, int | None]]) -> str:
    layers, heads = (set(axis) for axis in zip(*places, strict=True))
    return f"{len(layers)} layers × {len(heads)} heads"


def _data(
    thumbnails: _Thumbnails,
    places: Mapping[tuple[int | None, int | None], int],
    selected: tuple[int | None, int | None] | None,
    *,
    detail: bool,
    height: int,
    texts: Mapping[str, str],
) -> dict[str, object]:
    layers, heads = (sorted(set(axis), key=_none_first) for axis in zip(*places, strict=True))
    n_queries, n_keys = thumbnails.shape
    _, n_rows, n_columns = thumbnails.values.shape
    low, high = _scale(thumbnails)
    codes = quantise(thumbnails.values, low=low, high=high)
    codes[thumbnails.masked] = MASKED
    is_reduced = (n_rows, n_columns) != thumbnails.shape
    words = {**TEXTS, **texts}
    if thumbnails.quantity != "attention":
        words["quantity"] = thumbnails.quantity
    if is_reduced:
        words["reduced"] = words["reducedFrom"].format(queries=n_queries, keys=n_keys)
    words["low"] = "0" if low == 0 else f"{low:.2g}"
    words["high"] = "1" if thumbnails.is_attention else f"{high:.2g}"
    has_labels = not is_reduced and max(thumbnails.shape) <= MAX_LABELS
    return {
        "kind": thumbnails.heads[0].kind,
        "layers": layers,
        "heads": heads,
        "maps": [
            {
                "place": [layers.index(layer), heads.index(head)],
                "text": thumbnails.heads[index].text,
            }
            for (layer, head), index in places.items()
        ],
        "codes": pack(codes),
        "nSteps": N_STEPS,
        "undefinedCode": UNDEFINED,
        "maskedCode": MASKED,
        "low": low,
        "high": high,
        "isAttention": thumbnails.is_attention,
        "hasMasked": bool((codes == MASKED).any()),
        "hasUndefined": bool((codes == UNDEFINED).any()),
        "queryTokens": _labels(thumbnails.query_tokens) if has_labels else None,
        "keyTokens": _labels(thumbnails.key_tokens) if has_labels else None,
        "selected": None if selected is None else list(selected),
        "detail": detail,
        "height": height,
        "colours": {"light": colours.LIGHT.to_dict(), "dark": colours.DARK.to_dict()},
        "texts": words,
    }


def _none_first(number: int | None) -> int:
    return -1 if number is None else number


def _scale(thumbnails: _Thumbnails) -> tuple[float, float]:
    """The values that the ends of the colour ramp stand for."""
    if thumbnails.is_attention:
        # A row's weights sum to 1, so the mean over k keys is at most 1/k.
        return 0.0, thumbnails.values.shape[2] / thumbnails.shape[1]
    finite = thumbnails.values[np.isfinite(thumbnails.values)]
    largest = float(np.abs(finite).max(initial=0)) or 1.0
    return (-largest if finite.min(initial=0) < 0 else 0.0), largest


def _labels(tokens: Iterable[str]) -> list[str]:
    return [
        token if len(token) <= MAX_LABEL_LENGTH else token[: MAX_LABEL_LENGTH - 1] + "…"
        for token in tokens
    ]
