"""`Trace`: the public contract, its errors word by word, and what is computed when."""

import math
from typing import Any

import numpy as np
import pytest
import torch

import vizcore
from tests.support import tiny
from vizcore import MissingHeadError, SelectionError


def tiny_model(model_type: str, **changes: Any) -> vizcore.Model:
    network = tiny.tiny_network(model_type, **changes)
    return vizcore.Model.of(network, tiny.tokenizer_for(network), name=model_type)


@pytest.fixture(scope="module")
def decoder() -> vizcore.Trace:
    return tiny_model("llama").trace("the cat looked at the door")


@pytest.fixture(scope="module")
def encoder() -> vizcore.Trace:
    return tiny_model("bert").trace("the cat [MASK] at the door")


@pytest.fixture(scope="module")
def translation() -> vizcore.Trace:
    return tiny_model("bart", decoder_start_token_id=2).trace("the cat looked", "the mat")


# --- What was run ---------------------------------------------------------------------------------


def test_a_trace_knows_what_was_run(decoder: vizcore.Trace) -> None:
    assert decoder.tokens[:3] == ["the", "·cat", "·looked"]
    assert decoder.token_ids == decoder.source_ids
    assert decoder.target_ids is decoder.target_tokens is None
    assert decoder.kinds == ("decoder",)
    assert decoder.query_tokens() == decoder.key_tokens("decoder") == decoder.tokens
    assert repr(decoder) == f"Trace(llama, {len(decoder.tokens)} tokens)"


def test_an_encoder_decoders_trace_has_a_source_and_a_target(translation: vizcore.Trace) -> None:
    assert translation.kinds == ("encoder", "decoder", "cross")
    assert translation.target_tokens == translation.query_tokens("cross")
    assert translation.source_tokens == translation.key_tokens("cross")
    assert translation.query_tokens("encoder") == translation.source_tokens
    assert translation.key_tokens("decoder") == translation.target_tokens
    n_source, n_target = len(translation.source_ids), len(translation.target_ids or ())
    assert n_source != n_target
    assert repr(translation) == f"Trace(bart, {n_source} tokens -> {n_target} tokens)"


@pytest.mark.parametrize("name", ["tokens", "token_ids"])
def test_one_stack_names_error_on_an_encoder_decoder(name: str, translation: vizcore.Trace) -> None:
    with pytest.raises(SelectionError) as error:
        getattr(translation, name)
    assert str(error.value) == (
        f"A trace of an encoder-decoder has no {name}: it has source_ids, source_tokens, "
        "target_ids and target_tokens."
    )


# --- Attention ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["encoder", "decoder", "cross"])
def test_one_heads_attention_is_its_part_of_the_layer(
    kind: Any, translation: vizcore.Trace
) -> None:
    layer = translation.attention(1, kind=kind)
    shape = (len(translation.query_tokens(kind)), len(translation.key_tokens(kind)))
    assert layer.shape == (4, *shape)
    for head in range(4):
        torch.testing.assert_close(translation.attention(1, head, kind), layer[head])


def test_without_a_kind_an_encoder_decoder_means_its_decoder(translation: vizcore.Trace) -> None:
    assert torch.equal(translation.attention(0), translation.attention(0, kind="decoder"))


@pytest.mark.parametrize("model_type", ["gpt2", "bloom", "switch_transformers"])
def test_what_a_trace_gives_may_be_written_on_and_computed_with(model_type: str) -> None:
    model = tiny_model(model_type)
    trace = model.trace([5, 6, 7], [1, 8] if model.kind == "encoder-decoder" else None)
    before = trace.attention(0, 1).clone()
    weights, layer, logits = trace.attention(0, 1), trace.attention(0), trace.logits_at([1])
    for tensor in (weights, layer, logits):
        tensor += 1
        (tensor * torch.ones((), requires_grad=True)).sum().backward()
    assert torch.equal(trace.attention(0, 1), before)


def test_a_layer_that_is_not_there_errors(
    decoder: vizcore.Trace, translation: vizcore.Trace
) -> None:
    for layer in (3, -1, 10**9):
        with pytest.raises(SelectionError) as error:
            decoder.attention(layer)
        assert str(error.value) == (
            f"There is no layer {layer}: llama has 3 layers of decoder attention, counted from 0 "
            "to 2."
        )
    assert translation.attention(2, kind="encoder").ndim == 3
    with pytest.raises(SelectionError) as cross:
        translation.attention(2, kind="cross")
    assert str(cross.value) == (
        "There is no layer 2: bart has 2 layers of cross attention, counted from 0 to 1."
    )


@pytest.mark.parametrize("head", [4, -1])
def test_a_head_that_is_not_there_errors(head: int, decoder: vizcore.Trace) -> None:
    with pytest.raises(SelectionError) as error:
        decoder.map(0, head)
    assert str(error.value) == (
        f"There is no head {head}: llama has 4 heads a layer, counted from 0 to 3."
    )


def test_a_kind_that_is_not_there_errors(
    decoder: vizcore.Trace, translation: vizcore.Trace
) -> None:
    for ask in (decoder.query_tokens, decoder.key_tokens, decoder.layers, decoder.n_heads):
        with pytest.raises(SelectionError) as error:
            ask("cross")
        assert str(error.value) == "llama has no attention of kind 'cross': it has 'decoder'."
    with pytest.raises(SelectionError) as other:
        translation.layers("encoders")
    assert str(other.value) == (
        "bart has no attention of kind 'encoders': it has 'encoder', 'decoder', 'cross'."
    )


# --- Maps -----------------------------------------------------------------------------------------


def test_a_map_labels_itself(translation: vizcore.Trace) -> None:
    amap = translation.map(1, 2, "cross")
    assert amap.name == "cross, layer 1, head 2"
    assert list(amap.query_tokens) == translation.target_tokens
    assert list(amap.key_tokens) == translation.source_tokens
    assert np.array_equal(amap.values, translation.attention(1, 2, "cross").numpy())


def test_maps_come_head_by_head_and_layer_by_layer(decoder: vizcore.Trace) -> None:
    maps = decoder.maps()
    first = next(maps)
    assert (first.layer, first.head) == (0, 0)
    rest = [(amap.layer, amap.head) for amap in maps]
    assert [(0, 0), *rest] == [(layer, head) for layer in range(3) for head in range(4)]


@pytest.mark.parametrize("model_type", ["llama", "bloom"])
def test_a_decoders_map_says_what_is_masked_however_it_is_captured(model_type: str) -> None:
    masked = tiny_model(model_type).trace([5, 6, 7]).map(0, 0).masked
    assert masked is not None
    assert masked.tolist() == [[False, True, True], [False, False, True], [False] * 3]


def test_in_an_encoder_nothing_is_masked(encoder: vizcore.Trace) -> None:
    masked = encoder.map(0, 0).masked
    assert masked is not None
    assert not masked.any()


# --- Logits and next tokens -----------------------------------------------------------------------


def test_rows_of_logits_are_those_of_all_logits(decoder: vizcore.Trace) -> None:
    assert decoder.logits.shape == (len(decoder.tokens), tiny.VOCABULARY)
    for rows in (slice(1, 3), slice(-2, None), [0, 2], [3]):
        torch.testing.assert_close(
            decoder.logits_at(rows), decoder.logits[rows], atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("position", [0, 2, -1, -3])
def test_next_tokens_are_the_largest_of_the_log_softmax(
    position: int, decoder: vizcore.Trace
) -> None:
    table = decoder.next_tokens(position, k=5)
    columns = ["rank", "token", "token_id", "probability", "log_probability"]
    assert list(table.columns) == columns
    expected = decoder.logits[position].double().log_softmax(-1).topk(5)
    assert table["rank"].tolist() == [1, 2, 3, 4, 5]
    assert table["token_id"].tolist() == expected.indices.tolist()
    np.testing.assert_allclose(table["log_probability"], expected.values.numpy(), atol=1e-5)
    np.testing.assert_allclose(table["probability"], expected.values.exp().numpy(), atol=1e-6)
    assert table["token"].tolist() == decoder.model.labels(table["token_id"].tolist())


def test_all_probabilities_together_are_one(decoder: vizcore.Trace) -> None:
    table = decoder.next_tokens(k=10**6)
    assert len(table) == tiny.VOCABULARY
    assert math.isclose(table["probability"].sum(), 1, abs_tol=1e-5)


def test_an_encoder_predicts_what_stands_at_the_position(encoder: vizcore.Trace) -> None:
    position = encoder.tokens.index("[MASK]")
    network: Any = encoder.model.network
    with torch.no_grad():
        logits = network(torch.tensor([encoder.token_ids])).logits[0, position]
    assert (
        encoder.next_tokens(position, k=3)["token_id"].tolist() == logits.topk(3).indices.tolist()
    )


def test_an_encoder_decoder_predicts_the_target(translation: vizcore.Trace) -> None:
    network: Any = translation.model.network
    with torch.no_grad():
        logits = network(
            torch.tensor([translation.source_ids]),
            decoder_input_ids=torch.tensor([translation.target_ids]),
        ).logits[0]
    torch.testing.assert_close(translation.logits, logits, atol=1e-4, rtol=1e-4)
    best = translation.next_tokens(1, k=1)["token_id"].tolist()
    assert best == [int(logits[1].argmax())]


def test_a_position_that_is_not_there_errors(decoder: vizcore.Trace) -> None:
    n_tokens = len(decoder.tokens)
    for position in (n_tokens, -n_tokens - 1):
        with pytest.raises(SelectionError) as error:
            decoder.next_tokens(position)
        assert str(error.value) == (
            f"There is no position {position}: the text has {n_tokens} tokens, so positions go "
            f"from 0 to {n_tokens - 1}, or from -1 backwards."
        )


def test_asking_for_no_tokens_errors(decoder: vizcore.Trace) -> None:
    with pytest.raises(SelectionError) as error:
        decoder.next_tokens(k=0)
    assert str(error.value) == "k must be at least 1, not 0."


def test_without_a_head_every_way_to_logits_errors(minilm: vizcore.Model) -> None:
    trace = minilm.trace("the cat")
    ways = (lambda: trace.logits, lambda: trace.logits_at([0]), trace.next_tokens)
    for way in ways:
        with pytest.raises(MissingHeadError) as error:
            way()
        assert str(error.value) == (
            "minilm-l6 has no language-model head, so it has no logits and predicts no tokens. "
            'Load a model with one, such as "smollm2-135m".'
        )


# --- Some queries alone ---------------------------------------------------------------------------


@pytest.mark.parametrize("queries", [slice(1, 4), slice(None), slice(3, 3), [4], [0, 3, 1]])
@pytest.mark.parametrize(
    "model_type", ["llama", "gemma3_text", "gpt_oss", "bert", "bloom", "t5", "xlnet"]
)
def test_rows_are_rows_of_the_whole_map(model_type: str, queries: slice | list[int]) -> None:
    model = tiny_model(model_type)
    texts = ("the cat looked at the door", "the mat") if len(model.kinds) > 1 else ("the cat saw",)
    trace = model.trace(*texts)
    for kind in trace.kinds:
        chosen = queries
        if isinstance(queries, list):
            chosen = [query for query in queries if query < len(trace.query_tokens(kind))]
        for layer in trace.layers(kind):
            whole = trace.attention(layer, None, kind)[:, chosen]
            torch.testing.assert_close(trace.attention_rows(layer, None, chosen, kind), whole)
            rows = trace.map_rows(layer, 1, chosen, kind)
            np.testing.assert_allclose(rows.values, whole[1].numpy(), rtol=1e-5, atol=1e-7)
            full = trace.map(layer, 1, kind)
            labels = np.array(full.query_tokens, dtype=object)[chosen]
            assert rows.query_tokens == tuple(labels)
            assert rows.key_tokens == full.key_tokens
            assert (rows.masked is None) == (full.masked is None)
            if full.masked is not None:
                np.testing.assert_array_equal(rows.masked, full.masked[chosen])


def test_rows_errors_are_named(decoder: vizcore.Trace) -> None:
    n_tokens = len(decoder.tokens)
    expected = f"There is no query 99: the text has {n_tokens}, counted from 0 to {n_tokens - 1}."
    for ask in (decoder.attention_rows, decoder.map_rows):
        with pytest.raises(SelectionError) as error:
            ask(0, 1, [0, 99])
        assert str(error.value) == expected
        with pytest.raises(SelectionError, match="There is no layer 7"):
            ask(7, 1, [0])
        with pytest.raises(SelectionError, match="There is no head 9"):
            ask(0, 9, [0])


def test_of_a_long_text_heads_are_computed_one_at_a_time(
    decoder: vizcore.Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = list(decoder.maps())
    monkeypatch.setattr("vizcore.trace.WHOLE_LAYER_CELLS", 0)
    for one, other in zip(together, decoder.maps(), strict=True):
        assert (one.layer, one.head) == (other.layer, other.head)
        np.testing.assert_allclose(one.values, other.values, rtol=1e-5, atol=1e-7)
