"""Plotly figures of predictions: what each layer would say, when an answer is known, sampling.

The idea: each takes a table (`LogitLens.to_frame`, `vizcore.sampling_table`) and knows no model.
For what is looked at take `heatmap`.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from vizcore.errors import SelectionError
from vizcore.views import colours
from vizcore.views.figure_axes import Style, cut, literal
from vizcore.views.figure_page import FigureView

HEIGHT = 520
FONT_SIZE = 14
CELL_FONT_SIZE = 12
MOST_STATES = 32
"""More layers than this are thinned out, or their cells could not be read."""
CELL_WIDTH = 9
"""Letters of a token that a cell has room for."""


def lens_heatmap(
    lens: pd.DataFrame, *, position: int | None = None, dark: bool = False, height: int = HEIGHT
) -> FigureView:
    """What each layer's state says comes next: a row a layer, a column a position of the text.

    In each cell the likeliest token; its colour is how likely that is there.

    Args:
        lens: layer (-1: the embedding), position, token, top_token, top_probability, answer and
            answer_rank, a row a cell.
        position: a column to mark.
        dark: for a page with a dark background.
        height: in pixels; the width is the host's.

    Raises:
        SelectionError: if there is no cell, or no such position.
    """
    positions, layers = _axes(lens, position)
    style = Style.of(dark)
    ramp = style.colours.sequential
    cells = {(row["layer"], row["position"]): row for _, row in lens.iterrows()}
    grid = [[cells[layer, place] for place in positions] for layer in layers]
    shares = np.array([[cell["top_probability"] for cell in row] for row in grid])
    figure = go.Figure()
    figure.add_heatmap(
        z=shares,
        zmin=0,
        zmax=1,
        colorscale=colours.colorscale(ramp),
        text=[[literal(cut(str(cell["top_token"]), CELL_WIDTH)) for cell in row] for row in grid],
        texttemplate="%{text}",
        textfont={"size": CELL_FONT_SIZE},
        customdata=[[_told(cell) for cell in row] for row in grid],
        hovertemplate="%{customdata}<extra></extra>",
        xgap=1,
        ygap=1,
        showscale=False,  # its room is the cells'; what they are coloured by is told on pointing
    )
    tokens = [str(grid[0][column]["token"]) for column in range(len(positions))]
    figure.update_xaxes(
        tickvals=np.arange(len(positions)),
        ticktext=[literal(cut(token, CELL_WIDTH)) for token in tokens],
        title="after this token",
        showgrid=False,
    )
    figure.update_yaxes(
        tickvals=np.arange(len(layers)),
        ticktext=["embedding" if layer < 0 else f"layer {layer}" for layer in layers],
        showgrid=False,
    )
    if position is not None:
        column = positions.index(position)
        figure.add_shape(
            type="rect", x0=column - 0.5, x1=column + 0.5, y0=-0.5, y1=len(layers) - 0.5,
            line={"color": style.accent, "width": 2},
        )  # fmt: skip
    _lay_out(figure, style, height)
    return FigureView(figure, title="What each layer would predict", background=style.page)


def rank_curve(
    lens: pd.DataFrame, position: int, *, dark: bool = False, height: int = 260
) -> FigureView:
    """When the model knows: by layer, the rank of what it answers in the end.

    Arguments and errors as of `lens_heatmap`.
    """
    _axes(lens, position)
    style = Style.of(dark)
    mine = lens[lens["position"] == position].sort_values("layer")
    figure = go.Figure()
    figure.add_scatter(
        x=mine["layer"],
        y=mine["answer_rank"],
        customdata=[_told(row) for _, row in mine.iterrows()],
        mode="lines+markers",
        line={"color": style.accent, "width": 2.5},
        marker={"size": 6},
        hovertemplate="%{customdata}<extra></extra>",
    )
    grid = {"gridcolor": "rgba(128,128,128,0.25)", "zeroline": False}
    figure.update_xaxes(title="layer", **grid)
    figure.update_yaxes(title="rank", type="log", autorange="reversed", **grid)
    _lay_out(figure, style, height)
    return FigureView(figure, title="The rank of the answer by layer", background=style.page)


def sampling_bars(table: pd.DataFrame, *, dark: bool = False, height: int = HEIGHT) -> FigureView:
    """What sampling does to a distribution: each token's probability before and after.

    Args:
        table: rank, token, probability (the model's own), min_p (after the last step) and cut_by,
            a row a token, as `vizcore.sampling_table` makes it.
        dark: for a page with a dark background.
        height: in pixels; the width is the host's.

    Raises:
        SelectionError: if there is no token.
    """
    if table.empty:
        raise SelectionError("There is no token to draw a bar of: give a table with some.")
    style = Style.of(dark)
    labels = [literal(str(token)) for token in table["token"]]
    places = np.arange(len(table))
    told = [
        f"{literal(str(row['token']))}: {row['probability']:.2%} → {row['min_p']:.2%}"
        + ("" if pd.isna(row["cut_by"]) else f", cut by {row['cut_by'].replace('_', '-')}")
        for _, row in table.iterrows()
    ]
    figure = go.Figure()
    for name, column, colour, width in (
        ("the model's own", "probability", style.colours.aside, 0.8),
        ("what is drawn from", "min_p", style.accent, 0.4),
    ):
        figure.add_bar(
            x=table[column],
            y=places,
            orientation="h",
            name=name,
            marker={"color": colour},
            width=width,
            customdata=told,
            hovertemplate="%{customdata}<extra></extra>",
        )
    figure.update_layout(
        barmode="overlay",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    )
    figure.update_yaxes(tickvals=places, ticktext=labels, autorange="reversed", showgrid=False)
    figure.update_xaxes(
        tickformat=".0%", rangemode="tozero", gridcolor="rgba(128,128,128,0.25)", zeroline=False
    )
    _lay_out(figure, style, height)
    return FigureView(figure, title="What sampling does", background=style.page)


def _axes(lens: pd.DataFrame, position: int | None) -> tuple[list[int], list[int]]:
    """The positions and the layers that are shown."""
    positions = sorted(set(lens["position"].tolist()))
    if not positions:
        raise SelectionError("There is no cell to draw: give a lens with at least one position.")
    if position is not None and position not in positions:
        raise SelectionError(
            f"The lens has no position {position}, only {positions[0]} to {positions[-1]}."
        )
    return positions, _thinned(sorted(set(lens["layer"].tolist())))


def _thinned(layers: Sequence[int]) -> list[int]:
    """Evenly fewer of many, the first and the last always among them."""
    if len(layers) <= MOST_STATES:
        return list(layers)
    places = np.linspace(0, len(layers) - 1, MOST_STATES).round().astype(int)
    return [layers[place] for place in places]


def _told(cell: pd.Series) -> str:
    layer = "the embedding" if cell["layer"] < 0 else f"layer {cell['layer']}"
    return (
        f"after {layer}: {literal(str(cell['top_token']))} {cell['top_probability']:.1%}"
        f"<br>the model's answer {literal(str(cell['answer']))} has rank {cell['answer_rank']:,}"
    )


def _lay_out(figure: go.Figure, style: Style, height: int) -> None:
    figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        font={"size": FONT_SIZE, "color": style.text},
        paper_bgcolor=style.background,
        plot_bgcolor=style.background,
        hoverlabel={"font": {"size": FONT_SIZE}},
    )
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)
