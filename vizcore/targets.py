"""What a head may do, as sets of keys: "the previous token" is one key for every query.

The idea: whatever has a name (previous, first, the same token again, what followed it before, ...)
is a set of keys T(i) for every query i, and how much a head does it is the weight that falls on
the set, averaged over those queries for which it can be told from something else. Words for that
are in `vizcore.patterns`, tables of scores in `vizcore.map_metrics`; both count by these sets.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

MIN_QUERIES_TO_REPEAT = 2
"""A habit such as looking at copies of the same token takes at least so many queries that can."""

MIN_QUERIES_TO_INDUCE = 3
"""The same for looking at what followed a copy: two of those are easily chance."""

SPACE_MARKS = "Ġ▁·␣ \t"
"""What stands for a space at the beginning of a token."""

_SPECIAL = re.compile(r"\[[A-Z][A-Z0-9_]*\]|<[^<>\s]+>")
_LINE_BREAKS = frozenset("\n\r⏎↵Ċ")


@dataclass(frozen=True, eq=False)
class Targets:
    """Something that a head may do: the keys that it would look at, for every query.

    Args:
        name: "previous", "same", ...
        words: what it is, for people: "the previous token".
        keys: True where the query would look.
        key: the same where that is one key a query at most (-1: none); adding up is quicker then.
        told_apart: the queries for which it is nothing else at the same time; None for all.
        min_queries: for how many queries it must be possible to be called a habit.
        heads: the heads of which it can be said; None for all.
    """

    name: str
    words: str
    keys: Bool[np.ndarray, "query key"]
    key: Int[np.ndarray, " query"] | None = None
    told_apart: Bool[np.ndarray, " query"] | None = None
    min_queries: int = 1
    heads: Bool[np.ndarray, " head"] | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """What falls on targets, over the queries that count, for each of several heads.

    Args:
        weight: the sum of the weights on them.
        chance: the sum of what uniform attention over the visible keys would put there.
        n_queries: how many queries count.
    """

    weight: Float[np.ndarray, " head"]
    chance: Float[np.ndarray, " head"]
    n_queries: Int[np.ndarray, " head"]


def rows_of(
    values: Float[np.ndarray, "head query key"], masked: Bool[np.ndarray, "query key"] | None
) -> tuple[
    Float[np.ndarray, "head query key"],
    Bool[np.ndarray, "query key"],
    Bool[np.ndarray, "head query"],
]:
    """What can be counted in maps: weights that are finite, what is visible, which rows are usable.

    A row is usable if all of its numbers are finite, its sum is above 0 and it has a choice: more
    than one visible key.
    """
    visible = np.ones(values.shape[1:], dtype=bool) if masked is None else ~masked
    finite = np.isfinite(values)
    weights = np.where(finite, values, 0)
    usable = finite.all(axis=2) & (visible.sum(axis=1) > 1) & (weights.sum(axis=2) > 0)
    return weights, visible, usable


def measure(
    targets: Targets,
    weights: Float[np.ndarray, "head query key"],
    visible: Bool[np.ndarray, "query key"],
    usable: Bool[np.ndarray, "head query"],
) -> Measured:
    """The weight on targets, of every head.

    A query counts if it is usable, some key of its targets is visible, some visible key is none,
    and it is told apart.

    Args:
        weights: finite everywhere.
        visible: where the query may look.
        usable: the rows that are attention.
    """
    keys = targets.keys & visible
    n_targets, n_visible = keys.sum(axis=1), visible.sum(axis=1)
    counts = (n_targets > 0) & (n_targets < n_visible)
    if targets.told_apart is not None:
        counts &= targets.told_apart
    counted = usable & counts
    if not counts.any():
        nothing = np.zeros(len(weights))
        return Measured(nothing, nothing, np.zeros(len(weights), dtype=np.int64))
    if targets.key is None:
        on_targets = np.einsum("hqk,qk->hq", weights, keys.astype(weights.dtype))
    else:
        queries = np.arange(len(keys))
        on_targets = np.where(n_targets > 0, weights[:, queries, targets.key], 0)
    return Measured(
        weight=(on_targets * counted).sum(axis=1, dtype=np.float64),
        chance=(counted * (n_targets / np.maximum(n_visible, 1))).sum(axis=1),
        n_queries=counted.sum(axis=1),
    )


@lru_cache(maxsize=1)
def targets_in_itself(
    tokens: tuple[str, ...], n_queries: int, first: int | None = None
) -> tuple[Targets, ...]:
    """What can be done in attention of a text to itself, its last tokens asking.

    (Or so many from the token `first` on.)

    With p the query's own position among the keys: "previous" p - 1, "next" p + 1, "itself" p and
    "first" 0 (each for queries for which it is none of the other three); "same", every other key
    with the same token; "induction", every key after one of those, but not p itself, and only for
    queries for which none of them is one of the four; "separator" and "punctuation", but not the
    ones at key 0 or p. The same for all heads of a text, so those of the last text are kept.
    """
    n_keys = len(tokens)
    keys = np.arange(n_keys)
    first = n_keys - n_queries if first is None else first
    asking = slice(first, first + n_queries)
    own = keys[asking, None]
    single = {
        "previous": ("the previous token", own - 1),
        "first": ("the first token", np.zeros_like(own)),
        "itself": ("itself", own),
        "next": ("the next token", own + 1),
    }
    where = np.hstack([position for _, position in single.values()])
    elsewhere = (keys != own) & (keys != 0)
    copies = copies_of(tokens, asking)
    after = followers(copies) & (keys != own)
    plain = [after[np.arange(n_queries), np.clip(column, 0, n_keys - 1)] for column in where.T]
    separators = sorted({token.strip() for token in tokens[1:] if is_special(token)})
    words = separators[0] if len(separators) == 1 else "special tokens"
    special = np.array([is_special(token) for token in tokens], dtype=bool)
    punctuation = np.array([is_punctuation(token) for token in tokens], dtype=bool)
    return (
        *(
            Targets(
                name,
                words_of_it,
                keys == position,
                key=np.where((position >= 0) & (position < n_keys), position, -1)[:, 0],
                told_apart=(where == position).sum(axis=1) == 1,
            )
            for name, (words_of_it, position) in single.items()
        ),
        Targets("same", "copies of the same token", copies, min_queries=MIN_QUERIES_TO_REPEAT),
        Targets(
            "induction",
            "what followed the same token before",
            after,
            told_apart=~np.any(plain, axis=0),
            min_queries=MIN_QUERIES_TO_INDUCE,
        ),
        Targets("separator", words, special & elsewhere),
        Targets("punctuation", "punctuation", punctuation & elsewhere),
    )


def copies_of(
    tokens: Sequence[str], asking: slice = slice(None)
) -> Bool[np.ndarray, "asking token"]:
    """True where another place has the same token; of all tokens, or of some that ask."""
    first_seen: dict[str, int] = {}
    same = np.array([first_seen.setdefault(token, at) for at, token in enumerate(tokens)])
    places = np.arange(len(same))
    copies: np.ndarray = (same[asking, None] == same) & (places[asking, None] != places)
    return copies


def followers(keys: Bool[np.ndarray, "query key"]) -> Bool[np.ndarray, "query key"]:
    """The key after each of these keys."""
    after = np.zeros_like(keys)
    after[:, 1:] = keys[:, :-1]
    return after


def at_each_query(keys: Bool[np.ndarray, " key"], n_queries: int) -> Bool[np.ndarray, "query key"]:
    """The same keys for all queries."""
    return np.tile(keys, (n_queries, 1))


def looks_at_itself(
    query_tokens: Sequence[str], key_tokens: Sequence[str], kind: str | None
) -> bool:
    """Whether a map is of attention of a text to itself: its queries are its last keys."""
    start = len(key_tokens) - len(query_tokens)
    return kind != "cross" and start >= 0 and tuple(query_tokens) == tuple(key_tokens)[start:]


def is_special(token: str) -> bool:
    """Whether a token is no part of the text, such as `[SEP]` or `</s>`."""
    return _SPECIAL.fullmatch(token.strip()) is not None


def is_punctuation(token: str) -> bool:
    """Whether a token is nothing but punctuation or line breaks."""
    if is_special(token):
        return False
    marks = token.strip(SPACE_MARKS)
    return bool(marks) and all(
        mark in _LINE_BREAKS or unicodedata.category(mark).startswith("P") for mark in marks
    )
