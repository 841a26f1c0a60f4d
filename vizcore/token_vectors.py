"""The vectors of a text's tokens, watched and changed on their way into a network.

The idea: whatever an architecture does with a text begins with `functional.embedding`, asked for
the text's ids; so that one function is watched in this thread, and its answer is handed on, made a
leaf of automatic differentiation, or replaced. Ids stay as they are, so positions and masks made
from them do too, and nothing is written on the network. Not for networks that take their vectors
from somewhere else (hashes of characters); those are refused in words.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from vizcore.capture import Relay, relay_of_thread, without_cache
from vizcore.errors import CaptureError
from vizcore.model import Model

Side = Literal["source", "target"]
"""Which text: that of a model of one stack, or the encoder's, is the source."""


@dataclass(frozen=True, eq=False)
class Lookup:
    """One look into a table of vectors, for all tokens of a batch.

    Args:
        side: whose tokens.
        table: what was looked into, (vocabulary, width). Some networks have several.
    """

    side: Side
    table: Tensor

    @property
    def key(self) -> tuple[Side, int]:
        """The same for the same text and table."""
        return self.side, self.table.data_ptr()


@dataclass(eq=False)
class TokenVectors(TorchFunctionMode):
    """While it is open, this thread's networks get the vectors of these tokens from `answer`.

    Args:
        ids: the ids of each text, (batch, token).
        answer: from a lookup and what it found, (batch, token, width), to what the network gets.
        table: the network's table of token vectors, by which a lookup is known whatever its ids.
    """

    ids: Mapping[Side, Tensor]
    answer: Callable[[Lookup, Tensor], Tensor]
    table: Tensor | None = None
    found: list[Lookup] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        # The network's own weights are constants here: none of them needs a gradient.
        args = tuple(one.detach() if isinstance(one, nn.Parameter) else one for one in args)
        given = {
            name: one.detach() if isinstance(one, nn.Parameter) else one
            for name, one in given.items()
        }
        result = func(*args, **given)
        return self._answered(args, given, result) if func is functional.embedding else result

    def _answered(self, args: tuple[Any, ...], given: dict[str, Any], result: Tensor) -> Tensor:
        ids = args[0] if args else given["input"]
        table = args[1] if len(args) > 1 else given["weight"]
        side = self._side(ids, table)
        if side is None:
            return result
        lookup = Lookup(side, table)
        self.found.append(lookup)
        n_tokens = self.ids[side].shape[1]  # some networks pad a text to whole windows
        vectors = self.answer(lookup, result[:, :n_tokens])
        if n_tokens == result.shape[1]:
            return vectors
        return torch.cat([vectors, result[:, n_tokens:]], dim=1)

    def _side(self, ids: Tensor, table: Tensor) -> Side | None:
        """Whose tokens these are; the encoder's come first if both texts are the same."""
        sides = [side for side, its in self.ids.items() if _begins_with(ids, its)]
        if not sides or (_is_counted(ids) and not self._is_of_tokens(table)):
            return None
        asked = {(one.side, one.table.data_ptr()) for one in self.found}
        new = [side for side in sides if (side, table.data_ptr()) not in asked]
        return (new or sides)[0]

    def _is_of_tokens(self, table: Tensor) -> bool:
        return self.table is None or table.data_ptr() == self.table.data_ptr()


def _begins_with(ids: Tensor, text: Tensor) -> bool:
    fits = ids.ndim == 2 and len(ids) == len(text) and ids.shape[1] >= text.shape[1]
    return fits and torch.equal(ids[:, : text.shape[1]], text.to(ids.dtype))


def _is_counted(ids: Tensor) -> bool:
    """Whether they could be positions: each one more than the one before."""
    return bool((ids.diff(dim=1) == 1).all())


def table_of(model: Model) -> Tensor | None:
    """The model's table of token vectors, if its architecture says which it is."""
    try:
        embeddings: Any = model.network.get_input_embeddings()
    except NotImplementedError:
        return None
    weight: Tensor | None = getattr(embeddings, "weight", None)
    return None if weight is None else weight.detach()


def texts_of(inputs: Mapping[str, Tensor]) -> dict[Side, Tensor]:
    """The ids of each text in a network's arguments."""
    found: dict[Side, Tensor] = {"source": inputs["input_ids"]}
    if "decoder_input_ids" in inputs:
        found["target"] = inputs["decoder_input_ids"]
    return found


def log_probabilities(
    model: Model,
    inputs: Mapping[str, Tensor],
    rows: Tensor,
    positions: Tensor,
    token_ids: Tensor,
) -> Float[Tensor, " asked"]:
    """How likely tokens are at some places of a batch, in nats; gradients pass through.

    Args:
        inputs: arguments of the network's forward.
        rows, positions, token_ids: what is asked: which token, where.
    """
    flat = rows * texts_of(inputs)[_read_on(inputs)].shape[1] + positions
    places, at = torch.unique(flat, return_inverse=True)
    logits = logits_at(model, inputs, places)
    return logits[at, token_ids] - logits.logsumexp(dim=1)[at]


def logits_at(
    model: Model, inputs: Mapping[str, Tensor], places: Tensor
) -> Float[Tensor, "place vocab"]:
    """The network's logits at some places of a flattened batch; gradients pass through."""
    network, trunk = model.network, model._capture.trunk
    if trunk is None or "decoder_input_ids" in inputs:
        output = network(**inputs, **without_cache(network))
        logits: Tensor = output.logits.flatten(0, 1)[places]
        return logits.float()
    hidden = trunk(**inputs, **without_cache(trunk))
    chosen = hidden.last_hidden_state.flatten(0, 1)[places][None]
    token = relay_of_thread.set(Relay(given=type(hidden)(last_hidden_state=chosen)))
    try:
        logits = network(**inputs, **without_cache(network)).logits[0]
    finally:
        relay_of_thread.reset(token)
    return logits.float()


def _read_on(inputs: Mapping[str, Tensor]) -> Side:
    return "target" if "decoder_input_ids" in inputs else "source"


def no_vectors(model: Model) -> CaptureError:
    """What is said of a network whose tokens' vectors were not found."""
    return CaptureError(
        f"{model.name} does not look its tokens up in a table of vectors, so none of them can be "
        "changed or followed on its own, and it cannot be said which of them mattered. Where it "
        "looks is there: trace.map."
    )
