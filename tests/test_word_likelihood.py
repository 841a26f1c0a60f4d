"""Surprisal by word: sums of pieces, and spaces moved to the word before, against plain loops."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import vizcore
from tests.support import tiny

TEXT = "the cats sat unseen on the mat, looking at me"


@pytest.fixture(scope="module")
def model() -> vizcore.Model:
    return vizcore.Model.of(tiny.tiny_network("llama"), tiny.byte_level_tokenizer(), name="tiny")


def distributions(model: vizcore.Model, ids: list[int]) -> torch.Tensor:
    """Row n: what comes after the first n + 1 tokens, as log-probabilities."""
    network: Any = model.network
    with torch.no_grad():
        rows: torch.Tensor = network(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return rows


def test_a_word_is_the_sum_of_its_pieces(model: vizcore.Model) -> None:
    tokens = vizcore.surprisal(model, TEXT, bos=True)
    words = vizcore.surprisal(model, TEXT, bos=True, by="word")
    assert list(words.columns) == ["word", "n_tokens", "log_probability", "surprisal"]
    assert words["word"].tolist() == [
        *("the", "cats", "sat", "unseen", "on", "the", "mat", ",", "looking", "at", "me")
    ]
    assert words["n_tokens"].sum() == len(tokens) - 1  # the beginning of text has no row
    assert words["n_tokens"].max() > 1
    assert words["log_probability"].sum() == pytest.approx(tokens["log_probability"].sum())
    first = 1
    for word in words.itertuples():
        its = tokens["log_probability"].iloc[first : first + word.n_tokens]
        assert word.log_probability == pytest.approx(its.sum(), abs=1e-4)
        assert word.surprisal == pytest.approx(-its.sum() / math.log(2), abs=1e-4)
        first += word.n_tokens


def test_a_word_whose_first_token_is_not_scored_has_no_surprisal(model: vizcore.Model) -> None:
    words = vizcore.surprisal(model, TEXT, by="word")
    assert words["word"].iloc[0] == "the"
    assert words["surprisal"].isna().tolist() == [True] + [False] * (len(words) - 1)


def test_with_trailing_spaces_a_word_pays_for_its_own_end(model: vizcore.Model) -> None:
    tokenizer: Any = model.tokenizer
    ids = [tokenizer.bos_token_id, *model.encode(TEXT)]
    rows = distributions(model, ids)
    names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    spaces = ("Ġ", *"ĉĊċČč", *"ĜĝĞğ")  # the blanks of ASCII, as byte-level BPE writes them
    begins = torch.tensor(
        [name.startswith(spaces) or name in tokenizer.all_special_tokens for name in names]
    )
    size = rows.shape[1]
    begins = torch.cat([begins, torch.zeros(size - len(begins), dtype=torch.bool)])

    def beginning_after(n: int) -> float:
        return rows[n][begins].logsumexp(0).item()

    expected: list[float] = []
    for place in range(1, len(ids)):
        value = rows[place - 1][ids[place]].item()
        if place + 1 == len(ids) or begins[ids[place + 1]]:
            value += beginning_after(place)
        if begins[ids[place]]:
            value -= beginning_after(place - 1)
        expected.append(value)
    words = vizcore.surprisal(model, TEXT, bos=True, by="word", spaces="trailing")
    sums, first = [], 0
    for n_tokens in words["n_tokens"]:
        sums.append(sum(expected[first : first + n_tokens]))
        first += n_tokens
    np.testing.assert_allclose(words["log_probability"], sums, atol=1e-3)


def test_over_a_whole_text_moving_spaces_changes_its_ends_alone(model: vizcore.Model) -> None:
    tokenizer: Any = model.tokenizer
    leading = vizcore.surprisal(model, TEXT, bos=True, by="word")["log_probability"].sum()
    trailing = vizcore.surprisal(model, TEXT, bos=True, by="word", spaces="trailing")
    last = distributions(model, [tokenizer.bos_token_id, *model.encode(TEXT)])[-1]
    from vizcore.word_likelihood import word_beginnings

    end = last[word_beginnings(model, len(last))].logsumexp(0).item()
    assert trailing["log_probability"].sum() == pytest.approx(leading + end, abs=1e-3)


def test_many_texts_give_what_each_gives_alone(model: vizcore.Model) -> None:
    texts = [TEXT, "the cat", "the cats sat", "the", TEXT]
    for by in ("token", "word"):
        spaces = ("leading", "trailing") if by == "word" else ("leading",)
        for reading in spaces:
            stream = vizcore.surprisal_stream(model, iter(texts), by=by, spaces=reading, bos=True)
            assert isinstance(stream, Iterator)
            for text, table in zip(texts, stream, strict=True):
                alone = vizcore.surprisal(model, text, by=by, spaces=reading, bos=True)
                assert list(table.columns) == list(alone.columns)
                assert table.iloc[:, 0].tolist() == alone.iloc[:, 0].tolist()
                np.testing.assert_allclose(
                    table["surprisal"].astype(float), alone["surprisal"].astype(float), atol=1e-4
                )
                if by == "token":
                    assert table["rank"].tolist()[1:] == alone["rank"].tolist()[1:]


def test_the_words_of_smollm2_pay_for_their_ends(smollm2: vizcore.Model) -> None:
    text = "The cats aren't sleeping."
    table = vizcore.surprisal(smollm2, text, bos=True, by="word", spaces="trailing")
    assert table["word"].tolist() == ["The", "cats", "aren't", "sleeping", "."]
    assert (table["log_probability"] < 0.01).all()


def test_a_tokenizer_without_leading_spaces_errors() -> None:
    model = vizcore.Model.of(tiny.tiny_network("gpt2"), tiny.word_piece_tokenizer(), name="tiny")
    with pytest.raises(vizcore.SelectionError) as error:
        vizcore.surprisal(model, "the cat", by="word", spaces="trailing")
    assert str(error.value) == (
        "The tokenizer of tiny writes no space into the piece after it, so there is nothing to "
        'move: use spaces="leading".'
    )


def test_unknown_choices_error(model: vizcore.Model) -> None:
    with pytest.raises(vizcore.SelectionError) as error:
        vizcore.surprisal(model, "the cat", by="letter")
    assert str(error.value) == 'Surprisal is by "token" or by "word", not by \'letter\'.'
    with pytest.raises(vizcore.SelectionError) as error:
        vizcore.surprisal(model, "the cat", by="word", spaces="both")
    assert str(error.value) == (
        "There is no reading of spaces 'both': it is \"leading\" (a space belongs to the word "
        'after it, as the tokenizer has it) or "trailing" (to the word before it).'
    )


def test_models_that_do_not_read_on_error() -> None:
    translator = vizcore.load("tatoeba-translator")
    with pytest.raises(vizcore.SelectionError) as error:
        vizcore.surprisal(translator, "I love you.", by="word")
    assert str(error.value) == (
        "tatoeba-translator is an encoder-decoder: what surprises it is a target, given a source. "
        "Use trace_surprisal(model.trace(source, target))."
    )
    masked = vizcore.load("tatoeba-mlm")
    with pytest.raises(vizcore.MissingHeadError) as missing:
        vizcore.surprisal(masked, "I love you.", by="word")
    assert str(missing.value) == (
        "tatoeba-mlm is an encoder: it sees the whole text at once, so no token comes as a "
        'surprise to it. Use a model that reads from left to right, such as "smollm2-135m".'
    )
