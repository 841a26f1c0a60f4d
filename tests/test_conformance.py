"""Maps and logits of many architectures, against an eager copy that transformers loads itself.

Each is built tiny and random, saved, loaded by `vizcore.load` and given a text, as a user would.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

import vizcore
from tests.support import tiny
from vizcore.banded import full_from_band

TEXT = "the cat looked at the door"
TARGET = "the mat was shut"

TAPPED = """
    afmoe apertus arcee axk1 bamba bart bert biogpt blenderbot camembert cohere
    cohere2 ctrl deepseek_v2 deepseek_v3 distilbert albert electra ernie esm exaone4 falcon_h1
    gemma gemma2 gemma3_text glm glm4 gpt2 gpt_bigcode gpt_neox granite granitemoe
    granitemoehybrid helium jamba lfm2 llama m2m_100 marian mbart minicpm3 mistral mixtral
    modernbert mt5 nemotron olmo olmo2 olmo3 opt pegasus persimmon phi phi3 plbart qwen2 qwen2_moe
    qwen3 qwen3_moe qwen3_next roberta seed_oss smollm3 stablelm starcoder2 switch_transformers t5
    umt5 xlm-roberta
""".split()
RETURNED = """
    big_bird bigbird_pegasus bloom codegen convbert deberta deberta-v2 falcon gpt_neo gptj mpnet mpt
    roformer xglm xlm xlnet
""".split()
BANDED = ["led", "longformer"]
WITH_SINKS = ["gpt_oss"]


def eager_copy(network: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The saved network again, in transformers' eager mode, without anything of ours."""
    loaded: PreTrainedModel = type(network).from_pretrained(folder, attn_implementation="eager")
    return loaded.eval()


def outputs_of(network: PreTrainedModel, trace: vizcore.Trace) -> Any:
    inputs = {"input_ids": torch.tensor([trace.source_ids])}
    if trace.target_ids is not None:
        inputs["decoder_input_ids"] = torch.tensor([trace.target_ids])
    with torch.no_grad():
        network(**inputs)  # BigBird exchanges its layers at its first short text
        return network(**inputs, output_attentions=True)


def eager_maps(output: Any, trace: vizcore.Trace) -> dict[str, list[Tensor]]:
    fields: dict[str, str] = dict.fromkeys(trace.kinds, "attentions")
    if trace.target_ids is not None:
        fields = {kind: f"{kind}_attentions" for kind in ("encoder", "decoder", "cross")}
    return {
        kind: [layer[0] for layer in output[field] if layer is not None]
        for kind, field in fields.items()
    }


def traced(folder: Path) -> vizcore.Trace:
    model = vizcore.load(folder)
    return model.trace(TEXT, TARGET if model.kind == "encoder-decoder" else None)


@pytest.mark.parametrize("model_type", [*TAPPED, *RETURNED, *BANDED, *WITH_SINKS])
def test_maps_and_logits_are_those_of_transformers(model_type: str, tmp_path: Path) -> None:
    network = tiny.tiny_network(model_type)
    tiny.save(network, tmp_path)
    trace = traced(tmp_path)
    output = outputs_of(eager_copy(network, tmp_path), trace)

    assert trace.model.capture == ("tap" if model_type in TAPPED + WITH_SINKS else "eager")
    theirs = eager_maps(output, trace)
    assert list(trace.kinds) == [kind for kind in ("encoder", "decoder", "cross") if kind in theirs]
    for kind in trace.kinds:
        layers = trace.layers(kind)
        assert len(layers) == len(theirs[kind]) > 0
        for layer, expected in zip(layers, theirs[kind], strict=True):
            if model_type in BANDED and kind == "encoder":
                expected = full_from_band(expected)
            mine = trace.attention(layer, None, kind)
            assert mine.dtype == torch.float32
            assert mine.shape == (
                trace.n_heads(kind),
                len(trace.query_tokens(kind)),
                len(trace.key_tokens(kind)),
            )
            torch.testing.assert_close(mine, expected, atol=1e-5, rtol=0)
            _check_rows(mine, sums_to_one=model_type not in WITH_SINKS)
            if kind == "decoder":
                assert mine.triu(1).count_nonzero() == 0
            for head in range(len(mine)):
                alone = trace.attention(layer, head, kind)
                torch.testing.assert_close(alone, mine[head], atol=1e-6, rtol=1e-5)
    scale = output.logits.abs().max().item()
    torch.testing.assert_close(trace.logits, output.logits[0], atol=1e-4 * scale, rtol=0)


def _check_rows(weights: Tensor, *, sums_to_one: bool) -> None:
    assert weights.min() >= 0
    sums = weights.sum(dim=-1)
    if sums_to_one:
        torch.testing.assert_close(sums, torch.ones_like(sums), atol=1e-5, rtol=0)
    else:
        assert (sums < 1).all()


@pytest.mark.parametrize("model_type", ["mistral", "gemma2", "gemma3_text", "gpt_oss", "gpt_neo"])
def test_what_a_sliding_window_hides_gets_exactly_zero(model_type: str, tmp_path: Path) -> None:
    tiny.save(tiny.tiny_network(model_type), tmp_path)
    trace = vizcore.load(tmp_path).trace(list(range(5, 17)))
    beyond = torch.ones(12, 12).tril(-4).bool()  # every window here is of 4 tokens
    windowed = [layer for layer in trace.layers() if (trace.attention(layer)[:, beyond] == 0).all()]
    assert windowed
    for layer in windowed:
        inside = torch.ones(12, 12).tril().bool() & ~beyond
        assert (trace.attention(layer)[:, inside] > 0).any()
        if trace.model.capture == "tap":
            masked = trace.map(layer, 0).masked
            assert masked is not None
            assert torch.equal(torch.from_numpy(masked), ~inside)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_logits_are_the_plain_models_in_either_implementation(
    implementation: str, tmp_path: Path
) -> None:
    tiny.save(tiny.tiny_network("qwen2"), tmp_path)
    trace = traced(tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation=implementation)
    with torch.no_grad():
        expected = plain.eval()(torch.tensor([trace.token_ids])).logits[0]
    scale = expected.abs().max().item()
    torch.testing.assert_close(trace.logits, expected, atol=1e-4 * scale, rtol=0)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("model_type", ["llama", "bert", "gemma2", "gpt_oss", "bloom", "t5"])
def test_in_half_precision_maps_stay_close_and_come_in_float32(
    model_type: str, precision: torch.dtype, tmp_path: Path
) -> None:
    network = tiny.tiny_network(model_type)
    tiny.save(network, tmp_path)
    model = vizcore.load(tmp_path, dtype=precision)
    trace = model.trace(TEXT, TARGET if model.kind == "encoder-decoder" else None)
    assert model.network.dtype == precision
    theirs = eager_maps(outputs_of(eager_copy(network, tmp_path), trace), trace)
    kind = trace.kinds[0]
    first = trace.attention(0, None, kind)
    assert first.dtype == torch.float32
    torch.testing.assert_close(first, theirs[kind][0], atol=0.05, rtol=0)
