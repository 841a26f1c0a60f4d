"""The heatmap as Plotly gets it."""

from typing import Any

import numpy as np
import pytest

from tests.views.synthetic import a_map, attention_maps
from vizcore.errors import SelectionError
from vizcore.views.figures import heatmap


def trace(figure: Any, name: str) -> Any:
    return next(one for one in figure.data if one.name == name)


def places(marks: Any) -> set[tuple[int, int]]:
    """(row, column) of marks."""
    return set(zip(marks.y, marks.x, strict=True))


def test_cells_are_the_values_with_queries_down_and_keys_across() -> None:
    (map,) = attention_maps(1, 1, 5, n_queries=3, causal=False)
    cells = trace(heatmap(map).figure, "cells")
    np.testing.assert_array_equal(cells.z, map.values)
    assert (cells.zmin, cells.zmax) == (0, 1)


def test_the_first_query_is_above_the_last() -> None:
    (map,) = attention_maps(1, 1, 4)
    top, bottom = heatmap(map).figure.layout.yaxis.range[::-1]
    assert top < bottom


def test_masked_cells_are_blank_and_a_zero_is_not() -> None:
    (map,) = attention_maps(1, 1, 4)
    values = map.values.copy()
    values[3, 1] = 0
    map = a_map(values, map.query_tokens, map.key_tokens, masked=map.masked)
    cells = trace(heatmap(map).figure, "cells")
    np.testing.assert_array_equal(np.isnan(cells.z), map.masked)


def test_what_is_not_a_number_is_a_cross_of_its_own() -> None:
    values = np.array([[0.5, np.nan, 0.5], [np.inf, 0.5, np.nan]])
    figure = heatmap(a_map(values, "ab", "abc")).figure
    assert places(trace(figure, "not a number")) == {(0, 1), (1, 2)}
    assert places(trace(figure, "infinite")) == {(1, 0)}


def test_marks_that_no_cell_has_are_not_in_the_legend() -> None:
    figure = heatmap(a_map([[0.5, 0.5]], "a", "ab")).figure
    assert [one.name for one in figure.data if one.showlegend] == []


def test_what_is_beyond_given_limits_is_marked_and_keeps_its_value() -> None:
    values = [[-5.0, -1.0, 0.5], [1.0, 5.0, 0.0]]
    figure = heatmap(a_map(values, "ab", "abc"), limits=(-1, 1)).figure
    cells = trace(figure, "cells")
    assert (cells.zmin, cells.zmax) == (-1, 1)
    np.testing.assert_array_equal(cells.z, np.float32(values))
    assert places(trace(figure, "above the scale")) == {(1, 1)}
    assert places(trace(figure, "below the scale")) == {(0, 0)}


def test_logarithmic_colours_are_decades_and_hovering_tells_the_weight() -> None:
    values = [[0.001, 0.01, 0.989], [0.0, 0.1, 0.9]]
    cells = trace(heatmap(a_map(values, "ab", "abc"), scale="log").figure, "cells")
    np.testing.assert_allclose(cells.z, [[0, 1, np.log10(989)], [0, 2, np.log10(900)]], atol=1e-5)
    assert (cells.zmin, cells.zmax) == (0, pytest.approx(3))
    np.testing.assert_array_equal(cells.customdata[:, :, 0], np.float32(values))
    assert "%{customdata[0]:.5~g}" in cells.hovertemplate
    assert list(cells.colorbar.ticktext) == ["≤ 0.001", "0.01", "0.1", "1"]
    np.testing.assert_allclose(cells.colorbar.tickvals, [0, 1, 2, 3], atol=1e-6)
    assert cells.colorbar.title.text == "\u2068attention\u2069, logarithmic"


SINK = [[1.0, 0.0, 0.0], [0.995, 0.005, 0.0], [0.6, 0.1, 0.3]]


def test_the_first_token_greyed_out_keeps_its_values_and_the_others_their_colours() -> None:
    figure = heatmap(a_map(SINK, "abc", "abc"), sink="grey").figure
    cells, first = trace(figure, "cells"), trace(figure, "first token")
    assert np.isnan(cells.z[:, 0]).all()
    np.testing.assert_array_equal(cells.z[:, 1:], np.float32(SINK)[:, 1:])
    np.testing.assert_array_equal(first.z[:, 0], np.float32(SINK)[:, 0])
    assert np.isnan(first.z[:, 1:]).all()
    assert "first token, greyed out" in [one.name for one in figure.data if one.showlegend]


def test_renormalised_away_the_rest_of_a_row_sums_to_one_and_hovering_tells_both() -> None:
    figure = heatmap(a_map(SINK, "abc", "abc"), sink="renormalise").figure
    cells = trace(figure, "cells")
    np.testing.assert_allclose(cells.z[2], [np.nan, 0.25, 0.75], atol=1e-6)
    np.testing.assert_allclose(cells.customdata[2, 1], [0.1, 0.25], atol=1e-6)


def test_rows_that_leave_too_little_are_marked_and_explained() -> None:
    figure = heatmap(a_map(SINK, "abc", "abc"), sink="renormalise").figure
    assert np.isnan(trace(figure, "cells").z[:2]).all()
    left = trace(figure, "too little left")
    np.testing.assert_array_equal(np.isnan(left.z), [[1, 0, 0], [1, 0, 0], [1, 1, 1]])
    assert "under 1% left, not renormalised" in [one.name for one in figure.data if one.showlegend]


def test_blocks_are_means_of_renormalised_rows() -> None:
    (map,) = attention_maps(1, 1, 450, n_queries=301, causal=False)
    figure = heatmap(map, sink="renormalise").figure
    rest = map.values.astype(float)
    rest[:, 0] = 0
    rest /= rest.sum(axis=1, keepdims=True)
    cells = trace(figure, "cells")
    assert cells.z[2, 4] == pytest.approx(rest[6:9, 12:15].mean(), rel=1e-4)
    assert cells.z[0, 0] == pytest.approx(rest[0:3, 0:3].mean(), rel=1e-4)


def test_selecting_anywhere_on_a_label_gives_the_position_of_the_query() -> None:
    (map,) = attention_maps(1, 1, 5, n_queries=3, causal=False)
    points = heatmap(map).figure.data[0]
    assert points.name == "queries"
    np.testing.assert_array_equal(points.customdata, points.y)
    assert set(points.y) == {0, 1, 2}


def test_equal_tokens_stay_apart() -> None:
    map = a_map(np.eye(3), ["the", "the", "the"], ["the", "the", "the"])
    layout = heatmap(map).figure.layout
    assert list(layout.xaxis.tickvals) == [0, 1, 2]
    assert len(set(layout.xaxis.ticktext)) == 3


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("<b>x</b>", "&#60;b&#62;x&#60;/b&#62;"),
        ("$$x^2$$", "&#36;&#36;x^2&#36;&#36;"),
        ("&amp;", "&#38;amp;"),
        ("\n", "⏎"),
        ("averyverylongtoken", "averyverylongt…"),
        ("一二三四五六七八", "一二三四五六七…"),
    ],
)
def test_a_label_is_the_literal_text(token: str, shown: str) -> None:
    figure = heatmap(a_map([[1.0]], [token], [token])).figure
    assert trace(figure, "query labels").text == (f"\u2068{shown}\u2069",)
    assert figure.layout.xaxis3.ticktext == (f"\u2068{shown}\u2069",)


def test_hovering_tells_the_whole_token_and_five_digits() -> None:
    figure = heatmap(a_map([[1.0]], ["averyverylongtoken"], ["b"])).figure
    assert figure.layout.yaxis.ticktext == ("query 0: \u2068averyverylongtoken\u2069",)
    assert figure.layout.xaxis.ticktext == ("key 0: \u2068b\u2069",)
    assert "%{z:.5~g}" in trace(figure, "cells").hovertemplate


def test_a_row_is_outlined_and_the_others_dimmed() -> None:
    (map,) = attention_maps(1, 1, 5)
    above, below, outline = heatmap(map, row=2).figure.layout.shapes
    assert (above.y0, above.y1) == (-0.5, 1.5)
    assert (below.y0, below.y1) == (2.5, 4.5)
    assert (outline.y0, outline.y1) == (1.5, 2.5)


def test_a_column_is_outlined_and_its_label_stands_out() -> None:
    (map,) = attention_maps(1, 1, 6, n_queries=4, causal=False)
    layout = heatmap(map, column=5).figure.layout
    before, outline = layout.shapes
    assert (before.x0, before.x1, before.y0, before.y1) == (-0.5, 4.5, -0.5, 3.5)
    assert (outline.x0, outline.x1, outline.y0, outline.y1) == (4.5, 5.5, -0.5, 3.5)
    assert layout.xaxis3.ticktext[5].startswith("<b")


def test_a_row_and_a_column_leave_four_corners_dimmed() -> None:
    (map,) = attention_maps(1, 1, 6, n_queries=4, causal=False)
    shapes = heatmap(map, row=1, column=2).figure.layout.shapes
    assert len(shapes) == 6
    assert {(one.x0, one.y0) for one in shapes[:4]} == {
        (-0.5, -0.5),
        (2.5, -0.5),
        (-0.5, 1.5),
        (2.5, 1.5),
    }


def test_a_pinned_column_keeps_its_label_among_fewer() -> None:
    (map,) = attention_maps(1, 1, 64)
    shown = heatmap(map, column=10).figure.layout.xaxis3.tickvals
    assert 10 in shown
    assert np.diff(shown).min() >= 2


@pytest.mark.parametrize(("row", "n_shapes"), [(0, 2), (4, 2), (None, 0)])
def test_the_first_and_the_last_row_have_one_neighbour(row: int | None, n_shapes: int) -> None:
    (map,) = attention_maps(1, 1, 5)
    assert len(heatmap(map, row=row).figure.layout.shapes) == n_shapes


def test_a_long_map_is_the_mean_of_blocks_and_says_so() -> None:
    (map,) = attention_maps(1, 1, 450, n_queries=301, causal=False)
    figure = heatmap(map, row=300).figure
    cells = trace(figure, "cells")
    assert cells.z.shape == (101, 150)
    assert cells.z[2, 4] == pytest.approx(float(map.values[6:9, 12:15].mean()))
    assert cells.zmax == pytest.approx(1 / 3)
    assert figure.layout.xaxis3.title.text == (
        "key (looked at)<br>301 × 450 tokens: each cell is the mean of 3 × 3"
    )
    assert figure.layout.yaxis.ticktext[-1] == "queries 300–300"
    assert figure.layout.shapes[-1].y0 == 99.5


def test_labels_thin_out_until_each_has_room() -> None:
    (map,) = attention_maps(1, 1, 64)
    assert len(trace(heatmap(map).figure, "query labels").y) == 22
    (map,) = attention_maps(1, 1, 20)
    assert len(trace(heatmap(map).figure, "query labels").y) == 20


def test_query_tokens_take_the_room_that_they_need() -> None:
    values = np.eye(2)
    short = heatmap(a_map(values, "ab", "ab")).figure.layout.xaxis.domain[0]
    chinese = heatmap(a_map(values, ["医生", "护士"], "ab")).figure.layout.xaxis.domain[0]
    long = heatmap(a_map(values, ["a" * 14, "b" * 40], "ab")).figure.layout.xaxis.domain[0]
    assert short < chinese < long <= 0.2


def test_a_title_says_what_is_shown_unless_it_is_attention() -> None:
    values = [[-0.5, 0.25]]
    assert heatmap(a_map(values, "a", "ab", layer=3)).title == "Layer 3"
    difference = a_map(values, "a", "ab", layer=3, quantity="difference of attention")
    assert heatmap(difference).title == "Difference of attention, layer 3"
    assert heatmap(a_map(values, "a", "ab", quantity="rollout")).title == "Rollout"


def test_a_highlighted_row_keeps_its_label_among_fewer() -> None:
    (map,) = attention_maps(1, 1, 64)
    shown = trace(heatmap(map, row=10).figure, "query labels").y
    assert 10 in shown
    assert np.diff(shown).min() >= 3


def test_differences_have_zero_in_the_middle_of_the_scale() -> None:
    cells = trace(heatmap(a_map([[-0.5, 0.25]], "a", "ab")).figure, "cells")
    assert (cells.zmin, cells.zmax) == (-0.5, 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"row": 3}, "There is no query 3: the map has 3, counted from 0."),
        ({"column": -1}, "There is no key -1: the map has 5, counted from 0."),
        (
            {"limits": (0.5, 0.5)},
            "limits must go up, from the value at one end of the colours to that at the other, "
            "not from 0.5 to 0.5.",
        ),
    ],
)
def test_what_is_not_there_is_named_errors(arguments: dict[str, Any], message: str) -> None:
    (map,) = attention_maps(1, 1, 5, n_queries=3, causal=False)
    with pytest.raises(SelectionError) as caught:
        heatmap(map, **arguments)
    assert str(caught.value) == message


def test_a_difference_has_no_first_token_to_take_out_errors() -> None:
    with pytest.raises(SelectionError) as caught:
        heatmap(a_map([[-0.5, 0.5]], "a", "ab", quantity="change"), sink="grey")
    assert str(caught.value) == (
        "The first token cannot be taken out of change: that is for weights, whose rows sum to 1, "
        'over at least two keys. Use sink="keep".'
    )


def test_in_a_terminal_it_is_one_short_line() -> None:
    (map,) = attention_maps(1, 1, 5)
    assert repr(heatmap(map)) == "<figure: Layer 0, head 0>"
