"""Maps and logits of 25 architectures, against an eager copy that transformers loads itself.

Each is built tiny and random, saved, loaded by `vizcore.load` and given a text, as a user would;
there is one for each peculiarity. `make conformance` tries all there are, and
`tests/conformance/test_page.py` holds what it found against the installed transformers.
"""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

import vizcore
from tests.conformance.reference import eager_copy, reference
from tests.support import tiny

TEXT = "the cat looked at the door"
TARGET = "the mat was shut"

TAPPED = {
    "albert": "one layer, run again and again",
    "bart": "an encoder-decoder",
    "bert": "an encoder",
    "deepseek_v3": "latent attention, with values wider than keys",
    "deepseek_v32": "an indexer that picks keys",
    "gemma2": "a soft cap, and windows in every other layer",
    "gemma3n_text": "layers that look at the keys of earlier ones",
    "gpt2": "queries, keys and values in one matrix",
    "gpt_oss": "sinks",
    "jamba": "state-space layers in between",
    "llama": "grouped queries, rotary positions",
    "llava": "a text part beside one that sees",
    "mistral": "a sliding window",
    "modernbert": "an encoder with windows",
    "qwen3_next": "linear attention in between",
    "t5": "relative position bias, no scaling",
}
RETURNED = {
    "big_bird": "layers exchanged for short texts",
    "bloom": "ALiBi",
    "deberta-v2": "positions and content kept apart",
    "falcon": "queries grouped in another order",
    "gpt_neo": "local attention, no scaling",
    "led": "a band of keys in the encoder, all in the decoder",
    "longformer": "a band of keys around each query",
    "minimax_m3_vl_text": "blocks of keys that are picked",
    "xlnet": "two streams, relative positions",
}
QUICK = TAPPED | RETURNED
"""What each of them is tested for."""


def traced(folder: Path) -> vizcore.Trace:
    model = vizcore.load(folder)
    return model.trace(TEXT, TARGET if model.kind == "encoder-decoder" else None)


def eager_maps(trace: vizcore.Trace, kind: str, expected: dict[str, list[Tensor]]) -> list[Tensor]:
    return expected["text" if trace.target_ids is None else kind]


def test_a_quick_subset_has_25_architectures() -> None:
    assert len(QUICK) == 25


@pytest.mark.parametrize("model_type", sorted(QUICK))
def test_maps_and_logits_are_those_of_transformers(model_type: str, tmp_path: Path) -> None:
    network = tiny.tiny_network(model_type)
    tiny.save(network, tmp_path)
    trace = traced(tmp_path)
    copy, _ = eager_copy(network, tmp_path)
    expected = reference(copy, trace.source_ids, trace.target_ids)

    assert trace.model.capture == ("tap" if model_type in TAPPED else "eager")
    two = trace.target_ids is not None
    assert set(expected.maps) == (set(trace.kinds) if two else {"text"})
    for kind in trace.kinds:
        layers = trace.layers(kind)
        theirs = eager_maps(trace, kind, expected.maps)
        assert len(layers) == len(theirs) > 0
        for layer, weights in zip(layers, theirs, strict=True):
            mine = trace.attention(layer, None, kind)
            assert mine.dtype == torch.float32
            assert mine.shape == (
                trace.n_heads(kind),
                len(trace.query_tokens(kind)),
                len(trace.key_tokens(kind)),
            )
            torch.testing.assert_close(mine, weights, atol=1e-5, rtol=0)
            _check_rows(mine, sums_to_one=model_type != "gpt_oss")
            if kind == "decoder":
                assert mine.triu(1).count_nonzero() == 0
            for head in range(len(mine)):
                alone = trace.attention(layer, head, kind)
                torch.testing.assert_close(alone, mine[head], atol=1e-6, rtol=1e-5)
    assert expected.logits is not None
    scale = expected.logits.abs().max().item()
    torch.testing.assert_close(trace.logits, expected.logits, atol=1e-4 * scale, rtol=0)


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
    copy, _ = eager_copy(network, tmp_path)
    expected = reference(copy, trace.source_ids, trace.target_ids)
    kind = trace.kinds[0]
    first = trace.attention(0, None, kind)
    assert first.dtype == torch.float32
    theirs = eager_maps(trace, kind, expected.maps)[0]
    torch.testing.assert_close(first, theirs, atol=0.05, rtol=0)
