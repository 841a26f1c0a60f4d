"""Token labels -> a text that can be read on: where spaces and line breaks go, and what is quiet.

The idea: labels say what a tokenizer did (`·cat`, `##ing`, `猫²⁄₃`); somebody who reads a sentence
wants it as it was written, with every token still a piece of its own. For labels of an axis take
the tokens as they are.
"""

import re
import unicodedata
from collections.abc import Sequence

SPACED = 1
"""A space stands before this token."""

BREAKS = 2
"""A line ends after this token."""

QUIET = 4
"""The token is no part of the text, or no letter of it: `[CLS]`, the second byte of a character."""

_SPECIAL = re.compile(r"\[[A-Z][A-Z0-9_]*\]|<[^<>\s]+>")
_PART = re.compile(r"(.*?)([⁰¹²³⁴⁵⁶⁷⁸⁹]+)(⁄[₀₁₂₃₄₅₆₇₈₉]+)", re.DOTALL)
_SPACE = "·"
_BREAK = "⏎"
_OPENING = {"Ps", "Pi"}
_CLOSING = {"Pe", "Pf", "Po"}
_JOINING = {"-", "'", "’", "/", "@", "_"}


def running(tokens: Sequence[str]) -> tuple[list[str], list[int]]:
    """What to print for each token, and its flags: `SPACED`, `BREAKS`, `QUIET`, added up.

    Where labels mark spaces with a dot, a space is where a dot is. Where they do not (word pieces,
    words), one is put between two tokens unless the second goes on with the first (`##ing`), one is
    punctuation that clings to the other, or both are of a script without spaces.
    """
    marked = any(len(token) > 1 and token.startswith(_SPACE) for token in tokens)
    texts: list[str] = []
    flags: list[int] = []
    before = ""
    for token in tokens:
        is_special = _SPECIAL.fullmatch(token) is not None
        text = token
        spaced = bool(before) and not before.endswith(_BREAK)
        if is_special or (before and _SPECIAL.fullmatch(before)):
            text = token[1:] if marked and _is_spaced(token) else token
        elif marked:
            spaced = spaced and _is_spaced(token)
            text = token[1:] if _is_spaced(token) else token
        elif len(token) > 2 and token.startswith("##"):
            spaced, text = False, token[2:]
        else:
            spaced = spaced and not _clings(before, token)
        part = _PART.fullmatch(text)
        is_later = part is not None and part[2] != "¹"
        if part is not None:
            text = f"{part[2]}{part[3]}" if is_later else part[1]
            spaced = spaced and not is_later
        texts.append(text)
        flags.append(
            (SPACED if spaced else 0)
            + (BREAKS if token.endswith(_BREAK) else 0)
            + (QUIET if is_special or is_later else 0)
        )
        before = token
    return texts, flags


def _is_spaced(token: str) -> bool:
    return len(token) > 1 and token.startswith(_SPACE)


def _clings(before: str, token: str) -> bool:
    if not before or not token:
        return True
    last, first = before[-1], token[0]
    if last in _JOINING or first in _JOINING:
        return True
    if unicodedata.category(first) in _CLOSING or unicodedata.category(last) in _OPENING:
        return True
    return _has_no_spaces(last) and _has_no_spaces(first)


def _has_no_spaces(character: str) -> bool:
    """Whether it is of a script that is written without spaces, or its punctuation."""
    if unicodedata.east_asian_width(character) in ("W", "F"):
        return not unicodedata.name(character, "").startswith("HANGUL")
    return unicodedata.name(character, "").split(" ")[0] in {"THAI", "LAO", "KHMER", "MYANMAR"}
