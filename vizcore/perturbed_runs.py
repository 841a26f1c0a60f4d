"""Runs a question with some of its tokens replaced, or on the way from nothing to the text.

Occlusion, deletion curves and integrated gradients all ask the same: what is the value if some
tokens' vectors are others? Rows are run together, a bounded number of tokens at a time. What
replaces a token is one vector of the same table, stated in words.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vizcore.attribution_targets import Question
from vizcore.capture import vocabulary_size
from vizcore.errors import CaptureError, SelectionError
from vizcore.model import Model
from vizcore.token_scores import TOKENS_AT_ONCE, runs_together
from vizcore.token_vectors import (
    Lookup,
    TokenVectors,
    log_probabilities,
    no_vectors,
    table_of,
    texts_of,
)

LOGITS_AT_ONCE = 1 << 25
"""How many logits are held at a time: 128 MB."""
Stand = Literal["mask", "mean", "zero"]


@dataclass(frozen=True)
class Replacement:
    """What stands for a token that is taken away.

    Args:
        by: "mask" (the tokenizer's mask token), "mean" (the mean of all tokens' vectors) or "zero"
            (a vector of zeros).
        token_id: of the mask token.
    """

    by: Stand
    token_id: int | None = None

    @classmethod
    def of(cls, model: Model, by: str | None) -> "Replacement":
        """The one of that name; None for the mask token, or the mean where there is none.

        Raises:
            SelectionError: if there is no such replacement, or the tokenizer has no mask token.
        """
        mask: int | None = getattr(model.tokenizer, "mask_token_id", None)
        if by is None:
            return cls("mean") if mask is None else cls("mask", mask)
        if by == "mask" and mask is None:
            raise SelectionError(
                f"The tokenizer of {model.name} has no mask token: tokens are replaced by the "
                '"mean" of all vectors, or "zero".'
            )
        for known in ("mask", "mean", "zero"):
            if by == known:
                return cls(known, mask if by == "mask" else None)
        raise SelectionError(f'A token is replaced by "mask", "mean" or "zero", not by {by!r}.')

    def vector(self, table: Float[Tensor, "vocab width"]) -> Float[Tensor, " width"]:
        """From a table of vectors."""
        if self.by == "zero":
            return torch.zeros_like(table[0])
        if self.by == "mean" or self.token_id is None or self.token_id >= len(table):
            return table.mean(dim=0)
        return table[self.token_id]


def values(
    question: Question,
    keep: Bool[np.ndarray, "run feature"],
    replacement: Replacement,
    *,
    progress: Callable[[float], None] | None = None,
) -> Float[np.ndarray, " run"]:
    """The value, in nats, if only some tokens are kept and the others replaced.

    Args:
        keep: for each run, which of the question's features stay.
        replacement: what the others become.
        progress: told the share that is done.

    Raises:
        CaptureError: if the network does not look tokens up.
    """
    distinct, number = np.unique(keep, axis=0, return_inverse=True)
    found = np.zeros(len(distinct))
    for batch in batches(question, len(distinct), TOKENS_AT_ONCE):
        drop = question.own[batch.rows] & ~distinct[batch.runs]
        hidden = places(question, drop)

        def replaced(lookup: Lookup, vectors: Tensor, hidden: dict[str, Tensor] = hidden) -> Tensor:
            its = hidden.get(lookup.side)
            other = replacement.vector(lookup.table).to(vectors.dtype)
            return vectors if its is None else torch.where(its[..., None], other, vectors)

        with torch.inference_mode():
            shares = _run(question, batch, replaced)
        np.add.at(found, batch.asked_run, (shares.double().cpu().numpy() * batch.signs))
        if progress is not None:
            progress((batch.runs[-1] + 1) / len(distinct))
    return found[number.reshape(-1)]


def gradients(
    question: Question,
    shares: Float[np.ndarray, " step"],
    replacement: Replacement | None,
    *,
    progress: Callable[[float], None] | None = None,
) -> tuple[Float[np.ndarray, "step feature"], Float[np.ndarray, " step"]]:
    """How the value grows along the way from the replacement to the text.

    Args:
        shares: at which points of the way, from 0 (all replaced) to 1 (the text).
        replacement: where the way begins; None for zeros.

    Returns:
        At each point, for each feature, the gradient times (its vector - the replacement's), summed
        over dimensions, and the value in nats.

    Raises:
        CaptureError: if the network does not look tokens up, or has no gradients.
    """
    found = np.zeros((len(shares), len(question.features)))
    reached = np.zeros(len(shares))
    for batch in batches(question, len(shares), TOKENS_AT_ONCE // 2):
        moving = places(question, question.own[batch.rows])
        share = torch.from_numpy(shares[batch.runs]).to(question.model.network.device)
        leaves: dict[Any, tuple[str, Tensor, Tensor]] = {}

        def on_the_way(
            lookup: Lookup,
            vectors: Tensor,
            moving: dict[str, Tensor] = moving,
            share: Tensor = share,
            leaves: dict[Any, tuple[str, Tensor, Tensor]] = leaves,
        ) -> Tensor:
            its = moving.get(lookup.side)
            if its is None:
                return vectors
            if lookup.key not in leaves:
                start = torch.zeros_like(vectors)
                if replacement is not None:
                    start = start + replacement.vector(lookup.table).to(vectors.dtype)
                way = torch.where(its[..., None], vectors - start, torch.zeros_like(vectors))
                at = vectors - (1 - share).to(vectors.dtype)[:, None, None] * way
                leaves[lookup.key] = (lookup.side, at.detach().requires_grad_(), way.detach())
            return leaves[lookup.key][1].clone()  # so that it can be written into

        with torch.enable_grad():
            log_shares = _run(question, batch, on_the_way)
            value = (log_shares * torch.from_numpy(batch.signs).to(log_shares)).sum()
            slopes = _slopes(question, value, [leaf for _, leaf, _ in leaves.values()])
        np.add.at(
            reached, batch.asked_run, log_shares.detach().double().cpu().numpy() * batch.signs
        )
        for (side, _, way), slope in zip(leaves.values(), slopes, strict=True):
            product = (slope.double() * way.double()).sum(dim=-1).cpu().numpy()
            for number, (its_side, position) in enumerate(question.features):
                if its_side == side:
                    np.add.at(found[:, number], batch.runs, product[:, position])
        if progress is not None:
            progress((batch.runs[-1] + 1) / len(shares))
    return found, reached


def _slopes(question: Question, value: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    try:
        slopes = torch.autograd.grad(value, leaves, allow_unused=True)
    except RuntimeError as error:
        raise no_gradients(question.model) from error
    if all(slope is None for slope in slopes):
        raise no_gradients(question.model)
    return [
        torch.zeros_like(leaf) if slope is None else slope
        for slope, leaf in zip(slopes, leaves, strict=True)
    ]


def no_gradients(model: Model) -> CaptureError:
    """What is said of a network that cannot be differentiated."""
    return CaptureError(
        f"What {model.name} expects cannot be differentiated by its tokens' vectors, so there are "
        "no gradients. Replacing tokens one by one needs none: the method is called occlusion."
    )


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows that are run together: the question's own, once for each of some runs.

    Args:
        rows: for each, the question's row.
        runs: for each, the run that it belongs to.
        asked_row, asked_run, positions, token_ids, signs: what is asked, one line each.
    """

    rows: np.ndarray
    runs: np.ndarray
    asked_row: np.ndarray
    asked_run: np.ndarray
    positions: np.ndarray
    token_ids: np.ndarray
    signs: np.ndarray


def batches(question: Question, n_runs: int, tokens_at_once: int) -> Iterator[Rows]:
    """All rows of all runs, a bounded number of tokens and logits at a time."""
    n_tokens = sum(ids.shape[1] for ids in texts_of(question.inputs).values())
    asked_of = [question.asked[question.asked[:, 0] == row] for row in range(question.n_rows)]
    most = max(len(one) for one in asked_of)
    vocabulary = vocabulary_size(question.model.network)
    size = min(tokens_at_once // n_tokens, LOGITS_AT_ONCE // (most * vocabulary))
    if not runs_together(question.model):
        size = 1
    every = np.arange(n_runs * question.n_rows)
    for start in range(0, len(every), max(1, size)):
        chosen = every[start : start + max(1, size)]
        rows, runs = chosen % question.n_rows, chosen // question.n_rows
        asked = [asked_of[row] for row in rows]
        lengths = [len(one) for one in asked]
        lines = np.concatenate(asked)
        yield Rows(
            rows=rows,
            runs=runs,
            asked_row=np.repeat(np.arange(len(rows)), lengths),
            asked_run=np.repeat(runs, lengths),
            positions=lines[:, 1],
            token_ids=lines[:, 2],
            signs=lines[:, 3].astype(np.float64),
        )


def places(question: Question, chosen: Bool[np.ndarray, "row feature"]) -> dict[str, Tensor]:
    """Chosen features of each row as places in the texts, (row, token) each."""
    found: dict[str, Tensor] = {}
    for side, ids in texts_of(question.inputs).items():
        numbers = [at for at, (its, _) in enumerate(question.features) if its == side]
        if numbers:
            whole = np.zeros((len(chosen), ids.shape[1]), bool)
            whole[:, [question.features[at][1] for at in numbers]] = chosen[:, numbers]
            found[side] = torch.from_numpy(whole).to(ids.device)
    return found


def _run(question: Question, batch: Rows, answer: Callable[[Lookup, Tensor], Tensor]) -> Tensor:
    """The asked log-probabilities of these rows, with vectors as they are answered."""
    rows = torch.from_numpy(batch.rows)
    inputs = {
        name: one[rows.to(one.device)] if len(one) == question.n_rows else one.expand(len(rows), -1)
        for name, one in question.inputs.items()
    }
    device = question.model.network.device
    asked = [
        torch.from_numpy(one).to(device)
        for one in (batch.asked_row, batch.positions, batch.token_ids)
    ]
    with TokenVectors(texts_of(inputs), answer, table_of(question.model)) as watched:
        found = log_probabilities(question.model, inputs, *asked)
    if not {side for side, _ in question.features} <= {one.side for one in watched.found}:
        raise no_vectors(question.model)
    return found
