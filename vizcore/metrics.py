"""How good predictions are: GLUE's metrics, and how sure one can be of an accuracy.

Each is the formula of its docstring on plain arrays, and equals scikit-learn's or SciPy's. Where a
metric is not defined (a constant prediction has no correlation) it is NaN, not 0 and no warning.
For what differs between two models see `vizcore.paired`.
"""

import math
from collections.abc import Iterable
from statistics import NormalDist

import numpy as np
from jaxtyping import Float

from vizcore.errors import SelectionError
from vizcore.tasks import Metric


def accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """The share of items that were predicted as they are labelled."""
    return float(np.mean(labels == predicted)) if len(labels) else math.nan


def f1(labels: np.ndarray, predicted: np.ndarray, *, positive: object) -> float:
    """2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall of one label."""
    hits = int(np.sum((labels == positive) & (predicted == positive)))
    named = int(np.sum(labels == positive)) + int(np.sum(predicted == positive))
    return 2 * hits / named if named else math.nan


def matthews(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Matthews' correlation coefficient, for any number of labels (Gorodkin 2004).

    With two it is (TP TN - FP FN) / √((TP+FP)(TP+FN)(TN+FP)(TN+FN)); 0 is chance. NaN if all
    labels or all predictions are the same.
    """
    names = [*{*labels.tolist(), *predicted.tolist()}]
    labelled = np.array([np.sum(labels == name) for name in names], dtype=np.float64)
    said = np.array([np.sum(predicted == name) for name in names], dtype=np.float64)
    n, correct = float(len(labels)), float(np.sum(labels == predicted))
    covariance = correct * n - labelled @ said
    spread = (n**2 - said @ said) * (n**2 - labelled @ labelled)
    return float(covariance / math.sqrt(spread)) if spread > 0 else math.nan


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's correlation: the covariance of both over the product of their deviations."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    centred_x, centred_y = x - np.mean(x), y - np.mean(y)
    # Scaled, so that squares neither overflow nor vanish.
    centred_x, centred_y = centred_x / np.abs(centred_x).max(), centred_y / np.abs(centred_y).max()
    value = centred_x @ centred_y / math.sqrt((centred_x @ centred_x) * (centred_y @ centred_y))
    return float(np.clip(value, -1, 1))


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's correlation: Pearson's of the ranks, equal values sharing their mean rank."""
    return pearson(_ranks(x), _ranks(y))


def auc(labels: np.ndarray, scores: np.ndarray, *, positive: object) -> float:
    """The area under the ROC curve: how often a positive item scores above a negative one.

    Ties count half (Mann & Whitney 1947). It needs no threshold. NaN if one side is missing.
    """
    is_positive = labels == positive
    n_positive = int(is_positive.sum())
    n_negative = len(labels) - n_positive
    if not n_positive or not n_negative:
        return math.nan
    above = _ranks(scores)[is_positive].sum() - n_positive * (n_positive + 1) / 2
    return float(above / (n_positive * n_negative))


def best_threshold(is_positive: np.ndarray, scores: np.ndarray) -> float:
    """The threshold at or above which items are to be called positive, for the best Matthews.

    All that make a difference are tried. It lies half-way between two scores; of several that are
    equally good the lowest is taken.

    Args:
        is_positive: booleans.
        scores: as many numbers.

    Raises:
        SelectionError: if there are no two different scores or labels to choose by.
    """
    order = np.argsort(scores, kind="stable")
    ordered, positive = scores[order], is_positive[order].astype(np.float64)
    n, n_positive = len(ordered), positive.sum()
    cuts = np.flatnonzero(np.diff(ordered) > 0) + 1  # so many items lie below
    if not len(cuts) or n_positive in (0, n):
        raise SelectionError(
            "No threshold can be chosen: all items have the same label or the same score."
        )
    positive_below = np.cumsum(positive)[cuts - 1]
    hits = n_positive - positive_below
    said = n - cuts
    covariance = hits * n - said * n_positive
    value = covariance / np.sqrt(said * cuts * n_positive * (n - n_positive))
    best = int(cuts[np.argmax(value)])
    return float((ordered[best - 1] + ordered[best]) / 2)


def wilson_interval(
    n_correct: int, n: int, *, confidence: float | int = 0.95
) -> tuple[float, float]:
    """Between which two the true accuracy lies, with this confidence (Wilson 1927).

    Unlike p ± 1.96 √(p(1-p)/n) it stays between 0 and 1, and is right for few items and for
    accuracies near 1.

    Raises:
        SelectionError: if the counts are impossible or the confidence is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise SelectionError(f"A confidence is between 0 and 1, such as 0.95, not {confidence}.")
    if not 0 <= n_correct <= n:
        raise SelectionError(f"{n_correct} of {n} cannot be correct.")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = n_correct / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low = 0.0 if n_correct == 0 else centre - half
    return low, 1.0 if n_correct == n else centre + half


def measured(
    names: Iterable[Metric], labels: np.ndarray, predicted: np.ndarray, *, positive: object = None
) -> dict[str, float]:
    """Several of these metrics by name.

    Args:
        names: which.
        labels: what is right.
        predicted: labels, or numbers for correlations and AUC.
        positive: the positive label, where one is needed.
    """
    found: dict[str, float] = {}
    for name in names:
        if name == "accuracy":
            found[name] = accuracy(labels, predicted)
        elif name == "f1":
            found[name] = f1(labels, predicted, positive=positive)
        elif name == "matthews":
            found[name] = matthews(labels, predicted)
        elif name == "auc":
            found[name] = auc(labels, predicted, positive=positive)
        else:
            correlation = pearson if name == "pearson" else spearman
            found[name] = correlation(labels, predicted)
    return found


def _ranks(values: np.ndarray) -> Float[np.ndarray, " item"]:
    """Ranks from 1; equal values share their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: Float[np.ndarray, " item"] = (last - (counts - 1) / 2)[place].astype(np.float64)
    return means
