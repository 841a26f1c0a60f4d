"""The scores of maps: each definition against plain loops over random attention."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import vizcore
from vizcore.map_metrics import SCORES, map_scores, tally
from vizcore.maps import AttentionMap
from vizcore.patterns import describe

TEXT = ("[CLS]", "one", "fish", ",", "two", "fish", ",", "one", "fish", "red", "[SEP]", "one", "!")
SOURCE = ("[CLS]", "red", ",", "blue", "?", "[SEP]")
WITHIN = {
    "previous_token",
    "next_token",
    "itself",
    "first_token",
    "same_token",
    "separator",
    "punctuation",
    "local_window",
    "induction",
    "prefix_matching",
}


def random_map(
    queries: tuple[str, ...], keys: tuple[str, ...], *, causal: bool, seed: int = 0
) -> AttentionMap:
    """Attention with a little of everything, of the last tokens if there are more keys."""
    shape = (len(queries), len(keys))
    scores = np.random.default_rng(seed).normal(size=shape) * 2
    masked = np.triu(np.ones(shape, dtype=bool), len(keys) - len(queries) + 1)
    masked &= causal
    weights = np.where(masked, 0, np.exp(scores))
    values = weights / weights.sum(axis=1, keepdims=True)
    return AttentionMap(values, queries, keys, layer=2, head=1, masked=masked if causal else None)


def is_mark(token: str) -> bool:
    return token in (",", "!", "?", ".")


def is_special(token: str) -> bool:
    return token.startswith("[")


def followers(tokens: tuple[str, ...], own: int) -> set[int]:
    copies = [key for key in range(len(tokens) - 1) if key != own and tokens[key] == tokens[own]]
    return {key + 1 for key in copies if key + 1 != own}


def latest_follower(tokens: tuple[str, ...], own: int) -> set[int]:
    earlier = [key for key in range(own) if tokens[key] == tokens[own]]
    return {earlier[-1] + 1} - {own} if earlier else set()


Keys = Callable[[tuple[str, ...], int], set[int]]
NEIGHBOURS: dict[str, Keys] = {
    "previous_token": lambda tokens, own: {own - 1},
    "next_token": lambda tokens, own: {own + 1},
    "itself": lambda tokens, own: {own},
    "first_token": lambda tokens, own: {0},
}
SETS: dict[str, Keys] = {
    "same_token": lambda tokens, own: {
        key for key, token in enumerate(tokens) if token == tokens[own] and key != own
    },
    "separator": lambda tokens, own: {
        key for key, token in enumerate(tokens) if is_special(token) and key not in (0, own)
    },
    "punctuation": lambda tokens, own: {
        key for key, token in enumerate(tokens) if is_mark(token) and key not in (0, own)
    },
    "local_window": lambda tokens, own: set(range(own - 2, own + 3)),
    "induction": latest_follower,
    "prefix_matching": followers,
}


def expected_score(map: AttentionMap, name: str) -> float:
    """The definition, in loops."""
    tokens, n_keys = map.key_tokens, len(map.key_tokens)
    weights = []
    for row in range(len(map.query_tokens)):
        own = n_keys - len(map.query_tokens) + row
        visible = {k for k in range(n_keys) if map.masked is None or not map.masked[row, k]}
        wanted = (NEIGHBOURS | SETS)[name](tokens, own)
        if name in NEIGHBOURS:
            others = [keys(tokens, own) for other, keys in NEIGHBOURS.items() if other != name]
            if wanted in others:
                continue
        if name in ("induction", "prefix_matching") and own - 1 in followers(tokens, own):
            continue
        if wanted & visible and visible - wanted:
            weights.append(math.fsum(float(map.values[row, key]) for key in wanted & visible))
    return math.fsum(weights) / len(weights) if weights else math.nan


def entropy(row: list[float]) -> float:
    return -math.fsum(weight * math.log(weight) for weight in row if weight > 0)


@pytest.mark.parametrize("name", [*NEIGHBOURS, *SETS])
@pytest.mark.parametrize(("n_queries", "causal"), [(13, True), (13, False), (9, True), (5, False)])
def test_a_score_is_the_mean_weight_that_its_definition_says(
    name: str, n_queries: int, causal: bool
) -> None:
    map = random_map(TEXT[13 - n_queries :], TEXT, causal=causal)
    row = map_scores(map, window=2).iloc[0]
    assert row[name] == pytest.approx(expected_score(map, name), abs=1e-6, nan_ok=True)


def test_every_score_of_a_text_with_repetitions_and_marks_is_measured() -> None:
    row = map_scores(random_map(TEXT, TEXT, causal=False)).iloc[0]
    assert row[[*WITHIN]].notna().all()
    assert math.isnan(row["last_token"])


def test_entropy_and_distance_are_means_over_queries_with_a_choice() -> None:
    map = random_map(TEXT, TEXT, causal=True)
    row = map_scores(map).iloc[0]
    rows = [[float(weight) for weight in values] for values in map.values][1:]
    entropies = [entropy(values) for values in rows]
    distances = [
        math.fsum(weight * abs(key - query) for key, weight in enumerate(values))
        for query, values in enumerate(rows, start=1)
    ]
    assert row["entropy"] == pytest.approx(math.fsum(entropies) / len(entropies), abs=1e-6)
    assert row["effective_tokens"] == pytest.approx(math.exp(row["entropy"]))
    assert row["mean_distance"] == pytest.approx(math.fsum(distances) / len(distances), abs=1e-5)


def test_the_window_is_as_wide_as_asked_for() -> None:
    map = random_map(TEXT, TEXT, causal=False)
    near = [sum(float(map.values[i, j]) for j in range(13) if abs(i - j) <= 4) for i in range(13)]
    row = map_scores(map, window=4).iloc[0]
    assert row["local_window"] == pytest.approx(sum(near) / 13, abs=1e-6)


def test_what_the_query_decides_is_the_entropy_of_the_mean_row_less_the_mean_entropy() -> None:
    map = random_map(TEXT[:4], SOURCE, causal=False)
    row = map_scores(map).iloc[0]
    mean_row = [math.fsum(float(v) for v in map.values[:, key]) / 4 for key in range(6)]
    rows = [entropy([float(v) for v in values]) for values in map.values]
    expected = entropy(mean_row) - math.fsum(rows) / 4
    assert row["mutual_information"] == pytest.approx(expected, abs=1e-6)
    assert row["alignment"] == pytest.approx(expected / math.log(4), abs=1e-6)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.eye(3, 5), math.log(3)),
        (np.eye(5, 3)[[0, 1, 2, 0, 1, 2]], math.log(3)),
        (np.tile([0.5, 0.25, 0.25, 0, 0], (3, 1)), 0),
        ([[0.2, 0.3, 0.5]], 0),
    ],
)
def test_it_lies_between_nothing_and_the_logarithm_of_the_smaller_side(
    values: np.ndarray, expected: float
) -> None:
    values = np.asarray(values)
    queries, keys = "abcdef"[: values.shape[0]], "uvwxyz"[: values.shape[1]]
    row = map_scores(AttentionMap(values, queries, keys, kind="cross")).iloc[0]
    assert row["mutual_information"] == pytest.approx(expected, abs=1e-6)


def test_it_is_not_measured_where_the_mask_decides_where_a_query_may_look() -> None:
    row = map_scores(random_map(TEXT, TEXT, causal=True)).iloc[0]
    assert math.isnan(row["mutual_information"])
    assert math.isnan(row["alignment"])


def test_attention_to_another_text_is_measured_at_its_ends_marks_and_special_tokens() -> None:
    map = random_map(TEXT[:4], SOURCE, causal=False)
    row = map_scores(map).iloc[0]
    for name, keys in {
        "first_token": [0],
        "last_token": [5],
        "separator": [0, 5],
        "punctuation": [2, 4],
    }.items():
        assert row[name] == pytest.approx(float(map.values[:, keys].sum(axis=1).mean()), abs=1e-6)
    assert row[[*(WITHIN - {"first_token", "separator", "punctuation"})]].isna().all()
    assert math.isnan(row["mean_distance"])


def test_one_row_a_map_in_order_with_the_words_of_describe() -> None:
    maps = [
        AttentionMap(random_map(TEXT, TEXT, causal=True, seed=seed).values, TEXT, TEXT)
        for seed in range(3)
    ]
    maps = [
        AttentionMap(one.values, TEXT, TEXT, layer=4, head=head, kind="encoder")
        for head, one in enumerate(maps)
    ]
    frame = map_scores(maps)
    assert [*frame.columns] == ["kind", "layer", "head", *SCORES, "pattern", "summary"]
    assert [*zip(frame["kind"], frame["layer"], frame["head"], strict=True)] == [
        ("encoder", 4, 0),
        ("encoder", 4, 1),
        ("encoder", 4, 2),
    ]
    assert [*frame["summary"]] == [describe(one).text for one in maps]
    assert [*frame["pattern"]] == [describe(one).name for one in maps]
    for place, one in enumerate(maps):
        alone = map_scores(one).iloc[0]
        pd.testing.assert_series_equal(frame.iloc[place], alone, check_names=False)


def test_maps_of_different_texts_and_masks_are_measured_each_with_its_own() -> None:
    maps = [
        random_map(TEXT, TEXT, causal=True),
        random_map(TEXT, TEXT, causal=False),
        random_map(TEXT[:4], SOURCE, causal=False),
    ]
    frame = map_scores(maps)
    for place, one in enumerate(maps):
        alone = map_scores(one).iloc[0]
        pd.testing.assert_series_equal(frame.iloc[place], alone, check_names=False)


def test_sums_of_two_texts_give_the_mean_over_the_queries_of_both() -> None:
    short, long = random_map(TEXT[:5], TEXT[:5], causal=True), random_map(TEXT, TEXT, causal=True)
    both = (tally([short], window=3) + tally([long], window=3)).means()
    # Of 5 queries 3 count, of 13 there are 11: the first has no choice, the second no other token.
    expected = 3 * expected_score(short, "previous_token") + 11 * expected_score(
        long, "previous_token"
    )
    assert both["previous_token"][0] == pytest.approx(expected / 14, abs=1e-6)


def test_only_maps_of_the_kind_that_is_asked_for_are_measured() -> None:
    one = random_map(TEXT, TEXT, causal=True)
    other = AttentionMap(one.values, TEXT, TEXT, kind="encoder", layer=0, head=0)
    assert len(map_scores([one, other], kind="encoder")) == 1
    assert map_scores([one], kind="cross").empty


def test_negative_numbers_are_no_attention_and_have_no_scores() -> None:
    attention = random_map(TEXT, TEXT, causal=False)
    difference = AttentionMap(attention.values - 0.1, TEXT, TEXT, layer=2, head=2)
    frame = map_scores([attention, difference])
    assert frame.loc[0, [*WITHIN]].notna().all()
    assert frame.loc[1, [*SCORES]].isna().all()
    assert frame.loc[1, "pattern"] == "values"


def test_a_row_with_a_number_that_is_not_finite_is_left_out() -> None:
    map = random_map(TEXT, TEXT, causal=False)
    values = map.values.copy()
    values[4, 2] = np.nan
    weights = [float(map.values[query, query]) for query in range(1, 13) if query != 4]
    row = map_scores(AttentionMap(values, TEXT, TEXT)).iloc[0]
    assert row["itself"] == pytest.approx(sum(weights) / len(weights), abs=1e-6)


def test_the_scores_of_a_single_token_are_all_unknown() -> None:
    row = map_scores(AttentionMap([[1.0]], ["a"], ["a"])).iloc[0]
    assert row[[*SCORES]].isna().all()
    assert row["pattern"] == "alone"


def test_a_window_below_zero_is_refused_errors() -> None:
    with pytest.raises(vizcore.SelectionError) as caught:
        map_scores([], window=-1)
    assert str(caught.value) == "window must be at least 0 tokens, not -1."
