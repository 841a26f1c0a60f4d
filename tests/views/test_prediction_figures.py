"""Figures of predictions say what their tables say."""

import numpy as np
import pandas as pd
import pytest

from vizcore.errors import SelectionError
from vizcore.views.prediction_figures import (
    MOST_STATES,
    lens_heatmap,
    rank_curve,
    sampling_bars,
)


def lens(n_layers: int = 2, n_positions: int = 3) -> pd.DataFrame:
    """A table of a lens in which every cell is another."""
    rows = [
        {
            "layer": layer,
            "position": position,
            "token": f"<t{position}>",
            "top_token": f"w{layer}.{position}",
            "top_probability": (layer + 2) * (position + 1) / 1000,
            "answer": "yes",
            "answer_rank": 10 * (n_layers - layer) + position,
        }
        for layer in range(-1, n_layers)
        for position in range(4, 4 + n_positions)
    ]
    return pd.DataFrame(rows)


def bare(text: str) -> str:
    return text.strip("\u2068\u2069")


def test_each_cell_has_its_likeliest_token_on_the_colour_of_its_probability() -> None:
    figure = lens_heatmap(lens(), position=5).figure
    cells = figure.data[0]
    assert cells.z.shape == (3, 3)  # the embedding and two layers, three positions
    assert cells.z[2][1] == pytest.approx(3 * 6 / 1000)
    assert bare(cells.text[0][2]) == "w-1.6"
    assert cells.customdata[1][2].endswith("has rank 26")
    assert list(figure.layout.yaxis.ticktext) == ["embedding", "layer 0", "layer 1"]
    assert bare(figure.layout.xaxis.ticktext[0]) == "&#60;t4&#62;"
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[0].x1) == (0.5, 1.5)


def test_of_many_layers_some_are_shown_and_always_the_first_and_the_last() -> None:
    figure = lens_heatmap(lens(n_layers=80)).figure
    assert len(figure.data[0].z) == MOST_STATES
    labels = figure.layout.yaxis.ticktext
    assert (labels[0], labels[-1]) == ("embedding", "layer 79")


def test_the_curve_is_the_rank_of_the_answer_by_layer_best_on_top() -> None:
    figure = rank_curve(lens(), 6).figure
    assert list(figure.data[0].x) == [-1, 0, 1]
    assert list(figure.data[0].y) == [36, 26, 16]
    assert (figure.layout.yaxis.type, figure.layout.yaxis.autorange) == ("log", "reversed")


def test_bars_are_the_probabilities_before_and_after_and_say_what_cut_a_token() -> None:
    table = pd.DataFrame(
        {
            "rank": [1, 2],
            "token": ["a", "$b$"],
            "probability": [0.7, 0.3],
            "min_p": [1.0, 0.0],
            "cut_by": [None, "top_p"],
        }
    )
    before, after = sampling_bars(table).figure.data
    np.testing.assert_array_equal(before.x, [0.7, 0.3])
    np.testing.assert_array_equal(after.x, [1, 0])
    assert after.customdata[1].endswith("30.00% → 0.00%, cut by top-p")
    assert bare(after.customdata[0]).startswith("a")


def test_nothing_to_draw_and_a_position_that_is_not_there_are_refused() -> None:
    with pytest.raises(SelectionError) as caught:
        lens_heatmap(lens()[:0])
    assert str(caught.value) == (
        "There is no cell to draw: give a lens with at least one position."
    )
    with pytest.raises(SelectionError) as caught:
        rank_curve(lens(), 9)
    assert str(caught.value) == "The lens has no position 9, only 4 to 6."
    with pytest.raises(SelectionError) as caught:
        sampling_bars(pd.DataFrame({"token": []}))
    assert str(caught.value) == "There is no token to draw a bar of: give a table with some."
