"""The one attention function that every network calls, and the recorder that listens to it.

Networks are loaded with `attn_implementation=IMPLEMENTATION`; from then on each of their attention
layers calls `attend`. Without a recorder that is plain scaled-dot-product attention. Inside
`with Recorder() as recorder:` it also keeps references to what the weights can be computed from.
The recorder lives in a context variable, so any number of threads can run one network, each with
a recorder of its own or none. Not for networks that don't call transformers' AttentionInterface.
"""

from collections.abc import Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass, field, replace
from types import TracebackType

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from vizcore.attention import attention, attention_weights, visible_keys

IMPLEMENTATION = "headlight"
"""The name under which `attend` is registered with transformers."""
SOFTMAX_ARGUMENTS = ("indices", "sinks", "bias")
"""How arguments are called that change a softmax. `attend` refuses those that it does not know,
which sends a network into its eager mode; all others (positions, lengths) change nothing here."""


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

    @property
    def n_heads(self) -> int:
        """The number of query heads."""
        return self.query.shape[1]

    def weights(self, *, batch: int = 0) -> Float[Tensor, "head query key"]:
        """The weights of all heads for one text of the batch, in float32."""
        return attention_weights(
            self.query[batch],
            self.key[batch],
            mask=_of_text(self.mask, batch),
            causal=self.causal,
            scaling=self.scaling,
            softcap=self.softcap,
            sinks=self.sinks,
            position_bias=_of_text(self.position_bias, batch),
        )

    def head_weights(self, head: int, *, batch: int = 0) -> Float[Tensor, "query key"]:
        """The weights of one head alone, in float32. 0 <= head < n_heads."""
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
        """True where a query was not allowed to look. Where heads differ, the first head's."""
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
        )


@dataclass(eq=False)
class Recorder:
    """Keeps the attention calls of whatever runs inside `with Recorder() as recorder:`.

    Only of the thread (or asynchronous task) that opened it. Recorders nest: the innermost one
    listens. After the block, also after an exception, nothing is listening any more.

    Args:
        values: also keep the values, for what needs them (value-weighted norms).
    """

    values: bool = False
    calls: list[AttentionCall] = field(default_factory=list)
    _tokens: list[Token["Recorder | None"]] = field(default_factory=list, repr=False)

    def __enter__(self) -> "Recorder":
        self._tokens.append(_recorder.set(self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _recorder.reset(self._tokens.pop())


_recorder: ContextVar[Recorder | None] = ContextVar("headlight_recorder", default=None)


def attend(
    module: nn.Module,
    query: Float[Tensor, "batch head query d_head"],
    key: Float[Tensor, "#batch kv_head key d_head"],
    value: Float[Tensor, "#batch kv_head key d_value"],
    attention_mask: Tensor | None,
    *,
    scaling: float | int | None = None,
    dropout: float | int = 0.0,
    is_causal: bool | None = None,
    softcap: float | int | None = None,
    s_aux: Tensor | None = None,
    position_bias: Tensor | None = None,
    indices: Tensor | None = None,
    **others: object,
) -> tuple[Float[Tensor, "batch query head d_value"], None]:
    """Attention as transformers' layers ask for it; records the call if somebody listens.

    The signature is that of `transformers.AttentionInterface`: `s_aux` are attention sinks,
    `indices` (batch, query, chosen) the keys that an indexer lets each query look at; a sliding
    window is part of the mask already. Plain calls go to PyTorch's fused kernels; soft caps and
    sinks, which those don't know, to the formula in `vizcore.attention`.

    Returns:
        The heads' outputs, (batch, query, head, d_value), and None: weights are computed later.

    Raises:
        TypeError: if the layer gives something else that belongs into its softmax.
    """
    for name, given in others.items():
        if name.endswith(SOFTMAX_ARGUMENTS) and isinstance(given, Tensor):
            raise TypeError(f"{type(module).__name__} attends with {name}, unknown to the formula.")
    if indices is not None:
        attention_mask = _among(indices, attention_mask, n_keys=key.shape[2])
    causal = is_causal if is_causal is not None else getattr(module, "is_causal", True)
    causal = bool(causal) and attention_mask is None and query.shape[2] > 1

    recorder = _recorder.get()
    if recorder is not None:
        call = AttentionCall(
            module=module,
            query=query,
            key=key,
            value=value if recorder.values else None,
            mask=attention_mask,
            causal=causal,
            scaling=scaling,
            softcap=softcap,
            sinks=s_aux,
            position_bias=position_bias,
        )
        recorder.calls.append(call)

    if softcap is None and s_aux is None:
        output, _ = sdpa_attention_forward(
            module,
            query,
            key,
            value,
            attention_mask,
            dropout=dropout,
            scaling=scaling,
            is_causal=causal,
            position_bias=position_bias,
        )
        return output, None
    output = attention(
        query,
        key,
        value,
        mask=attention_mask,
        causal=causal,
        scaling=scaling,
        softcap=softcap,
        sinks=s_aux,
        position_bias=position_bias,
    )
    return output.transpose(1, 2).contiguous(), None


def _among(
    indices: Int[Tensor, "batch query chosen"], mask: Tensor | None, *, n_keys: int
) -> Tensor:
    """The mask, (batch, 1, query, key), with all keys hidden that are not among the chosen."""
    batch, n_queries, _ = indices.shape
    hidden = torch.ones(batch, n_queries, n_keys, dtype=torch.bool, device=indices.device)
    hidden = hidden.scatter(-1, indices.long(), False)[:, None]
    if mask is None:
        return ~(hidden | hidden.new_ones(n_queries, n_keys).triu(n_keys - n_queries + 1))
    return mask & ~hidden if mask.dtype == torch.bool else mask.masked_fill(hidden, -torch.inf)


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


def _cut(tensor: Tensor | None, queries: slice | Sequence[int], keys: slice) -> Tensor | None:
    """The part for these queries and keys of something that broadcasts to (…, query, key)."""
    if tensor is None:
        return None
    if tensor.ndim > 1 and tensor.shape[-2] > 1:
        tensor = tensor[..., queries, :]
    return tensor[..., keys] if tensor.shape[-1] > 1 else tensor


AttentionInterface.register(IMPLEMENTATION, attend)
AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)
