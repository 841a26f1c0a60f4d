"""Sentence scores against plain loops: one sentence a forward pass, log-softmax over all logits.

Ten architectures of decoders, with everything that tells them apart (learned, rotary and linear
positions, sliding windows, soft caps, sinks, experts, states), masked models, encoder-decoders.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import vizcore
from tests.support import tiny
from vizcore import sentences as sentence_windows

DECODERS = (
    "llama",
    "gpt2",
    "gpt_neox",
    "opt",
    "bloom",
    "qwen2",
    "gemma2",
    "mistral",
    "mixtral",
    "gpt_oss",
    "falcon_h1",
)
SENTENCES = (
    "the cat sat on the mat",
    "the cat sat on the door",
    "the cat looked at the door and the mat",
    "nobody saw what",
    "the",
    "the cat sat on the mat",
    "我爱你 😀",
)


def decoder(model_type: str) -> vizcore.Model:
    return vizcore.Model.of(
        tiny.tiny_network(model_type), tiny.byte_level_tokenizer(), name=model_type
    )


def plain_log_probabilities(model: vizcore.Model, ids: list[int]) -> list[float]:
    """Of each token but the first, from the logits of the whole sentence, alone in its batch."""
    network: Any = model.network
    with torch.no_grad():
        rows = network(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return [rows[place, token_id].item() for place, token_id in enumerate(ids[1:])]


def close(mine: Any, theirs: Any) -> None:
    """To 1e-4 nats, or as near as float32 adds up numbers of that size."""
    np.testing.assert_allclose(mine, theirs, atol=1e-4, rtol=2e-6)


@pytest.fixture(scope="module")
def llama() -> vizcore.Model:
    return decoder("llama")


@pytest.mark.parametrize("model_type", DECODERS)
def test_a_sentence_is_the_sum_of_its_tokens_whatever_the_architecture(model_type: str) -> None:
    model = decoder(model_type)
    bos = model.tokenizer.bos_token_id if model.tokenizer else None
    for with_bos in (None, True):
        table = vizcore.score(model, SENTENCES, bos=with_bos)
        assert table["sentence"].tolist() == list(SENTENCES)
        for sentence, row in zip(SENTENCES, table.itertuples(), strict=True):
            ids = model.encode(sentence)
            its = plain_log_probabilities(model, [bos, *ids] if with_bos else ids)
            assert row.n_tokens == len(its)
            if its:
                close(row.log_likelihood, sum(its))
                close(math.log(row.perplexity), -sum(its) / len(its))


def test_a_sentence_of_which_nothing_is_scored_has_no_likelihood(llama: vizcore.Model) -> None:
    row = vizcore.score(llama, ["the"]).iloc[0]
    assert row["n_tokens"] == 0
    assert math.isnan(row["log_likelihood"])
    assert math.isnan(row["perplexity"])


def test_no_sentences_are_a_table_without_rows(llama: vizcore.Model) -> None:
    table = vizcore.score(llama, [])
    assert list(table.columns) == ["sentence", "log_likelihood", "n_tokens", "perplexity"]
    assert len(table) == 0


def test_what_is_given_is_read_but_not_scored(llama: vizcore.Model) -> None:
    ends = ["sat on the mat", "looked at the door", "and the cat"]
    given = "the other cat"
    table = vizcore.score(llama, ends, given=given)
    n_given = len(llama.encode(given))
    for end, value in zip(ends, table["log_likelihood"], strict=True):
        ids = llama.encode(f"{given} {end}")
        assert ids[:n_given] == llama.encode(given)
        close(value, sum(plain_log_probabilities(llama, ids)[n_given - 1 :]))
    one_each = vizcore.score(llama, ends, given=[given, "the cat", given])
    close(one_each["log_likelihood"][[0, 2]], table["log_likelihood"][[0, 2]])
    assert abs(one_each["log_likelihood"][1] - table["log_likelihood"][1]) > 0.01


def test_a_token_over_the_seam_of_given_and_sentence_is_scored(llama: vizcore.Model) -> None:
    whole = llama.encode("the cat sat")
    table = vizcore.score(llama, ["at sat"], given="the c", separator="")
    shared = sentence_windows.n_shared(llama.encode("the c"), whole)
    assert shared < len(llama.encode("the c"))
    assert table["n_tokens"].tolist() == [len(whole) - shared]
    close(table["log_likelihood"][0], sum(plain_log_probabilities(llama, whole)[shared - 1 :]))


def test_generators_stream_window_by_window(
    llama: vizcore.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentence_windows, "SENTENCES_AT_ONCE", 3)
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield SENTENCES[(taken - 1) % len(SENTENCES)]

    stream = vizcore.score_stream(llama, endless())
    tables = [next(stream), next(stream)]
    assert taken == 6
    assert pd.concat(tables).index.tolist() == list(range(6))
    whole = vizcore.score(llama, SENTENCES[:6])
    close(pd.concat(tables)["log_likelihood"].dropna(), whole["log_likelihood"].dropna())


def test_a_window_ends_before_it_has_too_many_characters(
    llama: vizcore.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentence_windows, "CHARACTERS_AT_ONCE", 50)
    sizes = [len(table) for table in vizcore.score_stream(llama, SENTENCES)]
    assert sizes == [2, 1, 4]


def plain_pseudo_log_likelihood(
    model: vizcore.Model, ids: list[int], words: list[int | None], *, within_word: bool
) -> list[float]:
    network: Any = model.network
    tokenizer: Any = model.tokenizer
    found = []
    for place, token_id in enumerate(ids):
        if token_id in (tokenizer.cls_token_id, tokenizer.sep_token_id):
            continue
        masked = list(ids)
        for other in range(len(ids)):
            same_word = words[other] == words[place] and words[place] is not None
            if other == place or (within_word and other > place and same_word):
                masked[other] = tokenizer.mask_token_id
        with torch.no_grad():
            logits = network(torch.tensor([masked])).logits[0, place].double()
        found.append(logits.log_softmax(-1)[token_id].item())
    return found


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "roberta", "albert"])
def test_masked_models_are_asked_about_each_token_in_turn(model_type: str) -> None:
    model = vizcore.Model.of(
        tiny.tiny_network(model_type), tiny.word_piece_tokenizer(), name=model_type
    )
    tokenizer: Any = model.tokenizer
    texts = ["the cats sat on the mat", "nobody looked", "the door shutting was unshut", "the cat"]
    tables = {
        masking: vizcore.score(model, texts, masking=masking)
        for masking in ("original", "within_word_l2r")
    }
    for number, text in enumerate(texts):
        encoded = tokenizer(text)
        for masking, table in tables.items():
            its = plain_pseudo_log_likelihood(
                model,
                encoded["input_ids"],
                encoded.word_ids(0),
                within_word=masking == "within_word_l2r",
            )
            close(table["log_likelihood"][number], sum(its))
            assert table["n_tokens"][number] == len(its)
    differ = tables["original"]["log_likelihood"] != tables["within_word_l2r"]["log_likelihood"]
    assert differ.tolist() == [True, False, True, False]


def test_a_masked_model_can_be_given_something(tmp_path: Any) -> None:
    model = vizcore.Model.of(tiny.tiny_network("bert"), tiny.word_piece_tokenizer(), name="bert")
    tokenizer: Any = model.tokenizer
    encoded = tokenizer("the cat sat on the mat")
    its = plain_pseudo_log_likelihood(
        model, encoded["input_ids"], encoded.word_ids(0), within_word=True
    )
    n_given = len(tokenizer("the cat", add_special_tokens=False)["input_ids"])
    table = vizcore.score(model, ["sat on the mat"], given="the cat")
    close(table["log_likelihood"][0], sum(its[n_given:]))


@pytest.mark.parametrize("model_type", ["t5", "bart", "mbart", "marian"])
def test_a_target_is_scored_given_its_source(model_type: str) -> None:
    network: Any = tiny.tiny_network(model_type, decoder_start_token_id=0)
    model = vizcore.Model.of(network, tiny.sentence_piece_tokenizer(), name=model_type)
    tokenizer: Any = model.tokenizer
    sources = ["the cat sat", "nobody saw the mat under the table", "the door was"]
    targets = ["the mat", "a cat", "the cat looked at the door"]
    table = vizcore.score(model, targets, given=sources)
    for number, (source, target) in enumerate(zip(sources, targets, strict=True)):
        labels = torch.tensor([tokenizer(text_target=target)["input_ids"]])
        with torch.no_grad():
            loss = network(torch.tensor([tokenizer(source)["input_ids"]]), labels=labels).loss
        assert table["n_tokens"][number] == labels.shape[1]
        assert labels[0, -1] == tokenizer.eos_token_id
        np.testing.assert_allclose(
            table["log_likelihood"][number], -loss.item() * labels.shape[1], rtol=1e-4
        )


def test_one_source_may_go_with_all_targets() -> None:
    model = vizcore.load("tatoeba-translator")
    targets = ["我爱你。", "我恨你。", "猫在睡觉。"]
    together = vizcore.score(model, targets, given="I love you.")
    alone = [
        vizcore.score(model, [target], given=["I love you."])["log_likelihood"][0]
        for target in targets
    ]
    close(together["log_likelihood"], alone)
    assert together["log_likelihood"].idxmax() == 0


def test_bfloat16_says_by_how_much_it_rounds(smollm2: vizcore.Model) -> None:
    texts = ["The cats are asleep.", "The cats is asleep.", "Nobody knows."]
    exact = vizcore.score(smollm2, texts)
    fast = vizcore.score(smollm2, texts, precision="fast")
    assert "precision" not in exact.attrs
    distance = (exact["log_likelihood"] - fast["log_likelihood"]).abs()
    if "precision" in fast.attrs:  # where the hardware has it
        told = fast.attrs["precision"]
        assert told["dtype"] == "bfloat16"
        assert told["n_sentences"] == 3
        assert told["largest_error"] == pytest.approx(distance.max(), abs=1e-3)
        assert told["mean_error"] == pytest.approx(distance.mean(), abs=1e-3)
    assert distance.max() < 1


def test_of_two_sentences_smollm2_prefers_the_grammatical(smollm2: vizcore.Model) -> None:
    texts = [
        "The keys to the cabinet are on the table.",
        "The keys to the cabinet is on the table.",
    ]
    table = vizcore.score(smollm2, texts, bos=True)
    assert table["log_likelihood"].idxmax() == 0
    for text, value in zip(texts, table["log_likelihood"], strict=True):
        ids = [smollm2.tokenizer.bos_token_id, *smollm2.encode(text)] if smollm2.tokenizer else []
        close(value, sum(plain_log_probabilities(smollm2, ids)))
