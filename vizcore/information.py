"""How much is in a row of weights: entropy, and what the query decides, in nats.

The idea: each row of a map, divided by its sum, is a distribution over keys. Its entropy says over
how many keys it spreads; what the rows have not in common says how much the query decides. For
which keys have the weight see `vizcore.targets`.
"""

import numpy as np
from jaxtyping import Bool, Float


def shares(weights: Float[np.ndarray, "head query key"]) -> Float[np.ndarray, "head query key"]:
    """Rows that sum to 1, in float64; a row of zeros stays one."""
    sums = weights.sum(axis=2, keepdims=True, dtype=np.float64)
    rows: np.ndarray = weights / np.where(sums > 0, sums, 1)
    return rows


def entropies(distributions: Float[np.ndarray, "*rows key"]) -> Float[np.ndarray, "*rows"]:
    """H = -Σ p ln p of each row, in nats (Shannon 1948)."""
    logs = np.log(distributions, out=np.zeros_like(distributions), where=distributions > 0)
    sums: np.ndarray = np.maximum(-(distributions * logs).sum(axis=-1), 0)
    return sums


def mutual_information(
    distributions: Float[np.ndarray, "head query key"], usable: Bool[np.ndarray, "head query"]
) -> Float[np.ndarray, " head"]:
    """How much the query decides where each head looks, in nats.

    I(query; key) with all usable queries equally likely: the entropy of their mean row minus the
    mean of their entropies, which is the Jensen-Shannon divergence of the rows (Lin 1991). It is 0
    if all rows are alike, and at most ln min(queries, keys), where each looks at a place of its
    own. It asks for rows that are free to look at the same keys.
    """
    counted = usable[:, :, None] * distributions
    n_usable = np.maximum(usable.sum(axis=1), 1)
    mean = counted.sum(axis=1) / n_usable[:, None]
    information = entropies(mean) - entropies(counted).sum(axis=1) / n_usable
    not_below_zero: np.ndarray = np.maximum(information, 0)
    return not_below_zero


def most_information(
    visible: Bool[np.ndarray, "query key"], usable: Bool[np.ndarray, "head query"]
) -> Float[np.ndarray, " head"]:
    """The most that `mutual_information` can be: ln min(queries, keys), in nats; never below ln 2.

    All usable queries see the same keys.
    """
    n_keys = visible.any(axis=0).sum()
    most: np.ndarray = np.log(np.maximum(np.minimum(usable.sum(axis=1), n_keys), 2))
    return most
