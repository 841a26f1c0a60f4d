"""What an encoder-decoder wrote, token by token, and what it could have written instead.

The idea: decoding is a row of choices. The decoder's own reading gives the probability of every
token at every step at once, so a finished translation shows all the roads not taken, and another
beginning can be forced by giving its ids. Probabilities come from the trace of the finished target,
not from the search that found it. For how translations are judged, see the evaluation of corpora.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from vizcore.decoding import end_ids
from vizcore.errors import SelectionError, TextError
from vizcore.maps import AttentionMap
from vizcore.model import MAX_TARGET_TOKENS, Model
from vizcore.trace import Trace


@dataclass(frozen=True, eq=False)
class Translation:
    """A source, a target, and how likely each of the target's tokens was.

    Args:
        trace: of both.
        ended: whether the target ends, by the model's end-of-text token; it is the last step then.
        steps: one row a step: step (from 0), token, token_id, probability, log_probability (nats)
            and rank (1 for the likeliest) of what was written there.
        alternatives: the k likeliest tokens of each step, best first: step, token, token_id,
            probability, log_probability, rank, and is_written where it is the one that was.
        text: the target to read, without special tokens; "" without a tokenizer.
    """

    trace: Trace
    ended: bool
    steps: pd.DataFrame
    alternatives: pd.DataFrame
    text: str

    def __repr__(self) -> str:
        return f"Translation({self.text!r}, {self.log_likelihood:.2f} nats)"

    @property
    def log_likelihood(self) -> float:
        """log P(target | source) in nats; with the end, if it ended."""
        return float(self.steps["log_probability"].sum())

    def beginning(self, step: int, token_id: int) -> list[int]:
        """What `translate` is given as `prefix` to force another token at a step.

        Raises:
            SelectionError: if there is no such step.
        """
        if not 0 <= step < len(self.steps):
            raise SelectionError(
                f"There is no step {step}: there are {len(self.steps)}, counted from 0."
            )
        assert self.trace.target_ids is not None  # noqa: S101 - an encoder-decoder's always has
        return [*self.trace.target_ids[: step + 1], token_id]

    def alignment(self, layer: int | None = None, head: int | None = None) -> AttentionMap:
        """Where the decoder looked in the source while it wrote each token.

        A row is what was written, not what the decoder had just read, as in a map of the trace.

        Args:
            layer: counted from 0; None for the mean of all layers.
            head: counted from 0; None for the mean of all heads.

        Raises:
            SelectionError: if there is no such layer or head, or a head without its layer.
        """
        if layer is None and head is not None:
            raise SelectionError(f"Head {head} of which layer? Give a layer too, or no head.")
        trace = self.trace
        layers = trace.layers("cross") if layer is None else (layer,)
        maps = [trace.attention(one, head, "cross") for one in layers]
        mean = torch.stack([one if head is not None else one.mean(0) for one in maps]).mean(0)
        return AttentionMap(
            values=mean[: len(self.steps)],
            query_tokens=self.steps["token"],
            key_tokens=trace.source_tokens,
            layer=layer,
            head=head,
            kind="cross",
        )


def translate(
    model: Model,
    source: str | Sequence[int],
    *,
    target: str | Sequence[int] | None = None,
    prefix: Sequence[int] = (),
    n_beams: int = 1,
    k: int = 5,
) -> Translation:
    """Let an encoder-decoder write a target for a source, or look at one that is given.

    Args:
        model: an encoder-decoder with a language-model head.
        source: what is to be translated, or anything else that it reads: a text, or token ids.
        target: what to score instead of what the model would write: a text, or ids that begin
            with the start token.
        prefix: ids that the target has to begin with, the start token first; the rest is
            written by the model. `Translation.beginning` makes one. If the end token is in it,
            the target ends there.
        n_beams: how many beginnings are kept in a search for the likeliest target; with 1, the
            likeliest token is taken each time.
        k: how many alternatives are kept for each step.

    Raises:
        TextError: if the model reads one text only, or a text is empty, too long or not encodable.
        MissingHeadError: if it predicts no tokens.
        SelectionError: if k is not at least 1.
    """
    if model.kind != "encoder-decoder":
        raise TextError(
            f"{model.name} does not translate: it reads one text. Take an encoder-decoder, such as "
            '"tatoeba-translator".'
        )
    if k < 1:
        raise SelectionError(f"k must be at least 1, not {k}.")
    ends = ends_of(model)
    source_ids = model.encode(source)
    given, ended = _given(model, target, ends)
    if given is None:
        given, ended = _written(model, source_ids, list(prefix), ends, n_beams)
    trace = model.trace(source_ids, given)
    ids = trace.target_ids or []
    log_probabilities = trace.logits.float().log_softmax(dim=-1)  # step vocab
    written = ids[1:]
    if ended:
        written.append(max(ends, key=lambda end: float(log_probabilities[-1, end])))
    return Translation(
        trace=trace,
        ended=ended,
        steps=_steps(model, log_probabilities[: len(written)], written),
        alternatives=_alternatives(model, log_probabilities, written, k),
        text=_text(model, ids),
    )


def _given(
    model: Model, target: str | Sequence[int] | None, ends: frozenset[int]
) -> tuple[str | list[int] | None, bool]:
    """The target to score, and whether it ends. A text does; ids may go on."""
    if target is None or isinstance(target, str):
        return target, bool(ends)
    ids = list(target)
    ended = len(ids) > 1 and ids[-1] in ends
    return (ids[:-1] if ended else ids), ended


def _written(
    model: Model, source_ids: list[int], begun: list[int], ends: frozenset[int], n_beams: int
) -> tuple[list[int], bool]:
    """What the decoder has read once the target is written, and whether it ended there."""
    closed = next((at for at, one in enumerate(begun) if at and one in ends), None)
    if closed is not None:
        return begun[:closed], True
    ids = model.write(source_ids, begun or None, n_beams=n_beams)
    had_room = len(ids) - max(len(begun), 1) < MAX_TARGET_TOKENS
    had_room &= model.max_tokens is None or len(ids) < model.max_tokens
    return ids, bool(ends) and had_room


def ends_of(model: Model) -> frozenset[int]:
    """The tokens that end a target."""
    for settings in (getattr(model.network, "generation_config", None), model.network.config):
        ends: Any = getattr(settings, "eos_token_id", None)
        if ends is not None:
            return end_ids(ends)
    return frozenset()


def _steps(
    model: Model, log_probabilities: Float[Tensor, "step vocab"], written: list[int]
) -> pd.DataFrame:
    ids = torch.tensor(written, dtype=torch.long, device=log_probabilities.device)
    own = log_probabilities.gather(1, ids[:, None])  # step 1
    ranks = (log_probabilities > own).sum(dim=1) + 1
    log_probability = own[:, 0].double().cpu().numpy()
    return pd.DataFrame(
        {
            "step": np.arange(len(written)),
            "token": model.labels(written),
            "token_id": written,
            "probability": np.exp(log_probability),
            "log_probability": log_probability,
            "rank": ranks.tolist(),
        }
    )


def _alternatives(
    model: Model, log_probabilities: Float[Tensor, "step vocab"], written: list[int], k: int
) -> pd.DataFrame:
    best = log_probabilities.topk(min(k, log_probabilities.shape[1]))
    n_steps, n_best = best.indices.shape
    ids = best.indices.flatten().tolist()
    log_probability = best.values.flatten().double().cpu().numpy()
    steps = np.repeat(np.arange(n_steps), n_best)
    then = [*written, *[None] * (n_steps - len(written))]  # after the last token nothing was
    return pd.DataFrame(
        {
            "step": steps,
            "token": [model.labels([token_id])[0] for token_id in ids],
            "token_id": ids,
            "probability": np.exp(log_probability),
            "log_probability": log_probability,
            "rank": np.tile(np.arange(1, n_best + 1), n_steps),
            "is_written": [token_id == then[at] for token_id, at in zip(ids, steps, strict=True)],
        }
    )


def _text(model: Model, ids: Sequence[int]) -> str:
    tokenizer: Any = model.tokenizer
    return "" if tokenizer is None else str(tokenizer.decode(ids, skip_special_tokens=True)).strip()
