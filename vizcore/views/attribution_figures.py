"""A Plotly figure of faithfulness: how the answer goes, and comes, as tokens are taken and given.

The idea: two curves a method, of deletion and of insertion; a method is the better the sooner the
one falls and the other rises, and an order at random is drawn beside. It takes the table
`Faithfulness.curves`.
"""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from vizcore.errors import SelectionError
from vizcore.views import colours
from vizcore.views.attribution_view import NAMES, RANDOM
from vizcore.views.figure_axes import Style, literal
from vizcore.views.figure_page import FigureView

HEIGHT = 300
FONT_SIZE = 14
TEXTS = {
    "deletion": "Deletion: low is good",
    "insertion": "Insertion: high is good",
    "taken": "tokens taken away",
    "given": "tokens put back",
    "probability": "probability",
    "random": "Random order",
}
"""Every word that the figure shows, in English; `texts` replaces any of them."""


def faithfulness_curves(
    curves: pd.DataFrame,
    *,
    names: Mapping[str, str] | None = None,
    dark: bool = False,
    height: int = HEIGHT,
    texts: Mapping[str, str] | None = None,
) -> FigureView:
    """The curves of deletion and insertion, side by side, a line a method.

    Args:
        curves: as `Faithfulness.curves`: method, curve, n_tokens, probability.
        names: what methods are called.
        dark: for a page with a dark background.
        height: in pixels; the width is the host's.
        texts: replaces entries of `TEXTS`, for a host in another language.

    Raises:
        SelectionError: if the table has no rows.
    """
    if curves.empty:
        raise SelectionError("There are no curves to show: the table has no rows.")
    words = {**TEXTS, **(texts or {})}
    called = {**NAMES, RANDOM: words["random"], **(names or {})}
    style = Style.of(dark)
    hues = colours.HUES_DARK if dark else colours.HUES_LIGHT
    figure = make_subplots(
        rows=1,
        cols=2,
        shared_yaxes=True,
        horizontal_spacing=0.04,
        subplot_titles=(words["deletion"], words["insertion"]),
    )
    methods = list(dict.fromkeys(curves["method"]))
    for number, method in enumerate(methods):
        for column, curve in enumerate(("deletion", "insertion"), start=1):
            its = curves[(curves["method"] == method) & (curves["curve"] == curve)]
            is_random = method == RANDOM
            figure.add_trace(
                go.Scatter(
                    x=its["n_tokens"],
                    y=its["probability"],
                    name=called.get(method) or literal(method),
                    legendgroup=method,
                    showlegend=column == 1,
                    mode="lines" if is_random else "lines+markers",
                    line={
                        "color": style.text if is_random else hues[number % len(hues)],
                        "width": 2,
                        "dash": "dot" if is_random else "solid",
                    },
                    marker={"size": 5},
                ),
                row=1,
                col=column,
            )
    grid = {"gridcolor": "rgba(128,128,128,0.25)", "zeroline": False}
    figure.update_xaxes(**grid)
    figure.update_xaxes(title=words["taken"], col=1)
    figure.update_xaxes(title=words["given"], col=2)
    figure.update_yaxes(range=[-0.02, 1.02], **grid)
    figure.update_yaxes(title=words["probability"], col=1)
    figure.update_layout(
        height=height,
        margin={"l": 60, "r": 10, "t": 30, "b": 45},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": FONT_SIZE, "color": style.text},
        hovermode="x unified",
    )
    figure.update_annotations(font_size=FONT_SIZE)
    return FigureView(figure, title="How faithful attributions are", background=style.page)
