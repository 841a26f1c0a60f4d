"""One run of a network's copy in which states, what blocks add, and all LayerNorms are kept.

The idea: sums are found by their numbers, so what passes is kept and nothing is changed; a norm,
its scale taken as it came out, is linear in the parts of what went in. It serves
`vizcore.token_contributions`; for the states alone take `vizcore.residual_stream`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from vizcore.stream_editor import StreamEdit


@dataclass(frozen=True, eq=False)
class Norm:
    """A LayerNorm that ran: what went in and came out, and what it does to a part of that."""

    given: Float[Tensor, "position d_model"]
    made: Float[Tensor, "position d_model"]
    slope: Float[Tensor, "position d_model"]
    bias: Tensor | None

    @classmethod
    def of(
        cls,
        made: Tensor,
        input: Tensor,
        normalized_shape: Sequence[int],
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
    ) -> "Norm":
        """From a call of `layer_norm`."""
        given = input.detach().float().flatten(0, -2)
        scale = (given.var(dim=-1, keepdim=True, correction=0) + eps).rsqrt()
        gain = scale.expand_as(given) if weight is None else scale * weight.detach().float()
        return cls(given, made.detach().float().flatten(0, -2), gain, bias)

    def part(
        self, vectors: Float[Tensor, "*part d_model"], position: int
    ) -> Float[Tensor, "*part d_model"]:
        """Parts of what went in at a position, as they come out."""
        return (vectors - vectors.mean(dim=-1, keepdim=True)) * self.slope[position]


@dataclass(eq=False)
class LayerRun(TorchFunctionMode):
    """A run of the copy, in which the states and what blocks add are kept, and all norms."""

    states: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    norms: list[Norm] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def keeping(self, name: str, layer: int) -> StreamEdit:
        """Keeps what passes, and changes nothing."""

        def keep(vectors: Tensor, _: int) -> Tensor:
            self.states[name, layer] = vectors[0].detach().float()
            return vectors

        return keep

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is functional.layer_norm:
            self.norms.append(Norm.of(result, *args, **(kwargs or {})))
        return result
