"""What a model answers to some items of a benchmark, as rows that can be kept.

One function a method; each runs the model on the items it is given and nothing else, so that a run
can be cut anywhere. What can only be decided at the end, a threshold or a probe, is decided from
the rows that were kept. The run itself is `vizcore.evaluation`'s.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Float

from vizcore.benchmark_files import Benchmark
from vizcore.layer_probes import joined_pair, probe_predictions
from vizcore.layer_vectors import Pool, layer_features
from vizcore.likelihood import score
from vizcore.metrics import best_threshold
from vizcore.model import Model
from vizcore.results import column_names, part_frames, read_columns, table_of
from vizcore.tasks import Task

SCORE = "log_likelihood_"
"""What stands before a label in the name of the column with its word's log-likelihood."""

Masking = Literal["within_word_l2r", "original"]
Precision = Literal["exact", "fast"]
_SCORING = ("bos", "masking", "precision")


@dataclass(frozen=True)
class Settings:
    """The options of `evaluate`, of which each method heeds some."""

    by: Literal["sum", "mean"]
    bos: bool | None
    masking: Masking
    precision: Precision
    calibrated: bool
    pool: Pool

    def that_matter(self, method: str) -> dict[str, Any]:
        """Those by which this method's results would differ."""
        heeded = {
            "pairs": _SCORING,
            "words": (*_SCORING, "calibrated"),
            "likelihood": (*_SCORING, "by"),
            "probe": ("pool",),
        }[method]
        return {name: getattr(self, name) for name in heeded}

    @property
    def scoring(self) -> dict[str, Any]:
        """Those that `score` takes."""
        return {name: getattr(self, name) for name in _SCORING}


def pair_rows(
    model: Model, benchmark: Benchmark, items: pd.DataFrame, settings: Settings, split: str
) -> pa.Table:
    """Which of two sentences is the likelier one, by sum and by mean over tokens.

    Two that are equally likely are not right. (BLiMP has pairs of the same sentence twice.)
    """
    n = len(items)
    scores = score(model, [*items["good"], *items["bad"]], **settings.scoring)
    log_likelihood = scores["log_likelihood"].to_numpy()
    n_tokens = scores["n_tokens"].to_numpy()
    with np.errstate(invalid="ignore", divide="ignore"):
        means = log_likelihood / n_tokens
    rows = items[["line", "paradigm", "phenomenon", "good", "bad"]].copy()
    rows.insert(0, "benchmark", benchmark.name)
    rows["good_log_likelihood"], rows["bad_log_likelihood"] = log_likelihood[:n], log_likelihood[n:]
    rows["good_n_tokens"], rows["bad_n_tokens"] = n_tokens[:n], n_tokens[n:]
    # Whatever batches they were in: between equal sentences rounding must not decide.
    differ = (rows["good"] != rows["bad"]).to_numpy()
    rows["difference"] = np.where(differ, log_likelihood[:n] - log_likelihood[n:], 0.0)
    rows["correct"] = differ & (log_likelihood[:n] > log_likelihood[n:])
    rows["correct_by_mean"] = differ & (means[:n] > means[n:])
    return table_of(rows)


def prompt_rows(
    model: Model, benchmark: Benchmark, items: pd.DataFrame, settings: Settings, split: str
) -> pa.Table:
    """Which label's word makes the prompt likeliest; if graded, by how much the high word does."""
    task = _task(benchmark)
    two = "second" in items
    seconds = items["second"] if two else [""] * len(items)
    prompts = [
        task.template.format(text=text, second=second, word=word)
        for text, second in zip(items["text"], seconds, strict=True)
        for word in task.words
    ]
    if settings.calibrated:
        prompts += [task.template.format(text="", second="", word=word) for word in task.words]
    scores = score(model, prompts, **settings.scoring)["log_likelihood"]
    found = scores.to_numpy().reshape(-1, len(task.words))  # item word
    if settings.calibrated:
        found = found[:-1] - found[-1]
    rows = _labelled(benchmark, items)
    if task.graded:
        rows["predicted"] = found[:, 1] - found[:, 0]
    else:
        rows["predicted"] = [task.labels[place] for place in found.argmax(axis=1)]
        rows["correct"] = rows["predicted"] == rows["label"]
    names = ("low", "high") if task.graded else task.labels
    for place, name in enumerate(names):
        rows[SCORE + name] = found[:, place]
    return table_of(rows)


def acceptability_rows(
    model: Model, benchmark: Benchmark, items: pd.DataFrame, settings: Settings, split: str
) -> pa.Table:
    """How likely each sentence is; what is acceptable is decided at the end."""
    scores = score(model, items["text"], **settings.scoring)
    rows = _labelled(benchmark, items)
    rows.insert(1, "split", split)
    rows["log_likelihood"] = scores["log_likelihood"].to_numpy()
    rows["n_tokens"] = scores["n_tokens"].to_numpy()
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = rows["log_likelihood"] / rows["n_tokens"]
    rows["score"] = rows["log_likelihood"] if settings.by == "sum" else mean
    return table_of(rows)


def feature_rows(
    model: Model, benchmark: Benchmark, items: pd.DataFrame, settings: Settings, split: str
) -> pa.Table:
    """The vectors of each layer; of two texts one after the other."""
    vectors = layer_features(model, [*items["text"]], pool=settings.pool)
    if "second" in items:
        others = layer_features(model, [*items["second"]], pool=settings.pool)
        vectors = np.concatenate([vectors, others], axis=2)
    rows = _labelled(benchmark, items)
    rows.insert(1, "split", split)
    table = table_of(rows)
    for state in range(vectors.shape[1]):
        flat = pa.array(vectors[:, state].ravel())
        column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[2])
        table = table.append_column(f"state_{state}", column)
    return table


def judged_by_threshold(
    parts: Sequence[Path], task: Task
) -> tuple[Iterable[pd.DataFrame], dict[str, Any]]:
    """Acceptability from the kept rows, and the threshold that was chosen on those to learn from.

    Raises:
        SelectionError: if no threshold can be chosen.
    """
    known = read_columns(parts, ["split", "label", "score"]).to_pandas()
    # A sentence of one token has no score where nothing stands before it.
    learnt = known[(known["split"] == "train") & known["score"].notna()]
    negative, positive = task.labels
    is_positive = (learnt["label"] == positive).to_numpy()
    threshold = best_threshold(is_positive, learnt["score"].to_numpy())

    def frames() -> Iterator[pd.DataFrame]:
        for rows in part_frames(parts):
            rows = rows[rows["split"] == "test"].drop(columns="split")
            likely = rows["score"] >= threshold
            rows["predicted"] = np.where(likely, positive, negative)
            rows["correct"] = rows["predicted"] == rows["label"]
            if len(rows):
                yield rows

    return frames(), {"threshold": threshold, "n_train": len(learnt)}


def probed(parts: Sequence[Path], task: Task) -> tuple[Iterable[pd.DataFrame], dict[str, Any]]:
    """What a probe on each layer predicts, from the kept vectors: one layer at a time in memory."""
    names = column_names(parts[0])
    states = [name for name in names if name.startswith("state_")]
    plain = [name for name in names if name not in states]
    rows = read_columns(parts, plain).to_pandas()
    is_test = (rows["split"] == "test").to_numpy()
    labels = rows["label"].to_numpy()

    def frames() -> Iterator[pd.DataFrame]:
        for layer, state in enumerate(states, start=-1):
            vectors = _matrix(read_columns(parts, [state]).column(0), len(rows))
            if "second" in plain:
                first, second = np.split(vectors, 2, axis=1)
                vectors = joined_pair(first, second, symmetric=task.symmetric)
            found = rows[is_test].drop(columns="split")
            found.insert(1, "layer", layer)
            found["predicted"] = probe_predictions(
                vectors[~is_test], labels[~is_test], vectors[is_test], task
            )
            if not task.graded:
                found["correct"] = found["predicted"] == found["label"]
            yield found

    return frames(), {"n_train": int((~is_test).sum())}


def _matrix(column: Any, n_rows: int) -> Float[np.ndarray, "item feature"]:
    flat: np.ndarray = np.concatenate(
        [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    )
    return flat.reshape(n_rows, -1)


def _labelled(benchmark: Benchmark, items: pd.DataFrame) -> pd.DataFrame:
    kept = [name for name in ("line", "text", "second", "label") if name in items]
    rows = items[kept].copy()
    rows.insert(0, "benchmark", benchmark.name)
    return rows


def _task(benchmark: Benchmark) -> Task:
    assert benchmark.task is not None  # noqa: S101 - the method was checked against the benchmark
    return benchmark.task
