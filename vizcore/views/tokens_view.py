"""The tokens view: the text itself, each token on the colour of a number.

The idea: a text is read, not plotted, so its tokens stay in their order and their line; the number
(how surprised the model was, say) is their background, and said in words when one is pointed at.
It is for one number a token; for what tokens look at, take a map.
"""

import math
from collections.abc import Mapping, Sequence

from vizcore.errors import ShapeError
from vizcore.views import colours, page

TEXTS = {
    "label": "The text, {tokens} tokens. Arrow keys move, Enter picks one.",
    "hint": "Point at a token. Click to pick it.",
    "unknown": "no value",
    "error": "This picture cannot be drawn: {reason}",
}
"""Every word that the view itself shows, in English; `texts` replaces any of them."""


def tokens_view(
    tokens: Sequence[str],
    values: Sequence[float | int],
    *,
    low: float | int,
    high: float | int,
    low_label: str,
    high_label: str,
    details: Sequence[str] | None = None,
    special: Sequence[int] = (),
    selected: int | None = None,
    title: str = "Tokens",
    texts: Mapping[str, str] | None = None,
) -> page.View:
    """A text whose tokens are coloured by a number each.

    Args:
        tokens: one label a token, as `Trace.tokens` gives them.
        values: one number a token; NaN where there is none.
        low, high: what the two ends of the colour scale stand for; numbers beyond are clipped.
        low_label, high_label: the same in words, for the legend.
        details: what is said about a token that is pointed at, one line each.
        special: positions of tokens that are no part of the text; they are shown quietly.
        selected: the position that is marked.
        title: for a page.
        texts: replaces entries of `TEXTS`, for a host in another language.

    Raises:
        ShapeError: if there are not as many values or details as tokens.
    """
    for name, items in (("values", values), ("details", details)):
        if items is not None and len(items) != len(tokens):
            raise ShapeError(
                f"There are {len(tokens)} tokens and {len(items)} {name}: give one for each token."
            )
    places = [
        None if math.isnan(value) else round(min(max((value - low) / (high - low), 0), 1), 3)
        for value in values
    ]
    data: dict[str, object] = {
        "tokens": list(tokens),
        "places": places,
        "details": None if details is None else list(details),
        "special": list(special),
        "selected": selected,
        "lowLabel": low_label,
        "highLabel": high_label,
        "colours": {"light": colours.LIGHT.to_dict(), "dark": colours.DARK.to_dict()},
        "texts": {**TEXTS, **(texts or {})},
    }
    return page.View(
        name="tokens_view",
        title=title,
        data=data,
        js=page.script("tokens_view"),
        css=page.style("tokens_view"),
    )
