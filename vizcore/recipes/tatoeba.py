"""The sentences of Tatoeba, made ready for training: simplified, and with some held out.

The file holds English–Chinese pairs, a pair a line. The test sentences are chosen by English
sentence with all of their translations, so that none of them is trained on.
"""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vizcore.corpus import read_pairs

N_TEST = 500
SEED = 7


@dataclass(frozen=True)
class Tatoeba:
    """English–Chinese pairs, in simplified characters.

    Args:
        pairs: to train on and to validate with.
        test: English sentences that are not among them, each with all of its translations.
    """

    pairs: tuple[tuple[str, str], ...]
    test: dict[str, tuple[str, ...]]


def read_tatoeba(path: Path) -> Tatoeba:
    """Read the file, simplify its Chinese, and hold the test sentences out.

    Raises:
        DataError: if it is not such a file.
    """
    import opencc

    simplify: Any = opencc.OpenCC("t2s").convert
    pairs = dict.fromkeys((english, simplify(chinese)) for english, chinese in read_pairs(path))
    sentences = sorted({english for english, _chinese in pairs})
    chosen = random.Random(SEED).sample(sentences, min(N_TEST, len(sentences) // 10))
    test: dict[str, list[str]] = {english: [] for english in chosen}
    for english, chinese in pairs:
        if english in test:
            test[english].append(chinese)
    return Tatoeba(
        pairs=tuple(pair for pair in pairs if pair[0] not in test),
        test={english: tuple(chinese) for english, chinese in test.items()},
    )


def write_pairs(pairs: Tatoeba, path: Path) -> None:
    """Write a file that `vizcore.train` reads for a translator."""
    lines = [f"{english}\t{chinese}\n" for english, chinese in pairs.pairs]
    path.write_text("".join(lines), encoding="utf-8")


def write_lines(pairs: Tatoeba, path: Path) -> None:
    """Write each English and each Chinese sentence once, for a model of both languages."""
    sentences = dict.fromkeys(sentence for pair in pairs.pairs for sentence in pair)
    path.write_text("".join(f"{sentence}\n" for sentence in sentences), encoding="utf-8")
