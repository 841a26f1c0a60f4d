"""A model on a benchmark, with nothing fine-tuned: which items it gets right.

Minimal pairs: the good sentence has to be the likelier one. Labels in three ways: by the likelihood
of words for them in a prompt; by a threshold on the sentence's own likelihood, for acceptability;
by a linear probe on each layer's frozen vectors. Items are run some at a time, and what is done is
kept, so that an interrupted run goes on. How it is told in numbers: `vizcore.score_tables`.
"""

import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

from vizcore.answers import (
    Masking,
    Precision,
    Settings,
    acceptability_rows,
    feature_rows,
    judged_by_threshold,
    pair_rows,
    probed,
    prompt_rows,
)
from vizcore.benchmark_files import Benchmark
from vizcore.cache import Progress, quiet
from vizcore.errors import DataError, SelectionError, TextError
from vizcore.fingerprints import items_fingerprint, weights_fingerprint
from vizcore.layer_vectors import Pool
from vizcore.model import Model
from vizcore.results import Evaluation, KeptRun, part_frames, read_evaluation

Method = Literal["pairs", "words", "likelihood", "probe"]
ITEMS_AT_ONCE = 256
"""How many items are run before their results are kept: so many a kill can cost."""


@dataclass(frozen=True, eq=False)
class EvaluationStatus:
    """How far a run is.

    Args:
        n_done, n_items: how many items are done, of how many.
        benchmark: which one was at work last.
        rows: what was found for the last items; empty before the first and for those that were
            there already.
    """

    n_done: int
    n_items: int
    benchmark: str
    rows: pd.DataFrame


def evaluate(
    model: Model,
    benchmarks: Benchmark | Iterable[Benchmark],
    *,
    method: Method | None = None,
    train: Benchmark | None = None,
    by: Literal["sum", "mean"] = "mean",
    bos: bool | None = None,
    masking: Masking = "within_word_l2r",
    precision: Precision = "exact",
    calibrated: bool = False,
    pool: Pool = "mean",
    out: str | Path | None = None,
    progress: Progress = quiet,
    should_stop: Callable[[], bool] | None = None,
) -> Evaluation:
    """Ask a model all items of one or several benchmarks.

    Args:
        model: with a language-model head, but for probes.
        benchmarks: of minimal pairs; or with labels, all of one task.
        method: "pairs" for minimal pairs. For labels: "words" (the label whose word is likeliest in
            the task's prompt; the default), "likelihood" (acceptable are sentences at least as
            likely as a threshold that is chosen on `train`), or "probe" (logistic regression on
            each layer's vectors, or ridge, fitted on `train`).
        train: a benchmark of the same task to learn from; for "likelihood" and "probe".
        by: for "likelihood", whether a sentence counts by the mean log-probability of its tokens,
            or by their sum.
        bos, masking, precision: as in `score`.
        calibrated: for "words", take away how likely each word is with the texts left empty
            (Zhao et al. 2021; Holtzman et al. 2021).
        pool: for "probe", see `layer_features`.
        out: a Parquet file to keep results in. If it is there, and made with the same model,
            items and settings, it is read; if it is there in part, the run goes on from there.
        progress: told how far it is.
        should_stop: asked after each part; if so, the evaluation is unfinished.

    Raises:
        SelectionError: if the method does not fit the benchmark.
        DataError: if an item cannot be run (the message says on which line it is), or `out` holds
            something else.
        MissingHeadError: if the model has no likelihoods.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.parquet" if out is None else Path(out)
        stream = evaluation_stream(
            model,
            benchmarks,
            path,
            method=method,
            train=train,
            by=by,
            bos=bos,
            masking=masking,
            precision=precision,
            calibrated=calibrated,
            pool=pool,
        )
        for status in stream:
            doing = f"{status.benchmark}: {status.n_done} of {status.n_items} items"
            progress(doing, status.n_done / max(1, status.n_items))
            if should_stop is not None and should_stop():
                stream.close()
                break
        return read_evaluation(path)


def evaluation_stream(
    model: Model,
    benchmarks: Benchmark | Iterable[Benchmark],
    out: str | Path,
    *,
    method: Method | None = None,
    train: Benchmark | None = None,
    by: Literal["sum", "mean"] = "mean",
    bos: bool | None = None,
    masking: Masking = "within_word_l2r",
    precision: Precision = "exact",
    calibrated: bool = False,
    pool: Pool = "mean",
) -> Generator[EvaluationStatus, None, None]:
    """The same, part by part: whoever stops asking stops the run, and can go on later.

    Yields:
        How far it is, with the newest rows; these are kept already. After the last, `out` is whole.

    Raises:
        SelectionError, DataError, MissingHeadError: as `evaluate`.
    """
    chosen = (benchmarks,) if isinstance(benchmarks, Benchmark) else tuple(benchmarks)
    method = _checked(chosen, method, train)
    learnt = () if train is None else (train,)
    settings = Settings(by, bos, masking, precision, calibrated, pool)
    stated: dict[str, Any] = {
        "model": model.name,
        "weights": weights_fingerprint(model),
        "method": method,
        "benchmarks": [_stated(one) for one in chosen],
        "train": [_stated(one) for one in learnt],
        "metrics": [] if chosen[0].task is None else list(chosen[0].task.metrics),
        "labels": [] if chosen[0].task is None else list(chosen[0].task.labels),
        **settings.that_matter(method),
    }
    jobs = [*(("train", one) for one in learnt), *(("test", one) for one in chosen)]
    return _run(model, jobs, Path(out), stated, method, settings)


def _run(
    model: Model,
    jobs: Sequence[tuple[str, Benchmark]],
    out: Path,
    stated: dict[str, Any],
    method: Method,
    settings: Settings,
) -> Generator[EvaluationStatus, None, None]:
    n_items = sum(len(benchmark.items) for _, benchmark in jobs)
    with KeptRun(out, stated) as kept:
        if kept.finished:
            yield EvaluationStatus(n_items, n_items, jobs[-1][1].name, pd.DataFrame())
            return
        n_done = kept.n_done
        yield EvaluationStatus(n_done, n_items, jobs[0][1].name, pd.DataFrame())
        for split, benchmark, items in _left(jobs, n_done):
            rows = _rows(model, benchmark, items, method, settings, split)
            kept.add(rows)
            n_done += len(items)
            shown = rows.select([n for n in rows.column_names if not n.startswith("state_")])
            yield EvaluationStatus(n_done, n_items, benchmark.name, shown.to_pandas())
        task = jobs[-1][1].task
        if method == "likelihood" and task is not None:
            frames, found = judged_by_threshold(kept.parts, task)
        elif method == "probe" and task is not None:
            frames, found = probed(kept.parts, task)
        else:
            frames, found = part_frames(kept.parts), {}
        kept.finish(frames, found)


def _left(
    jobs: Iterable[tuple[str, Benchmark]], n_done: int
) -> Iterator[tuple[str, Benchmark, pd.DataFrame]]:
    """The items that are not done, some at a time."""
    for split, benchmark in jobs:
        n_there = len(benchmark.items)
        for start in range(min(n_done, n_there), n_there, ITEMS_AT_ONCE):
            yield split, benchmark, benchmark.items.iloc[start : start + ITEMS_AT_ONCE]
        n_done = max(0, n_done - n_there)


def _rows(
    model: Model,
    benchmark: Benchmark,
    items: pd.DataFrame,
    method: Method,
    settings: Settings,
    split: str,
) -> pa.Table:
    answer = {
        "pairs": pair_rows,
        "words": prompt_rows,
        "likelihood": acceptability_rows,
        "probe": feature_rows,
    }[method]
    try:
        return answer(model, benchmark, items, settings, split)
    except TextError as error:
        raise DataError(_whose(model, benchmark, items, error)) from error


def _whose(model: Model, benchmark: Benchmark, items: pd.DataFrame, error: TextError) -> str:
    """On which line of the benchmark a text is that cannot be run."""
    texts = [name for name in ("good", "bad", "text", "second") if name in items]
    for item in items.to_dict("records"):
        for name in texts:
            try:
                model.encode(str(item[name]))
            except TextError as its_error:
                return f"Line {item['line']} of {benchmark.name}: {its_error}"
    return f"{benchmark.name}: {error}"


def _checked(
    benchmarks: Sequence[Benchmark], method: Method | None, train: Benchmark | None
) -> Method:
    if not benchmarks:
        raise SelectionError("There is no benchmark. Give at least one.")
    names = [one.name for one in benchmarks]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SelectionError(f"Two benchmarks are called {twice}: rename one of the files.")
    unlike = [one.name for one in benchmarks if not _same_labels(benchmarks[0], one)]
    if unlike:
        raise SelectionError(
            f"{names[0]} and {unlike[0]} are of different kinds. Evaluate them one after the other."
        )
    pairs = benchmarks[0].has_pairs
    method = method or ("pairs" if pairs else "words")
    if pairs != (method == "pairs"):
        what = "minimal pairs" if pairs else "labels"
        fitting = '"pairs"' if pairs else '"words", "likelihood" or "probe"'
        raise SelectionError(f'{names[0]} has {what}: the method is {fitting}, not "{method}".')
    learns = method in ("likelihood", "probe")
    if learns and train is None:
        raise SelectionError(
            f'The method "{method}" learns from labelled items: give `train` (in the terminal '
            "--train), such as the task's train.tsv."
        )
    if not learns and train is not None:
        raise SelectionError(f'The method "{method}" learns nothing: leave out `train`.')
    if train is not None and not _same_labels(benchmarks[0], train):
        raise SelectionError(f"{train.name} and {names[0]} are of different kinds.")
    task = benchmarks[0].task
    if method == "words" and task is not None:
        task.check_prompt(pairs="second" in benchmarks[0].items)
    sentences = task is not None and len(task.labels) == 2 and "second" not in benchmarks[0].items
    if method == "likelihood" and not sentences:
        raise SelectionError(
            'The method "likelihood" is for sentences that are acceptable or not: one text and two '
            f'labels. {names[0]} has something else; take "words" or "probe".'
        )
    return method


def _same_labels(one: Benchmark, other: Benchmark) -> bool:
    if one.task is None or other.task is None:
        return one.task is other.task
    return (one.task.labels, one.task.words) == (other.task.labels, other.task.words) and (
        "second" in one.items
    ) == ("second" in other.items)


def _stated(benchmark: Benchmark) -> Mapping[str, object]:
    return {
        "name": benchmark.name,
        "n_items": len(benchmark.items),
        "items": items_fingerprint(benchmark),
    }
