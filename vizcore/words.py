"""Words and sentences of a text, and which tokens make which word.

The idea: words are found in the text, not in the tokens, so that every tokenizer gives the same
ones; a token then belongs to the words whose characters it carries. Word boundaries follow the
default rules of Unicode (UAX #29). Not for scripts that need a dictionary to be split (Thai, Lao,
Khmer, Burmese): there a run of letters stays one word.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

Span = tuple[int, int]
"""From the first position to the one after the last."""

_JOINER = "\u200d"
_JOINING = {_JOINER, "\u200c", *map(chr, range(0xE0020, 0xE0080))}
"""Unseen themselves, but they decide how their neighbours are drawn."""
_EXTENDING = {"Mn", "Mc", "Me", "Cf"}
"""Unicode's categories of what belongs to the character before: accents, signs, joiners."""
_BETWEEN_LETTERS = frozenset("'’.·\u05f4")
_BETWEEN_DIGITS = frozenset("'’.,;٫٬")
_SINGLE = (
    (0x3005, 0x3007),
    (0x3041, 0x309F),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
"""Han and Hiragana: written without spaces, and each character stands for itself."""
_KATAKANA = ((0x30A1, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F))
_FLAGS = ((0x1F1E6, 0x1F1FF),)
_SKIN = ((0x1F3FB, 0x1F3FF),)
_BLANK = "⏎␍⇥·⍽□ "
"""How white space is shown that is a token of its own, see `vizcore.tokens`."""
_ENDS = frozenset(".!?…。！？؟۔।॥｡")
_ENDS_WITHOUT_SPACE = frozenset("。！？｡")
_CLOSING = frozenset("\"'”’»›)]}」』）】》〉")
_ABBREVIATIONS = frozenset("mr mrs ms dr prof st jr sr vs no fig eq cf al".split())
"""What a full stop after it, and a capital letter after that, make no sentence of."""


@dataclass(frozen=True)
class Words:
    """Which word each token of a text belongs to.

    Args:
        numbers: for each token the number of its word, counted from 0. Tokens of one word stand
            side by side.
        texts: for each word what to show.
        special: for each word, whether it is a special token that the tokenizer put there.
        gaps: for each word the white space before it, "" if there is none.
    """

    numbers: tuple[int, ...]
    texts: tuple[str, ...]
    special: tuple[bool, ...]
    gaps: tuple[str, ...]

    @property
    def spans(self) -> list[Span]:
        """For each word its first token and the one after its last."""
        starts = [
            place
            for place, number in enumerate(self.numbers)
            if place == 0 or number != self.numbers[place - 1]
        ]
        return list(pairwise([*starts, len(self.numbers)]))

    @property
    def sentences(self) -> list[Span]:
        """For each sentence its first word and the one after its last.

        A sentence ends with a full stop, question or exclamation mark (and quotes or brackets that
        close after it) before white space, if no small letter follows; with the full stop of
        Chinese and Japanese in any case; and at a blank line. "Mr." and initials ("J.") end none.
        A special token is a sentence of its own.
        """
        starts = [0]
        for place in range(1, len(self.texts)):
            if self.is_blank(place):
                continue  # a line break by itself begins nothing: it belongs to what was before
            before = place - 1
            while before > starts[-1] and self.is_blank(before):
                before -= 1
            if (
                self.special[place]
                or self.special[before]
                or self.gaps[place].count("\n") > 1
                or self._ends_sentence(before, place, first=starts[-1])
            ):
                starts.append(place)
        return list(pairwise([*starts, len(self.texts)])) if self.texts else []

    def joined(self, span: Span) -> str:
        """The words of a span as running text."""
        words = [place for place in range(*span) if not self.is_blank(place)]
        shown = "".join(
            (" " if self._spaced(place) else "") + self.texts[place] for place in words
        ).strip()
        return shown or "".join(self.texts[place] for place in range(*span))

    def is_blank(self, number: int) -> bool:
        """Whether the word is white space that a token has for itself, such as a line break."""
        return not self.special[number] and not self.texts[number].strip(_BLANK)

    def _spaced(self, place: int) -> bool:
        blank = place > 0 and self.is_blank(place - 1)
        return blank or self.gaps[place] != "" or self.special[place]

    def _ends_sentence(self, before: int, place: int, *, first: int) -> bool:
        closes = before
        while closes > first and set(self.texts[closes]) <= _CLOSING:
            closes -= 1
        mark = self.texts[closes]
        if not mark or mark[-1] not in _ENDS:
            return False
        if mark[-1] in _ENDS_WITHOUT_SPACE:
            return not set(self.texts[place]) <= _CLOSING
        spaced = any(self._spaced(one) for one in range(before + 1, place + 1))
        if not spaced or self.texts[place][0].islower():
            return False
        stem = self.texts[closes - 1] if mark == "." and closes > first else ""
        is_initial = len(stem) == 1 and stem.isupper() and stem != "I"
        return not is_initial and stem.lower() not in _ABBREVIATIONS


def words_from_spans(text: str, spans: Sequence[Span | None], labels: Sequence[str]) -> Words:
    """The words that tokens make of a text.

    Tokens that carry characters of one word are of one word; so a token that reaches over several
    makes them one. White space before a word belongs to it; a token of nothing but other white
    space is a word of its own, and so is a special token.

    Args:
        text: what was tokenised.
        spans: for each token the characters that it carries, None for a special token. Several
            may carry one character, if each has some of its bytes.
        labels: for each token what to show if it is special or has no text.
    """
    word_at = [-1] * len(text)
    for number, (start, stop) in enumerate(split_words(text)):
        word_at[start:stop] = [number] * (stop - start)
    touched = [
        [] if span is None else [word_at[i] for i in range(*span) if word_at[i] >= 0]
        for span in spans
    ]
    starts: list[int] = []
    last = -1  # of the words that have been carried so far
    for place, words in enumerate(touched):
        alone = not words or not place or not touched[place - 1] or words[0] > last
        last = max([last, *words])
        if place == 0 or (alone and not _is_space_before(text, spans, touched, place)):
            starts.append(place)
    numbers, texts, special, gaps = [], [], [], []
    for number, (first, last) in enumerate(pairwise([*starts, len(spans)])):
        numbers += [number] * (last - first)
        its = [span for span in spans[first:last] if span is not None]
        begin = min((start for start, _ in its), default=0)
        whole = text[begin : max((stop for _, stop in its), default=0)]
        shown = whole.strip()
        gap_start = begin
        while gap_start > 0 and text[gap_start - 1].isspace():
            gap_start -= 1
        gap = text[gap_start:begin] + whole[: len(whole) - len(whole.lstrip())]
        texts.append(_visible(shown) if shown and its else "".join(labels[first:last]))
        special.append(not its)
        gaps.append(gap if shown and its else "")
    return Words(tuple(numbers), tuple(texts), tuple(special), tuple(gaps))


def _visible(text: str) -> str:
    """The text without what would reorder others or trace nothing; what joins letters stays."""
    return "".join(
        f"⟨{ord(character):X}⟩"
        if unicodedata.category(character) in ("Cc", "Cf") and character not in _JOINING
        else character
        for character in text
    )


def _is_space_before(
    text: str, spans: Sequence[Span | None], touched: Sequence[Sequence[int]], place: int
) -> bool:
    """Whether the token before is the single space of this word, as a token of its own."""
    before, this = spans[place - 1], spans[place]
    if before is None or this is None or not touched[place] or touched[place - 1]:
        return False
    return text[slice(*before)] in ("", " ") and not text[slice(*this)][:1].isspace()


def split_words(text: str) -> list[Span]:
    """The words of a text, in characters; white space is in none.

    Letters and digits that stand together are a word, with a mark between two letters (don't) or
    two digits (3.5). Each Chinese character, punctuation mark and emoji is one; marks that repeat
    ("...") are one together, and so are an emoji and what is joined to it.
    """
    found: list[Span] = []
    start, before, base = 0, "space", ""
    inside = False  # of a word that goes on over a mark: don't, 3.5
    n_flags = 0
    for place, character in enumerate(text):
        kind = _kind(character)
        if kind == "extending" and before != "space":
            continue
        joins = (
            inside
            or (before == kind and kind in ("letter", "digit", "katakana"))
            or {before, kind} == {"letter", "digit"}
            or (before == kind == "mark" and base == character and not _is_picture(character))
            or (before == kind == "flag" and n_flags % 2 == 1)
            or (place > 0 and text[place - 1] == _JOINER and before == kind == "mark")
        )
        inside = False
        if not joins and kind == "mark" and _is_between(text, place, before):
            joins = inside = True
        if before != "space" and not joins:
            found.append((start, place))
        if not joins:
            start, n_flags = place, 0
        n_flags += kind == "flag"
        before, base = kind, character
        if kind == "space":
            start = place + 1
    if before != "space":
        found.append((start, len(text)))
    return found


def _is_between(text: str, place: int, before: str) -> bool:
    """Whether this mark stands between two letters, or two digits, as part of a word."""
    after = _kind(text[place + 1]) if place + 1 < len(text) else "space"
    marks = {"letter": _BETWEEN_LETTERS, "digit": _BETWEEN_DIGITS}.get(before, frozenset())
    return after == before and text[place] in marks


@lru_cache(maxsize=4096)
def _kind(character: str) -> str:
    code, category = ord(character), unicodedata.category(character)
    if character.isspace() or category in ("Zs", "Zl", "Zp") or character in "\u200b\ufeff":
        return "space"
    if category in _EXTENDING or _within(code, _SKIN):
        return "extending"
    if _within(code, _SINGLE):
        return "single"
    if _within(code, _KATAKANA):
        return "katakana"
    if _within(code, _FLAGS):
        return "flag"
    if category == "Nd":
        return "digit"
    return "letter" if category[0] in "LN" or character == "_" else "mark"


def _is_picture(character: str) -> bool:
    return unicodedata.category(character) == "So"


def _within(code: int, ranges: Sequence[Span]) -> bool:
    return any(first <= code <= last for first, last in ranges)
