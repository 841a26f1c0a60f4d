"""Passages that share beginnings, packed so that each distinct beginning is run once.

The idea: sort the passages; what one has in common with the one before it is there already, and
only the rest is added, as a branch. A row holds as many branches as fit; a token sees its own
ancestors and nothing else, and its position is its depth. The numbers are those of passages run
one by one, as long as the network goes by this mask and these positions (`vizcore.tree_mask` finds
that out). Plain arrays; no network in here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vizcore.sentences import Passage, n_shared

ROW = 128
"""How many tokens a row has at least room for: attention costs the square of it."""
ROW_OF_DEPTH = 4
"""A row has room for so many times the longest passage, so that a long beginning is seldom run
again."""
LONGEST_ROW = 4096
NO_PARENT = -1


@dataclass(frozen=True, eq=False)
class Forest:
    """Rows of tokens, each token with the one before it.

    Args:
        token_ids: (row, place), filled up with tokens that nobody sees.
        parents: (row, place): the place of the token before, in the same row; -1 at a beginning.
        depths: (row, place): how many tokens stand before.
        members: which passages are in these rows, by their number in what was packed.
        paths: for each of them the places of its tokens, in the flattened rows.
    """

    token_ids: np.ndarray
    parents: np.ndarray
    depths: np.ndarray
    members: tuple[int, ...]
    paths: tuple[np.ndarray, ...]

    @property
    def ancestors(self) -> np.ndarray:
        """(row, query, key): True where the key stands before the query on its branch, or is it."""
        n_rows, n_places = self.parents.shape
        seen = np.zeros((n_rows, n_places, n_places), bool)
        for row in range(n_rows):
            its = seen[row]
            for place, parent in enumerate(self.parents[row].tolist()):
                if parent != NO_PARENT:
                    its[place] = its[parent]
                its[place, place] = True
        return seen


@dataclass(eq=False)
class _Row:
    """A row that is being filled."""

    token_ids: list[int]
    parents: list[int]
    depths: list[int]
    members: list[int]
    paths: list[list[int]]

    @classmethod
    def empty(cls) -> "_Row":
        return cls([], [], [], [], [])

    def add(self, number: int, ids: Sequence[int], shared: int) -> None:
        """Add a branch that has its first tokens in common with the one before it."""
        path = self.paths[-1][:shared] if shared else []
        for depth in range(shared, len(ids)):
            self.parents.append(path[-1] if path else NO_PARENT)
            path.append(len(self.token_ids))
            self.token_ids.append(ids[depth])
            self.depths.append(depth)
        self.members.append(number)
        self.paths.append(path)


def n_tokens_of_tree(passages: Sequence[Passage]) -> int:
    """How many tokens are run if each distinct beginning is run once."""
    total = 0
    before: Sequence[int] = ()
    for ids in sorted(passage.run for passage in passages):
        total += len(ids) - n_shared(before, ids)
        before = ids
    return total


def pack(passages: Sequence[Passage], *, tokens_at_once: int) -> list[Forest]:
    """The passages as forests, each of which is run in one forward pass.

    Args:
        tokens_at_once: how many tokens a forest has at most, if one row does not have more.
    """
    order = sorted(range(len(passages)), key=lambda number: passages[number].run)
    longest = max(len(passage.run) for passage in passages)
    room = max(longest, min(LONGEST_ROW, max(ROW, ROW_OF_DEPTH * longest)))
    rows: list[_Row] = [_Row.empty()]
    before: Sequence[int] = ()
    for number in order:
        ids = passages[number].run
        shared = n_shared(before, ids)
        if len(rows[-1].token_ids) + len(ids) - shared > room:
            rows.append(_Row.empty())
            shared = 0
        rows[-1].add(number, ids, shared)
        before = ids
    n_rows = max(1, tokens_at_once // room)
    rows.sort(key=lambda row: len(row.token_ids))  # so that the last row of all fills up no others
    return [_forest(rows[start : start + n_rows]) for start in range(0, len(rows), n_rows)]


def _forest(rows: Sequence[_Row]) -> Forest:
    width = max(len(row.token_ids) for row in rows)
    token_ids = np.full((len(rows), width), rows[0].token_ids[0], np.int64)
    parents = np.full((len(rows), width), NO_PARENT, np.int64)
    depths = np.zeros((len(rows), width), np.int64)
    for number, row in enumerate(rows):
        n_places = len(row.token_ids)
        token_ids[number, :n_places] = row.token_ids
        parents[number, :n_places] = row.parents
        depths[number, :n_places] = row.depths
    return Forest(
        token_ids=token_ids,
        parents=parents,
        depths=depths,
        members=tuple(member for row in rows for member in row.members),
        paths=tuple(
            np.array(path, np.int64) + number * width
            for number, row in enumerate(rows)
            for path in row.paths
        ),
    )
