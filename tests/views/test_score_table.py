"""Tables of scores, a row a head."""

import math

import pandas as pd
import pytest

from vizcore.errors import SelectionError
from vizcore.views.score_table import ScoreTable

TABLE = pd.DataFrame(
    {
        "kind": ["encoder", "cross"],
        "layer": [0, 0],
        "head": [1, 1],
        "summary": ["a", "b"],
        "entropy": [0.5, 1.5],
        "span": [2, 3],
    }
)


def test_columns_of_numbers_are_scores_and_words_are_not() -> None:
    assert ScoreTable.of(TABLE).names == ("entropy", "span")


def test_a_score_that_no_head_has_is_left_out() -> None:
    assert ScoreTable.of(TABLE.assign(alignment=math.nan)).names == ("entropy", "span")


def test_a_head_is_found_by_layer_head_and_kind() -> None:
    table = ScoreTable.of(TABLE)
    assert table.of_head(0, 1, "cross") == (1.5, 3)
    assert table.of_head(0, 1, "encoder") == (0.5, 2)


def test_a_map_without_a_kind_is_found_if_only_one_head_can_be_meant() -> None:
    assert ScoreTable.of(TABLE[:1]).of_head(0, 1, None) == (0.5, 2)
    assert all(math.isnan(score) for score in ScoreTable.of(TABLE).of_head(0, 1, None))


def test_a_table_without_kinds_is_of_whichever_is_asked_for() -> None:
    assert ScoreTable.of(TABLE[:1].drop(columns="kind")).of_head(0, 1, "cross") == (0.5, 2)


def test_what_the_table_lacks_is_not_a_number() -> None:
    assert all(math.isnan(score) for score in ScoreTable.of(TABLE).of_head(3, 0, "cross"))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            TABLE.drop(columns="layer"),
            "The table of scores has no column layer: it needs layer, head and numbers, a row a "
            "head, and has kind, head, summary, entropy, span.",
        ),
        (
            TABLE[["layer", "head", "summary"]],
            "The table of scores has no scores: give a column of numbers beside layer and head.",
        ),
        (
            TABLE.assign(kind="cross"),
            "Layer 0, head 1 is in the table of scores twice: give a row a head, such as their "
            "mean.",
        ),
    ],
)
def test_tables_that_say_too_little_are_refused_errors(table: pd.DataFrame, message: str) -> None:
    with pytest.raises(SelectionError) as caught:
        ScoreTable.of(table)
    assert str(caught.value) == message
