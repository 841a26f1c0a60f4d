"""The tile view: one map of a long text, to zoom into and to move over like a street map.

The idea: a page never holds more than a million numbers. It has the whole map coarsely and one
tile finely, the region that is looked at and a margin around it; where a host can compute more, as
the app can, the view asks it for the tile that it needs next, and shows what it has until it comes.
For maps of up to some hundred tokens take `heatmap`, which shows everything at once.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8

from vizcore.errors import SelectionError
from vizcore.maps import AttentionMap
from vizcore.views import colours, page
from vizcore.views.map_tiles import HasRows, LongMap, MapRegion, Tile, cut
from vizcore.views.payload import pack, shortened
from vizcore.views.scales import MAX_DECADES, Kind
from vizcore.views.sinks import MIN_LEFT

MAX_VALUES = 1_000_000
"""So many numbers of the map are in the page at once, at most."""

TILE_SIDE = 640
"""A tile has at most so many cells down and across."""

BACKDROP_SIDE = 240
"""So many has the coarse picture of the whole map."""

MAX_EXACT = 65_536
"""Up to so many cells a tile is sent in float32; a larger one of weights, which are between 0 and
1, in float16 (a relative error of at most 1/2048, and nothing below 6e-8)."""

HEIGHT = 560
"""Of the view, in CSS pixels, where the host does not say otherwise."""

MAX_LABEL_LENGTH = 40
"""Characters of a token; what is cut ends in an ellipsis."""

TEXTS = {
    "quantity": "weight",
    "queryAxis": "query ↓",
    "keyAxis": "key →",
    "zoomIn": "Zoom in",
    "zoomOut": "Zoom out",
    "whole": "Whole map",
    "colours": "Colours",
    "linear": "Colours: linear",
    "log": "Colours: logarithmic",
    "firstToken": "First token",
    "keep": "First token: as it is",
    "renormalise": "First token: left out, rest scaled up",
    "masked": "masked",
    "undefined": "not a number, or infinite",
    "tooLittle": "leaves less than {least}",
    "block": "each cell: {block} × {block} tokens",
    "noFiner": "each cell: {block} × {block} tokens (all that this page holds)",
    "partly": "every token at queries {query}–{queryEnd}, keys {key}–{keyEnd}; elsewhere "
    "{block} × {block} tokens a cell",
    "hint": "Scroll or pinch to zoom, drag to move. Point at a cell to read it.",
    "cell": "“{query}” ({queryAt}) looks at “{key}” ({keyAt}): {value}",
    "cells": "Tokens {queryAt}–{queryEnd} give {value} of their weight to tokens {keyAt}–{keyEnd}",
    "marked": "Tokens {queryAt}–{queryEnd} and {keyAt}–{keyEnd}: {value}",
    "means": "Tokens {queryAt}–{queryEnd} and {keyAt}–{keyEnd}: {value} on average",
    "label": (
        "{name}: attention map of {queries} × {keys} tokens. Arrow keys move, + and - zoom, "
        "0 shows the whole map."
    ),
    "error": "This picture cannot be drawn: {reason}",
}
"""Every word that the view shows, in English; `tile_view(texts=...)` replaces any of them."""


def tile_view(
    source: AttentionMap | HasRows,
    layer: int | None = None,
    head: int | None = None,
    *,
    kind: str | None = None,
    region: MapRegion | None = None,
    row: int | None = None,
    scale: Kind = "log",
    without_first: bool = False,
    live: bool = False,
    earlier: page.View | None = None,
    height: int = HEIGHT,
    title: str | None = None,
    texts: Mapping[str, str] | None = None,
) -> page.View:
    """One map of a long text: the whole of it coarsely, a region of it finely.

    A cell of several tokens shows how much weight its queries give to its keys: the sum over keys,
    the mean over queries; of maps whose rows are no weights, the mean. Once a cell is one token,
    its number is the map's own. A page or a notebook holds the whole map as far as
    `TILE_SIDE` cells a side go, and one region in more detail; it says what it does not hold.

    A host that answers (`live`) is asked by `select({"tile": {"query", "key", "n_queries",
    "n_keys"}, "without_first": bool})` for the tile that is needed next, and by
    `select({"row": query})` when a query was picked; it calls this again and gives the view the new
    data on the same element.

    Args:
        source: a map, or a trace, of which layer and head say the map.
        layer, head: counted from 0.
        kind: of attention; None: the trace's main one.
        region: what to show finely; None: all.
        row: the position of a query that is marked.
        scale: "log" or "linear", what the view begins with: most weights of a long text are small.
        without_first: whether the first token is taken out, and the rest of each row scaled up.
        live: whether the host answers when it is asked for a tile.
        earlier: a view of the same map, from which the coarse picture is taken over.
        height: in CSS pixels.
        title: for a page; None: which map it is.
        texts: replaces entries of `TEXTS`, for a host in another language.

    Raises:
        SelectionError: if there is no such head or row, or nothing to show.
    """
    map = LongMap.of(source, layer, head, kind)
    if row is not None and not 0 <= row < map.shape[0]:
        raise SelectionError(
            f"There is no query {row}: the map has {map.shape[0]}, counted from 0."
        )
    whole = MapRegion(0, 0, *map.shape)
    fine = whole if region is None else region.within(map.shape)
    identity = f"{map.name}/{kind}/{map.shape}/{without_first}"
    wanted = [(fine, _block(fine, TILE_SIDE))]
    kept = None
    if earlier is not None and earlier.data["identity"] == identity:
        kept = earlier.data["backdrop"]
    if kept is None and (live or fine != whole):
        side = BACKDROP_SIDE if live else TILE_SIDE
        wanted.append((whole, _block(whole, side)))
    tiles = cut(map, wanted, without_first=without_first)
    n_values = sum(tile.values.size for tile in tiles)
    assert n_values <= MAX_VALUES  # noqa: S101 - what the sides above add up to
    packed = [_packed(tile, exactly=not map.is_attention) for tile in tiles]
    same = list(map.query_tokens) == list(map.key_tokens)
    words = {**TEXTS, **(texts or {})}
    if map.quantity != "attention":
        words["quantity"] = map.quantity
    words["tooLittle"] = words["tooLittle"].format(least=f"{100 * MIN_LEFT:.0f} %")
    data: dict[str, object] = {
        "identity": identity,
        "name": map.name,
        "shape": list(map.shape),
        "queryTokens": shortened(map.query_tokens, MAX_LABEL_LENGTH),
        "keyTokens": None if same else shortened(map.key_tokens, MAX_LABEL_LENGTH),
        "tile": packed[0],
        "backdrop": packed[1] if len(packed) > 1 else kept,
        "side": TILE_SIDE,
        "low": map.limits[0],
        "high": map.limits[1],
        "decades": MAX_DECADES,
        "isAttention": map.is_attention,
        "row": row,
        "log": scale == "log",
        "withoutFirst": without_first,
        "live": live,
        "height": height,
        "colours": {"light": colours.LIGHT.to_dict(), "dark": colours.DARK.to_dict()},
        "texts": words,
    }
    return page.View(
        name="tile_view",
        title=title or map.name[:1].upper() + map.name[1:],
        data=data,
        js=page.script("tile_view"),
        css=page.style("tile_view"),
    )


def _block(region: MapRegion, side: int) -> int:
    """The smallest block of which a region has at most so many a side."""
    return max(1, -(-max(region.n_queries, region.n_keys) // side))


def _packed(tile: Tile, *, exactly: bool) -> dict[str, object]:
    region = tile.region
    return {
        "query": region.query,
        "key": region.key,
        "nQueries": region.n_queries,
        "nKeys": region.n_keys,
        "block": tile.block,
        "planes": pack(_planes(tile.values, exactly=exactly)),
    }


def _planes(
    values: Float[np.ndarray, "row column"], *, exactly: bool
) -> UInt8[np.ndarray, "byte row column"]:
    """First bytes, then second ones, and so on: of masked cells that makes long runs."""
    numbers = values.astype("<f4" if exactly or values.size <= MAX_EXACT else "<f2")
    size = numbers.dtype.itemsize
    return np.moveaxis(numbers.view(np.uint8).reshape(*values.shape, size), 2, 0)
