"""Minimal pairs: differences against plain scores, and parts that add up to them."""

import math
from typing import Any

import numpy as np
import pytest
import torch

import vizcore
from tests.support import tiny

GOOD = ["the cat sat on the mat", "nobody saw what the cat did", "the mat", "the door was shut"]
BAD = ["the cat sits on the mat", "nobody saw what the cat", "mat the", "the door was shut"]


@pytest.fixture(scope="module")
def model() -> vizcore.Model:
    return vizcore.Model.of(tiny.tiny_network("llama"), tiny.byte_level_tokenizer(), name="tiny")


def log_probabilities(model: vizcore.Model, ids: list[int]) -> list[float]:
    network: Any = model.network
    with torch.no_grad():
        rows = network(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return [rows[place, token_id].item() for place, token_id in enumerate(ids[1:])]


def test_the_difference_is_that_of_the_two_scores(model: vizcore.Model) -> None:
    pairs = vizcore.minimal_pairs(model, GOOD, BAD, bos=True)
    good, bad = vizcore.score(model, GOOD, bos=True), vizcore.score(model, BAD, bos=True)
    assert pairs["good"].tolist() == GOOD
    assert pairs["bad"].tolist() == BAD
    np.testing.assert_allclose(pairs["good_log_likelihood"], good["log_likelihood"], atol=1e-4)
    expected = good["log_likelihood"] - bad["log_likelihood"]
    np.testing.assert_allclose(pairs["difference"], expected, atol=1e-4)
    means = [table["log_likelihood"] / table["n_tokens"] for table in (good, bad)]
    np.testing.assert_allclose(pairs["difference_mean"], means[0] - means[1], atol=1e-4)


def test_the_parts_add_up_and_stand_where_the_sentences_differ(model: vizcore.Model) -> None:
    pair = vizcore.minimal_pairs(model, GOOD[:1], BAD[:1], bos=True).iloc[0]
    bos = 1
    good, bad = ([bos, *model.encode(text)] for text in (GOOD[0], BAD[0]))
    n_same = next(place for place, (a, b) in enumerate(zip(good, bad, strict=False)) if a != b)
    n_last = next(n for n in range(9) if good[-1 - n] != bad[-1 - n])
    parts = [
        (
            sum(its[: n_same - 1]),
            sum(its[n_same - 1 : len(its) - n_last]),
            sum(its[len(its) - n_last :]),
        )
        for its in (log_probabilities(model, good), log_probabilities(model, bad))
    ]
    differences = [a - b for a, b in zip(*parts, strict=True)]
    found = [pair[f"difference_{name}"] for name in ("before", "at", "after")]
    np.testing.assert_allclose(found, differences, atol=1e-3)
    assert found[0] == 0
    assert sum(found) == pytest.approx(pair["difference"], abs=1e-5)
    assert pair["good_tokens"] == "".join(model.labels(good[n_same : len(good) - n_last]))
    assert pair["bad_tokens"] == "".join(model.labels(bad[n_same : len(bad) - n_last]))


def test_winners_are_the_signs_of_the_differences(model: vizcore.Model) -> None:
    pairs = vizcore.minimal_pairs(model, GOOD, BAD, bos=True)
    for name, column in (
        ("sum", "difference"),
        ("mean", "difference_mean"),
        ("slor", "difference_slor"),
    ):
        signs = np.sign(pairs[column]).astype(int)
        expected = [{1: "good", -1: "bad", 0: "tie"}[sign] for sign in signs]
        assert pairs[f"winner_{name}"].tolist() == expected
    assert pairs["winner_sum"].iloc[3] == "tie"
    assert pairs["good_tokens"].iloc[3] == ""


def test_slor_takes_off_what_tokens_are_worth_alone(model: vizcore.Model) -> None:
    bos = 1
    network: Any = model.network
    with torch.no_grad():
        alone = network(torch.tensor([[bos]])).logits[0, 0].double().log_softmax(-1)
    pairs = vizcore.minimal_pairs(model, GOOD, BAD, bos=True)
    for number, texts in enumerate(zip(GOOD, BAD, strict=True)):
        slors = []
        for text in texts:
            ids = model.encode(text)
            total = sum(log_probabilities(model, [bos, *ids])) - alone[ids].sum().item()
            slors.append(total / len(ids))
        assert pairs["difference_slor"][number] == pytest.approx(slors[0] - slors[1], abs=1e-4)


def test_frequencies_may_come_from_sentences(model: vizcore.Model) -> None:
    corpus = ["the cat", "the cat and the mat"]
    counted = [token_id for text in corpus for token_id in model.encode(text)]
    size = len(model.tokenizer) if model.tokenizer else 0

    def frequency(token_id: int) -> float:
        return math.log((counted.count(token_id) + 1) / (len(counted) + size))

    pairs = vizcore.minimal_pairs(model, GOOD[:1], BAD[:1], bos=True, unigrams=iter(corpus))
    slors = []
    for text in (GOOD[0], BAD[0]):
        ids = model.encode(text)
        total = sum(log_probabilities(model, [1, *ids])) - sum(map(frequency, ids))
        slors.append(total / len(ids))
    assert pairs["difference_slor"][0] == pytest.approx(slors[0] - slors[1], abs=1e-4)


def test_a_pair_may_be_given_something(model: vizcore.Model) -> None:
    given = ["the cat", "nobody", "a cat", "the"]
    pairs = vizcore.minimal_pairs(model, GOOD, BAD, given=given)
    good, bad = (vizcore.score(model, texts, given=given) for texts in (GOOD, BAD))
    np.testing.assert_allclose(
        pairs["difference"], good["log_likelihood"] - bad["log_likelihood"], atol=1e-4
    )


def test_of_a_masked_model_what_stands_before_counts_too() -> None:
    masked = vizcore.Model.of(tiny.tiny_network("bert"), tiny.word_piece_tokenizer(), name="m")
    pair = vizcore.minimal_pairs(masked, GOOD[:1], BAD[:1]).iloc[0]
    assert pair["difference_before"] != 0
    parts = sum(pair[f"difference_{name}"] for name in ("before", "at", "after"))
    assert parts == pytest.approx(pair["difference"], abs=1e-5)
    assert math.isnan(pair["difference_slor"])
    assert pair["winner_slor"] is None


def test_pairs_are_read_some_at_a_time(
    model: vizcore.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = vizcore.minimal_pairs(model, GOOD, BAD)
    monkeypatch.setattr("vizcore.sentence_pairs.PAIRS_AT_ONCE", 3)
    parts = vizcore.minimal_pairs(model, iter(GOOD), iter(BAD))
    assert parts["good"].tolist() == GOOD
    np.testing.assert_allclose(parts["difference"], whole["difference"], atol=1e-4)


def test_no_pairs_are_a_table_without_rows(model: vizcore.Model) -> None:
    table = vizcore.minimal_pairs(model, [], [])
    assert len(table) == 0
    assert list(table.columns) == list(vizcore.minimal_pairs(model, GOOD, BAD).columns)


def test_smollm2_prefers_the_grammatical_of_a_pair(smollm2: vizcore.Model) -> None:
    pair = vizcore.minimal_pairs(
        smollm2,
        ["The keys to the cabinet are on the table."],
        ["The keys to the cabinet is on the table."],
    ).iloc[0]
    assert (pair["good_tokens"], pair["bad_tokens"]) == ("·are", "·is")
    assert pair["winner_sum"] == "good"
    assert pair["difference_at"] > pair["difference_after"]


def test_a_sentence_without_a_partner_errors(model: vizcore.Model) -> None:
    with pytest.raises(vizcore.TextError) as error:
        vizcore.minimal_pairs(model, ["a", "b"], ["a"])
    assert str(error.value) == (
        "There are more good sentences: number 2 has no partner. Give as many good ones as bad "
        "ones."
    )


def test_a_single_pair_that_is_no_list_errors(model: vizcore.Model) -> None:
    with pytest.raises(vizcore.TextError) as error:
        vizcore.minimal_pairs(model, "the cat", "cat the")
    assert str(error.value) == (
        "Good and bad sentences are lists, one sentence for each pair. Put a single pair into "
        'lists: minimal_pairs(model, ["…"], ["…"]).'
    )
