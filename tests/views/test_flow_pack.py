"""What the flow view sends of maps: all of short texts, the largest weights of long ones."""

import base64
import zlib
from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.views.synthetic import a_map, attention_maps
from vizcore.maps import AttentionMap
from vizcore.views.flow_pack import FINE, mixed, pack_layers
from vizcore.views.flow_view import flow_view

N = 6


@cache
def maps(n_layers: int = 3, n_tokens: int = N, **more: Any) -> list[AttentionMap]:
    return list(attention_maps(n_layers, 2, n_tokens, **more))


def numbers(packed: Any) -> Any:
    raw = base64.b64decode(packed["base64"])
    if packed["encoding"] == "deflate-raw":
        raw = zlib.decompress(raw, wbits=-15)
    low, high = np.frombuffer(raw, dtype=np.uint8).reshape(2, -1).astype(np.uint32)
    return low + 256 * high


def means(source: list[AttentionMap]) -> list[Any]:
    """The mean over heads of each layer, by plain loops."""
    layers = sorted({map.layer for map in source if map.layer is not None})
    return [np.mean([map.values for map in source if map.layer == one], axis=0) for one in layers]


def test_short_texts_are_sent_whole_as_the_mean_of_their_heads() -> None:
    data: Any = flow_view(maps()).data
    weights = data["weights"]
    assert (weights["nLayers"], weights["nTokens"], weights["nKept"]) == (3, N, N)
    assert weights["keys"] is weights["rest"] is weights["range"] is None
    assert data["error"] == 0
    sent = numbers(weights["weights"]).reshape(3, N, N) / FINE
    np.testing.assert_allclose(sent, means(maps()), atol=0.5 / FINE + 1e-7)


def test_the_mean_is_taken_over_the_heads_that_are_named() -> None:
    data: Any = flow_view(maps(), heads=[1]).data
    sent = numbers(data["weights"]["weights"]).reshape(3, N, N) / FINE
    np.testing.assert_allclose(sent, [map.values for map in maps() if map.head == 1], atol=1e-5)
    assert data["heads"] == "mean of heads 1"


def test_of_long_texts_each_row_keeps_its_largest_weights_and_the_sum_of_the_rest() -> None:
    source = maps(2, 30, causal=False)
    packed = pack_layers(
        [a_map(values, "x" * 30, "x" * 30, layer=i) for i, values in enumerate(means(source))],
        residual=0.5,
        max_bytes=2 * 30 * 5 * 4,
    )
    data: Any = packed.data
    assert data["nKept"] == 5
    keys = numbers(data["keys"]).reshape(2, 30, 5)
    weights = numbers(data["weights"]).reshape(2, 30, 5) / FINE
    rest = numbers(data["rest"]).reshape(2, 30) / FINE
    for layer, values in enumerate(means(source)):
        for row in range(30):
            largest = np.sort(values[row])[::-1][:5]
            np.testing.assert_allclose(weights[layer, row], largest, atol=1e-5)
            np.testing.assert_allclose(values[row, keys[layer, row]], largest, atol=1e-6)
            assert rest[layer, row] == pytest.approx(1 - largest.sum(), abs=1e-4)


def test_the_rest_lies_among_the_keys_that_have_any_weight() -> None:
    source = [map for map in maps(1, 12) if map.head == 0]
    data: Any = pack_layers(source, residual=0.5, max_bytes=12 * 4 * 4).data
    bounds = numbers(data["range"]).reshape(12, 2)
    np.testing.assert_array_equal(bounds[:, 0], 0)
    np.testing.assert_array_equal(bounds[:, 1], np.arange(12))


def test_how_far_the_pages_rollout_may_be_off_is_measured() -> None:
    source = [map for map in maps(4, 40) if map.head == 1]
    coarse = pack_layers(source, residual=0.5, max_bytes=4 * 40 * 4 * 4)
    fine = pack_layers(source, residual=0.5, max_bytes=4 * 40 * 20 * 4)
    assert 0 < fine.error < coarse.error < 0.2
    # Wherever all that is left out is even, nothing is off.
    even = [a_map(np.full((40, 40), 1 / 40), "x" * 40, "x" * 40, layer=0)]
    assert pack_layers(even, residual=0.5, max_bytes=40 * 4 * 4).error == pytest.approx(0, abs=1e-9)


def test_a_row_of_which_nothing_is_left_stays_as_it_was() -> None:
    before, attended = np.array([[0.2, 0.8]]), np.array([[0.0, 0.0]])
    np.testing.assert_array_equal(mixed(before, attended, np.zeros(1), 0.0), before)
    np.testing.assert_array_equal(mixed(before, attended, np.zeros(1), 0.5), before)


def test_five_hundred_tokens_stay_within_the_budget() -> None:
    rows = np.random.default_rng(0).dirichlet(np.full(500, 0.05), size=500).astype(np.float32)
    source = [a_map(rows, ["t"] * 500, ["t"] * 500, layer=layer) for layer in range(30)]
    view = flow_view(source)
    assert view.data["weights"]["nKept"] == 33  # type: ignore[index]
    assert len(view.to_html()) < 3_000_000
