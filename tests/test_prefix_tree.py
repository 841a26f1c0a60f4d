"""Packing passages: every passage can be read off its path, and nothing is there twice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vizcore import prefix_tree
from vizcore.prefix_tree import Forest, n_tokens_of_tree, pack
from vizcore.sentences import Passage

token_rows = st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=8), min_size=1, max_size=20)


def passages_of(rows: list[list[int]]) -> list[Passage]:
    """Made outside the strategies, in which beartype's dice must not be thrown."""
    return [Passage(tuple(ids), 1) for ids in rows]


def read_off(forest: Forest) -> dict[int, tuple[int, ...]]:
    """What stands on the path of each passage."""
    flat = forest.token_ids.reshape(-1)
    return {
        member: tuple(flat[path].tolist())
        for member, path in zip(forest.members, forest.paths, strict=True)
    }


@given(token_rows, st.integers(1, 60), st.integers(1, 12))
def test_every_passage_stands_on_its_path(
    rows: list[list[int]], tokens_at_once: int, room: int
) -> None:
    passages = passages_of(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix_tree, "ROW", room)
        patch.setattr(prefix_tree, "LONGEST_ROW", room)
        forests = pack(passages, tokens_at_once=tokens_at_once)
    found = {}
    for forest in forests:
        found |= read_off(forest)
    assert found == {number: passage.run for number, passage in enumerate(passages)}


@given(token_rows)
def test_each_token_sees_its_own_branch_and_itself(rows: list[list[int]]) -> None:
    passages = passages_of(rows)
    for forest in pack(passages, tokens_at_once=1000):
        width = forest.token_ids.shape[1]
        seen = forest.ancestors
        for path in forest.paths:
            row, places = path[0] // width, path % width
            for depth, place in enumerate(places):
                assert np.flatnonzero(seen[row, place]).tolist() == sorted(places[: depth + 1])
                assert forest.depths[row, place] == depth
        assert seen.any(axis=2).all()  # a softmax over nothing is no number


@given(token_rows)
def test_in_one_row_each_distinct_beginning_is_there_once(rows: list[list[int]]) -> None:
    passages = passages_of(rows)
    beginnings = {one.run[:n] for one in passages for n in range(1, len(one.run) + 1)}
    assert n_tokens_of_tree(passages) == len(beginnings)
    (forest,) = pack(passages, tokens_at_once=1)[:1]
    used = {int(place) for path in forest.paths for place in path}
    if len(forest.members) == len(passages):
        assert len(used) == len(beginnings)


def test_the_last_token_of_a_passage_is_not_run() -> None:
    (forest,) = pack([Passage((5, 6, 7), 1), Passage((5, 6, 8), 1)], tokens_at_once=100)
    assert forest.token_ids.tolist() == [[5, 6]]
    assert forest.parents.tolist() == [[-1, 0]]


def test_a_row_that_is_full_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_tree, "ROW", 4)
    monkeypatch.setattr(prefix_tree, "ROW_OF_DEPTH", 1)
    prefix = (9, 9, 9)
    passages = [Passage((*prefix, last, 0), 3) for last in (1, 2, 3)]
    forests = pack(passages, tokens_at_once=100)
    assert [forest.token_ids.tolist() for forest in forests] == [
        [[9, 9, 9, 1], [9, 9, 9, 2], [9, 9, 9, 3]]
    ]
