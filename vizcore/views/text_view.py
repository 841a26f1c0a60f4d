"""The text view: the sentence itself, shaded by what the token that is pointed at looks at.

The idea: a text is read, not plotted. Whoever can read the sentence can read its attention, be it
ten tokens or four thousand. For all numbers of one head take `heatmap`; for several heads at once,
`head_view`.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
from jaxtyping import Float

from vizcore.errors import SelectionError
from vizcore.maps import AttentionMap
from vizcore.views import colours, page, scales, sinks
from vizcore.views.payload import MASKED, N_STEPS, UNDEFINED
from vizcore.views.rows import form_of, pack_rows
from vizcore.views.running import running

MAX_BYTES = 2_000_000
"""Up to so many bytes before it is deflated the map is sent whole: 1,414 tokens."""

HEIGHT = 600
"""The most that the view takes, in CSS pixels, where the host does not say otherwise."""

DIRECTIONS = ("to", "from")

TEXTS = {
    "direction": "The token",
    "to": "looks at",
    "from": "is looked at by",
    "sink": "First token",
    "sinkIn": "shown",
    "sinkGrey": "grey",
    "sinkAway": "left out",
    "log": "Log scale",
    "ownScale": "Own scale for each token",
    "queries": "These tokens look",
    "keys": "These are looked at",
    "target": "Target: its tokens look",
    "source": "Source: its tokens are looked at",
    "label": "{tokens} tokens. Arrow keys move, Enter holds one.",
    "hint": "Point at a token. Now the shade says how much a token is looked at on average.",
    "hintTo": "Point at a token to see what it looks at. Click to hold it.",
    "hintFrom": "Point at a token to see what looks at it. Click to hold it.",
    "looks": "{token} looks at {others}",
    "looked": "{token} is looked at by {others}",
    "entry": "{token} {weight}",
    "nothing": "{token}: no weight to show",
    "andOthers": "{weight} on the other {tokens}",
    "onlySink": "{token} looks at the first token alone, in grey, {weight}",
    "andSink": "the first token, in grey, {weight}",
    "andRest": "{weight} more on {tokens} others, not sent",
    "andBroken": "weights that are not numbers: {tokens}",
    "isEmpty": "{token}: without the first token less than {left} is left of its weight",
    "held": "held (click again to let go)",
    "ownMost": "its largest",
    "average": "largest average",
    "masked": "pale: cannot be looked at (masked)",
    "undefined": "not a number",
    "greyed": "first token",
    "away": "The first token is left out; what is left of each token's weights is scaled up to 1.",
    "kept": "Of each token the {n} strongest weights were sent, both ways.",
    "rounded": "Numbers are rounded for the screen: ± {error} at most.",
    "error": "This picture cannot be drawn: {reason}",
}
"""Every word that the view itself shows, in English; `texts` replaces any of them."""


def text_view(
    map: AttentionMap,
    *,
    direction: str = "to",
    selected: int | None = None,
    sink: str | None = None,
    scale: scales.Kind = "linear",
    own_scale: bool = True,
    height: int = HEIGHT,
    title: str | None = None,
    texts: Mapping[str, str] | None = None,
) -> page.View:
    """A text to be pointed at: the tokens that one looks at, or that look at it, are shaded.

    A map between two texts (cross-attention) shows both, what is looked at above what looks.
    `select` is told {side, token, direction}: the token that is held ("query" or "key", position;
    None for both where it was let go), and which way is looked.

    Args:
        map: of any quantity: one head, a mean, a rollout, words instead of tokens.
        direction: "to": what the token looks at; "from": what looks at it. The reader can switch.
        selected: the position of a token that is held, of a query for "to", of a key for "from".
        sink: what becomes of the first token, where many heads put what they don't need: "keep",
            "grey" (it takes no part in the scale), or "renormalise" (left out, and the rest of
            each row scaled up to sum to 1). None: "grey" in a decoder, else "keep". The reader can
            switch.
        scale: whether shades begin "linear" or "log" (three powers of ten). The reader can switch.
        own_scale: whether the darkest shade is the largest weight of the token that is looked at,
            or the largest possible. The reader can switch.
        height: the most, in CSS pixels; longer texts scroll.
        title: for a page; None: what the map is of.
        texts: replaces entries of `TEXTS`, for a host in another language.

    Raises:
        SelectionError: if there is no such direction, sink or token, or no token at all.
    """
    _check(map, direction, selected, sink)
    n_queries, n_keys = map.values.shape
    form = form_of(
        1, (n_queries, n_keys), fine_bytes=MAX_BYTES, max_bytes=MAX_BYTES, both_ways=True, least=1
    )
    if form is None:
        raise SelectionError(
            f"A map of {n_queries} × {n_keys} tokens is too large for a page: show a part of it."
        )
    is_one_text = map.kind != "cross" and map.query_tokens == map.key_tokens
    data: dict[str, Any] = {
        "keys": _pieces(map.key_tokens),
        "queries": None if is_one_text else _pieces(map.query_tokens),
        "kind": map.kind,
        "quantity": map.quantity,
        "weights": pack_rows([map], form, both_ways=True),
        "average": [round(value, 5) for value in _averages(map).tolist()],
        "direction": direction,
        "sink": sink or ("grey" if map.kind == "decoder" else "keep"),
        "log": scale == "log",
        "ownScale": own_scale,
        "height": height,
        "nSteps": N_STEPS,
        "undefinedCode": UNDEFINED,
        "maskedCode": MASKED,
        "colours": {"light": colours.LIGHT.to_dict(), "dark": colours.DARK.to_dict()},
        "texts": {**TEXTS, **(texts or {})},
    }
    data["identity"] = hashlib.blake2b(json.dumps(data).encode(), digest_size=8).hexdigest()
    side = "query" if direction == "to" else "key"
    data["selected"] = None if selected is None else {"side": side, "token": selected}
    return page.View(
        name="text_view",
        title=title or f"{map.name[0].upper()}{map.name[1:]}: what each token looks at",
        data=data,
        js=page.script("text_view"),
        css=page.style("text_view"),
    )


def _check(map: AttentionMap, direction: str, selected: int | None, sink: str | None) -> None:
    if not map.values.size:
        raise SelectionError("The map has no tokens, so there is no text to show.")
    if direction not in DIRECTIONS:
        raise SelectionError(
            f"There is no direction {direction!r}. Choose one of {', '.join(DIRECTIONS)}."
        )
    if sink is not None and sink not in get_args(sinks.Sink):
        raise SelectionError(
            f"There is no sink={sink!r}. Choose one of {', '.join(get_args(sinks.Sink))}."
        )
    n_tokens = map.values.shape[0 if direction == "to" else 1]
    if selected is not None and not 0 <= selected < n_tokens:
        raise SelectionError(
            f"There is no token {selected} to hold: they go from 0 to {n_tokens - 1}."
        )


def _pieces(tokens: tuple[str, ...]) -> dict[str, object]:
    pieces, flags = running(tokens)
    return {"tokens": list(tokens), "pieces": pieces, "flags": flags}


def _averages(map: AttentionMap) -> Float[np.ndarray, " key"]:
    """How much each key is looked at, on average over the queries that may, and have numbers."""
    seen = np.isfinite(map.values)
    if map.masked is not None:
        seen = seen & ~map.masked
    total = np.where(seen, map.values, 0).sum(axis=0, dtype=np.float64)
    averages: Float[np.ndarray, " key"] = total / np.maximum(seen.sum(axis=0), 1)
    return averages
