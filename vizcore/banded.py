"""Attention weights as transformers returns them -> one full matrix a layer.

Most networks return (batch, head, query, key). Longformer and LED return only the band of keys
around each query; here it is laid back into the full matrix. Only for networks that are captured
in eager mode; with the tap, weights are computed, not returned.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedConfig


def full_maps(
    returned: Sequence[Tensor | None] | None, config: PreTrainedConfig
) -> tuple[Float[Tensor, "head query key"], ...]:
    """The first text's weights, one (head, query, key) a layer; layers without any are left out.

    Args:
        returned: `attentions` of a network's output, or None if it has no such thing.
        config: tells the width of the band, where there is one.
    """
    layers = [layer for layer in returned or () if layer is not None]
    if any(layer.ndim != 4 for layer in layers):
        return ()
    windows = getattr(config, "attention_window", None)
    if windows is None:
        return tuple(layer[0] for layer in layers)
    widths = [windows] * len(layers) if isinstance(windows, int) else list(windows)
    return tuple(
        full_from_band(layer[0]) if layer.shape[-1] == width + 1 else layer[0]
        for layer, width in zip(layers, widths, strict=False)
    )


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
