"""The sentences view: sentences one above the other, each part with a bar of surprise.

The idea: what sentences share stands in the same columns, so the eye finds the place where they
part, and reads there and after it what makes one likelier than another. For one sentence alone take
`tokens_view`; for hundreds, a table.
"""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from vizcore.errors import SelectionError
from vizcore.views import page

HIGHEST = 20.0
"""Bits at the top of a bar: a probability of one in a million. Beyond it a bar is cut, and says so.
"""
TEXTS = {
    "label": "{lines} sentences in columns. Arrow keys move, Enter picks a place.",
    "hint": "The taller its bar, the less a part was expected. Click on one to look into it.",
    "part": "{text}: {bits} bits of surprise, probability {probability}; so far {total} nats",
    "unscored": "{text}: nothing stands before it, so it is not scored",
    "parting": "they part here",
    "best": "likeliest",
    "behind": "{nats} nats",
    "unknown": "not scored",
    "error": "This picture cannot be drawn: {reason}",
}
"""Every word that the view itself shows, in English; `texts` replaces any of them."""


def sentences_view(
    parts: pd.DataFrame,
    lines: pd.DataFrame,
    *,
    measure: str = "log_likelihood",
    parting: int | None = None,
    selected: tuple[int, int] | None = None,
    title: str = "Sentences side by side",
    texts: Mapping[str, str] | None = None,
) -> page.View:
    """Sentences side by side, as `vizcore.side_by_side` compares them.

    `select` is told {line, part}.

    Args:
        parts: line, part, text, column, special, surprisal (bits) and cumulative (nats) of each.
        lines: line, model and the measure of each. Where there are several models, each line says
            whose it is.
        measure: the column of `lines` that is written beside each, in nats, with the difference to
            the likeliest one of the same model.
        parting: the column in which they first differ; None if they don't.
        selected: the line and the part that are marked.
        title: for a page.
        texts: replaces entries of `TEXTS`, for a host in another language.

    Raises:
        SelectionError: if there is no sentence, or no column of that name.
    """
    if lines.empty or measure not in lines:
        raise SelectionError(
            f"There is no {measure!r} of {len(lines)} sentences: give at least one sentence, and a "
            f"column of {', '.join(map(str, lines.columns))}."
        )
    several = lines["model"].nunique() > 1
    best = lines.groupby("model")[measure].transform("max").tolist()
    data: dict[str, object] = {
        "lines": [
            {
                "model": str(row["model"]) if several else "",
                "total": _number(row[measure]),
                "behind": _number(row[measure] - best[number]),
                "parts": [
                    _part(one)
                    for one in parts[parts["line"] == row["line"]].itertuples(index=False)
                ],
            }
            for number, (_, row) in enumerate(lines.iterrows())
        ],
        "nColumns": int(parts["column"].max()) + 1 if len(parts) else 0,
        "parting": parting,
        "highest": HIGHEST,
        "selected": None if selected is None else list(selected),
        "texts": {**TEXTS, **(texts or {})},
    }
    return page.View(
        name="sentences_view",
        title=title,
        data=data,
        js=page.script("sentences_view"),
        css=page.style("sentences_view"),
    )


def _part(row: Any) -> dict[str, object]:
    return {
        "text": str(row.text),
        "column": int(row.column),
        "special": bool(row.special),
        "bits": _number(row.surprisal),
        "total": _number(row.cumulative),
    }


def _number(value: float) -> float | None:
    """Six digits are more than a screen shows; JSON knows no NaN."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
