"""The data of the model view, decoded and compared with the maps it was made from."""

import base64
import json
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from tests.views.synthetic import a_map, attention_maps
from vizcore.errors import SelectionError, ShapeError
from vizcore.maps import AttentionMap
from vizcore.patterns import describe
from vizcore.views.model_view import model_view
from vizcore.views.page import View


def codes_of(view: View) -> np.ndarray:
    packed: Any = json.loads(json.dumps(view.data))["codes"]
    raw = base64.b64decode(packed["base64"])
    if packed["encoding"] == "deflate-raw":
        raw = zlib.decompress(raw, wbits=-15)
    return np.frombuffer(raw, dtype=np.uint8).reshape(packed["shape"])


def test_values_come_back_within_two_thousandths() -> None:
    maps = list(attention_maps(3, 2, 9, n_queries=4, causal=False))
    codes = codes_of(model_view(maps))
    assert codes.shape == (6, 4, 9)
    for code, map in zip(codes, maps, strict=True):
        assert np.abs(code / 250 - map.values).max() <= 0.002 + 1e-6


def test_masked_cells_are_marked_and_no_others() -> None:
    maps = list(attention_maps(1, 2, 6))
    for code, map in zip(codes_of(model_view(maps)), maps, strict=True):
        np.testing.assert_array_equal(code == 255, map.masked)


def test_an_unmasked_zero_is_a_zero_and_nan_is_a_mark() -> None:
    values = np.array([[0.0, 1.0], [np.nan, np.inf]])
    view = model_view([a_map(values, "ab", "ab", layer=0, head=0)])
    np.testing.assert_array_equal(codes_of(view)[0], [[0, 250], [254, 254]])
    assert view.data["hasUndefined"] is True
    assert view.data["hasMasked"] is False


def test_every_head_has_its_place_and_its_description() -> None:
    maps = list(attention_maps(2, 3, 7))
    data: Any = model_view(maps).data
    assert data["layers"] == [0, 1]
    assert data["heads"] == [0, 1, 2]
    assert [tuple(one["place"]) for one in data["maps"]] == [(m.layer, m.head) for m in maps]
    assert [one["text"] for one in data["maps"]] == [describe(map).text for map in maps]


def test_a_long_text_is_reduced_and_says_so_and_sends_no_labels() -> None:
    (map,) = attention_maps(1, 1, 130, n_queries=100, causal=False)
    view = model_view([map])
    data: Any = view.data
    assert codes_of(view).shape == (1, 64, 64)
    assert data["texts"]["reduced"] == "reduced from 100 × 130 tokens"
    assert data["queryTokens"] is None
    # A row's weights sum to 1, so a mean over 130/64 keys is at most 64/130.
    assert data["high"] == pytest.approx(64 / 130)
    decoded = codes_of(view)[0] / 250 * data["high"]
    assert decoded.mean() == pytest.approx(map.values.mean(), abs=data["high"] / 500)


def test_more_heads_get_smaller_thumbnails_to_keep_to_the_byte_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vizcore.views.model_view.MAX_BYTES", 600)
    assert codes_of(model_view(attention_maps(2, 3, 20))).shape == (6, 10, 10)


def test_long_labels_are_cut_with_an_ellipsis() -> None:
    map = a_map(np.eye(2), ["a" * 24, "b" * 25], ["a" * 24, "b" * 25])
    data: Any = model_view([map]).data
    assert data["queryTokens"] == ["a" * 24, "b" * 23 + "…"]


def test_differences_take_a_scale_with_zero_in_the_middle() -> None:
    values = np.array([[-0.5, 0.25], [0.0, 0.5]])
    view = model_view([a_map(values, "ab", "ab", quantity="change")])
    assert (view.data["low"], view.data["high"]) == (-0.5, 0.5)
    np.testing.assert_allclose(-0.5 + codes_of(view)[0] / 250, values, atol=0.002)


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
