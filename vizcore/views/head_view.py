"""The head view: what each token looks at, as lines between two columns, a colour for each head.

The idea: lines show best where a token looks if only the strongest of each are drawn, and if one
can point at a token and see its own lines alone, with numbers. Where one head is all that counts,
`heatmap` shows every number; to find the heads worth looking at, take `model_view`.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, get_args, runtime_checkable

from vizcore.errors import SelectionError
from vizcore.maps import AttentionMap, maps_of
from vizcore.patterns import PLAINLY, TELLING, describe
from vizcore.views import colours, page, sinks
from vizcore.views.payload import MASKED, N_STEPS, UNDEFINED, shortened
from vizcore.views.rows import Form, form_of, pack_rows

FINE_BYTES = 1_100_000
"""Up to so many bytes before they are deflated, all layers are sent with fine codes."""

MAX_BYTES = 6_000_000
"""Up to so many, all layers are sent; above it, the chosen one, if need be its strongest lines."""

MAX_LABEL_LENGTH = 40
"""Characters of a token; what is cut ends in an ellipsis."""

MAX_DESCRIBED = 1024
"""Tokens by which heads are described; of a longer text the first ones."""

HEIGHT = 600
"""Of the view, in CSS pixels, where the host does not say otherwise."""

HEADS = {
    "light": (
        "#0049db",
        "#fa3500",
        "#00955b",
        "#ad3092",
        "#784429",
        "#4692ff",
        "#510682",
        "#113035",
    ),
    "dark": (
        "#2392b6",
        "#ba8400",
        "#00d18c",
        "#ed9df1",
        "#ffdf2a",
        "#9568ff",
        "#cf3768",
        "#b8eef6",
    ),
}
"""Colours of heads, told apart also by those who see fewer; after the last come dashed lines."""

TEXTS = {
    "layer": "Layer",
    "previous": "Previous layer",
    "next": "Next layer",
    "heads": "Heads",
    "headsOf": "Heads of layer {layer}",
    "described": "as seen in the first {tokens} tokens",
    "head": "Head {head}",
    "headHint": "{text}. Click: on or off. Double-click: this one alone.",
    "all": "All",
    "none": "None",
    "sink": "First token",
    "sinkIn": "shown",
    "sinkGrey": "grey",
    "sinkAway": "left out",
    "lines": "Lines per token",
    "every": "all",
    "queriesLabel": "{tokens} tokens that look. Arrow keys move, Enter holds one.",
    "keysLabel": "{tokens} tokens that are looked at. Arrow keys move, Enter holds one.",
    "hint": "Point at a token to see its own lines and their numbers. Click to hold it.",
    "held": "held (click again to let go)",
    "looks": "{token} looks at {others}",
    "looked": "{token} is looked at by {others}",
    "nothing": "{token}: no weight to show",
    "entry": "{token} {weight}",
    "ofHead": "{token} {weight} (head {head})",
    "onlySink": "{token} looks at the first token alone, in grey, {weight}",
    "andSink": "in grey: the first token, {weight}",
    "andRest": "{weight} more on {tokens} others, not sent",
    "andMasked": "others it cannot look at (masked): {tokens}",
    "andBroken": "weights that are not numbers: {tokens}",
    "isEmpty": "without the first token less than {left} is left of its weight, so no lines",
    "strongest": "The {n} strongest lines of each token",
    "everyLine": "All lines",
    "shareIn": "{lines}: {share} of the weight.",
    "shareGrey": (
        "The first token gets {sink} of the weight, in grey. {lines}: {share} of the rest."
    ),
    "shareAway": (
        "The first token is left out ({sink} of the weight); what is left of each token's weights "
        "is scaled up to sum to 1. {lines}: {share} of it."
    ),
    "values": "{lines}. Dashes: below zero.",
    "notAttention": "{lines}.",
    "kept": "Of each token the {n} strongest weights were sent.",
    "rounded": "Numbers are rounded for the screen: ± {error} at most.",
    "emptyMark": (
        "∅ Less than {left} is left in {rows} of {all} rows (one token in one head): too little to "
        "scale up, so they have no lines."
    ),
    "brokenMark": "! Not a number, or infinite, in the rows of so many tokens: {tokens}.",
    "noHead": "No head is switched on.",
    "noLine": "There is no weight to draw a line for.",
    "error": "This picture cannot be drawn: {reason}",
}
"""Every word that the view itself shows, in English; `texts` replaces any of them."""


@runtime_checkable
class HasHeads(Protocol):
    """Something that gives the map of any head, such as a trace."""

    def layers(self, kind: str | None = None) -> tuple[int, ...]:
        """The layers that have attention of this kind."""
        ...

    def n_heads(self, kind: str | None = None) -> int:
        """How many heads a layer has."""
        ...

    def query_tokens(self, kind: str | None = None) -> list[str]:
        """The rows of a map."""
        ...

    def key_tokens(self, kind: str | None = None) -> list[str]:
        """The columns of a map."""
        ...

    def map(self, layer: int, head: int, kind: str | None = None) -> AttentionMap:
        """The map of one head."""
        ...


def head_view(
    source: HasHeads | AttentionMap | Iterable[AttentionMap],
    layer: int | None = None,
    heads: Sequence[int] | None = None,
    *,
    kind: str | None = None,
    all_layers: bool | None = None,
    sink: str | None = None,
    selected: tuple[str, int] | None = None,
    height: int = HEIGHT,
    title: str | None = None,
    texts: Mapping[str, str] | None = None,
) -> page.View:
    """Tokens left and right, and lines between them: what each token looks at, head by head.

    `select` is told {layer, heads, kind, side, token}: the layer and the heads that are on, and the
    token that is held ("query" or "key", position), or None for both.

    Args:
        source: a trace, or maps over the same tokens.
        layer: the one in front. None: the first in which a head plainly does one thing.
        heads: those that are on at first; None: all. The reader can switch each on and off.
        kind: "decoder", "encoder" or "cross". None: the source's default; of plain maps, all.
        all_layers: whether the reader can go to other layers. None: if they fit into `MAX_BYTES`.
        sink: what becomes of lines to the first token, where many heads put what they don't need:
            "keep", "grey", or "renormalise" (left out, and the rest of each row scaled up to sum
            to 1).
            None: "grey" in a decoder, else "keep". The reader can switch.
        selected: ("query" or "key", position) of a token that is held.
        height: in CSS pixels.
        title: for a page.
        texts: replaces entries of `TEXTS`, for a host in another language.

    Raises:
        SelectionError: if there is no such layer, head, token, or no map at all.
        ShapeError: if the maps differ in shape.
    """
    if sink is not None and sink not in get_args(sinks.Sink):
        raise SelectionError(
            f"There is no sink={sink!r}. Choose one of {', '.join(get_args(sinks.Sink))}."
        )
    groups = list(_groups(source, layer, kind))
    if layer is not None and layer not in [group.layer for group in groups]:
        numbers = ", ".join(str(group.layer) for group in groups)
        raise SelectionError(f"There is no layer {layer}. Layers: {numbers}.")
    groups, form = _fitting(groups, layer, all_layers)
    made = [_made(group, form) for group in groups]
    shown = _shown(made, layer)
    first = made[shown].first
    kind = first.kind if kind is None else kind
    _check_token(selected, first)
    data: dict[str, Any] = {
        "kind": kind,
        "layers": [
            {"layer": one.layer, "heads": one.heads, "weights": one.weights} for one in made
        ],
        "shown": shown,
        "nDescribed": min(MAX_DESCRIBED, max(len(first.query_tokens), len(first.key_tokens))),
        "on": _on(made[shown], heads),
        "sink": sink or ("grey" if kind == "decoder" else "keep"),
        "queryTokens": shortened(first.query_tokens, MAX_LABEL_LENGTH),
        "keyTokens": shortened(first.key_tokens, MAX_LABEL_LENGTH),
        "height": height,
        "nSteps": N_STEPS,
        "undefinedCode": UNDEFINED,
        "maskedCode": MASKED,
        "colours": {
            "heads": {name: list(palette) for name, palette in HEADS.items()},
            "light": colours.LIGHT.to_dict(),
            "dark": colours.DARK.to_dict(),
        },
        "texts": {**TEXTS, **(texts or {})},
    }
    data["identity"] = hashlib.blake2b(json.dumps(data).encode(), digest_size=8).hexdigest()
    data["selected"] = None if selected is None else {"side": selected[0], "token": selected[1]}
    return page.View(
        name="head_view",
        title=title or _title(made),
        data=data,
        js=page.script("head_view"),
        css=page.style("head_view"),
    )


@dataclass(frozen=True, eq=False)
class _Group:
    """The heads of one layer, whose maps are made when they are needed."""

    layer: int | None
    n_heads: int
    shape: tuple[int, int]
    maps: Callable[[], list[AttentionMap]]


@dataclass(frozen=True, eq=False)
class _Layer:
    """What is kept of a layer once its maps have been looked at; `first` is one without numbers."""

    layer: int | None
    heads: list[dict[str, object]]
    is_telling: bool
    weights: dict[str, object]
    first: "_Labels"


@dataclass(frozen=True)
class _Labels:
    kind: str | None
    query_tokens: tuple[str, ...]
    key_tokens: tuple[str, ...]


def _groups(
    source: HasHeads | AttentionMap | Iterable[AttentionMap], layer: int | None, kind: str | None
) -> Iterator[_Group]:
    if isinstance(source, HasHeads):
        layers, n_heads = source.layers(kind), source.n_heads(kind)
        if layer is not None and layer not in layers:
            source.map(layer, 0, kind)  # which says what is wrong, better than it can be said here
        shape = (len(source.query_tokens(kind)), len(source.key_tokens(kind)))
        for number in layers:
            heads = [(number, head, kind) for head in range(n_heads)]
            yield _Group(
                number,
                n_heads,
                shape,
                lambda heads=heads: [source.map(*one) for one in heads],  # type: ignore[misc]
            )
        return
    maps = list(maps_of(source, kind))
    if not maps:
        of_kind = "" if kind is None else f" of kind {kind!r}"
        raise SelectionError(f"There are no maps{of_kind} to show: give at least one AttentionMap.")
    by_layer: dict[int | None, list[AttentionMap]] = {}
    for map in maps:
        by_layer.setdefault(map.layer, []).append(map)
    n_queries, n_keys = maps[0].values.shape
    for of_layer, group in by_layer.items():
        yield _Group(of_layer, len(group), (n_queries, n_keys), partial(list, group))


def _fitting(
    groups: list[_Group], layer: int | None, all_layers: bool | None
) -> tuple[list[_Group], Form]:
    """The layers that are sent, and how."""
    n_maps = sum(group.n_heads for group in groups)
    shape = groups[0].shape
    small = n_maps * shape[0] * shape[1] <= MAX_BYTES
    if all_layers or (all_layers is None and small):
        form = form_of(n_maps, shape, fine_bytes=FINE_BYTES, max_bytes=MAX_BYTES)
        if form is not None:
            return groups, form
        if all_layers:
            raise SelectionError(
                f"{len(groups)} layers of {groups[0].n_heads} heads over {shape[1]} tokens are too "
                "many for one page: give a layer, and leave out all_layers=True."
            )
    one = next((group for group in groups if group.layer == layer), groups[0])
    form = form_of(one.n_heads, shape, fine_bytes=FINE_BYTES, max_bytes=MAX_BYTES, least=1)
    return [one], form or Form(kept=1, fine=True)


def _made(group: _Group, form: Form) -> _Layer:
    maps = group.maps()
    patterns = [describe(_beginning(map)) for map in maps]
    first = maps[0]
    return _Layer(
        layer=group.layer,
        heads=[
            {"head": map.head, "name": map.name, "text": pattern.text}
            for map, pattern in zip(maps, patterns, strict=True)
        ],
        is_telling=any(one.name in TELLING and one.score >= PLAINLY for one in patterns),
        weights=pack_rows(maps, form),
        first=_Labels(first.kind, first.query_tokens, first.key_tokens),
    )


def _beginning(map: AttentionMap) -> AttentionMap:
    """The map itself, or its first tokens: to describe thousands takes seconds a head."""
    n = MAX_DESCRIBED
    if max(map.values.shape) <= n:
        return map
    return AttentionMap(
        map.values[:n, :n],
        map.query_tokens[:n],
        map.key_tokens[:n],
        kind=map.kind,
        masked=None if map.masked is None else map.masked[:n, :n],
    )


def _shown(made: Sequence[_Layer], layer: int | None) -> int:
    """The place of the layer that is in front."""
    if layer is not None:
        return next(index for index, one in enumerate(made) if one.layer == layer)
    return next((index for index, one in enumerate(made) if one.is_telling), 0)


def _on(one: _Layer, heads: Sequence[int] | None) -> list[int]:
    """The places of the heads that are on."""
    numbers = [entry["head"] for entry in one.heads]
    if heads is None:
        return list(range(len(numbers)))
    missing = [head for head in heads if head not in numbers]
    if missing:
        raise SelectionError(
            f"There is no head {missing[0]} to switch on. Heads: {', '.join(map(str, numbers))}."
        )
    return [numbers.index(head) for head in heads]


def _check_token(selected: tuple[str, int] | None, labels: _Labels) -> None:
    if selected is None:
        return
    tokens = {"query": labels.query_tokens, "key": labels.key_tokens}
    side, token = selected
    if side not in tokens:
        raise SelectionError(f'A token is held as a "query" or as a "key", not as {side!r}.')
    if not 0 <= token < len(tokens[side]):
        raise SelectionError(
            f"There is no {side} {token} to hold: they go from 0 to {len(tokens[side]) - 1}."
        )


def _title(made: Sequence[_Layer]) -> str:
    if len(made) > 1:
        return f"What each token looks at, {len(made)} layers"
    layer = made[0].layer
    return "What each token looks at" + ("" if layer is None else f", layer {layer}")
