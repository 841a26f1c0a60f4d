"""One attention head for one query token, step by step, with the numbers of the text.

The formula softmax(QKᵀ/√d_k + M)V and what follows it, Concat and Wᴼ, taken apart: each of its
steps is a field of `AttentionSteps`, in the order in which it is computed. A step can be left out,
to show what it is for. For whole maps use `Trace.attention`, which computes far less.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vizcore.attention import attention, attention_weights
from vizcore.capture import Kind
from vizcore.errors import SelectionError
from vizcore.query_key import hidden_and_bias
from vizcore.surroundings import Projection, Rotation, surroundings
from vizcore.trace import Trace

STEPS = (
    "query",
    "rotation",
    "keys",
    "scores",
    "scaling",
    "softcap",
    "bias",
    "mask",
    "softmax",
    "values",
    "sum",
    "concat",
    "output",
)
"""The steps in order. A head without rotation, soft cap or position bias has no such step."""


@dataclass(frozen=True, eq=False)
class AttentionSteps:
    """What one head computes for one query token. Made by `attention_steps`; all in float32.

    The arguments are what goes in; each step that follows is a property.

    Args:
        layer, head, token, kind: which head, and which token looks, counted from 0.
        query_tokens, key_tokens: the labels of all queries and of all keys.
        query: the token's query q, and `key` the keys K, as the softmax gets them.
        value: the values V.
        rotation: RoPE; None if there is none (or none was found, as in latent attention).
        scaling: what this network multiplies the dot products with (1/√d_head in most).
        softcap: c, if scores are bent by c·tanh(score/c); None if not.
        bias: what is added to each score for its position (T5, ALiBi); None if nothing is.
        hidden: True for keys at which the token is not allowed to look.
        sink: a score that takes part in the softmax and belongs to no key; None if there is none.
        n_key_heads: how many key heads the layer has; each serves an equal group of its heads.
        other_heads: the outputs of all heads of the layer for this token; the row of this head is
            as the network has it, whatever is left out here.
        projection: Wᴼ with its bias; None if none was found.
        left_out: the steps that are left out in this head: of "scaling" and "mask".
    """

    layer: int
    head: int
    token: int
    kind: Kind
    query_tokens: tuple[str, ...]
    key_tokens: tuple[str, ...]
    query: Float[Tensor, " d_head"]
    key: Float[Tensor, "key d_head"]
    value: Float[Tensor, "key d_value"]
    rotation: Rotation | None
    scaling: float
    softcap: float | None
    bias: Float[Tensor, " key"] | None
    hidden: Bool[Tensor, " key"]
    sink: float | None
    n_key_heads: int
    other_heads: Float[Tensor, "head d_value"]
    projection: Projection | None
    left_out: tuple[str, ...] = ()

    def __repr__(self) -> str:
        without = "".join(f", without {step}" for step in self.left_out)
        return (
            f"AttentionSteps({self.kind}, layer {self.layer}, head {self.head}, "
            f"token {self.token}{without})"
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The steps that this head has, of `STEPS`."""
        missing = {
            "rotation": self.rotation is None,
            "softcap": self.softcap is None,
            "bias": self.bias is None,
        }
        return tuple(step for step in STEPS if not missing.get(step, False))

    @property
    def n_hidden(self) -> int:
        """How many keys the mask hides from the token."""
        return int(self.hidden.sum())

    @property
    def divides_by_root(self) -> bool:
        """Whether the scaling is 1/√d_head, as in the paper."""
        return math.isclose(self.scaling, 1 / math.sqrt(len(self.query)), rel_tol=1e-6)

    @cached_property
    def query_before(self) -> Float[Tensor, " d_head"] | None:
        """The query before the rotation; None if there is none."""
        if self.rotation is None:
            return None
        return self.rotation.at([self.token]).undo(self.query[None])[0]

    @cached_property
    def key_before(self) -> Float[Tensor, "key d_head"] | None:
        """The keys before the rotation; None if there is none."""
        return None if self.rotation is None else self.rotation.undo(self.key)

    @cached_property
    def products(self) -> Float[Tensor, " key"]:
        """q·Kᵀ: the dot product of the query with each key."""
        return self.key @ self.query

    @cached_property
    def scaled(self) -> Float[Tensor, " key"]:
        """The products times the scaling, unless that is left out."""
        return self.products if "scaling" in self.left_out else self.products * self.scaling

    @cached_property
    def capped(self) -> Float[Tensor, " key"]:
        """c·tanh(score/c); without a soft cap, the scores as they are."""
        if self.softcap is None:
            return self.scaled
        return self.softcap * torch.tanh(self.scaled / self.softcap)

    @cached_property
    def biased(self) -> Float[Tensor, " key"]:
        """The scores and the bias of their positions."""
        return self.capped if self.bias is None else self.capped + self.bias

    @cached_property
    def scores(self) -> Float[Tensor, " key"]:
        """What the softmax gets: -inf where the mask hides a key, unless that is left out."""
        if "mask" in self.left_out:
            return self.biased
        return self.biased.masked_fill(self.hidden, -torch.inf)

    @cached_property
    def weights(self) -> Float[Tensor, " key"]:
        """softmax(scores): how much the token looks at each key."""
        return attention_weights(
            self.query[None, None],
            self.key[None],
            mask=None if "mask" in self.left_out else ~self.hidden,
            scaling=1.0 if "scaling" in self.left_out else self.scaling,
            softcap=self.softcap,
            position_bias=self.bias,
            sinks=None if self.sink is None else torch.tensor([self.sink]),
        )[0, 0]

    @cached_property
    def weighted(self) -> Float[Tensor, "key d_value"]:
        """Each value times its weight."""
        return self.weights[:, None] * self.value

    @cached_property
    def output(self) -> Float[Tensor, " d_value"]:
        """The head's output: weights·V, the sum of the weighted values."""
        return self.weights @ self.value

    @cached_property
    def concatenated(self) -> Float[Tensor, "head d_value"]:
        """Concat(head₀ … head_h): the outputs of all heads, a row each; this one's as above."""
        heads = self.other_heads.clone()
        heads[self.head] = self.output
        return heads

    @cached_property
    def contribution(self) -> Float[Tensor, " d_model"] | None:
        """This head's part of the layer's output: its slice of Wᴼ times its output."""
        return None if self.projection is None else self._through_projection([self.head])

    @cached_property
    def others(self) -> Float[Tensor, " d_model"] | None:
        """The part of all the other heads together."""
        if self.projection is None:
            return None
        return self._through_projection([h for h in range(len(self.other_heads)) if h != self.head])

    @cached_property
    def attention_output(self) -> Float[Tensor, " d_model"] | None:
        """Concat(head₀ … head_h)·Wᴼ + bias: what the layer's attention returns for the token."""
        if self.projection is None:
            return None
        whole = self._through_projection(list(range(len(self.other_heads))))
        bias = self.projection.bias
        return whole if bias is None else whole + bias.to("cpu", torch.float32)

    @property
    def original(self) -> "AttentionSteps":
        """The head as it really is, with nothing left out."""
        return replace(self, left_out=()) if self.left_out else self

    @property
    def entropy(self) -> float:
        """Of the weights, in bits: 0 if all goes to one key, log2(n) if n keys get the same."""
        shares = self.weights[self.weights > 0].double()
        return float(-(shares * shares.log2()).sum())

    @property
    def hidden_weight(self) -> float:
        """How much weight goes to keys that the mask hides: 0, unless the mask is left out."""
        return float(self.weights[self.hidden].sum())

    def _through_projection(self, heads: list[int]) -> Float[Tensor, " d_model"]:
        assert self.projection is not None  # noqa: S101 - else it is not called
        weight = self.projection.weight.to("cpu", torch.float32)
        slices = weight.reshape(-1, *self.concatenated.shape)[:, heads]  # d_model head d_value
        result: Tensor = slices.flatten(1) @ self.concatenated[heads].flatten()
        return result


def attention_steps(
    trace: Trace,
    layer: int,
    head: int,
    token: int = -1,
    *,
    kind: str | None = None,
    scaling: bool = True,
    mask: bool = True,
) -> AttentionSteps:
    """One head for one query token, step by step.

    The first call for a trace runs its text once more, to see the values, the rotation and Wᴼ.

    Args:
        layer, head: counted from 0.
        token: the query's position, counted from 0; negative from the end.
        kind: "encoder", "decoder" or "cross"; as in `Trace.attention`.
        scaling: False leaves out the scaling, in this head alone.
        mask: False leaves out the mask, in this head alone.

    Raises:
        SelectionError: if there is no such layer, head, token or kind.
        CaptureError: if the network is captured in eager mode.
    """
    its_kind = trace._kind(kind)
    place = trace._place(layer, its_kind)
    trace._check_head(head, its_kind)
    n_queries = len(trace.query_tokens(its_kind))
    if not -n_queries <= token < n_queries:
        raise SelectionError(
            f"There is no token {token}: {n_queries} tokens look here, counted from 0 to "
            f"{n_queries - 1}, or from -1 backwards."
        )
    token %= n_queries
    around = surroundings(trace, its_kind)[place]
    call = trace.run.calls[its_kind][place]
    with torch.no_grad():
        query, key, value = _own(call.query[0, :, token]), _own(call.key[0]), _own(around.value)
        hidden, bias = hidden_and_bias(call, token)
        scaling_factor = 1 / math.sqrt(query.shape[-1]) if call.scaling is None else call.scaling
        heads = attention(  # head 1 d_value
            query[:, None],
            key,
            value,
            mask=~hidden[:, None],
            scaling=scaling_factor,
            softcap=call.softcap,
            sinks=None if call.sinks is None else _own(call.sinks),
            position_bias=None if bias is None else bias[:, None],
        )
        return AttentionSteps(
            layer=layer,
            head=head,
            token=token,
            kind=its_kind,
            query_tokens=tuple(trace.query_tokens(its_kind)),
            key_tokens=tuple(trace.key_tokens(its_kind)),
            query=query[head],
            key=key[head // (len(query) // len(key))],
            value=value[head // (len(query) // len(value))],
            rotation=around.rotation,
            scaling=float(scaling_factor),
            softcap=None if call.softcap is None else float(call.softcap),
            bias=None if bias is None else bias[head],
            hidden=hidden[head],
            sink=None if call.sinks is None else float(call.sinks[head]),
            n_key_heads=len(key),
            other_heads=heads[:, 0],
            projection=around.projection,
            left_out=tuple(
                step for step, kept in (("scaling", scaling), ("mask", mask)) if not kept
            ),
        )


def _own(tensor: Tensor) -> Tensor:
    """A copy in float32 that one may compute with, wherever the network keeps its own."""
    return tensor.to("cpu", torch.float32, copy=True)
