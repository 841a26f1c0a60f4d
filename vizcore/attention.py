"""The formula: how much every query looks at every key.

One pure function of tensors, with everything that the architectures of today put into the
softmax. The networks themselves run faster kernels; every map that is looked at comes from here,
and a test holds those kernels against it. It builds the whole (query, key) matrix of all the
heads it is given, so for long texts give it one head at a time.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vizcore.errors import ShapeError


def attention_weights(
    query: Float[Tensor, "... query d_head"],
    key: Float[Tensor, "... key _"],
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    scaling: float | int | None = None,
    softcap: float | int | None = None,
    sinks: Float[Tensor, " head"] | None = None,
    position_bias: Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "... query key"]:
    """softmax(cap(scaling · QKᵀ) + position bias + mask): each row is where one query looks.

    Follows Vaswani et al. 2017, equation 1, and what has been added since: soft caps (Gemma 2),
    attention sinks (gpt-oss), additive position biases (T5, ALiBi), grouped queries (Ainslie et
    al. 2023). Computed in float32, or in the inputs' own precision where that is higher.

    Args:
        query: (..., head, query, d_head), or (query, d_head) for a single head.
        key: (..., kv_head, key, d_head); whether the last axis fits is checked here, to say more
            than an annotation could. Where there are fewer key heads than query heads, each
            serves an equal group of query heads, in order.
        mask: broadcasts to (..., head, query, key). Boolean: True where a query may look.
            Floating point: added to the scores, as `transformers` does in eager mode.
        causal: query i may look at keys 0 to i only, beside whatever the mask says.
        scaling: factor on the dot products; 1/√d_head if not given.
        softcap: c, if scores are bent by c · tanh(score / c) before anything is added.
        sinks: one score a head that takes part in the softmax and belongs to no key. Rows then
            sum to less than 1: the rest is what the head gives to nothing.
        position_bias: added to the scores, broadcasts to (..., head, query, key).

    Returns:
        (..., head, query, key). A row sums to 1 (see `sinks`); a masked key gets exactly 0; a
        query that may look at nothing gets a row of zeros.

    Raises:
        ShapeError: if the tensors do not fit together; the message prints both shapes.
    """
    key = _one_key_head_per_query_head(query, key)
    if scaling is None:
        scaling = 1 / math.sqrt(query.shape[-1])
    precision = torch.promote_types(query.dtype, torch.float32)

    scores = query.to(precision) @ key.to(precision).transpose(-2, -1) * scaling
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if position_bias is not None:
        scores = scores + _fitting("position_bias", position_bias, scores)
    if mask is not None:
        mask = _fitting("mask", mask, scores)
    n_queries, n_keys = scores.shape[-2:]
    visible = visible_keys(
        mask, causal=causal, n_queries=n_queries, n_keys=n_keys, device=scores.device
    )
    if mask is not None and mask.dtype != torch.bool:
        scores = scores + mask

    if sinks is not None:
        _check_sinks(sinks, scores)
        scores = scores.masked_fill(~visible, -torch.inf)
        sink_column = sinks.to(precision)[:, None, None].expand(*scores.shape[:-1], 1)
        return torch.cat([scores, sink_column], dim=-1).softmax(dim=-1)[..., :-1]
    blind = ~visible.any(dim=-1, keepdim=True)  # the softmax of nothing is not a number
    return scores.masked_fill(~(visible | blind), -torch.inf).softmax(dim=-1) * ~blind


def attention(
    query: Float[Tensor, "... query d_head"],
    key: Float[Tensor, "... key _"],
    value: Float[Tensor, "... _ d_value"],
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    scaling: float | int | None = None,
    softcap: float | int | None = None,
    sinks: Float[Tensor, " head"] | None = None,
    position_bias: Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "... query d_value"]:
    """Every query's weighted mean of the values: `attention_weights(…) @ value`.

    Args:
        query, key, mask, causal, scaling, softcap, sinks, position_bias: see `attention_weights`.
        value: (..., kv_head, key, d_value), grouped like the keys.

    Returns:
        (..., head, query, d_value) in the values' own precision.

    Raises:
        ShapeError: if the tensors do not fit together.
    """
    weights = attention_weights(
        query,
        key,
        mask=mask,
        causal=causal,
        scaling=scaling,
        softcap=softcap,
        sinks=sinks,
        position_bias=position_bias,
    )
    value = _one_key_head_per_query_head(query, value, name="value")
    if value.shape[-2] != weights.shape[-1]:
        raise ShapeError(
            f"key has shape {tuple(key.shape)} and value has shape {tuple(value.shape)}: "
            "both need one row for each key."
        )
    return weights.to(value.dtype) @ value


def visible_keys(
    mask: Tensor | None, *, causal: bool, n_queries: int, n_keys: int, device: torch.device
) -> Bool[Tensor, "..."]:
    """True where a query may look, (..., query, key) with the leading axes of the mask.

    A floating-point mask hides a key by the lowest number of its type; added to a score that
    leaves a tiny rest of it in a row where everything is hidden, so it counts as hidden here.

    Args:
        mask, causal: see `attention_weights`. The mask must broadcast to (..., query, key).
    """
    visible = torch.ones(n_queries, n_keys, dtype=torch.bool, device=device)
    if causal:
        visible = visible.tril()
    if mask is None:
        return visible
    return visible & (mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2)


def _one_key_head_per_query_head(query: Tensor, key: Tensor, *, name: str = "key") -> Tensor:
    """Repeat grouped key (or value) heads; raise if the two don't fit together."""
    problem = None
    if query.ndim < 2 or key.ndim < 2:
        problem = "both need at least two axes, (query, d_head) and (key, d_head)"
    elif name == "key" and query.shape[-1] != key.shape[-1]:
        problem = (
            f"the last axis, d_head, must be the same, not {query.shape[-1]} and {key.shape[-1]}"
        )
    elif query.ndim > 2 and key.ndim > 2 and query.shape[-3] % key.shape[-3]:
        problem = f"{query.shape[-3]} query heads cannot share {key.shape[-3]} {name} heads equally"
    elif not _broadcast(query.shape[:-3], key.shape[:-3]):
        problem = "the axes before the heads, such as a batch, must fit together"
    if problem is not None:
        raise ShapeError(
            f"query has shape {tuple(query.shape)} and {name} has shape {tuple(key.shape)}: "
            f"{problem}."
        )
    if query.ndim > 2 and key.ndim > 2 and query.shape[-3] != key.shape[-3]:
        return key.repeat_interleave(query.shape[-3] // key.shape[-3], dim=-3)
    return key


def _broadcast(one: Sequence[int], other: Sequence[int]) -> bool:
    pairs = zip(reversed(one), reversed(other), strict=False)
    return all(mine == theirs or 1 in (mine, theirs) for mine, theirs in pairs)


def _check_sinks(sinks: Tensor, scores: Float[Tensor, "... query key"]) -> None:
    n_heads = scores.shape[-3] if scores.ndim > 2 else 1
    if sinks.shape != (n_heads,):
        raise ShapeError(
            f"sinks has shape {tuple(sinks.shape)} and the scores have shape "
            f"{tuple(scores.shape)}: it needs one number for each head."
        )


def _fitting(name: str, tensor: Tensor, scores: Float[Tensor, "... query key"]) -> Tensor:
    """The tensor itself, once it is known to broadcast to the scores."""
    fits = tensor.ndim <= scores.ndim and all(
        mine in (1, theirs)
        for mine, theirs in zip(reversed(tensor.shape), reversed(scores.shape), strict=False)
    )
    if not fits:
        raise ShapeError(
            f"{name} has shape {tuple(tensor.shape)} and the scores have shape "
            f"{tuple(scores.shape)}: it must broadcast to (…, head, query, key)."
        )
    return tensor
