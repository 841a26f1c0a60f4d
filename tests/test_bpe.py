"""The learned tokenizer: every text comes back, and pieces are what they should be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from tests.support.sentences import pairs
from vizcore.bpe import END_ID, MASK_ID, PAD_ID, START_ID, learn_tokenizer
from vizcore.errors import TrainingError
from vizcore.tokens import display_tokens

TEXTS = [text for pair in pairs() for text in pair] + ["Tom's cats aren't here, are they?"] * 3


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return learn_tokenizer(TEXTS, task="language-model", vocab_size=420)


def test_each_chinese_character_is_a_token_of_its_own(tokenizer: PreTrainedTokenizerBase) -> None:
    ids = tokenizer("我喜欢猫。")["input_ids"]
    assert display_tokens(tokenizer, ids) == ["<s>", "我", "喜", "欢", "猫", "。"]


def test_a_word_is_the_same_token_at_the_beginning_and_within(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    first, *_others = tokenizer("Tom", add_special_tokens=False)["input_ids"]
    assert first in tokenizer("cats see Tom")["input_ids"]


@given(
    text=st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=30).map(
        lambda text: " ".join(text.split())
    )
)
def test_every_text_comes_back_from_its_tokens(text: str) -> None:
    import unicodedata

    made = _TOKENIZER.decode(_TOKENIZER(text)["input_ids"], skip_special_tokens=True)
    expected = unicodedata.normalize("NFC", text)
    assert made.split() == expected.replace("\u2581", " ").split()


_TOKENIZER = learn_tokenizer(TEXTS, task="masked", vocab_size=420)


def test_a_character_that_was_never_seen_falls_into_its_bytes(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    ids = tokenizer("鱻", add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["<0xE9>", "<0xB1>", "<0xBB>"]
    assert display_tokens(tokenizer, ids) == ["鱻¹⁄₃", "鱻²⁄₃", "鱻³⁄₃"]


def test_what_looks_like_a_byte_in_a_text_stays_text(tokenizer: PreTrainedTokenizerBase) -> None:
    ids = tokenizer("a <0x41> b")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a <0x41> b"


@pytest.mark.parametrize(
    ("task", "begins", "ends"),
    [
        ("translation", False, True),
        ("language-model", True, False),
        ("masked", True, True),
    ],
)
def test_a_task_decides_what_is_put_around_a_text(task: str, begins: bool, ends: bool) -> None:
    made = learn_tokenizer(TEXTS, task=task, vocab_size=420)
    ids = made("cats")["input_ids"]
    assert (ids[0] == START_ID, ids[-1] == END_ID) == (begins, ends)
    assert (made.pad_token_id, made.bos_token_id, made.eos_token_id) == (PAD_ID, START_ID, END_ID)
    assert made.mask_token_id == (MASK_ID if task == "masked" else None)


def test_a_vocabulary_that_cannot_hold_the_characters_is_refused() -> None:
    with pytest.raises(TrainingError) as refused:
        learn_tokenizer(["abc", "abc"], task="masked", vocab_size=262)
    assert str(refused.value) == (
        "A vocabulary of 262 is too small: 4 special tokens, 256 bytes and 4 characters that "
        "occur 2 times or more need at least 264. Give a larger one."
    )
