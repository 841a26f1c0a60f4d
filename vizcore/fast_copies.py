"""Copies of networks whose matrices are in bfloat16: half the memory traffic, and faster products.

Only matrices are copied; embeddings, norms, the residual stream and all sums stay in float32, and
are shared with the network that was copied, which is never written to. A copy is made when it is
first asked for and kept as long as the network is. It rounds: every table that it made says by how
much, measured on a sample.
"""

import copy
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from vizcore.asked_rows import Runner
from vizcore.errors import SelectionError
from vizcore.model import Model
from vizcore.packed_copies import packed_runner
from vizcore.precision import has_fast_bfloat16

N_SAMPLED = 8
"""On how many sentences the error is measured."""


@dataclass(frozen=True)
class RoundingError:
    """How far log-likelihoods computed in bfloat16 are from those of the network as it is, in nats.

    Args:
        dtype: in which precision matrices were multiplied.
        n_sentences: on how many sentences it was measured.
        mean_error: the mean distance, without its sign.
        largest_error: the largest distance.
        mean_error_per_token: the mean distance of a token's log-probability.
    """

    dtype: str
    n_sentences: int
    mean_error: float | int
    largest_error: float | int
    mean_error_per_token: float | int

    def to_dict(self) -> dict[str, Any]:
        """As it stands in `table.attrs["precision"]`."""
        return asdict(self)


def rounding_error(exact: Sequence[np.ndarray], fast: Sequence[np.ndarray]) -> RoundingError:
    """The error, from the log-probabilities of the same sentences' tokens in both precisions."""
    pairs = [(one, other) for one, other in zip(exact, fast, strict=True) if len(one)]
    if not pairs:
        return RoundingError("bfloat16", 0, 0.0, 0.0, 0.0)
    errors = np.abs([one.sum() - other.sum() for one, other in pairs])
    per_token = np.concatenate([np.abs(one - other) for one, other in pairs])
    return RoundingError(
        "bfloat16", len(pairs), float(errors.mean()), float(errors.max()), float(per_token.mean())
    )


def runner_of(model: Model, precision: str) -> Runner:
    """What runs the model in this precision; the model as it is where bfloat16 is no faster.

    Raises:
        SelectionError: if there is no such precision.
    """
    if precision not in ("exact", "fast"):
        raise SelectionError(
            f'There is no precision {precision!r}: it is "exact" (the model as it is) or "fast" '
            "(bfloat16, where the hardware has it)."
        )
    single = model.network.dtype == torch.float32
    if precision == "exact" or not single or not has_fast_bfloat16(model.network.device):
        return packed_runner(model)
    plain = Runner.of(model)
    with _copying:
        if model.network not in _copies:
            _copies[model.network] = _half_copy(plain)
        return _copies[model.network]


_copies: WeakKeyDictionary[nn.Module, Runner] = WeakKeyDictionary()
_copying = threading.Lock()


def _half_copy(plain: Runner) -> Runner:
    """The same network with the matrices that are multiplied in bfloat16."""
    network = plain.network
    tables = {
        id(parameter)
        for module in network.modules()
        if isinstance(module, nn.Embedding)
        for parameter in module.parameters(recurse=False)
    }
    # What is in the memo is taken instead of being copied.
    memo: dict[int, Any] = {id(buffer): buffer for buffer in network.buffers()}
    halved: dict[int, nn.Parameter] = {}
    for parameter in network.parameters():
        is_matrix = parameter.ndim > 1 and id(parameter) not in tables
        memo[id(parameter)] = _halved(parameter, halved) if is_matrix else parameter
    names = {id(module): name for name, module in network.named_modules()}
    copied: PreTrainedModel = copy.deepcopy(network, memo)
    for module in copied.modules():
        # A head that shares its matrix with the embedding gets one of its own.
        weight = getattr(module, "weight", None)
        if isinstance(module, nn.Linear) and weight is not None and weight.dtype == torch.float32:
            module.weight = _halved(weight, halved)
    trunk = None if plain.trunk is None else copied.get_submodule(names[id(plain.trunk)])
    return Runner(copied, trunk, half=True)


def _halved(parameter: nn.Parameter, known: dict[int, nn.Parameter]) -> nn.Parameter:
    if id(parameter) not in known:
        data = parameter.detach().to(torch.bfloat16)
        known[id(parameter)] = nn.Parameter(data, requires_grad=False)
    return known[id(parameter)]
