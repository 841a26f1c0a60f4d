"""The first token taken out of a map."""

import numpy as np

from vizcore.views.sinks import are_weights, take_first

WEIGHTS = np.array(
    [[1.0, 0.0, 0.0, 0.0], [0.9, 0.1, 0.0, 0.0], [0.2, 0.2, 0.4, 0.2]], dtype=np.float32
)


def test_greyed_out_the_other_weights_stay_what_they_are() -> None:
    taken = take_first(WEIGHTS, renormalise=False)
    np.testing.assert_array_equal(taken.values[:, 0], 0)
    np.testing.assert_array_equal(taken.values[:, 1:], WEIGHTS[:, 1:])
    assert not taken.too_little.any()


def test_renormalised_away_the_rest_of_every_row_sums_to_one() -> None:
    taken = take_first(WEIGHTS, renormalise=True)
    np.testing.assert_allclose(taken.values[1:].sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(taken.values[2], [0, 0.25, 0.5, 0.25], atol=1e-6)
    np.testing.assert_allclose(taken.left, [0, 0.1, 0.8], atol=1e-6)


def test_a_row_that_leaves_too_little_is_marked_and_not_blown_up() -> None:
    values = np.array([[0.995, 0.005], [0.5, 0.5]], dtype=np.float32)
    taken = take_first(values, renormalise=True)
    np.testing.assert_array_equal(taken.too_little, [True, False])
    np.testing.assert_allclose(taken.values[0], [0, 0.005])


def test_rows_that_sum_to_more_than_one_or_go_below_zero_are_no_weights() -> None:
    assert are_weights(WEIGHTS)
    assert are_weights(np.array([[np.nan, 0.5]]))
    assert not are_weights(2 * WEIGHTS)
    assert not are_weights(-WEIGHTS)
