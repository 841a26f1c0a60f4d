"""One head's queries and keys, and how its scores and weights come of them, number by number.

A weight of attention is a softmax of scores, and a score is a sum of products, query times key,
dimension by dimension, with what an architecture does to it (scaling, soft cap, position bias,
mask, sink). This takes them from what the tap recorded, as they enter the product, after RoPE and
whatever else, so it holds for every architecture that is tapped. For the weights alone take
`Trace.attention`; for values and what comes after the softmax `attention_steps`.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vizcore.attention import visible_keys
from vizcore.attention_calls import AttentionCall
from vizcore.capture import Kind
from vizcore.errors import CaptureError, SelectionError
from vizcore.selection import check_unedited
from vizcore.trace import Trace


@dataclass(frozen=True, eq=False)
class QueryScores:
    """One query against every key of its head. Made by `QueriesAndKeys.scores`.

    Each property follows from those above it, and the last are the head's weights:
    softmax(cap(scaling · q·k) + bias), over the keys that are not hidden and the sink.

    Args:
        token: the position of the query; `query_token` its label, `key_tokens` those of the keys.
        query: the query, and `key` the keys, as they enter the product.
        scaling: what the dot products are multiplied with.
        softcap: c, if scores are bent by c · tanh(score / c); None if not.
        bias: what is added to each score for its position (T5, ALiBi); None if nothing is.
        hidden: True for keys at which the query is not allowed to look.
        sink: a score in the softmax that belongs to no key; None if there is none.
    """

    token: int
    query_token: str
    key_tokens: tuple[str, ...]
    query: Float[np.ndarray, " d_head"]
    key: Float[np.ndarray, "key d_head"]
    scaling: float
    softcap: float | None
    bias: Float[np.ndarray, " key"] | None
    hidden: Bool[np.ndarray, " key"]
    sink: float | None

    @cached_property
    def products(self) -> Float[np.ndarray, "key d_head"]:
        """Query times key, dimension by dimension: what each adds to the dot product."""
        products: Float[np.ndarray, "key d_head"] = self.query * self.key
        return products

    @cached_property
    def dots(self) -> Float[np.ndarray, " key"]:
        """q·k: the sums of the products."""
        total: Float[np.ndarray, " key"] = self.products.sum(axis=1)
        return total

    @cached_property
    def scaled(self) -> Float[np.ndarray, " key"]:
        """The dot products times the scaling."""
        return self.dots * np.float32(self.scaling)

    @cached_property
    def capped(self) -> Float[np.ndarray, " key"]:
        """c · tanh(scaled / c); without a soft cap, as they were."""
        if self.softcap is None:
            return self.scaled
        cap = np.float32(self.softcap)
        return cap * np.tanh(self.scaled / cap)

    @cached_property
    def scores(self) -> Float[np.ndarray, " key"]:
        """With the bias: the logits of the softmax; -inf where the key is hidden."""
        biased = self.capped if self.bias is None else self.capped + self.bias
        return np.where(self.hidden, np.float32(-np.inf), biased)

    @cached_property
    def weights(self) -> Float[np.ndarray, " key"]:
        """softmax of the scores, with the sink if there is one: how much the query looks at each.

        A query that may look at nothing gets zeros.
        """
        if self.hidden.all() and self.sink is None:
            return np.zeros_like(self.scores)
        largest = max(self.scores.max(), -np.inf if self.sink is None else self.sink)
        shares = np.exp(self.scores - largest)
        others = 0.0 if self.sink is None else math.exp(self.sink - largest)
        weights: Float[np.ndarray, " key"] = shares / np.float32(shares.sum() + others)
        return weights

    def to_frame(self) -> pd.DataFrame:
        """One row a key: key, key_token, dot, scaled, capped, bias, hidden, score, weight."""
        return pd.DataFrame(
            {
                "key": np.arange(len(self.key_tokens)),
                "key_token": np.array(self.key_tokens, dtype=object),
                "dot": self.dots,
                "scaled": self.scaled,
                "capped": self.capped,
                "bias": np.zeros_like(self.dots) if self.bias is None else self.bias,
                "hidden": self.hidden,
                "score": self.scores,
                "weight": self.weights,
            }
        )

    def dimensions(self, key: int) -> pd.DataFrame:
        """One row a dimension of one pair: dimension, query, key, product; the products add up.

        Raises:
            SelectionError: if there is no such key.
        """
        _check("key", key, len(self.key_tokens))
        return pd.DataFrame(
            {
                "dimension": np.arange(len(self.query)),
                "query": self.query,
                "key": self.key[key],
                "product": self.products[key],
            }
        )


@dataclass(frozen=True, eq=False)
class QueriesAndKeys:
    """All queries and keys of one head, as they enter the product. Made by `queries_and_keys`.

    Args:
        layer, head, kind: which head.
        query_tokens, key_tokens: the labels of all queries and of all keys.
        query: (query, d_head), and `key` (key, d_head); float32.
        n_heads: how many heads the layer has, and `n_key_heads` how many sets of keys, each of
            which serves an equal group of its heads (Ainslie et al. 2023).
        scaling, softcap, sink: see `QueryScores`.
        call: what the layer gave the attention function.
    """

    layer: int
    head: int
    kind: Kind
    query_tokens: tuple[str, ...]
    key_tokens: tuple[str, ...]
    query: Float[np.ndarray, "query d_head"]
    key: Float[np.ndarray, "key d_head"]
    n_heads: int
    n_key_heads: int
    scaling: float
    softcap: float | None
    sink: float | None
    call: AttentionCall

    def __repr__(self) -> str:
        n_queries, d_head = self.query.shape
        return (
            f"QueriesAndKeys({self.kind}, layer {self.layer}, head {self.head}, "
            f"{n_queries} queries, {len(self.key)} keys of {d_head} dimensions)"
        )

    @property
    def key_head(self) -> int:
        """Which of the sets of keys the head uses."""
        return self.head // (self.n_heads // self.n_key_heads)

    def scores(self, token: int) -> QueryScores:
        """One query against every key.

        Args:
            token: the query's position, counted from 0; negative from the end.

        Raises:
            SelectionError: if there is no such token.
        """
        token = _check("token", token, len(self.query_tokens))
        hidden, bias = hidden_and_bias(self.call, token, heads=[self.head])
        return QueryScores(
            token=token,
            query_token=self.query_tokens[token],
            key_tokens=self.key_tokens,
            query=self.query[token],
            key=self.key,
            scaling=self.scaling,
            softcap=self.softcap,
            bias=None if bias is None else bias[0].numpy(),
            hidden=hidden[0].numpy(),
            sink=self.sink,
        )


def queries_and_keys(
    trace: Trace, layer: int, head: int, *, kind: str | None = None
) -> QueriesAndKeys:
    """One head's queries and keys of a trace, as they enter the product.

    Args:
        layer, head: counted from 0.
        kind: "encoder", "decoder" or "cross"; as in `Trace.attention`.

    Raises:
        SelectionError: if there is no such layer, head or kind.
        CaptureError: if the network is captured in eager mode, which returns no queries and keys.
    """
    its_kind = trace._kind(kind)
    place = trace._place(layer, its_kind)
    trace._check_head(head, its_kind)
    check_unedited(trace, "Queries and keys")
    if not trace.run.calls:
        raise CaptureError(
            f"The queries and keys of {trace.model.name} cannot be seen: transformers returns the "
            "weights of this architecture, but not what they are computed from. See its maps "
            "instead (trace.map, or the page Attention), or load a model whose `capture` is "
            '"tap", such as smollm2-135m.'
        )
    call = trace.run.calls[its_kind][place]
    n_heads, n_key_heads = call.query.shape[1], call.key.shape[1]
    d_head = call.query.shape[-1]
    return QueriesAndKeys(
        layer=layer,
        head=head,
        kind=its_kind,
        query_tokens=tuple(trace.query_tokens(its_kind)),
        key_tokens=tuple(trace.key_tokens(its_kind)),
        query=_own(call.query[0, head]).numpy(),
        key=_own(call.key[0, head // (n_heads // n_key_heads)]).numpy(),
        n_heads=n_heads,
        n_key_heads=n_key_heads,
        scaling=1 / math.sqrt(d_head) if call.scaling is None else float(call.scaling),
        softcap=None if call.softcap is None else float(call.softcap),
        sink=None if call.sinks is None else float(call.sinks[head].detach()),
        call=call,
    )


def hidden_and_bias(
    call: AttentionCall, token: int, *, heads: list[int] | None = None
) -> tuple[Bool[Tensor, "head key"], Float[Tensor, "head key"] | None]:
    """Which keys each head may not look at, and what is added to the scores of the others.

    Some networks add the bias by way of the mask, and some the mask by way of the bias.

    Args:
        token: the position of the query.
        heads: which heads; None for all.

    Returns:
        The hidden keys, and the bias, 0 where a key is hidden; None if nothing is ever added.
    """
    n_keys = call.key.shape[2]
    chosen = list(range(call.n_heads)) if heads is None else heads
    whole = (1, *call.query.shape[1:3], n_keys)

    def row(tensor: Tensor | None, place: int = token) -> Float[Tensor, "head key"] | None:
        return None if tensor is None else _own(tensor.expand(whole)[0, chosen, place])

    added = [row(call.position_bias)]
    hidden = torch.zeros(len(chosen), n_keys, dtype=torch.bool)
    if call.mask is not None and call.mask.dtype == torch.bool:
        hidden |= ~call.mask.expand(whole)[0, chosen, token].cpu()
    elif call.mask is not None:
        added.append(row(call.mask))
    if call.causal:
        hidden |= torch.arange(n_keys) > token
    terms = [term for term in added if term is not None]
    for term in terms:
        hidden |= ~visible_keys(
            term, causal=False, n_queries=len(chosen), n_keys=n_keys, device=term.device
        )
    bias = sum(terms, torch.zeros(len(chosen), n_keys)).masked_fill(hidden, 0)
    # Some are given a bias that is zero throughout; one that falls with distance is zero at the
    # first token, but not at the last.
    last = row(call.position_bias, -1)
    given = bool(bias.any()) or (last is not None and bool(last.any()))
    return hidden, bias if given else None


def _own(tensor: Tensor) -> Tensor:
    """A copy in float32 that one may compute with, wherever the network keeps its own."""
    return tensor.detach().to("cpu", torch.float32, copy=True)


def _check(what: str, place: int, n_places: int) -> int:
    """The place counted from 0, once it is known to be there."""
    if not -n_places <= place < n_places:
        raise SelectionError(
            f"There is no {what} {place}: there are {n_places}, counted from 0 to {n_places - 1}, "
            "or from -1 backwards."
        )
    return place % n_places
