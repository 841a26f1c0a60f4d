"""Lets a network attend along the branches of a tree, if it can.

Networks ask transformers for their mask, and those that go through the tap get it from here. While
a tree is current in this thread, a token sees its ancestors on the tree, and what the network hides
by distance (a sliding window, chunks) is hidden by depth in the tree and not by place in the row.
Whether a network keeps to that is found out by trial (`vizcore.token_scores`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import AttentionMaskInterface
from transformers.masking_utils import causal_mask_function, sdpa_mask

from vizcore.tap import IMPLEMENTATION


@dataclass(frozen=True, eq=False)
class Tree:
    """Which token stands before which, in a batch of rows.

    Args:
        ancestors: True where the key stands before the query on its branch, or is it.
        depths: how many tokens stand before each.
    """

    ancestors: Bool[Tensor, "batch query key"]
    depths: Int[Tensor, "batch token"]


@contextmanager
def attending_along(tree: Tree) -> Iterator[None]:
    """Within this block, and this thread, networks attend along the tree."""
    token = _tree.set(tree)
    try:
        yield
    finally:
        _tree.reset(token)


_tree: ContextVar[Tree | None] = ContextVar("headlight_tree", default=None)


def mask_of_tree(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int = 0,
    kv_offset: int = 0,
    mask_function: Callable[..., Any] = causal_mask_function,
    attention_mask: Tensor | None = None,
    **others: Any,
) -> Tensor | None:
    """The mask that a network asks for; without a tree it is transformers' own.

    The signature is that of `transformers.AttentionMaskInterface`.

    Returns:
        (batch, 1, query, key), True where the query may look; None where that is plain causal.
    """
    tree = _tree.get()
    if tree is None:
        plain: Tensor | None = sdpa_mask(
            batch_size=batch_size,
            q_length=q_length,
            kv_length=kv_length,
            q_offset=q_offset,
            kv_offset=kv_offset,
            mask_function=mask_function,
            attention_mask=attention_mask,
            **others,
        )
        return plain
    n_rows, n_places = tree.depths.shape
    rows = torch.arange(n_rows, device=tree.depths.device)[:, None, None, None]
    one_head = torch.zeros(1, 1, 1, 1, dtype=torch.long, device=tree.depths.device)
    near: Tensor = mask_function(
        rows, one_head, tree.depths[:, None, :, None], tree.depths[:, None, None, :]
    )
    return near & tree.ancestors[:, None]


AttentionMaskInterface.register(IMPLEMENTATION, mask_of_tree)
