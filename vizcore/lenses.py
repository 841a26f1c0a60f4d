"""The logit lens: what a model would predict if it stopped after each of its layers.

Every state of the residual stream is given to what follows the last layer, final norm and
unembedding (nostalgebraist 2020), so one sees at which layer an answer appears, and when it stays.
Early states are in a basis that the unembedding was not made for; a tuned lens translates them
first (`vizcore.tuned_lens`). For the model's predictions themselves use `Trace.next_tokens`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vizcore.errors import SelectionError, ShapeError
from vizcore.residual_stream import no_stream, residual_stream
from vizcore.trace import Trace
from vizcore.trial import close
from vizcore.tuned_lens import TunedLens

POSITIONS_AT_ONCE, CELLS_AT_ONCE = 64, 256
"""How many positions, and how many rows of logits, are held at a time."""


@dataclass(frozen=True, eq=False)
class LogitLens:
    """What each layer's state says comes next, at each position. Made by `logit_lens`.

    All arrays have a row for each state, first the embedding's, then one after each layer, and a
    column for each position. The answer at a position is what the whole model finds likeliest
    there; the last row is the model's own prediction.

    Args:
        layers: the rows' layers: -1 for the embedding, then 0, 1, …
        positions: the columns' positions in the text.
        tokens: the text's tokens there.
        answer_ids, answers: of each column, the answer.
        top_ids, top_tokens, top_probabilities: the k likeliest tokens in each cell, best first.
        answer_probability: the probability of the answer in each cell.
        answer_rank: its rank, 1 for the likeliest.
        entropy: of the prediction, in bits.
        divergence: Kullback-Leibler from the model's own prediction, in nats: 0 in the last row.
        lens: "logit lens", or the name of what translated the states.
    """

    layers: tuple[int, ...]
    positions: tuple[int, ...]
    tokens: tuple[str, ...]
    answer_ids: tuple[int, ...]
    answers: tuple[str, ...]
    top_ids: Int[np.ndarray, "state position k"]
    top_tokens: tuple[tuple[tuple[str, ...], ...], ...]
    top_probabilities: Float[np.ndarray, "state position k"]
    answer_probability: Float[np.ndarray, "state position"]
    answer_rank: Int[np.ndarray, "state position"]
    entropy: Float[np.ndarray, "state position"]
    divergence: Float[np.ndarray, "state position"]
    lens: str

    def __repr__(self) -> str:
        return f"LogitLens({self.lens}, {len(self.layers)} states, {len(self.positions)} positions)"

    @property
    def row_labels(self) -> tuple[str, ...]:
        """What the rows are called."""
        return tuple("embedding" if layer < 0 else f"layer {layer}" for layer in self.layers)

    def to_frame(self) -> pd.DataFrame:
        """One row a cell.

        layer (-1: the embedding), position, token (of the text), top_token, top_token_id,
        top_probability, answer, answer_id, answer_probability, answer_rank, entropy (bits),
        divergence (nats).
        """
        n_states, n_positions = self.answer_rank.shape
        cells = [tokens[0] for row in self.top_tokens for tokens in row]
        return pd.DataFrame(
            {
                "layer": np.repeat(self.layers, n_positions),
                "position": np.tile(self.positions, n_states),
                "token": np.tile(np.array(self.tokens, dtype=object), n_states),
                "top_token": np.array(cells, dtype=object),
                "top_token_id": self.top_ids[:, :, 0].ravel(),
                "top_probability": self.top_probabilities[:, :, 0].ravel(),
                "answer": np.tile(np.array(self.answers, dtype=object), n_states),
                "answer_id": np.tile(self.answer_ids, n_states),
                "answer_probability": self.answer_probability.ravel(),
                "answer_rank": self.answer_rank.ravel(),
                "entropy": self.entropy.ravel(),
                "divergence": self.divergence.ravel(),
            }
        )

    def known_from(self) -> pd.DataFrame:
        """When the model knows: from which layer on the answer is likeliest, and stays so.

        Returns:
            One row a position: position, token, answer, answer_id, first_layer (the first at which
            the answer is the likeliest), known_from (from which on it is in every layer); -1 is
            the embedding.
        """
        best = self.answer_rank == 1  # state position; the last row is all True
        stays = np.flip(np.logical_and.accumulate(np.flip(best, axis=0), axis=0), axis=0)
        layers = np.array(self.layers)
        return pd.DataFrame(
            {
                "position": self.positions,
                "token": self.tokens,
                "answer": self.answers,
                "answer_id": self.answer_ids,
                "first_layer": layers[best.argmax(axis=0)],
                "known_from": layers[stays.argmax(axis=0)],
            }
        )


def logit_lens(
    trace: Trace,
    positions: Sequence[int] | None = None,
    *,
    k: int = 5,
    lens: TunedLens | None = None,
) -> LogitLens:
    """What every layer's state would predict, through the final norm and the unembedding.

    Takes one more forward pass, and for each layer as much as logits for all positions take. Of an
    encoder-decoder, it is the decoder's stream; of a masked model what it would put at each place.

    Args:
        positions: counted from 0, negative from the end; None for all.
        k: how many tokens are kept in each cell.
        lens: a tuned lens for the model, which translates each state first; None for none.

    Raises:
        MissingHeadError: if the model has no language-model head.
        CaptureError: if its residual stream is not found.
        SelectionError: if there is no such position, or k is not at least 1.
        ShapeError: if the lens was made for a network of other sizes.
    """
    ids = trace.source_ids if trace.target_ids is None else trace.target_ids
    labels = trace.source_tokens if trace.target_tokens is None else trace.target_tokens
    chosen = list(range(len(ids))) if positions is None else _checked(positions, len(ids))
    if k < 1:
        raise SelectionError(f"k must be at least 1, not {k}.")
    stream = residual_stream(trace.model)
    if lens is not None and (lens.n_layers, lens.d_model) != (stream.n_layers, stream.d_model):
        raise ShapeError(
            f"{lens.name} is for {lens.n_layers} layers of width {lens.d_model}, and "
            f"{trace.model.name} has {stream.n_layers} of width {stream.d_model}. Fit one for it: "
            "vizcore.fit_tuned_lens(model, file)."
        )
    states = [state[chosen] for state in stream.states(trace)]
    n_states, n_positions = len(states), len(chosen)
    cells: dict[str, np.ndarray] = {
        name: np.zeros((n_states, n_positions), np.float32)
        for name in ("answer_probability", "entropy", "divergence")
    }
    ranks = np.zeros((n_states, n_positions), np.int64)
    tops: list[tuple[np.ndarray, np.ndarray]] = []
    answer_ids: list[int] = []
    with torch.no_grad():
        for start in range(0, n_positions, POSITIONS_AT_ONCE):
            columns = slice(start, start + POSITIONS_AT_ONCE)
            read = [
                state[columns] if lens is None or row == n_states - 1
                # The last state is what the others are translated into.
                else lens.translate(state[columns], row - 1)
                for row, state in enumerate(states)
            ]  # fmt: skip
            made = stream.logits(read[-1][None])[0]
            if not close(made, trace.logits_at(chosen[columns])):
                raise no_stream(trace.model)
            final = made.float().log_softmax(dim=-1)
            answer = final.argmax(dim=-1)
            answer_ids += answer.tolist()
            best: list[tuple[np.ndarray, np.ndarray]] = []
            at_once = max(1, CELLS_AT_ONCE // len(answer))
            for first in range(0, n_states, at_once):
                rows = slice(first, first + at_once)
                predicted = stream.logits(torch.stack(read[rows])).float().log_softmax(dim=-1)
                own = predicted.gather(2, answer[None, :, None].expand(len(predicted), -1, 1))
                ranks[rows, columns] = ((predicted > own).sum(dim=2) + 1).cpu()
                cells["answer_probability"][rows, columns] = own[..., 0].exp().cpu()
                cells["entropy"][rows, columns] = (entropy(predicted) / math.log(2)).cpu()
                cells["divergence"][rows, columns] = divergence(final, predicted).cpu()
                found = predicted.topk(min(k, predicted.shape[2]))
                best.append((found.indices.cpu().numpy(), found.values.exp().cpu().numpy()))
            ids_here, shares_here = (np.concatenate(part) for part in zip(*best, strict=True))
            tops.append((ids_here, shares_here))
    top_ids = np.concatenate([part for part, _ in tops], axis=1)
    return LogitLens(
        layers=tuple(range(-1, n_states - 1)),
        positions=tuple(chosen),
        tokens=tuple(labels[position] for position in chosen),
        answer_ids=tuple(answer_ids),
        answers=tuple(trace.model.labels([one])[0] for one in answer_ids),
        top_ids=top_ids,
        top_tokens=_labels(trace, top_ids),
        top_probabilities=np.concatenate([part for _, part in tops], axis=1),
        answer_rank=ranks,
        lens="logit lens" if lens is None else lens.name,
        **cells,
    )


def entropy(log_probabilities: Float[Tensor, "*cell vocab"]) -> Float[Tensor, "*cell"]:
    """H(p) in nats; 0 · log 0 is 0, so that tokens that a network rules out do no harm."""
    shares = log_probabilities.exp()
    terms = torch.where(shares > 0, shares * log_probabilities, torch.zeros_like(shares))
    return -terms.sum(dim=-1)


def divergence(
    of: Float[Tensor, "*#cell vocab"], by: Float[Tensor, "*#cell vocab"]
) -> Float[Tensor, "*_"]:
    """KL(p ‖ q) in nats, of two log-distributions."""
    shares = of.exp()
    gap = of - by
    gap = torch.where(shares > 0, gap, torch.zeros_like(gap))
    return (shares * gap).sum(dim=-1).clamp(min=0)


def _labels(trace: Trace, ids: Int[np.ndarray, "s p k"]) -> tuple[tuple[tuple[str, ...], ...], ...]:
    known = {one: trace.model.labels([one])[0] for one in np.unique(ids).tolist()}
    return tuple(tuple(tuple(known[one] for one in cell) for cell in row) for row in ids.tolist())


def _checked(positions: Sequence[int], n_tokens: int) -> list[int]:
    for position in positions:
        if not -n_tokens <= position < n_tokens:
            raise SelectionError(
                f"There is no position {position}: the text has {n_tokens} tokens, so positions go "
                f"from 0 to {n_tokens - 1}, or from -1 backwards."
            )
    return [position % n_tokens for position in positions]
