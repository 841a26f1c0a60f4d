"""Contributions, against ALTI worked out by hooks on the networks' own modules."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import vizcore
from tests.test_attribution import SOURCE, TARGET, tiny, trace_of
from vizcore.errors import CaptureError, SelectionError
from vizcore.model import Model
from vizcore.token_contributions import Contributions, contributions
from vizcore.transformer import Transformer, TransformerConfig

ARCHITECTURES = (
    # Norms before, after and around; parallel blocks; biases; scaled residuals; shared layers;
    # sinks; latent attention; experts.
    *"llama gpt2 gemma2 gpt_oss cohere granite opt gpt_neox phi olmo2 deepseek_v3 mixtral".split(),
    *"nemotron ctrl biogpt bert roberta electra albert bart t5 marian switch_transformers".split(),
)


def whole(found: Contributions) -> np.ndarray:
    shares: np.ndarray = found.attention.sum(axis=2) + found.residual + found.feed_forward
    return shares if found.source is None else shares + found.source.sum(axis=2)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_parts_add_up_to_the_state_and_the_shares_to_1(architecture: str) -> None:
    trace = trace_of(tiny(architecture))
    for kind in set(trace.kinds) - {"cross"}:
        found = contributions(trace, kind)
        assert found.error < 1e-5
        assert whole(found) == pytest.approx(np.ones(whole(found).shape))
        assert found.attention.min() >= 0
        assert found.attention.max() > 0.01
        if kind == "decoder":
            assert not np.triu(found.attention, 1).any()
        assert (found.source is not None) == (kind == "decoder" and "cross" in trace.kinds)


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_so_they_do_in_our_own_transformer(kind: str, norm: str) -> None:
    torch.manual_seed(3)
    config = TransformerConfig(
        kind, 60, d_model=16, n_heads=2, n_layers=3, norm=norm, positions="rope", d_ff=24
    )
    network = Transformer(config).eval()
    for weights in network.parameters():
        nn.init.normal_(weights, std=0.3)
    found = contributions(Model.of(network, None).trace(SOURCE))
    assert found.error < 1e-5
    assert whole(found) == pytest.approx(np.ones((3, 7)))


def nearer(whole: Tensor, parts: Tensor) -> Tensor:
    """ALTI's proximity: how much nearer each part brings to the whole, as a share."""
    found = (whole.abs().sum() - (whole - parts).abs().sum(dim=-1)).clamp(min=0)
    return (found / found.sum()).detach()


def seen(network: Any, modules: dict[str, Any], inputs: dict[str, Tensor]) -> dict[str, Any]:
    """What goes into these modules, and what comes out."""
    found: dict[str, Any] = {}

    def keep(name: str) -> Any:
        def hook(module: Any, args: Any, output: Any) -> None:
            result = output[0] if isinstance(output, tuple) else output
            found[name] = (args[0][0] if args else None, result[0])

        return hook

    handles = [one.register_forward_hook(keep(name)) for name, one in modules.items()]
    with torch.no_grad():
        network(**inputs)
    for handle in handles:
        handle.remove()
    return found


def test_a_pre_norm_layer_is_as_ferrando_and_voita_have_it() -> None:
    model = tiny("gpt2")
    trace = model.trace(SOURCE)
    block: Any = model.network.transformer.h[1]
    modules = {"norm": block.ln_1, "attention": block.attn, "feed-forward": block.mlp}
    run = seen(model.network, modules, {"input_ids": torch.tensor([SOURCE])})
    state, normed = run["norm"]
    d_model = state.shape[1]
    weights = trace.attention(1)
    n_heads = len(weights)
    value_weight = block.attn.c_attn.weight[:, 2 * d_model :]
    value = normed @ value_weight + block.attn.c_attn.bias[2 * d_model :]
    value = value.reshape(7, n_heads, -1).transpose(0, 1)
    out = block.attn.c_proj.weight.reshape(n_heads, -1, d_model)
    found = contributions(trace)
    for position in (2, 6):
        brought = torch.einsum("hk,hkv,hvm->km", weights[:, position], value, out)
        middle = state[position] + run["attention"][1][position]
        first = nearer(middle, torch.cat([state[position][None], brought]))
        fed = run["feed-forward"][1][position]
        kept, feeding = nearer(middle + fed, torch.stack([middle, fed])).tolist()
        assert found.feed_forward[1, position] == pytest.approx(feeding, abs=1e-5)
        assert found.residual[1, position] == pytest.approx(kept * float(first[0]), abs=1e-5)
        expected = (kept * first[1:]).tolist()
        assert found.attention[1, position].tolist() == pytest.approx(expected, abs=1e-5)


def test_a_post_norm_layer_is_as_alti_has_it() -> None:
    model = tiny("bert")
    trace = model.trace(SOURCE)
    layer: Any = model.network.bert.encoder.layer[0]
    attention = layer.attention
    modules = {"values": attention.self.value, "norm": attention.output.LayerNorm}
    run = seen(model.network, modules, {"input_ids": torch.tensor([SOURCE])})
    state, values = run["values"]
    given, made = run["norm"]
    weights = trace.attention(0)
    n_heads = len(weights)
    dense = attention.output.dense.weight
    heads = values.reshape(7, n_heads, -1).transpose(0, 1)
    out = dense.T.reshape(n_heads, -1, dense.shape[0])
    norm = attention.output.LayerNorm
    found = contributions(trace)
    for position in (0, 5):
        brought = torch.einsum("hk,hkv,hvm->km", weights[:, position], heads, out)
        parts = torch.cat([state[position][None], brought])
        deviation = (given[position].var(correction=0) + norm.eps).sqrt()
        shown = (parts - parts.mean(dim=1, keepdim=True)) / deviation * norm.weight
        first = nearer(made[position], shown)
        # The feed-forward block comes after, and takes the same from all.
        before = found.attention[0, position].tolist() + [found.residual[0, position]]
        share = np.array(before) / sum(before)
        expected = [*first[1:].tolist(), float(first[0])]
        assert share.tolist() == pytest.approx(expected, abs=1e-5)


def test_the_frame_and_the_maps_say_the_same() -> None:
    found = contributions(trace_of(tiny("bart")), "decoder")
    frame = found.to_frame()
    sums = frame.groupby(["layer", "position"])["share"].sum()
    assert sums.tolist() == pytest.approx([1.0] * len(sums))
    assert set(frame["part"]) == {"token", "source", "residual", "feed-forward"}
    tokens = frame[frame["part"] == "token"]
    assert tokens["share"].sum() == pytest.approx(found.attention.sum())
    for at, one in enumerate(found.maps()):
        assert one.values.sum(axis=1) == pytest.approx(np.ones(len(TARGET)), abs=1e-6)
        off = ~np.eye(len(TARGET), dtype=bool)
        assert one.values[off] == pytest.approx(found.attention[at][off], abs=1e-6)


def test_without_a_threshold_all_of_the_last_state_is_followed_down_to_the_text() -> None:
    found = contributions(trace_of(tiny("llama")))
    routes = found.routes(threshold=0)
    first = routes[routes["layer"] == 0]
    assert first["flow"].sum() == pytest.approx(1)
    expected = vizcore.rollout(found.maps(), residual=0).values[-1]
    reached = first.groupby("from_position")["flow"].sum().reindex(range(7), fill_value=0)
    assert reached.tolist() == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_threshold_leaves_out_what_counts_for_little_and_what_hangs_on_it() -> None:
    found = contributions(trace_of(tiny("llama")))
    routes = found.routes(3, threshold=0.1)
    assert routes["share"].min() >= 0.1
    reached = {(found.layers[-1], 3)}
    for row in routes.itertuples():
        assert (row.layer, row.position) in reached
        reached.add((row.layer - 1, row.from_position))
    every = found.routes(3, threshold=0)
    assert len(routes) < len(every)
    kept = pd.merge(every, routes, on=["layer", "position", "from_position", "part", "share"])
    assert len(kept) == len(routes)


def test_the_drink_is_given_to_mary_by_way_of_a_late_layer(smollm2: Any) -> None:
    trace = smollm2.trace("When Mary and John went to the store, John gave a drink to")
    found = contributions(trace)
    late = found.attention[15:, -1, 1:]  # without the sink
    layer, position = np.unravel_index(late.argmax(), late.shape)
    assert trace.tokens[position + 1] == "·Mary"
    assert late.max() > 0.2


def test_what_cannot_be_taken_apart_is_said() -> None:
    trace = trace_of(tiny("bart"))
    with pytest.raises(SelectionError) as refused:
        contributions(trace, "cross")
    assert str(refused.value) == (
        "Contributions are of a stack: take kind='decoder', in which those of the source are "
        "listed, too, or kind='encoder'."
    )
    with pytest.raises(SelectionError) as refused:
        contributions(trace).routes(9)
    assert str(refused.value) == (
        "There is no position 9: the text has 4 tokens, so positions go from 0 to 3, or from -1 "
        "backwards."
    )
    with pytest.raises(CaptureError) as unseen:
        contributions(trace_of(tiny("falcon")))
    assert str(unseen.value) == (
        "FalconForCausalLM cannot be taken apart layer by layer: its values are not seen. "
        "Attention alone can be followed through its layers: vizcore.rollout."
    )
    with pytest.raises(CaptureError) as mixed:
        contributions(trace_of(tiny("jamba")))
    assert "its layers were not found" in str(mixed.value)


def test_an_edited_trace_is_refused() -> None:
    model = tiny("llama")
    trace = model.trace(SOURCE, edits=[vizcore.AblateHead(0, 0)])
    for refused in (contributions, vizcore.attributions):
        with pytest.raises(SelectionError, match="are those of the model as it is"):
            refused(trace)
