"""What a caller is told who gives sentences that cannot be scored."""

from typing import Any

import pytest

import vizcore
from tests.support import tiny


@pytest.fixture(scope="module")
def model() -> vizcore.Model:
    return vizcore.Model.of(tiny.tiny_network("gpt2"), tiny.byte_level_tokenizer(), name="tiny")


@pytest.fixture(scope="module")
def masked() -> vizcore.Model:
    return vizcore.Model.of(tiny.tiny_network("bert"), tiny.word_piece_tokenizer(), name="masked")


def told(error: type[Exception], call: Any) -> str:
    with pytest.raises(error) as raised:
        call()
    return str(raised.value)


def test_one_string_errors(model: vizcore.Model) -> None:
    assert told(vizcore.TextError, lambda: vizcore.score(model, "the cat")) == (
        "The sentences are one string, whose letters would be scored one by one. Put it into a "
        'list: score(model, ["…"]).'
    )


def test_an_empty_sentence_errors_with_its_number(model: vizcore.Model) -> None:
    assert told(vizcore.EmptyTextError, lambda: vizcore.score(model, ["the cat", "", "a"])) == (
        "Sentence 2 (''): The text is empty. Type a word or two."
    )


def test_half_a_character_errors_with_its_number(model: vizcore.Model) -> None:
    assert told(
        vizcore.UnencodableTextError, lambda: vizcore.score(model, ["the cat", "a \ud83d"])
    ) == (
        r"Sentence 2 ('a \ud83d'): Character 2 is half of a surrogate pair (U+D83D), which is no "
        "text. Remove it; it is often left over from cutting an emoji in two."
    )


def test_a_sentence_that_is_too_long_errors_with_its_number(model: vizcore.Model) -> None:
    message = told(vizcore.TextTooLongError, lambda: vizcore.score(model, ["a", "the cat " * 50]))
    assert message.startswith(
        "Sentence 2 ('the cat the cat the cat the cat the cat …'): The text has "
    )
    assert message.endswith("or run it in parts.")


def test_a_beginning_of_text_must_not_make_a_sentence_too_long(model: vizcore.Model) -> None:
    just = next(
        text for n in range(200) if len(model.encode(text := "the " + "a" * n)) == model.max_tokens
    )
    assert vizcore.score(model, [just])["n_tokens"].tolist() == [63]
    assert told(vizcore.TextTooLongError, lambda: vizcore.score(model, [just], bos=True)) == (
        f"Sentence 1 ('{just[:40]}…'): The text has 65 tokens, and tiny reads at most 64. Shorten "
        "it by 1 tokens, or run it in parts."
    )


def test_something_that_is_no_string_errors(model: vizcore.Model) -> None:
    sentences: Any = iter(["the cat", 3])
    assert told(vizcore.TextError, lambda: vizcore.score(model, sentences)) == (
        "Sentence 2 is no text but int. Give strings."
    )


def test_too_few_and_too_many_prefixes_error(model: vizcore.Model) -> None:
    assert told(vizcore.TextError, lambda: vizcore.score(model, ["a", "b"], given=["c"])) == (
        "There is nothing given for sentence 2: give as many prefixes as sentences, or one string "
        "for all of them."
    )
    assert told(vizcore.TextError, lambda: vizcore.score(model, ["a"], given=["c", "d"])) == (
        "More prefixes are given than there are sentences: give as many, or one string for all of "
        "them."
    )


def test_a_tokenizer_without_a_beginning_of_text_errors(model: vizcore.Model) -> None:
    tokenizer = tiny.byte_level_tokenizer()
    tokenizer.bos_token = None
    without = vizcore.Model.of(model.network, tokenizer, name="tiny")
    assert told(vizcore.SelectionError, lambda: vizcore.score(without, ["the cat"], bos=True)) == (
        "The tokenizer of tiny has no beginning-of-text token: leave out `bos`."
    )


def test_a_masked_model_with_a_beginning_of_text_errors(masked: vizcore.Model) -> None:
    assert told(vizcore.SelectionError, lambda: vizcore.score(masked, ["the cat"], bos=True)) == (
        "masked does not read from left to right alone, so no beginning-of-text token can be put "
        "in front: leave out `bos`."
    )


def test_an_unknown_masking_errors(masked: vizcore.Model) -> None:
    masking: Any = "whole"
    call = lambda: vizcore.score_stream(masked, ["the cat"], masking=masking)  # noqa: E731
    assert told(vizcore.SelectionError, lambda: list(call())) == (
        "There is no masking 'whole': it is \"within_word_l2r\" (Kauf & Ivanova 2023) or "
        '"original" (Salazar et al. 2020).'
    )


def test_a_tokenizer_without_a_mask_token_errors() -> None:
    tokenizer = tiny.word_piece_tokenizer()
    tokenizer.mask_token = None
    model = vizcore.Model.of(tiny.tiny_network("bert"), tokenizer, name="masked")
    assert told(vizcore.SelectionError, lambda: vizcore.score(model, ["the cat"])) == (
        "The tokenizer of masked has no mask token, so no token can be hidden from it."
    )


def test_an_unknown_precision_errors(model: vizcore.Model) -> None:
    precision: Any = "half"
    assert told(
        vizcore.SelectionError, lambda: vizcore.score(model, ["the cat"], precision=precision)
    ) == (
        'There is no precision \'half\': it is "exact" (the model as it is) or "fast" (bfloat16, '
        "where the hardware has it)."
    )


def test_an_encoder_decoder_without_sources_errors() -> None:
    model = vizcore.load("tatoeba-translator")
    assert told(vizcore.SelectionError, lambda: vizcore.score(model, ["我爱你。"])) == (
        "tatoeba-translator is an encoder-decoder: it says how likely a target is given a source. "
        "Give the sources: score(model, targets, given=sources)."
    )


def test_models_without_a_head_error() -> None:
    from transformers import BertModel, GPT2Model

    decoder = vizcore.Model.of(
        GPT2Model(tiny.tiny_config("gpt2")), tiny.byte_level_tokenizer(), name="tiny"
    )
    encoder = vizcore.Model.of(
        BertModel(tiny.tiny_config("bert")), tiny.word_piece_tokenizer(), name="tiny"
    )
    for model, better in ((decoder, "smollm2-135m"), (encoder, "tatoeba-mlm")):
        assert told(vizcore.MissingHeadError, lambda model=model: vizcore.score(model, ["a"])) == (
            "tiny has no language-model head, so it predicts no tokens and cannot say how likely a "
            f'sentence is. Load a model with one, such as "{better}".'
        )
