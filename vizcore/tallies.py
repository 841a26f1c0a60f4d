"""What heads do, counted in pieces: a few queries at a time, never a whole map.

The idea: whatever names a head (`vizcore.patterns`) is a mean over queries, so sums over pieces of
a map are enough; and the keys that have a name (`vizcore.targets`) are few, so only they are added
up. It says of a long text what `describe_all` says of its whole maps, in a fraction of the time;
of short texts take that one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from vizcore.information import entropies
from vizcore.patterns import ALIGNED, FOCUSED, Pattern, best_named, gain_over, looking_at, spreading
from vizcore.targets import (
    MIN_QUERIES_TO_REPEAT,
    SPACE_MARKS,
    Targets,
    looks_at_itself,
    targets_in_itself,
)

RowsOf = Callable[[int, Sequence[int]], tuple[np.ndarray, np.ndarray]]
"""From a head and some queries to their weights and what they may look at, (query, key) each."""

ROWS_AT_ONCE = 256
"""Of a head that is looked at once more."""


@dataclass(frozen=True)
class Text:
    """The tokens that heads read.

    Args:
        query_tokens: the tokens that look.
        key_tokens: those that are looked at.
        kind: of attention.
    """

    query_tokens: tuple[str, ...]
    key_tokens: tuple[str, ...]
    kind: str | None

    @cached_property
    def is_itself(self) -> bool:
        """Whether the text is looked at by its own last tokens."""
        return looks_at_itself(self.query_tokens, self.key_tokens, self.kind)

    @property
    def start(self) -> int:
        """Of a text that looks at itself, the position of the first query among the keys."""
        return len(self.key_tokens) - len(self.query_tokens)

    def targets(self, first: int, n_queries: int) -> tuple[Targets, ...]:
        """What can be done by so many queries from one on."""
        if self.is_itself:
            return targets_in_itself(self.key_tokens, n_queries, self.start + first)
        last = np.zeros((n_queries, len(self.key_tokens)), dtype=bool)
        last[:, -1:] = True
        return (Targets("end", "the end token", last),)


@dataclass(frozen=True, eq=False)
class Habit:
    """One of the things that heads may do, for the queries of a piece.

    Args:
        targets: what it is.
        places: where its keys are, in the piece laid out query by query; of queries that count.
        queries: the query of each place.
        chance: for each query the share of its visible keys that these are.
        counts: which queries count.
    """

    targets: Targets
    places: Int[np.ndarray, " place"]
    queries: Int[np.ndarray, " place"]
    chance: Float[np.ndarray, " query"]
    counts: Bool[np.ndarray, " query"]


@dataclass(frozen=True, eq=False)
class Piece:
    """Some queries of a text and what they may look at: the same for all heads with one mask.

    Args:
        queries: from the first to the one after the last.
        keys: the same for the keys that are kept; the others are masked.
        visible: where the queries may look, of the keys that are kept.
        n_visible: how many keys each may look at.
        seen: how many queries may look at each key, and what uniform attention would put there.
        habits: what can be done.
    """

    queries: slice
    keys: slice
    visible: Bool[np.ndarray, "query key"]
    n_visible: Int[np.ndarray, " query"]
    seen: Float[np.ndarray, "2 key"]
    habits: tuple[Habit, ...]

    @classmethod
    def of(cls, text: Text, queries: slice, keys: slice, visible: np.ndarray) -> "Piece":
        """The piece of these queries.

        Args:
            visible: of the keys that are kept.
        """
        n_visible = visible.sum(axis=1)
        habits = []
        for targets in text.targets(queries.start, queries.stop - queries.start):
            keys_of_it = targets.keys[:, keys] & visible
            n_targets = keys_of_it.sum(axis=1)
            counts = (n_targets > 0) & (n_targets < n_visible)
            if targets.told_apart is not None:
                counts &= targets.told_apart
            keys_of_it &= counts[:, None]
            places = np.flatnonzero(keys_of_it)
            chance = counts * (n_targets / np.maximum(n_visible, 1))
            rows = places // max(1, visible.shape[1])
            habits.append(Habit(targets, places, rows, chance, counts))
        each = np.ones((2, len(visible)), np.float32)
        each[1] /= np.maximum(n_visible, 1)
        return cls(queries, keys, visible, n_visible, each @ visible, tuple(habits))


@dataclass(eq=False)
class Tally:
    """The sums of the heads of one layer, piece by piece.

    Args:
        text: what they read.
        n_heads: how many there are.
    """

    text: Text
    n_heads: int
    entropy: np.ndarray = field(init=False)
    usable: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        n_queries, n_keys = len(self.text.query_tokens), len(self.text.key_tokens)
        self.entropy = np.full((self.n_heads, n_queries), np.nan, np.float32)
        self.usable = np.zeros((self.n_heads, n_queries), bool)
        self._finite = np.zeros(self.n_heads, bool)
        self._totals = np.zeros((self.n_heads, n_keys))
        self._shares = np.zeros((self.n_heads, n_keys))
        self._seen = np.zeros((2, self.n_heads, n_keys))
        self._n_visible = np.zeros(n_queries, np.int64)
        self._habits: list[tuple[Targets, np.ndarray]] = []
        self._same_for_all: np.ndarray | None = None
        self._all_alike = True

    def add(
        self,
        head: int,
        piece: Piece,
        weights: Float[np.ndarray, "query key"],
        finite: Bool[np.ndarray, " query"],
    ) -> None:
        """Count a piece of one head; its heads in any order, pieces in the text's.

        Args:
            head: which one.
            piece: of which queries.
            weights: of the keys that the piece keeps; where they are not finite, zero.
            finite: False for rows with a number that is not finite.
        """
        rows, keys = piece.queries, piece.keys
        sums = weights.sum(axis=1)
        usable = finite & (piece.n_visible > 1) & (sums > 0)
        self.usable[head, rows] = usable
        self._n_visible[rows] = piece.n_visible
        self._finite[head] |= finite.any()
        self.entropy[head, rows] = _entropies(weights, sums, finite)
        self._count_habits(head, piece, weights, usable)
        used = usable.astype(np.float32)
        if usable.all():
            self._seen[:, head, keys] += piece.seen
        else:
            over = np.stack([used, used / np.maximum(piece.n_visible, 1)])
            self._seen[:, head, keys] += over @ piece.visible
        self._totals[head, keys] += used @ weights
        if not self.text.is_itself:
            self._alike(piece)
            self._shares[head, keys] += (used / np.where(sums > 0, sums, 1)) @ weights

    def patterns(self, rows_of: RowsOf) -> list[Pattern]:
        """What each head mostly does, as `vizcore.patterns.describe_all` defines it.

        Args:
            rows_of: the weights of a head's queries, for all keys, once more; few are asked for.
        """
        return [self._pattern(head, rows_of) for head in range(self.n_heads)]

    def mean_entropy(self, head: int, every: int) -> float:
        """The mean entropy, in nats, of every so-manieth row that is attention; NaN: of none."""
        rows = self.entropy[head, ::every]
        rows = rows[np.isfinite(rows)]
        return float(rows.mean(dtype=np.float64)) if rows.size else float("nan")

    def _pattern(self, head: int, rows_of: RowsOf) -> Pattern:
        if not self._finite[head]:
            return Pattern("undefined", 0.0, "has no numbers to describe")
        if not self.usable[head].any():
            return Pattern("alone", 1.0, "has no more than one token to look at")
        rated = [
            (targets.name, targets.words, *_rated(sums[:, head], targets.min_queries))
            for targets, sums in self._habits
        ]
        rated += self._favourite(head, rows_of)
        if not self.text.is_itself:
            aligned = self._alignment(head)
            rated.append((*ALIGNED, aligned, aligned))
        scores, gains = (np.array([one[at] for one in rated], dtype=float) for at in (2, 3))
        best = best_named(scores, gains)
        if best is not None:
            name, words, score, _ = rated[best]
            return Pattern(name, score, looking_at(words, score))
        return self._unnamed(head, rows_of)

    def _unnamed(self, head: int, rows_of: RowsOf) -> Pattern:
        usable = np.flatnonzero(self.usable[head])
        n_tokens = float(np.exp(self.entropy[head, usable].mean(dtype=np.float64)))
        if n_tokens >= FOCUSED:
            return Pattern("spread", n_tokens, spreading(n_tokens))
        pieces = [usable[at : at + ROWS_AT_ONCE] for at in range(0, len(usable), ROWS_AT_ONCE)]
        largest = [rows_of(head, piece.tolist())[0].max(axis=1) for piece in pieces]
        score = float(np.concatenate(largest).mean())
        return Pattern("focused", score, f"picks one token for each query, {score:.2f}")

    def _favourite(self, head: int, rows_of: RowsOf) -> list[tuple[str, str, float, float]]:
        """The key with the most weight, for queries that are not at it or next to it: "fixed"."""
        n_queries, n_keys = len(self.text.query_tokens), len(self.text.key_tokens)
        if n_keys < 2:
            return []
        totals = self._totals[head].copy()
        totals[0 if self.text.is_itself else n_keys - 1] = -1
        key = int(totals.argmax())
        n_seen, chance = self._seen[:, head, key]
        sums = np.array([totals[key], chance, n_seen])
        if self.text.is_itself:
            near = np.arange(key - 1, key + 2) - self.text.start
            near = near[(near >= 0) & (near < n_queries)]
            near = near[self.usable[head, near]]
            if near.size:
                sums -= self._near(head, key, near, rows_of)
        token = self.text.key_tokens[key]
        words = f"one place, “{token.strip(SPACE_MARKS) or token}”"
        least = max(MIN_QUERIES_TO_REPEAT, n_queries // 2)
        return [("fixed", words, *_rated(sums, least))]

    def _near(
        self, head: int, key: int, near: Int[np.ndarray, " query"], rows_of: RowsOf
    ) -> Float[np.ndarray, "3"]:
        """What these queries have added to the sums of a key."""
        weights, visible = rows_of(head, near.tolist())
        seen = visible[:, key]
        chance = seen / np.maximum(self._n_visible[near], 1)
        return np.array([weights[seen, key].sum(), chance.sum(), seen.sum()])

    def _alignment(self, head: int) -> float:
        """The mutual information of query and key, as a share of the most that there can be."""
        usable = self.usable[head]
        if not self._all_alike or self._same_for_all is None:
            return 0.0
        most = min(int(usable.sum()), int(self._same_for_all.sum()))
        mean = self._shares[head] / max(1, usable.sum())
        within = self.entropy[head, usable].mean(dtype=np.float64)
        information = max(0.0, float(entropies(mean[None])[0]) - float(within))
        return information / float(np.log(max(most, 2)))

    def _count_habits(
        self,
        head: int,
        piece: Piece,
        weights: Float[np.ndarray, "query key"],
        usable: Bool[np.ndarray, " query"],
    ) -> None:
        if not self._habits:
            self._habits = [(one.targets, np.zeros((3, self.n_heads))) for one in piece.habits]
        flat = weights.reshape(-1)
        for one, (_, sums) in zip(piece.habits, self._habits, strict=True):
            on_targets = flat[one.places] * usable[one.queries]
            sums[0, head] += on_targets.sum(dtype=np.float64)
            sums[1, head] += one.chance[usable].sum()
            sums[2, head] += np.count_nonzero(usable & one.counts)

    def _alike(self, piece: Piece) -> None:
        """Note whether all queries so far may look at the same keys."""
        if not self._all_alike:
            return
        row = np.zeros(len(self.text.key_tokens), bool)
        row[piece.keys] = piece.visible[0]
        if self._same_for_all is None:
            self._same_for_all = row
        alike = (piece.visible == piece.visible[:1]).all()
        self._all_alike = bool(alike and np.array_equal(row, self._same_for_all))


def _rated(sums: Float[np.ndarray, "3"], least: int) -> tuple[float, float]:
    """Score and gain from the sums of weight, chance and queries; -inf if these are too few."""
    weight, chance, n_queries = (float(one) for one in sums)
    score = weight / max(n_queries, 1)
    if n_queries < least:
        return score, -np.inf
    return score, float(gain_over(score, chance / max(n_queries, 1)))


def _entropies(
    weights: Float[np.ndarray, "query key"],
    sums: Float[np.ndarray, " query"],
    finite: Bool[np.ndarray, " query"],
) -> Float[np.ndarray, " query"]:
    """Of each row in nats, taken as a distribution; NaN where it is none."""
    logs = np.maximum(weights, np.finfo(np.float32).tiny)
    np.log(logs, out=logs)
    products = np.einsum("qk,qk->q", weights, logs)
    some = np.where(sums > 0, sums, 1)
    # With p = w / s: -Σ p ln p = ln s - Σ w ln w / s.
    return np.where(finite & (sums > 0), np.maximum(np.log(some) - products / some, 0), np.nan)
