"""Labels for tokens: nothing invisible, nothing empty, every piece in its place."""

import re
import unicodedata
from typing import Any

import jaxtyping
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

import vizcore
from tests.support import tiny
from vizcore.tokens import SIGNS, display_tokens, special_positions

BYTE_LEVEL = tiny.byte_level_tokenizer()
SENTENCE_PIECE = tiny.sentence_piece_tokenizer()
WORD_PIECE = tiny.word_piece_tokenizer()


def labels(text: str, tokenizer: PreTrainedTokenizerFast = BYTE_LEVEL) -> list[str]:
    return display_tokens(tokenizer, tokenizer(text)["input_ids"])


# --- Byte-level -----------------------------------------------------------------------------------


def test_leading_spaces_become_dots() -> None:
    assert labels("the cat looked") == ["the", "·cat", "·looked"]
    assert "".join(labels("  the")) == "··the"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("\n", ["⏎"]), ("\t", ["⇥"]), ("\r", ["␍"]), ("a\nb", ["a", "⏎", "b"])],
)
def test_line_breaks_and_tabs_become_signs(text: str, shown: list[str]) -> None:
    assert labels(text) == shown


def test_the_bytes_of_one_character_show_the_character_and_which_part_they_are() -> None:
    assert labels("我爱") == ["我¹⁄₃", "我²⁄₃", "我³⁄₃", "爱¹⁄₃", "爱²⁄₃", "爱³⁄₃"]
    assert labels("é") == ["é¹⁄₂", "é²⁄₂"]
    assert labels("🎉") == ["🎉¹⁄₄", "🎉²⁄₄", "🎉³⁄₄", "🎉⁴⁄₄"]


def test_tokens_that_are_bytes_show_the_character_too() -> None:
    tokenizer = ByT5Tokenizer()
    shown = display_tokens(tokenizer, tokenizer("a é我")["input_ids"])
    assert shown == ["a", "·", "é¹⁄₂", "é²⁄₂", "我¹⁄₃", "我²⁄₃", "我³⁄₃", "</s>"]


def test_the_space_before_a_character_is_shown_once() -> None:
    assert labels("the 我")[1:] in (
        ["·", "我¹⁄₃", "我²⁄₃", "我³⁄₃"],  # the space may be a token of its own
        ["·我¹⁄₃", "我²⁄₃", "我³⁄₃"],
    )
    joined = _with_token("Ġæ")
    assert labels(" 我", joined) == ["·我¹⁄₃", "我²⁄₃", "我³⁄₃"]


def _with_token(token: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer that has also learned to merge two bytes into this token."""
    import json

    from tokenizers import Tokenizer

    content = json.loads(BYTE_LEVEL.backend_tokenizer.to_str())
    content["model"]["vocab"][token] = len(content["model"]["vocab"])
    content["model"]["merges"].insert(0, [token[0], token[1:]])
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(content)))


def test_bytes_that_are_no_character_are_shown_as_bytes() -> None:
    whole = BYTE_LEVEL("我")["input_ids"]
    assert display_tokens(BYTE_LEVEL, whole[:1]) == ["E6"]
    assert display_tokens(BYTE_LEVEL, whole[1:]) == ["88", "91"]
    assert display_tokens(BYTE_LEVEL, [*whole[:2], *whole]) == [
        "E6",
        "88",
        "我¹⁄₃",
        "我²⁄₃",
        "我³⁄₃",
    ]


def test_a_replacement_character_in_the_text_is_shown_as_its_bytes() -> None:
    assert labels("\ufffd") == ["EF", "BF", "BD"]


def test_special_tokens_keep_their_names() -> None:
    assert display_tokens(BYTE_LEVEL, [1, 2, 0]) == ["<s>", "</s>", "<pad>"]
    assert special_positions(BYTE_LEVEL, [1, 50, 2]) == [0, 2]


def test_an_id_without_a_token_shows_its_number() -> None:
    assert display_tokens(BYTE_LEVEL, [299]) == ["#299"]


# --- Nothing invisible ----------------------------------------------------------------------------

UNSEEN = {
    "right-to-left override": ("\u202e", "⟨202E⟩"),
    "left-to-right isolate": ("\u2066", "⟨2066⟩"),
    "zero width space": ("\u200b", "⟨200B⟩"),
    "zero width joiner": ("\u200d", "⟨200D⟩"),
    "byte order mark": ("\ufeff", "⟨FEFF⟩"),
    "soft hyphen": ("\u00ad", "⟨AD⟩"),
    "escape": ("\u001b", "⟨1B⟩"),
    "line separator": ("\u2028", "⟨2028⟩"),
    "thin space": ("\u2009", "⟨2009⟩"),
    "no-break space": ("\u00a0", "⍽"),
    "ideographic space": ("\u3000", "□"),
}


@pytest.mark.parametrize(("character", "sign"), UNSEEN.values(), ids=UNSEEN)
def test_what_cannot_be_seen_is_named(character: str, sign: str) -> None:
    assert [re.sub("[⁰¹²³⁴]⁄[₀₁₂₃₄]", "", label) for label in labels(character)] == (
        [sign] * len(character.encode())
    )


def test_what_needs_a_letter_to_stand_on_gets_a_ring() -> None:
    assert labels("\u0301") == ["◌\u0301¹⁄₂", "◌\u0301²⁄₂"]
    assert labels("\ufe0f")[0] == "◌\ufe0f¹⁄₃"


def test_an_emoji_that_is_joined_shows_its_parts_and_what_joins_them() -> None:
    shown = labels("👩\u200d👧")
    assert [shown[0], shown[4], shown[7]] == ["👩¹⁄₄", "⟨200D⟩¹⁄₃", "👧¹⁄₄"]


@settings(deadline=None, max_examples=150)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20))
@pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, SENTENCE_PIECE, WORD_PIECE])
def test_every_label_shows_something_and_reorders_nothing(
    tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    ids = tokenizer(text)["input_ids"]
    shown = display_tokens(tokenizer, ids)
    assert len(shown) == len(ids)
    for label in shown:
        assert label
        assert "\ufffd" not in label
        assert not [c for c in label if unicodedata.category(c) in ("Cc", "Cf", "Zs", "Zl", "Zp")]


@settings(deadline=None, max_examples=100)
@given(text=st.text(st.characters(min_codepoint=9, max_codepoint=126), max_size=30))
def test_a_plain_text_can_be_read_back_from_its_labels(text: str) -> None:
    back = {sign: character for character, sign in SIGNS.items()}
    joined = "".join(labels(text))
    joined = re.sub("⟨([0-9A-F]+)⟩", lambda found: chr(int(found[1], 16)), joined)
    assert "".join(back.get(character, character) for character in joined) == text


# --- Other kinds of tokenizers --------------------------------------------------------------------


def test_word_pieces_keep_their_marks() -> None:
    shown = labels("cats looked", WORD_PIECE)
    assert shown[0] == "[CLS]"
    assert shown[-1] == "[SEP]"
    assert any(label.startswith("##") for label in shown)


def test_sentence_pieces_have_dots_and_bytes_have_their_characters() -> None:
    shown = labels("the cat", SENTENCE_PIECE)
    assert "".join(shown[:-1]) == "·the·cat"
    assert shown[-1] == "</s>"
    assert labels("我", SENTENCE_PIECE)[1:] == ["我¹⁄₃", "我²⁄₃", "我³⁄₃", "</s>"]


# --- The real ones --------------------------------------------------------------------------------


def test_every_token_of_smollm2_has_a_label_that_shows(
    smollm2: vizcore.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer: Any = smollm2.tokenizer
    # Checking annotations at each of half a million calls would take longer than all the rest.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    # A special token after each, so that no two join to one character.
    apart = [token for token_id in range(len(tokenizer)) for token in (token_id, 0)]
    shown = display_tokens(tokenizer, apart)[::2]
    assert len(shown) == len(tokenizer)
    assert [label for label in shown if not label.strip() or "\ufffd" in label] == []


def test_smollm2_shows_chinese_and_emoji_as_characters(smollm2: vizcore.Model) -> None:
    def shown(text: str) -> list[str]:
        return smollm2.labels(smollm2.encode(text))

    stripped = [re.sub("[¹²³⁴]⁄[₁₂₃₄]", "", label) for label in shown("我爱你")]
    assert list(dict.fromkeys(stripped)) == ["我", "爱", "你"]
    assert shown("Hi there\n") == ["Hi", "·there", "⏎"]
    assert all("🎉" in label or label == "·" for label in shown(" 🎉"))


def test_minilm_shows_its_word_pieces(minilm: vizcore.Model) -> None:
    shown = minilm.labels(minilm.encode("unbelievable transformers"))
    assert shown == ["[CLS]", "unbelievable", "transformers", "[SEP]"]
    shown = minilm.labels(minilm.encode("attentionheads"))
    assert shown == ["[CLS]", "attention", "##heads", "[SEP]"]
