"""Figures of rescoring: the winner is on top, and errors change in steps."""

import pandas as pd
import pytest

from vizcore.errors import SelectionError
from vizcore.rescoring import Rescoring
from vizcore.views.weight_figures import error_rate_steps, weight_lines


def crossing() -> Rescoring:
    """One is better by its own score, the other for the language model; they cross at 1/3."""
    return Rescoring("two", ("a <b>", "b"), (0.0, -1.0), (-4.0, -2.0))


def test_lines_are_drawn_by_how_far_they_are_behind_the_winner() -> None:
    one = crossing()
    figure = weight_lines(one.table(0), one.winners(), weight=0.5).figure
    first, second, *winners = figure.data
    assert list(first.x) == pytest.approx([0, 1 / 3, 1])
    assert list(first.y) == pytest.approx([0, 0, -2])
    assert list(second.y) == pytest.approx([-1, 0, 0])
    assert [list(one.x) for one in winners] == [
        [0, pytest.approx(1 / 3)],
        [pytest.approx(1 / 3), 1],
    ]
    assert "\u2068a &#60;b&#62;\u2069" in winners[0].hovertemplate
    assert [shape.x0 for shape in figure.layout.shapes] == [pytest.approx(1 / 3), 0.5]


def test_one_hypothesis_wins_everywhere() -> None:
    one = Rescoring("one", ("a",), (0.0,), (-4.0,))
    figure = weight_lines(one.table(0), one.winners(), dark=True).figure
    assert list(figure.data[1].x) == [0, 1]
    assert not figure.layout.shapes


def test_errors_change_in_steps() -> None:
    rates = pd.DataFrame({"low": [0.0, 0.25], "high": [0.25, 1.0], "error_rate": [0.5, 0.1]})
    steps = error_rate_steps(rates).figure.data[0]
    assert list(steps.x) == [0, 0.25, 0.25, 1]
    assert list(steps.y) == [0.5, 0.5, 0.1, 0.1]


def test_nothing_cannot_be_drawn() -> None:
    one = crossing()
    with pytest.raises(SelectionError) as caught:
        weight_lines(one.table(0).iloc[:0], one.winners())
    assert str(caught.value) == "There is no hypothesis to draw: give at least one."
    with pytest.raises(SelectionError) as caught:
        error_rate_steps(pd.DataFrame({"low": [], "high": [], "error_rate": []}))
    assert str(caught.value) == "There is no error rate to draw: give at least one stretch."
