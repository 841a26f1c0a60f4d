"""The alternatives view: what was written, and under each token what could stand there instead.

The idea: writing is choosing, so each step is a column of its likeliest tokens with their
probabilities, the chosen one marked. A host that listens can let its reader choose another. For
the surprisal of a text that is given take `tokens_view`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from vizcore.errors import SelectionError
from vizcore.views import page

TEXTS = {
    "copy": "Copy",
    "copied": "Copied",
    "label": "{steps} steps. Arrow keys move, Enter takes an alternative.",
    "hint": "Click on an alternative: it is written there, and the rest changes.",
    "written": "{token} was written: probability {probability}, rank {rank}, {nats} nats",
    "other": "{token}: probability {probability}, rank {rank}, {nats} nats. Click to write it",
    "forced": "{token} was forced: probability {probability}, rank {rank}, {nats} nats",
    "free": "undo",
    "nothing": "…",
    "error": "This picture cannot be drawn: {reason}",
}
"""Every word that the view itself shows, in English; `texts` replaces any of them."""


def alternatives_view(
    steps: pd.DataFrame,
    alternatives: pd.DataFrame,
    *,
    text: str = "",
    note: str = "",
    forced: Sequence[int] = (),
    special: Sequence[int] = (),
    selected: int | None = None,
    title: str = "Alternatives",
    texts: Mapping[str, str] | None = None,
) -> page.View:
    """Each step of a text that was written, with the tokens that were likeliest there.

    `select` is told {action, step, token_id}: "force" for an alternative that was clicked, "free"
    to undo what was forced there, "look" for a token that was written.

    Args:
        steps: as `Translation.steps`: step, token, log_probability, probability and rank of what
            was written.
        alternatives: as `Translation.alternatives`: for each step its likeliest tokens, best
            first, with token_id and is_written. It may have one step more: what would come next.
        text: what was written, in large above, with a button that copies it.
        note: one line beside it, such as its score.
        forced: steps whose token was not chosen by the model.
        special: steps whose token is no part of the text, such as its end.
        selected: the step that is marked.
        title: for a page.
        texts: replaces entries of `TEXTS`, for a host in another language.

    Raises:
        SelectionError: if there is a step without alternatives, or none at all.
    """
    options = {
        step: alternatives[alternatives["step"] == step] for step in set(alternatives["step"])
    }
    written = list(steps.itertuples())
    if not options or len(written) > len(options):
        raise SelectionError(
            f"There are {len(written)} steps, and alternatives for {len(options)}: each step needs "
            "at least one."
        )
    data: dict[str, object] = {
        "columns": [
            {
                "written": _token(written[step]) if step < len(written) else None,
                "forced": step in forced,
                "special": step in special,
                "options": [_token(one) for one in rows.itertuples()],
            }
            for step, rows in sorted(options.items())
        ],
        "text": text,
        "note": note,
        "selected": selected,
        "texts": {**TEXTS, **(texts or {})},
    }
    return page.View(
        name="alternatives_view",
        title=title,
        data=data,
        js=page.script("alternatives_view"),
        css=page.style("alternatives_view"),
    )


def _token(row: Any) -> dict[str, object]:
    return {
        "token": str(row.token),
        "id": int(row.token_id),
        "probability": float(f"{row.probability:.4g}"),
        "nats": round(float(row.log_probability), 2),
        "rank": int(row.rank),
    }
