"""Means and maxima of maps, against plain loops; which maps go together, and which do not."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.maps import SEEDS, labels, layers_of_heads, random_map
from tests.support.tiny import byte_level_tokenizer, tiny_network
from vizcore.combine import max_map, mean_map, mean_over_texts, without_keys
from vizcore.errors import SelectionError, ShapeError
from vizcore.maps import AttentionMap
from vizcore.model import Model

MAPS = layers_of_heads(3, 2, 4, 5, kind="cross")


def test_the_mean_of_everything_counts_each_map_the_same() -> None:
    found = mean_map(MAPS)
    for query in range(4):
        for key in range(5):
            expected = sum(float(map.values[query, key]) for map in MAPS) / 6
            assert found.values[query, key] == pytest.approx(expected, abs=1e-6)
    assert (found.quantity, found.layer, found.head, found.kind) == (
        "mean attention",
        None,
        None,
        "cross",
    )
    assert (found.query_tokens, found.key_tokens) == (MAPS[0].query_tokens, MAPS[0].key_tokens)


def test_a_mean_is_of_the_heads_of_a_layer_or_the_layers_of_a_head() -> None:
    heads = mean_map(MAPS, layer=1)
    np.testing.assert_allclose(heads.values, (MAPS[2].values + MAPS[3].values) / 2, atol=1e-7)
    assert (heads.layer, heads.head, heads.name) == (1, None, "cross, layer 1")
    layers = mean_map(MAPS, head=1)
    np.testing.assert_allclose(layers.values, sum(map.values for map in MAPS[1::2]) / 3, atol=1e-7)
    assert (layers.layer, layers.head, layers.name) == (None, 1, "cross, head 1")


def test_the_maximum_is_where_any_head_looks() -> None:
    found = max_map(MAPS, layer=2)
    for query in range(4):
        for key in range(5):
            assert found.values[query, key] == max(map.values[query, key] for map in MAPS[4:])
    assert found.quantity == "maximum attention"


@given(n=st.integers(1, 6), n_maps=st.integers(1, 5), seed=SEEDS)
def test_rows_of_a_mean_sum_to_one_and_the_maximum_is_nowhere_below_it(
    n: int, n_maps: int, seed: int
) -> None:
    maps = [random_map(n, n + 2, seed=seed + i) for i in range(n_maps)]
    mean, largest = mean_map(maps), max_map(maps)
    np.testing.assert_allclose(mean.values.sum(axis=1), 1, atol=1e-6)
    assert (largest.values >= mean.values - 1e-6).all()
    np.testing.assert_array_equal(mean_map(maps[:1]).values, maps[0].values)


def test_the_mean_of_one_map_is_still_called_what_it_is() -> None:
    assert mean_map(MAPS[:1]).quantity == "attention"


def test_a_cell_is_masked_where_it_is_in_all_maps() -> None:
    causal, free = random_map(3, causal=True), random_map(3)
    window = AttentionMap(np.eye(3), labels("k", 3), labels("k", 3), masked=~np.eye(3, dtype=bool))
    assert mean_map([causal, free]).masked is None
    both = mean_map([causal, window]).masked
    assert both is not None
    np.testing.assert_array_equal(both, np.triu(np.ones((3, 3)), 1) == 1)


def test_a_trace_gives_its_maps_and_words() -> None:
    model = Model.of(tiny_network("bart"), byte_level_tokenizer())
    trace = model.trace("the cat sat", "the mat")
    eager = [trace.attention(layer, None, "cross").numpy() for layer in trace.layers("cross")]
    found = mean_map(trace, "cross")
    np.testing.assert_allclose(found.values, np.concatenate(eager).mean(axis=0), atol=1e-6)
    assert found.key_words == trace.key_words("cross")
    np.testing.assert_allclose(
        mean_map(trace, "cross", head=1).values,
        np.mean([weights[1] for weights in eager], axis=0),
        atol=1e-6,
    )
    np.testing.assert_allclose(
        max_map(trace, "encoder", layer=1).values,
        trace.attention(1, None, "encoder").numpy().max(axis=0),
        atol=1e-6,
    )


def test_of_a_trace_only_the_heads_that_are_asked_for_are_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace = Model.of(tiny_network("llama"), None).trace([5, 6, 7])
    computed: list[tuple[int, int | None]] = []
    attention = type(trace).attention

    def counted(trace: Any, layer: int, head: int | None = None, kind: str | None = None) -> Any:
        computed.append((layer, head))
        return attention(trace, layer, head, kind)

    monkeypatch.setattr(type(trace), "attention", counted)
    mean_map(trace, layer=1)
    assert computed == [(1, head) for head in range(trace.n_heads())]
    with pytest.raises(SelectionError, match="There is no layer 9"):
        mean_map(trace, layer=9)


def test_texts_of_one_length_are_averaged_position_by_position() -> None:
    texts = [layers_of_heads(2, 2, 3, causal=True, seed=seed) for seed in (1, 2, 3)]
    other = [
        AttentionMap(m.values, ["k0", "new", "k2"], ["k0", "new", "k2"], layer=m.layer, head=m.head)
        for m in texts[2]
    ]
    found = mean_over_texts([texts[0], texts[1], other])
    assert [(map.layer, map.head) for map in found] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for place, map in enumerate(found):
        expected = sum(text[place].values for text in texts) / 3
        np.testing.assert_allclose(map.values, expected, atol=1e-7)
        assert map.query_tokens == map.key_tokens == ("k0", "#1", "k2")


def test_a_key_left_out_leaves_its_weight_to_the_others() -> None:
    map = random_map(4, causal=True)
    found = without_keys(map, [0])
    for query in range(1, 4):
        rest = sum(float(map.values[query, key]) for key in range(1, 4))
        for key in range(1, 4):
            assert found.values[query, key] == pytest.approx(map.values[query, key] / rest)
    assert found.values[0].tolist() == [0, 0, 0, 0]  # it could look nowhere else
    assert found.masked is not None
    assert found.masked[:, 0].all()
    np.testing.assert_array_equal(found.masked[:, 1:], map.masked[:, 1:])  # type: ignore[index]
    np.testing.assert_array_equal(without_keys(map, [-1]).values[:3], map.values[:3])


def test_leaving_keys_out_keeps_the_sum_of_a_row() -> None:
    half = AttentionMap([[0.1, 0.2, 0.2]], ["q"], ["a", "b", "c"])  # the rest went to a sink
    assert without_keys(half, [1]).values.sum() == pytest.approx(0.5)
    assert without_keys(half, [1]).values.tolist()[0] == pytest.approx([1 / 6, 0, 1 / 3])


def test_what_does_not_go_together_is_refused_errors() -> None:
    with pytest.raises(ShapeError) as shapes:
        mean_map([random_map(3), random_map(4, layer=2)])
    assert str(shapes.value) == (
        "The map of layer 2 has shape (4, 4), those before it (3, 3): only maps over equally many "
        "tokens have cells that mean the same. Take texts with the same number of tokens, or "
        "bring the maps to the same spans first (by_words, by_spans)."
    )
    other = AttentionMap(np.eye(2), ["a", "b"], ["a", "b"])
    with pytest.raises(SelectionError) as tokens:
        max_map([AttentionMap(np.eye(2), ["a", "b"], ["a", "c"]), other])
    assert str(tokens.value) == (
        "The maps are over different tokens: key 1 is 'c' in one and 'b' in another. With "
        'tokens="any" they are put together position by position.'
    )
    with pytest.raises(SelectionError) as nothing:
        mean_map(MAPS, "encoder", layer=7)
    assert str(nothing.value) == (
        "There is no map of kind 'encoder', layer 7 among these: give at least one AttentionMap."
    )
    with pytest.raises(SelectionError) as key:
        without_keys(random_map(2), [2])
    assert str(key.value) == (
        "There is no key 2: there are 2 keys, counted from 0 to 1, or from -1 backwards."
    )


def test_texts_that_cannot_be_averaged_are_refused_errors() -> None:
    with pytest.raises(SelectionError) as none:
        mean_over_texts([])
    assert str(none.value) == "There are no texts: give at least one trace."
    with pytest.raises(SelectionError) as heads:
        mean_over_texts([layers_of_heads(1, 2, 3), layers_of_heads(1, 1, 3)])
    assert str(heads.value) == (
        "The texts come with different heads: take traces of one model, or maps of the same heads "
        "in the same order."
    )
    with pytest.raises(ShapeError, match="Take texts with the same number of tokens"):
        mean_over_texts([layers_of_heads(1, 1, 3), layers_of_heads(1, 1, 4)])


@settings(deadline=None, max_examples=30)
@given(n=st.integers(2, 6), seed=SEEDS, key=st.integers(0, 5))
def test_rows_without_a_key_still_sum_to_one(n: int, seed: int, key: int) -> None:
    found = without_keys(random_map(n, seed=seed), [key % n])
    np.testing.assert_allclose(found.values.sum(axis=1), 1, atol=1e-5)
    assert not found.values[:, key % n].any()
