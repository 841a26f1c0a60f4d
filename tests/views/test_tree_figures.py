"""The figure of a beam search draws what was kept, and the text that won in one line."""

from typing import Any

import pandas as pd
import pytest

from vizcore.errors import SelectionError
from vizcore.views.tree_figures import beam_figure


def nodes() -> pd.DataFrame:
    """A start, two beginnings of which the first is given up later, and one pruned at once."""
    rows = [
        (0, None, -1, "·to", 0.0, 0.0, "start", None, True),
        (1, 0, 0, "a", -0.5, -0.5, "kept", None, False),
        (2, 0, 0, "<b>", -0.9, -0.9, "kept", None, True),
        (3, 0, 0, "c", -4.0, -4.0, "pruned", None, False),
        (4, 2, 1, ".", -0.1, -1.0, "ended", -0.5, True),
    ]
    columns = ["number", "parent", "step", "token", "log_probability", "total", "fate", "score"]
    return pd.DataFrame(rows, columns=[*columns, "on_best_path"]).astype({"parent": "Int64"})


def points(figure: Any) -> dict[int, tuple[float, float]]:
    marks = figure.data[2]
    return {number: (x, y) for number, x, y in zip(marks.customdata, marks.x, marks.y, strict=True)}


def test_a_column_is_a_step_and_what_was_pruned_at_once_is_left_out() -> None:
    found = points(beam_figure(nodes()).figure)
    assert {number: x for number, (x, _y) in found.items()} == {0: -1, 1: 0, 2: 0, 4: 1}


def test_the_text_that_won_is_one_straight_line_on_top() -> None:
    figure = beam_figure(nodes()).figure
    found = points(figure)
    assert {found[number][1] for number in (0, 2, 4)} == {0}
    assert found[1][1] == 1
    others, best = figure.data[0], figure.data[1]
    assert list(best.x) == [-1, 0, None, 0, 1, None]
    assert (list(others.x), list(others.y)) == ([-1, 0, None], [0, 1, None])


def test_tokens_are_written_as_they_are_and_told_with_their_numbers() -> None:
    marks = beam_figure(nodes()).figure.data[2]
    assert marks.text[2] == "<b>\u2068&#60;b&#62;\u2069</b>"
    assert marks.hovertext[3] == (
        "\u2068.\u2069: -0.10 nats, -1.00 with all before it<br>ended, judged by -0.50"
    )
    assert marks.hovertext[0].endswith(": from here on")


def test_a_very_deep_search_is_drawn() -> None:
    deep = pd.DataFrame(
        {
            "number": range(3000),
            "parent": pd.array([None, *range(2999)], dtype="Int64"),
            "step": range(-1, 2999),
            "token": "x",
            "log_probability": -1.0,
            "total": [-float(n) for n in range(3000)],
            "fate": "kept",
            "score": float("nan"),
            "on_best_path": True,
        }
    )
    assert {y for _x, y in points(beam_figure(deep).figure).values()} == {0}


def test_without_a_node_there_is_no_tree() -> None:
    with pytest.raises(SelectionError) as caught:
        beam_figure(nodes().iloc[:0])
    assert str(caught.value) == "There is no node to draw: give a search with at least its start."
