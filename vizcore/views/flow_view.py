"""The flow view: attention through all layers, from position to position, as a graph.

The idea: a column for each layer and a row for each token, and between them lines as strong as the
share that passes there; choose a place and only what flows into it (or out of it) is left, with the
numbers of an attention rollout (Abnar & Zuidema 2020). It says how much attention there is along
the ways, not what is carried on them. For one layer take `head_view`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Literal

from vizcore.combine import mean_map
from vizcore.errors import SelectionError
from vizcore.maps import AttentionMap, HasMaps, maps_of
from vizcore.views import colours, page
from vizcore.views.flow_pack import Packed, pack_layers
from vizcore.views.sinks import Sink

MAX_BYTES = 2_000_000
"""Of all layers' weights before they are deflated: longer texts get fewer weights a row."""

MAX_LINES = 2_500
"""More could not be told apart; the strongest are drawn, and it is said."""

HEIGHT = 640
"""Of the view, in CSS pixels, where the host does not say otherwise."""

TEXTS = {
    "into": "What flows into it",
    "outOf": "What flows out of it",
    "way": "Direction",
    "residual": "Residual stream counts {share} %",
    "residualHint": (
        "What was there before a layer is still there after it: that counts so much, and what the "
        "layer's attention brings counts the rest."
    ),
    "sink": "First token",
    "sinkIn": "left in",
    "sinkGrey": "greyed",
    "sinkAway": "taken out",
    "threshold": "Lines from {share} %",
    "everything": "Show everything",
    "input": "text",
    "layerAxis": "after layer",
    "label": (
        "Attention of {tokens} tokens through {layers} layers. Arrow keys move over places, Enter "
        "chooses one, Escape shows everything."
    ),
    "placeInput": "“{token}” ({position}), as it enters",
    "place": "“{token}” ({position}) after layer {layer}",
    "fromWhom": "{place} comes from: {list}",
    "toWhom": "{place} goes into, after the last layer: {list}",
    "part": "“{token}” {share}",
    "nowhere": "no token 0.5 % or more",
    "overview": (
        "Each line is what one layer takes from another token. Point at a place to see what flows "
        "into it through all layers; click to keep it."
    ),
    "thickest": "thickest line {share}",
    "lines": "{n} lines",
    "strongest": "the {n} strongest of {all} lines",
    "folded": "{n} of {all} tokens, which take little part, are folded away",
    "kept": "of each row the {n} largest weights are lines, the others are spread evenly "
    "(numbers are right to ±{error} %, as far as checked)",
    "broken": "{n} rows are not numbers: nothing is followed through them",
    "heads": "mean of all heads",
    "someHeads": "mean of heads {heads}",
    "error": "This picture cannot be drawn: {reason}",
}
"""Every word that the view shows, in English; `texts` replaces any of them."""

Way = Literal["into", "outOf"]


def flow_view(
    source: HasMaps | Iterable[AttentionMap],
    *,
    kind: str | None = None,
    heads: Sequence[int] | None = None,
    residual: float | int | None = 0.5,
    token: int | None = -1,
    layer: int | None = None,
    way: Way = "into",
    sink: Sink = "keep",
    threshold: float | int | None = None,
    max_bytes: int = MAX_BYTES,
    height: int = HEIGHT,
    title: str | None = None,
    texts: Mapping[str, str] | None = None,
) -> page.View:
    """Attention through all layers between positions, as a graph that can be pruned.

    Each layer is M = r·I + (1 - r)·Ā with rows that sum to 1: Ā the mean of the heads, r the share
    of the residual stream. What flows into a place is its row of the product of all layers below
    it, as in `vizcore.rollout`; a line is what of that passes it. `select` is told {layer, token,
    way} of the place that is chosen, layer None for the text itself, and all None for none.

    Args:
        source: a trace, or maps of every layer; maps of words show words.
        kind: "decoder" or "encoder". None: the source's default. Cross-attention goes from one
            text to another, so it cannot be followed by itself.
        heads: the mean is taken over these heads, in every layer; None: over all.
        residual: the share r, from 0 to 1; 0 follows the attention alone. The reader can switch
            it off and on. None: the maps say themselves what stays, as those of
            `Contributions.maps` do, and their rows sum to 1.
        token, layer: the place that is chosen at first: a token after a layer (None: the last),
            both counted from 0, the token from the end if negative. token=None: everything.
        way: whether what flows into the place is shown or what flows out of it.
        sink: what becomes of the first token: "keep", "grey" (lines to it are pale), or
            "renormalise" (left out, and the rest of each row scaled up to the same sum).
        threshold: lines of at least this share, from 0 to 1, are drawn. None: so that there are
            not too many.
        max_bytes: of the weights. What does not fit is summed up, and the error is stated.
        height: in CSS pixels.
        title: for a page.
        texts: replaces entries of `TEXTS`, for a host in another language.

    Raises:
        SelectionError: if there are no maps, no such layer, token, head or kind, or too many
            tokens.
        ShapeError: if the maps are not square, differ in shape, or are no weights.
    """
    whole = residual is None
    residual = 0.0 if residual is None else residual
    if not 0 <= residual <= 1:
        raise SelectionError(f"The residual share must be from 0 to 1, not {residual}.")
    if heads is not None and not heads:
        raise SelectionError("No heads were given: name at least one, or None for all.")
    found = pack_layers(_layers(source, kind, heads), residual=float(residual), max_bytes=max_bytes)
    n_tokens = len(found.tokens)
    if token is not None and not -n_tokens <= token < n_tokens:
        raise SelectionError(
            f"There is no token {token}: there are {n_tokens}, counted from 0 to {n_tokens - 1}, "
            "or from -1 backwards."
        )
    if layer is not None and layer not in found.layers:
        raise SelectionError(
            f"There is no layer {layer} among these maps: there are {_listed(found.layers)}."
        )
    column = len(found.layers) if layer is None else found.layers.index(layer) + 1
    words = {**TEXTS, **(texts or {})}
    data: dict[str, object] = {
        "weights": found.data,
        "layers": found.layers,
        "tokens": list(found.tokens),
        "error": found.error,
        "residual": float(residual) or 0.5,
        "hasResidual": residual > 0,
        "whole": whole,
        "sink": sink,
        "way": way,
        "threshold": threshold,
        "chosen": None if token is None else [column, token % n_tokens],
        "maxLines": MAX_LINES,
        "heads": words["heads"] if heads is None else _named(words, heads),
        "height": height,
        "colours": {"light": colours.LIGHT.to_dict(), "dark": colours.DARK.to_dict()},
        "texts": words,
    }
    return page.View(
        name="flow_view",
        title=title or _title(found),
        data=data,
        js=page.script("flow_view"),
        css=page.style("flow_view"),
    )


def _layers(
    source: HasMaps | Iterable[AttentionMap], kind: str | None, heads: Sequence[int] | None
) -> Iterator[AttentionMap]:
    """One map a layer: the mean of its heads, or of those that were chosen."""
    maps = maps_of(source, kind)
    if not isinstance(source, HasMaps):
        maps = iter(sorted(maps, key=lambda map: -1 if map.layer is None else map.layer))
    kinds: set[str | None] = set()
    for layer, group in groupby(maps, key=lambda map: map.layer):
        of_layer = list(group)
        kinds |= {map.kind for map in of_layer}
        if "cross" in kinds:
            raise SelectionError(
                "Cross-attention goes from one text to another, so it cannot be followed from "
                "layer to layer. Take kind='decoder' or kind='encoder', or rollout(…, 'cross')."
            )
        if len(kinds) > 1:
            names = " and ".join(repr(one) for one in sorted(map(str, kinds)))
            raise SelectionError(f"There are maps of kinds {names}: say which are meant (kind=…).")
        if heads is not None:
            missing = sorted({*heads} - {map.head for map in of_layer if map.head is not None})
            if missing:
                raise SelectionError(f"Layer {layer} has no map of head {_listed(missing)}.")
            of_layer = [map for map in of_layer if map.head in heads]
        yield mean_map(of_layer)


def _named(words: Mapping[str, str], heads: Sequence[int]) -> str:
    return words["someHeads"].format(heads=", ".join(str(head) for head in heads))


def _listed(layers: Sequence[int]) -> str:
    return ", ".join(str(layer) for layer in layers)


def _title(found: Packed) -> str:
    return f"Attention through {len(found.layers)} layers"
