"""Files of sentences -> what is trained on and what is held out.

A file is read once, whole and checked: what is wrong is said with its line before any work is
done. The split is by sentence: all translations of a sentence fall on the same side, so that the
validation loss is one of sentences that were never seen. Not for files larger than memory.
"""

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vizcore.errors import DataError

Example = tuple[str, ...]
"""(source, target), or (line,)."""
MAX_HELD_OUT = 1000
SPREAD = 0.2
"""Examples up to this share longer or shorter come into one batch."""


@dataclass(frozen=True)
class Corpus:
    """Sentences to train on, and sentences to validate with.

    Args:
        name: of the file.
        sha256: of the file's bytes, in hexadecimal.
        training, validation: (source, target) pairs, or lines as (line,).
    """

    name: str
    sha256: str
    training: tuple[Example, ...]
    validation: tuple[Example, ...]


def read_corpus(path: Path, *, pairs: bool, seed: int, share: float | int = 0.03) -> Corpus:
    """Read a file and hold some of its sentences out.

    Args:
        path: UTF-8 text. With `pairs`, each line is a sentence, a tab, its translation, and
            whatever else after a second tab, which is ignored. Blank lines are skipped.
        pairs: whether the lines are pairs.
        seed: decides which sentences are held out.
        share: of the distinct sentences (or first halves of pairs) to hold out, at most 1,000.

    Raises:
        DataError: if the file is not there, empty, no UTF-8, or a line of pairs lacks a half.
    """
    examples: list[Example] = (
        list(read_pairs(path)) if pairs else [(line,) for _n, line in _lines(path)]
    )
    keys = list(dict.fromkeys(example[0] for example in examples))
    if len(keys) < 2:
        raise DataError(
            f"{path} holds {len(keys)} different sentences, and training needs at least 2: one to "
            "learn from and one to validate with."
        )
    n_held_out = max(1, min(MAX_HELD_OUT, round(share * len(keys))))
    held_out = set(random.Random(f"split {seed}").sample(keys, n_held_out))
    return Corpus(
        name=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        training=tuple(one for one in examples if one[0] not in held_out),
        validation=tuple(one for one in examples if one[0] in held_out),
    )


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """The sentences and translations of a file, see `read_corpus`.

    Raises:
        DataError: as `read_corpus`.
    """
    return [_pair(path, *line) for line in _lines(path)]


def first_line(path: Path) -> str:
    """The first line that is not blank, by which pairs are told from plain lines.

    Raises:
        DataError: as `read_corpus`.
    """
    return next(_lines(path))[1]


def length_batches(
    lengths: Sequence[Sequence[int]], *, batch_tokens: int, seed: str
) -> list[list[int]]:
    """Shuffled batches of examples of about the same length, so that not much is padding.

    Only about: if all examples of a batch were equally long, each step would teach a network to end
    its text at one place, and one that is trained with small batches learns to leave things out.

    Args:
        lengths: of each example's texts, in tokens.
        batch_tokens: how many places a padded batch may have, all texts together.
        seed: another order for each; the same order for the same.

    Returns:
        The numbers of the examples, batch by batch.
    """
    chance = random.Random(seed)
    order = list(range(len(lengths)))
    about = [sum(texts) * chance.uniform(1 - SPREAD, 1 + SPREAD) for texts in lengths]
    order.sort(key=about.__getitem__)
    batches: list[list[int]] = []
    longest: list[int] = []
    for number in order:
        grown = [max(pair) for pair in zip(longest, lengths[number], strict=False)]
        grown = grown or list(lengths[number])
        if not batches or sum(grown) * (len(batches[-1]) + 1) > batch_tokens:
            batches.append([])
            grown = list(lengths[number])
        batches[-1].append(number)
        longest = grown
    chance.shuffle(batches)
    return batches


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1."""
    if not path.is_file():
        raise DataError(f"There is no file {path} to train on. Check the path.")
    some = False
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"Line {number} of {path} is not UTF-8 (byte {error.start + 1} of the line). "
                    "Save the file as UTF-8 text."
                ) from error
            if "\x00" in text:
                raise DataError(f"Line {number} of {path} holds a NUL byte: it is no text file.")
            if text.strip():
                some = True
                yield number, text
    if not some:
        raise DataError(f"{path} is empty: there is nothing to train on.")


def _pair(path: Path, number: int, line: str) -> tuple[str, str]:
    source, *others = (part.strip() for part in line.split("\t"))
    if not others:
        raise DataError(
            f"Line {number} of {path} has no tab. A line of pairs is a sentence, a tab, and its "
            "translation."
        )
    if not source or not others[0]:
        side = "before" if not source else "after"
        raise DataError(f"Line {number} of {path} has nothing {side} its tab.")
    return source, others[0]
