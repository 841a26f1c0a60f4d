"""Plotly figures of rescoring: who wins at which weight of the language model, and how many errors.

The idea: a hypothesis' total is a straight line over the weight, so the winners are the upper edge
of all lines, and error rates change in steps. Each takes tables and knows no model.
"""

import pandas as pd
import plotly.graph_objects as go

from vizcore.errors import SelectionError
from vizcore.views.figure_axes import Style, cut, literal
from vizcore.views.figure_page import FigureView

FONT_SIZE = 14
HEIGHT = 300
LABEL_WIDTH = 44
"""Letters of a hypothesis where it is pointed at."""
FAINT = "rgba(128,128,128,0.25)"


def weight_lines(
    hypotheses: pd.DataFrame,
    winners: pd.DataFrame,
    *,
    weight: float | int | None = None,
    dark: bool = False,
    height: int = HEIGHT,
) -> FigureView:
    """Each hypothesis' total over the weight of the language model; winners in colour.

    Lines are drawn by how far they are below the winner, who so is a level line on top: what
    decides is the distance, not the height.

    Args:
        hypotheses: hypothesis, score (its own) and log_likelihood, a row each, as `Rescoring.table`
            makes them.
        winners: low, high, hypothesis: who wins from which weight to which, as `Rescoring.winners`.
        weight: one to mark.
        dark: for a page with a dark background.
        height: in pixels; the width is the host's.

    Raises:
        SelectionError: if there is no hypothesis.
    """
    if hypotheses.empty or winners.empty:
        raise SelectionError("There is no hypothesis to draw: give at least one.")
    style = Style.of(dark)
    figure = go.Figure()
    edges = sorted({0.0, 1.0, *winners["low"], *winners["high"]})
    best = {edge: max(_total(row, edge) for _, row in hypotheses.iterrows()) for edge in edges}
    for _, row in hypotheses.iterrows():
        name = literal(cut(str(row["hypothesis"]), LABEL_WIDTH))
        figure.add_scatter(
            x=edges,
            y=[_total(row, edge) - best[edge] for edge in edges],
            mode="lines",
            line={"color": style.colours.aside, "width": 1.5},
            name=name,
            hovertemplate=f"{name}<br>%{{y:.2f}} behind at %{{x:.2f}}<extra></extra>",
        )
    for number, (_, row) in enumerate(winners.iterrows()):
        name = literal(cut(str(row["hypothesis"]), LABEL_WIDTH))
        figure.add_scatter(
            x=[row["low"], row["high"]],
            y=[0, 0],
            mode="lines",
            line={"color": style.accent if number % 2 == 0 else style.text, "width": 6},
            hovertemplate=f"{name}<br>wins from {row['low']:.2f} to {row['high']:.2f}"
            "<extra></extra>",
        )
        if row["high"] < 1:
            figure.add_vline(row["high"], line={"color": style.text, "width": 1, "dash": "dot"})
    # Those that are far behind would press the others against the top.
    behind = sorted(
        (min(_total(row, edge) - best[edge] for edge in edges) for _, row in hypotheses.iterrows()),
        reverse=True,
    )
    floor = min(behind[: max(2, len(behind) // 2 + 1)], default=-1.0) or -1.0
    _lay_out(figure, style, height, weight)
    figure.update_yaxes(title="behind the winner", range=[floor * 1.08, -floor * 0.08])
    return FigureView(figure, title="Who wins at which weight", background=style.page)


def error_rate_steps(
    rates: pd.DataFrame,
    *,
    weight: float | int | None = None,
    dark: bool = False,
    height: int = HEIGHT,
) -> FigureView:
    """The error rate of all winners over the weight of the language model.

    Args:
        rates: low, high and error_rate, a row a stretch of weights, as `vizcore.error_rates`.
        weight, dark, height: as of `weight_lines`.

    Raises:
        SelectionError: if there is no stretch.
    """
    if rates.empty:
        raise SelectionError("There is no error rate to draw: give at least one stretch.")
    style = Style.of(dark)
    figure = go.Figure()
    figure.add_scatter(
        x=[edge for row in rates.itertuples() for edge in (row.low, row.high)],
        y=[row.error_rate for row in rates.itertuples() for _ in range(2)],
        mode="lines",
        line={"color": style.accent, "width": 3},
        hovertemplate="%{y:.1%} at %{x:.2f}<extra></extra>",
    )
    _lay_out(figure, style, height, weight)
    figure.update_yaxes(title="error rate", tickformat=".0%", rangemode="tozero")
    return FigureView(figure, title="Errors by weight", background=style.page)


def _total(row: pd.Series, weight: float) -> float:
    return float((1 - weight) * row["score"] + weight * row["log_likelihood"])


def _lay_out(figure: go.Figure, style: Style, height: int, weight: float | int | None) -> None:
    if weight is not None:
        figure.add_vline(weight, line={"color": style.accent, "width": 2})
    figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        font={"size": FONT_SIZE, "color": style.text},
        paper_bgcolor=style.background,
        plot_bgcolor=style.background,
        hoverlabel={"font": {"size": FONT_SIZE}},
        showlegend=False,
    )
    figure.update_xaxes(
        title="weight of the language model", range=[0, 1], gridcolor=FAINT, zeroline=False,
        automargin=True,
    )  # fmt: skip
    figure.update_yaxes(gridcolor=FAINT, zeroline=False, automargin=True)
