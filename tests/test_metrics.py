"""Metrics equal those of scikit-learn and SciPy; intervals and tests equal SciPy or brute force."""

import math
import warnings
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as reference

import vizcore
from vizcore import metrics
from vizcore.paired import bootstrap_interval, holm, mcnemar

binary = st.lists(st.tuples(st.sampled_from("01"), st.sampled_from("01")), min_size=1, max_size=60)
three = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=60)
small = st.integers(-4, 4).map(float) | st.floats(-1e6, 1e6, width=32)
numbers = st.lists(st.tuples(small, small), min_size=2, max_size=60)


def columns(pairs: list[tuple[Any, Any]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([one for one, _ in pairs]), np.array([other for _, other in pairs])


def quiet(function: Callable[..., Any], *arguments: Any, **options: Any) -> float:
    """scikit-learn and SciPy warn where a metric is not defined."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(function(*arguments, **options))


@given(binary)
def test_accuracy_and_f1_are_those_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    labels, predicted = columns(pairs)
    assert metrics.accuracy(labels, predicted) == pytest.approx(
        reference.accuracy_score(labels, predicted)
    )
    expected = quiet(reference.f1_score, labels, predicted, pos_label="1", zero_division=np.nan)
    assert metrics.f1(labels, predicted, positive="1") == pytest.approx(expected, nan_ok=True)


@given(three)
def test_matthews_is_that_of_scikit_learn_for_any_number_of_labels(
    pairs: list[tuple[str, str]],
) -> None:
    labels, predicted = columns(pairs)
    found = metrics.matthews(labels, predicted)
    if len(set(labels)) == 1 or len(set(predicted)) == 1:
        assert math.isnan(found)  # where scikit-learn says 0
    else:
        assert found == pytest.approx(quiet(reference.matthews_corrcoef, labels, predicted))


@given(numbers)
def test_correlations_are_those_of_scipy(pairs: list[tuple[float, float]]) -> None:
    x, y = columns(pairs)
    if np.ptp(x) < 1e-3 or np.ptp(y) < 1e-3:
        return
    assert metrics.pearson(x, y) == pytest.approx(
        quiet(stats.pearsonr(x, y).__getitem__, 0), abs=1e-6
    )
    expected = stats.spearmanr(x, y).statistic
    assert metrics.spearman(x, y) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=1, max_size=60))
def test_auc_is_that_of_scikit_learn_with_ties(pairs: list[tuple[bool, int]]) -> None:
    labels, scores = columns(pairs)
    found = metrics.auc(labels, scores, positive=True)
    if len(set(labels)) == 1:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(reference.roc_auc_score(labels, scores))


@given(st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=2, max_size=40))
def test_no_threshold_is_better_than_the_one_that_is_chosen(pairs: list[tuple[bool, int]]) -> None:
    positive, scores = columns(pairs)
    if len(set(positive)) == 1 or len(set(scores)) == 1:
        with pytest.raises(vizcore.SelectionError, match="No threshold can be chosen"):
            metrics.best_threshold(positive, scores)
        return
    chosen = metrics.best_threshold(positive, scores)
    best = max(
        reference.matthews_corrcoef(positive, scores >= cut) for cut in np.unique(scores)[1:]
    )
    assert reference.matthews_corrcoef(positive, scores >= chosen) == pytest.approx(best)
    assert chosen not in scores


def test_no_threshold_can_be_chosen_errors() -> None:
    with pytest.raises(vizcore.SelectionError) as caught:
        metrics.best_threshold(np.array([True, False]), np.array([1.0, 1.0]))
    assert str(caught.value) == (
        "No threshold can be chosen: all items have the same label or the same score."
    )


def test_what_is_not_defined_is_nan_and_no_warning() -> None:
    nothing = np.array([])
    one = np.array(["1", "1"])
    assert math.isnan(metrics.accuracy(nothing, nothing))
    assert math.isnan(metrics.f1(np.array(["0"]), np.array(["0"]), positive="1"))
    assert math.isnan(metrics.matthews(one, one))
    assert math.isnan(metrics.pearson(np.array([1.0, 1.0]), np.array([1.0, 2.0])))
    assert math.isnan(metrics.pearson(np.array([1.0]), np.array([1.0])))
    assert math.isnan(metrics.auc(one, np.array([1.0, 2.0]), positive="1"))


def test_metrics_are_measured_by_name() -> None:
    labels, predicted = np.array(["0", "1", "1"]), np.array(["0", "1", "0"])
    found = metrics.measured(["accuracy", "f1", "matthews"], labels, predicted, positive="1")
    assert found == {
        "accuracy": pytest.approx(2 / 3), "f1": pytest.approx(2 / 3), "matthews": pytest.approx(0.5)
    }  # fmt: skip
    x, y = np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 2.0])
    assert metrics.measured(["pearson", "spearman"], x, y)["spearman"] == pytest.approx(0.5)
    assert metrics.measured(["auc"], labels, x, positive="1") == {"auc": 1.0}


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_wilsons_of_scipy(counts: tuple[int, int]) -> None:
    for confidence in (0.9, 0.95):
        expected = stats.binomtest(*counts).proportion_ci(confidence, method="wilson")
        found = vizcore.wilson_interval(*counts, confidence=confidence)
        assert found == pytest.approx((expected.low, expected.high), abs=1e-12)
        assert 0 <= found[0] <= counts[0] / counts[1] <= found[1] <= 1


def test_impossible_counts_and_confidences_errors() -> None:
    assert vizcore.wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(vizcore.SelectionError) as caught:
        vizcore.wilson_interval(3, 2)
    assert str(caught.value) == "3 of 2 cannot be correct."
    with pytest.raises(vizcore.SelectionError) as caught:
        vizcore.wilson_interval(1, 2, confidence=95)
    assert str(caught.value) == "A confidence is between 0 and 1, such as 0.95, not 95."


# --- two models ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), [*product([0, 1, 3, 8], repeat=2), (40, 70), (1500, 1600)])
def test_mcnemar_is_the_exact_binomial_test(a: int, b: int) -> None:
    expected = stats.binomtest(a, a + b).pvalue if a + b else 1.0
    assert mcnemar(a, b) == pytest.approx(expected, rel=1e-9)


def test_the_paired_bootstrap_is_as_wide_as_scipys() -> None:
    generator = np.random.default_rng(5)
    a = generator.random(400) < 0.7
    b = np.where(generator.random(400) < 0.2, ~a, a)
    differences = b.astype(float) - a
    expected = stats.bootstrap(
        (differences,), np.mean, method="percentile", n_resamples=9999, rng=generator
    ).confidence_interval
    found = bootstrap_interval(differences, seed=1)
    assert found == pytest.approx((expected.low, expected.high), abs=0.006)
    assert found == bootstrap_interval(differences, seed=1)
    assert found != bootstrap_interval(differences, seed=2)


def test_two_models_are_compared_where_they_differ() -> None:
    a = np.array([True] * 6 + [False] * 4)
    b = np.array([True] * 2 + [False] * 4 + [True] * 1 + [False] * 3)
    found = vizcore.compare_correct(a, b)
    assert (found.n, found.only_a, found.only_b) == (10, 4, 1)
    assert (found.accuracy_a, found.accuracy_b) == (0.6, 0.3)
    assert found.difference == pytest.approx(-0.3)
    assert found.p_value == pytest.approx(stats.binomtest(1, 5).pvalue)
    assert found.low < -0.3 < found.high
    other_way = vizcore.compare_correct(b, a)
    assert (other_way.difference, other_way.p_value) == (-found.difference, found.p_value)


def test_two_models_with_the_same_answers_do_not_differ() -> None:
    same = vizcore.compare_correct(np.array([True, False]), np.array([True, False]))
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)


def test_models_with_other_items_cannot_be_compared_errors() -> None:
    with pytest.raises(vizcore.DataError) as caught:
        vizcore.compare_correct(np.array([True]), np.array([True, False]))
    assert str(caught.value) == ("Two models are compared on the same items; there are 1 and 2.")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holms_adjustment_rejects_what_his_procedure_rejects(values: list[float]) -> None:
    adjusted = holm(np.array(values))
    for level in (0.01, 0.05, 0.3):
        rejected = set()
        for step, place in enumerate(np.argsort(values, kind="stable")):
            if values[place] * (len(values) - step) > level:
                break
            rejected.add(int(place))
        assert set(np.flatnonzero(adjusted <= level).tolist()) == rejected


def answers(right: list[int], *, paradigm: str = "ab") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "benchmark": "x",
            "line": range(len(right)),
            "paradigm": [paradigm[n % 2] for n in range(len(right))],
            "correct": [bool(one) for one in right],
        }
    )


def test_items_are_matched_by_where_they_stand_and_grouped() -> None:
    a, b = answers([1, 1, 1, 0, 0, 0]), answers([1, 0, 1, 0, 0, 1])
    table = vizcore.paired_table(a, b.sample(frac=1, random_state=0))
    assert list(table["paradigm"]) == ["a", "b", "all"]
    assert list(table["n"]) == [3, 3, 6]
    assert list(table["only_a"]) == [0, 1, 1]
    assert list(table["only_b"]) == [0, 1, 1]
    assert list(table["p_adjusted"]) == [1, 1, 1]


def test_items_that_are_not_the_same_errors() -> None:
    with pytest.raises(vizcore.DataError) as caught:
        vizcore.paired_table(answers([1, 0]), answers([1, 0, 1]))
    assert str(caught.value) == (
        "The two are not about the same items: 2 and 3, of which 2 are in both. Run both models on "
        "the same files."
    )
    with pytest.raises(vizcore.DataError) as caught:
        vizcore.paired_table(answers([1]), answers([1]).drop(columns="correct"))
    assert str(caught.value) == ("These results have no column 'correct'; they cannot be compared.")
