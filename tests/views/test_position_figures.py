"""Figures of positional encodings as Plotly gets them."""

from typing import Any

import numpy as np
import pytest

from vizcore.encodings import AlibiPositions, BiasPositions, PositionTable, RotaryPositions
from vizcore.errors import SelectionError
from vizcore.views import position_figures

VALUES = np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32)
TABLE = PositionTable("learned", ("decoder",), (), "", VALUES)
ROTARY = RotaryPositions(
    "rotary", ("decoder",), (0,), "", np.array([1.0, 0.1, 0.01], np.float32), d_head=6
)
ALIBI = AlibiPositions("alibi", ("decoder",), (0,), "", np.array([0.5, 0.25]))
BUCKETS = np.random.default_rng(1).normal(size=(2, 3, 32))
BIASES = BiasPositions("relative bias", ("encoder",), (0, 1), "", BUCKETS, 128, looks_ahead=True)


def test_a_table_has_positions_down_and_dimensions_across() -> None:
    figure = position_figures.position_heatmap(TABLE, n_positions=30, dims=(4, 9)).figure
    (cells,) = figure.data
    np.testing.assert_array_equal(cells.z, VALUES[:30])
    assert cells.zmin == -cells.zmax
    assert figure.layout.yaxis.autorange == "reversed"
    assert [line.x0 for line in figure.layout.shapes] == [4, 9]


def test_marked_dimensions_are_drawn_as_curves_in_the_same_colours() -> None:
    marks = position_figures.position_heatmap(TABLE, dims=(4, 9)).figure.layout.shapes
    curves = position_figures.position_waves(TABLE, (4, 9), n_positions=30).figure.data
    for curve, dim, mark in zip(curves, (4, 9), marks, strict=True):
        np.testing.assert_array_equal(curve.y, VALUES[:30, dim])
        assert curve.line.color == mark.line.color


def test_products_of_a_learned_table_have_a_band_and_of_a_sinusoidal_one_none() -> None:
    figure = position_figures.position_products(TABLE).figure
    assert [one.name for one in figure.data] == ["most pairs", "mean"]
    np.testing.assert_allclose(figure.data[1].y, TABLE.products(40)["mean"])
    angles = np.arange(40)[:, None] * np.array([1.0, 0.1, 0.01])
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    fixed = PositionTable("sinusoidal", ("decoder",), (), "", waves)
    assert [one.name for one in position_figures.position_products(fixed).figure.data] == ["mean"]


def test_similarity_is_a_square_map_from_minus_one_to_one() -> None:
    (cells,) = position_figures.position_similarity(TABLE, n_positions=20).figure.data
    assert (cells.zmin, cells.zmax) == (-1, 1)
    np.testing.assert_allclose(np.diagonal(cells.z), 1, rtol=1e-6)
    assert cells.z.shape == (20, 20)


@pytest.mark.parametrize("position", [0, 5, 50])
def test_the_hand_of_the_dial_stands_where_the_position_has_turned_it(position: int) -> None:
    figure = position_figures.rotary_dial(ROTARY, 1, position).figure
    tip = figure.data[-1]
    np.testing.assert_allclose(
        (tip.x[0], tip.y[0]), (np.cos(0.1 * position), np.sin(0.1 * position)), atol=1e-6
    )
    assert tip.text == (str(position),)
    before = figure.data[2].customdata
    assert list(before) == list(range(max(0, position - 12), position))


def test_factors_show_every_pair_their_mean_and_the_chosen_one() -> None:
    figure = position_figures.rotary_factors(ROTARY, 1, n_distances=20).figure
    cells, chosen, mean = figure.data
    expected = np.cos(np.arange(20) * np.array([[1.0], [0.1], [0.01]]))  # pair distance
    np.testing.assert_allclose(cells.z, expected, atol=1e-6)
    np.testing.assert_allclose(chosen.y, expected[1], atol=1e-6)
    np.testing.assert_allclose(mean.y, expected.mean(axis=0), atol=1e-6)
    (box,) = figure.layout.shapes
    assert (box.y0, box.y1) == (0.5, 1.5)


def test_biases_are_a_line_a_head_and_the_chosen_head_stands_out() -> None:
    steep, flat = position_figures.position_biases(ALIBI, head=1, n_distances=5).figure.data
    np.testing.assert_allclose(steep.y, -0.5 * np.arange(5))
    np.testing.assert_allclose(flat.y, -0.25 * np.arange(5))
    assert flat.line.width > steep.line.width
    assert flat.opacity > steep.opacity


def test_biases_are_those_of_the_layer_with_what_lies_ahead() -> None:
    lines = position_figures.position_biases(BIASES, layer=1, n_distances=5).figure.data
    assert len(lines) == 3
    assert list(lines[0].x) == list(range(-4, 5))
    np.testing.assert_allclose(lines[2].y, BIASES.bias(np.arange(-4, 5))[1, 2])


@pytest.mark.parametrize("dark", [False, True])
def test_every_figure_is_drawn_for_light_and_dark_pages(dark: bool) -> None:
    views = [
        position_figures.position_heatmap(TABLE, dark=dark),
        position_figures.position_waves(TABLE, (0,), dark=dark),
        position_figures.position_products(TABLE, dark=dark),
        position_figures.position_similarity(TABLE, dark=dark),
        position_figures.rotary_dial(ROTARY, 0, 3, dark=dark),
        position_figures.rotary_factors(ROTARY, 0, dark=dark),
        position_figures.position_biases(ALIBI, dark=dark),
    ]
    for view in views:
        assert view.background == ("#0e1117" if dark else "#ffffff")
        assert view.figure.layout.font.color == ("#eceff4" if dark else "#1d2330")
        assert view.figure.layout.height == position_figures.HEIGHT


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (
            lambda: position_figures.position_waves(TABLE, (12,)),
            "There is no dimension 12: there are 12, counted from 0.",
        ),
        (
            lambda: position_figures.rotary_dial(ROTARY, 3, 0),
            "There is no pair 3: there are 3, counted from 0.",
        ),
        (
            lambda: position_figures.position_biases(ALIBI, head=2),
            "There is no head 2: there are 2, counted from 0.",
        ),
        (
            lambda: position_figures.position_biases(BIASES, layer=7),
            "There is no layer 7 with biases of its own.",
        ),
    ],
)
def test_what_is_not_there_is_named(draw: Any, said: str) -> None:
    with pytest.raises(SelectionError) as caught:
        draw()
    assert str(caught.value) == said
