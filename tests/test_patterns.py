"""What a head mostly does: each definition against plain loops, and maps made to do one thing."""

import math
from typing import Any

import numpy as np
import pytest

from vizcore.errors import ShapeError
from vizcore.maps import AttentionMap
from vizcore.patterns import describe, describe_all, is_telling

TEXT = ("The", " cat", ",", " the", " dog", ",", " the", " bird", ".")
BERT = ("[CLS]", "the", "cat", "sat", ".", "[SEP]")


def soft(place: np.ndarray, *, causal: bool, strength: float = 5.0, seed: int = 0) -> AttentionMap:
    """A map over TEXT whose queries mostly look where `place` is True, with some noise."""
    n = len(TEXT)
    masked = np.triu(np.ones((n, n), dtype=bool), 1) if causal else np.zeros((n, n), dtype=bool)
    scores = np.random.default_rng(seed).normal(size=(n, n)) * 0.3 + strength * place
    weights = np.where(masked, 0, np.exp(scores))
    values = weights / weights.sum(axis=1, keepdims=True)
    return AttentionMap(values, TEXT, TEXT, kind="decoder", masked=masked if causal else None)


def looking_at(offset: int) -> np.ndarray:
    return np.eye(len(TEXT), k=offset, dtype=bool)


def mean(weights: list[float]) -> float:
    return math.fsum(weights) / len(weights)


def test_a_head_that_looks_at_the_previous_token_is_said_to_with_its_mean_weight() -> None:
    map = soft(looking_at(-1), causal=True)
    pattern = describe(map)
    # Query 0 has no choice, and for query 1 the previous token is the first one.
    expected = mean([float(map.values[query, query - 1]) for query in range(2, len(TEXT))])
    assert pattern.name == "previous"
    assert pattern.score == pytest.approx(expected, abs=1e-6)
    assert pattern.text == f"looks at the previous token, {expected:.2f}"


def test_a_head_that_looks_at_the_next_token_is_said_to() -> None:
    map = soft(looking_at(1), causal=False)
    expected = mean([float(map.values[query, query + 1]) for query in range(len(TEXT) - 1)])
    assert describe(map).name == "next"
    assert describe(map).score == pytest.approx(expected, abs=1e-6)


def test_a_head_that_looks_at_itself_is_told_from_the_first_token_where_that_is_another() -> None:
    map = soft(looking_at(0), causal=True)
    expected = mean([float(map.values[query, query]) for query in range(1, len(TEXT))])
    assert describe(map).name == "itself"
    assert describe(map).score == pytest.approx(expected, abs=1e-6)


def test_a_sink_is_measured_where_the_first_token_is_neither_the_previous_one_nor_itself() -> None:
    place = np.zeros((len(TEXT), len(TEXT)), dtype=bool)
    place[:, 0] = True
    map = soft(place, causal=True)
    expected = mean([float(map.values[query, 0]) for query in range(2, len(TEXT))])
    assert describe(map).score == pytest.approx(expected, abs=1e-6)
    assert describe(map).text == f"looks at the first token, {expected:.2f}"


def test_copies_count_only_for_queries_that_have_one_they_can_see() -> None:
    copies = np.array([[a == b and i != j for j, b in enumerate(TEXT)] for i, a in enumerate(TEXT)])
    map = soft(copies, causal=True)
    weights = [
        sum(float(map.values[query, key]) for key in range(query) if TEXT[key] == TEXT[query])
        for query in range(len(TEXT))
        if TEXT[query] in TEXT[:query]
    ]
    assert describe(map).name == "same"
    assert describe(map).score == pytest.approx(mean(weights), abs=1e-6)
    assert describe(map).text.startswith("looks at copies of the same token, 0.9")


def test_punctuation_does_not_count_where_it_is_the_query_itself() -> None:
    marks = [2, 5, 8]
    place = np.zeros((len(TEXT), len(TEXT)), dtype=bool)
    place[:, marks] = True
    np.fill_diagonal(place, False)
    map = soft(place, causal=False)
    weights = [
        sum(float(map.values[query, key]) for key in marks if key != query)
        for query in range(len(TEXT))
    ]
    assert describe(map).name == "punctuation"
    assert describe(map).score == pytest.approx(mean(weights), abs=1e-6)


def test_a_separator_is_called_by_its_name() -> None:
    values = np.full((6, 6), 0.02)
    values[:, 5] = 0.9
    map = AttentionMap(values, BERT, BERT, kind="encoder")
    assert describe(map).text == "looks at [SEP], 0.90"


def test_one_token_in_the_middle_counts_for_queries_that_are_not_at_it_or_beside_it() -> None:
    place = np.zeros((len(TEXT), len(TEXT)), dtype=bool)
    place[:, 1] = True
    map = soft(place, causal=True)
    expected = mean([float(map.values[query, 1]) for query in range(3, len(TEXT))])
    assert describe(map).score == pytest.approx(expected, abs=1e-6)
    assert describe(map).text == f"looks at one place, “cat”, {expected:.2f}"


def test_one_token_near_the_end_is_no_habit_if_few_queries_can_see_it() -> None:
    place = np.zeros((len(TEXT), len(TEXT)), dtype=bool)
    place[:, 6] = True
    assert describe(soft(place, causal=True)).name != "fixed"


def test_uniform_attention_spreads_over_as_many_tokens_as_there_are() -> None:
    map = AttentionMap(np.full((6, 6), 1 / 6), BERT, BERT)
    assert describe(map).name == "spread"
    assert describe(map).score == pytest.approx(6, rel=1e-5)
    assert describe(map).text == "spreads over about 6 tokens"


def test_spread_is_the_exponential_of_the_mean_entropy_of_queries_with_a_choice() -> None:
    n = len(TEXT)
    masked = np.triu(np.ones((n, n), dtype=bool), 1)
    values = np.tril(np.ones((n, n))) / np.arange(1, n + 1)[:, None]
    entropies = [math.log(query + 1) for query in range(1, n)]
    pattern = describe(AttentionMap(values, TEXT, TEXT, masked=masked))
    assert pattern.name == "spread"
    assert pattern.score == pytest.approx(math.exp(mean(entropies)), rel=1e-5)


def test_uniform_attention_over_many_commas_is_not_called_looking_at_punctuation() -> None:
    tokens = ("a", ",", ",", ",", ",", ",", "b", ",")
    map = AttentionMap(np.full((8, 8), 1 / 8), tokens, tokens)
    assert describe(map).name == "spread"


def test_between_a_third_and_a_half_a_head_looks_partly() -> None:
    n = len(TEXT)
    values = np.full((n, n), 0.6 / (n - 1))
    for query in range(n):
        values[query, max(query - 1, 0)] = 0.4
    assert (
        describe(AttentionMap(values, TEXT, TEXT)).text
        == "looks partly at the previous token, 0.40"
    )


@pytest.mark.parametrize(("column", "name"), [(4, "end"), (1, "fixed")])
def test_cross_attention_with_more_keys_than_queries_is_read_along_the_right_axis(
    column: int, name: str
) -> None:
    values = np.full((3, 5), 0.025, dtype=np.float32)
    values[:, column] = 0.9
    map = AttentionMap(values, ("le", "chat", "dort"), ("the", "cat", "is", "asleep", "</s>"))
    assert describe(map).name == name
    assert describe(map).score == pytest.approx(0.9, abs=1e-6)


def test_cross_attention_never_speaks_of_previous_tokens_even_if_the_tokens_are_the_same() -> None:
    values = np.full((6, 6), 0.02)
    values[np.arange(1, 6), np.arange(5)] = 0.9
    values[0, 3] = 0.9
    pattern = describe(AttentionMap(values, BERT, BERT, kind="cross"))
    assert pattern.name == "aligned"


def test_cross_attention_that_moves_with_the_query_is_measured_by_what_the_query_decides() -> None:
    values = np.full((3, 4), 0.05)
    values[(0, 1, 2), (2, 0, 3)] = 0.85
    entropy = -(0.85 * math.log(0.85) + 3 * 0.05 * math.log(0.05))
    mean_row = [0.95 / 3, 0.15 / 3, 0.95 / 3, 0.95 / 3]
    information = -sum(weight * math.log(weight) for weight in mean_row) - entropy
    pattern = describe(AttentionMap(values, ("le", "chat", "dort"), ("a", "cat", "is", "asleep")))
    assert pattern.name == "aligned"
    assert pattern.score == pytest.approx(information / math.log(3), abs=1e-6)
    assert pattern.text == f"looks at a different place for each query, {pattern.score:.2f}"


def test_cross_attention_that_is_the_same_for_every_query_is_not_called_different() -> None:
    values = np.tile([0.25, 0.2, 0.2, 0.2, 0.15], (4, 1))
    pattern = describe(AttentionMap(values, "abcd", "vwxyz", kind="cross"))
    assert pattern.text == "spreads over about 5 tokens"


def test_a_single_query_has_no_other_to_look_elsewhere_than() -> None:
    map = AttentionMap([[0.02, 0.02, 0.94, 0.02]], "a", "wxyz", kind="cross")
    assert describe(map).text == "picks one token for each query, 0.94"


def test_what_followed_the_same_token_before_counts_where_it_is_not_the_token_before() -> None:
    tokens = ("one", "fish", "two", "fish", "red", "one", "fish", "two", "fish")
    n = len(tokens)
    after = np.zeros((n, n), dtype=bool)
    for query in range(n):
        for key in range(query - 1):
            after[query, key + 1] = tokens[key] == tokens[query]
    masked = np.triu(np.ones((n, n), dtype=bool), 1)
    weights = np.where(masked, 0, np.exp(5.0 * after))
    values = weights / weights.sum(axis=1, keepdims=True)
    # Query 3, "fish", has seen "fish two", and 8 has seen it twice, the last time just before it.
    expected = mean([float(values[query][after[query]].sum()) for query in (5, 6, 7)])
    pattern = describe(AttentionMap(values, tokens, tokens, masked=masked))
    assert pattern.name == "induction"
    assert pattern.score == pytest.approx(expected, abs=1e-6)
    assert pattern.text == f"looks at what followed the same token before, {expected:.2f}"


def test_the_last_queries_of_a_longer_text_know_their_own_positions() -> None:
    values = np.full((3, 9), 0.1 / 8)
    for row, position in enumerate((6, 7, 8)):
        values[row, position - 1] = 0.9
    assert describe(AttentionMap(values, TEXT[6:], TEXT)).name == "previous"


def test_heads_together_are_described_as_each_alone() -> None:
    maps = [soft(looking_at(k), causal=True, seed=k + 2) for k in (-2, -1, 0)]
    together = describe_all(
        np.stack([map.values for map in maps]),
        query_tokens=TEXT,
        key_tokens=TEXT,
        masked=maps[0].masked,
        kind="decoder",
    )
    assert [pattern.name for pattern in together] == [describe(map).name for map in maps]
    assert [pattern.score for pattern in together] == pytest.approx(
        [describe(map).score for map in maps]
    )


def test_a_mask_for_each_head_is_taken_head_by_head() -> None:
    map = soft(looking_at(-1), causal=True)
    assert map.masked is not None
    values = np.stack([map.values, map.values])
    masked = np.stack([map.masked, np.zeros_like(map.masked)])
    both = describe_all(values, query_tokens=TEXT, key_tokens=TEXT, masked=masked)
    assert both[0] == describe(map)
    assert both[1] == describe(AttentionMap(map.values, TEXT, TEXT))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[np.nan, np.nan], [np.nan, np.nan]], ("undefined", "has no numbers to describe")),
        ([[-0.25, 0.25], [0.0, 0.125]], ("values", "values from −0.25 to 0.25")),
        ([[0.0, 0.0], [0.0, 0.0]], ("alone", "has no more than one token to look at")),
    ],
)
def test_what_is_no_attention_is_not_described_as_attention(
    values: list[list[float]], expected: tuple[str, str]
) -> None:
    pattern = describe(AttentionMap(np.array(values), ("a", "b"), ("a", "b")))
    assert (pattern.name, pattern.text) == expected


def test_a_token_of_another_writing_direction_keeps_to_itself() -> None:
    values = np.full((8, 8), 0.025)
    values[:, 3] = 0.825
    for token, shown in (("·قلم", "\u2068قلم\u2069"), ("·pen", "pen")):
        tokens = (*"abc", token, *"defg")
        text = describe(AttentionMap(values, tokens, tokens, kind="encoder")).text
        assert text.startswith(f"looks at one place, “{shown}”, 0.8")


def test_a_single_token_has_nothing_to_look_at() -> None:
    assert describe(AttentionMap(np.ones((1, 1)), ("a",), ("a",))).name == "alone"


def test_a_query_with_a_number_that_is_not_finite_is_left_out() -> None:
    map = soft(looking_at(-1), causal=True)
    values = map.values.copy()
    values[4, 1] = np.nan
    expected = mean([float(values[query, query - 1]) for query in (2, 3, 5, 6, 7, 8)])
    pattern = describe(AttentionMap(values, TEXT, TEXT, masked=map.masked))
    assert pattern.score == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"query_tokens": "abc", "key_tokens": "abcd"},
            "values has shape (1, 2, 3), but there are 3 query tokens and 4 key tokens: "
            "values must be (head, query, key).",
        ),
        (
            {"query_tokens": "ab", "key_tokens": "abc", "masked": np.zeros((3, 2), dtype=bool)},
            "masked has shape (3, 2), values has shape (1, 2, 3): it must be (query, key) for all "
            "heads, or the same.",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_both_named_errors(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ShapeError) as caught:
        describe_all(np.zeros((1, 2, 3)), **arguments)
    assert str(caught.value) == message


def test_a_map_to_begin_with_looks_plainly_at_neighbours_or_copies() -> None:
    previous = np.eye(6, k=-1, dtype=np.float32) * 0.9 + 0.1 / 6
    first = np.zeros((6, 6), dtype=np.float32)
    first[:, 0] = 1
    tokens = tuple("abcdef")
    assert is_telling(AttentionMap(previous, tokens, tokens))
    assert not is_telling(AttentionMap(first, tokens, tokens))
    assert not is_telling(AttentionMap(previous / 2 + 1 / 12, tokens, tokens))


def test_a_map_of_another_text_to_begin_with_looks_elsewhere_for_each_query() -> None:
    aligned = np.full((3, 4), 0.02)
    aligned[(0, 1, 2), (2, 0, 3)] = 0.94
    assert is_telling(AttentionMap(aligned, "abc", "wxyz", kind="cross"))
    assert not is_telling(AttentionMap(np.full((3, 4), 0.25), "abc", "wxyz", kind="cross"))
