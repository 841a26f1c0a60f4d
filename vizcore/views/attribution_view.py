"""The attribution view: which tokens mattered, by several methods on one text, and which to trust.

The idea: the text is read once for each method, its tokens on a diverging colour (for, against),
and beside each stands how faithful it is, with an order at random as the mark to beat; the most
faithful comes first. It takes tables and knows no model. For one number a token take `tokens_view`.
"""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from vizcore.errors import SelectionError, ShapeError
from vizcore.views import colours, page

NAMES = {
    "occlusion": "Occlusion",
    "integrated_gradients": "Integrated gradients",
    "gradient_x_input": "Gradient × input",
    "attention_x_gradient": "Attention × gradient",
    "rollout": "Attention rollout",
}
"""What methods are called; others are shown by their own names."""
IN_NATS = ("occlusion", "integrated_gradients", "gradient_x_input")
RANDOM = "random"
TOLD_APART = 0.02
"""Less than that is no difference between two methods, or from chance."""
TEXTS = {
    "for": "speaks for it",
    "against": "speaks against it",
    "trust": "faithfulness: insertion minus deletion, from 0 to 1; the mark is an order at random",
    "measuring": "measuring how faithful it is …",
    "best": "most faithful",
    "worse": "no better than chance",
    "label": "The text by {method}. Arrow keys move, Enter picks a token.",
    "hint": "Point at a token to read what each method says of it.",
    "without": "it is kept as it is, or cannot have mattered",
    "nats": "{value} nats",
    "source": "source",
    "target": "target",
    "error": "This picture cannot be drawn: {reason}",
}
"""Every word that the view shows, in English; `texts` replaces any of them."""


def attribution_view(
    table: pd.DataFrame,
    scores: pd.DataFrame | None = None,
    *,
    selected: int | None = None,
    names: Mapping[str, str] | None = None,
    hints: Mapping[str, str] | None = None,
    title: str = "Which tokens mattered",
    texts: Mapping[str, str] | None = None,
) -> page.View:
    """Attributions of several methods side by side, the most faithful first.

    Colours are of each method's own largest number, since methods don't share a unit. `select` is
    told {token} of a token that is clicked, its position (of an encoder-decoder in the target).

    Args:
        table: as `vizcore.attributions` makes it: method, side, position, token, attribution.
        scores: as `Faithfulness.scores`: method, deletion, insertion; None while it is not known.
        selected: the position that is asked about, of the target if there is one; it is marked.
        names: what methods are called; those that it lacks are called as in `NAMES`.
        hints: what is said about a method when its name is pointed at.
        title: for a page.
        texts: replaces entries of `TEXTS`, for a host in another language.

    Raises:
        SelectionError: if the table has no rows.
        ShapeError: if methods differ in their tokens.
    """
    if table.empty:
        raise SelectionError("There are no attributions to show: the table has no rows.")
    words = {**TEXTS, **(texts or {})}
    groups = {str(name): its for name, its in table.groupby("method", sort=False)}
    first = next(iter(groups.values()))
    for name, its in groups.items():
        if its["token"].tolist() != first["token"].tolist():
            raise ShapeError(
                f"The tokens of {name!r} are not those of the other methods: give attributions of "
                "one text."
            )
    faithful = _faithful(scores)
    order = sorted(groups, key=lambda name: -faithful.get(name, -math.inf))
    sides = first["side"].tolist()
    starts = [at for at, side in enumerate(sides) if at == 0 or side != sides[at - 1]]
    last = starts[-1]  # the text that is asked about
    data: dict[str, object] = {
        "methods": [
            {
                "name": (names or {}).get(name, NAMES.get(name, name)),
                "hint": (hints or {}).get(name, ""),
                "places": _places(groups[name]["attribution"].tolist()),
                "values": _values(groups[name]["attribution"].tolist(), name, words),
                "faithful": faithful.get(name),
                "verdict": _verdict(name, order, faithful),
            }
            for name in order
        ],
        "tokens": first["token"].tolist(),
        "sides": [
            {"start": at, "name": words[sides[at]] if len(starts) > 1 else ""} for at in starts
        ],
        "offset": last,
        "without": words["without"],
        "selected": None if selected is None else last + selected,
        "pickable": list(range(last, len(sides))),
        "random": faithful.get(RANDOM),
        "colours": {"light": colours.LIGHT.to_dict(), "dark": colours.DARK.to_dict()},
        "texts": words,
    }
    return page.View(
        name="attribution_view",
        title=title,
        data=data,
        js=page.script("attribution_view"),
        css=page.style("attribution_view"),
    )


def _faithful(scores: pd.DataFrame | None) -> dict[str, float]:
    """One number a method: how far the curve of insertion is above that of deletion."""
    if scores is None:
        return {}
    between = (scores["insertion"] - scores["deletion"]).round(4).tolist()
    return dict(zip(scores["method"].tolist(), between, strict=True))


def _verdict(name: str, order: Sequence[str], faithful: Mapping[str, float]) -> str:
    """Whether a method is the best, or no better than chance; nothing where that cannot be told."""
    mine, chance = faithful.get(name), faithful.get(RANDOM)
    if mine is None or chance is None:
        return ""
    if mine < chance + TOLD_APART:
        return "worse"
    return "best" if name == order[0] else ""


def _places(values: Sequence[float]) -> list[float | None]:
    largest = max((abs(value) for value in values if not math.isnan(value)), default=0.0) or 1.0
    return [
        None if math.isnan(value) else round(0.5 + 0.5 * value / largest, 3) for value in values
    ]


def _values(values: Sequence[float], method: str, words: Mapping[str, str]) -> list[str]:
    found = []
    for value in values:
        if math.isnan(value):
            found.append("–")
        elif method in IN_NATS:
            found.append(words["nats"].format(value=f"{value:+.2f}"))
        else:
            found.append(f"{value:.3g}")
    return found
