"""What a head mostly does, in words: maps -> "looks at the previous token, 0.91".

The idea: each thing a head may do (look at the previous token, at the first one, ...) is a set of
keys for every query; its score is the weight that falls on that set, averaged over those queries
for which it cannot be confused with something else. These are descriptions of one map of one text,
not claims about the head: for those, measure over many texts, or ablate it.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

from vizcore.errors import ShapeError
from vizcore.maps import AttentionMap

MOSTLY = 0.5
"""From this mean weight on, a head "looks at" something; below it, "looks partly at"."""

PLAINLY = 0.6
"""From this mean weight on, a map needs no explanation."""

PARTLY = 0.3
"""Below this mean weight, nothing is named."""

BEYOND_CHANCE = 0.2
"""How far a score must be above that of uniform attention, as a share of what was left to gain."""

MIN_QUERIES_TO_REPEAT = 2
"""A habit such as looking at copies of the same token takes at least so many queries that can."""

FOCUSED = 2.0
"""A head whose queries each spread over fewer tokens than this picks one token a query."""

_SPECIAL = re.compile(r"\[[A-Z][A-Z0-9_]*\]|<[^<>\s]+>")
_SPACE_MARKS = "Ġ▁·␣ \t"
_LINE_BREAKS = frozenset("\n\r⏎↵Ċ")


@dataclass(frozen=True)
class Pattern:
    """What a head mostly does.

    Args:
        name: "previous", "next", "itself", "first", "same", "separator", "punctuation", "end",
            "fixed"; "focused" or "spread" if none of these; "alone" if no query has a choice;
            "undefined" for a map without numbers, "values" for one with negative numbers.
        score: the mean weight; for "spread" the number of tokens; for "values" the largest size.
        text: the same for people: "looks at the previous token, 0.91".
    """

    name: str
    score: float
    text: str


def describe(map: AttentionMap) -> Pattern:
    """What the head of this map mostly does. The definitions are those of `describe_all`."""
    (pattern,) = describe_all(
        map.values[None],
        query_tokens=map.query_tokens,
        key_tokens=map.key_tokens,
        masked=map.masked,
        kind=map.kind,
    )
    return pattern


def is_telling(map: AttentionMap) -> bool:
    """Whether a newcomer sees at once what this head does: a good map to begin with.

    It looks at neighbours or at copies of a token (not at the first token, as most heads of a
    decoder do, nor at itself), with a mean weight of at least `PLAINLY`.
    """
    pattern = describe(map)
    return pattern.name in ("previous", "next", "same") and pattern.score >= PLAINLY


def describe_all(
    values: Float[np.ndarray, "head query key"],
    *,
    query_tokens: Sequence[str],
    key_tokens: Sequence[str],
    masked: Bool[np.ndarray, "..."] | None = None,
    kind: str | None = None,
) -> list[Pattern]:
    """What each of these heads mostly does, all of them reading the same tokens.

    Each candidate is a set of keys T(i) for every query i. Its score is the mean, over the queries
    that count, of the sum of the weights on T(i). A query counts for a candidate if T(i) has a
    visible key, some visible key is outside T(i), its weights are finite, and T(i) is not at the
    same time what another single-key candidate stands for (key 0 is both the previous and the
    first token for query 1). A key is visible if it is not masked; without a mask, all are.

    Attention of a text to itself, where the query tokens are the last of the key tokens and the
    kind is not "cross" (p is the query's own position among the keys):

    - single keys: "previous" p - 1, "next" p + 1, "itself" p, "first" 0;
    - "same": every other key with the same token;
    - "separator": special tokens such as `[SEP]` or `</s>`, but not the one at key 0 or at p;
    - "punctuation": tokens of nothing but punctuation or line breaks, but not that at key 0 or p;
    - "fixed": of the other keys the one with the most weight in all, for queries that are not at
      it or next to it, if these are at least half of all.

    Attention to another text:

    - "end": the last key;
    - "fixed": of the other keys the one with the most weight in all.

    A candidate is named if its score is at least `PARTLY` and beats uniform attention over the
    visible keys by at least `BEYOND_CHANCE` of the distance between that and 1; of several, the
    one that beats it most. If there is none, the head is "focused" (score: mean of the largest
    weight) or "spread" (score: exp of the mean entropy in nats, each row taken as a distribution),
    over the queries with more than one visible key.

    Raises:
        ShapeError: if tokens or mask do not fit the values.
    """
    _, n_queries, n_keys = values.shape
    if (n_queries, n_keys) != (len(query_tokens), len(key_tokens)):
        raise ShapeError(
            f"values has shape {values.shape}, but there are {len(query_tokens)} query tokens and "
            f"{len(key_tokens)} key tokens: values must be (head, query, key)."
        )
    if masked is None:
        masked = np.zeros((n_queries, n_keys), dtype=bool)
    if masked.shape not in ((n_queries, n_keys), values.shape):
        raise ShapeError(
            f"masked has shape {masked.shape}, values has shape {values.shape}: it must be "
            "(query, key) for all heads, or the same."
        )
    if masked.ndim == 3:
        return [
            describe_all(
                one_head[None],
                query_tokens=query_tokens,
                key_tokens=key_tokens,
                masked=one_mask,
                kind=kind,
            )[0]
            for one_head, one_mask in zip(values, masked, strict=True)
        ]
    visible = ~masked
    n_visible = visible.sum(axis=1)
    usable = np.isfinite(values).all(axis=2) & (n_visible > 1)
    weights = np.where(np.isfinite(values), values, 0)
    usable &= weights.sum(axis=2) > 0
    n_heads = len(values)
    if kind != "cross" and tuple(query_tokens) == tuple(key_tokens)[n_keys - n_queries :]:
        candidates = list(_self_candidates(tuple(key_tokens), n_queries))
        own = np.arange(n_keys - n_queries, n_keys)
        candidates += _favourites(key_tokens, weights, usable, own=own, besides=0)
    else:
        end = _at_each_query(np.arange(n_keys) == n_keys - 1, n_queries)
        last = np.full(n_queries, n_keys - 1)
        candidates = [_Candidate("end", "the end token", end, key=last)]
        candidates += _favourites(key_tokens, weights, usable, own=None, besides=n_keys - 1)
    scores = np.zeros((len(candidates), n_heads))
    gains = np.full((len(candidates), n_heads), -np.inf)
    for index, candidate in enumerate(candidates):
        scores[index], gains[index] = _score(candidate, weights, visible, usable)
    patterns = []
    for head in range(n_heads):
        special = _special_case(values[head], usable[head])
        if special is not None:
            patterns.append(special)
            continue
        named = (scores[:, head] >= PARTLY) & (gains[:, head] >= BEYOND_CHANCE)
        if named.any():
            best = int(np.argmax(np.where(named, gains[:, head], -np.inf)))
            patterns.append(candidates[best].found(float(scores[best, head])))
        else:
            patterns.append(_unnamed(weights[head][usable[head]]))
    return patterns


@dataclass(frozen=True, eq=False)
class _Candidate:
    """Something a head may do: the keys that it would look at, for every query.

    `key` says the same as `targets` where that is one key a query at most (-1: none), and makes
    adding up the weights on it quick.
    """

    name: str
    words: str
    targets: Bool[np.ndarray, "query key"]
    key: Int[np.ndarray, " query"] | None = None
    told_apart: Bool[np.ndarray, " query"] | None = None
    min_queries: int = 1
    heads: Bool[np.ndarray, " head"] | None = None

    def found(self, score: float) -> Pattern:
        verb = "looks at" if score >= MOSTLY else "looks partly at"
        return Pattern(self.name, score, f"{verb} {self.words}, {score:.2f}")


def _score(
    candidate: _Candidate,
    weights: Float[np.ndarray, "head query key"],
    visible: Bool[np.ndarray, "query key"],
    usable: Bool[np.ndarray, "head query"],
) -> tuple[Float[np.ndarray, " head"], Float[np.ndarray, " head"]]:
    """The mean weight on the targets, and how far it is beyond chance; -inf if none counts."""
    targets = candidate.targets & visible
    n_targets, n_visible = targets.sum(axis=1), visible.sum(axis=1)
    counts = (n_targets > 0) & (n_targets < n_visible)
    if candidate.told_apart is not None:
        counts &= candidate.told_apart
    counted = usable & counts
    n_counted = counted.sum(axis=1)
    if not counts.any():
        return np.zeros(len(weights)), np.full(len(weights), -np.inf)
    if candidate.key is None:
        on_targets = np.einsum("hqk,qk->hq", weights, targets.astype(weights.dtype))
    else:
        queries = np.arange(len(targets))
        on_targets = np.where(n_targets > 0, weights[:, queries, candidate.key], 0)
    divisor = np.maximum(n_counted, 1)
    score = (on_targets * counted).sum(axis=1, dtype=np.float64) / divisor
    chance = (counted * (n_targets / np.maximum(n_visible, 1))).sum(axis=1) / divisor
    holds = n_counted >= candidate.min_queries
    if candidate.heads is not None:
        holds &= candidate.heads
    return score, np.where(holds, (score - chance) / (1 - chance), -np.inf)


def _special_case(
    values: Float[np.ndarray, "query key"], usable: Bool[np.ndarray, " query"]
) -> Pattern | None:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Pattern("undefined", 0.0, "has no numbers to describe")
    if finite.min() < 0:
        low, high = float(finite.min()), float(finite.max())
        return Pattern("values", max(-low, abs(high)), f"values from {low:.3g} to {high:.3g}")
    if not usable.any():
        return Pattern("alone", 1.0, "has no more than one token to look at")
    return None


def _unnamed(weights: Float[np.ndarray, "query key"]) -> Pattern:
    shares = weights / weights.sum(axis=1, keepdims=True)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    n_tokens = float(np.exp(-(shares * logs).sum(axis=1).mean()))
    if n_tokens < FOCUSED:
        score = float(weights.max(axis=1).mean())
        return Pattern("focused", score, f"picks one token for each query, {score:.2f}")
    return Pattern("spread", n_tokens, f"spreads over about {n_tokens:.0f} tokens")


@lru_cache(maxsize=1)
def _self_candidates(tokens: tuple[str, ...], n_queries: int) -> tuple[_Candidate, ...]:
    """The same for all heads of a text, so those of the last text are kept."""
    n_keys = len(tokens)
    keys = np.arange(n_keys)
    own = keys[n_keys - n_queries :, None]
    single = {
        "previous": ("the previous token", own - 1),
        "first": ("the first token", np.zeros_like(own)),
        "itself": ("itself", own),
        "next": ("the next token", own + 1),
    }
    where = np.hstack([position for _, position in single.values()])
    candidates = [
        _Candidate(
            name,
            words,
            keys == position,
            key=np.where((position >= 0) & (position < n_keys), position, -1)[:, 0],
            told_apart=(where == position).sum(axis=1) == 1,
        )
        for name, (words, position) in single.items()
    ]
    elsewhere = (keys != own) & (keys != 0)
    first_seen: dict[str, int] = {}
    same = np.array([first_seen.setdefault(token, key) for key, token in enumerate(tokens)])
    copies = (same[own] == same) & (keys != own)
    separators = sorted({token.strip() for token in tokens[1:] if _is_special(token)})
    words = separators[0] if len(separators) == 1 else "special tokens"
    is_special = np.array([_is_special(token) for token in tokens], dtype=bool)
    is_punctuation = np.array([_is_punctuation(token) for token in tokens], dtype=bool)
    return (
        *candidates,
        _Candidate("same", "copies of the same token", copies, min_queries=MIN_QUERIES_TO_REPEAT),
        _Candidate("separator", words, is_special & elsewhere),
        _Candidate("punctuation", "punctuation", is_punctuation & elsewhere),
    )


def _favourites(
    tokens: Sequence[str],
    weights: Float[np.ndarray, "head query key"],
    usable: Bool[np.ndarray, "head query"],
    *,
    own: Int[np.ndarray, " query"] | None,
    besides: int,
) -> list[_Candidate]:
    """The keys that have the most weight of a head, besides one: "fixed"."""
    n_queries, n_keys = weights.shape[1:]
    if n_keys < 2 or not len(weights):
        return []
    totals = np.einsum("hqk,hq->hk", weights, usable.astype(weights.dtype))
    totals[:, besides] = -1
    column = np.arange(n_keys)
    favourite = totals.argmax(axis=1)
    return [
        _Candidate(
            "fixed",
            f"one place, “{tokens[key].strip(_SPACE_MARKS) or tokens[key]}”",
            _at_each_query(column == key, n_queries),
            key=np.full(n_queries, key),
            told_apart=None if own is None else np.abs(own - key) > 1,
            min_queries=max(MIN_QUERIES_TO_REPEAT, n_queries // 2),
            heads=favourite == key,
        )
        for key in np.unique(favourite)
    ]


def _at_each_query(keys: Bool[np.ndarray, " key"], n_queries: int) -> Bool[np.ndarray, "query key"]:
    return np.tile(keys, (n_queries, 1))


def _is_special(token: str) -> bool:
    return _SPECIAL.fullmatch(token.strip()) is not None


def _is_punctuation(token: str) -> bool:
    if _is_special(token):
        return False
    marks = token.strip(_SPACE_MARKS)
    return bool(marks) and all(
        mark in _LINE_BREAKS or unicodedata.category(mark).startswith("P") for mark in marks
    )
