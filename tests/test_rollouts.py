"""Rollout and flow: the definitions in plain loops, by hand, and by counting cuts."""

import itertools
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.maps import SEEDS, labels, layers_of_heads, random_map
from tests.support.tiny import tiny_network
from vizcore.errors import SelectionError, ShapeError
from vizcore.maps import AttentionMap
from vizcore.model import Model
from vizcore.rollouts import attention_flow, rollout, rollout_layers
from vizcore.trace import Trace

Matrix = list[list[float]]


@pytest.fixture(scope="module")
def translated() -> Trace:
    return Model.of(tiny_network("bart"), None).trace([5, 9, 17, 23, 40], [1, 30, 12])


def product(one: Matrix, two: Matrix) -> Matrix:
    return [
        [sum(row[k] * two[k][j] for k in range(len(two))) for j in range(len(two[0]))]
        for row in one
    ]


def mixed(heads: list[Any], *, residual: float = 0.5, without: tuple[int, ...] = ()) -> Matrix:
    """r·I + (1 - r)·(mean of the heads), rows divided by their sums, one number at a time."""
    n_queries, n_keys = heads[0].shape
    rows = []
    for i in range(n_queries):
        mean = [sum(float(head[i, j]) for head in heads) / len(heads) for j in range(n_keys)]
        total = sum(mean)
        kept = [0.0 if j in without else mean[j] for j in range(n_keys)]
        if without and sum(kept) > 0:
            kept = [weight * total / sum(kept) for weight in kept]
        row = [residual * (i == j) + (1 - residual) * kept[j] for j in range(n_keys)]
        rows.append([share / sum(row) for share in row])
    return rows


def heads_of(trace: Trace, layer: int, kind: str | None = None) -> list[Any]:
    return list(trace.attention(layer, None, kind).numpy())


# --- Rollout --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("residual", "without"), [(0.5, ()), (0.3, ()), (0.0, ()), (0.5, (0,)), (0.2, (1, 3))]
)
def test_a_rollout_is_the_product_of_the_layers(residual: float, without: tuple[int, ...]) -> None:
    maps = layers_of_heads(3, 2, 4, kind="encoder", seed=7)
    expected: Matrix = np.eye(4).tolist()
    for layer in range(3):
        heads = [map.values for map in maps if map.layer == layer]
        expected = product(mixed(heads, residual=residual, without=without), expected)
        found = rollout(maps, layer=layer, residual=residual, without=without)
        np.testing.assert_allclose(found.values, expected, atol=1e-6)
    assert (found.layer, found.head, found.kind, found.quantity) == (2, None, "encoder", "rollout")
    assert found.query_tokens == found.key_tokens == maps[0].query_tokens


def test_two_layers_by_hand() -> None:
    first = AttentionMap([[1.0, 0.0], [0.5, 0.5]], ["a", "b"], ["a", "b"], layer=0)
    second = AttentionMap([[1.0, 0.0], [1.0, 0.0]], ["a", "b"], ["a", "b"], layer=1)
    # Layers [[1, 0], [1/4, 3/4]] and [[1, 0], [1/2, 1/2]].
    assert rollout([first, second]).values.tolist() == [[1, 0], [0.625, 0.375]]
    assert rollout([second, first]).values.tolist() == [[1, 0], [0.625, 0.375]]  # by their numbers


@pytest.mark.parametrize(
    ("architecture", "kind"), [("llama", "decoder"), ("gemma2", "decoder"), ("bert", "encoder")]
)
def test_the_rollout_of_a_network_is_that_of_its_eager_attentions(
    architecture: str, kind: str
) -> None:
    model = Model.of(tiny_network(architecture), None)
    trace = model.trace([5, 9, 17, 23, 40, 8])
    expected: Matrix = np.eye(6).tolist()
    found = list(rollout_layers(trace))
    assert [map.layer for map in found] == list(trace.layers())
    for map in found:
        assert map.layer is not None
        expected = product(mixed(heads_of(trace, map.layer)), expected)
        np.testing.assert_allclose(map.values, expected, atol=1e-5)
        assert map.kind == kind


def test_the_rollout_of_smollm2_is_that_of_its_maps(smollm2: Any) -> None:
    trace = smollm2.trace("The cat sat on the mat")
    expected: Matrix = np.eye(len(trace.tokens)).tolist()
    for layer in trace.layers():
        expected = product(mixed(heads_of(trace, layer)), expected)
    found = rollout(trace)
    np.testing.assert_allclose(found.values, expected, atol=1e-5)
    assert found.values[-1, 0] > 0.9  # all paths end at the first token
    assert rollout(trace, without=[0], layer=5).values[-1, 0] < 0.01
    assert found.key_words == trace.key_words()


def test_the_largest_weight_of_any_head_is_scaled_to_the_sum_of_a_row() -> None:
    maps = layers_of_heads(1, 3, 4)
    largest = np.maximum.reduce([map.values for map in maps]).astype(float)
    largest /= largest.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        rollout(maps, heads="max").values, 0.5 * np.eye(4) + 0.5 * largest, atol=1e-6
    )


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 5),
    n_layers=st.integers(1, 4),
    seed=SEEDS,
    residual=st.floats(0, 1),
    heads=st.sampled_from(["mean", "max"]),
    causal=st.booleans(),
    without=st.sampled_from([(), (0,)]),
)
def test_rows_of_every_rollout_sum_to_one(
    n: int,
    n_layers: int,
    seed: int,
    residual: float,
    heads: Literal["mean", "max"],
    causal: bool,
    without: tuple[int, ...],
) -> None:
    maps = layers_of_heads(n_layers, 2, n, seed=seed, causal=causal)
    for map in rollout_layers(maps, residual=residual, heads=heads, without=without):
        np.testing.assert_allclose(map.values.sum(axis=1), 1, atol=1e-5)
        assert (map.values >= 0).all()
        if causal:
            assert map.masked is not None
            assert not map.values[map.masked].any()
        if causal and not without:
            np.testing.assert_array_equal(map.masked, np.triu(np.ones((n, n)), 1) == 1)


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 5), n_layers=st.integers(1, 4), residual=st.floats(0, 1))
def test_the_rollout_of_identities_is_the_identity(n: int, n_layers: int, residual: float) -> None:
    maps = [
        AttentionMap(np.eye(n), labels("k", n), labels("k", n), layer=layer)
        for layer in range(n_layers)
    ]
    np.testing.assert_array_equal(rollout(maps, residual=residual).values, np.eye(n))
    np.testing.assert_allclose(attention_flow(maps, residual=residual).values, np.eye(n), atol=1e-9)
    everything = rollout(layers_of_heads(n_layers, 2, n), residual=1)
    np.testing.assert_array_equal(everything.values, np.eye(n))


def test_a_window_opens_from_layer_to_layer() -> None:
    window = np.abs(np.subtract.outer(np.arange(5), np.arange(5))) > 1
    values = np.where(window, 0, 1.0)
    values /= values.sum(axis=1, keepdims=True)
    maps = [
        AttentionMap(values, labels("k", 5), labels("k", 5), layer=i, masked=window) for i in (0, 1)
    ]
    first, second = rollout_layers(maps)
    np.testing.assert_array_equal(first.masked, first.values == 0)
    np.testing.assert_array_equal(second.masked, second.values == 0)
    assert second.masked is not None
    assert second.masked[0].tolist() == [False, False, False, True, True]


# --- Encoder-decoders -----------------------------------------------------------------------------


def test_each_stack_of_an_encoder_decoder_has_a_rollout_of_its_own(translated: Trace) -> None:
    for kind, n in [("encoder", 5), ("decoder", 3)]:
        expected: Matrix = np.eye(n).tolist()
        for layer in translated.layers(kind):
            expected = product(mixed(heads_of(translated, layer, kind)), expected)
        np.testing.assert_allclose(rollout(translated, kind).values, expected, atol=1e-5)


def test_cross_rollout_goes_through_both_stacks(translated: Trace) -> None:
    encoded: Matrix = np.eye(5).tolist()
    for layer in translated.layers("encoder"):
        encoded = product(mixed(heads_of(translated, layer, "encoder")), encoded)
    own: Matrix = np.eye(3).tolist()  # shares of the target's tokens
    other: Matrix = np.zeros((3, 5)).tolist()  # shares of the source's tokens
    for map in rollout_layers(translated, "cross"):
        assert map.layer is not None
        step = mixed(heads_of(translated, map.layer, "decoder"))
        own, other = product(step, own), product(step, other)
        cross = np.mean(heads_of(translated, map.layer, "cross"), axis=0)
        looked = product(cross.tolist(), encoded)
        own = [[0.5 * share for share in row] for row in own]
        other = [
            [0.5 * a + 0.5 * b for a, b in zip(*rows, strict=True)]
            for rows in zip(other, looked, strict=True)
        ]
        np.testing.assert_allclose(map.values, other, atol=1e-5)
        np.testing.assert_allclose(map.values.sum(axis=1), 1 - np.sum(own, axis=1), atol=1e-5)
    assert (map.query_tokens, map.key_tokens) == (
        tuple(translated.query_tokens("cross")),
        tuple(translated.key_tokens("cross")),
    )


def test_cross_rollout_of_plain_maps_is_that_of_their_trace(translated: Trace) -> None:
    maps = [map for kind in translated.kinds for map in translated.maps(kind)]
    found, expected = rollout(maps, "cross"), rollout(translated, "cross")
    np.testing.assert_allclose(found.values, expected.values, atol=1e-6)


# --- Flow -----------------------------------------------------------------------------------------


def smallest_cut(layers: list[Any], position: int, token: int) -> float:
    """The largest flow by its dual: the least width of pipes whose cutting parts the two.

    All ways to put every node on either side are tried.
    """
    n = len(layers[0])
    inner = [(level, i) for level in range(1, len(layers)) for i in range(n)]
    others = [(0, i) for i in range(n) if i != token]
    tops = [(len(layers), i) for i in range(n) if i != position]
    free = [*inner, *others, *tops]
    best = float("inf")
    for sides in itertools.product([False, True], repeat=len(inner)):
        side = dict(zip(inner, sides, strict=True))
        side |= {node: True for node in free if node not in side and node[0] == 0}
        side |= {node: False for node in free if node not in side}
        side[0, token], side[len(layers), position] = False, True
        width = sum(
            float(layers[level][i][j])
            for level in range(len(layers))
            for i in range(n)
            for j in range(n)
            if side[level + 1, i] and not side[level, j]
        )
        best = min(best, width)
    return best


@settings(deadline=None, max_examples=15)
@given(seed=SEEDS, causal=st.booleans(), residual=st.sampled_from([0.0, 0.5]))
def test_flow_is_the_smallest_cut(seed: int, causal: bool, residual: float) -> None:
    maps = layers_of_heads(3, 2, 3, seed=seed, causal=causal)
    layers = [mixed([m.values for m in maps if m.layer == i], residual=residual) for i in range(3)]
    found = attention_flow(maps, residual=residual, normalise=False)
    for position in range(3):
        for token in range(3):
            expected = smallest_cut(layers, position, token)
            assert found.values[position, token] == pytest.approx(expected, abs=1e-6)
    shares = attention_flow(maps, residual=residual)
    np.testing.assert_allclose(shares.values.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(
        shares.values, found.values / found.values.sum(axis=1, keepdims=True), atol=1e-6
    )
    assert (shares.quantity, shares.layer) == ("attention flow", 2)


def test_flow_after_one_layer_is_its_shares() -> None:
    maps = layers_of_heads(1, 2, 5)
    np.testing.assert_allclose(attention_flow(maps).values, rollout(maps).values, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, n=st.integers(1, 4), n_layers=st.integers(1, 3))
def test_flow_is_never_less_than_rollout(seed: int, n: int, n_layers: int) -> None:
    maps = layers_of_heads(n_layers, 2, n, seed=seed)
    flow = attention_flow(maps, normalise=False).values
    assert (flow >= rollout(maps).values - 1e-6).all()
    assert (flow <= 1 + 1e-6).all()


def test_cross_flow_goes_through_both_stacks(translated: Trace) -> None:
    flow = attention_flow(translated, "cross", normalise=False)
    assert flow.values.shape == (3, 5)
    assert (flow.values >= rollout(translated, "cross").values - 1e-6).all()
    assert (flow.values <= 1 + 1e-6).all()


def test_flow_can_be_had_for_some_positions_alone(translated: Trace) -> None:
    whole = attention_flow(translated, "decoder", normalise=False)
    part = attention_flow(translated, "decoder", queries=[2, 0], normalise=False)
    np.testing.assert_array_equal(part.values, whole.values[[2, 0]])
    assert part.query_tokens == (whole.query_tokens[2], whole.query_tokens[0])
    np.testing.assert_array_equal(part.masked, whole.masked[[2, 0]])  # type: ignore[index]


# --- Refusals -------------------------------------------------------------------------------------


def test_a_text_too_long_for_flow_is_refused_before_anything_is_done_errors() -> None:
    maps = layers_of_heads(2, 1, 80)
    with pytest.raises(SelectionError) as long:
        attention_flow(maps)
    assert str(long.value) == (
        "Attention flow through 6,400 pipes or more between 6,400 pairs of tokens would take too "
        "long (pipes × pairs may be 20,000,000). Take a shorter text, fewer layers (layer=...), "
        "some of the positions (queries=[...]), or the rollout, which takes no time."
    )
    with pytest.raises(SelectionError) as query:
        attention_flow(layers_of_heads(1, 1, 3), queries=[3])
    assert str(query.value) == "There is no query 3: there are 3, counted from 0 to 2."


def test_what_is_no_stack_of_layers_is_refused_errors(translated: Trace) -> None:
    with pytest.raises(SelectionError) as none:
        rollout([], "encoder")
    assert str(none.value) == (
        "There are no maps of kind 'encoder': give a trace, or all maps of one."
    )
    with pytest.raises(SelectionError) as layer:
        rollout(layers_of_heads(2, 1, 3), layer=2)
    assert str(layer.value) == "There is no layer 2 among these maps."
    with pytest.raises(SelectionError) as residual:
        rollout(layers_of_heads(2, 1, 3), residual=1.5)
    assert str(residual.value) == "The residual share must be from 0 to 1, not 1.5."
    with pytest.raises(ShapeError) as shape:
        rollout([random_map(3, 4, layer=0)])
    assert str(shape.value) == (
        "The map of layer 0 has shape (3, 4), and (3, 3) was expected: a rollout takes maps of one "
        "text that looks at itself, in every layer the same."
    )
    both = [random_map(3, layer=0, kind="encoder"), random_map(3, layer=1, kind="decoder")]
    with pytest.raises(SelectionError) as kinds:
        rollout(both)
    assert str(kinds.value) == (
        "There are maps of kind 'encoder' and of kind 'decoder': say which are meant "
        "(kind='decoder')."
    )
    with pytest.raises(SelectionError) as missing:
        rollout(list(translated.maps("cross")), "cross")
    assert str(missing.value) == (
        "A rollout of kind 'cross' goes through encoder and decoder, and there are no maps of kind "
        "'encoder': give a trace, or all maps of one."
    )
