"""One listened-to forward pass: what it leaves, and logits that are computed later."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support import tiny
from vizcore.capture import (
    RelayedForward,
    logits_from,
    one_stack_kind,
    reads_two_texts,
    run,
    text_inputs,
    vocabulary_size,
)
from vizcore.trial import find_capture

IDS = torch.tensor([[20, 33, 46, 59, 72, 85, 98]])
TARGET = torch.tensor([[1, 50, 60, 70]])
LATER = ["gpt2", "gemma2", "cohere", "granite", "opt", "bert", "roberta", "t5", "bart", "bloom"]
"""Heads that scale, cap, add a bias, transform, or hang on a decoder alone."""


def inputs_of(network: Any) -> dict[str, Tensor]:
    return text_inputs(network, IDS, TARGET if reads_two_texts(network) else None)


@pytest.mark.parametrize("model_type", LATER)
def test_logits_computed_later_are_the_networks_own(model_type: str) -> None:
    network = tiny.tiny_network(model_type)
    with torch.no_grad():
        expected = copy.deepcopy(network)(**inputs_of(network)).logits[0]
    capture = find_capture(network)
    left = run(network, capture, inputs_of(network))
    assert capture.trunk is not None
    assert left.logits is None
    rows = logits_from(network, left.hidden, [0, 3, 2], inputs_of(network))
    scale = expected.abs().max().item()
    torch.testing.assert_close(rows, expected[[0, 3, 2]], atol=1e-5 * scale, rtol=0)
    some = logits_from(network, left.hidden, slice(1, 3), inputs_of(network))
    torch.testing.assert_close(some, expected[1:3], atol=1e-5 * scale, rtol=0)


def test_where_logits_cannot_be_computed_later_they_are_kept() -> None:
    network = tiny.tiny_network("switch_transformers")
    with torch.no_grad():
        expected = copy.deepcopy(network)(**inputs_of(network)).logits[0]
    capture = find_capture(network)
    left = run(network, capture, inputs_of(network))
    assert capture.trunk is None
    assert left.logits is not None
    torch.testing.assert_close(left.logits, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("model_type", ["gpt2", "t5", "bloom"])
def test_a_run_leaves_the_network_as_it_was(model_type: str) -> None:
    network = tiny.tiny_network(model_type)
    capture = find_capture(network)
    before = _written_on(network)
    run(network, capture, inputs_of(network))
    assert _written_on(network) == before


def _written_on(network: Any) -> dict[str, Any]:
    return {
        f"{name}.{attribute}": id(value)
        for name, module in network.named_modules()
        for attribute, value in vars(module).items()
    }


def test_a_run_that_fails_leaves_no_relay_behind() -> None:
    network = tiny.tiny_network("gpt2")
    capture = find_capture(network)
    with pytest.raises(IndexError):
        run(network, capture, {"input_ids": torch.tensor([[10**6]])})
    with torch.no_grad():
        ordinary = network(IDS).logits
    assert ordinary.shape == (1, 7, tiny.VOCABULARY)


def test_a_deep_copy_of_a_prepared_network_runs_its_own_weights() -> None:
    network = tiny.tiny_network("gpt2")
    find_capture(network)
    other = copy.deepcopy(network)
    with torch.no_grad():
        before = network(IDS).logits
        assert torch.equal(other(IDS).logits, before)
        for parameter in other.parameters():
            parameter.zero_()
        assert other(IDS).logits.abs().max() == 0
        assert torch.equal(network(IDS).logits, before)


def test_preparing_a_network_twice_is_preparing_it_once() -> None:
    network = tiny.tiny_network("gpt2")
    find_capture(network)
    capture = find_capture(network)
    assert capture.trunk is not None
    forward = vars(capture.trunk)["forward"]
    assert isinstance(forward, RelayedForward)
    assert forward.own is None


def test_threads_that_ask_for_logits_at_once_get_their_own() -> None:
    network = tiny.tiny_network("gpt2")
    capture = find_capture(network)
    texts = [
        torch.randint(5, 290, (1, 3 + i), generator=torch.Generator().manual_seed(i))
        for i in range(8)
    ]
    with torch.no_grad():
        expected = [network(ids).logits[0] for ids in texts]
    start = threading.Barrier(8)

    def ask(place: int) -> None:
        inputs = text_inputs(network, texts[place])
        start.wait()
        for _ in range(10):
            left = run(network, capture, inputs)
            logits = logits_from(network, left.hidden, slice(None), inputs)
            torch.testing.assert_close(logits, expected[place], atol=1e-4, rtol=1e-4)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))


def test_a_stack_that_never_looks_ahead_is_a_decoder() -> None:
    causal = torch.full((2, 4, 4), 0.25).tril()
    assert one_stack_kind([causal, causal]) == "decoder"
    assert one_stack_kind([causal, torch.full((2, 4, 4), 0.25)]) == "encoder"


def test_the_vocabulary_is_what_the_embeddings_hold() -> None:
    network = tiny.tiny_network("gpt2")
    network.resize_token_embeddings(320)
    assert vocabulary_size(network) == 320
