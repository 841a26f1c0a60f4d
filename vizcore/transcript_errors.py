"""How many words (or characters) of a hypothesis are wrong, against a reference.

The word error rate is the least number of substitutions, deletions and insertions that make the
reference of the hypothesis, over the words of the reference; it may be above 1. Case and
punctuation don't count, as usual in speech recognition. Text without spaces, as Chinese, is
compared by characters. It says nothing of meaning.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import jiwer

from vizcore.errors import DataError

Unit = Literal["word", "character"]


@dataclass(frozen=True)
class WordErrors:
    """What is wrong in one hypothesis, or in several together.

    Args:
        n_reference: units in the reference.
        substitutions, deletions, insertions: how many of each there are.
    """

    n_reference: int
    substitutions: int
    deletions: int
    insertions: int

    @property
    def rate(self) -> float:
        """All errors over the units of the reference."""
        return (self.substitutions + self.deletions + self.insertions) / self.n_reference


def word_errors(reference: str, hypothesis: str, *, unit: Unit | None = None) -> WordErrors:
    """Compare a hypothesis with what was really said or meant.

    Args:
        reference: the right words.
        hypothesis: what is to be judged; it may be empty.
        unit: "word" or "character"; None takes characters for a reference that is mostly Chinese,
            Japanese or Thai, which put no spaces between words.

    Raises:
        DataError: if the reference has no words.
    """
    unit = unit or usual_unit(reference)
    right, said = plain_words(reference), plain_words(hypothesis)
    if not right:
        raise DataError(
            "The reference has no words to compare with. Give the words that were really said."
        )
    if unit == "character":
        right, said = list("".join(right)), list("".join(said))
    # Joined by spaces and split at them again: jiwer's characters would count the spaces, too.
    found = jiwer.process_words(" ".join(right), " ".join(said))
    return WordErrors(len(right), found.substitutions, found.deletions, found.insertions)


def total_errors(counts: Iterable[WordErrors]) -> WordErrors:
    """All together, as the rate of a corpus is counted: long references count for more."""
    found = list(counts)
    return WordErrors(
        sum(one.n_reference for one in found),
        sum(one.substitutions for one in found),
        sum(one.deletions for one in found),
        sum(one.insertions for one in found),
    )


def plain_words(text: str) -> list[str]:
    """The words in lower case, without punctuation; apostrophes inside of words stay."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    kept = "".join(
        character if character == "'" or unicodedata.category(character)[0] in "LMN" else " "
        for character in folded
    )
    return [word for part in kept.split() if (word := part.strip("'"))]


def usual_unit(reference: str) -> Unit:
    """Characters for text that is mostly in a script without spaces between words."""
    letters = [character for character in reference if character.isalpha()]
    names = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
    spaceless = sum(unicodedata.name(letter, "").startswith(names) for letter in letters)
    return "character" if spaceless * 2 > len(letters) else "word"
