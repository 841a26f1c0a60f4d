"""Attention weights as transformers returns them -> one full matrix a layer.

Most networks return (batch, head, query, key). Longformer and LED return only the band of keys
around each query; here it is laid back into the full matrix. Only for networks that are captured
in eager mode; with the tap, weights are computed, not returned.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedConfig


def plain_maps(
    returned: Sequence[Any] | None,
) -> tuple[Float[Tensor, "_ _ _"], ...]:
    """The first text's weights, one (head, query, key) a layer; layers without any are left out.

    Args:
        returned: `attentions` of a network's output, or None if it has no such thing.
    """
    layers = [layer for layer in returned or () if layer is not None]
    if any(not isinstance(layer, Tensor) or layer.ndim != 4 for layer in layers):
        return ()  # PEGASUS-X returns local and global parts, Reformer hashed buckets
    return tuple(layer[0] for layer in layers)


def full_maps(
    returned: Sequence[Any] | None, config: PreTrainedConfig
) -> tuple[Float[Tensor, "_ _ _"], ...]:
    """The same, with bands laid back into full matrices where the network returns bands.

    Args:
        returned: `attentions`, or `encoder_attentions` of an encoder-decoder.
        config: tells whether there are bands.
    """
    layers = plain_maps(returned)
    if getattr(config, "attention_window", None) is None:
        return layers
    return tuple(full_from_band(layer) for layer in layers)


def full_from_band(band: Float[Tensor, "head query width"]) -> Float[Tensor, "head query query"]:
    """Column j of a band of width 2w + 1 is the key at (query - w + j); all others are 0.

    Follows Beltagy et al. 2020 (Longformer), sliding-window attention without global tokens.
    """
    n_heads, n_tokens, width = band.shape
    positions = torch.arange(n_tokens, device=band.device)
    column = positions[None, :] - positions[:, None] + width // 2
    inside = (column >= 0) & (column < width)
    column = column.clamp(0, width - 1).expand(n_heads, -1, -1)
    return band.gather(2, column).masked_fill(~inside, 0)
