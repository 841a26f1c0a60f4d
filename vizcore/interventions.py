"""What happens if something is taken away, or put in from another run: measured, for all at once.

A map shows where a head looks; whether that matters is another question, and these functions answer
it by trying. Each is a sweep: one run for each head, edge or cell, as few and as short as they can
be (`vizcore.sweeps`), and a table with the effect of each. For one run with edits, and all that a
trace shows of it, use `Model.trace(text, edits=[…])`.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from vizcore.edit_checks import Text
from vizcore.edited_runs import Changes, edited_run
from vizcore.editing import editing
from vizcore.edits import AblateHead, Edit, KnockOut
from vizcore.effect_metrics import LogitFunction, Measure, Metric, measure, value
from vizcore.errors import SelectionError
from vizcore.model import Model
from vizcore.resuming import resumable
from vizcore.sweeps import Sweep
from vizcore.trace import Trace

Progress = Callable[[float], None]


def ablation_effects(
    model: Model,
    text: str | Sequence[int] | Trace,
    metric: Metric | LogitFunction | None = None,
    *,
    target: str | Sequence[int] | None = None,
    kind: str | None = None,
    how: str = "zero",
    reference: Any = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """What each head matters to a prediction: the effect of its ablation, of all heads at once.

    After Michel et al. 2019 and Voita et al. 2019, for one text.

    Args:
        model: a model with a language-model head.
        text: a text, token ids, or a trace of it.
        metric: what is measured: `LogProbability`, `LogitDifference`, `KLDivergence`,
            `LogLikelihood`, or a function of the logits of a run, (position, vocabulary), that
            returns a number. None: the log-probability of the unedited model's likeliest token.
        target: of an encoder-decoder, what the decoder reads; None lets the unedited model write.
        kind: whose heads: "encoder", "decoder" or "cross"; None for the model's main kind.
        how, reference: as in `AblateHead`.
        progress: told the share of heads that is done.

    Returns:
        One row a head, in order: layer, head, effect (what is measured without the head minus what
        is measured with it; of the usual metric in nats, negative if the head helps). In `attrs`:
        metric (in words), original (without edits), and ran (how it was run, in words).

    Raises:
        MissingHeadError: if the model has no language-model head.
        SelectionError: if there is no such kind, position or token.
        CaptureError: if the model's heads cannot be edited.
        TextError: if the text cannot be run.
    """
    stream = ablation_effects_stream(
        model, text, metric, target=target, kind=kind, how=how, reference=reference
    )
    return gathered(stream, ["layer", "head"], progress)


def ablation_effects_stream(
    model: Model,
    text: str | Sequence[int] | Trace,
    metric: Metric | LogitFunction | None = None,
    *,
    target: str | Sequence[int] | None = None,
    kind: str | None = None,
    how: str = "zero",
    reference: Any = None,
) -> Iterator[pd.DataFrame]:
    """The same as it comes: some heads at a time, those of the last layer first.

    It may be closed before its end. Arguments and errors as `ablation_effects`.

    Yields:
        Tables as `ablation_effects` returns them, with some of the rows. `attrs` has also: total
        (how many rows there will be).
    """
    trace = traced(model, text, target)
    the_kind = model._kind(kind)
    heads = [
        (layer, head) for layer in model.layers(the_kind) for head in range(trace.n_heads(the_kind))
    ]
    edits = [
        (AblateHead(layer, head, kind=the_kind, how=how, reference=reference),)
        for layer, head in heads
    ]
    cells = pd.DataFrame(heads, columns=["layer", "head"])
    yield from effects(trace, edits, cells, measure(trace, metric))


def knock_out_effects(
    model: Model,
    text: str | Sequence[int] | Trace,
    layer: int,
    head: int | None = None,
    metric: Metric | LogitFunction | None = None,
    *,
    target: str | Sequence[int] | None = None,
    kind: str | None = None,
    queries: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """What each edge of a head matters: the effect of cutting it, of all edges at once.

    An edge is a query that looks at a key. Without it the rest of the row still sums to 1 (Geva et
    al. 2023).

    Args:
        layer: counted from 0.
        head: counted from 0; None cuts the edge in all heads of the layer at once.
        queries: only edges of these queries; None for all. A text of n tokens has about n²/2 edges.
        model, text, metric, target, kind, progress: as in `ablation_effects`.

    Returns:
        One row an edge: query, key (positions), query_token, key_token, weight (the attention it
        has unedited; of all heads of a layer, their mean), effect, as in `ablation_effects`.
        Keys that a query may not look at have no edge.

    Raises:
        As `ablation_effects`, and SelectionError if there is no such layer, head or query.
    """
    stream = knock_out_effects_stream(
        model, text, layer, head, metric, target=target, kind=kind, queries=queries
    )
    return gathered(stream, ["query", "key"], progress)


def knock_out_effects_stream(
    model: Model,
    text: str | Sequence[int] | Trace,
    layer: int,
    head: int | None = None,
    metric: Metric | LogitFunction | None = None,
    *,
    target: str | Sequence[int] | None = None,
    kind: str | None = None,
    queries: Sequence[int] | None = None,
) -> Iterator[pd.DataFrame]:
    """The same as it comes, the edges of the last queries first.

    Arguments and errors as `knock_out_effects`; yields as `ablation_effects_stream`.
    """
    trace = traced(model, text, target)
    the_kind = model._kind(kind)
    n_queries = len(trace.query_tokens(the_kind))
    chosen = range(n_queries) if queries is None else [_checked(one, n_queries) for one in queries]
    rows = trace.map_rows(layer, 0 if head is None else head, list(chosen), the_kind)
    weights = trace.attention_rows(layer, head, list(chosen), the_kind).cpu().numpy()
    weights = weights.mean(axis=0) if head is None else weights
    edges = [
        (query, key, row)
        for row, query in reversed(list(enumerate(chosen)))
        for key in range(weights.shape[1])
        if rows.masked is None or not rows.masked[row, key]
    ]
    cells = pd.DataFrame(
        {
            "query": [query for query, _, _ in edges],
            "key": [key for _, key, _ in edges],
            "query_token": [trace.query_tokens(the_kind)[query] for query, _, _ in edges],
            "key_token": [trace.key_tokens(the_kind)[key] for _, key, _ in edges],
            "weight": np.array([weights[row, key] for _, key, row in edges], np.float64),
        }
    )
    edits = [(KnockOut(layer, head, query, key, kind=the_kind),) for query, key, _ in edges]
    yield from effects(trace, edits, cells, measure(trace, metric))


def edit_effects(
    model: Model,
    text: str | Sequence[int] | Trace,
    edits: Sequence[Sequence[Edit]],
    metric: Metric | LogitFunction | None = None,
    *,
    target: str | Sequence[int] | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """The effect of any edits: one run for each list of them, run together.

    Args:
        edits: for each run its edits, as `Model.trace` takes them.
        model, text, metric, target, progress: as in `ablation_effects`.

    Returns:
        One row a run, in their order: run (its number), effect, as in `ablation_effects`.

    Raises:
        As `ablation_effects`, and what the edits raise that do not fit the model or the text.
    """
    trace = traced(model, text, target)
    cells = pd.DataFrame({"run": np.arange(len(edits))})
    stream = effects(trace, [tuple(one) for one in edits], cells, measure(trace, metric))
    return gathered(stream, ["run"], progress)


def traced(
    model: Model, text: str | Sequence[int] | Trace, target: str | Sequence[int] | None
) -> Trace:
    """The text's unedited run.

    Raises:
        SelectionError: if it is a trace of another model, or one with edits.
        TextError: if the text cannot be run.
    """
    if not isinstance(text, Trace):
        return model.trace(text, target)
    if text.model is not model:
        raise SelectionError(
            f"That is a trace of {text.model.name}, not of this model: give the text itself."
        )
    if text.edits:
        raise SelectionError(
            "That trace was run with edits; effects are measured beside a run without. Give the "
            "text itself, and the edits with every run: edit_effects."
        )
    return text


def effects(
    trace: Trace, edits: Sequence[tuple[Edit, ...]], cells: pd.DataFrame, metric: Measure
) -> Iterator[pd.DataFrame]:
    """The cells with the effects of their edits, some rows at a time."""
    model = trace.model
    text = Text(trace.source_ids, trace.target_ids)
    every = editing(model, [edit for its in edits for edit in its])
    every.changes(text)  # what they take from other runs is gathered once for all of them
    rows = [replace(every, edits=its).changes(text) for its in edits]
    original = value(trace, metric)
    if model.capture == "eager" and any(any(row.calls.values()) for row in rows):
        runs = _one_by_one(trace, rows, metric)
        ran = f"one by one, each a whole run, since {model.name} computes its attention by itself"
    else:
        network = resumable(model)
        sweep = Sweep(model, network, network.record(trace), rows, metric)
        runs, ran = sweep.run(), sweep.way
    attrs: dict[Hashable | None, Any] = {
        "metric": metric.label,
        "original": original,
        "ran": ran,
        "total": len(edits),
    }
    for numbers, values in runs:
        part = cells.iloc[numbers].assign(effect=values - original)
        part.attrs = {**attrs}
        yield part


def _one_by_one(
    trace: Trace, rows: Sequence[Changes], metric: Measure
) -> Iterator[tuple[list[int], np.ndarray]]:
    """What is measured of each run, where heads can be edited but not row by row of a batch."""
    text = Text(trace.source_ids, trace.target_ids)
    for number, changes in enumerate(rows):
        run = trace.model._run(text, edited_run(trace.model, changes))
        yield [number], np.array([value(replace(trace, run=run), metric)])


def gathered(
    stream: Iterator[pd.DataFrame], order: list[str], progress: Progress | None
) -> pd.DataFrame:
    """All of a stream as one table."""
    parts: list[pd.DataFrame] = []
    n_done = 0
    for part in stream:
        parts.append(part)
        n_done += len(part)
        if progress is not None:
            progress(n_done / part.attrs["total"])
    if not parts:
        return pd.DataFrame({name: [] for name in [*order, "effect"]})
    table = pd.concat(parts).sort_values(order, ignore_index=True)
    table.attrs = {name: value for name, value in parts[0].attrs.items() if name != "total"}
    return table


def _checked(position: int, n_tokens: int) -> int:
    if not -n_tokens <= position < n_tokens:
        raise SelectionError(
            f"There is no position {position}: the text has {n_tokens} tokens, so positions go "
            f"from 0 to {n_tokens - 1}, or from -1 backwards."
        )
    return position % n_tokens
