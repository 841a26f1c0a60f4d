"""The figure of effects puts each where it was measured, and leaves the rest empty."""

import numpy as np
import pandas as pd
import pytest

from vizcore.errors import SelectionError
from vizcore.views.effect_figures import effect_heatmap


def effects() -> pd.DataFrame:
    return pd.DataFrame({"layer": [3, 1], "head": [0, 2], "effect": [-0.5, 0.25]})


def test_each_effect_is_in_its_cell_and_zero_in_the_middle_of_the_colours() -> None:
    cells = effect_heatmap(effects(), rows=[1, 3], columns=range(3)).figure.data[0]
    np.testing.assert_array_equal(cells.z, [[np.nan, np.nan, 0.25], [-0.5, np.nan, np.nan]])
    assert (cells.zmin, cells.zmax) == (-0.5, 0.5)
    assert list(cells.customdata) == [0, 1]


def test_before_anything_is_measured_the_whole_grid_is_there() -> None:
    figure = effect_heatmap(effects().iloc[:0], rows=range(4), columns=range(3)).figure
    assert np.isnan(figure.data[0].z).all()
    assert list(figure.layout.xaxis.range) == [-0.5, 2.5]
    assert list(figure.layout.yaxis.range) == [3.5, -0.5]


def test_the_open_cell_is_outlined_and_heads_that_are_off_are_crossed() -> None:
    figure = effect_heatmap(
        effects(), rows=[1, 3], columns=range(3), selected=(3, 2), crossed=[(1, 0), (9, 9)]
    ).figure
    (outline,) = figure.layout.shapes
    assert (outline.x0, outline.x1, outline.y0, outline.y1) == (1.5, 2.5, 0.5, 1.5)
    (cross,) = figure.layout.annotations
    assert (cross.x, cross.y, cross.text) == (0, 0, "✕")


def test_columns_can_be_positions_with_their_tokens() -> None:
    table = effects().rename(columns={"head": "position"})
    figure = effect_heatmap(
        table,
        rows=[1, 3],
        columns=range(3),
        by="position",
        labels=["a", "<b>", "我" * 9],
        dark=True,
    ).figure
    shown = [text.strip("\u2068\u2069") for text in figure.layout.xaxis.ticktext]
    assert shown == ["a", "&#60;b&#62;", "我我我我…"]
    assert figure.data[0].text[1][1] == "layer 3, position \u2068&#60;b&#62;\u2069"


def test_what_lies_outside_or_is_no_grid_is_refused() -> None:
    with pytest.raises(SelectionError) as caught:
        effect_heatmap(effects(), rows=[1, 3], columns=range(2))
    assert str(caught.value) == "There is no cell for layer 1, head 2."
    with pytest.raises(SelectionError) as caught:
        effect_heatmap(effects(), rows=[], columns=range(2))
    assert str(caught.value) == "There is no cell to draw: give at least one row and one column."
