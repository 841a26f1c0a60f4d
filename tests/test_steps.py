"""One head step by step, held against what the networks themselves compute."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support.tiny import livened, tiny_network
from vizcore.errors import CaptureError, SelectionError
from vizcore.model import Model
from vizcore.pretrained import wrap
from vizcore.steps import attention_steps
from vizcore.surroundings import surroundings
from vizcore.transformer import Transformer, TransformerConfig

SENTENCE = "The cat sat on the mat because it was tired"
SOURCE, TARGET = [5, 9, 17, 23, 40, 8, 77], [1, 30, 12, 9]

# For each architecture, the module that ends with Wᴼ in the first layer of a kind of attention.
ENDS = [
    ("gpt2", "decoder", "transformer.h.0.attn.c_proj"),
    ("llama", "decoder", "model.layers.0.self_attn"),
    ("qwen3", "decoder", "model.layers.0.self_attn"),
    ("gemma2", "decoder", "model.layers.0.self_attn"),
    ("gpt_oss", "decoder", "model.layers.0.self_attn"),
    ("gpt_neox", "decoder", "gpt_neox.layers.0.attention"),
    ("deepseek_v3", "decoder", "model.layers.0.self_attn"),
    ("bert", "encoder", "bert.encoder.layer.0.attention.output.dense"),
    ("distilbert", "encoder", "distilbert.transformer.layer.0.attention"),
    ("bart", "encoder", "model.encoder.layers.0.self_attn"),
    ("bart", "cross", "model.decoder.layers.0.encoder_attn"),
    ("t5", "encoder", "encoder.block.0.layer.0.SelfAttention"),
    ("t5", "decoder", "decoder.block.0.layer.0.SelfAttention"),
    ("t5", "cross", "decoder.block.0.layer.1.EncDecAttention"),
]


@contextmanager
def returned_by(network: nn.Module, name: str) -> Iterator[list[Tensor]]:
    """What a module returns in the forward passes of the block."""
    results: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        results.append(output[0] if isinstance(output, tuple) else output)

    handle = network.get_submodule(name).register_forward_hook(keep)
    yield results
    handle.remove()


def trace_of(model: Model) -> Any:
    return model.trace(SOURCE, TARGET) if model.kind == "encoder-decoder" else model.trace(SOURCE)


@pytest.mark.parametrize(("architecture", "kind", "module"), ENDS)
def test_the_steps_end_with_what_the_layer_itself_returned(
    architecture: str, kind: str, module: str
) -> None:
    model = Model.of(tiny_network(architecture), None)
    with returned_by(model.network, module) as returned:
        trace = trace_of(model)
    for token in range(len(trace.query_tokens(kind))):
        for head in range(trace.n_heads(kind)):
            steps = attention_steps(trace, 0, head, token, kind=kind)
            torch.testing.assert_close(
                steps.weights, trace.attention(0, head, kind)[token], atol=1e-6, rtol=0
            )
            shares = torch.cat([steps.scores, torch.tensor([s for s in [steps.sink] if s])])
            torch.testing.assert_close(
                steps.weights, shares.softmax(dim=0)[: len(steps.weights)], atol=1e-6, rtol=0
            )
            torch.testing.assert_close(steps.output, steps.weights @ steps.value)
            assert steps.attention_output is not None
            torch.testing.assert_close(
                steps.attention_output, returned[0][0, token], atol=1e-5, rtol=1e-4
            )
            parts = steps.contribution + steps.others
            if steps.projection.bias is not None:
                parts = parts + steps.projection.bias
            torch.testing.assert_close(parts, steps.attention_output, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("smollm2", "model.layers.{}.self_attn"),
        ("minilm", "encoder.layer.{}.attention.output.dense"),
    ],
)
def test_the_steps_of_real_models_end_with_what_the_layer_itself_returned(
    name: str, module: str, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(name)
    layer = 4
    with returned_by(model.network, module.format(layer)) as returned:
        trace = model.trace(SENTENCE)
    steps = attention_steps(trace, layer, 5, 7)
    torch.testing.assert_close(steps.weights, trace.attention(layer, 5)[7], atol=1e-6, rtol=0)
    torch.testing.assert_close(steps.attention_output, returned[0][0, 7], atol=1e-5, rtol=1e-4)
    assert steps.weighted.shape == (len(trace.tokens), len(steps.output))
    torch.testing.assert_close(steps.weighted.sum(dim=0), steps.output)


@pytest.mark.parametrize("positions", ["sinusoidal", "rope", "alibi"])
def test_our_own_transformer_is_taken_apart_the_same_way(positions: Any) -> None:
    torch.manual_seed(0)
    config = TransformerConfig(
        "encoder-decoder", 90, d_model=24, n_heads=3, d_ff=32, positions=positions
    )
    transformer = Transformer(config)
    model = Model.of(livened(wrap(transformer, pad_id=0, bos_id=1, eos_id=2)), None)
    for kind, module in [
        ("encoder", "encoder.layers.1.attention"),
        ("decoder", "decoder.layers.1.attention"),
        ("cross", "decoder.layers.1.cross"),
    ]:
        with returned_by(transformer, module) as returned:
            trace = trace_of(model)
        steps = attention_steps(trace, 1, 2, 3, kind=kind)
        torch.testing.assert_close(steps.weights, trace.attention(1, 2, kind)[3], atol=1e-6, rtol=0)
        assert steps.attention_output is not None
        torch.testing.assert_close(steps.attention_output, returned[0][0, 3], atol=1e-5, rtol=1e-4)
        assert ("rotation" in steps.names) == (positions == "rope" and kind != "cross")
        assert ("bias" in steps.names) == (positions == "alibi" and kind != "cross")


def test_queries_and_keys_before_rope_are_those_that_the_projections_returned(
    smollm2: Any,
) -> None:
    with (
        returned_by(smollm2.network, "model.layers.2.self_attn.q_proj") as queries,
        returned_by(smollm2.network, "model.layers.2.self_attn.k_proj") as keys,
    ):
        trace = smollm2.trace(SENTENCE)
    steps = attention_steps(trace, 2, 7, 6)
    d_head = len(steps.query)
    assert steps.names[:3] == ("query", "rotation", "keys")
    assert steps.query_before is not None
    assert not torch.allclose(steps.query_before, steps.query, atol=0.1)
    torch.testing.assert_close(
        steps.query_before, queries[0][0, 6, 7 * d_head : 8 * d_head], atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(  # nine query heads share three key heads
        steps.key_before, keys[0][0, :, 2 * d_head : 3 * d_head], atol=1e-4, rtol=1e-4
    )


def test_the_angles_of_rope_are_position_times_frequency(smollm2: Any) -> None:
    steps = attention_steps(smollm2.trace(SENTENCE), 0, 0, 0)
    assert steps.rotation is not None
    n_pairs = len(steps.query) // 2
    base = smollm2.network.config.rope_parameters["rope_theta"]
    frequencies = base ** (-torch.arange(n_pairs) / n_pairs)
    angles = torch.arange(len(steps.key))[:, None] * frequencies
    torch.testing.assert_close(steps.rotation.factors.real, angles.cos(), atol=1e-4, rtol=0)
    torch.testing.assert_close(steps.rotation.factors.imag, angles.sin(), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "architecture", ["llama", "gpt_neox", "stablelm", "cohere", "phi3", "modernbert", "qwen3"]
)
def test_rope_is_found_whatever_its_pairs_and_however_much_it_rotates(architecture: str) -> None:
    trace = trace_of(Model.of(tiny_network(architecture), None))
    assert all(one.rotation is not None for one in surroundings(trace, trace.kinds[0]))


@pytest.mark.parametrize("architecture", ["gpt2", "bert", "t5"])
def test_a_network_without_rope_has_no_such_step(architecture: str) -> None:
    trace = trace_of(Model.of(tiny_network(architecture), None))
    for kind in trace.kinds:
        steps = attention_steps(trace, 0, 1, 2, kind=kind)
        assert "rotation" not in steps.names
        assert steps.query_before is steps.key_before is None


def test_each_step_follows_from_the_one_before() -> None:
    trace = trace_of(Model.of(tiny_network("gemma2"), None))
    steps = attention_steps(trace, 1, 3, 4)
    torch.testing.assert_close(steps.products, steps.key @ steps.query)
    torch.testing.assert_close(steps.scaled, steps.products / 16)  # query_pre_attn_scalar is 256
    assert not steps.divides_by_root
    assert steps.softcap == 50.0
    torch.testing.assert_close(steps.capped, 50 * torch.tanh(steps.scaled / 50))
    assert steps.names == (
        "query", "rotation", "keys", "scores", "scaling", "softcap", "mask", "softmax", "values",
        "sum", "concat", "output",
    )  # fmt: skip
    assert torch.isneginf(steps.scores[5:]).all()


def test_a_bias_of_positions_is_a_step_of_its_own_and_no_mask() -> None:
    trace = trace_of(Model.of(tiny_network("t5"), None))
    steps = attention_steps(trace, 0, 1, 2, kind="decoder")
    assert steps.hidden.tolist() == [False, False, False, True]
    assert steps.bias is not None
    assert steps.bias.abs().max() < 10
    torch.testing.assert_close(steps.biased, steps.products + steps.bias)
    assert steps.scaling == 1.0


def test_a_bias_that_is_zero_throughout_is_none() -> None:
    trace = trace_of(Model.of(tiny_network("t5"), None))
    assert attention_steps(trace, 0, 1, 2, kind="cross").bias is None


def test_what_a_sink_takes_no_key_gets() -> None:
    trace = trace_of(Model.of(tiny_network("gpt_oss"), None))
    steps = attention_steps(trace, 1, 2, 6)
    assert steps.sink is not None
    taken = math.exp(
        steps.sink - torch.cat([steps.scores, torch.tensor([steps.sink])]).logsumexp(0)
    )
    assert float(steps.weights.sum()) == pytest.approx(1 - taken, abs=1e-6)


def test_without_the_mask_the_future_is_seen_and_without_scaling_the_softmax_is_sharper(
    smollm2: Any,
) -> None:
    trace = smollm2.trace(SENTENCE)
    steps = attention_steps(trace, 3, 4, 2, mask=False)
    assert steps.original.hidden_weight == 0
    raw = steps.products * steps.scaling
    torch.testing.assert_close(steps.weights, raw.softmax(dim=0), atol=1e-6, rtol=0)
    assert steps.hidden_weight == pytest.approx(float(raw.softmax(dim=0)[3:].sum()), abs=1e-6)

    steps = attention_steps(trace, 3, 4, -1, scaling=False)
    torch.testing.assert_close(steps.weights, steps.products.softmax(dim=0), atol=1e-6, rtol=0)
    assert steps.entropy < steps.original.entropy
    torch.testing.assert_close(steps.original.weights, trace.attention(3, 4)[-1], atol=1e-6, rtol=0)
    # Only this head is changed: the others' part of the output is what it was.
    torch.testing.assert_close(steps.others, steps.original.others)
    assert not torch.allclose(steps.contribution, steps.original.contribution)


def test_entropy_is_in_bits(minilm: Any) -> None:
    steps = attention_steps(minilm.trace(SENTENCE), 0, 0, 1)
    shares = steps.weights.double()
    expected = torch.distributions.Categorical(probs=shares).entropy() / math.log(2)
    assert steps.entropy == pytest.approx(float(expected), abs=1e-5)


def test_wo_is_not_made_up_where_something_stands_before_it() -> None:
    trace = trace_of(Model.of(tiny_network("bitnet"), None))  # normalises before Wᴼ
    steps = attention_steps(trace, 0, 1, 3)
    assert steps.projection is None
    assert steps.contribution is steps.others is steps.attention_output is None
    torch.testing.assert_close(steps.output, steps.weights @ steps.value)


def test_the_second_run_leaves_the_network_as_it_was() -> None:
    model = Model.of(tiny_network("llama"), None)
    trace = model.trace(SOURCE)
    before = [dict(vars(module)) for module in model.network.modules()]
    attention_steps(trace, 0, 0)
    assert [dict(vars(module)) for module in model.network.modules()] == before


def test_a_network_in_eager_mode_says_that_it_cannot_be_taken_apart_errors() -> None:
    model = Model.of(tiny_network("bloom"), None, name="some-bloom")
    assert model.capture == "eager"
    with pytest.raises(CaptureError) as caught:
        attention_steps(model.trace(SOURCE), 0, 0)
    assert str(caught.value) == (
        "some-bloom cannot be shown step by step: transformers returns the weights of this "
        "architecture, but not the queries, keys and values that they come from. See its maps "
        "instead (trace.map, or the page Attention), or load a model whose `capture` is "
        '"tap", such as smollm2-135m.'
    )


@pytest.mark.parametrize("token", [7, -8])
def test_a_token_that_is_not_there_errors(token: int) -> None:
    trace = trace_of(Model.of(tiny_network("llama"), None))
    with pytest.raises(SelectionError) as caught:
        attention_steps(trace, 0, 0, token)
    assert str(caught.value) == (
        f"There is no token {token}: 7 tokens look here, counted from 0 to 6, or from -1 backwards."
    )
    with pytest.raises(SelectionError, match="There is no head 4"):
        attention_steps(trace, 0, 4)
    with pytest.raises(SelectionError, match="There is no layer 3"):
        attention_steps(trace, 3, 0)
