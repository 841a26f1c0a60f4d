"""A text reads as it was written, whatever its tokenizer made of it."""

import pytest

from vizcore.views.running import BREAKS, QUIET, SPACED, running


def written(tokens: list[str]) -> str:
    """The text as the view puts it."""
    pieces, flags = running(tokens)
    return "".join(
        (" " if flag & SPACED else "") + piece + ("\n" if flag & BREAKS else "")
        for piece, flag in zip(pieces, flags, strict=True)
    )


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (["The", "·cat", "·s", "at", "."], "The cat sat."),
        (["<s>", "·Hello", ",", "·you", "</s>"], "<s> Hello, you </s>"),
        (["[CLS]", "un", "##bel", "##ievable", "[SEP]"], "[CLS] unbelievable [SEP]"),
        (["it", "'", "s", "(", "so", ")", "warm", "!"], "it's (so) warm!"),
        (["<s>", "天", "气", "很", "好", "，", "不", "是"], "<s> 天气很好，不是"),
        (["안녕", "세상"], "안녕 세상"),
        (["one", "·line", "⏎", "two", "·lines"], "one line⏎\ntwo lines"),
        (["ab", "⏎", "·cd"], "ab⏎\ncd"),
        (["x", "·", "·3"], "x· 3"),
        (["·猫¹⁄₃", "·猫²⁄₃", "·猫³⁄₃", "·b"], "猫²⁄₃³⁄₃ b"),
        (["an", "attention", "map"], "an attention map"),
        (["a"], "a"),
    ],
)
def test_spaces_and_lines_are_where_they_were(tokens: list[str], text: str) -> None:
    assert written(tokens) == text


def test_every_token_stays_a_piece_of_its_own() -> None:
    tokens = ["[CLS]", "·", "a", "·b", "##c", "👨¹⁄₂", "👨²⁄₂", "⏎", ""]
    pieces, flags = running(tokens)
    assert len(pieces) == len(flags) == len(tokens)


def test_what_is_no_part_of_the_text_is_quiet() -> None:
    _, flags = running(["<s>", "·猫¹⁄₂", "·猫²⁄₂", "·[a]", "<|endoftext|>"])
    assert [bool(flag & QUIET) for flag in flags] == [True, False, True, False, True]
