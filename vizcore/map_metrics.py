"""Maps -> a table of scores: how much each head does each thing that heads are known to do.

The idea: every score is a sum over the queries that count, divided by their number, so that maps
of many texts are added up as easily as one is measured. Numpy alone; `map_scores` works on any
maps, of a trace or of your own. It describes those maps: for what a head does in general see
`vizcore.head_metrics`, which measures over many texts.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from vizcore.errors import SelectionError
from vizcore.information import entropies, most_information, mutual_information, shares
from vizcore.maps import AttentionMap, HasMaps, maps_of
from vizcore.patterns import describe_all
from vizcore.targets import (
    Measured,
    Targets,
    at_each_query,
    copies_of,
    is_punctuation,
    is_special,
    looks_at_itself,
    measure,
    rows_of,
    targets_in_itself,
)

WINDOW = 3
"""How far away a token may be to count as near, unless said otherwise."""

BATCH_CELLS = 4_000_000
"""Maps are measured in batches of so many numbers: fast for short texts, frugal for long."""

COLUMN_OF = {
    "previous": "previous_token",
    "next": "next_token",
    "itself": "itself",
    "first": "first_token",
    "end": "last_token",
    "same": "same_token",
    "separator": "separator",
    "punctuation": "punctuation",
    "near": "local_window",
    "latest": "induction",
    "induction": "prefix_matching",
}
"""The column of the score of what a head may do."""

SPREADS = ("entropy", "effective_tokens", "mean_distance", "mutual_information", "alignment")
SCORES = (*COLUMN_OF.values(), *SPREADS)
"""The columns of scores, in order."""


@dataclass(frozen=True, eq=False)
class Tally:
    """Sums from which scores are means: one row a score, one column a head.

    Args:
        heads: kind, layer and head of each column.
        weight: what was measured, summed over the queries that count.
        chance: what uniform attention would have given; 0 where that is no question.
        n_queries: how many queries counted.
    """

    heads: tuple[tuple[str | None, int | None, int | None], ...]
    weight: Float[np.ndarray, "score head"]
    chance: Float[np.ndarray, "score head"]
    n_queries: Float[np.ndarray, "score head"]

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.heads,
            self.weight + other.weight,
            self.chance + other.chance,
            self.n_queries + other.n_queries,
        )

    def means(self) -> dict[str, Float[np.ndarray, " head"]]:
        """The scores by their columns; NaN where no query counted."""
        known = self.n_queries > 0
        means = np.divide(self.weight, self.n_queries, where=known, out=_nans(self.weight.shape))
        found = dict(zip(SCORES, means, strict=True))
        return found | {"effective_tokens": np.exp(found["entropy"])}

    def chances(self) -> dict[str, Float[np.ndarray, " head"]]:
        """What uniform attention would have got, likewise."""
        known = self.n_queries > 0
        means = np.divide(self.chance, self.n_queries, where=known, out=_nans(self.chance.shape))
        return dict(zip(SCORES, means, strict=True))


def map_scores(
    source: AttentionMap | HasMaps | Iterable[AttentionMap],
    *,
    kind: str | None = None,
    window: int = WINDOW,
) -> pd.DataFrame:
    """How much each of these heads does each thing that heads are known to do, on this text.

    Each score is a mean over the queries that count. With A[i, j] the weight of query i on key j
    and p(i) the query's own position among the keys, most are the weight on a set of keys T(i),

        mean over i of  Σ_{j in T(i)} A[i, j],   between 0 and 1,

    where a query counts if its row is finite, T(i) has a visible key and some visible key is not in
    T(i). (Visible is what is not masked; without a mask, everything.)

    Attention of a text to itself:

    - previous_token, next_token, itself, first_token: T(i) is p - 1, p + 1, p or 0. A query for
      which two of these are one key counts for neither: key 0 is both the previous and the first
      token of query 1.
    - same_token: every other key with the same token (duplicate-token heads, Wang et al. 2022).
    - separator: special tokens such as `[SEP]`, but not at key 0 or p. punctuation: likewise.
    - local_window: the keys at most `window` away, p itself among them.
    - induction: the key after the latest earlier copy of the query's token. prefix_matching: every
      key after another copy (Olsson et al. 2022). Neither counts p itself, nor a query for which
      the key before it is one of them. A text that repeats nothing has no such query.
    - mean_distance: Σ_j a[i, j] |p - j|, in tokens, where a[i] is A[i] divided by its sum.

    Attention to another text (`kind` "cross", or other tokens):

    - first_token, last_token: T(i) is the first or the last key.
    - separator, punctuation: as above, wherever they stand.

    Both:

    - entropy: -Σ_j a[i, j] ln a[i, j], in nats. effective_tokens: exp of the mean entropy, the
      number of tokens that a uniform row of the same entropy would spread over.
    - mutual_information: how much the query decides where the head looks, in nats: the entropy of
      the mean row minus the mean entropy of the rows, all queries being equally likely (their
      Jensen-Shannon divergence, Lin 1991). 0 if all rows are alike; at most ln min(queries, keys).
      Only where all queries may look at the same keys: not in a decoder's attention to itself.
      alignment: its share of that most, between 0 and 1.

    Args:
        source: a map, a trace, or any maps.
        kind: only maps of this kind; of a trace, None means its main one.
        window: how far away a token may be to count as near.

    Returns:
        One row a map: kind, layer, head, the scores (NaN where they do not apply or no query
        counts), and `pattern` and `summary`, what `describe` says. Maps with negative numbers are
        no attention, and have no scores.

    Raises:
        SelectionError: if there is no such kind, or the window is negative.
    """
    check_window(window)
    names: list[tuple[str, str]] = []
    tallies = []
    for batch in _batches(maps_of(source, kind)):
        values, masked = np.stack([one.values for one in batch]), batch[0].masked
        tokens = (batch[0].query_tokens, batch[0].key_tokens)
        tallies.append(_measure(batch, values, window))
        described = describe_all(
            values, query_tokens=tokens[0], key_tokens=tokens[1], masked=masked, kind=batch[0].kind
        )
        names += [(pattern.name, pattern.text) for pattern in described]
    return frame_of(_joined(tallies), names)


def tally(maps: Iterable[AttentionMap], *, window: int) -> Tally:
    """The sums for the scores of these maps; never more of them in memory than a batch."""
    batches = _batches(maps)
    return _joined(
        [_measure(batch, np.stack([m.values for m in batch]), window) for batch in batches]
    )


def frame_of(
    tallied: Tally,
    names: Sequence[tuple[str, str]],
    *,
    more: dict[str, Float[np.ndarray, " head"]] | None = None,
) -> pd.DataFrame:
    """Scores as a table, one row a head; `more` replaces columns or adds some at their end."""
    kinds, layers, heads = zip(*tallied.heads, strict=True) if tallied.heads else ((), (), ())
    known = all(place is not None for place in (*layers, *heads))
    places: Any = "int64" if known else object
    return pd.DataFrame(
        {
            "kind": pd.Series(kinds, dtype=object),
            "layer": pd.Series(layers, dtype=places),
            "head": pd.Series(heads, dtype=places),
        }
        | tallied.means()
        | (more or {})
        | {"pattern": [name for name, _ in names], "summary": [text for _, text in names]}
    )


def check_window(window: int) -> None:
    """Refuse a window that is none.

    Raises:
        SelectionError: if it is negative.
    """
    if window < 0:
        raise SelectionError(f"window must be at least 0 tokens, not {window}.")


def _batches(maps: Iterable[AttentionMap]) -> Iterator[list[AttentionMap]]:
    """Maps that follow each other and are of the same tokens and mask, a few at a time."""
    batch: list[AttentionMap] = []
    for one in maps:
        full = batch and len(batch) * batch[0].values.size >= BATCH_CELLS
        if full or (batch and not _alike(batch[0], one)):
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


def _alike(one: AttentionMap, other: AttentionMap) -> bool:
    same_mask = one.masked is other.masked or (
        one.masked is not None
        and other.masked is not None
        and np.array_equal(one.masked, other.masked)
    )
    return (one.kind, one.query_tokens, one.key_tokens) == (
        other.kind,
        other.query_tokens,
        other.key_tokens,
    ) and same_mask


def _measure(
    batch: Sequence[AttentionMap], values: Float[np.ndarray, "head query key"], window: int
) -> Tally:
    first = batch[0]
    weights, visible, usable = rows_of(values, first.masked)
    usable &= np.array([[not (one.values < 0).any()] for one in batch])  # else it is no attention
    within = looks_at_itself(first.query_tokens, first.key_tokens, first.kind)
    all_targets = _targets(first.query_tokens, first.key_tokens, within=within, window=window)
    measured = {
        COLUMN_OF[one.name]: measure(one, weights, visible, usable) for one in all_targets
    } | _spreads(weights, visible, usable, within=within)
    nothing = np.zeros(len(values))
    missing = Measured(nothing, nothing, nothing.astype(np.int64))
    rows = [measured.get(name, missing) for name in SCORES]
    return Tally(
        heads=tuple((one.kind, one.layer, one.head) for one in batch),
        weight=np.stack([row.weight for row in rows]),
        chance=np.stack([row.chance for row in rows]),
        n_queries=np.stack([row.n_queries for row in rows]).astype(np.float64),
    )


@lru_cache(maxsize=1)
def _targets(
    query_tokens: tuple[str, ...], key_tokens: tuple[str, ...], *, within: bool, window: int
) -> list[Targets]:
    """Everything that has a score, in attention of a text to itself (`within`) or to another."""
    n_queries, n_keys = len(query_tokens), len(key_tokens)
    keys = np.arange(n_keys)
    if not within:
        special = np.array([is_special(token) for token in key_tokens], dtype=bool)
        punctuation = np.array([is_punctuation(token) for token in key_tokens], dtype=bool)
        everywhere = {"first": keys == 0, "end": keys == n_keys - 1}
        everywhere |= {"separator": special, "punctuation": punctuation}
        return [
            Targets(name, name, at_each_query(chosen, n_queries))
            for name, chosen in everywhere.items()
        ]
    own = keys[n_keys - n_queries :, None]
    found = targets_in_itself(key_tokens, n_queries)
    (followers,) = (one for one in found if one.name == "induction")
    earlier = copies_of(key_tokens)[n_keys - n_queries :] & (keys < own)
    latest = np.where(earlier, keys, -2).max(axis=1) + 1  # of the key after it; -1 for none
    latest = np.where(latest == own[:, 0], -1, latest)  # after itself comes what asks
    return [
        *found,
        Targets("near", "tokens nearby", np.abs(keys - own) <= window),
        Targets("latest", "", keys == latest[:, None], key=latest, told_apart=followers.told_apart),
    ]


def _spreads(
    weights: Float[np.ndarray, "head query key"],
    visible: Bool[np.ndarray, "query key"],
    usable: Bool[np.ndarray, "head query"],
    *,
    within: bool,
) -> dict[str, Measured]:
    distributions = shares(weights)
    n_queries = usable.sum(axis=1)

    def summed(values: Float[np.ndarray, "head query"]) -> Measured:
        return Measured((values * usable).sum(axis=1), np.zeros(len(usable)), n_queries)

    found = {"entropy": summed(entropies(distributions))}
    if within:
        n_rows, n_keys = visible.shape
        distance = np.abs(np.arange(n_keys) - np.arange(n_keys - n_rows, n_keys)[:, None])
        found["mean_distance"] = summed(np.einsum("hqk,qk->hq", distributions, distance))
    if (visible == visible[:1]).all():
        information = mutual_information(distributions, usable)
        nothing = np.zeros(len(usable))
        found["mutual_information"] = Measured(information * n_queries, nothing, n_queries)
        share = information / most_information(visible, usable)
        found["alignment"] = Measured(share * n_queries, nothing, n_queries)
    return found


def _joined(tallies: Sequence[Tally]) -> Tally:
    if not tallies:
        nothing = np.zeros((len(SCORES), 0))
        return Tally((), nothing, nothing, nothing)
    return Tally(
        heads=tuple(head for one in tallies for head in one.heads),
        weight=np.concatenate([one.weight for one in tallies], axis=1),
        chance=np.concatenate([one.chance for one in tallies], axis=1),
        n_queries=np.concatenate([one.n_queries for one in tallies], axis=1),
    )


def _nans(shape: tuple[int, ...]) -> Float[np.ndarray, "score head"]:
    return np.full(shape, np.nan)
