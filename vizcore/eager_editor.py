"""Edits heads of networks that compute their attention by themselves, in transformers' eager mode.

Every function of PyTorch that such a network calls is watched, in this thread only. A softmax over
(batch, head, query, key) is the pattern of a layer, in the order of the layers, and the product of
matrices that is given it next is what the heads make of it. Whether that is so is found by trying,
against the maps that transformers returns; where it is not, heads cannot be edited. It costs time
at every function, but only in runs with edits. For networks of one stack.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from vizcore.attention_calls import AttentionCall, CallEdit
from vizcore.capture import Capture, eager_maps, reads_two_texts, without_cache
from vizcore.trial import close, trial_inputs

_SOFTMAX = {functional.softmax, torch.softmax, Tensor.softmax}
_PRODUCT = {torch.matmul, torch.bmm, Tensor.matmul, Tensor.bmm, Tensor.__matmul__}


@dataclass(eq=False)
class Pattern:
    """One softmax of a run, and what was made of it."""

    weights: Tensor
    multiplied: bool = False


class EagerEditor(TorchFunctionMode):
    """Changes the patterns and the outputs of heads inside `with EagerEditor(…):`.

    Args:
        n_heads: by which a softmax over heads is known.
        edits: for each softmax of a forward pass, in order, its edits.
        causal: whether queries look back only.
        first_query: the place in the text of the first token that is read.
    """

    def __init__(
        self,
        n_heads: int,
        edits: Sequence[Sequence[CallEdit]] = (),
        *,
        causal: bool = False,
        first_query: int = 0,
    ) -> None:
        super().__init__()
        self.n_heads, self.edits = n_heads, edits
        self.causal, self.first_query = causal, first_query
        self.patterns: list[Pattern] = []
        self.call: AttentionCall | None = None

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        result = func(*args, **given)
        if func in _SOFTMAX and result.ndim == 4 and result.shape[1] == self.n_heads:
            return self._pattern(func, result, *args, **given)
        if func in _PRODUCT and self.patterns and not self.patterns[-1].multiplied:
            return self._product(result, args[0])
        return result

    def _pattern(
        self, func: Callable[..., Any], weights: Tensor, scores: Tensor, *how: Any, **given: Any
    ) -> Tensor:
        number = len(self.patterns)
        edits = tuple(self.edits[number % len(self.edits)]) if self.edits else ()
        self.call = None
        if edits:
            self.call = self._call(scores, edits)
            added = [(edit, edit.scores(self.call)) for edit in edits if edit.scores]
            if added:
                scores = scores.clone()
                for edit, its in added:
                    scores[:, list(edit.heads)] += its
                scores = scores.clamp(min=0.75 * torch.finfo(scores.dtype).min)
                seen = (scores > torch.finfo(scores.dtype).min / 2).any(-1, keepdim=True)
                changed = func(scores, *how, **given) * seen
                heads = sorted({head for edit, _ in added for head in edit.heads})
                weights = weights.clone()
                weights[:, heads] = changed[:, heads].to(weights.dtype)
            for edit in edits:
                if edit.weights is not None:
                    its_heads = list(edit.heads)
                    weights = weights.clone()
                    changed = edit.weights(self.call, weights[:, its_heads].float())
                    weights[:, its_heads] = changed.to(weights.dtype)
        self.patterns.append(Pattern(weights))
        return weights

    def _call(self, scores: Tensor, edits: tuple[CallEdit, ...]) -> AttentionCall:
        """What edits ask a call about: how many queries and keys, and what may be seen."""
        batch, n_heads, n_queries, n_keys = scores.shape
        return AttentionCall(
            module=nn.Identity(),
            query=scores.new_empty(batch, n_heads, n_queries, 0),
            key=scores.new_empty(batch, n_heads, n_keys, 0),
            value=None,
            mask=scores > torch.finfo(scores.dtype).min / 2,
            causal=self.causal and n_queries > 1 and n_queries == n_keys,
            scaling=None,
            softcap=None,
            sinks=None,
            position_bias=None,
            edits=edits,
            first_query=self.first_query,
        )

    def _product(self, result: Tensor, left: Tensor) -> Tensor:
        pattern = self.patterns[-1]
        weights = pattern.weights
        if left.shape[-2:] != weights.shape[-2:] or left.numel() != weights.numel():
            return result
        if not torch.equal(left.reshape(weights.shape), weights.to(left.dtype)):
            return result
        pattern.multiplied = True
        if self.call is None or all(edit.outputs is None for edit in self.call.edits):
            return result
        outputs = result.reshape(*weights.shape[:3], -1).transpose(1, 2).clone()
        for edit in self.call.edits:
            if edit.outputs is not None:
                heads = list(edit.heads)
                outputs[:, :, heads] = edit.outputs(self.call, outputs[:, :, heads])
        return outputs.transpose(1, 2).reshape(result.shape)


def can_edit_heads(network: PreTrainedModel, capture: Capture) -> bool:
    """Whether each map of an eager network is a softmax that is multiplied next; tried once."""
    if network not in _tried:
        _tried[network] = _try(network, capture)
    return _tried[network]


_tried: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()


def _try(network: PreTrainedModel, capture: Capture) -> bool:
    if reads_two_texts(network):
        return False
    kind, n_heads = next(iter(capture.n_heads.items()))
    inputs = trial_inputs(network)
    with torch.inference_mode(), EagerEditor(n_heads) as editor:
        output = network(**inputs, **without_cache(network), output_attentions=True)
    maps = eager_maps(output, network, one_stack=kind).get(kind, ())
    return len(maps) == len(editor.patterns) == len(capture.layers[kind]) and all(
        pattern.multiplied and close(pattern.weights[0], its)
        for pattern, its in zip(editor.patterns, maps, strict=True)
    )
