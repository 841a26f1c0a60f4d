"""What a view of all heads says about each of them: its pattern, its entropy, its scores.

The idea: one small value a head, made while the maps stream by, so that no map has to be kept.
The words are those of `vizcore.describe`; for claims about a head rather than about one text take
`vizcore.head_scores`, which the views accept as a table.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vizcore.information import entropies
from vizcore.maps import AttentionMap
from vizcore.patterns import Pattern, describe_all
from vizcore.views.score_table import ScoreTable, rounded, shown_name

MAX_QUERIES = 256
"""The entropy of a longer text is the mean over so many of its queries, evenly spread."""

PATTERNS = {
    "previous": "previous token",
    "next": "next token",
    "itself": "itself",
    "first": "first token",
    "same": "same token",
    "induction": "induction",
    "aligned": "aligned token",
    "separator": "separator",
    "punctuation": "punctuation",
    "end": "end of the text",
    "fixed": "one place",
    "focused": "one token a query",
    "spread": "spread out",
    "alone": "no choice",
    "undefined": "no numbers",
    "values": "values",
}
"""What a head may do, as short as a choice in a list must be."""

WITHOUT_SHARE = ("spread", "alone", "undefined", "values")
"""Patterns whose score is no share of the weight."""


@dataclass(frozen=True)
class HeadFacts:
    """One head of a view.

    Args:
        layer: counted from 0, if the map is of one.
        head: the same.
        kind: of attention.
        pattern: what it mostly does.
        entropy: of its rows in nats, their mean; NaN if it has none.
    """

    layer: int | None
    head: int | None
    kind: str | None
    pattern: Pattern
    entropy: float


def facts(batch: Sequence[AttentionMap]) -> list[HeadFacts]:
    """About maps of the same tokens."""
    first = batch[0]
    masks = [map.masked for map in batch]
    alike = all(
        mask is masks[0]
        or (mask is not None and masks[0] is not None and np.array_equal(mask, masks[0]))
        for mask in masks
    )
    nothing = np.zeros(first.values.shape, dtype=bool)
    patterns = describe_all(
        np.stack([map.values for map in batch]),
        query_tokens=first.query_tokens,
        key_tokens=first.key_tokens,
        masked=masks[0] if alike else np.stack([nothing if m is None else m for m in masks]),
        kind=first.kind,
    )
    return [
        HeadFacts(map.layer, map.head, map.kind, pattern, mean_entropy(map))
        for map, pattern in zip(batch, patterns, strict=True)
    ]


def mean_entropy(map: AttentionMap) -> float:
    """−Σ_j a_ij ln a_ij in nats, over rows taken as distributions; the mean of them; NaN: none."""
    every = -(-len(map.values) // MAX_QUERIES)
    rows = map.values[::every]
    rows = rows[np.isfinite(rows).all(axis=1) & (rows >= 0).all(axis=1)]
    sums = rows.sum(axis=1, keepdims=True)
    rows, sums = rows[sums[:, 0] > 0], sums[sums[:, 0] > 0]
    if not len(rows):
        return float("nan")
    return float(entropies(rows / sums).mean())


def pattern_names(heads: Iterable[HeadFacts], words: Mapping[str, str]) -> list[dict[str, str]]:
    """The patterns that there are, the most frequent first: name and words."""
    counted = Counter(one.pattern.name for one in heads)
    return [
        {"name": name, "label": words.get(f"pattern_{name}", name)}
        for name, _ in counted.most_common()
    ]


def scores(
    heads: Sequence[HeadFacts], table: ScoreTable | None, words: Mapping[str, str]
) -> list[dict[str, object]]:
    """What heads can be sorted by: the table's scores first, then what every map tells itself."""
    rows = [] if table is None else [table.of_head(one.layer, one.head, one.kind) for one in heads]
    named = [
        (name, shown_name(name), [row[at] for row in rows])
        for at, name in enumerate(() if table is None else table.names)
    ]
    clear = [
        float("nan") if one.pattern.name in WITHOUT_SHARE else one.pattern.score for one in heads
    ]
    named.append(("pattern", words["clearness"], clear))
    if "entropy" not in {name for name, _, _ in named}:
        named.append(("entropy", words["entropy"], [one.entropy for one in heads]))
    return [
        {"name": name, "label": label, "values": [rounded(value) for value in values]}
        for name, label, values in named
        if np.isfinite(values).any()
    ]
