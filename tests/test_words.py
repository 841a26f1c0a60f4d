"""Words and sentences of a text, and the words that tokens make."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import ByT5Tokenizer, CanineTokenizer, PreTrainedTokenizerFast

from tests.support import tiny
from vizcore.token_words import token_words
from vizcore.words import Words, split_words, words_from_spans

BYTE_LEVEL = tiny.byte_level_tokenizer()
SENTENCE_PIECE = tiny.sentence_piece_tokenizer()
WORD_PIECE = tiny.word_piece_tokenizer()
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=25)


def words(text: str) -> list[str]:
    return [text[start:stop] for start, stop in split_words(text)]


def of(tokenizer: Any, text: str) -> Words:
    return token_words(tokenizer, tokenizer(text)["input_ids"], text)


def of_ids(tokenizer: Any, text: str) -> Words:
    return token_words(tokenizer, tokenizer(text)["input_ids"])


# --- Words of a text ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the cat", ["the", "cat"]),
        ("Don't stop, it’s 3.5!", ["Don't", "stop", ",", "it’s", "3.5", "!"]),
        ("'quoted' dogs'", ["'", "quoted", "'", "dogs", "'"]),
        ("1,000.50, a_b2 U.S.A.", ["1,000.50", ",", "a_b2", "U.S.A", "."]),
        ("well-known (see x=1)...", ["well", "-", "known", "(", "see", "x", "=", "1", ")", "..."]),
        ("我们走吧。好", ["我", "们", "走", "吧", "。", "好"]),
        ("カタカナのテスト", ["カタカナ", "の", "テスト"]),
        ("안녕 세계", ["안녕", "세계"]),
        ("مَرْحَبًا بالعالم، كيف", ["مَرْحَبًا", "بالعالم", "،", "كيف"]),
        ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया", "।"]),
        (
            "👩\u200d👩\u200d👧😂😂 👍🏽❤\ufe0f",
            ["👩\u200d👩\u200d👧", "😂", "😂", "👍🏽", "❤\ufe0f"],
        ),
        ("🇩🇪🇫🇷 1\ufe0f\u20e3", ["🇩🇪", "🇫🇷", "1\ufe0f\u20e3"]),
        ("e\u0301te\u0301 naïve", ["e\u0301te\u0301", "naïve"]),
        (" \n\t", []),
        ("", []),
    ],
)
def test_words_are_what_readers_take_for_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(text=TEXTS)
def test_every_character_is_in_one_word_or_is_white_space(text: str) -> None:
    spans = split_words(text)
    covered = [place for start, stop in spans for place in range(start, stop)]
    assert covered == sorted(set(covered))
    assert all(start < stop for start, stop in spans)
    left = [text[place] for place in range(len(text)) if place not in covered]
    assert all(c.isspace() or c in "\u200b\ufeff" for c in left)


# --- Words that tokens make -----------------------------------------------------------------------


@pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, SENTENCE_PIECE, WORD_PIECE])
def test_all_tokenizers_make_the_same_words(tokenizer: PreTrainedTokenizerFast) -> None:
    made = of(tokenizer, "the Cats didn't look, 3.5 tables!")
    texts = [text for text, special in zip(made.texts, made.special, strict=True) if not special]
    assert texts == ["the", "Cats", "didn't", "look", ",", "3.5", "tables", "!"]
    named = [text for text, special in zip(made.texts, made.special, strict=True) if special]
    assert named == {BYTE_LEVEL: [], SENTENCE_PIECE: ["</s>"], WORD_PIECE: ["[CLS]", "[SEP]"]}.get(
        tokenizer
    )


@pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, SENTENCE_PIECE])
@pytest.mark.parametrize(
    "text", ["我们 走", "مَرْحَبًا بالعالم، كيف", "the 👩\u200d👧 sat", "a\u0301 🇩🇪🇫🇷", "(the) 我"]
)
def test_the_bytes_of_a_character_stay_together(
    tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    made = of(tokenizer, text)
    assert [t for t, special in zip(made.texts, made.special, strict=True) if not special] == words(
        text
    )
    assert len(made.numbers) > len(made.texts)


def test_a_token_that_reaches_over_two_words_makes_them_one() -> None:
    assert words_from_spans("New York", [(0, 8)], ["New·York"]).texts == ("New York",)
    one = words_from_spans("我们好", [(0, 2), (2, 3)], ["我们", "好"])
    assert (one.texts, one.numbers) == (("我们", "好"), (0, 1))
    chained = words_from_spans("ab cd ef", [(0, 1), (1, 4), (4, 7), (7, 8)], list("wxyz"))
    assert (chained.texts, chained.numbers) == (("ab cd ef",), (0, 0, 0, 0))


def test_a_space_that_is_a_token_belongs_to_the_word_after_it_and_a_line_break_to_none() -> None:
    made = words_from_spans(
        "a b\n\nc", [(0, 1), (1, 2), (2, 3), (3, 5), (5, 6)], ["a", "·", "b", "⏎⏎", "c"]
    )
    assert made.numbers == (0, 1, 1, 2, 3)
    assert made.texts == ("a", "b", "⏎⏎", "c")
    assert made.gaps == ("", " ", "", "\n\n")
    assert [made.is_blank(number) for number in range(4)] == [False, False, True, False]
    # A token without any character is what stands for a space before the text.
    assert words_from_spans("a", [(0, 0), (0, 1)], ["·", "a"]).numbers == (0, 0)


def test_special_tokens_typed_into_the_text_are_words_of_their_own() -> None:
    made = of(BYTE_LEVEL, "the</s>cat")
    assert made.texts == ("the", "</s>", "cat")
    assert made.special == (False, True, False)


def test_unknown_and_masked_words_stand_for_text() -> None:
    made = of(WORD_PIECE, "the 👍🏽 [MASK] cat")
    assert made.texts == ("[CLS]", "the", "👍🏽", "[MASK]", "cat", "[SEP]")
    assert made.special == (True, False, False, False, False, True)


def test_what_would_reorder_a_page_is_named_and_what_joins_letters_is_kept() -> None:
    assert of(BYTE_LEVEL, "a\u202eb").texts == ("a⟨202E⟩b",)
    assert of(BYTE_LEVEL, "می\u200cخواهم").texts == ("می\u200cخواهم",)


def test_of_ids_alone_the_pieces_spell_the_text() -> None:
    text = "the cat's 3.5 我 tables"
    for tokenizer in (BYTE_LEVEL, SENTENCE_PIECE):
        assert of_ids(tokenizer, text).texts == of(tokenizer, text).texts
    # WordPiece does not say where there was no space.
    apart = of_ids(WORD_PIECE, "cat's")
    assert apart.texts == ("[CLS]", "cat", "[UNK]", "s", "[SEP]")
    assert apart.numbers == (0, 1, 2, 3, 4)
    assert of_ids(WORD_PIECE, "tables").numbers == (0, 1, 1, 2)


def test_tokenizers_of_single_characters_or_bytes_make_words_of_them() -> None:
    for tokenizer in (ByT5Tokenizer(), CanineTokenizer()):
        made = of(tokenizer, "Don't go, é 我们 👍🏽!")
        shown = [t for t, special in zip(made.texts, made.special, strict=True) if not special]
        assert shown == ["Don't", "go", ",", "é", "我", "们", "👍🏽", "!"]


def test_a_mark_at_the_end_of_a_word_is_read_as_one() -> None:
    learned = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    learned.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=30,
        special_tokens=["<unk>"],
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    learned.train_from_iterator(["the cats didn't sit on the mat"], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=learned, unk_token="<unk>")
    assert of(tokenizer, "the cats didn't sit").texts == ("the", "cats", "didn't", "sit")
    assert of_ids(tokenizer, "the cats sit").texts == ("the", "cats", "sit")


def test_what_a_decoder_reads_is_shifted_and_its_words_are_found_all_the_same() -> None:
    ids = [1, *SENTENCE_PIECE("the cat's mat")["input_ids"][:-1]]
    made = token_words(SENTENCE_PIECE, ids, "the cat's mat")
    assert made.texts == ("<s>", "the", "cat's", "mat")
    assert made.special == (True, False, False, False)


def test_a_text_that_is_not_of_these_tokens_is_not_used() -> None:
    ids = BYTE_LEVEL("the cat")["input_ids"]
    assert token_words(BYTE_LEVEL, ids, "something else").texts == ("the", "cat")


@settings(deadline=None, max_examples=60)
@given(text=TEXTS)
@pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, SENTENCE_PIECE, WORD_PIECE])
def test_words_are_numbered_one_after_the_other(
    tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    ids = tokenizer(text)["input_ids"]
    for made in (of(tokenizer, text), of_ids(tokenizer, text)):
        assert len(made.numbers) == len(ids)
        assert sorted(set(made.numbers)) == list(range(len(made.texts)))
        assert list(made.numbers) == sorted(made.numbers)
        assert all(made.texts)
        assert [range(*span) for span in made.spans if span[0] >= span[1]] == []


@settings(deadline=None, max_examples=60)
@given(ids=st.lists(st.integers(0, tiny.VOCABULARY - 5), max_size=12))
@pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, SENTENCE_PIECE])
def test_any_ids_have_words(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> None:
    ids = [token_id for token_id in ids if token_id < len(tokenizer)]
    assert len(token_words(tokenizer, ids).numbers) == len(ids)


@settings(deadline=None, max_examples=60)
@given(text=TEXTS)
def test_the_pieces_of_byte_level_tokenizers_and_their_offsets_make_the_same_words(
    text: str,
) -> None:
    assert of_ids(BYTE_LEVEL, text).numbers == of(BYTE_LEVEL, text).numbers


# --- Sentences ------------------------------------------------------------------------------------


def sentences(text: str, tokenizer: Any = BYTE_LEVEL) -> list[str]:
    made = of(tokenizer, text)
    return [made.joined(sentence) for sentence in made.sentences]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat sat. It slept! Why?", ["The cat sat.", "It slept!", "Why?"]),
        ("«Who?» she said. He left.", ["«Who?» she said.", "He left."]),
        ('He said "Go." Then he left.', ['He said "Go."', "Then he left."]),
        ("It cost 3.5 euros. Cheap... or not?", ["It cost 3.5 euros.", "Cheap... or not?"]),
        ("Mr. Smith met J. Doe, e.g. here.", ["Mr. Smith met J. Doe, e.g. here."]),
        ("我们走吧。好！走", ["我们走吧。", "好！", "走"]),
        ("他说：“走。”然后走了。", ["他说：“走。”", "然后走了。"]),
        ("a title\n\nthe text\nof it", ["a title", "the text of it"]),
        ("هل تحب القطط؟ نعم.", ["هل تحب القطط؟", "نعم."]),
        ("one", ["one"]),
    ],
)
def test_sentences_end_where_readers_see_them_end(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_special_tokens_are_sentences_of_their_own() -> None:
    assert sentences("the cat. the mat", WORD_PIECE) == ["[CLS]", "the cat. the mat", "[SEP]"]
    assert sentences("The cat. The mat", WORD_PIECE) == ["[CLS]", "The cat.", "The mat", "[SEP]"]


@settings(deadline=None, max_examples=60)
@given(text=TEXTS)
def test_every_word_is_in_one_sentence(text: str) -> None:
    made = of(BYTE_LEVEL, text)
    places = [place for sentence in made.sentences for place in range(*sentence)]
    assert places == list(range(len(made.texts)))
