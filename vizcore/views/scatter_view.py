"""All heads as points: any two of their scores against each other.

The idea: what tells heads apart is seen between two numbers more often than in one, so a reader
picks what goes across and what goes up, and points at a head to learn which it is and to see its
map. It takes any table with a row a head. For the maps of all heads at once take `model_view`.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from vizcore.errors import SelectionError
from vizcore.maps import AttentionMap, HasMaps
from vizcore.views import colours, page
from vizcore.views.head_payload import pictures_data, words_about
from vizcore.views.head_pictures import HeadPictures, Wish
from vizcore.views.model_view_texts import TEXTS as MAP_TEXTS
from vizcore.views.score_table import Place, ScoreTable, rounded, shown_name

HEIGHT = 560
"""Of the view, in CSS pixels, where the host does not say otherwise."""

COLOURED_BY = ("layer", "kind")

TEXTS = {
    "x": "Across",
    "y": "Up",
    "colour": "Colour",
    "byLayer": "colour: layer",
    "byKind": "colour: kind",
    "layer": "layer {layer}",
    "missing": "{n} heads have no value here.",
    "hint": "Point at a head to see which it is. Click to open it.",
    "named": "Layer {layer} · Head {head}",
    "ofKind": "{kind} layer {layer} · head {head}",
    "score": "{name} {value}",
    "ownScale": "the map: colours up to its largest weight",
    "mapHint": "The map of the head that you point at is drawn here.",
    "noMap": "There is no map of this head on this page.",
    "label": (
        "{n} heads: {x} across, {y} up. Arrow keys move to the nearest head, Enter opens it."
    ),
    "error": "This picture cannot be drawn: {reason}",
}
"""Every word that the view shows, in English; `head_scatter(texts=...)` replaces any of them."""


def head_scatter(
    scores: pd.DataFrame,
    *,
    x: str | None = None,
    y: str | None = None,
    colour: str = "layer",
    maps: HasMaps | Iterable[AttentionMap] | None = None,
    kind: str | None = None,
    selected: Sequence[int | str | None] | None = None,
    height: int = HEIGHT,
    title: str | None = None,
    texts: Mapping[str, str] | None = None,
) -> page.View:
    """A point for each head, placed by two scores that the reader can choose.

    Args:
        scores: a row a head: layer, head, perhaps kind and summary (one line of words), and
            columns of numbers, as `vizcore.head_scores` returns.
        x: the column that goes across; None: the first.
        y: the column that goes up; None: the second.
        colour: what the points' colours stand for, "layer" or "kind".
        maps: a trace or maps of one text, to show that of the head that is pointed at; they are
            sent in full or reduced, as `model_view` does.
        kind: of the maps, if they come from a trace.
        selected: (layer, head) or (layer, head, kind) of the point that is picked.
        height: in CSS pixels.
        title: for a page.
        texts: replaces entries of `TEXTS`, for a host in another language.

    Raises:
        SelectionError: if the table has no such column, no such head, or no scores.
        ShapeError: if the maps differ in shape.
    """
    table = ScoreTable.of(scores)
    names = list(table.names)
    for name in (x, y):
        if name is not None and name not in names:
            raise SelectionError(
                f"There is no score {name!r}: the table has {', '.join(map(repr, names))}."
            )
    if colour not in COLOURED_BY:
        raise SelectionError(
            f"Points can be coloured by {' or '.join(map(repr, COLOURED_BY))}, not by {colour!r}."
        )
    places = list(table.rows)
    chosen = _chosen(selected, places)
    pictures = None
    if maps is not None:
        source = maps.maps(kind) if isinstance(maps, HasMaps) else maps
        wish = Wish([] if chosen is None else [chosen[:2]], others=True)
        pictures = HeadPictures.of(source, wish=wish, limits=None)
        pictures = pictures if pictures.pictures else None
    kinds = sorted({place[2] for place in places if place[2] is not None})
    values = np.array(list(table.rows.values()), dtype=float)
    summaries = _summaries(scores, len(places))
    data: dict[str, object] = {
        "points": [
            {
                "layer": place[0],
                "head": place[1],
                "kind": place[2],
                "text": summary,
                "map": None if pictures is None else _map_of(place, pictures),
            }
            for place, summary in zip(places, summaries, strict=True)
        ],
        "scores": [
            {
                "name": name,
                "label": shown_name(name),
                "values": [rounded(float(value)) for value in values[:, at]],
            }
            for at, name in enumerate(names)
        ],
        "kinds": kinds,
        "begin": {"x": x or names[0], "y": y or names[min(1, len(names) - 1)], "colour": colour},
        "selected": None if chosen is None else list(chosen),
        "maps": None if pictures is None else _maps(pictures),
        "height": height,
        "colours": {"light": colours.LIGHT.to_dict(), "dark": colours.DARK.to_dict()},
        "texts": {**TEXTS, **(texts or {})},
    }
    return page.View(
        name="scatter_view",
        title=title or f"{len(places)} heads by {len(names)} scores",
        data=data,
        js=page.script("scatter_view"),
        css=page.style("scatter_view"),
    )


def _chosen(selected: Sequence[int | str | None] | None, places: Sequence[Place]) -> Place | None:
    """The place in the table that is meant."""
    if selected is None:
        return None
    asked = tuple(selected)
    found = [place for place in places if place[: len(asked)] == asked]
    if not found:
        head = ", ".join(map(str, asked))
        raise SelectionError(f"There is no head ({head}) in the table of scores to select.")
    return found[0]


def _summaries(scores: pd.DataFrame, n_heads: int) -> list[str]:
    if "summary" not in scores.columns:
        return [""] * n_heads
    return [one if isinstance(one, str) else "" for one in scores["summary"]]


def _map_of(place: Place, pictures: HeadPictures) -> int | None:
    for index, one in enumerate(pictures.heads):
        same_kind = place[2] is None or one.kind is None or one.kind == place[2]
        if (one.layer, one.head) == place[:2] and same_kind:
            return index
    return None


def _maps(pictures: HeadPictures) -> dict[str, object]:
    return pictures_data(pictures) | {"texts": MAP_TEXTS | words_about(pictures, MAP_TEXTS)}
