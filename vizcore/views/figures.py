"""Plotly figures: one AttentionMap in full, with its tokens and exact values.

The idea: all that a reader can ask of one map in one picture: each value on hover, a row or a
column that stands out, small weights on a logarithmic scale, and what a head does besides looking
at the first token. The query tokens are points, because points are what a host can let its reader
select. For all heads at once take `model_view`.
"""

import plotly.graph_objects as go

from vizcore.errors import SelectionError
from vizcore.maps import AttentionMap
from vizcore.views import scales, sinks
from vizcore.views.figure_axes import Axis, Style, layout, query_labels, query_points, title_of
from vizcore.views.figure_cells import (
    Cells,
    can_take_first,
    heatmap_of,
    left_out,
    marks,
    scale_of,
)
from vizcore.views.figure_page import FigureView

MAX_TOKENS = 200
"""A map of more tokens than this a side is reduced to blocks: more cells than a screen shows."""

HEIGHT = 600
"""Of the figure, in pixels."""

PLOT_WIDTH = 560
PLOT_HEIGHT = 470
"""Roughly what is left for the map itself, to tell how many labels have room."""


def heatmap(
    map: AttentionMap,
    *,
    row: int | None = None,
    column: int | None = None,
    scale: scales.Kind = "linear",
    sink: sinks.Sink = "keep",
    limits: tuple[float | int, float | int] | None = None,
    dark: bool = False,
    height: int = HEIGHT,
    room: int = PLOT_WIDTH,
) -> FigureView:
    """One map: query tokens down, key tokens across, exact values on hover.

    Masked cells stay blank, a weight of zero is visible, and what is not a number, infinite or
    beyond `limits` has a mark of its own, which the legend explains. A map of more than
    `MAX_TOKENS` tokens a side is shown as the means of blocks of whole tokens, which the figure
    then says. The first trace is the query tokens, a point each, whose `customdata` is the
    query's position, so that a host can let its reader select one.

    Args:
        map: what to show.
        row: the position of a query that stands out.
        column: the same of a key.
        scale: "linear" or "log": colours of decades, down to the smallest value that there is or
            to `scales.MAX_DECADES` below the largest; below that all are coloured alike.
        sink: what becomes of the first key: "keep", "grey" (its cells are greyed out), or
            "renormalise" (so are they, and the rest of each row is scaled up to sum to 1, a_ij /
            Σ_{k>0} a_ik; rows that leave less than `sinks.MIN_LEFT` are marked instead). Hovering
            tells the weights as they were.
        limits: the values at the two ends of the colours; None: 0 and 1 for weights, of other maps
            the range of the values.
        dark: for a page with a dark background.
        height: in pixels; the width is the host's.
        room: how wide the cells together will be there, about: labels are turned to fit into it.

    Raises:
        SelectionError: if there is no such row or column, the limits do not go up, or the first
            key is to be taken from a map whose rows are no weights.
    """
    n_queries, n_keys = map.values.shape
    _check(map, row, column, sink, limits)
    style = Style.of(dark)
    # Attention of a text to itself keeps its shape: one block size for both axes.
    block = max(1, -(-max(n_queries, n_keys) // MAX_TOKENS))
    queries = Axis.of(
        map.query_tokens, min(block, n_queries), room=PLOT_HEIGHT, word="query", plural="queries"
    )
    keys = Axis.of(map.key_tokens, min(block, n_keys), room=room, word="key", plural="keys")
    cells = Cells.of(map, queries, keys, sink)
    ends = None if limits is None else (float(limits[0]), float(limits[1]))
    colours = scale_of(cells, map, scale, ends)
    chosen = None if row is None else row // queries.block
    pinned = None if column is None else column // keys.block
    figure = go.Figure(
        layout=layout(map, queries, keys, style, height=height, room=room, pinned=pinned)
        | {"shapes": _highlights(chosen, pinned, cells.values.shape, style)},
        data=[
            query_points(queries),
            heatmap_of(cells, map, queries, keys, colours, style),
            *left_out(cells, map, style),
            *marks(cells, colours, style),
            query_labels(queries, chosen, style),
            # An axis without a trace is not drawn.
            go.Scatter(x=[None], y=[None], xaxis="x3", showlegend=False, hoverinfo="skip"),
        ],
    )
    return FigureView(figure, title=title_of(map), background=style.page)


def _check(
    map: AttentionMap,
    row: int | None,
    column: int | None,
    sink: sinks.Sink,
    limits: tuple[float | int, float | int] | None,
) -> None:
    for word, place, n_places in (
        ("query", row, map.values.shape[0]),
        ("key", column, map.values.shape[1]),
    ):
        if place is not None and not 0 <= place < n_places:
            raise SelectionError(
                f"There is no {word} {place}: the map has {n_places}, counted from 0."
            )
    if limits is not None and not limits[0] < limits[1]:
        raise SelectionError(
            f"limits must go up, from the value at one end of the colours to that at the other, "
            f"not from {limits[0]} to {limits[1]}."
        )
    if sink != "keep" and not can_take_first(map):
        raise SelectionError(
            f"The first token cannot be taken out of {map.quantity}: that is for weights, whose "
            'rows sum to 1, over at least two keys. Use sink="keep".'
        )


def _highlights(
    row: int | None, column: int | None, shape: tuple[int, ...], style: Style
) -> list[dict[str, object]]:
    """Dims what is in neither the row nor the column, and outlines them."""
    if row is None and column is None:
        return []
    n_rows, n_columns = shape
    down = _around(row, n_rows)
    across = _around(column, n_columns)
    rectangle: dict[str, object] = {"type": "rect", "xref": "x", "yref": "y"}
    dim = rectangle | {"fillcolor": style.dim, "line": {"width": 0}}
    outline = rectangle | {"line": {"width": 2, "color": style.accent}}
    shapes = [
        dim | {"x0": x0, "x1": x1, "y0": y0, "y1": y1} for y0, y1 in down for x0, x1 in across
    ]
    if row is not None:
        ends = {"x0": -0.5, "x1": n_columns - 0.5, "y0": row - 0.5, "y1": row + 0.5}
        shapes.append(outline | ends)
    if column is not None:
        ends = {"x0": column - 0.5, "x1": column + 0.5, "y0": -0.5, "y1": n_rows - 0.5}
        shapes.append(outline | ends)
    return shapes


def _around(place: int | None, n_places: int) -> list[tuple[float, float]]:
    """What is before and after a place; everything, if there is none."""
    if place is None:
        return [(-0.5, n_places - 0.5)]
    return [
        (start, end)
        for start, end in ((-0.5, place - 0.5), (place + 0.5, n_places - 0.5))
        if end > start
    ]
