"""Maps of words, sentences or any spans of tokens, instead of tokens.

The idea (Clark et al. 2019, section 4.1): attention to a span is the sum of the attention to its
tokens, attention from a span the mean of that from its tokens; so rows that sum to 1 still do. Any
map can be aggregated: of a head, a mean, a rollout. Not for values that are no shares, such as
value-weighted norms or scores: their sum over tokens means nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from vizcore.errors import SelectionError
from vizcore.maps import AttentionMap
from vizcore.words import Span, Words


def by_words(map: AttentionMap) -> AttentionMap:
    """The map with a row and a column for each word.

        A'[I, J] = 1/|I| · Σ_{i in I} Σ_{j in J} A[i, j]   for words I, J as sets of tokens

    Words are those of Unicode (UAX #29): a letter or number with what belongs to it (don't, 3.5), a
    punctuation mark, a Chinese character, an emoji. A special token is a word of its own. Several
    of them are one if a single token reaches over all. Traces know the words of their tokens; a map
    that was aggregated to words stays as it is.

    Returns:
        (query word, key word). A cell is masked if it is masked for all its tokens.

    Raises:
        SelectionError: if the map does not know its words.
    """
    queries, keys = _words(map)
    return _aggregated(map, _of_words(queries), _of_words(keys))


def by_sentences(map: AttentionMap) -> AttentionMap:
    """The map with a row and a column for each sentence; formula and result as in `by_words`.

    Where a sentence ends is said in `Words.sentences`: at a full stop, question or exclamation
    mark, and at a blank line. A special token is a sentence of its own. For a division of your own
    use `by_spans`.

    Raises:
        SelectionError: if the map does not know its words.
    """
    queries, keys = _words(map)
    return _aggregated(map, _of_sentences(queries), _of_sentences(keys))


def by_spans(
    map: AttentionMap,
    spans: Mapping[str, Span] | Sequence[Span],
    key_spans: Mapping[str, Span] | Sequence[Span] | None = None,
) -> AttentionMap:
    """The map with a row and a column for each span of tokens; formula as in `by_words`.

    Args:
        spans: of the queries, each as (first token, token after the last), counted from 0; with
            names, or without: `{"subject": (0, 2)}` or `[(0, 2)]`. Tokens in none stay as they are.
        key_spans: of the keys. None: the same if queries and keys are the same tokens, else the
            keys stay as they are.

    Raises:
        SelectionError: if a span is not in the map, empty, or overlaps another one.
    """
    if key_spans is None:
        key_spans = spans if map.query_tokens == map.key_tokens else []
    return _aggregated(
        map,
        _of_spans(spans, map.query_tokens, map.query_words),
        _of_spans(key_spans, map.key_tokens, map.key_words),
    )


_Parts = tuple[list[int], Words]
"""Where each part of an axis begins, and the end of the last; and the parts as words."""


def _aggregated(map: AttentionMap, queries: _Parts, keys: _Parts) -> AttentionMap:
    rows, columns = (np.array(starts[:-1]) for starts, _ in (queries, keys))
    values = np.add.reduceat(map.values.astype(np.float64), columns, axis=1)
    values = np.add.reduceat(values, rows, axis=0) / np.diff(queries[0])[:, None]
    masked = map.masked
    if masked is not None:
        masked = np.logical_and.reduceat(np.logical_and.reduceat(masked, columns, axis=1), rows)
    return AttentionMap(
        values,
        queries[1].texts,
        keys[1].texts,
        quantity=map.quantity,
        layer=map.layer,
        head=map.head,
        kind=map.kind,
        masked=masked,
        query_words=queries[1],
        key_words=keys[1],
    )


def _words(map: AttentionMap) -> tuple[Words, Words]:
    if map.query_words is None or map.key_words is None:
        raise SelectionError(
            "This map does not say which of its tokens make a word; maps of a trace do, if the "
            "model has a tokenizer. Say it yourself: by_spans(map, [(0, 2), (2, 3)])."
        )
    return map.query_words, map.key_words


def _of_words(words: Words) -> _Parts:
    starts = [start for start, _ in words.spans]
    return [*starts, len(words.numbers)], _each(words.texts, words.special, words.gaps)


def _of_sentences(words: Words) -> _Parts:
    tokens = words.spans
    sentences = words.sentences
    starts = [tokens[first][0] for first, _ in sentences]
    return [*starts, len(words.numbers)], _each(
        [words.joined(sentence) for sentence in sentences],
        [all(words.special[first:last]) for first, last in sentences],
        [words.gaps[first] for first, _ in sentences],
    )


def _of_spans(
    spans: Mapping[str, Span] | Sequence[Span], tokens: Sequence[str], words: Words | None
) -> _Parts:
    if isinstance(spans, Mapping):
        named = {(int(start), int(stop)): name for name, (start, stop) in spans.items()}
        if len(named) < len(spans):
            raise SelectionError("Two spans are the same tokens: a token can be in one span only.")
    else:
        named = {(int(start), int(stop)): "" for start, stop in spans}
    starts, texts, special = [0], [], []
    for (start, stop), name in sorted(named.items()):
        _check_span(start, stop, len(tokens), free_from=starts[-1])
        alone = range(starts[-1], start)
        texts += [*(tokens[place] for place in alone), name or _joined(start, stop, tokens, words)]
        starts += [*(place + 1 for place in alone), stop]
    rest = range(starts[-1], len(tokens))
    texts += [tokens[place] for place in rest]
    starts += [place + 1 for place in rest]
    for start, stop in pairwise(starts):
        numbers = [] if words is None else words.numbers[start:stop]
        special.append(
            bool(numbers) and words is not None and all(words.special[n] for n in numbers)
        )
    return starts, _each(texts, special, [" "] * len(texts))


def _check_span(start: int, stop: int, n_tokens: int, *, free_from: int) -> None:
    if not 0 <= start < stop <= n_tokens:
        raise SelectionError(
            f"There is no span ({start}, {stop}): a span goes from its first token to the one "
            f"after its last, and the map has {n_tokens} tokens here, counted from 0."
        )
    if start < free_from:
        raise SelectionError(
            f"The span ({start}, {stop}) overlaps the one before it, which ends at {free_from}: a "
            "token can be in one span only."
        )


def _joined(start: int, stop: int, tokens: Sequence[str], words: Words | None) -> str:
    """What stands in a span: its words if it is made of whole ones, else the tokens' labels."""
    if stop - start > 1 and words is not None:
        firsts = {first: number for number, (first, _) in enumerate(words.spans)}
        lasts = {last: number for number, (_, last) in enumerate(words.spans)}
        if start in firsts and stop in lasts:
            return words.joined((firsts[start], lasts[stop] + 1))
    return "".join(tokens[start:stop])


def _each(texts: Iterable[str], special: Iterable[bool], gaps: Iterable[str]) -> Words:
    """Every part a word of its own."""
    texts = tuple(texts)
    return Words(tuple(range(len(texts))), texts, tuple(special), tuple(gaps))
