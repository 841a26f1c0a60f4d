"""How faithful attributions are: whether the tokens that they name matter when they are taken away.

The idea: an order of tokens is tested by doing it. Take the first away, the first two, and so on,
and see how quickly the answer goes (deletion; comprehensiveness of DeYoung et al. 2020); begin
with nothing and put them back, and see how quickly it comes (insertion; sufficiency). An order at
random stands beside. Not for comparing models or texts: the numbers depend on how sure an answer
is.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vizcore.attribution_targets import AttributionTarget, Question, question
from vizcore.errors import SelectionError
from vizcore.perturbed_runs import Replacement, values
from vizcore.trace import Trace

BINS = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Of DeYoung et al. 2020: shares of the tokens that are taken away, or kept."""
MAX_POINTS = 20
"""Of a curve: a longer text is taken away several tokens at a time."""
RANDOM = "random"


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """How methods do when the tokens that they name are taken away.

    Args:
        scores: one row a method, and one for an order at "random" (the mean of several): method,
            comprehensiveness (more is better), sufficiency (less is better), deletion (area under
            the curve, less is better), insertion (more is better).
        curves: one row a point: method, curve ("deletion" or "insertion"), n_tokens (taken away, or
            put back), share (of all), value (nats), probability.
        measure: what probability means: of a "token" its own; of a "contrast" that of the one among
            the two; of a "likelihood" the geometric mean of all scored tokens'.
    """

    scores: pd.DataFrame
    curves: pd.DataFrame
    measure: str


def faithfulness(
    trace: Trace,
    table: pd.DataFrame,
    target: AttributionTarget | None = None,
    *,
    replace: str | None = None,
    n_random: int = 4,
    seed: int = 0,
    progress: Callable[[str, float | None], None] | None = None,
) -> Faithfulness:
    """Test each method of a table of attributions on its own text.

    With p the probability of the answer, r_k the k % of tokens with the largest attributions, and k
    over 1, 5, 10, 20 and 50:

        comprehensiveness = mean_k p(all) - p(all without r_k)
        sufficiency       = mean_k p(all) - p(r_k alone)

    Tokens are replaced, not cut out, so that all others stay where they are. (DeYoung et al. cut
    them out, which moves positions.)

    Args:
        table: as `attributions` returns it: method, side, position, attribution.
        target: what was explained.
        replace: as in `attributions`.
        n_random: how many random orders are averaged.
        seed: of those.

    Raises:
        SelectionError: if the table is not of this text and target.
        As `attributions` otherwise.
    """
    if n_random < 1:
        raise SelectionError(f"n_random must be at least 1, not {n_random}.")
    rows = table[table["attribution"].notna()]
    asked = _question(trace, target, rows)
    replacement = Replacement.of(trace.model, replace)
    n_features = len(asked.features)
    numbers = {feature: number for number, feature in enumerate(asked.features)}
    orders: list[tuple[str, np.ndarray]] = []
    for method, its in rows.groupby("method", sort=False):
        attribution = np.zeros(n_features)
        for side, position, value in its[["side", "position", "attribution"]].to_numpy():
            attribution[numbers[side, position]] = value
        orders.append((str(method), np.argsort(-attribution, kind="stable")))
    rng = np.random.default_rng(seed)
    orders += [(RANDOM, rng.permutation(n_features)) for _ in range(n_random)]
    binned = [math.ceil(share * n_features) for share in BINS]
    drawn = np.unique(np.rint(np.linspace(0, n_features, min(n_features, MAX_POINTS) + 1)))
    counts = sorted({*map(int, drawn), *binned})
    kept = np.stack([_kept(order, count) for _, order in orders for count in counts])

    def told(share: float) -> None:
        if progress is not None:
            progress("taking tokens away", share)

    runs = values(asked, np.concatenate([~kept, kept]), replacement, progress=told)
    shape = (2, len(orders), len(counts))
    nats, probability = runs.reshape(shape), asked.probability(runs).reshape(shape)
    return Faithfulness(
        scores=_scores([name for name, _ in orders], counts, binned, probability),
        curves=_curves([name for name, _ in orders], counts, drawn, nats, probability),
        measure=asked.measure,
    )


def _question(trace: Trace, target: AttributionTarget | None, rows: pd.DataFrame) -> Question:
    given = {
        (side, position) for side, position in zip(rows["side"], rows["position"], strict=True)
    }
    for first in (False, True):
        asked = question(trace, target, first=first)
        its = rows.groupby("method").size()
        if given == set(asked.features) and (its == len(given)).all():
            return asked
    raise SelectionError(
        "These attributions are not of this text and target: they name other tokens. Give the "
        "trace and the target that they were made with."
    )


def _kept(order: np.ndarray, count: int) -> np.ndarray:
    """True for the first tokens of an order."""
    kept = np.zeros(len(order), bool)
    kept[order[:count]] = True
    return kept


def _scores(
    names: list[str], counts: list[int], binned: list[int], probability: np.ndarray
) -> pd.DataFrame:
    share = np.array(counts) / counts[-1]
    columns = [counts.index(count) for count in binned]
    whole = probability[0, :, :1]
    areas = np.trapezoid(probability, share, axis=2)
    table = pd.DataFrame(
        {
            "method": names,
            "comprehensiveness": (whole - probability[0][:, columns]).mean(axis=1),
            "sufficiency": (whole - probability[1][:, columns]).mean(axis=1),
            "deletion": areas[0],
            "insertion": areas[1],
        }
    )
    return table.groupby("method", sort=False, as_index=False).mean()


def _curves(
    names: list[str],
    counts: list[int],
    drawn: np.ndarray,
    nats: np.ndarray,
    probability: np.ndarray,
) -> pd.DataFrame:
    shown = [number for number, count in enumerate(counts) if count in drawn]
    rows = [
        (name, curve, counts[number], counts[number] / counts[-1], *its)
        for which, curve in enumerate(("deletion", "insertion"))
        for at, name in enumerate(names)
        for number in shown
        for its in [(nats[which, at, number], probability[which, at, number])]
    ]
    columns = ["method", "curve", "n_tokens", "share", "value", "probability"]
    table = pd.DataFrame(rows, columns=columns)
    keys = columns[:4]
    return table.groupby(keys, sort=False, as_index=False).mean()
