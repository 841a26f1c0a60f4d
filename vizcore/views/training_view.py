"""The training view: one text at every snapshot of a training, played in the browser.

The idea: all snapshots travel at once, small (thumbnails of 8 bits), so that playing, sliding and
pointing ask nobody. Curves, maps, the text and its predictions are always at the same snapshot. For
exact values of one snapshot take that snapshot's model.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import pandas as pd

from vizcore.errors import SelectionError, ShapeError
from vizcore.maps import AttentionMap
from vizcore.views import page
from vizcore.views.model_view import model_view
from vizcore.views.tokens_view import tokens_view

HEIGHT = 560
"""Of the view, in CSS pixels, where the host does not say otherwise."""

MOST_SURPRISED = 12.0
"""Bits at the dark end of the colours of the text."""

MAX_POINTS = 400
"""Of a line: more than a screen has room for. Of more, evenly chosen ones are shown."""

TEXTS = {
    "play": "Play",
    "pause": "Pause",
    "snapshot": "Snapshot",
    "step": "step {step} of {last}",
    "expects": "After {token} it expects",
    "comes": "{token} comes: #{rank}",
    "surprise": "{bits:.2f} bits of surprise, rank {rank}",
    "unscored": "nothing stands before it",
    "low": "expected",
    "high": "surprising",
    "error": "This picture cannot be drawn: {reason}",
}
"""Every word that the view itself shows, in English; `texts` replaces any of them."""


@runtime_checkable
class HasFrame(Protocol):
    """One text at one snapshot, such as a `vizcore.Frame`."""

    @property
    def step(self) -> int:
        """How far the training was."""

    @property
    def tokens(self) -> Sequence[str]:
        """What the predictions are made from."""

    @property
    def maps(self) -> Sequence[AttentionMap]:
        """Of every head."""

    @property
    def expected(self) -> Sequence[pd.DataFrame]:
        """For each token: token, probability of the likeliest, best first; or ()."""

    @property
    def surprisal(self) -> pd.DataFrame | None:
        """One row a token: log_probability (nats), surprisal (bits), rank; or None."""


def training_view(
    frames: Sequence[HasFrame],
    charts: Mapping[str, pd.DataFrame],
    *,
    units: Mapping[str, str] | None = None,
    gaps: Mapping[str, str] | None = None,
    step: int | None = None,
    token: int | None = None,
    head: tuple[int | None, int | None] | None = None,
    log_steps: bool | None = None,
    height: int = HEIGHT,
    title: str = "Training",
    texts: Mapping[str, str] | None = None,
    map_texts: Mapping[str, str] | None = None,
) -> page.View:
    """The curves of a training, and one text at each of its snapshots.

    Args:
        frames: as `vizcore.playback` makes them, of one text; without any, curves alone.
        charts: by their titles: a table each whose index is the step and whose columns are lines.
        units: of charts, by title.
        gaps: what the difference between the first two lines of a chart is called, by title.
        step: of the snapshot that is shown first (the nearest); None: the last.
        token: the position after which the predictions are shown; None: the end.
        head: (layer, head) of the map that is large; None: the first.
        log_steps: whether the axis of steps is logarithmic; None: if the snapshots are.
        height: in CSS pixels.
        title: for a page.
        texts: replaces entries of `TEXTS`, for a host in another language.
        map_texts: the same for `vizcore.model_view`.

    Raises:
        SelectionError: if there is neither a frame nor a chart.
        ShapeError: if the frames are not of the same text.
    """
    if not frames and not charts:
        raise SelectionError("There is nothing to show: give at least one frame or one chart.")
    for frame in frames:
        if tuple(frame.tokens) != tuple(frames[0].tokens):
            raise ShapeError(
                f"The frame of step {frame.step} has other tokens than that of step "
                f"{frames[0].step}: all frames must be of the same text."
            )
    words = {**TEXTS, **(texts or {})}
    steps = [frame.step for frame in frames]
    pictures = [dict(model_view(frame.maps, detail=(), texts=map_texts).data) for frame in frames]
    data: dict[str, object] = {
        "charts": [
            _chart(name, table, (units or {}).get(name, ""), (gaps or {}).get(name, ""))
            for name, table in charts.items()
        ],
        "logSteps": _is_geometric(steps) if log_steps is None else log_steps,
        "maps": pictures[-1] if frames else None,
        "text": _text(frames[-1].tokens, words) if frames else None,
        "frames": [
            _frame(frame, picture, pictures[-1], words)
            for frame, picture in zip(frames, pictures, strict=True)
        ],
        "height": height,
        "texts": words,
    }
    identity = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    data |= {"identity": identity, "step": step, "token": token}
    data["head"] = None if head is None else list(head)
    return page.View(
        name="training_view",
        title=title,
        data=data,
        js=page.script("training_view"),
        css=page.style("model_view", "tokens_view", "training_view"),
    )


def _frame(
    frame: HasFrame,
    picture: Mapping[str, object],
    common: Mapping[str, object],
    words: Mapping[str, str],
) -> dict[str, object]:
    n_tokens = len(frame.tokens)
    rows: list[Any] = [None] * n_tokens
    if frame.surprisal is not None:
        rows = list(frame.surprisal.itertuples())
    scored = [row is not None and not math.isnan(row.surprisal) for row in rows]
    return {
        "step": frame.step,
        "maps": {key: value for key, value in picture.items() if value != common[key]},
        "places": [
            round(min(row.surprisal / MOST_SURPRISED, 1.0), 3) if known else None
            for row, known in zip(rows, scored, strict=True)
        ],
        "details": [
            words["surprise"].format(bits=row.surprisal, rank=f"{row.rank:,}")
            if known
            else ("" if row is None else words["unscored"])
            for row, known in zip(rows, scored, strict=True)
        ],
        "expected": [
            [
                [str(token), _share(probability)]
                for token, probability in zip(table["token"], table["probability"], strict=True)
            ]
            for table in frame.expected
        ],
        "following": [
            *[
                _comes(token, row) if known else None
                for token, row, known in zip(frame.tokens, rows, scored, strict=True)
            ][1:],
            None,
        ],
    }


def _comes(token: str, row: Any) -> list[object]:
    return [token, _share(math.exp(row.log_probability)), int(row.rank)]


def _share(probability: float) -> float:
    """Of what is no number, JSON knows nothing."""
    return round(probability, 5) if math.isfinite(probability) else 0.0


def _text(tokens: Sequence[str], words: Mapping[str, str]) -> dict[str, object]:
    view = tokens_view(
        tokens,
        [math.nan] * len(tokens),
        low=0,
        high=MOST_SURPRISED,
        low_label=words["low"],
        high_label=words["high"],
        texts={"hint": ""},
    )
    return view.data


def _chart(name: str, table: pd.DataFrame, unit: str, gap: str) -> dict[str, object]:
    chosen = table
    if len(table) > MAX_POINTS:
        places = sorted({round(i * (len(table) - 1) / (MAX_POINTS - 1)) for i in range(MAX_POINTS)})
        chosen = table.iloc[places]
    steps = [int(step) for step in chosen.index]
    lines = [
        {
            "name": str(column),
            "steps": steps,
            "values": [
                float(f"{value:.5g}") if math.isfinite(value) else None for value in chosen[column]
            ],
        }
        for column in chosen.columns
    ]
    return {"title": name, "unit": unit, "gap": gap, "lines": lines}


def _is_geometric(steps: Sequence[int]) -> bool:
    """Whether half of the snapshots lie within the first quarter of the training."""
    return len(steps) > 2 and steps[len(steps) // 2] < steps[-1] / 4
