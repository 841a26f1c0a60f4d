"""Writing, token by token: what was chosen, how likely it was, and what else there was.

`generate` yields a small frozen step for each token as soon as it is chosen. A step keeps ids and
numbers and nothing of the run; the attention behind it is computed if somebody asks (`trace`).
What is drawn depends on the seed alone, and each step has a random number of its own, so another
token can be forced at one step and the rest drawn with the same luck. For the likeliest whole text
use `beam_tree`; for one that is finished already, `vizcore.translate`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import index
from typing import Any, SupportsIndex

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from vizcore.edit_checks import Text
from vizcore.edited_runs import EditedRun
from vizcore.editing import editing
from vizcore.edits import Edit
from vizcore.errors import SelectionError
from vizcore.model import Model
from vizcore.readers import RereadingReader, TextReader, beginning, open_text, reads_with_cache
from vizcore.sampling import Sampling
from vizcore.trace import Trace
from vizcore.translation import ends_of

GREEDY = Sampling(temperature=0)
"""The likeliest token, always."""


@dataclass(frozen=True, eq=False)
class GenerationStep:
    """One token that was written. Made by `generate`.

    Args:
        model: what wrote it.
        source_ids: of an encoder-decoder, what its encoder read.
        read_ids: what had been read when the token was chosen; the text so far begins with the
            prompt (of an encoder-decoder with the start token).
        n_prompt: how many of those were not written by the model.
        step: counted from 0.
        token, token_id: what was chosen.
        probability: the model's own probability of it, before temperature and cuts.
        log_probability: its natural logarithm.
        drawn_probability: with what probability it was drawn, after them; 0 if it was cut away.
        rank: 1 for the model's likeliest.
        alternatives: the k likeliest: rank, token, token_id, probability, log_probability,
            drawn_probability, is_chosen.
        forced: whether it was given, not drawn.
        is_end: whether it ends the text.
        edits: what was changed while it was written.
    """

    model: Model
    source_ids: tuple[int, ...] | None
    read_ids: tuple[int, ...]
    n_prompt: int
    step: int
    token: str
    token_id: int
    probability: float
    log_probability: float
    drawn_probability: float
    rank: int
    alternatives: pd.DataFrame
    forced: bool
    is_end: bool
    edits: tuple[Edit, ...] = ()

    def __repr__(self) -> str:
        return f"GenerationStep({self.step}, {self.token!r}, {self.probability:.3f})"

    @property
    def ids(self) -> tuple[int, ...]:
        """What has been read and written, this token included."""
        return (*self.read_ids, self.token_id)

    @property
    def text(self) -> str:
        """What the model has written up to here, to read; "" without a tokenizer."""
        tokenizer: Any = self.model.tokenizer
        if tokenizer is None:
            return ""
        written = list(self.ids[self.n_prompt :])
        return str(tokenizer.decode(written, skip_special_tokens=True))

    def trace(self) -> Trace:
        """The run in which the token was chosen, computed now: the last row of its maps is where
        the model looked then, and its last logits are what the token was drawn from."""
        ids = [self.read_ids] if self.source_ids is None else [self.source_ids, self.read_ids]
        trace = self.model.trace(*ids)
        if not self.edits:
            return trace
        text = Text(trace.source_ids, trace.target_ids, n_prompt=self.n_prompt)
        edited = editing(self.model, self.edits).run(text)
        return replace(trace, run=self.model._run(text, edited), edits=self.edits)


def generate(
    model: Model,
    text: str | Sequence[int],
    *,
    target: str | Sequence[int] | None = None,
    sampling: Sampling = GREEDY,
    seed: int = 0,
    forced: Mapping[int, SupportsIndex] | None = None,
    max_new_tokens: int = 50,
    k: int = 10,
    edits: Sequence[Edit] = (),
) -> Iterator[GenerationStep]:
    """Let a model write, and look at every token as it comes.

    Args:
        model: a decoder, or an encoder-decoder.
        text: what is gone on from; of an encoder-decoder, its source. A text, or token ids.
        target: of an encoder-decoder, what its target begins with: a text, or ids that begin with
            the start token. None for the start token alone.
        sampling: how a token is drawn; as it is, the likeliest is taken.
        seed: the same seed draws the same text.
        forced: for some steps, counted from 0, the id of the token that is taken there.
        max_new_tokens: where it stops if the text does not end by itself, or the model's context
            does not end before.
        k: how many alternatives each step keeps.
        edits: what is changed while it writes (`vizcore.edits`). Those of all positions also hold
            for what is written; patches, patterns of your own and resampling for the prompt alone.
            Positions count from the beginning, negative ones from the end of the prompt.

    Returns:
        An iterator over the steps; each is computed when it is asked for. The last one has `is_end`
        if the text ended by itself.

    Raises:
        TextError: if the model writes nothing, or a text is empty, too long or not encodable.
        MissingHeadError: if it predicts no tokens.
        SelectionError: if k or max_new_tokens is not at least 1, or a forced token is not in the
            vocabulary, or an edit names a layer, head or position that is not there.
    """
    source_ids, ids, limit = beginning(model, text, target)
    for name, number in (("k", k), ("max_new_tokens", max_new_tokens)):
        if number < 1:
            raise SelectionError(f"{name} must be at least 1, not {number}.")
    given = {index(step): index(token_id) for step, token_id in (forced or {}).items()}
    model.encode(list(given.values()) or ids)  # refuses what is not in the vocabulary
    n_steps = max_new_tokens if limit is None else min(max_new_tokens, limit - len(ids) + 1)
    edited: EditedRun | None = None
    if edits:
        reads_with_cache(model)  # tried now, before anything is changed
        text_ids, target_ids = (ids, None) if source_ids is None else (source_ids, ids)
        edited = editing(model, edits).run(Text(text_ids, target_ids, n_prompt=len(ids)))
    steps = _steps(
        model, source_ids, ids, sampling, random_numbers(seed), given, n_steps, k, edited
    )
    return (replace(step, edits=tuple(edits)) for step in steps) if edits else steps


def random_numbers(seed: int) -> Iterator[float]:
    """Numbers between 0 and 1, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield float(torch.rand((), generator=generator, dtype=torch.float64))


def _steps(
    model: Model,
    source_ids: list[int] | None,
    prompt: list[int],
    sampling: Sampling,
    luck: Iterator[float],
    forced: Mapping[int, int],
    n_steps: int,
    k: int,
    edited: EditedRun | None,
) -> Iterator[GenerationStep]:
    ends = ends_of(model)
    ids, unread = list(prompt), list(prompt)
    reader: TextReader | None = None
    for step in range(n_steps):
        with torch.inference_mode():
            tokens = torch.tensor([unread], device=model.network.device)
            if edited is None:
                reader = open_text(model, source_ids) if reader is None else reader
                logits = reader.read(tokens)[0].float()
            else:
                n_read = 0 if isinstance(reader, RereadingReader) else len(ids) - len(unread)
                with edited.open(first_query=n_read):
                    if reader is None:
                        reader = open_text(model, source_ids, network=edited.network)
                    logits = reader.read(tokens)[0].float()
            number = next(luck)  # also where it is not needed, so that later ones stay the same
            shares = sampling.probabilities(logits)
            chosen = forced[step] if step in forced else _draw(logits, shares, number)
            log_probabilities = logits.log_softmax(dim=-1)
            log_probability = float(log_probabilities[chosen])
            alternatives = _alternatives(model, log_probabilities, shares, chosen, k)
            rank = int((log_probabilities > log_probabilities[chosen]).sum()) + 1
        yield GenerationStep(
            model=model,
            source_ids=None if source_ids is None else tuple(source_ids),
            read_ids=tuple(ids),
            n_prompt=len(prompt),
            step=step,
            token=model.labels([chosen])[0],
            token_id=chosen,
            probability=float(np.exp(log_probability)),
            log_probability=log_probability,
            drawn_probability=float(shares[chosen]),
            rank=rank,
            alternatives=alternatives,
            forced=step in forced,
            is_end=chosen in ends,
        )
        if chosen in ends:
            return
        ids.append(chosen)
        unread = [chosen]


def _draw(logits: Float[Tensor, " vocab"], shares: Float[Tensor, " vocab"], number: float) -> int:
    """The token at which the probabilities, likeliest first, have added up to more than this."""
    n_left = int((shares > 0).sum())
    if n_left == 1:
        return int(shares.argmax())
    best = shares.double().sort(descending=True, stable=True)
    total = best.values[:n_left].cumsum(dim=0)
    place = int(torch.searchsorted(total, number * float(total[-1]), right=True))
    return int(best.indices[min(place, n_left - 1)])


def _alternatives(
    model: Model,
    log_probabilities: Float[Tensor, " vocab"],
    shares: Float[Tensor, " vocab"],
    chosen: int,
    k: int,
) -> pd.DataFrame:
    best = log_probabilities.topk(min(k, len(log_probabilities)))
    ids = best.indices.tolist()
    log_probability = best.values.double().cpu().numpy()
    return pd.DataFrame(
        {
            "rank": np.arange(1, len(ids) + 1),
            "token": [model.labels([token_id])[0] for token_id in ids],
            "token_id": ids,
            "probability": np.exp(log_probability),
            "log_probability": log_probability,
            "drawn_probability": shares[best.indices].double().cpu().numpy(),
            "is_chosen": [token_id == chosen for token_id in ids],
        }
    )
