"""However passages are run (along a tree, in padded batches, one by one), the numbers are the same.

And a network that cannot do one of these is found out, not believed.
"""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import vizcore
from tests.support import tiny
from vizcore import token_scores as runs
from vizcore.asked_rows import Runner
from vizcore.sentences import Passage

TREES = ("llama", "gpt2", "gpt_neox", "opt", "qwen2", "gemma2", "mistral", "gpt_oss", "llama4_text")


def model_of(model_type: str, **changes: Any) -> vizcore.Model:
    network = tiny.tiny_network(model_type, **changes)
    return vizcore.Model.of(network, tiny.byte_level_tokenizer(), name=model_type)


def scores(model: vizcore.Model, passages: list[Passage], way: Any) -> list[np.ndarray]:
    found = [np.empty(0)] * len(passages)
    for members, answers in runs.run_all(Runner.of(model), passages, way):
        for member, its in zip(members, answers, strict=True):
            found[member] = its.log_probabilities
    return found


def random_passages(n_tokens: int, *, seed: int = 0) -> list[Passage]:
    """Ones that leave each other at every depth."""
    ids = np.random.default_rng(seed).integers(5, 290, (n_tokens + 1, n_tokens)).tolist()
    trunk = ids[0]
    return [
        Passage(tuple(trunk[:depth] + ids[depth][depth:]), 1 + depth // 2)
        for depth in range(0, n_tokens, 3)
    ]


@pytest.fixture(scope="module")
def llama() -> vizcore.Model:
    return model_of("llama")


@pytest.mark.parametrize("model_type", TREES)
def test_a_tree_changes_no_number(model_type: str) -> None:
    # 40 tokens are many times the sliding window (4) and the chunk (8) of these networks.
    model = model_of(model_type)
    passages = random_passages(40)
    assert runs.way_of(model, passages) == "tree"
    alone = scores(model, passages, "single")
    along = scores(model, passages, "tree")
    np.testing.assert_allclose(np.concatenate(along), np.concatenate(alone), atol=1e-4, rtol=1e-5)


def test_of_unlike_depths_a_window_is_measured_along_the_branch(llama: vizcore.Model) -> None:
    windowed = model_of("mistral", sliding_window=4)
    free = model_of("mistral", sliding_window=None)
    passages = random_passages(24)
    narrow = np.concatenate(scores(windowed, passages, "tree"))
    wide = np.concatenate(scores(free, passages, "tree"))
    assert np.abs(narrow - wide).max() > 0.1
    np.testing.assert_allclose(
        narrow, np.concatenate(scores(windowed, passages, "single")), atol=1e-4, rtol=1e-5
    )


@pytest.mark.parametrize("model_type", ["bloom", "falcon_h1"])
def test_a_network_that_counts_places_itself_gets_no_tree(model_type: str) -> None:
    model = model_of(model_type)
    passages = random_passages(24)
    assert runs.way_of(model, passages) in ("batch", "single")


def test_our_own_transformer_is_run_in_batches() -> None:
    model = vizcore.load("tatoeba-lm")
    texts = ["I love you.", "I love it.", "I love him very much.", "Where is it?"]
    together = vizcore.score(model, texts)["log_likelihood"]
    alone = [vizcore.score(model, [text])["log_likelihood"][0] for text in texts]
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_a_network_whose_texts_disturb_each_other_is_run_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = model_of("llama", seed=3)
    network: Any = model.network
    head = network.lm_head
    plain = head.forward

    def by_the_batch(hidden: torch.Tensor) -> torch.Tensor:
        return plain(hidden) * (1 + 0.01 * hidden.shape[1])

    monkeypatch.setattr(head, "forward", by_the_batch)
    passages = random_passages(24)
    assert runs.way_of(model, passages) == "single"


def test_short_jobs_of_long_passages_make_no_trial(llama: vizcore.Model) -> None:
    model = model_of("llama", seed=4, max_position_embeddings=512)
    long = random_passages(200)[:2]
    assert runs.way_of(model, long) == "single"
    assert model.network not in runs._tried_ways


def test_one_passage_makes_no_trial() -> None:
    model = model_of("llama", seed=5)
    assert runs.way_of(model, random_passages(10)[:1]) == "single"
    assert model.network not in runs._tried_ways


def test_a_place_after_which_many_tokens_are_asked_is_made_logits_once(
    llama: vizcore.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = llama.network.lm_head
    rows: list[int] = []
    plain = head.forward

    def counted(hidden: torch.Tensor) -> torch.Tensor:
        rows.append(hidden.shape[1])
        return plain(hidden)

    prefix = tuple(range(20, 30))
    passages = [Passage((*prefix, last), len(prefix)) for last in range(40, 90)]
    runs.way_of(llama, passages)
    monkeypatch.setattr(head, "forward", counted)
    found = runs.token_scores(llama, passages)
    assert rows == [1]
    total = np.exp(np.concatenate([one.log_probabilities for one in found])).sum()
    assert 0 < total < 1


def test_ranks_and_masses_are_those_of_the_whole_distribution(llama: vizcore.Model) -> None:
    network: Any = llama.network
    passages = random_passages(12)
    among = torch.zeros(tiny.VOCABULARY, dtype=torch.bool)
    among[[5, 80, 200, 299]] = True
    for passage, its in zip(
        passages, runs.token_scores(llama, passages, ranks=True, among=among), strict=True
    ):
        with torch.no_grad():
            rows = network(torch.tensor([passage.ids])).logits[0].double().log_softmax(-1)
        for place, rank, mass in zip(
            range(passage.first, len(passage.ids)), its.ranks, its.masses, strict=True
        ):
            row = rows[place - 1]
            assert rank == (row > row[passage.ids[place]]).sum() + 1
            np.testing.assert_allclose(mass, row[among].logsumexp(0).item(), atol=1e-4)


def test_logits_are_held_a_few_at_a_time(
    llama: vizcore.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    passages = random_passages(30)
    whole = runs.token_scores(llama, passages, ranks=True)
    monkeypatch.setattr("vizcore.asked_rows.LOGITS_AT_ONCE", 3 * tiny.VOCABULARY)
    sliced = runs.token_scores(llama, passages, ranks=True)
    for one, other in zip(whole, sliced, strict=True):
        np.testing.assert_allclose(one.log_probabilities, other.log_probabilities, atol=1e-5)
        assert one.ranks.tolist() == other.ranks.tolist()


rows_of_few_tokens = st.lists(
    st.lists(st.integers(20, 23), min_size=1, max_size=9), min_size=1, max_size=12
)


@settings(max_examples=40, deadline=None)
@given(rows_of_few_tokens, st.randoms(use_true_random=False))
def test_neither_order_nor_company_changes_a_score(rows: list[list[int]], random: Any) -> None:
    passages = [Passage(tuple(ids), 1) for ids in rows]
    model = shared_model()
    together = runs.token_scores(model, passages)
    order = list(range(len(passages)))
    random.shuffle(order)
    shuffled = runs.token_scores(model, [passages[number] for number in order])
    for number, its in zip(order, shuffled, strict=True):
        np.testing.assert_allclose(
            its.log_probabilities, together[number].log_probabilities, atol=1e-4
        )
    alone = runs.token_scores(model, passages[:1])[0]
    np.testing.assert_allclose(alone.log_probabilities, together[0].log_probabilities, atol=1e-4)
    assert len(alone.log_probabilities) == len(passages[0].ids) - 1


_shared: list[vizcore.Model] = []


def shared_model() -> vizcore.Model:
    """One for all examples: hypothesis takes no fixtures of a function's scope."""
    if not _shared:
        _shared.append(model_of("qwen2"))
    return _shared[0]
