"""The one attention function that every network calls, and who listens to it or changes it.

Networks are loaded with `attn_implementation=IMPLEMENTATION`; from then on each of their attention
layers calls `attend`. Without a recorder that is plain scaled-dot-product attention. Inside
`with Recorder() as recorder:` it also keeps references to what the weights can be computed from,
and inside `with Editor(…):` chosen calls are changed. Both live in context variables, so any number
of threads can run one network, each with a recorder and an editor of its own or none. Not for
networks that don't call transformers' AttentionInterface.
"""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass, field, replace
from types import TracebackType

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from vizcore.attention import attention
from vizcore.attention_calls import AttentionCall, CallEdit

IMPLEMENTATION = "headlight"
"""The name under which `attend` is registered with transformers."""
SOFTMAX_ARGUMENTS = ("indices", "sinks", "bias")
"""How arguments are called that change a softmax. `attend` refuses those that it does not know,
which sends a network into its eager mode; all others (positions, lengths) change nothing here."""


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


@dataclass(eq=False)
class Editor:
    """Changes attention calls of whatever runs inside `with Editor(edits):`, in this thread alone.

    Calls are found by the module that makes them. One that several layers share (as in ALBERT)
    makes several calls in each forward pass, so for each module there is a list: the edits of its
    first call, of its second, …; after the last it begins again, as the next forward pass does.
    That holds for a decoder that runs without its encoder, and for one that reads on with a cache.
    A call with no edits takes the very same way as without an editor.

    A sweep runs a batch of as many rows as it has edits, and lets each row be changed in its own
    way. All heads of one layer, each ablated in a row of its own:

        def ablate(call: AttentionCall, outputs: Tensor) -> Tensor:
            rows = torch.arange(n_heads)
            outputs[rows, :, rows] = 0  # (batch, query, head, d_value)
            return outputs

        edit = CallEdit(heads=tuple(range(n_heads)), outputs=ablate)
        with Editor({module: [[edit]]}):
            network(input_ids.expand(n_heads, -1))

    An editor with no edits, `Editor({})`, is for trials inside of somebody's edited run. Editors
    nest as recorders do: the innermost one changes, those around it don't.

    Args:
        edits: for each module, for each of its calls in a forward pass, its edits, in order.
        first_query: the place in the text of the first token that is read next; calls are told.
            To be set before each forward pass if a text is read on with a cache.
        counts: how many calls each module has made. To be set by whoever runs only a part of the
            layers that share a module.
    """

    edits: Mapping[nn.Module, Sequence[Sequence[CallEdit]]]
    first_query: int = 0
    counts: dict[nn.Module, int] = field(default_factory=dict)
    _tokens: list[Token["Editor | None"]] = field(default_factory=list, repr=False)

    def __enter__(self) -> "Editor":
        self._tokens.append(_editor.set(self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _editor.reset(self._tokens.pop())

    def of_next_call(self, module: nn.Module) -> tuple[CallEdit, ...]:
        """What is changed in the call that this module makes now."""
        calls = self.edits.get(module)
        if not calls:
            return ()
        number = self.counts.get(module, 0)
        self.counts[module] = number + 1
        return tuple(calls[number % len(calls)])


_recorder: ContextVar[Recorder | None] = ContextVar("headlight_recorder", default=None)
_editor: ContextVar[Editor | None] = ContextVar("headlight_editor", default=None)


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
    """Attention as transformers' layers ask for it; recorded and edited if somebody wants that.

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

    recorder, editor = _recorder.get(), _editor.get()
    edits = () if editor is None else editor.of_next_call(module)
    call: AttentionCall | None = None
    if recorder is not None or edits:
        call = AttentionCall(
            module=module,
            query=query,
            key=key,
            value=value,
            mask=attention_mask,
            causal=causal,
            scaling=scaling,
            softcap=softcap,
            sinks=s_aux,
            position_bias=position_bias,
            edits=edits,
            first_query=0 if editor is None else editor.first_query,
        )
        if recorder is not None:
            recorder.calls.append(call if recorder.values else replace(call, value=None))

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
    else:
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
        output = output.transpose(1, 2).contiguous()
    if call is not None and edits:
        output = call.edited_outputs(output)
    return output, None


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


AttentionInterface.register(IMPLEMENTATION, attend)
AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)
