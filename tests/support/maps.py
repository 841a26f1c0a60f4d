"""Random attention maps, and strategies that make them."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from vizcore.maps import AttentionMap


def random_map(
    n_queries: int,
    n_keys: int | None = None,
    *,
    seed: int = 0,
    causal: bool = False,
    layer: int | None = None,
    head: int | None = None,
    kind: str | None = None,
) -> AttentionMap:
    """Weights as a softmax gives them, over tokens q0, q1 … and k0, k1 … (the same if square)."""
    square = n_keys is None
    n_keys = n_queries if n_keys is None else n_keys
    scores = np.random.default_rng(seed).normal(size=(n_queries, n_keys)) * 2
    masked = np.triu(np.ones((n_queries, n_keys), dtype=bool), 1) if causal else None
    weights = np.exp(scores) if masked is None else np.where(masked, 0, np.exp(scores))
    return AttentionMap(
        weights / weights.sum(axis=1, keepdims=True),
        labels("k" if square else "q", n_queries),
        labels("k", n_keys),
        layer=layer,
        head=head,
        kind=kind,
        masked=masked,
    )


def layers_of_heads(
    n_layers: int,
    n_heads: int,
    n_queries: int,
    n_keys: int | None = None,
    *,
    kind: str | None = None,
    causal: bool = False,
    seed: int = 0,
) -> list[AttentionMap]:
    """A random map for each head of each layer."""
    return [
        random_map(
            n_queries,
            n_keys,
            seed=seed + 1000 * layer + head,
            causal=causal,
            layer=layer,
            head=head,
            kind=kind,
        )
        for layer in range(n_layers)
        for head in range(n_heads)
    ]


def labels(letter: str, n: int) -> Sequence[str]:
    """k0, k1, …"""
    return [f"{letter}{place}" for place in range(n)]


SEEDS = st.integers(0, 2**16)
