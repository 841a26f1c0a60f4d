"""What a head mostly does, in words: maps -> "looks at the previous token, 0.91".

The idea: of all that a head may do (`vizcore.targets`), it is said to do what it does most beyond
chance. These are descriptions of one map of one text, not claims about the head: for those take
`head_scores`, which measures over many texts, or ablate it.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from vizcore.errors import ShapeError
from vizcore.information import entropies, most_information, mutual_information, shares
from vizcore.maps import AttentionMap
from vizcore.targets import (
    MIN_QUERIES_TO_REPEAT,
    SPACE_MARKS,
    Targets,
    at_each_query,
    looks_at_itself,
    measure,
    rows_of,
    targets_in_itself,
)

MOSTLY = 0.5
"""From this mean weight on, a head "looks at" something; below it, "looks partly at"."""

PLAINLY = 0.6
"""From this mean weight on, a map needs no explanation."""

PARTLY = 0.3
"""Below this mean weight, nothing is named."""

BEYOND_CHANCE = 0.2
"""How far a score must be above that of uniform attention, as a share of what was left to gain."""

TELLING = ("previous", "next", "same", "induction", "aligned")
"""What a newcomer understands at once."""

ALIGNED = ("aligned", "a different place for each query")
"""Of attention to another text: the name and the words for what no set of keys describes."""

FOCUSED = 2.0
"""A head whose queries each spread over fewer tokens than this picks one token a query."""


@dataclass(frozen=True)
class Pattern:
    """What a head mostly does.

    Args:
        name: "previous", "next", "itself", "first", "same", "induction", "separator",
            "punctuation", "end", "fixed", "aligned"; "focused" or "spread" if none of these;
            "alone" if no query has a choice; "undefined" for a map without numbers, "values" for
            one with negative numbers. In the summaries of `head_scores` "near" and "duplicate" too.
        score: the mean weight; for "aligned" the share of what the query could decide; for
            "spread" the number of tokens; for "values" the largest size.
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


def _isolated(token: str) -> str:
    """The token so that one written from right to left does not turn around what stands beside."""
    to_left = any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in token)
    return f"\u2068{token}\u2069" if to_left else token


def is_telling(map: AttentionMap | Pattern) -> bool:
    """Whether a newcomer sees at once what this head does: a good map to begin with.

    It looks at neighbours, at copies of a token or at what followed one (not at the first token, as
    most heads of a decoder do, nor at itself), or, of another text, at a different place for each
    query; with a score of at least `PLAINLY`. A pattern that is known already may be given instead.
    """
    pattern = map if isinstance(map, Pattern) else describe(map)
    return pattern.name in TELLING and pattern.score >= PLAINLY


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
    - "induction": every key after one of those, but not p itself, for queries for which p - 1 is
      none of them (Olsson et al. 2022), if there are at least 3;
    - "separator": special tokens such as `[SEP]` or `</s>`, but not the one at key 0 or at p;
    - "punctuation": tokens of nothing but punctuation or line breaks, but not that at key 0 or p;
    - "fixed": of the other keys the one with the most weight in all, for queries that are not at
      it or next to it, if these are at least half of all.

    Attention to another text:

    - "end": the last key;
    - "fixed": of the other keys the one with the most weight in all;
    - "aligned": no set of keys. Its score is the mutual information of query and key, with equally
      likely queries, as a share of the most that there can be, ln min(queries, keys): 0 if all
      rows are alike, 1 if each query looks at a place of its own. Chance is 0.

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
    weights, visible, usable = rows_of(values, masked)
    if looks_at_itself(query_tokens, key_tokens, kind):
        own = np.arange(n_keys - n_queries, n_keys)
        candidates = list(targets_in_itself(tuple(key_tokens), n_queries))
        candidates += _favourites(key_tokens, weights, usable, own=own, besides=0)
    else:
        end = at_each_query(np.arange(n_keys) == n_keys - 1, n_queries)
        last = np.full(n_queries, n_keys - 1)
        candidates = [Targets("end", "the end token", end, key=last)]
        candidates += _favourites(key_tokens, weights, usable, own=None, besides=n_keys - 1)
    names = [(candidate.name, candidate.words) for candidate in candidates]
    rated = [_rate(candidate, weights, visible, usable) for candidate in candidates]
    if not looks_at_itself(query_tokens, key_tokens, kind):
        names.append(ALIGNED)
        aligned = _alignment(weights, visible, usable)
        rated.append((aligned, aligned))
    scores = np.array([score for score, _ in rated])
    gains = np.array([gain for _, gain in rated])
    patterns = []
    for head in range(len(values)):
        special = _special_case(values[head], usable[head])
        best = best_named(scores[:, head], gains[:, head])
        if special is not None:
            patterns.append(special)
        elif best is not None:
            name, words = names[best]
            score = float(scores[best, head])
            patterns.append(Pattern(name, score, looking_at(words, score)))
        else:
            patterns.append(_unnamed(weights[head][usable[head]]))
    return patterns


def best_named(scores: Float[np.ndarray, " name"], gains: Float[np.ndarray, " name"]) -> int | None:
    """Which of several names fits best: the one that most beats chance, or None if none does."""
    named = (scores >= PARTLY) & (gains >= BEYOND_CHANCE)
    return int(np.argmax(np.where(named, gains, -np.inf))) if named.any() else None


def looking_at(words: str, score: float) -> str:
    """What a score means, for people: "looks partly at the previous token, 0.41"."""
    verb = "looks at" if score >= MOSTLY else "looks partly at"
    return f"{verb} {words}, {score:.2f}"


def spreading(n_tokens: float) -> str:
    """The same for a head that looks at nothing that has a name."""
    return f"spreads over about {n_tokens:.0f} tokens"


def gain_over(score: Any, chance: Any) -> Any:
    """How far a score is beyond chance, as a share of what was left to gain."""
    return (score - chance) / (1 - chance)


def _rate(
    candidate: Targets,
    weights: Float[np.ndarray, "head query key"],
    visible: Bool[np.ndarray, "query key"],
    usable: Bool[np.ndarray, "head query"],
) -> tuple[Float[np.ndarray, " head"], Float[np.ndarray, " head"]]:
    """The mean weight on the targets, and how far it is beyond chance; -inf if it is no habit."""
    measured = measure(candidate, weights, visible, usable)
    divisor = np.maximum(measured.n_queries, 1)
    score, chance = measured.weight / divisor, measured.chance / divisor
    holds = measured.n_queries >= candidate.min_queries
    if candidate.heads is not None:
        holds &= candidate.heads
    return score, np.where(holds, gain_over(score, chance), -np.inf)


def _alignment(
    weights: Float[np.ndarray, "head query key"],
    visible: Bool[np.ndarray, "query key"],
    usable: Bool[np.ndarray, "head query"],
) -> Float[np.ndarray, " head"]:
    """The mutual information of query and key, as a share of the most that there can be."""
    if not (visible == visible[:1]).all():
        return np.zeros(len(weights))
    information = mutual_information(shares(weights), usable)
    share: np.ndarray = information / most_information(visible, usable)
    return share


def _special_case(
    values: Float[np.ndarray, "query key"], usable: Bool[np.ndarray, " query"]
) -> Pattern | None:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Pattern("undefined", 0.0, "has no numbers to describe")
    if finite.min() < 0:
        low, high = float(finite.min()), float(finite.max())
        words = f"values from {low:.3g} to {high:.3g}".replace("-", "−")
        return Pattern("values", max(-low, abs(high)), words)
    if not usable.any():
        return Pattern("alone", 1.0, "has no more than one token to look at")
    return None


def _unnamed(weights: Float[np.ndarray, "query key"]) -> Pattern:
    n_tokens = float(np.exp(entropies(shares(weights[None])[0]).mean()))
    if n_tokens < FOCUSED:
        score = float(weights.max(axis=1).mean())
        return Pattern("focused", score, f"picks one token for each query, {score:.2f}")
    return Pattern("spread", n_tokens, spreading(n_tokens))


def _favourites(
    tokens: Sequence[str],
    weights: Float[np.ndarray, "head query key"],
    usable: Bool[np.ndarray, "head query"],
    *,
    own: Int[np.ndarray, " query"] | None,
    besides: int,
) -> list[Targets]:
    """The keys that have the most weight of a head, besides one: "fixed"."""
    n_queries, n_keys = weights.shape[1:]
    if n_keys < 2 or not len(weights):
        return []
    totals = np.einsum("hqk,hq->hk", weights, usable.astype(weights.dtype))
    totals[:, besides] = -1
    column = np.arange(n_keys)
    favourite = totals.argmax(axis=1)
    return [
        Targets(
            "fixed",
            f"one place, “{_isolated(tokens[key].strip(SPACE_MARKS) or tokens[key])}”",
            at_each_query(column == key, n_queries),
            key=np.full(n_queries, key),
            told_apart=None if own is None else np.abs(own - key) > 1,
            min_queries=max(MIN_QUERIES_TO_REPEAT, n_queries // 2),
            heads=favourite == key,
        )
        for key in np.unique(favourite)
    ]
