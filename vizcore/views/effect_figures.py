"""Plotly figure of measured effects: a cell for each head, or for each layer and position.

The idea: zero is the background, so what stands out is what matters, and in which direction. Cells
that are not measured yet stay empty, so it can be drawn while a sweep is under way. For attention
itself take `heatmap` or `model_view`.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from vizcore.errors import SelectionError
from vizcore.views import colours
from vizcore.views.figure_axes import Style, cut, literal
from vizcore.views.figure_page import FigureView

HEIGHT = 480
FONT_SIZE = 13
LABEL_WIDTH = 9
LEAST = 1e-9
"""Of the ends of the colours: where all effects are zero."""


def effect_heatmap(
    effects: pd.DataFrame,
    *,
    rows: Sequence[int],
    columns: Sequence[int],
    by: str = "head",
    labels: Sequence[str] | None = None,
    selected: tuple[int, int] | None = None,
    crossed: Iterable[tuple[int, int]] = (),
    dark: bool = False,
    height: int = HEIGHT,
) -> FigureView:
    """Effects as a grid: a row a layer, the first on top, a column a head or a position.

    Args:
        effects: layer, effect, and the column that `by` names; a row a cell that is measured.
        rows, columns: all layers and all heads (or positions) of the grid.
        by: what the columns are: "head" or "position".
        labels: what is written below the columns; None for their numbers.
        selected: (layer, column) to outline.
        crossed: cells with a cross, such as heads that are switched off.
        dark: for a page with a dark background.
        height: in pixels; the width is the host's.

    Raises:
        SelectionError: if the grid has no cell, or an effect lies outside of it.
    """
    if not rows or not columns:
        raise SelectionError("There is no cell to draw: give at least one row and one column.")
    style = Style.of(dark)
    grid = np.full((len(rows), len(columns)), np.nan)
    row_of = {layer: place for place, layer in enumerate(rows)}
    column_of = {number: place for place, number in enumerate(columns)}
    for layer, number, effect in zip(effects["layer"], effects[by], effects["effect"], strict=True):
        if layer not in row_of or number not in column_of:
            raise SelectionError(f"There is no cell for layer {layer}, {by} {number}.")
        grid[row_of[layer], column_of[number]] = effect
    known = np.abs(grid[np.isfinite(grid)])
    end = max(float(known.max()) if len(known) else 0.0, LEAST)
    named = [str(number) for number in columns] if labels is None else list(labels)
    figure = go.Figure()
    figure.add_heatmap(
        z=grid,
        zmin=-end,
        zmax=end,
        colorscale=colours.colorscale(style.colours.diverging),
        customdata=[*range(len(rows))],
        text=[
            [f"layer {layer}, {by} {literal(name)}" for name in named] for layer in rows
        ],
        hovertemplate="%{text}: %{z:+.3f}<extra></extra>",
        xgap=1,
        ygap=1,
        colorbar={
            "orientation": "h", "y": 1.0, "yanchor": "bottom", "thickness": 10, "len": 0.9,
            "tickvals": [-end, 0, end], "ticktext": [f"{-end:.2g}", "0", f"+{end:.2g}"],
            "x": 0.5, "tickfont": {"size": FONT_SIZE},
        },
    )  # fmt: skip
    for layer, number in crossed:
        if layer in row_of and number in column_of:
            figure.add_annotation(
                x=column_of[number], y=row_of[layer], text="✕", showarrow=False,
                font={"size": 15, "color": style.text},
            )  # fmt: skip
    if selected is not None and selected[0] in row_of and selected[1] in column_of:
        x, y = column_of[selected[1]], row_of[selected[0]]
        figure.add_shape(
            type="rect", x0=x - 0.5, x1=x + 0.5, y0=y - 0.5, y1=y + 0.5,
            line={"color": style.accent, "width": 3},
        )  # fmt: skip
    step = max(1, len(rows) // 10)
    figure.update_xaxes(
        tickvals=[*range(len(columns))],
        ticktext=[literal(cut(name, LABEL_WIDTH)) for name in named],
        range=[-0.5, len(columns) - 0.5],
        title=by if labels is None else None,
        showgrid=False,
        zeroline=False,
        automargin=True,
    )
    figure.update_yaxes(
        tickvals=[*range(0, len(rows), step)],
        ticktext=[str(rows[place]) for place in range(0, len(rows), step)],
        title="layer",
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
        automargin=True,
    )
    figure.update_layout(
        height=height,
        margin={"l": 5, "r": 5, "t": 10, "b": 5},
        font={"size": FONT_SIZE, "color": style.text},
        paper_bgcolor=style.background,
        plot_bgcolor=style.background,
        hoverlabel={"font": {"size": FONT_SIZE}},
        dragmode=False,
    )
    return FigureView(figure, title="What matters", background=style.page)
