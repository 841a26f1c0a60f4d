"""Which tokens of a text mattered for what a model expects: several methods, side by side.

The idea: methods disagree, so they are given together, in one tidy table, and `faithfulness` says
which of them to trust on this very text. Gradients say what a small change would do, integrated
gradients what the whole way from nothing does, occlusion what happens without a token; attention's
two methods are there because they are in use. For which heads or layers mattered, see
`logit_attribution` and the interventions.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from vizcore.attention_attribution import attention_gradient_attribution, rollout_attribution
from vizcore.attribution_targets import AttributionTarget, Question, question
from vizcore.errors import CaptureError, SelectionError
from vizcore.perturbed_runs import Replacement, gradients, values
from vizcore.trace import Trace

METHODS = (
    "occlusion",
    "integrated_gradients",
    "gradient_x_input",
    "attention_x_gradient",
    "rollout",
)
"""The methods, those that are right by construction first."""
N_STEPS = 48
"""Of integrated gradients."""
Progress = Callable[[str, float | None], None]


def attributions(
    trace: Trace,
    target: AttributionTarget | None = None,
    *,
    methods: Sequence[str] | None = None,
    replace: str | None = None,
    n_steps: int = N_STEPS,
    first: bool = False,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """How much each token of a text mattered, by several methods.

    With F the value that is explained (nats), x the tokens' vectors and x' what replaces them:

    - "occlusion": F(x) - F(x with the token's vector replaced).
    - "integrated_gradients": (x - x')·∫₀¹ ∇F(x' + a(x - x')) da (Sundararajan et al. 2017), by
      Gauss-Legendre quadrature. All tokens together get F(x) - F(x').
    - "gradient_x_input": x·∇F(x).
    - "attention_x_gradient": Chefer, Gur & Wolf 2021, see `vizcore.attention_attribution`.
    - "rollout": Abnar & Zuidema 2020, the weak baseline: it is the same whatever is explained.

    The first three are in nats and have signs; the last two are relevances from 0 on.

    Args:
        target: what is explained; None: the likeliest next token.
        methods: some of `METHODS`; None: all that this network allows.
        replace: what stands for a token that is taken away: "mask" (the tokenizer's mask token),
            "mean" (the mean of all vectors of the table) or "zero". None: "mask" if there is one,
            else "mean".
        n_steps: points on the way of integrated gradients.
        first: whether the first token of a decoder's text counts, too. Where no special token
            stands before it, heads park there what they don't need; without it the model breaks,
            and every method would say so and little else.
        progress: told what is done, and how far it is.

    Returns:
        One row a method and token: method, side ("source", or "target" of an encoder-decoder),
        position, token, token_id, attribution. Tokens that could not matter (special ones, those
        after the place that is asked) have none: it is missing. `attrs` says more: "value" (nats),
        "replaced_value" (with everything replaced), "replaced_by", "completeness_error" (nats: what
        the sum of integrated gradients lacks of value - replaced_value), "token" and "against"
        (ids), "position", "left_out" (methods that this network does not allow, and why).

    Raises:
        MissingHeadError: if the model has no language-model head.
        SelectionError: if there is no such method, replacement, position or token.
        TextError: if there is nothing to explain.
        CaptureError: if a method was asked for by name and the network does not allow it.
    """
    asked = question(trace, target, first=first)
    chosen = _checked(methods)
    if n_steps < 1:
        raise SelectionError(f"n_steps must be at least 1, not {n_steps}.")
    replacement = Replacement.of(trace.model, replace)
    report = progress or _silent
    ends = np.stack([np.ones(len(asked.features), bool), np.zeros(len(asked.features), bool)])
    value, replaced_value = values(asked, ends, replacement).tolist()
    found: dict[str, Float[np.ndarray, " feature"]] = {}
    left_out: dict[str, str] = {}
    for method in chosen:
        report(method.replace("_", " "), 0.0)
        try:
            found[method] = _attributed(method, asked, replacement, n_steps, report)
        except CaptureError as error:
            if methods is not None:
                raise
            left_out[method] = str(error)
    table = pd.concat([_table(trace, asked, name, its) for name, its in found.items()])
    table = table.reset_index(drop=True)
    lacking = None
    if "integrated_gradients" in found:
        lacking = float(found["integrated_gradients"].sum() - (value - replaced_value))
    table.attrs = {
        "value": value,
        "replaced_value": replaced_value,
        "replaced_by": replacement.by,
        "completeness_error": lacking,
        "token": asked.token,
        "against": asked.against,
        "position": asked.position,
        "measure": asked.measure,
        "first": first,
        "left_out": left_out,
    }
    return table


def _attributed(
    method: str, asked: Question, replacement: Replacement, n_steps: int, report: Progress
) -> Float[np.ndarray, " feature"]:
    name = method.replace("_", " ")

    def told(share: float) -> None:
        report(name, share)

    if method == "occlusion":
        n_features = len(asked.features)
        keep = np.concatenate([np.ones((1, n_features), bool), ~np.eye(n_features, dtype=bool)])
        whole, *without = values(asked, keep, replacement, progress=told)
        dropped: np.ndarray = whole - np.array(without)
        return dropped
    if method == "integrated_gradients":
        points, widths = np.polynomial.legendre.leggauss(n_steps)
        slopes, _ = gradients(asked, (points + 1) / 2, replacement, progress=told)
        summed: np.ndarray = (widths / 2) @ slopes
        return summed
    if method == "gradient_x_input":
        slopes, _ = gradients(asked, np.ones(1), None)
        at_once: np.ndarray = slopes[0]
        return at_once
    if method == "attention_x_gradient":
        return attention_gradient_attribution(asked)
    return rollout_attribution(asked)


def _checked(methods: Sequence[str] | None) -> list[str]:
    for method in methods or ():
        if method not in METHODS:
            raise SelectionError(
                f"There is no method {method!r}: there are {', '.join(map(repr, METHODS))}."
            )
    if methods is not None and (not methods or isinstance(methods, str)):
        raise SelectionError("Methods are a list of names, with one at least; None for all.")
    return list(METHODS if methods is None else dict.fromkeys(methods))


def _table(
    trace: Trace, asked: Question, method: str, attribution: Float[np.ndarray, " feature"]
) -> pd.DataFrame:
    of: dict[tuple[str, int], float] = {
        (side, position): value
        for (side, position), value in zip(asked.features, attribution.tolist(), strict=True)
    }
    rows = [
        (method, side, position, token, token_id, of.get((side, position), np.nan))
        for side, tokens, ids in (
            ("source", trace.source_tokens, trace.source_ids),
            ("target", trace.target_tokens or [], trace.target_ids or []),
        )
        for position, (token, token_id) in enumerate(zip(tokens, ids, strict=True))
    ]
    names = ["method", "side", "position", "token", "token_id", "attribution"]
    return pd.DataFrame(rows, columns=names)


def _silent(message: str, share: float | None) -> None:
    """Nobody is told."""
