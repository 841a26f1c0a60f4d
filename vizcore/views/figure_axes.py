"""The axes of a Plotly figure of a map: tokens beside and above it, and what hovering tells.

The idea: numeric axes, on which equal tokens stay apart, and labels that are always the literal
text, whatever Plotly would read into it. Hovering needs a tick for every cell and a reader needs
few, so what can be read beside the cells is on axes of its own.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from vizcore.maps import AttentionMap
from vizcore.views import colours

MAX_LABEL_WIDTH = 14
"""Of a label, in Latin letters (a Chinese character is as wide as two); the rest is an ellipsis."""

FONT_SIZE = 14
LABEL_PITCH = 17
"""Labels are at least so many pixels apart, else every second one is left out, and so on."""

LABEL_SHARE = 0.2
"""The most of the figure's width that the query tokens take."""

LETTER_WIDTH = 8
LABEL_MARGIN = 18
"""Pixels of a Latin letter, and beside a label."""

FONT = "'Source Sans', system-ui, sans-serif"
"""The app's, where that is there."""

POINTS_A_LABEL = 4
"""So many points make a label selectable: pointing finds what is within `hoverdistance` of it."""


@dataclass(frozen=True)
class Style:
    """Colours of a figure on a light page or a dark one."""

    page: str
    background: str
    text: str
    dim: str
    accent: str
    colours: colours.Colours

    @classmethod
    def of(cls, dark: bool) -> "Style":
        """Those for such a page."""
        # The figure itself has no background: the page's shows through.
        if dark:
            page, text, dim, accent = "#0e1117", "#eceff4", "rgba(14,17,23,0.6)", "#ff8a50"
            return cls(page, "rgba(0,0,0,0)", text, dim, accent, colours.DARK)
        page, text, dim, accent = "#ffffff", "#1d2330", "rgba(255,255,255,0.6)", "#d8480f"
        return cls(page, "rgba(0,0,0,0)", text, dim, accent, colours.LIGHT)


@dataclass(frozen=True)
class Axis:
    """The cells along one axis: what is written beside them, and what hovering tells."""

    block: int
    labels: list[str]
    spans: list[str]
    every: int
    pitch: float
    widest: int

    @classmethod
    def of(cls, tokens: Sequence[str], block: int, *, room: int, word: str, plural: str) -> "Axis":
        """Cells of `block` tokens each, on `room` pixels."""
        starts = range(0, len(tokens), block)
        if block == 1:
            spans = [f"{word} {start}: {literal(tokens[start])}" for start in starts]
        else:
            ends = [min(start + block, len(tokens)) - 1 for start in starts]
            spans = [f"{plural} {a}–{b}" for a, b in zip(starts, ends, strict=True)]
        pitch = room / max(1, len(starts))
        return cls(
            block=block,
            labels=[literal(cut(tokens[start])) for start in starts],
            spans=spans,
            every=max(1, int(np.ceil(LABEL_PITCH / pitch))),
            pitch=pitch,
            widest=max((_width(cut(tokens[start])) for start in starts), default=0),
        )

    @property
    def shown(self) -> list[int]:
        """The cells whose labels have room."""
        return list(range(0, len(self.labels), self.every))

    def shown_with(self, chosen: int | None) -> list[int]:
        """The cells whose labels have room, and the chosen one instead of those next to it."""
        if chosen is None or chosen in self.shown:
            return self.shown
        return sorted([chosen, *(at for at in self.shown if abs(at - chosen) >= self.every)])


def literal(token: str) -> str:
    """The token so that Plotly shows it as it is: no tags, entities or formulas, nor reordered."""
    visible = token.replace("\n", "⏎").replace("\r", "⏎").replace("\t", "⇥")
    for mark, entity in (("&", "&#38;"), ("<", "&#60;"), (">", "&#62;"), ("$", "&#36;")):
        visible = visible.replace(mark, entity)
    return f"\u2068{visible}\u2069"


def cut(token: str, width: int = MAX_LABEL_WIDTH) -> str:
    """As much of a token as there is room for; the width is in Latin letters."""
    for index in range(len(token)):
        if _width(token[: index + 1]) > width:
            return token[:index] + "…"
    return token


def _width(text: str) -> int:
    """In Latin letters."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def query_points(queries: Axis) -> go.Scatter:
    """What can be hovered and selected: points that nobody sees, all over the queries' labels."""
    n = len(queries.labels)
    across = (np.arange(POINTS_A_LABEL) + 0.5) / POINTS_A_LABEL
    places = np.repeat(np.arange(n), POINTS_A_LABEL)
    return go.Scatter(
        x=np.tile(across, n),
        y=places,
        xaxis="x2",
        mode="markers",
        marker={"opacity": 0, "size": 6},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        customdata=places * queries.block,
        hovertemplate="%{y}<extra></extra>",
        showlegend=False,
        name="queries",
    )


def query_labels(queries: Axis, chosen: int | None, style: Style) -> go.Scatter:
    """What is written beside the rows; the chosen one stands out."""
    shown = queries.shown_with(chosen)
    colour = [style.accent if at == chosen else style.text for at in shown]
    font = {
        "size": FONT_SIZE,
        "color": colour,
        "weight": [700 if at == chosen else 400 for at in shown],
    }
    return go.Scatter(
        x=np.full(len(shown), 0.98),
        y=shown,
        xaxis="x2",
        mode="text",
        text=[queries.labels[at] for at in shown],
        textposition="middle left",
        textfont=font,
        unselected={"textfont": {"color": style.text}},
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
        name="query labels",
    )


def layout(
    map: AttentionMap,
    queries: Axis,
    keys: Axis,
    style: Style,
    *,
    height: int,
    room: int,
    pinned: int | None = None,
) -> dict[str, object]:
    """Plotly's layout: the map's axes, and those of what is written beside them.

    Args:
        map: what is shown.
        queries: the rows.
        keys: the columns.
        style: colours.
        height: of the figure, in pixels.
        room: how wide the cells together will be, about, in pixels.
        pinned: the column whose label stands out.
    """
    n_rows, n_columns = len(queries.labels), len(keys.labels)
    shown = keys.shown_with(pinned)
    longest = max((len(keys.labels[place]) for place in shown), default=0)
    horizontal = longest * LETTER_WIDTH < keys.pitch * keys.every
    beside = LETTER_WIDTH * queries.widest + LABEL_MARGIN
    labels = min(LABEL_SHARE, beside / (beside + room))
    slanted = keys.pitch * keys.every >= 24
    bare = {"showgrid": False, "zeroline": False, "showline": False, "ticks": ""}
    # Beside the axis, not in the title: a host that has a title of its own takes ours away.
    key_title = "key (looked at)"
    if queries.block * keys.block > 1:
        key_title += (
            f"<br>{len(map.query_tokens)} × {len(map.key_tokens)} tokens: "
            f"each cell is the mean of {queries.block} × {keys.block}"
        )
    return {
        "title": {
            "text": title_of(map),
            "font": {"size": 18},
            "x": 0.01,
            "y": 0.97,
            "yanchor": "top",
        },
        "height": height,
        "margin": {"l": 34, "r": 10, "t": 70, "b": 10},
        "font": {"size": FONT_SIZE, "color": style.text, "family": FONT},
        "paper_bgcolor": style.background,
        "plot_bgcolor": style.background,
        "hoverdistance": 30,
        "hovermode": "closest",
        "clickmode": "event+select",
        "dragmode": "zoom",
        "legend": {"orientation": "h", "y": -0.02},
        # Hovering tells what the ticks say, so the axis of the cells has one for every cell, and
        # what can be read beside them is on an axis of its own.
        "xaxis": {
            **bare,
            "domain": [labels, 1],
            "range": [-0.5, n_columns - 0.5],
            "tickvals": np.arange(n_columns),
            "ticktext": keys.spans,
            "showticklabels": False,
        },
        "xaxis2": {
            **bare,
            "domain": [0, labels],
            "range": [0, 1.03],
            "fixedrange": True,
            "showticklabels": False,
        },
        "xaxis3": {
            **bare,
            "overlaying": "x",
            "matches": "x",
            "side": "top",
            "title": {"text": key_title, "standoff": 6},
            "tickvals": shown,
            "ticktext": [
                f'<b style="color:{style.accent}">{keys.labels[place]}</b>'
                if place == pinned
                else keys.labels[place]
                for place in shown
            ],
            "tickangle": 0 if horizontal else -45 if slanted else -90,
            "ticks": "",
            "automargin": True,
        },
        "yaxis": {
            **bare,
            "anchor": "x2",
            "range": [n_rows - 0.5, -0.5],
            "title": {"text": "query (looking)"},
            "tickvals": np.arange(n_rows),
            "ticktext": queries.spans,
            "showticklabels": False,
        },
    }


def title_of(map: AttentionMap) -> str:
    """What a map shows, and of what: "Layer 3, head 2", "Difference of attention, layer 3"."""
    plain = map.quantity in ("attention", map.name)
    name = map.name if plain else f"{map.quantity}, {map.name}"
    return name[:1].upper() + name[1:]
