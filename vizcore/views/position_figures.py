"""Plotly figures of positional encodings: tables, waves, turning pairs, biases by distance.

The idea: each picture shows one thing that a positional encoding does, from the numbers of
`vizcore.encodings` alone, so that it is the model's own and not a textbook's. For attention maps
take `heatmap`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from vizcore.encodings import AlibiPositions, BiasPositions, PositionTable, RotaryPositions
from vizcore.errors import SelectionError
from vizcore.views import colours
from vizcore.views.figure_page import FigureView

HEIGHT = 380
"""Of a figure, in pixels."""

FONT_SIZE = 14
N_TRAIL = 12
"""So many earlier positions of a turning pair are marked on its dial."""

EXTREME = 99.5
"""The percentile of a table's numbers at which the colours end: a few are far beyond the rest."""


@dataclass(frozen=True)
class _Paint:
    text: str
    faint: str
    accent: str
    lines: tuple[str, ...]
    page: str
    ramps: colours.Colours

    @classmethod
    def of(cls, dark: bool) -> "_Paint":
        if dark:
            hues = colours.HUES_DARK
            return cls("#eceff4", "#4a5162", "#ff8a50", hues, "#0e1117", colours.DARK)
        hues = colours.HUES_LIGHT
        return cls("#1d2330", "#c9ced8", "#d8480f", hues, "#ffffff", colours.LIGHT)


def position_heatmap(
    table: PositionTable,
    *,
    n_positions: int = 128,
    dims: Sequence[int] = (),
    dark: bool = False,
    height: int = HEIGHT,
) -> FigureView:
    """A table of positions: positions down, dimensions across, zero in the middle of the colours.

    Args:
        table: what to show.
        n_positions: only so many of the first positions.
        dims: dimensions to mark.
        dark: for a page with a dark background.
        height: in pixels; the width is the host's.

    Raises:
        SelectionError: if there is no such dimension.
    """
    _check(dims, table.values.shape[1], "dimension")
    paint = _Paint.of(dark)
    values = table.values[:n_positions]
    size = float(np.percentile(np.abs(values), EXTREME)) or 1.0
    cells = _cells(
        values, size, paint, "position %{y}<br>dimension %{x}<br>value %{z:.4~g}<extra></extra>"
    )
    figure = go.Figure(cells, _layout(paint, height, x="dimension", y="position"))
    figure.update_yaxes(autorange="reversed")
    for dim, colour in zip(dims, paint.lines, strict=False):
        figure.add_vline(dim, line={"color": colour, "width": 2})
        figure.add_annotation(
            x=dim, y=1, yref="paper", yanchor="bottom", showarrow=False,
            text=f"{dim}", font={"color": colour, "size": FONT_SIZE},
        )  # fmt: skip
    return FigureView(figure, title="Position × dimension", background=paint.page)


def position_waves(
    table: PositionTable,
    dims: Sequence[int],
    *,
    n_positions: int = 128,
    dark: bool = False,
    height: int = HEIGHT,
) -> FigureView:
    """Single dimensions of a table, drawn over the positions. Arguments as `position_heatmap`.

    Raises:
        SelectionError: if there is no such dimension.
    """
    _check(dims, table.values.shape[1], "dimension")
    paint = _Paint.of(dark)
    figure = go.Figure(layout=_layout(paint, height, x="position", y="value"))
    for dim, colour in zip(dims, paint.lines, strict=False):
        figure.add_scatter(
            y=table.values[:n_positions, dim],
            mode="lines",
            line={"color": colour, "width": 2.5},
            name=f"dimension {dim}",
            hovertemplate="position %{x}: %{y:.4~g}",
        )
    figure.update_layout(hovermode="x unified")
    return FigureView(figure, title="Single dimensions", background=paint.page)


def position_products(
    table: PositionTable, *, n_positions: int = 128, dark: bool = False, height: int = HEIGHT
) -> FigureView:
    """The dot product of two positions' vectors by their distance. As `position_heatmap`."""
    paint = _Paint.of(dark)
    products = table.products(n_positions)
    figure = go.Figure(layout=_layout(paint, height, x="distance (tokens)", y="dot product"))
    if not np.allclose(products["low"], products["high"], rtol=1e-3):
        around = np.concatenate([products["high"], products["low"][::-1]])
        figure.add_scatter(
            x=np.concatenate([products["distance"], products["distance"][::-1]]),
            y=around,
            fill="toself",
            fillcolor=paint.faint,
            opacity=0.5,
            line={"width": 0},
            hoverinfo="skip",
            name="most pairs",
        )
    figure.add_scatter(
        x=products["distance"],
        y=products["mean"],
        mode="lines",
        line={"color": paint.accent, "width": 2.5},
        name="mean",
        hovertemplate="%{x} tokens apart: %{y:.4~g}<extra></extra>",
    )
    return FigureView(figure, title="Dot product by distance", background=paint.page)


def position_similarity(
    table: PositionTable, *, n_positions: int = 128, dark: bool = False, height: int = HEIGHT
) -> FigureView:
    """How alike each two positions are: the cosine of their vectors. As `position_heatmap`."""
    paint = _Paint.of(dark)
    hover = "positions %{y} and %{x}<br>cosine %{z:.4~g}<extra></extra>"
    cells = _cells(table.similarity(n_positions), 1.0, paint, hover)
    figure = go.Figure(cells, _layout(paint, height, x="position", y="position"))
    figure.update_yaxes(autorange="reversed", scaleanchor="x", constrain="domain")
    figure.update_xaxes(constrain="domain")
    return FigureView(figure, title="Similarity of positions", background=paint.page)


def rotary_dial(
    rotary: RotaryPositions,
    pair: int,
    position: int,
    *,
    dark: bool = False,
    height: int = HEIGHT,
) -> FigureView:
    """One pair of dimensions as the hand of a clock, which position turns.

    Args:
        rotary: what to show.
        pair: which pair, 0 turning fastest.
        position: where the token stands; the hands of the positions before it fade away.
        dark, height: as in `position_heatmap`.

    Raises:
        SelectionError: if there is no such pair.
    """
    _check([pair], len(rotary.frequencies), "pair")
    paint = _Paint.of(dark)
    positions = np.arange(max(0, position - N_TRAIL), position + 1)
    angles = positions * float(rotary.frequencies[pair])
    x, y = np.cos(angles), np.sin(angles)
    angle_to_zero = np.arctan2(y[-1], x[-1])
    circle = np.linspace(0, 2 * np.pi, 181)
    figure = go.Figure(layout=_layout(paint, height, x="", y=""))
    skip: dict[str, Any] = {"hoverinfo": "skip", "mode": "lines", "showlegend": False}
    figure.add_scatter(
        x=np.cos(circle), y=np.sin(circle), line={"color": paint.faint, "width": 3}, **skip
    )
    figure.add_scatter(x=[0, 1], y=[0, 0], line={"color": paint.faint, "dash": "dot"}, **skip)
    figure.add_scatter(
        x=x[:-1],
        y=y[:-1],
        mode="markers",
        marker={
            "color": paint.lines[0],
            "size": 9,
            "opacity": 0.15 + 0.7 * (np.arange(len(x) - 1) + 1) / max(1, len(x) - 1),
        },
        customdata=positions[:-1],
        hovertemplate="position %{customdata}<extra></extra>",
        showlegend=False,
    )
    figure.add_scatter(x=[0, x[-1]], y=[0, y[-1]], line={"color": paint.accent, "width": 6}, **skip)
    figure.add_scatter(
        x=[x[-1]],
        y=[y[-1]],
        mode="markers+text",
        marker={"color": paint.accent, "size": 16},
        text=[f"{position}"],
        textposition="middle right" if x[-1] >= 0 else "middle left",
        textfont={"color": paint.accent, "size": FONT_SIZE + 4},
        cliponaxis=False,
        hovertemplate=f"position {position}<extra></extra>",
        showlegend=False,
    )
    bare = {"showgrid": False, "zeroline": False, "showticklabels": False, "fixedrange": True}
    figure.update_xaxes(range=[-1.4, 1.4], **bare)
    figure.update_yaxes(
        range=[-1.15, 1.15], scaleanchor="x", constrain="domain", constraintoward="top", **bare
    )
    figure.add_annotation(
        x=1, y=0, xanchor="left", xshift=8, text="0", showarrow=False,
        font={"size": FONT_SIZE, "color": paint.text}, visible=bool(abs(angle_to_zero) > 0.2),
    )  # fmt: skip
    figure.update_layout(margin={"l": 5, "r": 5, "t": 5, "b": 5})
    return FigureView(figure, title=f"Pair {pair} at position {position}", background=paint.page)


def rotary_factors(
    rotary: RotaryPositions,
    pair: int,
    *,
    n_distances: int = 128,
    dark: bool = False,
    height: int = HEIGHT,
) -> FigureView:
    """What distance does to a score: every pair's factor above, their mean and one pair below.

    Args:
        rotary: what to show.
        pair: the pair to draw as a line.
        n_distances: how far to go, in tokens.
        dark, height: as in `position_heatmap`.

    Raises:
        SelectionError: if there is no such pair.
    """
    n_pairs = len(rotary.frequencies)
    _check([pair], n_pairs, "pair")
    paint = _Paint.of(dark)
    factors = rotary.factors(n_distances)
    most = rotary.attention_scaling**2
    hover = "pair %{y}, %{x} tokens apart<br>factor %{z:.4~g}<extra></extra>"
    cells = _cells(factors[list(range(n_pairs))].to_numpy().T, most, paint, hover)
    cells.update(yaxis="y2", colorbar={"len": 0.5, "y": 0.77})
    figure = go.Figure(cells, _layout(paint, height, x="distance (tokens)", y="factor"))
    for name, column, colour, width in (
        (f"pair {pair}", pair, paint.lines[0], 1.5),
        ("mean of all pairs", "mean", paint.accent, 3),
    ):
        figure.add_scatter(
            x=factors["distance"],
            y=factors[column],
            mode="lines",
            name=name,
            line={"color": colour, "width": width},
            hovertemplate="%{x} tokens apart: %{y:.4~g}",
        )
    figure.add_shape(
        type="rect", xref="x domain", x0=0, x1=1, yref="y2", y0=pair - 0.5, y1=pair + 0.5,
        line={"color": paint.lines[0], "width": 2},
    )  # fmt: skip
    figure.update_layout(
        yaxis={"domain": [0, 0.42], "range": [-1.05 * most, 1.05 * most]},
        yaxis2={"domain": [0.54, 1], "title": "pair", "autorange": "reversed", "showgrid": False},
        legend={"y": 0.44, "yanchor": "bottom"},
    )
    return FigureView(figure, title="Factor of a score by distance", background=paint.page)


def position_biases(
    encoding: AlibiPositions | BiasPositions,
    *,
    layer: int | None = None,
    head: int | None = None,
    n_distances: int = 64,
    dark: bool = False,
    height: int = HEIGHT,
) -> FigureView:
    """What is added to a score at each distance: a line a head.

    Args:
        encoding: what to show.
        layer: of which layer, where layers differ.
        head: a head to bring out.
        n_distances: how far to go, in tokens.
        dark, height: as in `position_heatmap`.

    Raises:
        SelectionError: if there is no such layer or head.
    """
    paint = _Paint.of(dark)
    biases = encoding.biases(n_distances)
    if layer is not None and biases["layer"].notna().all():
        biases = biases[biases["layer"] == layer]
        if biases.empty:
            raise SelectionError(f"There is no layer {layer} with biases of its own.")
    n_heads = int(biases["head"].max()) + 1
    _check([] if head is None else [head], n_heads, "head")
    ahead = bool((biases["distance"] < 0).any())
    label = "← ahead · distance (tokens) · back →" if ahead else "distance back (tokens)"
    figure = go.Figure(layout=_layout(paint, height, x=label, y="added to the score"))
    # Not the ends of the ramp: one is nearly the page's colour.
    ramp = colours.colorscale(paint.ramps.sequential)
    shades = [ramp[2 + round(6 * one / max(1, n_heads - 1))][1] for one in range(n_heads)]
    for number in range(n_heads):
        line = biases[biases["head"] == number]
        chosen = number == head
        figure.add_scatter(
            x=line["distance"],
            y=line["bias"],
            mode="lines",
            name=f"head {number}",
            opacity=1 if head is None or chosen else 0.5,
            line={
                "color": paint.accent if chosen else shades[number],
                "width": 4 if chosen else 2,
            },
            hovertemplate=f"head {number}, distance %{{x}}: %{{y:.4~g}}<extra></extra>",
        )
    figure.update_layout(legend={"orientation": "v", "x": 1.02, "y": 1, "yanchor": "top"})
    figure.update_layout(margin={"t": 10}, hovermode="closest")
    return FigureView(figure, title="Bias by distance", background=paint.page)


def _check(chosen: Sequence[int], n: int, what: str) -> None:
    for one in chosen:
        if not 0 <= one < n:
            raise SelectionError(f"There is no {what} {one}: there are {n}, counted from 0.")


def _cells(
    values: Float[np.ndarray, "row column"], size: float | int, paint: _Paint, hover: str
) -> go.Heatmap:
    return go.Heatmap(
        z=values.astype(np.float32),
        zmin=-size,
        zmax=size,
        colorscale=colours.colorscale(paint.ramps.diverging),
        colorbar={"thickness": 12, "outlinewidth": 0, "tickfont": {"size": FONT_SIZE}},
        hovertemplate=hover,
    )


def _layout(paint: _Paint, height: int, *, x: str, y: str) -> dict[str, Any]:
    line = {"gridcolor": paint.faint, "zerolinecolor": paint.faint, "automargin": True}
    return {
        "height": height,
        "margin": {"l": 10, "r": 10, "t": 26, "b": 10},
        "font": {"size": FONT_SIZE, "color": paint.text},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "xaxis": line | {"title": {"text": x}},
        "yaxis": line | {"title": {"text": y}},
        "legend": {"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"},
        "hoverlabel": {"font": {"size": FONT_SIZE}},
    }
