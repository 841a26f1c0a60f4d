"""What temperature, top-k, top-p and min-p do to a distribution, step by step.

Each step changes the probabilities or cuts some of them away, in the order in which `transformers`
applies them. The same settings decide how `vizcore.generate` draws a token. For what a model
expects before any of this use `Trace.next_tokens`.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from vizcore.errors import SelectionError
from vizcore.trace import Trace

STEPS = ("temperature", "top_k", "top_p", "min_p")
"""The steps, in order."""


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn from what a model expects.

    Args:
        temperature: logits are divided by it: below 1 the likely become likelier, above 1 less so;
            0 takes the likeliest token always.
        top_k: only so many of the likeliest stay (more if the last of them are equally likely);
            None for all.
        top_p: only the likeliest that together have so much probability stay (nucleus sampling,
            Holtzman et al. 2020); None or 1 for all.
        min_p: only those at least so likely, beside the likeliest, stay (Nguyen et al. 2024); None
            or 0 for all.

    Raises:
        SelectionError: if one of them is out of its range.
    """

    temperature: float | int = 1.0
    top_k: int | None = None
    top_p: float | int | None = None
    min_p: float | int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise SelectionError(
                f"The temperature must be 0 or more, not {self.temperature}. 1 leaves the model's "
                "probabilities as they are."
            )
        if self.top_k is not None and self.top_k < 1:
            raise SelectionError(f"top_k must be at least 1, not {self.top_k}. None keeps all.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise SelectionError(
                f"top_p must be above 0 and at most 1, not {self.top_p}. None keeps all."
            )
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise SelectionError(f"min_p must be from 0 to 1, not {self.min_p}. None keeps all.")

    def steps(self, logits: Float[Tensor, " vocab"]) -> tuple[Float[Tensor, " vocab"], ...]:
        """The logits after each of `STEPS`, in float32; -inf where a token is cut away."""
        scores = logits.float()
        if self.temperature == 0:
            scores = torch.where(scores == scores.max(), 0.0, -torch.inf)
        else:
            scores = scores / self.temperature
        after = [scores]
        for cut in (self._below_top_k, self._outside_top_p, self._below_min_p):
            after.append(after[-1].masked_fill(cut(after[-1]), -torch.inf))
        return tuple(after)

    def probabilities(self, logits: Float[Tensor, " vocab"]) -> Float[Tensor, " vocab"]:
        """From what the next token is drawn."""
        return self.steps(logits)[-1].softmax(dim=-1)

    def _below_top_k(self, scores: Tensor) -> Tensor:
        if self.top_k is None:
            return torch.zeros_like(scores, dtype=torch.bool)
        return scores < scores.topk(min(self.top_k, len(scores))).values[-1]

    def _outside_top_p(self, scores: Tensor) -> Tensor:
        if self.top_p is None or self.top_p == 1:
            return torch.zeros_like(scores, dtype=torch.bool)
        # From the unlikeliest on, as long as all of them together have at most 1 - top_p.
        order = scores.sort().indices
        outside = scores[order].softmax(dim=-1).cumsum(dim=-1) <= 1 - self.top_p
        outside[-1] = False
        return torch.zeros_like(outside).scatter(0, order, outside)

    def _below_min_p(self, scores: Tensor) -> Tensor:
        if not self.min_p:
            return torch.zeros_like(scores, dtype=torch.bool)
        shares = scores.softmax(dim=-1)
        return shares < self.min_p * shares.max()


def sampling_table(
    trace: Trace, position: int = -1, *, sampling: Sampling, k: int | None = 50
) -> pd.DataFrame:
    """What the settings do to what the model expects after a position.

    Args:
        position: counted from 0; negative from the end.
        sampling: the settings.
        k: how many of the likeliest tokens; None for the whole vocabulary.

    Returns:
        One row a token, likeliest first: rank, token, token_id, probability (the model's own),
        then the probability after each step: temperature, top_k, top_p, min_p (the last one is
        what is drawn from); kept, and cut_by: the step that cut the token away, missing if none.
        Its `attrs` say n_kept, of n_tokens in the whole vocabulary.

    Raises:
        MissingHeadError: if the model has no language-model head.
        SelectionError: if there is no such position, or k is not at least 1.
    """
    n_positions = len(trace.source_ids if trace.target_ids is None else trace.target_ids)
    logits = trace.logits_at([position % n_positions])[0]
    table = trace.next_tokens(position, len(logits) if k is None else k)
    table = table.drop(columns="log_probability")
    ids = torch.tensor(table["token_id"].to_numpy(), device=logits.device)
    kept = np.ones(len(table), dtype=bool)
    cut_by = np.full(len(table), None, dtype=object)
    steps = sampling.steps(logits)
    table.attrs.update(n_kept=int(torch.isfinite(steps[-1]).sum()), n_tokens=len(logits))
    for name, scores in zip(STEPS, steps, strict=True):
        table[name] = scores.double().softmax(dim=-1)[ids].cpu().numpy()
        gone = kept & torch.isinf(scores[ids]).cpu().numpy()
        cut_by[gone] = name
        kept &= ~gone
    table["kept"] = kept
    table["cut_by"] = pd.Series(cut_by, dtype="object")
    return table
