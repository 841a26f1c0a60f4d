"""Figures of benchmarks: each accuracy with its interval, each model in its own colour."""

import pandas as pd
import pytest

from vizcore.errors import SelectionError
from vizcore.views.score_figures import accuracy_chart, layer_curves


def table(shift: float = 0.0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "paradigm": ["a_b", "<i>"],
            "n": [10, 2000],
            "accuracy": [0.5 + shift, 0.75],
            "low": [0.25, 0.625],
            "high": [0.9375, 0.875],
        }
    )


def test_each_group_is_a_row_with_its_interval() -> None:
    figure = accuracy_chart({"m": table()}, selected=1).figure
    (points,) = figure.data
    assert (list(points.x), list(points.y)) == ([0.5, 0.75], [0, 1])
    assert list(points.error_x.array) == [0.4375, 0.125]
    assert list(points.error_x.arrayminus) == [0.25, 0.125]
    assert [text.strip("\u2068\u2069") for text in figure.layout.yaxis.ticktext] == [
        "a b",
        "&#60;i&#62;",
    ]
    assert points.hovertext[1].endswith("75.0% of 2,000, 62.5% to 87.5%")
    assert [shape.type for shape in figure.layout.shapes] == ["line", "rect"]
    assert not figure.layout.showlegend


def test_two_models_stand_beside_each_other_and_tell_their_names() -> None:
    figure = accuracy_chart({"m": table(), "<n>": table(0.125)}, chance=None, dark=True).figure
    first, second = figure.data
    assert list(first.y) != list(second.y)
    assert [round(y) for y in (*first.y, *second.y)] == [0, 1, 0, 1]
    assert (list(first.customdata), first.marker.symbol) == ([0, 1], "circle")
    assert second.name == "\u2068&#60;n&#62;\u2069"
    assert figure.layout.showlegend
    assert not figure.layout.shapes


def test_probes_are_curves_over_layers() -> None:
    curve = pd.DataFrame({"layer": [-1, 0, 1], "value": [0.5, 0.625, 0.75]})
    figure = layer_curves({"m": curve, "n": curve}).figure
    assert list(figure.data[1].x) == [-1, 0, 1]
    assert list(figure.data[1].y) == [0.5, 0.625, 0.75]


def test_nothing_cannot_be_drawn() -> None:
    with pytest.raises(SelectionError) as caught:
        accuracy_chart({})
    assert str(caught.value) == "There is no accuracy to draw: give at least one group."
    with pytest.raises(SelectionError) as caught:
        layer_curves({"m": pd.DataFrame({"layer": [], "value": []})})
    assert str(caught.value) == "There is no layer to draw: give at least one."
