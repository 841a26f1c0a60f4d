"""Surprisal against log_softmax, for texts short and longer than one slice of positions."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import vizcore
from tests.support import tiny
from vizcore import likelihood


@pytest.fixture(scope="module")
def model() -> vizcore.Model:
    network = tiny.tiny_network("llama")
    return vizcore.Model.of(network, tiny.byte_level_tokenizer(), name="tiny")


def expected_log_probabilities(model: vizcore.Model, ids: list[int]) -> list[float]:
    network: Any = model.network
    with torch.no_grad():
        logits = network(torch.tensor([ids])).logits[0].double()
    rows = logits.log_softmax(dim=-1)
    return [rows[place, following].item() for place, following in enumerate(ids[1:])]


def test_each_token_gets_what_the_model_expected_of_it(model: vizcore.Model) -> None:
    table = vizcore.surprisal(model, "the cat looked at the door")
    columns = ["token", "token_id", "log_probability", "surprisal", "rank"]
    assert list(table.columns) == columns
    ids = table["token_id"].tolist()
    assert ids == model.encode("the cat looked at the door")
    assert table["token"].tolist() == model.labels(ids)
    expected = np.array(expected_log_probabilities(model, ids))
    np.testing.assert_allclose(table["log_probability"][1:], expected, atol=1e-4)
    np.testing.assert_allclose(table["surprisal"][1:], -expected / math.log(2), atol=1e-4)


def test_the_first_token_is_not_scored(model: vizcore.Model) -> None:
    first = vizcore.surprisal(model, "the cat").iloc[0]
    assert first["token"] == "the"
    assert math.isnan(first["log_probability"])
    assert math.isnan(first["surprisal"])
    assert first["rank"] is pd.NA


def test_a_single_token_is_one_row_without_a_score(model: vizcore.Model) -> None:
    table = vizcore.surprisal(model, "the")
    assert table["token"].tolist() == ["the"]
    assert table["rank"].isna().all()


def test_the_likeliest_token_has_rank_one(model: vizcore.Model) -> None:
    ids = [20, 33, 46]
    best = int(model.trace(ids).logits[-1].argmax())
    worst = int(model.trace(ids).logits[-1].argmin())
    ranks = [
        vizcore.trace_surprisal(model.trace([*ids, last]))["rank"].tolist()[-1]
        for last in (best, worst)
    ]
    assert ranks == [1, tiny.VOCABULARY]


@pytest.mark.parametrize("n_tokens", [5, 6, 7, 11, 60])
def test_slices_of_positions_join_without_a_seam(
    n_tokens: int, model: vizcore.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likelihood, "POSITIONS_AT_ONCE", 5)
    ids = torch.randint(5, 290, (n_tokens,), generator=torch.Generator().manual_seed(1)).tolist()
    table = vizcore.trace_surprisal(model.trace(ids))
    expected = expected_log_probabilities(model, ids)
    np.testing.assert_allclose(table["log_probability"][1:], expected, atol=1e-4)


def test_a_beginning_of_text_can_be_put_in_front_and_taken_away(model: vizcore.Model) -> None:
    plain = model.encode("the cat")
    with_one = vizcore.surprisal(model, "the cat", bos=True)
    assert with_one["token_id"].tolist() == [1, *plain]
    np.testing.assert_allclose(
        with_one["log_probability"][1:], expected_log_probabilities(model, [1, *plain]), atol=1e-4
    )
    assert vizcore.surprisal(model, "the cat", bos=False)["token_id"].tolist() == plain

    tokenizer = tiny.byte_level_tokenizer()
    from tokenizers.processors import TemplateProcessing

    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    adding = vizcore.Model.of(model.network, tokenizer)
    for bos, ids in ((None, [1, *plain]), (True, [1, *plain]), (False, plain)):
        assert vizcore.surprisal(adding, "the cat", bos=bos)["token_id"].tolist() == ids


def test_a_tokenizer_without_a_beginning_of_text_errors(model: vizcore.Model) -> None:
    tokenizer = tiny.byte_level_tokenizer()
    tokenizer.bos_token = None
    without = vizcore.Model.of(model.network, tokenizer, name="tiny")
    with pytest.raises(vizcore.SelectionError) as error:
        vizcore.surprisal(without, "the cat", bos=True)
    assert str(error.value) == (
        "The tokenizer of tiny has no beginning-of-text token: leave out `bos`."
    )


def test_of_an_encoder_decoder_the_target_is_scored() -> None:
    network: Any = tiny.tiny_network("bart", decoder_start_token_id=2)
    model = vizcore.Model.of(network, None)
    target = [2, 50, 60, 70]
    table = vizcore.trace_surprisal(model.trace([5, 6, 7, 8, 9], target))
    with torch.no_grad():
        logits = network(
            torch.tensor([[5, 6, 7, 8, 9]]), decoder_input_ids=torch.tensor([target])
        ).logits[0]
    rows = logits.double().log_softmax(-1)
    expected = [rows[place, following].item() for place, following in enumerate(target[1:])]
    np.testing.assert_allclose(table["log_probability"][1:], expected, atol=1e-4)


def test_an_encoder_errors() -> None:
    model = vizcore.Model.of(tiny.tiny_network("bert"), tiny.word_piece_tokenizer(), name="tiny")
    with pytest.raises(vizcore.MissingHeadError) as error:
        vizcore.surprisal(model, "the cat")
    assert str(error.value) == (
        "tiny is an encoder: it sees the whole text at once, so no token comes as a surprise to "
        'it. Use a model that reads from left to right, such as "smollm2-135m".'
    )


def test_a_decoder_without_a_head_errors() -> None:
    from transformers import GPT2Model

    network = GPT2Model(tiny.tiny_config("gpt2"))
    model = vizcore.Model.of(network, tiny.byte_level_tokenizer(), name="tiny")
    with pytest.raises(vizcore.MissingHeadError, match="^tiny has no language-model head"):
        vizcore.surprisal(model, "the cat")


def test_of_two_sentences_smollm2_prefers_the_grammatical(smollm2: vizcore.Model) -> None:
    def total(text: str) -> float:
        return float(vizcore.surprisal(smollm2, text, bos=True)["log_probability"].sum())

    assert total("The cats are asleep.") > total("The cats is asleep.")
