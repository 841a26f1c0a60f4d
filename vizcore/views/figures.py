"""Plotly figures: one AttentionMap in full, with its tokens and exact values.

The idea: numeric axes, on which equal tokens stay apart, and labels that are always the literal
text, whatever Plotly would read into it. The query tokens are points, because points are what a
host can let its reader select. For all heads at once take `model_view`.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Bool, Float

from vizcore.errors import SelectionError
from vizcore.maps import AttentionMap
from vizcore.views import colours
from vizcore.views.figure_page import FigureView
from vizcore.views.reduce import blocks

MAX_TOKENS = 200
"""A map of more tokens than this a side is reduced to blocks: more cells than a screen shows."""

MAX_LABEL_WIDTH = 14
"""Of a label, in Latin letters (a Chinese character is as wide as two); the rest is an ellipsis."""

HEIGHT = 600
"""Of the figure, in pixels."""

PLOT_WIDTH = 560
PLOT_HEIGHT = 470
"""Roughly what is left for the map itself, to tell how many labels have room."""

FONT_SIZE = 14
LABEL_PITCH = 17
"""Labels are at least so many pixels apart, else every second one is left out, and so on."""

LABEL_SHARE = 0.2
"""The part of the figure's width that holds the query tokens."""

POINTS_A_LABEL = 4
"""So many points make a label selectable: pointing finds what is within `hoverdistance` of it."""


def heatmap(
    map: AttentionMap,
    *,
    row: int | None = None,
    dark: bool = False,
    height: int = HEIGHT,
    room: int = PLOT_WIDTH,
) -> FigureView:
    """One map: query tokens down, key tokens across, exact values on hover.

    Masked cells stay blank, a weight of zero is visible, and what is not a number is a cross. A
    map of more than `MAX_TOKENS` tokens a side is shown as the means of blocks of whole tokens,
    which the figure then says. The first trace is the query tokens, a point each, whose
    `customdata` is the query's position, so that a host can let its reader select one.

    Args:
        map: what to show.
        row: the position of a query to highlight.
        dark: for a page with a dark background.
        height: in pixels; the width is the host's.
        room: how wide the cells together will be there, about: labels are turned to fit into it.

    Raises:
        SelectionError: if there is no such row.
    """
    n_queries, n_keys = map.values.shape
    if row is not None and not 0 <= row < n_queries:
        raise SelectionError(f"There is no query {row}: the map has {n_queries}, counted from 0.")
    style = _Style.of(dark)
    # Attention of a text to itself keeps its shape: one block size for both axes.
    block = max(1, -(-max(n_queries, n_keys) // MAX_TOKENS))
    queries = _Axis.of(
        map.query_tokens, min(block, n_queries), room=PLOT_HEIGHT, word="query", plural="queries"
    )
    keys = _Axis.of(map.key_tokens, min(block, n_keys), room=room, word="key", plural="keys")
    average = blocks((n_queries, n_keys), rows=queries.block, columns=keys.block)
    reduced = average(map.values, map.masked)
    values = np.where(reduced.masked, np.nan, reduced.values)
    chosen = None if row is None else row // queries.block
    layout = _layout(map, queries, keys, style, height)
    layout["shapes"] = [] if chosen is None else _highlight(chosen, len(queries.labels), style)
    figure = go.Figure(
        layout=layout,
        data=[
            _query_points(queries),
            _cells(values, map, queries, keys, style),
            *_undefined_cells(values, reduced.masked, style),
            _query_labels(queries, chosen, style),
            # An axis without a trace is not drawn.
            go.Scatter(x=[None], y=[None], xaxis="x3", showlegend=False, hoverinfo="skip"),
        ],
    )
    return FigureView(figure, title=_title(map), background="#0e1117" if dark else "#ffffff")


@dataclass(frozen=True)
class _Style:
    background: str
    text: str
    dim: str
    accent: str
    colours: colours.Colours

    @classmethod
    def of(cls, dark: bool) -> "_Style":
        if dark:
            return cls("rgba(0,0,0,0)", "#eceff4", "rgba(14,17,23,0.6)", "#ff8a50", colours.DARK)
        return cls("rgba(0,0,0,0)", "#1d2330", "rgba(255,255,255,0.6)", "#d8480f", colours.LIGHT)


@dataclass(frozen=True)
class _Axis:
    """The cells along one axis: what is written beside them, and what hovering tells."""

    block: int
    labels: list[str]
    spans: list[str]
    every: int
    pitch: float

    @classmethod
    def of(cls, tokens: Sequence[str], block: int, *, room: int, word: str, plural: str) -> "_Axis":
        starts = range(0, len(tokens), block)
        if block == 1:
            spans = [f"{word} {start}: {_literal(tokens[start])}" for start in starts]
        else:
            ends = [min(start + block, len(tokens)) - 1 for start in starts]
            spans = [f"{plural} {a}–{b}" for a, b in zip(starts, ends, strict=True)]
        pitch = room / max(1, len(starts))
        return cls(
            block=block,
            labels=[_literal(_cut(tokens[start])) for start in starts],
            spans=spans,
            every=max(1, int(np.ceil(LABEL_PITCH / pitch))),
            pitch=pitch,
        )

    @property
    def shown(self) -> list[int]:
        return list(range(0, len(self.labels), self.every))


def _literal(token: str) -> str:
    """The token so that Plotly shows it as it is: no tags, entities or formulas, nor reordered."""
    visible = token.replace("\n", "⏎").replace("\r", "⏎").replace("\t", "⇥")
    for mark, entity in (("&", "&#38;"), ("<", "&#60;"), (">", "&#62;"), ("$", "&#36;")):
        visible = visible.replace(mark, entity)
    return f"\u2068{visible}\u2069"


def _cut(token: str) -> str:
    width = 0
    for index, letter in enumerate(token):
        width += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if width > MAX_LABEL_WIDTH:
            return token[:index] + "…"
    return token


def _query_points(queries: _Axis) -> go.Scatter:
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


def _query_labels(queries: _Axis, chosen: int | None, style: _Style) -> go.Scatter:
    shown = sorted({*queries.shown, *([] if chosen is None else [chosen])})
    if chosen is not None and chosen not in queries.shown:
        shown = [at for at in shown if at == chosen or abs(at - chosen) >= queries.every]
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


def _cells(
    values: Float[np.ndarray, "row column"],
    map: AttentionMap,
    queries: _Axis,
    keys: _Axis,
    style: _Style,
) -> go.Heatmap:
    low, high = _scale(values, map, keys.block)
    mean = "mean " if queries.block * keys.block > 1 else ""
    gap = 1 if max(values.shape) <= 60 else 0
    return go.Heatmap(
        z=values.astype(np.float32),
        zmin=low,
        zmax=high,
        colorscale=colours.colorscale(
            style.colours.diverging if low < 0 else style.colours.sequential
        ),
        xgap=gap,
        ygap=gap,
        hoverongaps=False,
        hovertemplate=(
            f"%{{y}}<br>%{{x}}<br>{mean}{_literal(map.quantity)} %{{z:.5~g}}<extra></extra>"
        ),
        colorbar={
            "title": {"text": _literal(map.quantity), "side": "right"},
            "thickness": 14,
            "outlinewidth": 0,
            "tickfont": {"size": FONT_SIZE},
        },
        name="cells",
    )


def _title(map: AttentionMap) -> str:
    return map.name[:1].upper() + map.name[1:]


def _scale(
    values: Float[np.ndarray, "row column"], map: AttentionMap, keys_a_cell: int
) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    least, most = float(finite.min(initial=0)), float(finite.max(initial=0))
    if least >= 0 and float(np.max(map.values, initial=0, where=np.isfinite(map.values))) <= 1.001:
        # Weights of a row sum to 1, so the mean over k keys is at most 1/k.
        return 0.0, max(1 / keys_a_cell, most)
    size = max(-least, most) or 1.0
    return (-size if least < 0 else 0.0), size


def _undefined_cells(
    values: Float[np.ndarray, "row column"],
    masked: Bool[np.ndarray, "row column"],
    style: _Style,
) -> list[go.Scatter]:
    rows, columns = np.nonzero(~np.isfinite(values) & ~masked)
    if not rows.size:
        return []
    return [
        go.Scatter(
            x=columns,
            y=rows,
            mode="markers",
            marker={
                "symbol": "x-thin",
                "size": 9,
                "line": {"width": 2, "color": style.colours.undefined},
            },
            # It would catch pointing at the cells around it.
            hoverinfo="skip",
            name="not a number",
            showlegend=True,
        )
    ]


def _layout(
    map: AttentionMap, queries: _Axis, keys: _Axis, style: _Style, height: int
) -> dict[str, object]:
    n_rows, n_columns = len(queries.labels), len(keys.labels)
    longest = max((len(keys.labels[place]) for place in keys.shown), default=0)
    horizontal = longest * 8 < keys.pitch * keys.every
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
            "text": _title(map),
            "font": {"size": 18},
            "x": 0.01,
            "y": 0.97,
            "yanchor": "top",
        },
        "height": height,
        "margin": {"l": 34, "r": 10, "t": 70, "b": 10},
        "font": {"size": FONT_SIZE, "color": style.text},
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
            "domain": [LABEL_SHARE, 1],
            "range": [-0.5, n_columns - 0.5],
            "tickvals": np.arange(n_columns),
            "ticktext": keys.spans,
            "showticklabels": False,
        },
        "xaxis2": {
            **bare,
            "domain": [0, LABEL_SHARE],
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
            "tickvals": keys.shown,
            "ticktext": [keys.labels[place] for place in keys.shown],
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


def _highlight(row: int, n_rows: int, style: _Style) -> list[dict[str, object]]:
    """Dims the other rows and outlines this one."""
    across = {"type": "rect", "xref": "x domain", "x0": 0, "x1": 1, "yref": "y"}
    dimmed = [(-0.5, row - 0.5), (row + 0.5, n_rows - 0.5)]
    outline = {"line": {"width": 2, "color": style.accent}}
    return [
        across | {"y0": y0, "y1": y1, "fillcolor": style.dim, "line": {"width": 0}}
        for y0, y1 in dimmed
        if y1 > y0
    ] + [across | {"y0": row - 0.5, "y1": row + 0.5} | outline]
