"""Networks with packed matrices: the same numbers, and never those of one that was changed."""

from typing import Any

import pytest
import torch
from torch import nn

import vizcore
from tests.support.tiny import tiny_network, tokenizer_for
from vizcore import packed_copies
from vizcore.asked_rows import Runner
from vizcore.packed_copies import packed_runner

TEXTS = ["the cat sat on the mat", "a dog", "the door was open and nobody saw the other cat"]


def tiny(model_type: str) -> vizcore.Model:
    network = tiny_network(model_type)
    return vizcore.Model.of(network, tokenizer_for(network))


def expected(model: vizcore.Model, text: str) -> float:
    ids = torch.tensor([model.encode(text)])
    with torch.no_grad():
        logits = model.network(input_ids=ids, use_cache=False).logits[0, :-1]
    return float(logits.log_softmax(-1).gather(1, ids[0, 1:, None]).sum())


@pytest.mark.parametrize("model_type", ["llama", "gpt_neox", "opt", "qwen3", "gemma3_text"])
def test_a_packed_copy_gives_the_numbers_of_the_network(model_type: str) -> None:
    model = tiny(model_type)
    assert packed_runner(model).network is not model.network
    scores = vizcore.score(model, TEXTS)["log_likelihood"]
    for text, found in zip(TEXTS, scores, strict=True):
        assert found == pytest.approx(expected(model, text), abs=1e-4)


def test_a_copy_is_made_once_and_shares_everything_but_the_packed_matrices() -> None:
    model = tiny("llama")
    packed = packed_runner(model).network
    assert packed_runner(model).network is packed
    assert [*map(id, packed.parameters())] == [*map(id, model.network.parameters())]
    assert not any("forward" in vars(one) for one in model.network.modules() if _is_linear(one))


def _is_linear(module: nn.Module) -> bool:
    return type(module) is nn.Linear


def halve_in_place(weight: nn.Parameter) -> None:
    with torch.no_grad():
        weight.mul_(0.5)


def halve_behind_the_count(weight: nn.Parameter) -> None:
    weight.data *= 0.5


def clear_one_column(weight: nn.Parameter) -> None:
    weight.data[:, 3] = 0


def clear_one_row(weight: nn.Parameter) -> None:
    weight.data[5] = 0


@pytest.mark.parametrize(
    "change", [halve_in_place, halve_behind_the_count, clear_one_column, clear_one_row]
)
def test_weights_that_were_changed_are_packed_anew(change: Any) -> None:
    model = tiny("llama")
    before = vizcore.score(model, TEXTS)["log_likelihood"]
    network: Any = model.network
    change(network.model.layers[0].mlp.down_proj.weight)
    after = vizcore.score(model, TEXTS)["log_likelihood"]
    assert (before != after).all()
    assert after[2] == pytest.approx(expected(model, TEXTS[2]), abs=1e-4)


def test_a_weight_that_was_replaced_is_packed_anew() -> None:
    model = tiny("llama")
    vizcore.score(model, TEXTS)
    network: Any = model.network
    norm = network.model.layers[0].input_layernorm
    norm.weight = nn.Parameter(norm.weight.detach() * 3)
    found = vizcore.score(model, TEXTS[:1])["log_likelihood"][0]
    assert found == pytest.approx(expected(model, TEXTS[0]), abs=1e-4)


def test_hooks_on_the_network_are_heard() -> None:
    model = tiny("llama")
    before = vizcore.score(model, TEXTS[:1])["log_likelihood"][0]
    network: Any = model.network
    hook = network.model.layers[0].mlp.register_forward_hook(lambda _m, _given, out: out * 5)
    found = vizcore.score(model, TEXTS[:1])["log_likelihood"][0]
    assert found == pytest.approx(expected(model, TEXTS[0]), abs=1e-4)
    hook.remove()
    assert found != pytest.approx(before, abs=1e-3)
    assert vizcore.score(model, TEXTS[:1])["log_likelihood"][0] == before


def test_networks_that_are_large_or_in_another_precision_are_run_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny("llama")
    model.network.to(torch.bfloat16)
    assert packed_runner(model).network is model.network
    large = tiny("llama")
    monkeypatch.setattr(packed_copies, "MOST_BYTES", 1000)
    assert packed_runner(large).network is large.network


def test_a_processor_that_multiplies_them_wrongly_does_not_get_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny("llama")
    wrong = torch.ops.mkldnn._reorder_linear_weight
    monkeypatch.setattr(packed_copies, "_blocks", lambda matrix: wrong(matrix.detach() * 1.01, 16))
    assert packed_runner(model).network is model.network
    assert Runner.of(model).network is model.network
