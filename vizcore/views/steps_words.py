"""What the steps view says: for each step a name, and a sentence or two with the numbers at hand.

The idea: a picture of numbers is understood once somebody has said what to look at, with the very
tokens and numbers that are on the screen. Each sentence is a template that a host can translate.
Tokens stand between U+2068 and U+2069, so that a view can set them apart and text that runs from
right to left stays where it is.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

TITLES = {
    "query": "The query",
    "rotation": "Rotation (RoPE)",
    "keys": "The keys",
    "scores": "Dot products",
    "scaling": "Scaling",
    "softcap": "Soft cap",
    "bias": "Position bias",
    "mask": "Mask",
    "softmax": "Softmax",
    "values": "The values",
    "sum": "Weighted sum",
    "concat": "All heads",
    "output": "Output",
}
LABELS = {
    "query": "q",
    "rotation": "RoPE",
    "keys": "K",
    "scores": "qKᵀ",
    "scaling": "÷√dₖ",
    "softcap": "cap",
    "bias": "+ bias",
    "mask": "mask",
    "softmax": "softmax",
    "values": "× V",
    "sum": "Σ",
    "concat": "Concat",
    "output": "Wᴼ",
}
WORDS = {
    "query": (
        "The token {query} is looking for something. Its query q, {d} numbers, says for what."
    ),
    "rotation": (
        "RoPE turns each pair of numbers by an angle that grows with the position: here, at "
        "position {position}, the first pair to {first_angle}°, the last to {last_angle}°. So how "
        "well a query and a key match depends on how far apart their tokens are."
    ),
    "keys": (
        "Each token has a key: what it offers to those who look. Where a key has the colours of "
        "the query above it, the two match."
    ),
    "shared": "Heads {first_sharing} to {last_sharing} share these keys.",
    "scores": (
        "Query times key, number by number, added up: {fit} matches best with {highest}, {unfit} "
        "least with {lowest}."
    ),
    "scaling": (
        "A sum of {d} products grows like √{d} = {root}. Divided by that, scores stay where the "
        "softmax can still weigh them: {fit} has {highest} ÷ {root} = {scaled}."
    ),
    "scaling_other": (
        "This network multiplies by {scaling} (1/√{d} would be {usual}): {fit} has {highest} × "
        "{scaling} = {scaled}."
    ),
    "scaling_none": (
        "This network does not divide here: its queries are made small enough already. {fit} "
        "keeps its {highest}."
    ),
    "scaling_out": "Left out: {fit} keeps its {highest}, where the network goes on with {scaled}.",
    "softcap": (
        "c·tanh(score/c) lets no score beyond ±{cap}: {fit} has {before_cap}, and then {capped}."
    ),
    "bias": (
        "What the distance to a token is worth is added to its score: from {least_bias} to "
        "{most_bias}."
    ),
    "mask_future": (
        "{hidden} of {n} tokens come after {query}. It must not see them, so their scores become "
        "−∞."
    ),
    "mask": "{hidden} of {n} tokens are hidden from {query}: their scores become −∞.",
    "mask_last": "Nothing is hidden: no token comes after {query}.",
    "mask_none": "Nothing is hidden: {query} may look at all {n} tokens, before it and after it.",
    "mask_cross": "Nothing is hidden: {query} may look at the whole source.",
    "mask_out": "Left out: {hidden} of {n} tokens that {query} must not see stay in.",
    "softmax": "{query} looks most at {best}: {weight}. All weights add up to 1.",
    "sink": "{to_nothing} of the weight goes to no token (an attention sink).",
    "softmax_scaling": (
        "Without scaling, {best} gets {weight}; really it gets {real_weight}. The entropy is "
        "{entropy} bits; really it is {real_entropy}."
    ),
    "softmax_mask": (
        "Without the mask, {hidden_share} of the weight goes to tokens that {query} must not see. "
        "Most goes to {best}: {weight}."
    ),
    "softmax_both": (
        "Without scaling and mask, {hidden_share} of the weight goes to tokens that {query} must "
        "not see. Most goes to {best}: {weight}. The entropy is {entropy} bits; really it is "
        "{real_entropy}."
    ),
    "values": (
        "Each token also has a value, {d_value} numbers: what it passes on to those who look at "
        "it. That of {best} counts {weight}."
    ),
    "sum": (
        "The values times their weights, added up, are what this head has found for {query}. "
        "{best} counts most ({weight})."
    ),
    "sum_out": "The difference to what is really found is {change} of its length.",
    "concat": (
        "The other heads of layer {layer} have done the same, each in its own way. Side by side "
        "their outputs are {n_heads} × {d_value} = {n_concat} numbers."
    ),
    "output": (
        "Wᴼ makes {d_model} numbers of them, to be added to what {query} was before. This head's "
        "part has length {own}, that of all other heads {others}."
    ),
    "output_missing": (
        "Then comes Wᴼ. In this network something stands between it and the heads (a gate, or a "
        "normalisation), so this head's part of the result cannot be told by itself."
    ),
}


def sentences(steps: Any, translate: Callable[[str], str]) -> dict[str, str]:
    """For each step of a head what it does, in words.

    Args:
        steps: as `vizcore.attention_steps` gives them.
        translate: from an English template to that of another language.
    """
    facts = _facts(steps)
    return {
        step: " ".join(translate(WORDS[name]).format(**facts) for name in _told(steps, step))
        for step in steps.names
    }


def token(label: str) -> str:
    """A token within a sentence."""
    return f"\u2068{label}\u2069"


def number(value: float | int) -> str:
    """A number as people read it: about three digits."""
    size = abs(value)
    text = f"{value:.{2 if size < 10 else 1 if size < 100 else 0}f}"
    return "0" if not text.strip("-0.") else text.replace("-", "−")


def _told(steps: Any, step: str) -> list[str]:
    """The templates that tell a step, one after the other."""
    changed = "_".join(steps.left_out) if len(steps.left_out) < 2 else "both"
    told = [step]
    if step == "keys" and steps.n_key_heads < len(steps.other_heads):
        told = ["keys", "shared"]
    elif step == "scaling" and "scaling" in steps.left_out:
        told = ["scaling_out"]
    elif step == "scaling" and not steps.divides_by_root:
        told = ["scaling_none" if steps.scaling == 1 else "scaling_other"]
    elif step == "mask":
        told = [_told_of_mask(steps)]
    elif step == "softmax":
        told = [f"softmax_{changed}" if changed else "softmax"]
        told += ["sink"] if steps.sink is not None else []
    elif step == "sum" and changed:
        told = ["sum", "sum_out"]
    elif step == "output" and steps.contribution is None:
        told = ["output_missing"]
    return told


def _told_of_mask(steps: Any) -> str:
    hidden = np.flatnonzero(steps.hidden)
    if len(hidden) and "mask" in steps.left_out:
        return "mask_out"
    if len(hidden):
        return "mask_future" if hidden[0] > steps.token else "mask"
    if steps.kind == "cross":
        return "mask_cross"
    return "mask_last" if steps.kind == "decoder" else "mask_none"


def _facts(steps: Any) -> dict[str, object]:
    """Everything that the templates may mention."""
    real = steps.original
    products = np.asarray(steps.products, np.float64)
    weights = np.asarray(steps.weights, np.float64)
    seen = np.where(np.asarray(steps.hidden), np.nan, products)
    seen = products if np.isnan(seen).all() else seen
    fit, unfit, best = int(np.nanargmax(seen)), int(np.nanargmin(seen)), int(weights.argmax())
    n_heads, d_value = steps.other_heads.shape
    group = n_heads // steps.n_key_heads
    first_sharing = steps.head - steps.head % group
    angles = [0.0] if steps.rotation is None else _degrees(steps)
    bias = [0.0] if steps.bias is None else np.asarray(steps.bias)[~np.asarray(steps.hidden)]
    return {
        "query": token(steps.query_tokens[steps.token]),
        "n": len(steps.key_tokens),
        "d": len(steps.query),
        "d_value": d_value,
        "position": steps.token,
        "first_angle": number(angles[0]),
        "last_angle": number(angles[-1]),
        "first_sharing": first_sharing,
        "last_sharing": first_sharing + group - 1,
        "fit": token(steps.key_tokens[fit]),
        "highest": number(products[fit]),
        "unfit": token(steps.key_tokens[unfit]),
        "lowest": number(products[unfit]),
        "root": f"{math.sqrt(len(steps.query)):.3g}",
        "scaling": f"{steps.scaling:.4g}",
        "usual": f"{1 / math.sqrt(len(steps.query)):.4g}",
        "scaled": number(float(real.scaled[fit])),
        "cap": number(steps.softcap or 0.0),
        "before_cap": number(float(steps.scaled[fit])),
        "capped": number(float(steps.capped[fit])),
        "least_bias": number(float(np.min(bias))),
        "most_bias": number(float(np.max(bias))),
        "hidden": int(np.count_nonzero(steps.hidden)),
        "best": token(steps.key_tokens[best]),
        "weight": number(weights[best]),
        "real_weight": number(float(real.weights[best])),
        "hidden_share": f"{steps.hidden_weight:.0%}",
        "entropy": number(steps.entropy),
        "real_entropy": number(real.entropy),
        "to_nothing": f"{max(1 - float(weights.sum()), 0):.0%}",
        "change": f"{_length(steps.output - real.output) / max(_length(real.output), 1e-30):.0%}",
        "layer": steps.layer,
        "n_heads": n_heads,
        "n_concat": n_heads * d_value,
        "d_model": 0 if steps.contribution is None else len(steps.contribution),
        "own": number(0 if steps.contribution is None else _length(steps.contribution)),
        "others": number(0 if steps.others is None else _length(steps.others)),
    }


def _degrees(steps: Any) -> Float[np.ndarray, " pair"]:
    """How far each pair of the query is turned, whole turns left out."""
    degrees: Float[np.ndarray, " pair"] = np.degrees(
        np.angle(np.asarray(steps.rotation.factors[steps.token], np.complex128))
    )
    return degrees % 360


def _length(vector: Any) -> float:
    return float(np.linalg.norm(np.asarray(vector)))
