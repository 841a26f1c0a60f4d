"""The steps view: one attention head for one token, step by step, each step a picture.

The idea: a step is understood by seeing what goes into it beside what comes out, for the very
tokens of the text; vectors are strips of colour, scores and weights bars with their numbers. Only
the tokens that matter are shown of a long text, and it says so. It is for one head and one token;
where all tokens look is a map.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from vizcore.errors import SelectionError
from vizcore.views import colours, page
from vizcore.views.payload import pack_exactly
from vizcore.views.steps_words import LABELS, TITLES, sentences

MAX_ROWS = 10
"""So many tokens fit on a projector at a size that can be read from the back."""
MAX_AROUND = 30
"""Tokens of the text that are shown with the query."""
N_DIALS = 8
"""Pairs of RoPE that are shown turning."""
CLIPPED = 0.97
"""Share of the numbers that colours tell apart: a few outliers would leave all others pale."""

TEXTS = {
    "previous": "Previous step",
    "next": "Next step",
    "steps": "Steps of attention",
    "query": "query of {token}",
    "key": "key of {token}",
    "value": "value of {token}",
    "weighted": "{weight} × value of {token}",
    "before": "before RoPE",
    "after": "after RoPE",
    "text": "The text",
    "look": "Look from {token}, token {position}",
    "pair": "pair {pair}",
    "product": "q · k",
    "score": "score",
    "scaled": "scaled",
    "notScaled": "not scaled",
    "capped": "capped",
    "bias": "bias",
    "masked": "after the mask",
    "weight": "weight",
    "really": "really",
    "hidden": "−∞",
    "sum": "sum",
    "output": "output of head {head}",
    "concat": "heads {first} to {last}, side by side",
    "own": "head {head}'s part",
    "others": "other heads",
    "projectionBias": "bias",
    "result": "attention output",
    "rest": "{n} other tokens",
    "nothing": "no token (sink)",
    "dimension": "number {place} of {name}: {value}",
    "strongest": "each cell is the strongest of {n} numbers",
    "error": "This picture cannot be drawn: {reason}",
}
"""Every word that the view itself shows, in English."""


def steps_view(
    steps: Any,
    *,
    step: str = "query",
    listens: bool = False,
    translate: Callable[[str], str] = str,
) -> page.View:
    """One head for one token, to be stepped through with arrow keys or clicks.

    Args:
        steps: as `vizcore.attention_steps` gives them.
        step: the one to begin with, of `steps.names`.
        listens: whether arrow keys and those of a presenter step wherever on the page they are
            pressed (not while somebody types); else only inside the view.
        translate: from an English text to that of another language.

    Raises:
        SelectionError: if this head has no such step.
    """
    if step not in steps.names:
        raise SelectionError(
            f"This head has no step {step!r}. Its steps are {', '.join(steps.names)}."
        )
    rows = _rows(steps)
    told = sentences(steps, translate)
    data: dict[str, object] = {
        "step": step,
        "steps": [
            {
                "name": name,
                "label": _label(steps, name),
                "title": translate(TITLES[name]),
                "words": told[name],
            }
            for name in steps.names
        ],
        "query": {"position": steps.token, "token": steps.query_tokens[steps.token]},
        "around": _around(steps),
        "rows": [
            {
                "position": int(row),
                "token": steps.key_tokens[row],
                "hidden": bool(steps.hidden[row]),
                "isQuery": steps.kind != "cross" and int(row) == steps.token,
            }
            for row in rows
        ],
        "rest": _rest(steps, rows),
        "sink": None if steps.sink is None else max(1 - float(np.sum(_of(steps.weights))), 0.0),
        "head": steps.head,
        "nHeads": len(steps.other_heads),
        "leftOut": list(steps.left_out),
        "vectors": _vectors(steps, rows),
        "numbers": _numbers(steps, rows),
        "scales": _scales(steps, rows),
        "dials": _dials(steps),
        "listens": listens,
        "colours": {"light": colours.LIGHT.to_dict(), "dark": colours.DARK.to_dict()},
        "texts": {name: translate(text) for name, text in TEXTS.items()},
    }
    return page.View(
        name="steps_view",
        title=f"Layer {steps.layer}, head {steps.head}, step by step",
        data=data,
        js=page.script("steps_view"),
        css=page.style("steps_view"),
    )


def _label(steps: Any, name: str) -> str:
    if name != "scaling" or steps.divides_by_root:
        return LABELS[name]
    return "× 1" if steps.scaling == 1 else f"× {steps.scaling:.3g}"


def _rows(steps: Any) -> Int[np.ndarray, " row"]:
    """The keys that are shown: those that get most weight, the query's own, and one hidden."""
    n_keys = len(steps.key_tokens)
    if n_keys <= MAX_ROWS:
        return np.arange(n_keys)
    weights = np.maximum(_of(steps.weights), _of(steps.original.weights))
    wanted: list[int] = [] if steps.kind == "cross" else [steps.token]
    hidden = np.flatnonzero(_of(steps.hidden))
    after = hidden[hidden > steps.token]
    wanted += [int(place) for place in (after[:1] if len(after) else hidden[-1:])]
    for place in np.argsort(-weights, kind="stable"):
        if len(wanted) < MAX_ROWS - 1 and int(place) not in wanted:
            wanted.append(int(place))
    return np.sort(np.array(wanted))


def _rest(steps: Any, rows: Int[np.ndarray, " row"]) -> dict[str, object] | None:
    n_others = len(steps.key_tokens) - len(rows)
    if not n_others:
        return None
    weights = _of(steps.weights)
    return {"n": n_others, "weight": max(float(weights.sum() - weights[rows].sum()), 0.0)}


def _around(steps: Any) -> dict[str, object]:
    n_tokens = len(steps.query_tokens)
    first = min(max(steps.token - MAX_AROUND // 2, 0), max(n_tokens - MAX_AROUND, 0))
    end = first + MAX_AROUND
    return {
        "tokens": list(steps.query_tokens[first:end]),
        "first": first,
        "at": steps.token - first,
        "before": first > 0,
        "after": end < n_tokens,
    }


def _vectors(steps: Any, rows: Int[np.ndarray, " row"]) -> dict[str, dict[str, object] | None]:
    bias = None if steps.projection is None else steps.projection.bias
    whole = {
        "query": steps.query,
        "queryBefore": steps.query_before,
        "key": steps.key[rows],
        "value": steps.value[rows],
        "weighted": steps.weighted[rows],
        "rest": steps.output - steps.weighted[rows].sum(0) if len(rows) < len(steps.key) else None,
        "output": steps.output,
        "realOutput": steps.original.output if steps.left_out else None,
        "concat": steps.concatenated.flatten(),
        "own": steps.contribution,
        "others": steps.others,
        "projectionBias": None if bias is None else bias.float().cpu(),
        "result": steps.attention_output,
    }
    return {name: None if v is None else pack_exactly(_of(v)) for name, v in whole.items()}


def _numbers(steps: Any, rows: Int[np.ndarray, " row"]) -> dict[str, dict[str, object] | None]:
    whole = {
        "products": steps.products,
        "scaled": steps.scaled,
        "realScaled": steps.original.scaled if "scaling" in steps.left_out else None,
        "capped": steps.capped,
        "bias": steps.bias,
        "biased": steps.biased,
        "weights": steps.weights,
        "realWeights": steps.original.weights if steps.left_out else None,
    }
    return {name: None if v is None else pack_exactly(_of(v)[rows]) for name, v in whole.items()}


def _scales(steps: Any, rows: Int[np.ndarray, " row"]) -> dict[str, float]:
    """The number at the end of the colours, for vectors that are compared with each other."""
    output = [
        v for v in (steps.contribution, steps.others, steps.attention_output) if v is not None
    ]
    return {
        "match": _largest(steps.query, steps.key[rows]),
        "value": _largest(steps.value[rows]),
        "sum": _largest(steps.output, steps.original.output),
        "concat": _largest(steps.concatenated),
        "output": _largest(*output) if output else 1.0,
    }


def _largest(*vectors: Any) -> float:
    sizes = np.concatenate([np.abs(_of(vector)).ravel() for vector in vectors])
    return float(np.quantile(sizes, CLIPPED)) or 1.0


def _dials(steps: Any) -> list[dict[str, object]]:
    if steps.rotation is None:
        return []
    pairs = _of(steps.rotation.pairs)
    angles = np.angle(np.asarray(steps.rotation.factors[steps.token]))
    before, after = _of(steps.query_before), _of(steps.query)
    shown = np.unique(np.linspace(0, len(pairs) - 1, N_DIALS).round().astype(int))
    return [
        {
            "pair": int(pair),
            "angle": float(np.degrees(angles[pair]) % 360),
            "before": [float(before[d]) for d in pairs[pair]],
            "after": [float(after[d]) for d in pairs[pair]],
        }
        for pair in shown
    ]


def _of(tensor: Any) -> Shaped[np.ndarray, "..."]:
    return np.asarray(tensor)
