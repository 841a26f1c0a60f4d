"""Two models on the same items: is one better, or was it luck?

The items are the same, so what counts is where the models differ. McNemar's test asks whether the
wins fall as unevenly as they do by chance; the paired bootstrap, how the difference would spread
over other items like these. Not for models that answered different items.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vizcore.errors import DataError, SelectionError

RESAMPLES = 10_000
RESAMPLES_AT_ONCE = 500


@dataclass(frozen=True)
class PairedTest:
    """How two models compare on the same items.

    Args:
        n: how many items.
        accuracy_a, accuracy_b: of each model.
        difference: accuracy_b - accuracy_a.
        low, high: between which two the difference lies, by the paired bootstrap.
        only_a, only_b: how many items one alone has right.
        p_value: McNemar's exact test, two-sided: how likely wins are shared out as unevenly, or
            more so, by the toss of a coin.
    """

    n: int
    accuracy_a: float
    accuracy_b: float
    difference: float
    low: float
    high: float
    only_a: int
    only_b: int
    p_value: float


def compare_correct(
    a: np.ndarray, b: np.ndarray, *, confidence: float | int = 0.95, seed: int = 0
) -> PairedTest:
    """Compare two models by which items each has right.

    Args:
        a, b: booleans, or shares between 0 and 1, item by item, in the same order.
        confidence: of the interval.
        seed: of the bootstrap.

    Raises:
        DataError: if they are not of one length, or empty.
        SelectionError: if the confidence is not between 0 and 1.
    """
    if len(a) != len(b) or not len(a):
        raise DataError(
            f"Two models are compared on the same items; there are {len(a)} and {len(b)}."
        )
    if not 0 < confidence < 1:
        raise SelectionError(f"A confidence is between 0 and 1, such as 0.95, not {confidence}.")
    first, second = a.astype(np.float64), b.astype(np.float64)
    low, high = bootstrap_interval(second - first, confidence=confidence, seed=seed)
    only_a, only_b = int(np.sum(first > second)), int(np.sum(second > first))
    return PairedTest(
        n=len(first),
        accuracy_a=float(first.mean()),
        accuracy_b=float(second.mean()),
        difference=float(np.mean(second - first)),
        low=low,
        high=high,
        only_a=only_a,
        only_b=only_b,
        p_value=mcnemar(only_a, only_b),
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """McNemar's exact test (1947): the two-sided p-value of so uneven a share of the differences.

    Under the hypothesis that neither is better each difference is a fair coin; no difference at
    all gives 1.
    """
    n, fewer = only_a + only_b, min(only_a, only_b)
    if n == 0:
        return 1.0
    # Through logarithms: 2^-n is 0 as a float from some thousand differences on.
    terms = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2)
        for k in range(fewer + 1)
    ]
    return min(1.0, 2 * math.fsum(math.exp(term) for term in terms))


def bootstrap_interval(
    differences: np.ndarray,
    *,
    confidence: float | int = 0.95,
    n_resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile interval of a mean of paired differences (Efron & Tibshirani 1993).

    Items are drawn with replacement. Since only how often each value is drawn matters, draws are
    multinomial counts of the distinct values: for right and wrong there are three.
    """
    values, counts = np.unique(differences, return_counts=True)
    generator = np.random.default_rng(seed)
    n = int(counts.sum())
    at_once = max(1, min(n_resamples, RESAMPLES_AT_ONCE * 1000 // len(values)))
    means = []
    for start in range(0, n_resamples, at_once):
        size = min(at_once, n_resamples - start)
        means.append(generator.multinomial(n, counts / n, size=size) @ values / n)
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def paired_table(
    a: pd.DataFrame, b: pd.DataFrame, *, by: str = "paradigm", confidence: float | int = 0.95
) -> pd.DataFrame:
    """Two models item by item: one row a group, and one for all items, which is the last.

    Args:
        a, b: what `evaluate` gave for each, of the same benchmark files.
        by: by which column items are grouped.
        confidence: of the intervals.

    Returns:
        The group's name in the column `by` ("all" for all items together), n, accuracy_a,
        accuracy_b, difference (b - a), low, high, only_a, only_b, p_value, and p_adjusted: the
        same adjusted for the number of groups (Holm 1979), as of many some differ by luck.

    Raises:
        DataError: if the items are not the same.
    """
    keys = ["benchmark", "line"]
    for frame in (a, b):
        missing = {*keys, "correct", by} - {*frame}
        if missing:
            raise DataError(
                f"These results have no column {min(missing)!r}; they cannot be compared."
            )
    joined = a[[*keys, by, "correct"]].merge(b[[*keys, "correct"]], on=keys, suffixes=("_a", "_b"))
    if len(joined) != len(a) or len(joined) != len(b):
        raise DataError(
            f"The two are not about the same items: {len(a)} and {len(b)}, of which {len(joined)} "
            "are in both. Run both models on the same files."
        )
    groups = [(str(name), group) for name, group in joined.groupby(by, sort=False)]
    if not joined.empty:
        groups = [*groups, ("all", joined)] if len(groups) > 1 else groups
    rows = [
        {
            by: name,
            **vars(
                compare_correct(
                    group["correct_a"].to_numpy(),
                    group["correct_b"].to_numpy(),
                    confidence=confidence,
                )
            ),
        }
        for name, group in groups
    ]
    table = pd.DataFrame(rows)
    if not table.empty:
        n_groups = len(table) - (len(table) > 1)
        adjusted = holm(table["p_value"].to_numpy()[:n_groups])
        table["p_adjusted"] = [*adjusted, *table["p_value"].to_numpy()[n_groups:]]
    return table


def holm(p_values: np.ndarray) -> np.ndarray:
    """P-values adjusted so that one false alarm among all is as rare as each says (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * factors))
    return adjusted
