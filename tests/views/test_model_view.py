"""The data of the model view, decoded and compared with the maps it was made from."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.views.decoding import codes_of, left_of, unpacked, values, values_of
from tests.views.synthetic import a_map, attention_maps
from vizcore.errors import SelectionError, ShapeError
from vizcore.maps import AttentionMap
from vizcore.patterns import describe
from vizcore.views.model_view import model_view


def test_values_come_back_within_two_thousandths() -> None:
    maps = list(attention_maps(3, 2, 9, n_queries=4, causal=False))
    read = values_of(model_view(maps))
    assert read.shape == (6, 4, 9)
    for found, map in zip(read, maps, strict=True):
        assert np.abs(found - map.values).max() <= 0.002 + 1e-6


def test_masked_cells_are_marked_and_no_others() -> None:
    maps = list(attention_maps(1, 2, 6))
    for code, map in zip(codes_of(model_view(maps)), maps, strict=True):
        np.testing.assert_array_equal(code == 255, map.masked)


def test_an_unmasked_zero_is_a_zero_and_nan_and_infinity_are_marks() -> None:
    view = model_view([a_map([[0.0, 1.0], [np.nan, np.inf]], "ab", "ab", layer=0, head=0)])
    data: Any = view.data
    np.testing.assert_array_equal(values_of(view)[0], [[0, 1], [np.nan, np.nan]])
    np.testing.assert_array_equal(unpacked(data["codes"])[0, 1], [0, 254])  # of the first key
    assert codes_of(view)[0, 1, 1] == 253
    assert data["has"] == {
        "below": False,
        "above": False,
        "infinite": True,
        "undefined": True,
        "masked": False,
    }


def test_what_is_beyond_given_limits_is_marked_on_its_side() -> None:
    values = np.array([[-5.0, -1.0, 0.5], [1.0, 5.0, 0.0]])
    view = model_view([a_map(values, "ab", "abc", quantity="change")], limits=(-1, 1))
    np.testing.assert_array_equal(codes_of(view)[0], [[251, 0, 188], [250, 252, 125]])
    data: Any = view.data
    assert (data["low"], data["high"]) == (-1, 1)
    assert data["has"]["above"] is data["has"]["below"] is True


def test_what_a_query_leaves_beside_the_first_token_is_coded_the_finer_the_less_it_is() -> None:
    rest = np.array([0.0, 0.5, 0.3, 0.15, 0.05])
    first = np.array([0.0, 0.9, 0.98])
    weights = (1 - first)[:, None] * rest
    weights[:, 0] = first
    view = model_view([a_map(weights, "abc", "abcde", layer=0, head=0)])
    data: Any = view.data
    (lines,) = unpacked(data["codes"])
    np.testing.assert_allclose(left_of(lines), 1 - first, rtol=0.025)
    renormalised = values_of(view)[0, :, 1:] / left_of(lines)[:, None]
    np.testing.assert_allclose(renormalised, np.tile(rest[1:], (3, 1)), atol=0.02)


def test_a_small_picture_can_be_renormalised_too() -> None:
    (map,) = attention_maps(1, 1, 128, n_queries=100, causal=False)
    view = model_view([map], detail=False)
    data: Any = view.data
    (lines,) = unpacked(data["codes"])
    rest = map.values.copy()
    rest[:, 0] = 0
    rows = np.array_split(np.arange(100), 50)[:1]  # the first row covers 100/64 queries
    weight = np.array([1, 100 / 64 - 1]) / (100 / 64)
    assert left_of(lines)[0] == pytest.approx(float(weight @ rest[rows[0]].sum(axis=1)), rel=0.025)


def test_differences_have_no_first_token_to_take_out() -> None:
    view = model_view([a_map([[-0.5, 0.25], [0.0, 0.5]], "ab", "ab", quantity="change")])
    assert view.data["isAttention"] is False
    np.testing.assert_array_equal(unpacked(view.data["codes"])[0, :2], 0)


def test_every_head_has_its_place_and_its_description() -> None:
    maps = list(attention_maps(2, 3, 7))
    data: Any = model_view(maps).data
    assert data["layers"] == [0, 1]
    assert data["heads"] == [0, 1, 2]
    assert [tuple(one["place"]) for one in data["maps"]] == [(m.layer, m.head) for m in maps]
    assert [one["text"] for one in data["maps"]] == [describe(map).text for map in maps]


def test_a_long_text_is_reduced_and_says_so_and_sends_no_labels() -> None:
    (map,) = attention_maps(1, 1, 130, n_queries=100, causal=False)
    view = model_view([map], detail=False)
    data: Any = view.data
    assert codes_of(view).shape == (1, 64, 64)
    assert data["texts"]["reduced"] == "reduced from 100 × 130 tokens"
    assert data["queryTokens"] is None
    # A row's weights sum to 1, so a mean over 130/64 keys is at most 64/130.
    assert data["high"] == pytest.approx(64 / 130)
    assert values_of(view).mean() == pytest.approx(map.values.mean(), abs=data["high"] / 500)


def test_as_long_as_all_heads_are_few_cells_they_are_sent_in_full() -> None:
    maps = list(attention_maps(1, 2, 130, n_queries=100, causal=False))
    view = model_view(maps)
    assert codes_of(view).shape == (2, 100, 130)
    assert view.data["full"] == []
    assert len(view.data["queryTokens"]) == 100
    assert np.abs(values_of(view)[1] - maps[1].values).max() <= 0.002 + 1e-6


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> list[AttentionMap]:
    """Heads of more cells than are sent in full."""
    monkeypatch.setattr("vizcore.views.head_pictures.MAX_FULL_CELLS", 3 * 70 * 80)
    return list(attention_maps(2, 2, 80, n_queries=70))


def test_of_more_heads_some_are_in_full_beside_the_small_pictures(many: list[AttentionMap]) -> None:
    view = model_view(many)
    data: Any = view.data
    assert codes_of(view).shape == (4, 64, 64)
    assert len(data["full"]) == 4
    assert data["texts"]["reduced"] == "every head in full, small maps reduced to 64 × 64 cells"
    one = next(one for one in data["full"] if one["index"] == 3)
    read = values(unpacked(one["codes"]), one["low"], one["high"], one["apart"], 80)
    visible = ~many[3].masked
    assert np.abs(read - many[3].values)[visible].max() <= 0.002 + 1e-6


def test_the_selected_head_is_in_full_first_and_the_budget_ends_the_list(
    many: list[AttentionMap], monkeypatch: pytest.MonkeyPatch
) -> None:
    every: Any = model_view(many).data["full"]
    size = max(len(one["codes"]["base64"]) for one in every)
    monkeypatch.setattr("vizcore.views.head_pictures.MAX_DETAIL_BYTES", size)
    data: Any = model_view(many, selected=(1, 0)).data
    assert [one["index"] for one in data["full"]] == [2]
    assert data["texts"]["reduced"] == "1 of 4 heads in full, others reduced to 64 × 64 cells"
    assert data["texts"]["oneReduced"] == "This head is reduced to 64 × 64 cells."


def test_heads_that_are_asked_for_are_in_full_and_no_others() -> None:
    maps = list(attention_maps(2, 2, 80, n_queries=70))
    data: Any = model_view(maps, detail=[(1, 1), (0, 1)]).data
    assert [one["index"] for one in data["full"]] == [3, 1]
    assert data["detail"] is True
    data = model_view(maps, detail=[]).data
    assert data["full"] == []
    assert data["detail"] is True


def test_the_range_of_differences_is_that_of_the_head_in_full(many: list[AttentionMap]) -> None:
    other = [
        AttentionMap(one.values - 0.5, one.query_tokens, one.key_tokens, "change", 0, head)
        for head, one in enumerate(many)
    ]
    data: Any = model_view(other, detail=[(0, 2)]).data
    (one,) = data["full"]
    assert one["low"] == pytest.approx(-0.5)
    read = values(unpacked(one["codes"]), one["low"], one["high"], False, 80)
    assert np.abs(read - other[2].values).max() <= 0.002 + 1e-6


def test_more_heads_get_smaller_thumbnails_to_keep_to_the_byte_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vizcore.views.head_pictures.MAX_BYTES", 600)
    view = model_view(attention_maps(2, 3, 20), detail=False)
    assert codes_of(view).shape == (6, 10, 10)


def test_long_labels_are_cut_with_an_ellipsis() -> None:
    map = a_map(np.eye(2), ["a" * 24, "b" * 25], ["a" * 24, "b" * 25])
    data: Any = model_view([map]).data
    assert data["queryTokens"] == ["a" * 24, "b" * 23 + "…"]


def test_differences_take_a_scale_with_zero_in_the_middle() -> None:
    values = np.array([[-0.5, 0.25], [0.0, 0.5]])
    view = model_view([a_map(values, "ab", "ab", quantity="change")])
    assert (view.data["low"], view.data["high"]) == (-0.5, 0.5)
    np.testing.assert_allclose(values_of(view)[0], values, atol=0.002)


def test_heads_can_be_sorted_by_every_score_of_a_table_by_clearness_and_by_entropy() -> None:
    maps = list(attention_maps(1, 3, 6))
    table = pd.DataFrame(
        {"layer": [0, 0], "head": [2, 0], "kind": "decoder", "previous_token": [0.25, 0.75]}
    )
    data: Any = model_view(maps, scores=table, sort="previous_token").data
    assert [one["name"] for one in data["scores"]] == ["previous_token", "pattern", "entropy"]
    assert data["scores"][0]["label"] == "previous token"
    assert data["scores"][0]["values"] == [0.75, None, 0.25]
    assert data["begin"]["sort"] == "previous_token"
    rows = maps[1].values.astype(float)
    logs = np.log(rows, out=np.zeros_like(rows), where=rows > 0)
    entropy = -(rows * logs).sum(axis=1).mean()
    assert data["scores"][-1]["values"][1] == pytest.approx(entropy, rel=1e-4)


def test_heads_are_counted_by_what_they_do_the_most_frequent_first() -> None:
    looks = np.eye(6, k=-1)
    looks[0, 0] = 1
    maps = [a_map(looks, "abcdef", "abcdef", layer=0, head=head) for head in (0, 1)]
    maps.append(a_map(np.full((6, 6), 1 / 6), "abcdef", "abcdef", layer=0, head=2))
    data: Any = model_view(maps).data
    assert data["patterns"] == [
        {"name": "previous", "label": "previous token"},
        {"name": "spread", "label": "spread out"},
    ]
    assert [one["pattern"] for one in data["maps"]] == [0, 0, 1]
    assert next(one for one in data["scores"] if one["name"] == "pattern")["values"][2] is None


def test_a_source_is_asked_for_the_kind_and_read_one_map_at_a_time() -> None:
    class Source:
        asked: list[str | None]

        def __init__(self) -> None:
            self.asked = []

        def maps(self, kind: str | None = None) -> Iterable[AttentionMap]:
            self.asked.append(kind)
            yield from attention_maps(1, 2, 4, n_queries=3, kind="cross", causal=False)

    source = Source()
    assert model_view(source, kind="cross").data["kind"] == "cross"
    assert source.asked == ["cross"]


def test_of_plain_maps_only_those_of_the_kind_are_shown() -> None:
    maps = [*attention_maps(1, 2, 3), *attention_maps(2, 2, 3, kind="encoder")]
    assert model_view(maps, kind="encoder").title == "Attention, 2 layers × 2 heads"
    assert model_view(attention_maps(1, 1, 3)).title == "Attention, 1 layer × 1 head"


def test_with_a_large_picture_the_first_head_is_in_it_unless_another_is_selected() -> None:
    maps = list(attention_maps(2, 2, 3))
    assert model_view(maps).data["selected"] == [0, 0]
    assert model_view(maps, selected=(1, 0)).data["selected"] == [1, 0]
    assert model_view(maps, detail=False).data["selected"] is None


def test_maps_without_numbers_stand_in_one_row() -> None:
    maps = [a_map(np.eye(2), "ab", "ab") for _ in range(3)]
    data: Any = model_view(maps, detail=False).data
    assert [one["place"] for one in data["maps"]] == [[0, 0], [0, 1], [0, 2]]


def test_a_host_in_another_language_replaces_the_words() -> None:
    data: Any = model_view(attention_maps(1, 1, 2), texts={"layer": "Schicht"}).data
    assert data["texts"]["layer"] == "Schicht"
    assert data["texts"]["head"] == "Head"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": []}, "There are no maps to show: give at least one AttentionMap."),
        (
            {"source": list(attention_maps(1, 1, 2)), "kind": "cross"},
            "There are no maps of kind 'cross' to show: give at least one AttentionMap.",
        ),
        (
            {"source": list(attention_maps(2, 3, 2)), "selected": (2, 0)},
            "There is no map of layer 2, head 0 to select: there are 2 layers × 3 heads.",
        ),
        (
            {"source": [*attention_maps(1, 1, 2), *attention_maps(1, 1, 2, kind="encoder")]},
            "Layer 0, head 0 is there twice, in a model view it has one place. "
            "Give maps of one kind (kind='encoder').",
        ),
        (
            {"source": list(attention_maps(2, 3, 2)), "detail": [(0, 3)]},
            "There is no map of layer 0, head 3 to show in full: there are 2 layers × 3 heads.",
        ),
        (
            {"source": list(attention_maps(1, 2, 4)), "sort": "induction"},
            "There is no 'induction' to sort by: there is 'pattern', 'entropy'.",
        ),
        (
            {"source": list(attention_maps(1, 1, 2)), "limits": (1, 0)},
            "limits must go up, from the value at one end of the colours to that at the other, "
            "not from 1 to 0.",
        ),
    ],
)
def test_what_is_not_there_is_named_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SelectionError) as caught:
        model_view(arguments.pop("source"), **arguments)
    assert str(caught.value) == message


def test_maps_of_different_texts_are_refused_with_both_shapes_errors() -> None:
    maps = [*attention_maps(1, 1, 3), *attention_maps(1, 1, 4)]
    with pytest.raises(ShapeError) as caught:
        model_view(maps)
    assert str(caught.value) == (
        "Map 1 (layer 0, head 0) has shape (4, 4), those before it (3, 3): all maps of a model "
        "view must be of the same tokens. Show them in separate views."
    )
