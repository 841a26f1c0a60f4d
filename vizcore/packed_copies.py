"""Copies of networks whose matrices lie in memory as the processor reads them best.

A linear layer of a short text is hardly more than reading its matrix, and PyTorch reads it row by
row as it was saved. A copy of the matrix in oneDNN's own blocks is read a good third faster, in the
same precision; sums are in another order, which changes the last digits. It takes as much memory
again, so only small networks on a processor get one. The network itself is never written to; when
its matrices were, they are packed anew.
"""

import copy
import threading
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from vizcore.asked_rows import Runner
from vizcore.model import Model

MOST_BYTES = 640 << 20
"""Matrices that take more memory are not copied."""
N_ROWS = 16
"""For about so many rows the blocks are laid out; others are as right."""
CLOSE = 1e-4
"""How far a product may be from PyTorch's own, in shares of its largest value."""


@dataclass(frozen=True, eq=False)
class _State:
    """By what it is seen that a matrix was changed: also by ways that PyTorch does not count.

    Args:
        version, address: PyTorch's count of changes, and where the matrix lies.
        places: numbers of elements, at least one of each row and of each column.
        values: what stands there.
    """

    version: int
    address: int
    places: Int[Tensor, " place"]
    values: Float[Tensor, " place"]

    @classmethod
    def of(cls, matrix: Float[Tensor, "n_out n_in"]) -> "_State":
        """As it is now."""
        n_out, n_in = matrix.shape
        number = torch.arange(max(n_out, n_in))
        places = number % n_out * n_in + number % n_in
        version = 0 if matrix.is_inference() else matrix._version
        return cls(version, matrix.data_ptr(), places, matrix.detach().take(places))

    def is_of(self, matrix: Float[Tensor, "n_out n_in"]) -> bool:
        """Whether the matrix is still what it was."""
        version = 0 if matrix.is_inference() else matrix._version
        if (version, matrix.data_ptr()) != (self.version, self.address):
            return False
        return torch.equal(matrix.detach().take(self.places), self.values)


@dataclass(frozen=True, eq=False)
class _Packed:
    """A copy with packed matrices, and what the network was when it was made."""

    runner: Runner | None
    tensors: tuple[int, ...]
    state: tuple[_State, ...]

    def is_of(self, network: nn.Module) -> bool:
        """Whether nobody has changed the network."""
        if self.tensors != _tensors(network):
            return False
        pairs = zip(_matrices(network), self.state, strict=False)  # no state if it was not packed
        return all(then.is_of(matrix) for matrix, then in pairs)


def packed_runner(model: Model) -> Runner:
    """What runs the model with packed matrices; the model as it is where that cannot be.

    It is run as it is, too, as long as somebody's hooks are on it.
    """
    plain = Runner.of(model)
    network = plain.network
    if any(map(_has_hooks, network.modules())):
        return plain
    with _packing:
        packed = _packed.get(network)
        if packed is None or not packed.is_of(network):
            matrices = _matrices(network)
            runner = _pack(plain, matrices)
            state = () if runner is None else tuple(map(_State.of, matrices))
            packed = _Packed(runner, _tensors(network), state)
            _packed[network] = packed
        return packed.runner or plain


_packed: WeakKeyDictionary[nn.Module, _Packed] = WeakKeyDictionary()
_packing = threading.Lock()


def _has_hooks(module: nn.Module) -> bool:
    """Whether somebody listens to it or changes it; transformers' own hooks only listen."""
    hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    return any(
        not str(getattr(hook, "__module__", "")).startswith("transformers.") for hook in hooks
    )


def _tensors(network: nn.Module) -> tuple[int, ...]:
    """Which parameters and buffers it has."""
    return tuple(map(id, (*network.parameters(), *network.buffers())))


def _linears(network: nn.Module) -> dict[str, nn.Linear]:
    """The plain linear layers, by name."""
    return {name: one for name, one in network.named_modules() if type(one) is nn.Linear}


def _matrices(network: nn.Module) -> list[Tensor]:
    """Their matrices, each once."""
    return list({id(one.weight): one.weight for one in _linears(network).values()}.values())


class _PackedForward:
    """A linear layer's forward that reads the packed matrix."""

    def __init__(self, packed: Tensor, bias: Tensor | None) -> None:
        self.packed = packed
        self.bias = bias

    def __deepcopy__(self, memo: dict[int, Any]) -> "_PackedForward":
        """A copy of the network's modules reads the same packed matrices."""
        return self

    def __call__(self, rows: Float[Tensor, "... n_in"]) -> Float[Tensor, "... n_out"]:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            rows, self.packed, self.bias, "none", [], ""
        )
        return product


def _pack(plain: Runner, matrices: list[Tensor]) -> Runner | None:
    network, linears = plain.network, _linears(plain.network)
    n_bytes = sum(one.numel() * one.element_size() for one in matrices)
    single = all(one.dtype == torch.float32 and one.device.type == "cpu" for one in matrices)
    known = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    known = known and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    if not matrices or not single or n_bytes > MOST_BYTES or not known:
        return None
    # What is in the memo is taken instead of being copied.
    memo: dict[int, Any] = {
        id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())
    }
    copied: PreTrainedModel = copy.deepcopy(network, memo)
    blocks: dict[int, Tensor] = {}
    with torch.inference_mode():
        for name, linear in linears.items():
            if "forward" in vars(linear) or not linear.weight.is_contiguous():
                continue
            if id(linear.weight) not in blocks:
                blocks[id(linear.weight)] = _blocks(linear.weight)
            forward = _PackedForward(blocks[id(linear.weight)], linear.bias)
            copied.get_submodule(name).forward = forward
        if not _serves(copied, linears):
            return None
    names = {id(module): name for name, module in network.named_modules()}
    trunk = None if plain.trunk is None else copied.get_submodule(names[id(plain.trunk)])
    return Runner(copied, trunk)


def _blocks(matrix: Float[Tensor, "n_out n_in"]) -> Tensor:
    blocks: Tensor = torch.ops.mkldnn._reorder_linear_weight(matrix.detach(), N_ROWS)
    return blocks


def _serves(copied: nn.Module, linears: dict[str, nn.Linear]) -> bool:
    """Whether packed matrices give what PyTorch gives, tried on one of each shape."""
    shapes = {linear.weight.shape: name for name, linear in linears.items()}
    for shape, name in shapes.items():
        rows = torch.linspace(-1, 1, 3 * shape[1]).reshape(3, shape[1])
        expected = linears[name](rows)
        distance = (copied.get_submodule(name)(rows) - expected).abs().max()
        if not distance <= CLOSE * expected.abs().max():
            return False
    return True
