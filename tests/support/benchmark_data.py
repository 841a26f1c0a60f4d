"""Benchmarks of a few sentences, in the formats of published ones."""

from collections.abc import Sequence
from typing import Any

import vizcore

PAIRS = [
    ("agreement", "The cats are here.", "The cats is here."),
    ("agreement", "I am tired.", "I is tired."),
    ("order", "I love you.", "I you love."),
    ("order", "Where do you live?", "Where you do live?"),
    ("order", "She reads a book.", "She reads a book."),
]
ENGLISH = ["I love you.", "He is tired.", "Where is my book?", "She can swim.", "We saw a dog."]
CHINESE = ["我爱你。", "他很累。", "我的书在哪里？", "她会游泳。", "我们看见一只狗。"]


def benchmark_of(
    name: str, heading: str, rows: Sequence[tuple[object, ...]], **options: Any
) -> vizcore.Benchmark:
    """A benchmark of these rows of a tab-separated file."""
    lines = [heading, *("\t".join(map(str, row)) for row in rows)]
    return vizcore.parse_benchmark("\n".join(lines).encode(), name, **options)


def pairs(name: str = "pairs.tsv") -> vizcore.Benchmark:
    """Minimal pairs of two paradigms."""
    return benchmark_of(name, "paradigm\tgood\tbad", PAIRS)


def languages(name: str = "languages.tsv", *, first: int = 0) -> vizcore.Benchmark:
    """Sentences in two languages, labelled by them."""
    rows = [(text, "en") for text in ENGLISH[first:]] + [(text, "zh") for text in CHINESE[first:]]
    return benchmark_of(name, "text\tlabel", rows).with_prompt("{text} {word}", ["yes", "no"])


def cola(name: str, rows: list[tuple[str, str]]) -> vizcore.Benchmark:
    """Sentences as in CoLA's files: label and text."""
    lines = [f"gj04\t{label}\t{'' if label == '1' else '*'}\t{text}" for label, text in rows]
    return vizcore.parse_benchmark("\n".join(lines).encode(), name)


def acceptability() -> tuple[vizcore.Benchmark, vizcore.Benchmark]:
    """Something to choose a threshold on, and something to judge by it."""
    rows = [("1", good) for _, good, _ in PAIRS] + [("0", bad) for _, _, bad in PAIRS[:4]]
    return cola("train.tsv", rows), cola("dev.tsv", [*rows[2:], ("1", "Yes, I do.")])
