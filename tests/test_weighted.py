"""Value-weighted norms, against plain loops over eager weights and the networks' own matrices."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.support.tiny import tiny_network
from vizcore.errors import CaptureError, SelectionError
from vizcore.model import Model
from vizcore.trace import Trace
from vizcore.weighted import weighted_norms, weighted_norms_of_heads

SOURCE, TARGET = [5, 9, 17, 23, 40, 8, 77], [1, 30, 12, 9]


def trace_of(model: Model) -> Trace:
    return model.trace(SOURCE, TARGET) if model.kind == "encoder-decoder" else model.trace(SOURCE)


def inputs_of(network: nn.Module, names: dict[str, str], run: Any) -> dict[str, Tensor]:
    """What the value projections are given while something runs: (token, d_model) each."""
    seen: dict[str, Tensor] = {}
    handles = [
        network.get_submodule(module).register_forward_hook(
            lambda _module, given, _output, name=name: seen.__setitem__(name, given[0].detach()[0])
        )
        for name, module in names.items()
    ]
    run()
    for handle in handles:
        handle.remove()
    return seen


def transformed(
    x: Tensor, value: Any, output: Tensor, *, head: int, n_heads: int, n_kv_heads: int
) -> list[list[float]]:
    """f(x) = (x·Wⱽ + bⱽ)·Wᴼ of one head for every token, from the network's own weights.

    `output` is (d_model, n_heads · d_head), as `nn.Linear` keeps it.
    """
    d_head = output.shape[1] // n_heads
    own = head // (n_heads // n_kv_heads)
    rows = slice(own * d_head, (own + 1) * d_head)
    weight, bias = value.weight.detach()[rows], value.bias
    part = output[:, head * d_head : (head + 1) * d_head]
    found = []
    for token in x:
        vector = weight @ token
        if bias is not None:
            vector = vector + bias.detach()[rows]
        found.append((part @ vector).tolist())
    return found


def norms(weights: Any, vectors: list[list[list[float]]]) -> list[list[float]]:
    """‖Σ_h α_h·f_h‖ for weights (head, query, key) and vectors (head, key, d_model), by loops."""
    n_heads, n_queries, n_keys = weights.shape
    found = []
    for i in range(n_queries):
        row = []
        for j in range(n_keys):
            total = [
                math.fsum(float(weights[h, i, j]) * vectors[h][j][d] for h in range(n_heads))
                for d in range(len(vectors[0][0]))
            ]
            row.append(math.sqrt(math.fsum(part * part for part in total)))
        found.append(row)
    return found


CASES = [
    # architecture, kind, the module of an attention layer, its value and output projections
    ("llama", "decoder", "model.layers.1.self_attn", "v_proj", "o_proj"),
    ("qwen2", "decoder", "model.layers.1.self_attn", "v_proj", "o_proj"),
    ("gemma2", "decoder", "model.layers.1.self_attn", "v_proj", "o_proj"),
    ("gpt_oss", "decoder", "model.layers.1.self_attn", "v_proj", "o_proj"),
    ("bert", "encoder", "bert.encoder.layer.1.attention", "self.value", "output.dense"),
    ("distilbert", "encoder", "distilbert.transformer.layer.1.attention", "v_lin", "out_lin"),
    ("bart", "encoder", "model.encoder.layers.1.self_attn", "v_proj", "out_proj"),
    ("bart", "decoder", "model.decoder.layers.1.self_attn", "v_proj", "out_proj"),
    ("bart", "cross", "model.decoder.layers.1.encoder_attn", "v_proj", "out_proj"),
    ("t5", "cross", "decoder.block.1.layer.1.EncDecAttention", "v", "o"),
]


def check(model: Model, trace: Trace, kind: str, layer: int, module: str, names: Any) -> None:
    value_name, output_name = (f"{module}.{name}" for name in names)
    value = model.network.get_submodule(value_name)
    output = model.network.get_submodule(output_name).weight.detach()
    x = inputs_of(model.network, {"x": value_name}, lambda: _again(model, trace))["x"]
    weights = trace.attention(layer, None, kind).numpy()
    n_heads = len(weights)
    d_head = output.shape[1] // n_heads
    n_kv_heads = value.weight.shape[0] // d_head
    vectors = [
        transformed(x, value, output, head=head, n_heads=n_heads, n_kv_heads=n_kv_heads)
        for head in range(n_heads)
    ]
    for head in range(n_heads):
        found = weighted_norms(trace, layer, head, kind)
        expected = norms(weights[[head]], [vectors[head]])
        np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-5)
        assert (found.layer, found.head, found.kind) == (layer, head, kind)
    together = weighted_norms(trace, layer, None, kind)
    np.testing.assert_allclose(together.values, norms(weights, vectors), rtol=1e-4, atol=1e-5)
    assert (together.layer, together.head, together.quantity) == (
        layer,
        None,
        "value-weighted norm",
    )
    assert together.query_tokens == tuple(trace.query_tokens(kind))
    assert together.key_tokens == tuple(trace.key_tokens(kind))


def _again(model: Model, trace: Trace) -> None:
    with torch.no_grad():
        model.network(**trace.inputs)


@pytest.mark.parametrize(("architecture", "kind", "module", "value", "output"), CASES)
def test_norms_are_those_of_the_networks_own_matrices(
    architecture: str, kind: str, module: str, value: str, output: str
) -> None:
    model = Model.of(tiny_network(architecture), None)
    check(model, trace_of(model), kind, 1, module, (value, output))


@pytest.mark.parametrize(
    ("name", "module", "names"),
    [
        ("smollm2", "model.layers.4.self_attn", ("v_proj", "o_proj")),
        ("minilm", "encoder.layer.4.attention", ("self.value", "output.dense")),
    ],
)
def test_norms_of_real_models_are_those_of_their_own_matrices(
    name: str, module: str, names: tuple[str, str], request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(name)
    trace = model.trace("The cat sat")
    kind = "decoder" if name == "smollm2" else "encoder"
    check(model, trace, kind, 4, module, names)


def test_a_sink_is_looked_at_and_hardly_moves_anything(smollm2: Any) -> None:
    trace = smollm2.trace("The cat sat on the mat because it was tired")
    weights = [float(map.values[-1, 0]) for map in trace.maps()]
    moved = [float(map.values[-1, 0]) for map in weighted_norms_of_heads(trace, normalise=True)]
    assert len(moved) == len(weights) == 270
    assert np.mean(moved) < np.mean(weights) / 1.5


def test_gpt2_keeps_its_matrices_the_other_way_round() -> None:
    network = tiny_network("gpt2")
    model = Model.of(network, None)
    trace = trace_of(model)
    attention: Any = network.get_submodule("transformer.h.1.attn")
    x = inputs_of(network, {"x": "transformer.h.1.attn.c_attn"}, lambda: _again(model, trace))["x"]
    d_model, n_heads = x.shape[1], trace.n_heads()
    d_head = d_model // n_heads
    values = x @ attention.c_attn.weight.detach()[:, 2 * d_model :]
    values = values + attention.c_attn.bias.detach()[2 * d_model :]
    weights = trace.attention(1)
    for head in range(n_heads):
        part = slice(head * d_head, (head + 1) * d_head)
        vectors = values[:, part] @ attention.c_proj.weight.detach()[part]
        expected = (weights[head][:, :, None] * vectors[None]).norm(dim=-1)
        found = weighted_norms(trace, 1, head)
        np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["encoder", "decoder", "cross"])
def test_all_heads_come_layer_by_layer_and_can_be_made_to_sum_to_one(kind: str) -> None:
    trace = trace_of(Model.of(tiny_network("bart"), None))
    maps = list(weighted_norms_of_heads(trace, kind))
    places = [(layer, head) for layer in trace.layers(kind) for head in range(trace.n_heads(kind))]
    assert [(map.layer, map.head) for map in maps] == places
    for map, shares in zip(maps, weighted_norms_of_heads(trace, kind, normalise=True), strict=True):
        expected = weighted_norms(trace, map.layer, map.head, kind)  # type: ignore[arg-type]
        np.testing.assert_allclose(map.values, expected.values, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(shares.values.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(
            shares.values, map.values / map.values.sum(axis=1, keepdims=True), atol=1e-6
        )
        assert shares.quantity == "value-weighted norm, rows summing to 1"
        np.testing.assert_array_equal(map.masked, trace.map(0, 0, kind).masked)


def test_masked_keys_move_nothing() -> None:
    found = weighted_norms(trace_of(Model.of(tiny_network("llama"), None)), 0)
    assert found.masked is not None
    assert not found.values[found.masked].any()


def test_networks_that_only_return_weights_have_no_norms_errors() -> None:
    model = Model.of(tiny_network("bloom"), None)
    assert model.capture == "eager"
    with pytest.raises(CaptureError) as eager:
        weighted_norms(model.trace(SOURCE), 0)
    assert str(eager.value) == (
        "BloomForCausalLM gives its attention weights, but not the values that they are for, so "
        'there are no value-weighted norms. Load a model whose `capture` is "tap", such as '
        "smollm2-135m."
    )


def test_a_network_that_changes_the_heads_outputs_before_joining_them_is_refused_errors() -> None:
    model = Model.of(tiny_network("qwen3_next"), None)
    trace = model.trace(SOURCE)
    layer = trace.layers()[0]
    with pytest.raises(CaptureError) as gated:
        weighted_norms(trace, layer)
    assert str(gated.value) == (
        f"In layer {layer} of {model.name}, no linear map follows directly on the heads' outputs, "
        "so what a single head moves is not defined, and neither are value-weighted norms. The "
        "weights themselves are there: trace.map."
    )


def test_a_head_that_is_not_there_is_refused_errors() -> None:
    trace = trace_of(Model.of(tiny_network("llama"), None))
    with pytest.raises(SelectionError, match="There is no head 99"):
        weighted_norms(trace, 0, 99)
    with pytest.raises(SelectionError, match="There is no layer 99"):
        weighted_norms(trace, 99)
    with pytest.raises(SelectionError, match="no attention of kind 'cross'"):
        weighted_norms(trace, 0, kind="cross")
