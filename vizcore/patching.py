"""Activation patching: which part of a run makes the difference between two texts.

Two texts that differ in a word or two, a clean and a corrupted one. The corrupted one is run many
times, each time with one thing put in from the clean run, and it is measured how much of the clean
prediction that brings back (Vig et al. 2020; Meng et al. 2022). The tokens of both must line up.
For a first look at once, with its error, see `vizcore.patching_estimates`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from vizcore.blocks import stack_of
from vizcore.capture import Kind
from vizcore.edited_runs import layers_of
from vizcore.edits import Patch
from vizcore.effect_metrics import (
    LogitDifference,
    LogitFunction,
    LogLikelihood,
    LogProbability,
    Measure,
    Metric,
    asked_position,
    measure,
    token_of,
    value,
)
from vizcore.errors import SelectionError, TextError
from vizcore.interventions import Progress, effects, gathered, traced
from vizcore.model import Model
from vizcore.trace import Trace

OF_POSITIONS = ("residual", "attention", "feed-forward")
OF_HEADS = ("head", "pattern")
ORDER = ["layer", "head", "position"]


def patching_effects(
    model: Model,
    clean: str | Sequence[int] | Trace,
    corrupted: str | Sequence[int] | Trace,
    metric: Metric | LogitFunction | None = None,
    *,
    where: str = "residual",
    target: str | Sequence[int] | None = None,
    kind: str | None = None,
    positions: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """What each part of the clean run brings back if it is put into the corrupted one.

    Args:
        model: a model with a language-model head.
        clean, corrupted: texts of as many tokens, token ids, or traces of them.
        metric: as in `ablation_effects`; tokens that it leaves open, and predictions that it
            compares with, are the clean run's. None: the logit of the clean text's likeliest token
            minus that of the corrupted text's; if they are the same, its log-probability.
        where: what is patched, as in `Patch`. "residual", "attention" or "feed-forward": one cell
            for each layer and position. "head" or "pattern": one for each layer and head, at all
            positions.
        target: of an encoder-decoder, what the decoder reads in both runs; None for what it writes
            for the clean source.
        kind: whose layers and heads; None for the model's main kind.
        positions: only these, counted from 0, negative from the end; None for all.
        progress: told the share of cells that is done.

    Returns:
        One row a cell: layer, head, position, token (of the clean text), effect (what is measured
        of the patched run minus what is measured of the corrupted one) and restored (the effect as
        a share of clean minus corrupted: 1 if the patch brings all of it back; missing if the two
        do not differ). Where there is no head, or no one position, the value is missing. In
        `attrs`: metric (in words), original (of the corrupted run), clean, and ran (how, in words).

    Raises:
        TextError: if the two texts have not as many tokens, or cannot be run.
        MissingHeadError: if the model has no language-model head.
        SelectionError: if there is no such place, kind, position or token.
        CaptureError: if it cannot be patched in this architecture.
    """
    stream = patching_effects_stream(
        model, clean, corrupted, metric, where=where, target=target, kind=kind, positions=positions
    )
    return gathered(stream, ORDER, progress)


def patching_effects_stream(
    model: Model,
    clean: str | Sequence[int] | Trace,
    corrupted: str | Sequence[int] | Trace,
    metric: Metric | LogitFunction | None = None,
    *,
    where: str = "residual",
    target: str | Sequence[int] | None = None,
    kind: str | None = None,
    positions: Sequence[int] | None = None,
) -> Iterator[pd.DataFrame]:
    """The same as it comes: some cells at a time, those of the last layers first.

    It may be closed before its end. Arguments and errors as `patching_effects`; yields as
    `ablation_effects_stream`.
    """
    pair = pair_of(model, clean, corrupted, target)
    cells = cells_of(pair, where, model._kind(kind), positions)
    yield from patched(pair, cells, where, model._kind(kind), measured_between(pair, metric))


@dataclass(frozen=True, eq=False)
class Pair:
    """The runs of two texts whose tokens line up."""

    clean: Trace
    corrupted: Trace


def pair_of(
    model: Model,
    clean: str | Sequence[int] | Trace,
    corrupted: str | Sequence[int] | Trace,
    target: str | Sequence[int] | None,
) -> Pair:
    """Run both.

    Raises:
        TextError: if they have not as many tokens.
    """
    first = traced(model, clean, target)
    its_target = first.target_ids if target is None else target
    pair = Pair(first, traced(model, corrupted, its_target))
    for name, one, other in (
        ("", pair.clean.source_ids, pair.corrupted.source_ids),
        ("target of the ", pair.clean.target_ids or (), pair.corrupted.target_ids or ()),
    ):
        if len(one) != len(other):
            raise TextError(
                f"The {name}clean text has {len(one)} tokens and the {name}corrupted one "
                f"{len(other)}, so their positions do not line up. Exchange words for others of as "
                "many tokens."
            )
    return pair


def measured_between(pair: Pair, metric: Metric | LogitFunction | None) -> Measure:
    """The metric, with what it leaves open taken from the clean run."""
    if metric is None:
        metric = LogitDifference()
        if _likeliest(pair.clean, None) == _likeliest(pair.corrupted, None):
            metric = LogProbability()
    if isinstance(metric, LogitDifference) and metric.against is None:
        other = _likeliest(pair.corrupted, metric.position)
        chosen = _likeliest(pair.clean, metric.position)
        if metric.token is not None:
            vocab_size = pair.clean.logits_at([0]).shape[1]
            chosen = token_of(pair.clean.model, metric.token, vocab_size)
        if chosen != other:
            metric = replace(metric, token=chosen, against=other)
    its_text = pair.corrupted if isinstance(metric, LogLikelihood) else pair.clean
    return measure(its_text, metric)


def _likeliest(trace: Trace, position: int | None) -> int:
    if not trace.model.has_head:
        measure(trace, None)  # says so
    return int(trace.logits_at([asked_position(trace, position)])[0].argmax())


def cells_of(pair: Pair, where: str, kind: Kind, positions: Sequence[int] | None) -> pd.DataFrame:
    """One row for each cell: layer, head, position, token.

    Raises:
        SelectionError: if there is no such place or position.
        CaptureError: if the layers of the network were not found.
    """
    model = pair.clean.model
    if where not in (*OF_POSITIONS, *OF_HEADS):
        *others, last = map(repr, (*OF_POSITIONS, *OF_HEADS))
        raise SelectionError(
            f"There is no {where!r} to patch: it is {', '.join(others)} or {last}."
        )
    if where in OF_HEADS:
        if positions is not None:
            raise SelectionError(
                f"{where!r} is patched at all positions at once: leave out positions, or patch "
                "some of them with Patch."
            )
        heads = [
            (layer, head)
            for layer in model.layers(kind)
            for head in range(pair.clean.n_heads(kind))
        ]
        return pd.DataFrame(
            {
                "layer": [layer for layer, _ in heads],
                "head": pd.array([head for _, head in heads], "Int64"),
                "position": pd.array([pd.NA] * len(heads), "Int64"),
                "token": pd.Series([None] * len(heads), dtype=object),
            }
        )
    tokens = pair.clean.query_tokens(kind)
    chosen = list(range(len(tokens)))
    if positions is not None:
        for position in positions:
            if not -len(tokens) <= position < len(tokens):
                raise SelectionError(
                    f"There is no position {position}: the text has {len(tokens)} tokens, so "
                    f"positions go from 0 to {len(tokens) - 1}, or from -1 backwards."
                )
        chosen = [position % len(tokens) for position in positions]
    every = range(layers_of(model, stack_of(kind)))
    layers = model.layers(kind) if where == "attention" else every
    return pd.DataFrame(
        {
            "layer": np.repeat(list(layers), len(chosen)),
            "head": pd.array([pd.NA] * len(chosen) * len(layers), "Int64"),
            "position": pd.array(chosen * len(layers), "Int64"),
            "token": pd.Series([tokens[one] for one in chosen] * len(layers), dtype=object),
        }
    )


def patched(
    pair: Pair, cells: pd.DataFrame, where: str, kind: Kind, metric: Measure
) -> Iterator[pd.DataFrame]:
    """The cells with what each patch brings back, some rows at a time."""
    edits = [
        (
            Patch(
                pair.clean,
                where,
                int(layer),
                head=None if pd.isna(head) else int(head),
                positions=None if pd.isna(position) else int(position),
                kind=kind,
            ),
        )
        for layer, head, position in zip(
            cells["layer"], cells["head"], cells["position"], strict=True
        )
    ]
    clean = value(pair.clean, metric)
    for part in effects(pair.corrupted, edits, cells, metric):
        whole = clean - part.attrs["original"]
        restored = part["effect"] / whole if abs(whole) > 1e-6 else np.full(len(part), np.nan)
        table = part.assign(restored=restored)
        table.attrs = {**part.attrs, "clean": clean}
        yield table
