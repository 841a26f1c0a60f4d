"""The two real models against eager and plain copies that transformers loads itself."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedModel

import vizcore
from vizcore.catalog import find
from vizcore.fetch import model_folder
from vizcore.tap import Recorder

MIXED = (
    "The lighthouse keeper counted ships. 我爱你，世界！今天天气很好。 🎉👩\u200d👩\u200d👧 "
    "A naïve café, "
    "«Что это?» she asked;\n\tnobody answered 42 times, and يا سلام was all he said before the "
    "unbelievable storm took the electromagnetic lanterns. "
)


@dataclass(frozen=True)
class Pair:
    """One of our models, and the same weights loaded by transformers alone, in eager mode."""

    model: vizcore.Model
    eager: PreTrainedModel


@pytest.fixture(scope="module", params=["smollm2", "minilm"])
def pair(request: pytest.FixtureRequest) -> Pair:
    model: vizcore.Model = request.getfixturevalue(request.param)
    entry = find(model.name)
    assert entry is not None
    auto: Any = AutoModelForCausalLM if model.has_head else AutoModel
    eager = auto.from_pretrained(model_folder(entry), attn_implementation="eager")
    return Pair(model, eager.eval())


def ids_of(model: vizcore.Model, n_tokens: int) -> list[int]:
    if n_tokens == 5:
        return model.encode("The cat sat on the mat.")[:5]
    ids = model.encode(MIXED)
    assert len(ids) >= 60
    return (ids * 6)[:n_tokens]


@pytest.mark.parametrize("n_tokens", [5, 60, 300])
def test_maps_and_logits_are_those_of_transformers(n_tokens: int, pair: Pair) -> None:
    trace = pair.model.trace(ids_of(pair.model, n_tokens))
    with torch.inference_mode():
        expected = pair.eager(torch.tensor([trace.token_ids]), output_attentions=True)
    assert len(expected.attentions) == pair.model.n_layers
    for layer, theirs in enumerate(expected.attentions):
        mine = trace.attention(layer)
        torch.testing.assert_close(mine, theirs[0], atol=1e-5, rtol=0)
        assert (mine.sum(dim=-1) - 1).abs().max() < 1e-5
        if pair.model.kind == "decoder":
            assert mine.triu(1).count_nonzero() == 0
    if pair.model.has_head:
        scale = expected.logits.abs().max().item()
        torch.testing.assert_close(trace.logits, expected.logits[0], atol=1e-4 * scale, rtol=0)


def test_logits_are_the_plain_forward_passs_to_the_last_bit(smollm2: vizcore.Model) -> None:
    trace = smollm2.trace(ids_of(smollm2, 60))
    with torch.inference_mode():
        assert torch.equal(trace.logits, smollm2.network(torch.tensor([trace.token_ids])).logits[0])


def test_a_mixed_text_is_run_as_the_tokenizer_reads_it(pair: Pair) -> None:
    tokenizer: Any = pair.model.tokenizer
    trace = pair.model.trace(MIXED)
    assert trace.token_ids == tokenizer(MIXED)["input_ids"]
    assert len(trace.tokens) == len(trace.token_ids)


def test_recording_smollm2_holds_at_most_twice_its_queries_and_keys(
    smollm2: vizcore.Model,
) -> None:
    inputs: dict[str, Tensor] = {"input_ids": torch.tensor([ids_of(smollm2, 300)])}
    with torch.inference_mode(), Recorder() as recorder:
        smollm2.network(**inputs, use_cache=False)
    needed, held = 0, {}
    for call in recorder.calls:
        for tensor in vars(call).values():
            if isinstance(tensor, Tensor):
                held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        needed += (call.query.numel() + call.key.numel()) * call.query.element_size()
    assert len(recorder.calls) == 30
    assert sum(held.values()) <= 2 * needed
