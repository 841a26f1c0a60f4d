"""The difference of two maps: of heads, layers, texts, or models such as base and fine-tuned.

The idea: a difference means something only where both maps speak of the same two places, so how
places are matched is said, never guessed: the same tokens, the same positions, the same words of
differently tokenised text, or what a comparison of two texts leaves in common. What has no
counterpart is kept and is NaN, which views mark; it is never taken for 0. For how much two models
differ on many texts, compare the scores of their heads.
"""

from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import accumulate, zip_longest
from typing import Literal

import numpy as np
from jaxtyping import Float

from vizcore.errors import SelectionError, ShapeError
from vizcore.maps import AttentionMap, HasMaps, maps_of
from vizcore.spans import by_spans, by_words
from vizcore.words import Span, Words

Align = Literal["tokens", "positions", "words", "common"]

Pair = tuple[int | None, int | None]
"""A place in the first map and its counterpart in the second; None where there is none."""


def difference(map: AttentionMap, other: AttentionMap, *, align: Align = "tokens") -> AttentionMap:
    """The first map minus the second, cell by cell.

    Rows that sum to 1 in both sum to 0. Positive: the first looks more.

    Args:
        align: what counts as the same place.
            "tokens": both maps must be over the same tokens.
            "positions": both must have as many tokens; where these differ, both are the label.
            "words": the same text with different tokens, as two models read it. Both maps are
                aggregated (see `by_words`) to the smallest parts of the text at whose ends both
                have a token end: mostly words. The text must be the same but for white space and
                capitals. A special token that only one of them has is NaN.
            "common": two different texts. Both are aggregated to words, and these are matched as
                by `difflib`, in order; words that only one of them has are NaN.

    Returns:
        (query, key). A cell is masked if it is in both. A row or column that only the first map has
        is labelled `+ cat`, one that only the other has `− cat`, and is NaN; two labels that
        differ are both given, `cat | dog`.

    Raises:
        SelectionError: if tokens or words differ where they must not, or words are not known.
        ShapeError: if the number of tokens differs where it must not.
    """
    if align == "tokens":
        _check_tokens(map, other)
    if align in ("tokens", "positions"):
        _check_shapes(map, other)
        rows: list[Pair] = [(i, i) for i in range(len(map.query_tokens))]
        columns: list[Pair] = [(j, j) for j in range(len(map.key_tokens))]
    elif align == "words":
        map, other, rows, columns = _by_shared_words(map, other)
    else:
        map, other = by_words(map), by_words(other)
        rows = _matched(map.query_tokens, other.query_tokens)
        columns = _matched(map.key_tokens, other.key_tokens)
    masks = [_placed(_mask(one), rows, columns, side) for side, one in enumerate((map, other))]
    # A cell that only one map has is hidden if it is there.
    masked = np.where(np.isnan(masks[0]), 1, masks[0]) * np.where(np.isnan(masks[1]), 1, masks[1])
    values = _placed(map.values, rows, columns, 0) - _placed(other.values, rows, columns, 1)
    same_words = align == "tokens" and map.query_words == other.query_words
    return AttentionMap(
        values,
        _labels(rows, map.query_tokens, other.query_tokens),
        _labels(columns, map.key_tokens, other.key_tokens),
        quantity=_quantity(map, other),
        layer=map.layer if map.layer == other.layer else None,
        head=map.head if map.head == other.head else None,
        kind=map.kind if map.kind == other.kind else None,
        masked=None if map.masked is None or other.masked is None else masked == 1,
        query_words=map.query_words if same_words else None,
        key_words=map.key_words if same_words and map.key_words == other.key_words else None,
    )


def differences(
    source: HasMaps | Iterable[AttentionMap],
    other: HasMaps | Iterable[AttentionMap],
    kind: str | None = None,
    *,
    align: Align = "tokens",
) -> Iterator[AttentionMap]:
    """The difference of every head and its counterpart: of two texts, or of two models.

    Args:
        source, other: two traces, or maps; both with the same layers and heads.
        kind: "decoder", "encoder" or "cross". None: the trace's default; of plain maps, all.
        align: as in `difference`, whose errors it raises.

    Raises:
        SelectionError: if one has heads that the other has not.
    """
    for one, two in zip_longest(maps_of(source, kind), maps_of(other, kind)):
        if one is None or two is None or (one.layer, one.head) != (two.layer, two.head):
            named = [map.name if map is not None else "nothing more" for map in (one, two)]
            raise SelectionError(
                f"The two have different heads: {named[0]} in one, {named[1]} in the other. Take "
                "difference(map, other) of the heads that you want to compare."
            )
        yield difference(one, two, align=align)


def _by_shared_words(
    map: AttentionMap, other: AttentionMap
) -> tuple[AttentionMap, AttentionMap, list[Pair], list[Pair]]:
    """Both maps over the smallest parts of the text that both have, and the pairs of these."""
    map, other = by_words(map), by_words(other)
    mine, its = _both_words(map), _both_words(other)
    spans = [_shared_parts(one, two) for one, two in zip(mine, its, strict=True)]
    map = by_spans(map, spans[0][0], spans[1][0])
    other = by_spans(other, spans[0][1], spans[1][1])
    rows, columns = (
        _paired(one, two) for one, two in zip(_both_words(map), _both_words(other), strict=True)
    )
    return map, other, rows, columns


def _both_words(map: AttentionMap) -> tuple[Words, Words]:
    assert map.query_words is not None  # noqa: S101 - a map by words or spans has them
    assert map.key_words is not None  # noqa: S101
    return map.query_words, map.key_words


def _shared_parts(mine: Words, its: Words) -> tuple[list[Span], list[Span]]:
    """Which words of each are one part, since the other has no boundary between them."""
    words = [[one.texts[n] for n in _with_text(one)] for one in (mine, its)]
    if _plain("".join(words[0])) != _plain("".join(words[1])):
        place = next(
            n for n, (a, b) in enumerate(zip_longest(*words)) if _plain(a or "") != _plain(b or "")
        )
        shown = [repr(one[place]) if place < len(one) else "nothing" for one in words]
        raise SelectionError(
            f"The maps are of different texts: word {place} is {shown[0]} in one and {shown[1]} in "
            'the other. Take maps of one text, or align="common" for the words that both have.'
        )
    ends = [_ends(mine), _ends(its)]
    shared = {0, *ends[0]} & {0, *ends[1]}
    return _until(ends[0], shared), _until(ends[1], shared)


def _with_text(words: Words) -> list[int]:
    """The words that stand for a part of the text."""
    places = range(len(words.texts))
    return [n for n in places if not words.special[n] and not words.is_blank(n)]


def _plain(text: str) -> str:
    return "".join(text.casefold().split())


def _ends(words: Words) -> list[int]:
    """How many characters of the text are over after each word."""
    counted = {n: len(_plain(words.texts[n])) for n in _with_text(words)}
    return list(accumulate(counted.get(n, 0) for n in range(len(words.texts))))


def _until(ends: Sequence[int], shared: set[int]) -> list[Span]:
    spans, start = [], 0
    for place, end in enumerate(ends):
        if end not in shared:
            continue
        if place > start:
            spans.append((start, place + 1))
        start = place + 1
    return spans


def _paired(mine: Words, its: Words) -> list[Pair]:
    """The parts of the text one by one, and between them whatever stands for none by its label."""
    pairs: list[Pair] = []
    starts = [0, 0]
    texts = zip(_with_text(mine), _with_text(its), strict=True)
    for ends in [*texts, (len(mine.texts), len(its.texts))]:
        between = _matched(mine.texts[starts[0] : ends[0]], its.texts[starts[1] : ends[1]])
        pairs += [
            (None if i is None else i + starts[0], None if j is None else j + starts[1])
            for i, j in between
        ]
        pairs.append(ends)
        starts = [ends[0] + 1, ends[1] + 1]
    return pairs[:-1]


def _matched(mine: Sequence[str], its: Sequence[str]) -> list[Pair]:
    """The labels that two sequences have in common, in order, and those that one has alone."""
    pairs: list[Pair] = []
    for found, i, i_end, j, j_end in SequenceMatcher(None, mine, its, autojunk=False).get_opcodes():
        if found == "equal":
            pairs += zip(range(i, i_end), range(j, j_end), strict=True)
        else:
            pairs += [(place, None) for place in range(i, i_end)]
            pairs += [(None, place) for place in range(j, j_end)]
    return pairs


def _placed(
    values: Float[np.ndarray, "query key"], rows: Sequence[Pair], columns: Sequence[Pair], side: int
) -> Float[np.ndarray, "row column"]:
    """The cells of one map where the pairs put them, NaN where it has none."""
    placed = np.full((len(rows), len(columns)), np.nan)
    own = [
        [(place, pair[side]) for place, pair in enumerate(axis) if pair[side] is not None]
        for axis in (rows, columns)
    ]
    (to_rows, from_rows), (to_columns, from_columns) = (
        np.array(axis, dtype=int).reshape(-1, 2).T for axis in own
    )
    placed[np.ix_(to_rows, to_columns)] = values[np.ix_(from_rows, from_columns)]
    return placed


def _mask(map: AttentionMap) -> Float[np.ndarray, "query key"]:
    return np.zeros(map.values.shape) if map.masked is None else map.masked.astype(np.float64)


def _labels(pairs: Sequence[Pair], mine: Sequence[str], its: Sequence[str]) -> list[str]:
    """The label that both have, both labels, or the one with a sign for which map has it."""
    labels = []
    for i, j in pairs:
        if i is None or j is None:
            labels.append(f"− {its[j]}" if j is not None else f"+ {mine[i or 0]}")
        else:
            same = _plain(mine[i]) == _plain(its[j])
            labels.append(mine[i] if same else f"{mine[i]} | {its[j]}")
    return labels


def _quantity(map: AttentionMap, other: AttentionMap) -> str:
    if map.quantity == other.quantity:
        return f"difference of {map.quantity}"
    return f"{map.quantity} − {other.quantity}"


def _check_shapes(map: AttentionMap, other: AttentionMap) -> None:
    if map.values.shape != other.values.shape:
        raise ShapeError(
            f"One map has shape {map.values.shape}, the other {other.values.shape}, so their cells "
            'do not correspond. For one text in different tokens take align="words"; for '
            'different texts align="common".'
        )


def _check_tokens(map: AttentionMap, other: AttentionMap) -> None:
    _check_shapes(map, other)
    for side in ("query", "key"):
        mine, its = getattr(map, f"{side}_tokens"), getattr(other, f"{side}_tokens")
        if mine != its:
            place = next(n for n, (a, b) in enumerate(zip(mine, its, strict=True)) if a != b)
            raise SelectionError(
                f"The maps are over different tokens: {side} {place} is {mine[place]!r} in one and "
                f'{its[place]!r} in the other. Take align="positions" to compare them position by '
                'position, "words" if it is the same text, or "common" for the words that both '
                "have."
            )
