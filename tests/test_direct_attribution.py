"""Direct logit attribution, against plain sums over what hooks see in the networks' own modules."""

from functools import cache
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from transformers import BertModel

import vizcore
from tests.support.tiny import tiny_config, tiny_network
from vizcore.direct_attribution import logit_attribution
from vizcore.errors import CaptureError, MissingHeadError, SelectionError
from vizcore.model import Model
from vizcore.trace import Trace
from vizcore.transformer import Transformer, TransformerConfig

SOURCE, TARGET = [5, 9, 17, 23, 40, 8, 57], [1, 30, 12, 9]
ARCHITECTURES = (
    # RMSNorm and LayerNorm before and after, biases, soft caps, sinks, logit and residual scales,
    # parallel layers, projections around, latent attention, experts, layers without attention,
    # gates on what heads return.
    *"llama gpt2 gemma2 gpt_oss cohere granite opt gpt_neox phi olmo2 deepseek_v3 mixtral".split(),
    *"nemotron ctrl biogpt jamba qwen3_next afmoe bart t5 marian switch_transformers".split(),
)


@cache
def tiny(architecture: str) -> Model:
    return Model.of(tiny_network(architecture), None)


def ours(kind: str, norm: str, positions: str = "sinusoidal") -> Model:
    torch.manual_seed(3)
    config = TransformerConfig(
        kind, 60, d_model=16, n_heads=2, n_layers=3, norm=norm, positions=positions, d_ff=24
    )
    network = Transformer(config).eval()
    for weights in network.parameters():
        nn.init.normal_(weights, std=0.3)
    return Model.of(network, None)


def trace_of(model: Model) -> Trace:
    if model.kind == "encoder-decoder":
        return model.trace(SOURCE, TARGET)
    return model.trace(SOURCE)


def check_sums(model: Model, trace: Trace) -> None:
    logits = trace.logits
    for position in (-1, 1):
        row = logits[position]
        assert logit_attribution(trace, position=position)["contribution"].sum() == pytest.approx(
            float(row.max()), abs=1e-3
        )
        table = logit_attribution(trace, 7, position=position, against=11)
        assert table["contribution"].sum() == pytest.approx(float(row[7] - row[11]), abs=1e-3)
    counted = table["part"].value_counts()
    n_maps = sum(
        len(trace.layers(kind)) * trace.n_heads(kind)
        for kind in trace.kinds
        if not (kind == "encoder" and trace.target_ids is not None)
    )
    assert counted["head"] == n_maps
    assert counted["token"] == 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_parts_add_up_to_the_logit(architecture: str) -> None:
    model = tiny(architecture)
    check_sums(model, trace_of(model))


@pytest.mark.parametrize("kind", ["encoder", "decoder", "encoder-decoder"])
@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rope", "alibi"])
def test_so_they_do_in_our_own_transformer(kind: str, norm: str, positions: str) -> None:
    model = ours(kind, norm, positions)
    check_sums(model, trace_of(model))


@pytest.mark.parametrize("name", ["tatoeba-lm", "tatoeba-mlm", "tatoeba-translator", "induction"])
def test_so_they_do_in_bundled_models(name: str) -> None:
    model = vizcore.load(name)
    text = "bird nest bird" if name == "induction" else "I love you."
    check_sums(model, model.trace(text))


def test_so_they_do_in_smollm2(smollm2: Any) -> None:
    trace = smollm2.trace("The capital of France is")
    paris, rome = (smollm2.encode(word)[-1] for word in (" Paris", " Rome"))
    table = logit_attribution(trace, paris, against=rome)
    difference = float(trace.logits[-1, paris] - trace.logits[-1, rome])
    assert difference > 1
    assert table["contribution"].sum() == pytest.approx(difference, abs=1e-3)
    assert table["part"].value_counts().to_dict() == {"head": 270, "feed-forward": 30, "token": 1}


def seen_by(model: Model, trace: Trace, names: list[str]) -> dict[str, tuple[Tensor, Tensor]]:
    """What these modules are given and return, for the last token."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, given: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) else output
            seen[name] = given[0].detach()[0, -1].double(), first.detach()[0, -1].double()

        return hook

    handles = [model.network.get_submodule(n).register_forward_hook(keep(n)) for n in names]
    with torch.no_grad():
        model.network(**trace.inputs)
    for handle in handles:
        handle.remove()
    return seen


def contribution(table: pd.DataFrame, part: str, layer: int | None, head: int | None) -> float:
    chosen = table[table["part"] == part]
    for column, wanted in (("layer", layer), ("head", head)):
        here = chosen[column]
        chosen = chosen[here.isna() if wanted is None else (here == wanted).fillna(False)]
    (value,) = chosen["contribution"]
    return float(value)


def test_each_part_of_a_llama_is_its_output_along_the_tokens_direction() -> None:
    model = tiny("llama")
    trace = trace_of(model)
    network: Any = model.network
    attention = [f"model.layers.{layer}.self_attn.o_proj" for layer in range(3)]
    feeds = [f"model.layers.{layer}.mlp" for layer in range(3)]
    seen = seen_by(model, trace, ["model.embed_tokens", *attention, *feeds, "model.norm"])
    stream = seen["model.norm"][0]
    eps = network.config.rms_norm_eps
    gain = network.model.norm.weight.detach().double() / (stream.square().mean() + eps).sqrt()
    direction = network.lm_head.weight.detach().double()[7] * gain
    table = logit_attribution(trace, 7)
    embedded = seen["model.embed_tokens"][1]
    assert contribution(table, "token", None, None) == pytest.approx(
        float(direction @ embedded), abs=1e-4
    )
    for layer in range(3):
        concatenated, _ = seen[attention[layer]]
        weight = network.get_submodule(attention[layer]).weight.detach().double()
        for head in range(4):
            own = slice(8 * head, 8 * head + 8)
            expected = float(direction @ (weight[:, own] @ concatenated[own]))
            assert contribution(table, "head", layer, head) == pytest.approx(expected, abs=1e-4)
        expected = float(direction @ seen[feeds[layer]][1])
        assert contribution(table, "feed-forward", layer, None) == pytest.approx(expected, abs=1e-4)


def test_each_part_of_a_gpt2_is_its_centred_output_along_the_tokens_direction() -> None:
    model = tiny("gpt2")
    network: Any = model.network
    with torch.no_grad():  # what a new network has is all zeros
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                nn.init.normal_(parameter, std=0.3)
    trace = trace_of(model)
    parts = [f"transformer.h.{n}.{one}" for n in range(3) for one in ("attn.c_proj", "mlp.c_proj")]
    names = ["transformer.wte", "transformer.wpe", *parts, "transformer.ln_f"]
    seen = seen_by(model, trace, names)
    norm = network.transformer.ln_f
    stream = seen["transformer.ln_f"][0]
    gain = norm.weight.detach().double() / (stream.var(correction=0) + norm.eps).sqrt()
    along = network.lm_head.weight.detach().double()[7] * gain
    direction = along - along.mean()  # the mean is taken away from every part alike
    table = logit_attribution(trace, 7)
    for part, name in (("token", "transformer.wte"), ("position", "transformer.wpe")):
        expected = float(direction @ seen[name][1])
        assert contribution(table, part, None, None) == pytest.approx(expected, abs=1e-4)
    last = float(network.lm_head.weight.detach().double()[7] @ norm.bias.detach().double())
    for layer in range(3):
        heads, feed = parts[2 * layer], parts[2 * layer + 1]
        for head in range(4):
            own = slice(8 * head, 8 * head + 8)
            weight = network.get_submodule(heads).weight.detach().double()  # Conv1D: (in, out)
            expected = float(direction @ (seen[heads][0][own] @ weight[own]))
            assert contribution(table, "head", layer, head) == pytest.approx(expected, abs=1e-4)
        biases = [network.get_submodule(one).bias.detach().double() for one in (heads, feed)]
        expected = float(direction @ (seen[feed][1] - biases[1]))
        assert contribution(table, "feed-forward", layer, None) == pytest.approx(expected, abs=1e-4)
        expected = float(direction @ (biases[0] + biases[1])) + (last if layer == 2 else 0)
        assert contribution(table, "bias", layer, None) == pytest.approx(expected, abs=1e-4)


def test_norms_between_the_layers_are_gone_through_backwards() -> None:
    """A post-norm network: each LayerNorm, at the scale that it had, turns the direction."""
    model = ours("decoder", "post")
    network = model.network.transformer
    trace = trace_of(model)
    layers = [f"transformer.decoder.layers.{layer}" for layer in range(3)]
    inner = ("attention.output", "feed_forward", "attention_residual.norm", "feed_residual.norm")
    seen = seen_by(model, trace, [f"{layer}.{name}" for layer in layers for name in inner])
    direction = network.unembedding.weight.detach().double()[7]
    table = logit_attribution(trace, 7)
    for number in (2, 1, 0):
        for residual, part in (("feed_residual", "feed-forward"), ("attention_residual", "head")):
            name = f"{layers[number]}.{residual}.norm"
            norm: Any = model.network.get_submodule(name)
            stream = seen[name][0]
            scaled = direction * norm.weight.detach().double()
            scaled = scaled / (stream.var(correction=0) + norm.eps).sqrt()
            direction = scaled - scaled.mean()
            if part == "feed-forward":
                given, returned = seen[f"{layers[number]}.feed_forward"]
                last: Any = model.network.get_submodule(f"{layers[number]}.feed_forward.2")
                expected = float(direction @ (returned - last.bias.detach().double()))
                assert contribution(table, part, number, None) == pytest.approx(expected, abs=1e-4)
                continue
            output: Any = model.network.get_submodule(f"{layers[number]}.attention.output")
            concatenated = seen[f"{layers[number]}.attention.output"][0]
            for head in range(2):
                own = slice(8 * head, 8 * head + 8)
                weight = output.weight.detach().double()[:, own]
                expected = float(direction @ (weight @ concatenated[own]))
                assert contribution(table, part, number, head) == pytest.approx(expected, abs=1e-4)


def test_cross_attention_and_self_attention_have_rows_of_their_own() -> None:
    table = logit_attribution(trace_of(tiny("bart")))
    heads = table[table["part"] == "head"]
    assert heads["kind"].value_counts().to_dict() == {"decoder": 8, "cross": 8}
    assert table["layer"].dropna().unique().tolist() == [0, 1]


def test_layers_without_attention_are_told_apart_from_feed_forward() -> None:
    table = logit_attribution(trace_of(tiny("jamba")))
    assert "feed-forward" not in set(table["part"])
    assert (table["part"] == "other").any()


def test_the_likeliest_token_is_meant_if_none_is_named() -> None:
    trace = trace_of(tiny("llama"))
    likeliest = int(trace.logits[-1].argmax())
    pd.testing.assert_frame_equal(logit_attribution(trace), logit_attribution(trace, likeliest))


def test_no_gradient_is_left_on_the_network() -> None:
    model = tiny("llama")
    logit_attribution(trace_of(model))
    assert all(weights.grad is None for weights in model.network.parameters())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "albert"])
def test_what_is_not_a_sum_is_refused(architecture: str) -> None:
    model = tiny(architecture)
    with pytest.raises(CaptureError) as error:
        logit_attribution(trace_of(model))
    assert str(error.value) == (
        f"The logits of {model.name} are not the sum of what its heads and feed-forward layers "
        "say: something that is not linear stands between them (a head with an activation, several "
        "streams). What each layer would predict can be seen nevertheless: vizcore.logit_lens."
    )


def test_errors_say_what_is_wrong_and_what_to_do() -> None:
    trace = trace_of(tiny("llama"))
    with pytest.raises(SelectionError) as error:
        logit_attribution(trace, position=-8)
    assert str(error.value) == (
        "There is no position -8: the text has 7 tokens, so positions go from 0 to 6, or from -1 "
        "backwards."
    )
    for token, against in ((300, None), (3, 300)):
        with pytest.raises(SelectionError) as error:
            logit_attribution(trace, token, against=against)
        assert str(error.value) == "There is no token 300: ids go from 0 to 299."
    bloom = tiny("bloom")
    with pytest.raises(CaptureError) as capture:
        logit_attribution(trace_of(bloom))
    assert str(capture.value) == (
        "The logits of BloomForCausalLM cannot be taken apart: transformers returns the weights of "
        "this architecture, but not what its heads make of them. Load a model whose `capture` is "
        '"tap", such as smollm2-135m.'
    )
    headless = Model.of(BertModel(tiny_config("bert")).eval(), None)
    with pytest.raises(MissingHeadError) as missing:
        logit_attribution(headless.trace(SOURCE))
    assert str(missing.value) == (
        "BertModel has no language-model head, so it has no logits and predicts no tokens. Load a "
        'model with one, such as "smollm2-135m".'
    )
