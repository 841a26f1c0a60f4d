"""Plotly figures of sentences side by side: how likelihood falls along each of them.

The idea: a line for each sentence, which all stand in the columns of `vizcore.side_by_side`, so a
line that drops where the others go on shows the part that cost a sentence its likelihood. For the
parts themselves take `sentences_view`.
"""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from vizcore.errors import SelectionError
from vizcore.views import colours
from vizcore.views.figure_axes import Style, literal
from vizcore.views.figure_page import FigureView

HEIGHT = 300
FONT_SIZE = 14
MOST_LABELS = 40
"""More parts than this are not written along the axis."""
DASHES = ("solid", "dash", "dot", "dashdot")


def sentence_curves(
    parts: pd.DataFrame,
    lines: pd.DataFrame,
    *,
    parting: int | None = None,
    dark: bool = False,
    height: int = HEIGHT,
) -> FigureView:
    """The log-likelihood of each sentence, part by part.

    Args:
        parts: line, text, column and cumulative (nats) of each part.
        lines: line, sentence and model of each sentence.
        parting: the column in which they first differ, to be marked; None if they don't.
        dark: for a page with a dark background.
        height: in pixels; the width is the host's.

    Raises:
        SelectionError: if there is no sentence.
    """
    if lines.empty:
        raise SelectionError("There is no sentence to draw a curve of: give at least one.")
    style = Style.of(dark)
    hues = colours.HUES_DARK if dark else colours.HUES_LIGHT
    several = lines["model"].nunique() > 1
    figure = go.Figure()
    for number, (_, row) in enumerate(lines.iterrows()):
        mine = parts[parts["line"] == row["line"]]
        name = f"{row['sentence']} · {row['model']}" if several else str(row["sentence"])
        figure.add_scatter(
            x=mine["column"].to_numpy(),
            y=mine["cumulative"].to_numpy(),
            customdata=[literal(text) for text in mine["text"]],
            mode="lines+markers",
            line={
                "color": hues[number % len(hues)],
                "dash": DASHES[number // len(hues) % len(DASHES)],
                "width": 2.5,
            },
            marker={"size": 6},
            name=literal(_shortened(name)),
            hovertemplate="%{customdata}: %{y:.2f} nats<extra></extra>",
        )
    if parting is not None:
        figure.add_vline(parting, line={"color": style.accent, "width": 1, "dash": "dot"})
    grid = {"gridcolor": "rgba(128,128,128,0.25)", "zeroline": False, "automargin": True}
    figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        font={"size": FONT_SIZE, "color": style.text},
        paper_bgcolor=style.background,
        plot_bgcolor=style.background,
        xaxis={**grid, "showgrid": False, **_ticks(parts)},
        yaxis={**grid, "title": {"text": "log-likelihood so far, in nats"}},
        legend={"orientation": "h", "x": 0, "y": -0.25, "yanchor": "top"},
        hoverlabel={"font": {"size": FONT_SIZE}},
        showlegend=len(lines) > 1,
    )
    return FigureView(figure, title="Log-likelihood along the sentences", background=style.page)


def _ticks(parts: pd.DataFrame) -> dict[str, object]:
    """Below each column what stands in it, if that is one thing; nothing if there are too many."""
    n_columns = int(parts["column"].max()) + 1
    if n_columns > MOST_LABELS:
        return {"showticklabels": False, "title": {"text": "along the sentence"}}
    texts = [""] * n_columns
    for column, group in parts.groupby("column")["text"]:
        texts[int(str(column))] = literal(" / ".join(group.unique()[:3]))
    return {"tickvals": np.arange(n_columns), "ticktext": texts}


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"
