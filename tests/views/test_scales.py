"""Colour scales, linear and logarithmic."""

import numpy as np
import pytest

from vizcore.views.scales import Scale


def test_a_linear_scale_changes_nothing() -> None:
    values = np.array([[0.0, 0.25, np.nan]])
    scale = Scale.over(values, 0.0, 1.0, "linear")
    np.testing.assert_array_equal(scale.places(values), values)
    assert scale.ends == (0, 1)


def test_on_a_logarithmic_scale_ten_times_as_much_is_one_step_further() -> None:
    values = np.array([0.001, 0.01, 0.1, 1.0])
    scale = Scale.over(values, 0.0, 1.0, "log")
    np.testing.assert_allclose(scale.places(values), [0, 1, 2, 3])
    assert scale.ends == pytest.approx((0, 3))


def test_what_is_below_the_floor_has_its_colour_and_the_lowest_tick_says_so() -> None:
    scale = Scale.over(np.array([0.0, 1e-9, 0.5]), 0.0, 1.0, "log")
    assert scale.floor == pytest.approx(1e-4)
    np.testing.assert_array_equal(scale.places(np.array([0.0, 1e-9])), [0, 0])
    assert scale.ticks() == [
        (0.0, "≤ 0.0001"),
        (pytest.approx(1), "0.001"),
        (pytest.approx(2), "0.01"),
        (pytest.approx(3), "0.1"),
        (pytest.approx(4), "1"),
    ]


def test_differences_have_decades_on_both_sides_of_zero() -> None:
    scale = Scale.over(np.array([-0.5, 0.01]), -0.5, 0.5, "log")
    assert scale.floor == pytest.approx(0.01)
    places = scale.places(np.array([-0.1, -0.001, 0.0, 0.1]))
    np.testing.assert_allclose(places, [-1, 0, 0, 1])
    assert [label for _, label in scale.ticks()] == [
        "−0.5",
        "−0.1",
        "within ±0.01",
        "0.1",
        "0.5",
    ]


def test_what_is_not_a_number_stays_so() -> None:
    scale = Scale.over(np.array([0.5, np.nan]), 0.0, 1.0, "log")
    assert np.isnan(scale.places(np.array([np.nan]))).all()
