"""Networks whose rotary frequencies depend on the length of the text, shared between runs."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

import vizcore
from tests.support import tiny

FACTORS = [1.0, 2.0, 3.0, 4.0]
SCALINGS: dict[str, dict[str, Any]] = {
    "dynamic": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0},
    "longrope": {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "factor": 4.0,
        "short_factor": [1.0] * 4,
        "long_factor": FACTORS,
        "original_max_position_embeddings": 16,
    },
}


def adapting(scaling: str) -> PreTrainedModel:
    sizes = {"max_position_embeddings": 64 if scaling == "longrope" else 16}
    return tiny.tiny_network("llama", rope_parameters=SCALINGS[scaling], **sizes)


def ids_of(n_tokens: int) -> list[int]:
    generator = torch.Generator().manual_seed(n_tokens)
    return torch.randint(5, 290, (n_tokens,), generator=generator).tolist()


@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_long_text_gets_the_frequencies_that_transformers_gives_it(scaling: str) -> None:
    network = adapting(scaling)
    fresh = copy.deepcopy(network)
    network_of_ours = vizcore.Model.of(network, None).network
    ids = torch.tensor([ids_of(40)])
    with torch.no_grad():
        expected, mine = fresh(ids).logits, network_of_ours(ids).logits
    torch.testing.assert_close(mine, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_long_text_changes_nothing_for_the_next_one(scaling: str) -> None:
    network = vizcore.Model.of(adapting(scaling), None).network
    first, long = torch.tensor([ids_of(20)]), torch.tensor([ids_of(60)])
    with torch.no_grad():
        before = network(first).logits
        network(long)
        assert torch.equal(network(first).logits, before)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_long_and_short_texts_run_at_once_without_meeting(scaling: str) -> None:
    network = vizcore.Model.of(adapting(scaling), None).network
    texts = [torch.tensor([ids_of(n_tokens)]) for n_tokens in (5, 60, 6, 50, 7, 40, 8, 30)]
    with torch.no_grad():
        alone = [network(ids).logits for ids in texts]
    start = threading.Barrier(8)

    def run_often(place: int) -> None:
        start.wait()
        for _ in range(10):
            with torch.no_grad():
                assert torch.equal(network(texts[place]).logits, alone[place])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run_often, range(8)))


def test_a_network_with_fixed_frequencies_is_left_as_it_is() -> None:
    network = vizcore.Model.of(tiny.tiny_network("llama"), None).network
    rotary: Any = network.base_model.rotary_emb
    assert "forward" not in vars(rotary)
