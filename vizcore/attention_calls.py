"""One call of attention in a run: what it was given, what was changed in it, and its weights.

The tap makes an `AttentionCall` of every call that somebody listens to or edits. It holds the
network's own tensors and computes weights from them when they are asked for, a head at a time if
need be. What is changed in a call is a list of `CallEdit`, each for some of its heads: the rest of
the call stays as the network computes it, bit by bit. For edits in the words of the field
(ablation, knock-out, patching) see `vizcore.edits`; these here are what they become.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vizcore.attention import attention_weights, visible_keys


@dataclass(frozen=True, eq=False)
class CallEdit:
    """What is changed in one attention call, for some of its heads.

    Each function gets the call, its tensors with the whole batch, and gives back a tensor; so each
    row of a batch may be changed in another way (one row a head, for a sweep over heads). What a
    function is given besides the call is a copy, which it may write into and return.

    Args:
        heads: the query heads that are changed, counted from 0, each once. "head" below stands for
            these alone, in this order.
        scores: call -> what is added to the scores before the softmax; broadcasts to
            (batch, head, query, key). -inf cuts an edge: the row still sums to 1.
        weights: call, weights (batch, head, query, key) in float32 -> weights instead of them.
        outputs: call, outputs (batch, query, head, d_value) -> outputs instead of them.
    """

    heads: tuple[int, ...]
    scores: Callable[["AttentionCall"], Tensor] | None = None
    weights: Callable[["AttentionCall", Tensor], Tensor] | None = None
    outputs: Callable[["AttentionCall", Tensor], Tensor] | None = None

    @property
    def of_pattern(self) -> bool:
        """Whether it changes weights, and not what is made of them alone."""
        return self.scores is not None or self.weights is not None


@dataclass(frozen=True, eq=False)
class AttentionCall:
    """What one attention layer was given in one forward pass: enough to compute its weights.

    The tensors are the network's own, not copies: memory is linear in the text.

    Args:
        module: the attention layer that called.
        query: (batch, head, query, d_head).
        key: (batch, kv_head, key, d_head).
        value: (batch, kv_head, key, d_value), or None if the recorder was not asked to keep it.
        mask: boolean or additive, broadcasts to (batch, head, query, key); None if there is none.
        causal: query i sees keys 0 to i only.
        scaling, softcap, sinks, position_bias: see `vizcore.attention.attention_weights`.
        edits: what is changed in it. First all that is added to scores, then all changes of
            weights, then all changes of outputs; of one stage, in this order.
        first_query: the place in the text of the first query, where a text is read on in parts.
        whole: if it is a part of an edited call, that call, and which queries and keys of it.
    """

    module: nn.Module
    query: Float[Tensor, "batch head query d_head"]
    key: Float[Tensor, "batch kv_head key d_head"]
    value: Float[Tensor, "batch kv_head key d_value"] | None
    mask: Tensor | None
    causal: bool
    scaling: float | int | None
    softcap: float | int | None
    sinks: Float[Tensor, " head"] | None
    position_bias: Tensor | None
    edits: tuple[CallEdit, ...] = ()
    first_query: int = 0
    whole: tuple["AttentionCall", slice | Sequence[int], slice] | None = None

    @property
    def n_heads(self) -> int:
        """The number of query heads."""
        return self.query.shape[1]

    def weights(self, *, batch: int = 0) -> Float[Tensor, "head query key"]:
        """The weights of all heads for one text of the batch, in float32, as they were edited."""
        if self.whole is not None:
            call, queries, keys = self.whole
            return call.weights(batch=batch)[:, queries][..., keys]
        weights = attention_weights(
            self.query[batch],
            self.key[batch],
            mask=_of_text(self.mask, batch),
            causal=self.causal,
            scaling=self.scaling,
            softcap=self.softcap,
            sinks=self.sinks,
            position_bias=_of_text(self.position_bias, batch),
        )
        for head in self.edited_heads:
            weights[head] = self.head_weights(head, batch=batch)
        return weights

    def head_weights(self, head: int, *, batch: int = 0) -> Float[Tensor, "query key"]:
        """The weights of one head alone, in float32. 0 <= head < n_heads."""
        if self.whole is not None:
            call, queries, keys = self.whole
            return call.head_weights(head, batch=batch)[queries][..., keys]
        edits = [edit for edit in self.edits if edit.of_pattern and head in edit.heads]
        if edits:
            heads = sorted({other for edit in edits for other in edit.heads})
            return self._edited_weights(heads, edits)[batch, heads.index(head)]
        kv_head = head // (self.query.shape[1] // self.key.shape[1])
        return attention_weights(
            self.query[batch, head : head + 1],
            self.key[batch, kv_head : kv_head + 1],
            mask=_of_head(_of_text(self.mask, batch), head),
            causal=self.causal,
            scaling=self.scaling,
            softcap=self.softcap,
            sinks=None if self.sinks is None else self.sinks[head : head + 1],
            position_bias=_of_head(_of_text(self.position_bias, batch), head),
        )[0]

    def masked(self, *, batch: int = 0) -> Bool[Tensor, "query key"]:
        """True where a query was not allowed to look. Where heads differ, the first head's.

        That is what the network masks: edges that an edit has cut are not among it.
        """
        n_queries, n_keys = self.query.shape[2], self.key.shape[2]
        visible = visible_keys(
            _of_head(_of_text(self.mask, batch), 0),
            causal=self.causal,
            n_queries=n_queries,
            n_keys=n_keys,
            device=self.query.device,
        )
        return ~visible.reshape(n_queries, n_keys)

    def part(self, queries: slice | Sequence[int], *, keys: slice = slice(None)) -> "AttentionCall":
        """The same call for some of its queries alone: what is computed from it is as much smaller.

        Args:
            queries: their positions.
            keys: which keys are kept. The weights are the same as long as the queries were not
                allowed to look at the others.
        """
        mask = _cut(self.mask, queries, keys)
        if self.causal:
            position = torch.arange(max(self.query.shape[2], self.key.shape[2]))
            position = position.to(self.query.device)
            earlier = position[: self.key.shape[2]][keys] <= position[queries][:, None]
            if mask is None or mask.dtype == torch.bool:
                mask = earlier if mask is None else mask & earlier
            else:
                mask = mask.masked_fill(~earlier, -torch.inf)
        return replace(
            self,
            query=self.query[:, :, queries],
            key=self.key[:, :, keys],
            value=None if self.value is None else self.value[:, :, keys],
            mask=mask,
            causal=False,
            position_bias=_cut(self.position_bias, queries, keys),
            edits=(),
            whole=(self, queries, keys) if self.edited_heads or self.whole else None,
        )

    @property
    def edited_heads(self) -> tuple[int, ...]:
        """The heads whose weights are changed."""
        return tuple(
            sorted({head for edit in self.edits if edit.of_pattern for head in edit.heads})
        )

    def mask_of(self, heads: Sequence[int]) -> Tensor | None:
        """The mask of these heads; it broadcasts to (batch, head, query, key)."""
        return _of_heads(self.mask, list(heads))

    def edited_outputs(
        self, outputs: Float[Tensor, "batch query head d_value"]
    ) -> Float[Tensor, "batch query head d_value"]:
        """What the heads give back after all edits. The values must be there.

        Args:
            outputs: what they would give back unedited.
        """
        outputs = outputs.clone()
        heads = list(self.edited_heads)
        if heads:
            assert self.value is not None  # noqa: S101 - the tap gives them to what is edited
            pattern = [edit for edit in self.edits if edit.of_pattern]
            weights = self._edited_weights(heads, pattern)
            value = self.value[:, self._kv_heads(heads, self.value.shape[1])]
            outputs[:, :, heads] = (weights.to(value.dtype) @ value).transpose(1, 2)
        for edit in self.edits:
            if edit.outputs is not None:
                its = list(edit.heads)
                outputs[:, :, its] = edit.outputs(self, outputs[:, :, its]).to(outputs.dtype)
        return outputs

    def _edited_weights(
        self, heads: list[int], edits: Sequence[CallEdit]
    ) -> Float[Tensor, "batch chosen query key"]:
        """The weights of these heads, all of the edits' heads among them, after these edits."""
        mask = _of_heads(self.mask, heads)
        added = [(edit, edit.scores(self)) for edit in edits if edit.scores is not None]
        if added:
            shape = (len(self.query), len(heads), self.query.shape[2], self.key.shape[2])
            scores = torch.zeros(shape, device=self.query.device)
            for edit, its in added:
                scores[:, [heads.index(head) for head in edit.heads]] += its
            if mask is not None and mask.dtype == torch.bool:
                mask = scores.masked_fill(~mask, -torch.inf)
            else:
                mask = scores if mask is None else scores + mask
            # Finite, so that a row in which nothing is left has a softmax; it is made zeros after.
            mask = mask.clamp(min=0.75 * torch.finfo(mask.dtype).min)
        weights = attention_weights(
            self.query[:, heads],
            self.key[:, self._kv_heads(heads, self.key.shape[1])],
            mask=mask,
            causal=self.causal,
            scaling=self.scaling,
            softcap=self.softcap,
            sinks=None if self.sinks is None else self.sinks[heads],
            position_bias=_of_heads(self.position_bias, heads),
        )
        for edit in edits:
            if edit.weights is not None:
                places = [heads.index(head) for head in edit.heads]
                weights[:, places] = edit.weights(self, weights[:, places]).to(weights.dtype)
        return weights

    def _kv_heads(self, heads: Sequence[int], n_kv_heads: int) -> list[int]:
        """The key (or value) head that each of these query heads uses."""
        return [head // (self.n_heads // n_kv_heads) for head in heads]


def _of_text(tensor: Tensor | None, batch: int) -> Tensor | None:
    """One text's part of something that broadcasts to (batch, head, query, key)."""
    if tensor is None or tensor.ndim < 4:
        return tensor
    return tensor[batch if tensor.shape[0] > 1 else 0]


def _of_head(tensor: Tensor | None, head: int) -> Tensor | None:
    """One head's part, head axis kept, of something that broadcasts to (head, query, key)."""
    if tensor is None or tensor.ndim < 3 or tensor.shape[0] == 1:
        return tensor
    return tensor[head : head + 1]


def _of_heads(tensor: Tensor | None, heads: list[int]) -> Tensor | None:
    """These heads' part of something that broadcasts to (…, head, query, key)."""
    if tensor is None or tensor.ndim < 3 or tensor.shape[-3] == 1:
        return tensor
    return tensor[..., heads, :, :]


def _cut(tensor: Tensor | None, queries: slice | Sequence[int], keys: slice) -> Tensor | None:
    """The part for these queries and keys of something that broadcasts to (…, query, key)."""
    if tensor is None:
        return None
    if tensor.ndim > 1 and tensor.shape[-2] > 1:
        tensor = tensor[..., queries, :]
    return tensor[..., keys] if tensor.shape[-1] > 1 else tensor
