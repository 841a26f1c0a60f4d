"""Value-weighted attention: how much of each token a head really moves (Kobayashi et al. 2020).

The idea: a weight says how much a query looks at a key, and nothing of what it finds there. What
is moved is the weight times the transformed value, ‖α·f(x)‖; a token that takes nearly all
attention, such as the first one, often has a value of nearly no length. Needs the values and Wᴼ,
so it runs the text once more (see `vizcore.surroundings`); not for networks in eager mode.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from vizcore.capture import Kind
from vizcore.errors import CaptureError
from vizcore.maps import AttentionMap
from vizcore.surroundings import surroundings
from vizcore.trace import Trace

QUANTITY = "value-weighted norm"


def weighted_norms(
    trace: Trace,
    layer: int,
    head: int | None = None,
    kind: str | None = None,
    *,
    normalise: bool = False,
) -> AttentionMap:
    """The length of what each query gets from each key: ‖α·f(x)‖ (Kobayashi et al. 2020).

    For one head, with its part of Wᴼ (the rows that its output meets):

        ‖α[i, j] · f(x_j)‖,   f(x) = (x·Wⱽ + bⱽ)·Wᴼ

    and for all heads of the layer together ‖Σ_h α_h[i, j] · f_h(x_j)‖: vectors are summed, so heads
    may cancel. The bias of Wᴼ belongs to no key and is left out. With grouped queries several heads
    share Wⱽ, and each has its own part of Wᴼ.

    Args:
        layer, kind: as in `Trace.attention`.
        head: counted from 0; None for all heads together.
        normalise: divide each row by its sum, so that it can be read like attention.

    Returns:
        (query, key), lengths in the space of the residual stream.

    Raises:
        SelectionError: if there is no such layer, head or kind.
        CaptureError: if values or Wᴼ of this network cannot be seen.
    """
    its_kind = trace._kind(kind)
    if head is not None:
        trace._check_head(head, its_kind)
    weights = trace.attention(layer, head, its_kind).cpu()
    moved = moved_by_heads(trace, layer, its_kind)
    if head is None:
        return _map(trace, _summed(weights, moved), layer, None, its_kind, normalise)
    values = weights * moved[head].norm(dim=-1)
    return _map(trace, values, layer, head, its_kind, normalise)


def weighted_norms_of_heads(
    trace: Trace, kind: str | None = None, *, normalise: bool = False
) -> Iterator[AttentionMap]:
    """`weighted_norms` of every head, layer by layer: for all of them in one view."""
    its_kind = trace._kind(kind)
    for layer in trace.layers(its_kind):
        lengths = moved_by_heads(trace, layer, its_kind).norm(dim=-1)  # head key
        for head, its_lengths in enumerate(lengths):
            values = trace.attention(layer, head, its_kind).cpu() * its_lengths
            yield _map(trace, values, layer, head, its_kind, normalise)


def moved_by_heads(trace: Trace, layer: int, kind: Kind) -> Float[Tensor, "head key d_model"]:
    """f(x): what each head would move of each key with a weight of 1."""
    place = trace._place(layer, kind)
    name = trace.model.name
    if trace.model.capture == "eager":
        raise CaptureError(
            f"{name} gives its attention weights, but not the values that they are for, so there "
            'are no value-weighted norms. Load a model whose `capture` is "tap", such as '
            "smollm2-135m."
        )
    around = surroundings(trace, kind)[place]
    if around.projection is None:
        raise CaptureError(
            f"In layer {layer} of {name}, no linear map follows directly on the heads' outputs, so "
            "what a single head moves is not defined, and neither are value-weighted norms. The "
            "weights themselves are there: trace.map."
        )
    n_heads = trace.n_heads(kind)
    value = around.value.to("cpu", torch.float32)
    value = value.repeat_interleave(n_heads // len(value), dim=0)  # head key d_value
    weight = around.projection.weight.to("cpu", torch.float32)  # d_model, head · d_value
    parts = weight.reshape(len(weight), n_heads, -1)
    with torch.no_grad():
        return torch.einsum("hkv,mhv->hkm", value, parts)


def _summed(
    weights: Float[Tensor, "head query key"], moved: Float[Tensor, "head key d_model"]
) -> Float[Tensor, "query key"]:
    """‖Σ_h α_h·f_h(x)‖ from the dot products of the heads' vectors, a key at a time.

    ‖Σ_h a_h·f_h‖² = Σ_h Σ_g a_h·a_g·(f_h·f_g): far less than all summed vectors, which would be
    (query, key, d_model). In float64, for what cancels.
    """
    vectors = moved.double()
    products = torch.einsum("hkm,gkm->khg", vectors, vectors)
    columns = [
        ((weights[:, :, key].double().T @ product) * weights[:, :, key].double().T).sum(dim=1)
        for key, product in enumerate(products)
    ]
    return torch.stack(columns, dim=1).clamp(min=0).sqrt().float()


def _map(
    trace: Trace,
    values: Float[Tensor, "query key"],
    layer: int,
    head: int | None,
    kind: Kind,
    normalise: bool,
) -> AttentionMap:
    if normalise:
        total = values.sum(dim=1, keepdim=True)
        values = values / total.where(total > 0, torch.ones_like(total))
    return AttentionMap(
        values,
        trace.query_tokens(kind),
        trace.key_tokens(kind),
        quantity=f"{QUANTITY}, rows summing to 1" if normalise else QUANTITY,
        layer=layer,
        head=head,
        kind=kind,
        masked=trace._masked(layer, kind),
        query_words=trace.query_words(kind),
        key_words=trace.key_words(kind),
    )
