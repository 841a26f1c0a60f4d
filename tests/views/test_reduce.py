"""Area averaging, against loops over every token and every cell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vizcore.views.reduce import areas, blocks


def overlap(cell: int, n_cells: int, token: int, n_tokens: int) -> float:
    start, end = cell * n_tokens / n_cells, (cell + 1) * n_tokens / n_cells
    return max(0.0, min(end, token + 1) - max(start, token))


def by_loops(values: np.ndarray, n_rows: int, n_columns: int) -> np.ndarray:
    n_queries, n_keys = values.shape
    means = np.zeros((n_rows, n_columns))
    for row in range(n_rows):
        for column in range(n_columns):
            total = area = 0.0
            for query in range(n_queries):
                for key in range(n_keys):
                    share = overlap(row, n_rows, query, n_queries)
                    share *= overlap(column, n_columns, key, n_keys)
                    total += share * float(values[query, key])
                    area += share
            means[row, column] = total / area
    return means


@given(st.data())
def test_every_cell_is_the_mean_over_its_area(data: st.DataObject) -> None:
    n_queries, n_keys = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    n_rows, n_columns = data.draw(st.integers(1, n_queries)), data.draw(st.integers(1, n_keys))
    values = np.random.default_rng(0).random((n_queries, n_keys), dtype=np.float32)
    reduced = areas(values.shape, n_rows=n_rows, n_columns=n_columns)(values)
    np.testing.assert_allclose(reduced.values, by_loops(values, n_rows, n_columns), atol=1e-6)


def test_a_map_that_is_small_enough_stays_as_it_is() -> None:
    values = np.random.default_rng(0).random((7, 5), dtype=np.float32)
    reduced = areas(values.shape, n_rows=7, n_columns=5)(values)
    np.testing.assert_array_equal(reduced.values, values)


def test_the_mean_over_a_row_of_attention_never_exceeds_one_over_the_keys_of_a_cell() -> None:
    values = np.zeros((6, 10), dtype=np.float32)
    values[:, 3] = 1
    reduced = areas(values.shape, n_rows=3, n_columns=4)(values)
    assert reduced.values.max() == pytest.approx(4 / 10)


def test_a_cell_is_masked_only_if_all_of_it_is_and_masked_cells_count_as_nothing() -> None:
    values = np.array([[0.5, 0.9, 0.7, 0.7]], dtype=np.float32)
    masked = np.array([[False, True, True, True]])
    reduced = areas(values.shape, n_rows=1, n_columns=2)(values, masked)
    np.testing.assert_array_equal(reduced.masked, [[False, True]])
    np.testing.assert_allclose(reduced.values, [[0.25, 0.0]])


@pytest.mark.parametrize("what", [np.nan, np.inf, -np.inf])
def test_one_number_that_is_not_finite_marks_the_cells_that_touch_it_and_no_others(
    what: float,
) -> None:
    values = np.full((6, 6), 0.1, dtype=np.float32)
    values[2, 3] = what
    reduced = areas(values.shape, n_rows=3, n_columns=2)(values)
    expected = np.full((3, 2), 0.1)
    expected[1, 1] = what
    np.testing.assert_allclose(reduced.values, expected, rtol=1e-6)


def test_infinities_of_both_signs_have_no_mean() -> None:
    values = np.array([[np.inf, -np.inf, np.inf, 0.0]], dtype=np.float32)
    reduced = areas(values.shape, n_rows=1, n_columns=2)(values)
    np.testing.assert_array_equal(reduced.values, [[np.nan, np.inf]])


def test_blocks_are_of_whole_tokens_and_the_last_may_be_smaller() -> None:
    values = np.arange(15, dtype=np.float32).reshape(3, 5)
    reduced = blocks(values.shape, rows=2, columns=3)(values)
    expected = [
        [values[:2, :3].mean(), values[:2, 3:].mean()],
        [values[2:, :3].mean(), values[2:, 3:].mean()],
    ]
    np.testing.assert_allclose(reduced.values, expected)


def test_a_mask_is_remembered_only_as_long_as_it_is_the_same() -> None:
    average = areas((2, 4), n_rows=1, n_columns=2)
    values = np.ones((2, 4), dtype=np.float32)
    none, all_ = np.zeros((2, 4), dtype=bool), np.ones((2, 4), dtype=bool)
    assert not average(values, none).masked.any()
    assert average(values, all_).masked.all()
    assert not average(values, none).masked.any()
