"""What stands around each attention of a run: values, the rotation before it, Wᴼ after it.

A trace keeps queries and keys as the softmax gets them. Here its text is run once more while every
function of PyTorch that the network calls is watched, in this thread only and with nothing written
on the network. Wᴼ is then the linear map that was given the heads' outputs side by side, and a
rotation (RoPE) is what turns something that was computed before into the queries and keys that the
softmax got: both are found by their numbers, in any architecture, or not at all. The run is kept
as long as its trace. Not for networks that are captured in eager mode.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vizcore.attention_calls import AttentionCall
from vizcore.capture import Kind, without_cache
from vizcore.errors import CaptureError
from vizcore.selection import check_unedited
from vizcore.tap import Recorder
from vizcore.trace import Trace

EXACT = 1e-4
"""How far a rotation that was found may be from what the network computed, beside the largest."""
ROUNDED = 0.05
"""The same for networks that run in half precision."""
N_TRIED = 8
"""Positions at which something is tried first: of a long text, all take much longer."""
N_REMEMBERED = 48
"""Results before an attention among which its queries and keys before rotation are looked for."""


@dataclass(frozen=True, eq=False)
class Rotation:
    """RoPE (Su et al. 2021) as it was applied: pairs of dimensions, turned at each position.

    Args:
        pairs: which two dimensions each pair is made of; dimensions in none are left as they are.
        factors: what each pair, as a complex number, was multiplied with: e^{iθ}, of which θ is
            the angle (some networks also change the length a little).
    """

    pairs: Int[Tensor, "pair 2"]
    factors: Complex[Tensor, "token pair"]

    def on_cpu(self) -> "Rotation":
        """The same, where one computes with it."""
        return Rotation(self.pairs.cpu(), self.factors.cpu())

    def at(self, positions: Sequence[int]) -> "Rotation":
        """The rotation of some positions only."""
        return Rotation(self.pairs, self.factors[list(positions)])

    def apply(self, x: Float[Tensor, "*head token d_head"]) -> Float[Tensor, "*head token d_head"]:
        """Turned."""
        return self._times(x, self.factors)

    def undo(self, x: Float[Tensor, "*head token d_head"]) -> Float[Tensor, "*head token d_head"]:
        """Turned back."""
        return self._times(x, 1 / self.factors)

    def _times(self, x: Tensor, factors: Tensor) -> Tensor:
        turned = x.clone()
        product = _as_complex(x, self.pairs) * factors
        turned[..., self.pairs[:, 0]] = product.real
        turned[..., self.pairs[:, 1]] = product.imag
        return turned


@dataclass(frozen=True, eq=False)
class Projection:
    """Wᴼ and its bias: what makes one vector of the outputs of all heads, side by side."""

    weight: Float[Tensor, "d_model concat"]
    bias: Float[Tensor, " d_model"] | None


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What one attention layer was given and what was made of its result.

    Args:
        value: its values.
        rotation: how queries and keys were rotated; None if they were not, or it was not found.
        projection: Wᴼ; None if none was found.
    """

    value: Float[Tensor, "kv_head key d_value"]
    rotation: Rotation | None
    projection: Projection | None


def surroundings(trace: Trace, kind: Kind) -> tuple[Surroundings, ...]:
    """One for each layer that has attention of this kind. The first call of a trace takes a run.

    Raises:
        CaptureError: if the network is captured in eager mode, where none of this can be seen.
        SelectionError: if the trace was run with edits.
    """
    check_unedited(trace, "Values, and what is made of them,")
    found = _kept.get(trace)
    if found is None:
        found = _kept[trace] = _run_again(trace)
    return found[kind]


_kept: WeakKeyDictionary[Trace, dict[Kind, tuple[Surroundings, ...]]] = WeakKeyDictionary()


def _run_again(trace: Trace) -> dict[Kind, tuple[Surroundings, ...]]:
    model, capture = trace.model, trace.model._capture
    if capture.way == "eager":
        raise CaptureError(
            f"{model.name} cannot be shown step by step: transformers returns the weights of this "
            "architecture, but not the queries, keys and values that they come from. See its maps "
            "instead (trace.map, or the page Attention), or load a model whose `capture` is "
            '"tap", such as smollm2-135m.'
        )
    body: Any = model.network
    if capture.trunk is not None and "decoder_input_ids" not in trace.inputs:
        body = capture.trunk
    with torch.inference_mode(), Recorder(values=True) as recorder, _Watch(recorder) as watch:
        body(**trace.inputs, **without_cache(body))
    watch.settle()
    found = [
        Surroundings(call.value[0], rotation and rotation.on_cpu(), projection)
        for call, rotation, projection in zip(
            recorder.calls, watch.rotations, watch.projections, strict=True
        )
        if call.value is not None
    ]
    return {
        layers: tuple(one for one, its in zip(found, capture.calls, strict=True) if its == layers)
        for layers in capture.layers
    }


class _Watch(TorchFunctionMode):
    """Sees every function of PyTorch that is called in this thread, and its result."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder
        self.rotations: list[Rotation | None] = []
        self.projections: list[Projection | None] = []
        self.remembered: deque[Tensor] = deque(maxlen=N_REMEMBERED)
        self.heads: Tensor | None = None

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        with torch._C.DisableTorchFunction():
            self.settle()
            if func in _ATTENDING:
                self._take_heads(result)
            elif self.heads is not None and func in _LINEAR:
                self._take_projection(_LINEAR[func](*args, **(kwargs or {})))
            for tensor in result if isinstance(result, tuple | list) else [result]:
                if isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.ndim >= 2:
                    self.remembered.append(tensor)
        return result

    def settle(self) -> None:
        """Once an attention has been called, look for its rotation in what came before."""
        while len(self.rotations) < len(self.recorder.calls):
            call = self.recorder.calls[len(self.rotations)]
            known = next((one for one in reversed(self.rotations) if one is not None), None)
            self.rotations.append(_find_rotation(call, self.remembered, known))
            self.projections.append(None)
            self.remembered.clear()
            self.heads = None

    def _take_heads(self, result: Tensor) -> None:
        """Whatever of that shape comes last after a call is what `attend` returned."""
        if not self.recorder.calls:
            return
        call = self.recorder.calls[-1]
        assert call.value is not None  # noqa: S101 - the recorder was asked to keep it
        shape = (*call.query.shape[:3], call.value.shape[-1])
        if self.projections[-1] is None and tuple(result.shape) == shape:
            self.heads = result

    def _take_projection(self, given: tuple[Tensor, Projection] | None) -> None:
        """Take it if it was given exactly the heads' outputs, side by side."""
        assert self.heads is not None  # noqa: S101 - else it is not called
        concatenated = self.heads.transpose(1, 2).flatten(2)[0]
        if given is not None and given[0].shape[-1] == concatenated.shape[-1]:
            rows = given[0].reshape(-1, concatenated.shape[-1])
            if torch.equal(rows, concatenated):
                self.projections[-1] = given[1]
                self.heads = None


def _of_linear(
    input: Tensor, weight: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, Projection] | None:
    return input, Projection(weight.detach(), None if bias is None else bias.detach())


def _of_addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, **factors: object
) -> tuple[Tensor, Projection] | None:
    return None if factors else (mat1, Projection(mat2.detach().T, input.detach()))


_LINEAR: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.nn.functional.linear: _of_linear,
    torch.addmm: _of_addmm,
}
_ATTENDING = {
    torch.nn.functional.scaled_dot_product_attention,
    torch.matmul,
    Tensor.matmul,
    Tensor.__matmul__,
}


def _find_rotation(
    call: AttentionCall, before: Sequence[Tensor], known: Rotation | None
) -> Rotation | None:
    """What turned one of these into the queries, and the same another one into the keys."""
    query, key = call.query[0], call.key[0]
    if query.shape[1] != key.shape[1]:
        return None  # they are of two texts
    if known is not None and len(known.factors) != query.shape[1]:
        known = None  # of an encoder whose text is another
    few = sorted({*torch.linspace(0, query.shape[1] - 1, N_TRIED).long().tolist()})
    earlier_keys = [one for tensor in before for one in _heads_of(tensor, key)]
    earlier_keys = [one for one in earlier_keys if _near(one[:, 0], key[:, 0], scaled=True)]
    for tensor in reversed(before):
        for earlier in _heads_of(tensor, query):
            tried, wanted = earlier[:, few], query[:, few]
            if torch.equal(tried, wanted) or not _near(tried[:, 0], wanted[:, 0], scaled=True):
                continue  # position 0 is never turned
            # Most networks rotate alike in every layer, some in every other one; a rotation that
            # has been held against all positions once needs that no more.
            if (
                known is not None
                and _turns(known.at(few), [tried], wanted)
                and _turns(known.at(few), [one[:, few] for one in earlier_keys], key[:, few])
            ):
                return known
            for pairs in _pairings(tried, wanted):
                if _rotation(tried, wanted, pairs) is None:
                    continue
                rotation = _rotation(earlier, query, pairs)
                if rotation is not None and _turns(rotation, earlier_keys, key):
                    return rotation
    return None


def _heads_of(tensor: Tensor, like: Float[Tensor, "head token d_head"]) -> list[Tensor]:
    """The tensor as (head, token, d_head), in each way that its shape can be read."""
    n_heads, n_tokens, d_head = like.shape
    if tensor.numel() != like.numel():
        return []
    shape = tuple(tensor.shape)
    found = []
    if shape[-1] == n_heads * d_head:
        found.append(tensor.reshape(n_tokens, n_heads, d_head).transpose(0, 1))
    if shape[-3:] == (n_tokens, n_heads, d_head):
        found.append(tensor.reshape(n_tokens, n_heads, d_head).transpose(0, 1))
    if shape[-3:] == (n_heads, n_tokens, d_head):
        found.append(tensor.reshape(n_heads, n_tokens, d_head))
    return found


def _pairings(
    earlier: Float[Tensor, "head token d_head"], later: Float[Tensor, "head token d_head"]
) -> list[Int[Tensor, "pair 2"]]:
    """The usual ways to make pairs of dimensions, of all or of the first ones."""
    d_head = later.shape[-1]
    changed = (earlier != later).any(dim=0).any(dim=0).nonzero()
    last = int(changed[-1]) + 1 if len(changed) else d_head
    widths = {d_head, last + last % 2, d_head // 2, d_head // 4}
    found = []
    for width in sorted((w for w in widths if w and w % 2 == 0 and w <= d_head), reverse=True):
        dimensions = torch.arange(width, device=later.device)
        found += [dimensions.view(2, -1).T, dimensions.view(-1, 2)]
    return found


def _rotation(
    earlier: Float[Tensor, "head token d_head"],
    later: Float[Tensor, "head token d_head"],
    pairs: Int[Tensor, "pair 2"],
) -> Rotation | None:
    """The rotation, the same in all heads, that makes one of the other; None if there is none."""
    a, b = _as_complex(earlier, pairs), _as_complex(later, pairs)
    length = a.abs().square().sum(dim=0)
    factors = (b * a.conj()).sum(dim=0) / length.clamp(min=torch.finfo(length.dtype).tiny)
    factors = torch.where(length > 0, factors, torch.ones_like(factors))
    gain = factors.abs()
    if float((gain - gain.mean()).abs().max()) > _tolerance(later) * float(gain.mean()):
        return None
    rotation = Rotation(pairs, factors)
    return rotation if _near(rotation.apply(earlier.float()), later) else None


def _turns(rotation: Rotation, candidates: Sequence[Tensor], later: Tensor) -> bool:
    """Whether it makes this of any of those."""
    return any(_near(rotation.apply(earlier.float()), later) for earlier in candidates)


def _as_complex(x: Tensor, pairs: Tensor) -> Tensor:
    x = x.float()
    return torch.complex(x[..., pairs[:, 0]], x[..., pairs[:, 1]])


def _near(one: Tensor, other: Tensor, *, scaled: bool = False) -> bool:
    """Whether two tensors are the same but for rounding, and if so asked, but for a factor."""
    one, wanted = one.float(), other.float()
    if scaled:
        one = one * (wanted.norm() / one.norm().clamp(min=torch.finfo(torch.float32).tiny))
    return float((one - wanted).abs().max()) <= _tolerance(other) * float(wanted.abs().max())


def _tolerance(tensor: Tensor) -> float:
    return EXACT if tensor.dtype in (torch.float32, torch.float64) else ROUNDED
