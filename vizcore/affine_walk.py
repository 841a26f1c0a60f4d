"""A forward pass that is linear in its parts: embedding, heads, feed-forward, biases.

The idea: from each part to the logits, a network does little but add, scale and multiply by
matrices, once the scales of its norms are taken as they came out (Elhage et al. 2021). So a run is
watched, every function of PyTorch that is not linear in the residual stream is cut, and its result
becomes a part; automatic differentiation then says what each part does to a logit, exactly. No
architecture is known here, and nothing is written on the network. For parts that are not added up,
such as a nonlinear head, there is no such account, and `vizcore.direct_attribution` says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from vizcore.tap import Recorder

PartOf = Literal["token", "constant", "heads", "bias", "nonlinear"]
"""A token's vector; another constant that is added; the heads of an attention call; the bias of a
linear map or a norm; what came out of any function that is not linear."""


@dataclass(frozen=True, eq=False)
class Part:
    """Something that a logit is linear in.

    Args:
        of: what it is.
        n_calls: how many attention calls had been made when it was computed, its own included.
        value: the leaf of automatic differentiation that stands for it. Heads are
            (batch, head, query, d_value).
    """

    of: PartOf
    n_calls: int
    value: Tensor


class AffineWalk(TorchFunctionMode):
    """While it is open, what this thread's network computes is linear in `parts`.

    Args:
        recorder: listens to the same run.
        table: the network's table of token vectors.
        vocab_size: a tanh of so many numbers is a soft cap of logits, and its slope is frozen too.
    """

    def __init__(self, recorder: Recorder, table: Tensor | None, vocab_size: int) -> None:
        super().__init__()
        self.recorder, self.table, self.vocab_size = recorder, table, vocab_size
        self.parts: list[Part] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func is functional.embedding:
            table = args[1] if len(args) > 1 else given["weight"]
            vectors = func(*_constant(args), **_constant(given))
            return self.part("token" if table is self.table else "constant", vectors)
        args, given = _constant(args), _constant(given)
        if not _moves(args) and not _moves(given):
            return func(*args, **given)
        if func in _BY_HAND:
            return _BY_HAND[func](self, func, *args, **given)
        if func in _LINEAR or getattr(func, "__name__", "") == "__get__":
            return func(*args, **given)
        return self.cut(func(*args, **given))

    def part(self, of: PartOf, value: Tensor) -> Tensor:
        """The value, from now on as one of the parts."""
        leaf = value.detach().clone().requires_grad_()
        self.parts.append(Part(of, len(self.recorder.calls), leaf))
        return leaf.clone()  # so that it can be written into

    def cut(self, result: Any) -> Any:
        """What came out of a function that is not linear, as a part each."""
        if isinstance(result, tuple | list) and not isinstance(result, torch.Size):
            make = getattr(type(result), "_make", type(result))  # some have names for their items
            return make([self.cut(one) for one in result])
        if isinstance(result, Tensor) and result.is_floating_point():
            return self.part("nonlinear", result)
        return result

    def linear(
        self, func: Any, input: Tensor, weight: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        """x·Wᵀ + b, with the bias as a part of its own."""
        if _moves([weight]):
            return self.part("nonlinear", func(input, weight, bias))
        product = functional.linear(input, weight)
        return product if bias is None else product + self.part("bias", bias)

    def addmm(self, func: Any, input: Tensor, mat1: Tensor, mat2: Tensor, **factors: Any) -> Tensor:
        """The same as GPT-2 writes it."""
        if factors or _moves([mat2, input]):
            return self.part("nonlinear", func(input, mat1, mat2, **factors))
        return self.part("bias", input) + self.linear(func, mat1, mat2.T)

    def layer_norm(
        self,
        func: Any,
        input: Tensor,
        normalized_shape: Sequence[int],
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
    ) -> Tensor:
        """LayerNorm with its scale frozen; its bias is a part of its own."""
        axes = tuple(range(-len(normalized_shape), 0))
        centred = input - input.mean(axes, keepdim=True)
        scale = (centred.square().mean(axes, keepdim=True) + eps).rsqrt().detach()
        normed = centred * scale if weight is None else centred * scale * weight
        return normed if bias is None else normed + self.part("bias", bias)

    def rms_norm(
        self,
        func: Any,
        input: Tensor,
        normalized_shape: Sequence[int],
        weight: Tensor | None = None,
        eps: float | None = None,
    ) -> Tensor:
        """RMSNorm with its scale frozen."""
        axes = tuple(range(-len(normalized_shape), 0))
        least = torch.finfo(input.dtype).eps if eps is None else eps
        scale = (input.square().mean(axes, keepdim=True) + least).rsqrt().detach()
        return input * scale if weight is None else input * scale * weight

    def add(self, func: Any, input: Any, other: Any, **factors: Any) -> Any:
        """A sum; what is added to the stream and does not come from it is a part."""
        both = [input, other]
        for place, one in enumerate(both):
            if isinstance(one, Tensor) and not one.requires_grad and one.is_floating_point():
                both[place] = one if factors or place == 0 and _writes(func) else self._added(one)
        return func(*both, **factors)

    def multiply(self, func: Any, input: Any, other: Any, **how: Any) -> Any:
        """A product; the scale of a norm is frozen, and so is a gate on what heads return."""
        if not (_moves([input]) and _moves([other])):
            divides_by_it = func in _QUOTIENTS and _moves([other])
            return (
                self.cut(func(input, other, **how)) if divides_by_it else func(input, other, **how)
            )
        if other.shape[-1] == 1 and input.shape[-1] > 1:
            return func(input, other.detach(), **how)
        if input.shape[-1] == 1 and other.shape[-1] > 1 and func not in _QUOTIENTS:
            return func(input.detach(), other, **how)
        if func not in _QUOTIENTS and self._is_of_heads(input):
            return func(input, other.detach(), **how)
        if func not in _QUOTIENTS and self._is_of_heads(other):
            return func(input.detach(), other, **how)
        return self.cut(func(input, other, **how))

    def matmul(self, func: Any, *factors: Any, **how: Any) -> Tensor:
        """A product of matrices; of several that come from the stream, it may be the heads'."""
        result: Tensor = func(*factors, **how)
        n_moving = sum(_moves(one) for one in factors)
        return result if n_moving == 1 else self._attended(result)

    def attend(self, func: Any, *args: Any, **kwargs: Any) -> Tensor:
        """PyTorch's own attention."""
        return self._attended(func(*args, **kwargs))

    def tanh(self, func: Any, input: Tensor) -> Tensor:
        """Of logits, a soft cap: the ratio of what comes out to what went in is frozen."""
        result: Tensor = func(input)
        if result.shape[-1] != self.vocab_size:
            return self.part("nonlinear", result)
        ratio = torch.where(input == 0, torch.ones_like(input), result / input)
        return input * ratio.detach()

    def _attended(self, result: Tensor) -> Tensor:
        """Heads, if it has their shape. (Scores may have it too; no logit is linear in those.)"""
        calls = self.recorder.calls
        heads = bool(calls) and result.ndim == 4 and result.shape[:3] == calls[-1].query.shape[:3]
        return self.part("heads" if heads else "nonlinear", result)

    def _is_of_heads(self, tensor: Tensor) -> bool:
        """Whether it comes of the heads of one attention call and of nothing else."""
        node: Any = tensor.grad_fn
        while node is not None and not hasattr(node, "variable"):
            before = [one for one, _ in node.next_functions if one is not None]
            node = before[0] if len(before) == 1 else None
        leaf = getattr(node, "variable", None)
        return any(part.of == "heads" and part.value is leaf for part in self.parts)

    def _added(self, constant: Tensor) -> Tensor:
        """Something that is added, as a part; a mere number of a norm is left alone."""
        return constant if constant.ndim == 0 else self.part("constant", constant)


def _constant(given: Any) -> Any:
    """The arguments with the network's own weights as constants, so that none gets a gradient."""
    if isinstance(given, nn.Parameter):
        return given.detach()
    if type(given) in (list, tuple):
        return type(given)(_constant(one) for one in given)
    if type(given) is dict:
        return {name: _constant(one) for name, one in given.items()}
    return given


def _moves(given: Any) -> bool:
    """Whether anything in it comes from a part."""
    if isinstance(given, Tensor):
        return given.requires_grad
    if isinstance(given, dict):
        return any(_moves(one) for one in given.values())
    return isinstance(given, list | tuple) and any(_moves(one) for one in given)


def _writes(func: Any) -> bool:
    """Whether the function writes into what it is given."""
    name = str(getattr(func, "__name__", ""))
    return name.startswith("__i") or (name.endswith("_") and not name.endswith("__"))


def _named(*names: str) -> set[Callable[..., Any]]:
    """The functions of PyTorch of these names, and their variants that are methods or write."""
    spelled = [
        form for name in names for form in (name, f"{name}_", f"__{name}__", f"__i{name}__")
    ] + [f"__r{name}__" for name in names]
    homes = (torch, Tensor, functional)
    return {getattr(home, name) for home in homes for name in spelled if hasattr(home, name)}


_QUOTIENTS = _named("div", "divide", "true_divide", "truediv")
_LINEAR = _named(
    *"neg sum mean cumsum reshape view view_as reshape_as flatten unflatten squeeze".split(),
    *"unsqueeze transpose permute movedim moveaxis swapaxes t expand expand_as repeat tile".split(),
    *"repeat_interleave contiguous clone to float double half bfloat16 type type_as cpu".split(),
    *"narrow select split chunk unbind tensor_split cat concat stack hstack vstack roll".split(),
    *"flip pad where masked_fill masked_scatter getitem setitem copy index_select gather".split(),
    *"scatter index_add scatter_add index_copy index_put take_along_dim diagonal".split(),
    *"as_strided unfold tril triu broadcast_to zero new_zeros new_empty new_ones".split(),
    *"zeros_like size dim numel stride is_floating_point is_complex is_contiguous".split(),
)
"""What is linear in whatever of it comes from the stream, or makes no numbers at all."""
_BY_HAND: dict[Callable[..., Any], Callable[..., Any]] = {
    functional.linear: AffineWalk.linear,
    torch.addmm: AffineWalk.addmm,
    functional.layer_norm: AffineWalk.layer_norm,
    functional.rms_norm: AffineWalk.rms_norm,
    functional.scaled_dot_product_attention: AffineWalk.attend,
    functional.dropout: lambda _walk, _func, input, *_how, **_more: input,
    **dict.fromkeys(_named("add", "sub", "subtract"), AffineWalk.add),
    **dict.fromkeys(_named("mul", "multiply") | _QUOTIENTS, AffineWalk.multiply),
    **dict.fromkeys(_named("matmul", "bmm", "einsum"), AffineWalk.matmul),
    **dict.fromkeys(_named("tanh"), AffineWalk.tanh),
}
"""What is linear only in part, or has a part of its own."""
