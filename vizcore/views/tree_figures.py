"""Plotly figures of searches: what a beam search looked at, as a tree.

The idea: a step is a column, a beginning is a row, and what won is one line through them. It takes
the table of `BeamTree.to_frame` and knows no model. For one step's alternatives with their
probabilities take `alternatives_view`.
"""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from vizcore.errors import SelectionError
from vizcore.views.figure_axes import Style, cut, literal
from vizcore.views.figure_page import FigureView

FONT_SIZE = 14
ROW_HEIGHT = 28
LEAST_HEIGHT = 200
LABEL_WIDTH = 12
"""Letters of a token that a column has room for."""
GIVEN_UP = "pruned"


def beam_figure(
    nodes: pd.DataFrame, *, dark: bool = False, height: int | None = None
) -> FigureView:
    """A beam search as a tree, from left to right; the text that won is in colour.

    What was pruned at once is left out; a beginning that was gone on from and then given up stays.

    Args:
        nodes: number, parent, step, token, log_probability, total, fate, score and on_best_path, a
            row a node, as `BeamTree.to_frame` makes them.
        dark: for a page with a dark background.
        height: in pixels; None for what the rows need. The width is the host's.

    Returns:
        The figure; each point's `customdata` is the number of its node.

    Raises:
        SelectionError: if there is no node.
    """
    if nodes.empty:
        raise SelectionError("There is no node to draw: give a search with at least its start.")
    style = Style.of(dark)
    kept = nodes[nodes["fate"] != GIVEN_UP]
    rows = _rows(kept)
    known = {int(row["number"]): row for _, row in kept.iterrows()}
    figure = go.Figure()
    for best in (False, True):
        xs: list[int | None] = []
        ys: list[int | None] = []
        for number, row in known.items():
            if bool(row["on_best_path"]) is best and not pd.isna(row["parent"]):
                parent = int(row["parent"])
                xs += [int(known[parent]["step"]), int(row["step"]), None]
                ys += [rows[parent], rows[number], None]
        figure.add_scatter(
            x=xs,
            y=ys,
            mode="lines",
            line={
                "color": style.accent if best else style.colours.aside,
                "width": 4 if best else 1.5,
            },
            hoverinfo="skip",
        )
    best_rows = [bool(row["on_best_path"]) for row in known.values()]
    figure.add_scatter(
        x=[int(row["step"]) for row in known.values()],
        y=[rows[number] for number in known],
        mode="markers+text",
        text=[
            ("<b>{}</b>" if best else "{}").format(literal(cut(str(row["token"]), LABEL_WIDTH)))
            for row, best in zip(known.values(), best_rows, strict=True)
        ],
        textposition="top center",
        textfont={"size": FONT_SIZE, "color": style.text},
        marker={
            "size": [12 if best else 8 for best in best_rows],
            "color": [style.accent if best else style.text for best in best_rows],
        },
        customdata=[*known],
        hovertext=[_told(row) for row in known.values()],
        hovertemplate="%{hovertext}<extra></extra>",
        # A click marks nothing: the page moves on.
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
    )
    n_rows = max(rows.values()) + 1
    last = max(int(row["step"]) for row in known.values())
    axis = {"showgrid": False, "zeroline": False, "showticklabels": False, "fixedrange": True}
    figure.update_layout(
        height=height or max(LEAST_HEIGHT, ROW_HEIGHT * (n_rows + 1)),
        margin={"l": 10, "r": 10, "t": 16, "b": 6},
        font={"size": FONT_SIZE, "color": style.text},
        paper_bgcolor=style.background,
        plot_bgcolor=style.background,
        hoverlabel={"font": {"size": FONT_SIZE}},
        showlegend=False,
        dragmode=False,
        xaxis={**axis, "range": [-1.5, last + 0.5]},
        yaxis={**axis, "range": [n_rows - 0.4, -0.8]},
    )
    return FigureView(figure, title="A beam search", background=style.page)


def _rows(kept: pd.DataFrame) -> Mapping[int, int]:
    """A row for each node: leaves one below the other, the likelier above, parents between them."""
    order = [int(number) for number in kept.sort_values("total", ascending=False)["number"]]
    parent_of = {
        int(row["number"]): None if pd.isna(row["parent"]) else int(row["parent"])
        for _, row in kept.iterrows()
    }
    best = set(kept.loc[kept["on_best_path"].astype(bool), "number"].astype(int))
    children: dict[int | None, list[int]] = {}
    for number in sorted(order, key=lambda one: one not in best):
        children.setdefault(parent_of[number], []).append(number)
    rows: dict[int, int] = {}
    n_leaves = 0
    (start,) = children[None]
    waiting = [(start, False)]
    while waiting:  # not by recursion: a search may be as deep as a text is long
        number, seen = waiting.pop()
        below = children.get(number, [])
        if not below:
            rows[number] = n_leaves
            n_leaves += 1
        elif seen:
            rows[number] = rows[below[0]]  # in line with the first, so that the best is straight
        else:
            waiting.append((number, True))
            waiting.extend((child, False) for child in reversed(below))
    return rows


def _told(row: pd.Series) -> str:
    token = literal(str(row["token"]))
    if pd.isna(row["parent"]):
        return f"{token}: from here on"
    said = f"{token}: {row['log_probability']:.2f} nats, {row['total']:.2f} with all before it"
    if not pd.isna(row["score"]):
        said += f"<br>{row['fate']}, judged by {row['score']:.2f}"
    return said
