"""The cells of a Plotly figure of a map: their colours, their exact values, and what has none.

The idea: what is coloured may be a logarithm, or a row that was scaled up, but hovering always
tells the value itself. What is not a number, infinite, beyond the scale or left out is a trace of
its own, with a mark of its own and its words in the figure's legend.
"""

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Bool, Float

from vizcore.maps import AttentionMap
from vizcore.views import colours
from vizcore.views.figure_axes import FONT_SIZE, Axis, Style, literal
from vizcore.views.reduce import blocks
from vizcore.views.scales import Kind, Scale
from vizcore.views.sinks import MIN_LEFT, Sink, are_weights, take_first

MARK_SIZE = 9

MAX_GAPS = 60
"""Up to so many cells a side there are gaps between them."""


@dataclass(frozen=True, eq=False)
class Cells:
    """What a figure shows of a map.

    Args:
        values: (row, column), exact, or means of blocks; what hovering tells.
        shown: (row, column), what the colours are of: the same, or without the first key.
        masked: (row, column).
        aside: (row, column), True where the first key is left out of the colours.
        too_little: (row,), True where too little is left to be renormalised.
        n_keys: how many keys a cell holds.
        sink: what became of the first key.
    """

    values: Float[np.ndarray, "row column"]
    shown: Float[np.ndarray, "row column"]
    masked: Bool[np.ndarray, "row column"]
    aside: Bool[np.ndarray, "row column"]
    too_little: Bool[np.ndarray, " row"]
    n_keys: int
    sink: Sink

    @classmethod
    def of(cls, map: AttentionMap, queries: Axis, keys: Axis, sink: Sink) -> "Cells":
        """Cells of whole tokens, as the axes cut them."""
        n_queries, n_keys = map.values.shape
        average = blocks((n_queries, n_keys), rows=queries.block, columns=keys.block)
        whole = average(map.values, map.masked)
        shown, too_little = whole.values, np.zeros(len(whole.values), bool)
        aside = np.zeros(whole.values.shape, bool)
        if sink != "keep":
            values = map.values
            if map.masked is not None:
                values = np.where(map.masked, np.float32(0), values)
            taken = take_first(values, renormalise=sink == "renormalise")
            shown = average(taken.values, map.masked).values
            too_little = average.by_row @ taken.too_little.astype(np.float32) > 1 - 1e-6
            if keys.block == 1:
                aside[:, 0] = ~whole.masked[:, 0]
        return cls(whole.values, shown, whole.masked, aside, too_little, keys.block, sink)

    @property
    def coloured(self) -> Bool[np.ndarray, "row column"]:
        """Which cells have a colour of the scale, if their value is finite."""
        coloured: np.ndarray = ~self.masked & ~self.aside & ~self.too_little[:, None]
        return coloured


def scale_of(
    cells: Cells, map: AttentionMap, kind: Kind, limits: tuple[float, float] | None
) -> Scale:
    """The scale of a figure: the limits, or weights from 0 to 1, or the range of the values."""
    values = cells.shown[cells.coloured]
    finite = values[np.isfinite(values)]
    if limits is not None:
        low, high = limits
    else:
        least, most = float(finite.min(initial=0)), float(finite.max(initial=0))
        largest = float(np.max(map.values, initial=0, where=np.isfinite(map.values)))
        if least >= 0 and largest <= 1.001:
            # Weights of a row sum to 1, so the mean over k keys is at most 1/k.
            low, high = 0.0, max(1 / cells.n_keys, most)
        else:
            size = max(-least, most) or 1.0
            low, high = (-size if least < 0 else 0.0), size
    return Scale.over(finite, low, high, kind)


def heatmap_of(
    cells: Cells, map: AttentionMap, queries: Axis, keys: Axis, scale: Scale, style: Style
) -> go.Heatmap:
    """The coloured cells. Hovering tells the exact value, and beside it what is coloured."""
    shown = np.where(cells.coloured, cells.shown, np.nan).astype(np.float32)
    mean = "mean " if queries.block * keys.block > 1 else ""
    quantity = literal(map.quantity)
    low, high = scale.ends
    told = f"{mean}{quantity} %{{z:.5~g}}"
    more: dict[str, object] = {}
    if scale.floor is not None or cells.sink == "renormalise":
        # The exact values, as text beside the colours.
        more["customdata"] = np.dstack([cells.values, cells.shown]).astype(np.float32)
        told = f"{mean}{quantity} %{{customdata[0]:.5~g}}"
        if cells.sink == "renormalise":
            told += "<br>of what is left %{customdata[1]:.5~g}"
    bar: dict[str, object] = {
        "title": {"text": quantity, "side": "right"},
        "thickness": 14,
        "outlinewidth": 0,
        "tickfont": {"size": FONT_SIZE},
    }
    if scale.floor is not None:
        places, labels = zip(*scale.ticks(), strict=True)
        bar |= {"tickvals": places, "ticktext": labels}
        bar["title"] = {"text": f"{quantity}, logarithmic", "side": "right"}
    gap = 1 if max(shown.shape) <= MAX_GAPS else 0
    ramp = style.colours.diverging if scale.low < 0 else style.colours.sequential
    return go.Heatmap(
        z=scale.places(shown).astype(np.float32),
        zmin=low,
        zmax=high,
        colorscale=colours.colorscale(ramp),
        xgap=gap,
        ygap=gap,
        hoverongaps=False,
        hovertemplate=f"%{{y}}<br>%{{x}}<br>{told}<extra></extra>",
        colorbar=bar,
        name="cells",
        **more,
    )


def left_out(cells: Cells, map: AttentionMap, style: Style) -> list[go.Heatmap | go.Scatter]:
    """What the colours leave out, with its exact values: the first key, rows with too little."""
    traces: list[go.Heatmap | go.Scatter] = []
    gap = 1 if max(cells.values.shape) <= MAX_GAPS else 0
    words = {"grey": "first token, greyed out", "renormalise": "first token, renormalised away"}
    for name, here, text in (
        ("first token", cells.aside, words.get(cells.sink, "")),
        (
            "too little left",
            ~cells.masked & ~cells.aside & cells.too_little[:, None],
            f"under {MIN_LEFT:.0%} left, not renormalised",
        ),
    ):
        if not here.any():
            continue
        symbol = "square" if name == "first token" else "square-open"
        strength = 1.0 if name == "first token" else 0.45
        traces.append(
            go.Heatmap(
                z=np.where(here, cells.values, np.nan).astype(np.float32),
                colorscale=[(0, style.colours.aside), (1, style.colours.aside)],
                opacity=strength,
                showscale=False,
                xgap=gap,
                ygap=gap,
                hoverongaps=False,
                hovertemplate=(
                    f"%{{y}}<br>%{{x}}<br>{literal(map.quantity)} %{{z:.5~g}}<extra>{text}</extra>"
                ),
                name=name,
            )
        )
        traces.append(_legend(text, symbol, style.colours.aside))
    if cells.sink != "keep" and not cells.aside.any():
        # Cells of several keys: the first one is out of their means, and no cell is grey.
        traces.append(_legend(words[cells.sink], "square", style.colours.aside))
    return traces


def marks(cells: Cells, scale: Scale, style: Style) -> list[go.Scatter]:
    """What has no colour, or not quite its own."""
    values = np.where(cells.coloured, cells.shown, 0)
    finite = np.isfinite(values)
    # Beyond the scale a cell has the colour furthest from the page's, so the mark has the page's.
    page, text = style.page, style.text
    kinds = {
        "not a number": (np.isnan(values), "x-thin", style.colours.undefined, None),
        "infinite": (np.isinf(values), "diamond-open", style.colours.infinite, None),
        "above the scale": (
            finite & (values > scale.high * (1 + 1e-6)),
            "triangle-up",
            page,
            text,
        ),
        "below the scale": (
            finite & (values < scale.low - 1e-6 * abs(scale.low)),
            "triangle-down",
            page,
            text,
        ),
    }
    return [
        go.Scatter(
            x=np.nonzero(here)[1],
            y=np.nonzero(here)[0],
            mode="markers",
            marker={
                "symbol": symbol,
                "size": MARK_SIZE,
                "color": colour,
                "line": {"width": 2 if edge is None else 1, "color": edge or colour},
            },
            # It would catch pointing at the cells around it.
            hoverinfo="skip",
            name=name,
            showlegend=True,
        )
        for name, (here, symbol, colour, edge) in kinds.items()
        if here.any()
    ]


def can_take_first(map: AttentionMap) -> bool:
    """Whether the first key of this map can be a sink: rows are weights, and there are others."""
    return map.values.shape[1] > 1 and are_weights(map.values)


def _legend(text: str, symbol: str, colour: str) -> go.Scatter:
    """An entry of the legend for what is no trace with an entry of its own."""
    return go.Scatter(
        x=[None],
        y=[None],
        mode="markers",
        marker={"symbol": symbol, "size": MARK_SIZE + 2, "color": colour},
        hoverinfo="skip",
        name=text,
        showlegend=True,
    )
