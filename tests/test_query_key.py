"""Queries and keys of any architecture that is tapped, and how its weights come of them."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.tiny import tiny_network
from vizcore.errors import CaptureError, SelectionError
from vizcore.model import Model
from vizcore.query_key import queries_and_keys

SOURCE, TARGET = [5, 9, 17, 23, 40, 8, 77], [1, 30, 12, 9]
TAPPED = (
    "bart", "bert", "cohere", "deepseek_v3", "distilbert", "gemma2", "gpt2", "gpt_bigcode",
    "gpt_neox", "gpt_oss", "jamba", "lfm2", "llama", "m2m_100", "mistral", "modernbert", "opt",
    "phi3", "qwen3", "t5",
)  # fmt: skip


@cache
def traced(architecture: str) -> Any:
    """A text in a tiny network; the target of an encoder-decoder is shorter than its source."""
    model = Model.of(tiny_network(architecture), None, name=f"some-{architecture}")
    return model.trace(SOURCE, TARGET) if model.kind == "encoder-decoder" else model.trace(SOURCE)


def softmax(scores: Any, sink: float | None) -> Any:
    """In double precision, written out: e to the score, over the sum of all and of the sink."""
    powers = [np.exp(np.float64(score)) for score in scores]
    total = sum(powers) + (0.0 if sink is None else np.exp(np.float64(sink)))
    return np.array([power / total for power in powers])


@pytest.mark.parametrize("architecture", TAPPED)
def test_the_products_add_up_to_the_logits_whose_softmax_is_the_attention(
    architecture: str,
) -> None:
    trace = traced(architecture)
    for kind in trace.kinds:
        for head in range(trace.n_heads(kind)):
            layer = trace.layers(kind)[-1]
            weights = trace.attention(layer, head, kind)
            found = queries_and_keys(trace, layer, head, kind=kind)
            for token in range(len(trace.query_tokens(kind))):
                row = found.scores(token)
                logits = []
                for key in range(len(trace.key_tokens(kind))):
                    score = sum(float(q) * float(k) for q, k in zip(row.query, row.key[key]))  # noqa: B905
                    score *= row.scaling
                    if row.softcap is not None:
                        score = row.softcap * np.tanh(score / row.softcap)
                    if row.bias is not None:
                        score += float(row.bias[key])
                    logits.append(-np.inf if row.hidden[key] else score)
                np.testing.assert_allclose(row.scores, logits, atol=1e-4, rtol=1e-4)
                np.testing.assert_allclose(softmax(logits, row.sink), weights[token], atol=1e-5)
                np.testing.assert_allclose(row.weights, weights[token], atol=1e-5)


def test_the_frame_of_a_query_has_a_row_for_each_key_and_that_of_a_pair_for_each_dimension() -> (
    None
):
    found = queries_and_keys(traced("llama"), 1, 3)
    row = found.scores(-3)
    frame = row.to_frame()
    assert list(frame) == [
        "key", "key_token", "dot", "scaled", "capped", "bias", "hidden", "score", "weight",
    ]  # fmt: skip
    assert list(frame["key_token"]) == traced("llama").tokens
    assert list(frame["hidden"]) == [False] * 5 + [True] * 2
    assert frame["weight"].sum() == pytest.approx(1, abs=1e-6)
    pair = row.dimensions(2)
    assert list(pair) == ["dimension", "query", "key", "product"]
    assert pair["product"].sum() == pytest.approx(frame["dot"][2], abs=1e-5)
    np.testing.assert_allclose(pair["query"] * pair["key"], pair["product"])


def test_heads_of_a_group_share_their_keys_and_have_queries_of_their_own() -> None:
    first, second, third = (queries_and_keys(traced("llama"), 0, head) for head in (0, 1, 2))
    assert (first.n_heads, first.n_key_heads) == (4, 2)
    assert [one.key_head for one in (first, second, third)] == [0, 0, 1]
    np.testing.assert_array_equal(first.key, second.key)
    assert not np.array_equal(first.key, third.key)
    assert not np.array_equal(first.query, second.query)


def test_cross_attention_has_queries_of_the_target_and_keys_of_the_source() -> None:
    found = queries_and_keys(traced("bart"), 0, 1, kind="cross")
    assert (len(found.query), len(found.key)) == (len(TARGET), len(SOURCE))
    assert not found.scores(0).hidden.any()
    assert repr(found) == (
        "QueriesAndKeys(cross, layer 0, head 1, 4 queries, 7 keys of 8 dimensions)"
    )


def test_a_sink_takes_its_share_and_no_key_gets_it() -> None:
    row = queries_and_keys(traced("gpt_oss"), 1, 2).scores(6)
    assert row.sink is not None
    assert 0 < row.weights.sum() < 1
    assert row.weights.sum() == pytest.approx(1 - softmax([*row.scores, row.sink], None)[-1])


def test_a_query_that_may_look_at_nothing_gets_zeros() -> None:
    row = queries_and_keys(traced("llama"), 0, 0).scores(2)
    blind = type(row)(**{**vars_of(row), "hidden": np.ones(7, dtype=bool)})
    np.testing.assert_array_equal(blind.weights, np.zeros(7))


def vars_of(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in type(row).__dataclass_fields__}


def test_what_is_taken_from_a_trace_leaves_it_as_it_is() -> None:
    trace = traced("llama")
    before = trace.attention(0, 0)
    found = queries_and_keys(trace, 0, 0)
    found.query[:] = 0
    found.key[:] = 0
    torch.testing.assert_close(trace.attention(0, 0), before)


def test_real_models_queries_and_keys_give_their_weights(smollm2: Any, minilm: Any) -> None:
    for model in (smollm2, minilm):
        trace = model.trace("The cat sat on the mat because it was tired")
        row = queries_and_keys(trace, 3, 5).scores(6)
        np.testing.assert_allclose(row.weights, trace.attention(3, 5)[6], atol=1e-5)


def test_a_network_in_eager_mode_says_that_it_shows_no_queries_and_keys_errors() -> None:
    trace = traced("mpt")
    assert trace.model.capture == "eager"
    with pytest.raises(CaptureError) as caught:
        queries_and_keys(trace, 0, 0)
    assert str(caught.value) == (
        "The queries and keys of some-mpt cannot be seen: transformers returns the weights of "
        "this architecture, but not what they are computed from. See its maps instead (trace.map, "
        'or the page Attention), or load a model whose `capture` is "tap", such as smollm2-135m.'
    )


def test_a_token_or_a_key_that_is_not_there_errors() -> None:
    found = queries_and_keys(traced("llama"), 0, 0)
    with pytest.raises(SelectionError) as caught:
        found.scores(7)
    assert str(caught.value) == (
        "There is no token 7: there are 7, counted from 0 to 6, or from -1 backwards."
    )
    with pytest.raises(SelectionError, match="There is no key -8: there are 7"):
        found.scores(0).dimensions(-8)
    with pytest.raises(SelectionError, match="There is no head 4"):
        queries_and_keys(traced("llama"), 0, 4)
