"""An evaluation -> its numbers: accuracy by paradigm, the task's own metrics, by layer for probes.

Each accuracy comes with the interval in which the true one lies. Plain tables of what the model
answered; no model is needed. For two models side by side see `vizcore.paired`.
"""

import numpy as np
import pandas as pd

from vizcore.errors import DataError
from vizcore.metrics import auc, measured, wilson_interval
from vizcore.results import Evaluation


def accuracy_table(
    evaluation: Evaluation, *, by: str = "paradigm", confidence: float | int = 0.95
) -> pd.DataFrame:
    """How many minimal pairs (or labels) are right in each group, and in all.

    Args:
        evaluation: with right and wrong items; of probes, take `metric_table`.
        by: the column by which items are grouped: "paradigm", "phenomenon", "benchmark", "label".
        confidence: of Wilson's intervals.

    Returns:
        One row a group, in order of appearance, and a last one, "all", if there are several: the
        group in the column `by`, n, n_correct, accuracy, low, high; of minimal pairs also
        accuracy_by_mean (the likelier sentence by its mean over tokens) and mean_difference (nats).

    Raises:
        DataError: if there is no such column, or nothing that is right or wrong.
        SelectionError: if the confidence is not between 0 and 1.
    """
    items = evaluation.items
    for name in ("correct", by):
        if name not in items:
            there = ", ".join(map(str, items.columns))
            raise DataError(f"These results have no column {name!r}. They have: {there}.")
    groups = [(str(name), group) for name, group in items.groupby(by, sort=False)]
    if len(groups) > 1:
        groups.append(("all", items))
    rows = []
    for name, group in groups:
        n, n_correct = len(group), int(group["correct"].sum())
        low, high = wilson_interval(n_correct, n, confidence=confidence)
        row = {by: name, "n": n, "n_correct": n_correct, "accuracy": n_correct / n}
        row |= {"low": low, "high": high}
        if "correct_by_mean" in group:
            row["accuracy_by_mean"] = float(group["correct_by_mean"].mean())
            row["mean_difference"] = float(group["difference"].mean())
        rows.append(row)
    return pd.DataFrame(rows)


def metric_table(evaluation: Evaluation, *, confidence: float | int = 0.95) -> pd.DataFrame:
    """A labelled benchmark by the task's own metrics (those of GLUE), the main one first.

    Args:
        evaluation: of labels, by any method.
        confidence: of Wilson's intervals for accuracies.

    Returns:
        One row a benchmark and metric (and layer, of probes: -1 for what enters layer 0):
        benchmark, layer, metric, value, low, high, n. Other metrics than accuracy have no low and
        high. By likelihood there is also AUC, for which no threshold is needed.

    Raises:
        DataError: if these are minimal pairs.
        SelectionError: if the confidence is not between 0 and 1.
    """
    items, settings = evaluation.items, evaluation.settings
    if settings.get("method") == "pairs":
        raise DataError("Minimal pairs have no labels, so no such metrics: see accuracy_table.")
    if "predicted" not in items:
        raise DataError("This run is unfinished, and its labels are decided at its end. Resume it.")
    by = ["benchmark", "layer"] if "layer" in items else ["benchmark"]
    labels = settings["labels"]
    positive = labels[-1] if labels else None
    rows = []
    for names, group in items.groupby(by, sort=False):
        place = dict(zip(by, names, strict=True))
        right, said = group["label"].to_numpy(), group["predicted"].to_numpy()
        found = measured(settings["metrics"], right, said, positive=positive)
        if "score" in group:
            scored = group[group["score"].notna()]
            found["auc"] = auc(
                scored["label"].to_numpy(), scored["score"].to_numpy(), positive=positive
            )
        for metric, value in found.items():
            low = high = np.nan
            if metric == "accuracy":
                n_correct = int(group["correct"].sum())
                low, high = wilson_interval(n_correct, len(group), confidence=confidence)
            row = {**place, "metric": metric, "value": value, "low": low, "high": high}
            rows.append({**row, "n": len(group)})
    return pd.DataFrame(rows)
