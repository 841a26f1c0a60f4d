"""Tables of positions: a vector a position, learned or computed, that networks add to their tokens.

A table is told by its place in the network and judged by its numbers: those that are the formula's
sinusoids are sinusoidal, whatever the table is called and however it came there. A narrow table of
sinusoids is not added to anything: it is what queries and keys are rotated by.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from vizcore.encodings import PositionTable

N_COMPARED = 64
"""Rows of a table that are held against the formula; later ones have more rounding in them."""
POSITIONAL = re.compile(r"position|pos_enc|pos_emb|embed_pos|\bwpe\b")
NOT_ABSOLUTE = re.compile(r"relative|rel_|distance|token_type|segment|\b[xywh]_position")


@dataclass(frozen=True, eq=False)
class Table:
    """The numbers of a table in a network.

    Args:
        path: of the module that has it.
        values: all rows.
        n_skipped: rows before that of the first position.
        frequencies: if it is the formula's, radians a row for each pair; else None.
        is_sinusoidal: by its numbers, or else by what its module is called.
        is_narrow: whether its rows are too short to be added to a token's vector.
    """

    path: str
    values: Float[np.ndarray, "position dim"]
    n_skipped: int
    frequencies: Float[np.ndarray, " pair"] | None
    is_sinusoidal: bool
    is_narrow: bool


def find_tables(network: PreTrainedModel, modules: list[tuple[str, nn.Module]]) -> Iterator[Table]:
    """The tables of positions in these modules of the network, in their order."""
    embeddings = _token_embeddings(network)
    d_token = getattr(embeddings, "embedding_dim", None)
    for path, module in modules:
        if module is embeddings:
            continue
        for name, weights in _two_axes(module):
            leaf = path.rpartition(".")[2] if name == "weight" else name
            kind_of_module = type(module).__name__
            positional = POSITIONAL.search(leaf) or "Position" in kind_of_module
            if not positional or NOT_ABSOLUTE.search(f"{path.rpartition('.')[2]} {leaf}"):
                continue
            values = as_array(weights)
            rounded = weights.dtype in (torch.bfloat16, torch.float16)
            frequencies = frequencies_of(values, tolerance=1e-2 if rounded else 1e-3)
            yield Table(
                path=path,
                values=values,
                n_skipped=_first_row(module),
                frequencies=frequencies,
                is_sinusoidal=frequencies is not None or "Sinusoid" in kind_of_module,
                is_narrow=d_token is not None and values.shape[1] < d_token,
            )


def frequencies_of(
    table: Float[np.ndarray, "position dim"], *, tolerance: float = 1e-3
) -> Float[np.ndarray, " pair"] | None:
    """The frequencies of a table of sinusoids (radians a row), or None if it is none.

    Sines and cosines may alternate, as in the paper, or be in one half each; the slowest wave may
    have 10000 times the length of the fastest one or a little less, as Tensor2Tensor had it. A row
    of zeros, for padding, counts as right.
    """
    n_rows, half = min(len(table), N_COMPARED), table.shape[1] // 2
    if n_rows < 3 or half == 0:
        return None
    rows = table[:n_rows].astype(np.float64)
    matters = np.any(rows != 0, axis=1)
    for steps in (half, max(half - 1, 1)):
        frequencies = 10000.0 ** (-np.arange(half) / steps)
        angles = np.arange(n_rows)[:, None] * frequencies  # position pair
        waves = np.stack([np.sin(angles), np.cos(angles)], axis=-1)  # position pair 2
        alternating = waves.reshape(n_rows, 2 * half)
        in_halves = np.concatenate([waves[..., 0], waves[..., 1]], axis=1)
        for formula in (alternating, in_halves):
            if np.abs((rows[:, : 2 * half] - formula)[matters]).max(initial=0) < tolerance:
                single: np.ndarray = frequencies.astype(np.float32)
                return single
    return None


def table_of(
    values: Float[np.ndarray, "position dim"],
    kinds: tuple[str, ...],
    *,
    frequencies: Float[np.ndarray, " pair"] | None = None,
    is_sinusoidal: bool = False,
    n_skipped: int = 0,
) -> PositionTable:
    """The encoding that adds these rows, described."""
    n_positions, dim = values.shape
    if frequencies is not None:
        shortest, longest = 2 * np.pi / frequencies[0], 2 * np.pi / frequencies[-1]
        description = (
            f"Sinusoidal: a fixed pattern of {len(frequencies):,} sine-cosine pairs, waves from "
            f"{shortest:.1f} to {longest:,.0f} tokens long, is added to the tokens' vectors."
        )
    elif is_sinusoidal:
        description = (
            "Sinusoidal by its design, though the numbers in this table are not those of the "
            f"formula: one of {n_positions:,} vectors is added to each token's vector."
        )
    else:
        description = (
            f"Learned: each of {n_positions:,} positions has a vector of its own, {dim:,} numbers "
            "found in training, which is added to the token's vector."
        )
    return PositionTable(
        family="sinusoidal" if is_sinusoidal else "learned",
        kinds=kinds,
        layers=(),
        description=description,
        values=values,
        n_skipped=n_skipped,
        frequencies=frequencies,
    )


def as_array(weights: Tensor) -> Float[np.ndarray, "..."]:
    """A copy in float32 that nobody can write to."""
    array: np.ndarray = weights.detach().to("cpu", torch.float32, copy=True).numpy()
    array.flags.writeable = False
    return array


def _token_embeddings(network: PreTrainedModel) -> Any:
    try:
        return network.get_input_embeddings()
    except (NotImplementedError, AttributeError):  # CANINE, for one, reads characters
        return None


def _two_axes(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """A module's own tables of numbers: an embedding's weights, or buffers."""
    weights = getattr(module, "weight", None)
    # Not all are PyTorch's own: I-BERT rounds its embeddings.
    if "Embedding" in type(module).__name__ and isinstance(weights, Tensor) and weights.ndim == 2:
        yield "weight", weights
    for name, buffer in module.named_buffers(recurse=False):
        if buffer.ndim == 2 and buffer.is_floating_point():
            yield name, buffer


def _first_row(module: nn.Module) -> int:
    """The row of a table that belongs to the first position of a text."""
    # RoBERTa and its kin count on from the padding id; BART, OPT and XGLM leave out two rows.
    offset, padding = getattr(module, "offset", 0), getattr(module, "padding_idx", None)
    if isinstance(padding, int) and not (offset and "XGLM" in type(module).__name__):
        return padding + 1
    return offset if isinstance(offset, int) else 0
