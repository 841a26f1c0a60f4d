"""Maps for tests of views: made up, of any size, with a mask or none."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vizcore.maps import AttentionMap


def a_map(
    values: ArrayLike, query_tokens: Iterable[str], key_tokens: Iterable[str], **more: Any
) -> AttentionMap:
    """A map of just these numbers; every letter of a string is a token."""
    return AttentionMap(np.asarray(values), tuple(query_tokens), tuple(key_tokens), **more)


def attention_maps(
    n_layers: int,
    n_heads: int,
    n_tokens: int,
    *,
    n_queries: int | None = None,
    causal: bool = True,
    kind: str = "decoder",
    seed: int = 0,
) -> Iterator[AttentionMap]:
    """Random attention, layer by layer, head by head; the queries are the last of the tokens."""
    generator = np.random.default_rng(seed)
    n_queries = n_queries or n_tokens
    tokens = tuple(f"t{position}" for position in range(n_tokens))
    masked = np.arange(n_tokens) > np.arange(n_tokens - n_queries, n_tokens)[:, None]
    for layer in range(n_layers):
        for head in range(n_heads):
            weights = np.exp(2 * generator.normal(size=(n_queries, n_tokens)))
            if causal:
                weights[masked] = 0
            yield AttentionMap(
                weights / weights.sum(axis=1, keepdims=True),
                tokens[n_tokens - n_queries :],
                tokens,
                layer=layer,
                head=head,
                kind=kind,
                masked=masked if causal else None,
            )
