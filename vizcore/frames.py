"""The same text at every snapshot of a training: its maps, predictions and scores, one by one.

The idea: what a network learns is best seen on one sentence that stays the same while the weights
change. A frame holds what a picture of one snapshot needs, and the network itself is let go, so
that a long training fits in memory. For one snapshot in depth take `TrainingRecord.snapshot`,
which is a model like any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vizcore.cache import Progress, quiet
from vizcore.errors import SelectionError
from vizcore.likelihood import trace_surprisal
from vizcore.maps import AttentionMap
from vizcore.model import Model
from vizcore.records import TrainingRecord
from vizcore.trace import Trace

INDUCTION_AT_LEAST = 0.15
"""Of a head's weight, on what followed a token the last time: less is nothing to point at."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One text at one snapshot.

    Args:
        step: how far the training was.
        tokens: what the text's predictions are made from: its tokens, or those of the target.
        maps: of every head, layer by layer.
        expected: for each token, what comes after it (in an encoder, what stands in its place), as
            `Trace.next_tokens` says it; () if the model predicts nothing.
        surprisal: one row a token, as `trace_surprisal` says it; None if the model does not read
            from left to right, or predicts nothing.
    """

    step: int
    tokens: tuple[str, ...]
    maps: tuple[AttentionMap, ...]
    expected: tuple[pd.DataFrame, ...]
    surprisal: pd.DataFrame | None

    @property
    def log_likelihood(self) -> float | None:
        """Of the text, in nats: of each token after the first, given those before it."""
        return None if self.surprisal is None else float(self.surprisal["log_probability"].sum())


def playback(
    record: TrainingRecord,
    text: str | Sequence[int],
    *,
    target: str | Sequence[int] | None = None,
    kind: str | None = None,
    k: int = 5,
    progress: Progress | None = None,
) -> list[Frame]:
    """Run a text through every snapshot of a training.

    Args:
        record: of the training.
        text: the text, or token ids.
        target: of an encoder-decoder; None takes what the last snapshot writes, for all of them.
        kind: of attention: "decoder", "encoder" or "cross"; None means cross attention if there
            is any, else the only kind.
        k: how many predictions are kept for each token.
        progress: called with what is being done and how far it is.

    Returns:
        One frame a snapshot, in order.

    Raises:
        SelectionError: if there are no snapshots, or no attention of this kind.
        TextError: if the text cannot be run.
        ModelFilesError: if a snapshot is broken.
    """
    if not record.snapshots:
        raise SelectionError(
            f"{record.name} has no snapshots, so its training cannot be played back. Train it with "
            "snapshots."
        )
    report = progress or quiet
    last = record.snapshot(record.snapshots[-1])
    if last.kind == "encoder-decoder" and target is None:
        target = last.write(text)
    kind = kind or ("cross" if "cross" in last.kinds else last.kinds[0])
    frames = []
    for done, step in enumerate(record.snapshots):
        report(f"Step {step:,} of {record.name}", done / len(record.snapshots))
        model = last if step == record.snapshots[-1] else record.snapshot(step)
        frames.append(_frame(step, model.trace(text, target), kind, k))
    return frames


def _frame(step: int, trace: Trace, kind: str, k: int) -> Frame:
    model: Model = trace.model
    tokens = trace.source_tokens if trace.target_tokens is None else trace.target_tokens
    reads_on = model.has_head and model.kind != "encoder"
    places = range(len(tokens)) if model.has_head else ()
    return Frame(
        step=step,
        tokens=tuple(tokens),
        maps=tuple(trace.maps(kind)),
        expected=tuple(trace.next_tokens(place, k) for place in places),
        surprisal=trace_surprisal(trace) if reads_on else None,
    )


def head_to_watch(frames: Sequence[Frame]) -> tuple[int, int]:
    """The head of which the training shows most: (layer, head).

    In a text that repeats itself, the one that most looks at what followed a token the last time,
    if there is such an induction head (Olsson et al. 2022) at the end; else the one whose map
    differs most between the first and the last frame.

    Raises:
        SelectionError: if there are no frames.
    """
    if not frames:
        raise SelectionError("There is no frame: play a training back first.")
    last = frames[-1].maps
    scores = [_induction(one) for one in last]
    if max(scores) < INDUCTION_AT_LEAST:
        pairs = zip(frames[0].maps, last, strict=True)
        scores = [float(np.nan_to_num(np.abs(a.values - b.values)).mean()) for a, b in pairs]
    best = last[int(np.argmax(scores))]
    assert best.layer is not None and best.head is not None  # noqa: S101, PT018 - those of traces
    return best.layer, best.head


def _induction(one: AttentionMap) -> float:
    """The mean weight, from each token that was there before, on what followed it then."""
    if one.query_tokens != one.key_tokens:
        return 0.0
    last_seen: dict[str, int] = {}
    weights = []
    for at, token in enumerate(one.query_tokens):
        if token in last_seen and last_seen[token] + 1 < at:
            weights.append(float(one.values[at, last_seen[token] + 1]))
        last_seen[token] = at
    return float(np.nan_to_num(np.mean(weights))) if len(weights) >= 2 else 0.0
