"""The first token as an attention sink: left in, greyed out, or renormalised away.

The idea: many heads of decoders park their weight on the first token (Xiao et al. 2023, "Efficient
Streaming Language Models with Attention Sinks"), which hides what else they do. Taking it out is a
change of the picture, so it is always said, and a query that leaves too little for a picture is
marked instead of blown up. Not for maps whose rows are no weights, such as differences.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

Sink = Literal["keep", "grey", "renormalise"]

MIN_LEFT = 0.01
"""A query that leaves less than this for all tokens but the first is marked, not renormalised."""


@dataclass(frozen=True, eq=False)
class Taken:
    """A map from which the first key was taken.

    Args:
        values: float32 (query, key); the first key's are 0.
        left: (query,), the weight on all other keys together, before.
        too_little: (query,), True where that is below `MIN_LEFT` and the row was renormalised.
    """

    values: Float[np.ndarray, "query key"]
    left: Float[np.ndarray, " query"]
    too_little: Bool[np.ndarray, " query"]


def are_weights(values: Float[np.ndarray, "query key"]) -> bool:
    """Whether every row could be weights that sum to 1 (or less, with a sink that is no token)."""
    finite = np.where(np.isfinite(values), values, 0)
    return bool(finite.min(initial=0) >= 0 and finite.sum(axis=1).max(initial=0) <= 1 + 1e-3)


def take_first(
    values: Float[np.ndarray, "query key"], *, renormalise: bool, min_left: float = MIN_LEFT
) -> Taken:
    """The map without the weight on its first key.

    If `renormalise`, the rest of each row is divided by what is left of it, a_ij / Σ_{k>0} a_ik,
    so that it sums to 1; rows that leave less than `min_left` stay as they are and are marked.
    """
    rest = values.copy()
    rest[:, 0] = 0
    left = np.where(np.isfinite(rest), rest, 0).sum(axis=1)
    too_little = np.zeros(len(values), bool)
    if renormalise:
        too_little = left < min_left
        rest = rest / np.where(too_little, 1, left)[:, None].astype(rest.dtype)
    return Taken(rest.astype(np.float32), left.astype(np.float32), too_little)
