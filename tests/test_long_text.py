"""The likelihood of long texts: every token scored once, with the context that the windows give."""

import math
from typing import Any

import pytest
import torch

import vizcore
from tests.support import tiny

TEXT = "the cat sat on the mat and looked at the door 我爱你 " * 6


@pytest.fixture(scope="module")
def model() -> vizcore.Model:
    return vizcore.Model.of(tiny.tiny_network("gpt2"), tiny.byte_level_tokenizer(), name="tiny")


def plain_log_likelihood(model: vizcore.Model, ids: list[int], window: int, stride: int) -> float:
    """As transformers' guide to perplexity has it: each window scores what is new in it."""
    network: Any = model.network
    total, scored = 0.0, 1
    for start in range(0, len(ids), stride):
        part = ids[start : start + window]
        with torch.no_grad():
            rows = network(torch.tensor([part])).logits[0].double().log_softmax(-1)
        for place in range(scored - start, len(part)):
            total += rows[place - 1, part[place]].item()
        scored = start + len(part)
        if scored == len(ids):
            break
    return total


@pytest.mark.parametrize(("window", "stride"), [(64, 32), (20, 5), (16, 15), (9, 1)])
def test_windows_score_every_token_once(window: int, stride: int, model: vizcore.Model) -> None:
    ids = model._tokenize(TEXT, target=False)
    found = vizcore.text_likelihood(model, TEXT, window=window, stride=stride)
    expected = plain_log_likelihood(model, ids, window, stride)
    assert found.log_likelihood == pytest.approx(expected, rel=1e-5)
    assert found.n_tokens == len(ids) - 1
    assert (found.window, found.stride) == (window, stride)
    assert found.perplexity == pytest.approx(math.exp(-expected / (len(ids) - 1)), rel=1e-4)


def test_a_text_that_fits_is_one_window(model: vizcore.Model) -> None:
    text = "the cat sat on the mat"
    found = vizcore.text_likelihood(model, text, bos=True)
    assert found.log_likelihood == pytest.approx(
        vizcore.score(model, [text], bos=True)["log_likelihood"][0], abs=1e-4
    )
    assert (found.window, found.stride) == (64, 32)


def test_bits_per_byte_count_the_bytes_that_are_scored(model: vizcore.Model) -> None:
    text = "the 我爱你"
    n_bytes = len(text.encode())
    with_bos = vizcore.text_likelihood(model, text, bos=True)
    assert with_bos.n_bytes == n_bytes == 13
    assert with_bos.bits_per_byte == pytest.approx(-with_bos.log_likelihood / math.log(2) / n_bytes)
    without = vizcore.text_likelihood(model, text)
    assert model.labels(model.encode(text))[0] == "the"
    assert without.n_bytes == n_bytes - len("the")


def test_more_context_makes_a_text_likelier(smollm2: vizcore.Model) -> None:
    text = "The keys to the cabinet are on the table. " * 6
    narrow = vizcore.text_likelihood(smollm2, text, window=16, stride=8)
    wide = vizcore.text_likelihood(smollm2, text, window=128, stride=64)
    assert narrow.n_tokens == wide.n_tokens
    assert wide.perplexity < narrow.perplexity


@pytest.mark.parametrize(
    ("window", "stride", "message"),
    [
        (
            65,
            None,
            "A window has at least 2 tokens and at most 64, as tiny reads no more; it was to have "
            "65.",
        ),
        (
            1,
            None,
            "A window has at least 2 tokens and at most 64, as tiny reads no more; it was to have "
            "1.",
        ),
        (
            16,
            16,
            "A stride is at least 1 and less than the window, 16, so that each token has something "
            "before it; it was to be 16.",
        ),
        (
            16,
            0,
            "A stride is at least 1 and less than the window, 16, so that each token has something "
            "before it; it was to be 0.",
        ),
    ],
)
def test_impossible_windows_error(
    window: int, stride: int | None, message: str, model: vizcore.Model
) -> None:
    with pytest.raises(vizcore.SelectionError) as error:
        vizcore.text_likelihood(model, TEXT, window=window, stride=stride)
    assert str(error.value) == message


def test_a_text_of_one_token_errors(model: vizcore.Model) -> None:
    with pytest.raises(vizcore.SelectionError) as error:
        vizcore.text_likelihood(model, "the")
    assert str(error.value) == (
        "The text is a single token with nothing before it, so nothing can be scored. Give a "
        "longer one, or bos=True."
    )


def test_a_masked_model_errors() -> None:
    model = vizcore.load("tatoeba-mlm")
    with pytest.raises(vizcore.MissingHeadError) as error:
        vizcore.text_likelihood(model, TEXT)
    assert str(error.value) == (
        "tatoeba-mlm does not predict a text's next token. Use a model that reads from left to "
        'right and has a language-model head, such as "smollm2-135m".'
    )
