"""Plotly figures of benchmarks: how many items are right in each group, and by layer.

The idea: an accuracy without its interval says too much, so each is a point on a line as long as
what is not known. It takes the tables of `vizcore.accuracy_table` and `metric_table`, and no model.
"""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from vizcore.errors import SelectionError
from vizcore.views import colours
from vizcore.views.figure_axes import Style, cut, literal
from vizcore.views.figure_page import FigureView

FONT_SIZE = 14
ROW_HEIGHT = 34
AXES_HEIGHT = 60
LABEL_WIDTH = 34
"""Letters of a group that there is room for."""
FAINT = "rgba(128,128,128,0.25)"
SYMBOLS = ("circle", "diamond", "square", "cross")


def accuracy_chart(
    tables: Mapping[str, pd.DataFrame],
    *,
    selected: int | None = None,
    chance: float | int | None = 0.5,
    dark: bool = False,
) -> FigureView:
    """The accuracy of each group with its interval; a row a group, a colour a model.

    Args:
        tables: for each model's name its groups: the name in the first column, n, accuracy, low
            and high, as `vizcore.accuracy_table` makes them; all of the same groups.
        selected: the row that is marked.
        chance: what guessing would reach; None for no line.
        dark: for a page with a dark background.

    Raises:
        SelectionError: if there is no group.
    """
    if not tables or any(table.empty for table in tables.values()):
        raise SelectionError("There is no accuracy to draw: give at least one group.")
    style, hues = Style.of(dark), colours.HUES_DARK if dark else colours.HUES_LIGHT
    figure = go.Figure()
    n_rows = max(len(table) for table in tables.values())
    for number, (name, table) in enumerate(tables.items()):
        shift = 0.0 if len(tables) == 1 else 0.3 * (number / (len(tables) - 1) - 0.5)
        figure.add_scatter(
            x=table["accuracy"],
            y=[row + shift for row in range(len(table))],
            customdata=[*range(len(table))],
            mode="markers",
            name=literal(name),
            marker={
                "size": 12,
                "color": hues[number % len(hues)],
                "symbol": SYMBOLS[number % len(SYMBOLS)],
            },
            error_x={
                "type": "data",
                "symmetric": False,
                "array": table["high"] - table["accuracy"],
                "arrayminus": table["accuracy"] - table["low"],
                "thickness": 3,
                "width": 0,
                "color": hues[number % len(hues)],
            },
            hovertext=[
                f"{literal(str(row.iloc[0]))}<br>{row['accuracy']:.1%} of {row['n']:,}, "
                f"{row['low']:.1%} to {row['high']:.1%}"
                for _, row in table.iterrows()
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    if chance is not None:
        figure.add_vline(chance, line={"color": style.text, "width": 1, "dash": "dot"})
    if selected is not None:
        figure.add_hrect(
            selected - 0.5, selected + 0.5, line={"width": 0}, fillcolor=FAINT, layer="below"
        )
    names = [str(name) for name in next(iter(tables.values())).iloc[:, 0]]
    _lay_out(figure, style, ROW_HEIGHT * n_rows + AXES_HEIGHT, several=len(tables) > 1)
    figure.update_xaxes(range=[-0.03, 1.03], tickformat=".0%")
    figure.update_yaxes(
        tickvals=[*range(len(names))],
        ticktext=[literal(cut(name.replace("_", " "), LABEL_WIDTH)) for name in names],
        range=[n_rows - 0.4, -0.6],
        showgrid=False,
    )
    return FigureView(figure, title="Accuracy by group", background=style.page)


def layer_curves(
    tables: Mapping[str, pd.DataFrame], *, dark: bool = False, height: int = 300
) -> FigureView:
    """How well a probe on each layer does; a line a model.

    Args:
        tables: for each model's name: layer and value of one metric, a row a layer.
        dark, height: as of other figures.

    Raises:
        SelectionError: if there is no layer.
    """
    if not tables or any(table.empty for table in tables.values()):
        raise SelectionError("There is no layer to draw: give at least one.")
    style, hues = Style.of(dark), colours.HUES_DARK if dark else colours.HUES_LIGHT
    figure = go.Figure()
    for number, (name, table) in enumerate(tables.items()):
        figure.add_scatter(
            x=table["layer"],
            y=table["value"],
            mode="lines+markers",
            name=literal(name),
            line={"color": hues[number % len(hues)], "width": 3},
            marker={"size": 8, "symbol": SYMBOLS[number % len(SYMBOLS)]},
            hovertemplate="layer %{x}: %{y:.3f}<extra></extra>",
        )
    _lay_out(figure, style, height, several=len(tables) > 1)
    figure.update_xaxes(title="layer (-1: the embedding)")
    return FigureView(figure, title="By layer", background=style.page)


def _lay_out(figure: go.Figure, style: Style, height: int, *, several: bool) -> None:
    figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": 34 if several else 10, "b": 10},
        font={"size": FONT_SIZE, "color": style.text},
        paper_bgcolor=style.background,
        plot_bgcolor=style.background,
        hoverlabel={"font": {"size": FONT_SIZE}},
        showlegend=several,
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
    )
    axis = {"gridcolor": FAINT, "zeroline": False, "automargin": True}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
