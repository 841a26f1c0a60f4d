"""What is measured when something in a run is changed: one number for the run, from its logits.

A metric says at which positions it needs logits, so that no others are made, and what it makes of
them. The ones here are those that the literature uses: the log-probability of a token, a difference
of two logits, the divergence from the unedited prediction, the log-likelihood of the text. Anything
else is a function of the logits. Not for how well a model does on many texts: see
`vizcore.evaluation`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any, SupportsIndex

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vizcore.asked_rows import LOGITS_AT_ONCE, n_logits
from vizcore.errors import MissingHeadError, SelectionError
from vizcore.lenses import divergence
from vizcore.model import Model
from vizcore.trace import Trace

KEPT_LOGITS = 1 << 25
"""Up to so many log-probabilities of the unedited run are kept (128 MB); more are made anew."""


@dataclass(frozen=True)
class LogProbability:
    """log P(token) in nats, at one position.

    Args:
        token: a token id, or a text that is one token of the model (often with a space before it);
            None for the one that the unedited model finds likeliest.
        position: after which token of the text (of an encoder-decoder, of its target) it is asked;
            of a masked model, where it stands. Negative from the end. None for the last one; of a
            masked model, for the one place that is masked, if there is one.
    """

    token: SupportsIndex | str | None = None
    position: int | None = None


@dataclass(frozen=True)
class LogitDifference:
    """The logit of one token minus that of another, at one position: log P(one) / P(other).

    Args:
        token, against: ids, or texts that are one token each. None for the likeliest and the second
            likeliest of the unedited model.
        position: as in `LogProbability`.
    """

    token: SupportsIndex | str | None = None
    against: SupportsIndex | str | None = None
    position: int | None = None


@dataclass(frozen=True)
class KLDivergence:
    """KL(unedited ‖ edited) in nats: how much the prediction changes, whichever tokens it is about.

    Args:
        position: as in `LogProbability`; "all" for the mean over all positions.
    """

    position: int | str | None = None


@dataclass(frozen=True)
class LogLikelihood:
    """log P(text) in nats: the sum over its tokens, each given those before it.

    Of an encoder-decoder: of the target, given the source. A first token with nothing before it is
    not scored.
    """


Metric = LogProbability | LogitDifference | KLDivergence | LogLikelihood
LogitFunction = Callable[[Float[Tensor, "position vocab"]], float | int | Tensor]
"""Logits of one run at all positions, float32 -> a number."""
PlaceFunction = Callable[
    [Float[Tensor, "place vocab"], Int[Tensor, " place"]], Float[Tensor, " place"]
]
"""Logits at some places, and which of the metric's positions each is -> a number for each."""


@dataclass(frozen=True, eq=False)
class Measure:
    """A metric, made ready for one text.

    Args:
        label: what is measured, in words.
        positions: where logits are needed.
        at: logits (place, vocab), and the number of each place among the positions -> a number for
            each place. None if `whole` is there.
        mean: whether the places' numbers are averaged and not added up.
        whole: a function of all logits of a run.
    """

    label: str
    positions: tuple[int, ...]
    at: (
        Callable[[Float[Tensor, "place vocab"], Int[Tensor, " place"]], Float[Tensor, " place"]]
        | None
    )
    mean: bool = False
    whole: LogitFunction | None = None


def values(
    measure: Measure,
    logits: Callable[[Sequence[int], slice], Float[Tensor, "row position vocab"]],
    n_rows: int,
    vocab_size: int,
) -> Float[np.ndarray, " row"]:
    """What is measured of each run of a batch; a bounded number of logits is held at a time.

    Args:
        logits: gives the logits of some rows at some positions.
    """
    found = np.zeros(n_rows)
    positions = measure.positions
    if measure.whole is not None:
        for row in range(n_rows):
            own = logits(positions, slice(row, row + 1))[0].float()
            found[row] = float(measure.whole(own))
        return found
    assert measure.at is not None  # noqa: S101 - a measure has one or the other
    n_columns = max(1, min(len(positions), LOGITS_AT_ONCE // vocab_size))
    at_once = max(1, LOGITS_AT_ONCE // (vocab_size * n_columns))
    for first in range(0, n_rows, at_once):
        rows = slice(first, min(first + at_once, n_rows))
        for left in range(0, len(positions), n_columns):
            made = logits(positions[left : left + n_columns], rows).float()
            numbers = torch.arange(left, left + made.shape[1], device=made.device)
            each = measure.at(made.flatten(0, 1), numbers.repeat(len(made)))
            found[rows] += each.view(len(made), -1).double().sum(dim=1).cpu().numpy()
    return found / len(positions) if measure.mean else found


def value(trace: Trace, measure: Measure) -> float:
    """What is measured of a trace."""

    def logits(positions: Sequence[int], rows: slice) -> Tensor:
        return trace.logits_at(list(positions))[None]

    with torch.inference_mode():
        return float(values(measure, logits, 1, n_logits(trace.model.network))[0])


def measure(trace: Trace, metric: Metric | LogitFunction | None) -> Measure:
    """The metric for this text; None for the log-probability of the likeliest token.

    Raises:
        MissingHeadError: if the model has no language-model head, or, of a log-likelihood, sees the
            tokens that it is asked about.
        SelectionError: if there is no such position or token.
    """
    model = trace.model
    if not model.has_head:
        raise MissingHeadError(
            f"{model.name} has no language-model head, so it predicts nothing that an edit could "
            'change. Load a model with one, such as "smollm2-135m".'
        )
    match metric:
        case None:
            return _log_probability(trace, LogProbability())
        case LogProbability():
            return _log_probability(trace, metric)
        case LogitDifference():
            return _logit_difference(trace, metric)
        case KLDivergence():
            return _divergence(trace, metric)
        case LogLikelihood():
            return _log_likelihood(trace)
    if not callable(metric):
        raise SelectionError(
            f"{metric!r} is no metric. Take vizcore.LogProbability, LogitDifference, KLDivergence "
            "or LogLikelihood, or a function of logits (position, vocabulary)."
        )
    name = getattr(metric, "__name__", type(metric).__name__)
    return Measure(name, tuple(range(len(_ids(trace)))), None, whole=metric)


def _log_probability(trace: Trace, metric: LogProbability) -> Measure:
    position = asked_position(trace, metric.position)
    chosen = _token(trace, metric.token, position)

    def at(logits: Tensor, _: Tensor) -> Tensor:
        return logits[:, chosen] - logits.logsumexp(dim=1)

    label = trace.model.labels([chosen])[0]
    return Measure(f"log-probability of {label} at position {position}", (position,), at)


def _logit_difference(trace: Trace, metric: LogitDifference) -> Measure:
    position = asked_position(trace, metric.position)
    chosen = _token(trace, metric.token, position)
    if metric.against is None:
        best = trace.logits_at([position])[0].topk(2).indices.tolist()
        other = next(one for one in best if one != chosen)
    else:
        other = _token(trace, metric.against, position)

    def at(logits: Tensor, _: Tensor) -> Tensor:
        return logits[:, chosen] - logits[:, other]

    one, against = trace.model.labels([chosen, other])
    return Measure(
        f"logit of {one} minus that of {against} at position {position}", (position,), at
    )


def _divergence(trace: Trace, metric: KLDivergence) -> Measure:
    everywhere = metric.position == "all"
    if isinstance(metric.position, str) and not everywhere:
        raise SelectionError(
            f'KLDivergence is taken at a position, or at "all" of them, not at {metric.position!r}.'
        )
    if everywhere or isinstance(metric.position, str):
        positions = tuple(range(len(_ids(trace))))
        label = "KL divergence from the unedited predictions, mean over all positions"
    else:
        positions = (asked_position(trace, metric.position),)
        label = f"KL divergence from the unedited prediction at position {positions[0]}"
    few = len(positions) * n_logits(trace.model.network) <= KEPT_LOGITS
    kept = trace.logits_at(positions).float().log_softmax(dim=-1) if few else None

    def original(numbers: Tensor) -> Tensor:
        if kept is not None:
            return kept[numbers]
        rows = [positions[number] for number in numbers.tolist()]
        return trace.logits_at(rows).float().log_softmax(dim=-1)

    def at(logits: Tensor, numbers: Tensor) -> Tensor:
        return divergence(original(numbers), logits.log_softmax(dim=1))

    return Measure(label, positions, at, mean=True)


def _log_likelihood(trace: Trace) -> Measure:
    model = trace.model
    if model.kind == "encoder":
        raise MissingHeadError(
            f"{model.name} sees the whole text at once, so its tokens are not scored one after "
            "another. Mask a token and take LogProbability at its place, or a model that reads "
            'from left to right, such as "smollm2-135m".'
        )
    ids = _ids(trace)
    if len(ids) < 2:
        raise SelectionError(
            "A text of one token has no likelihood to change: nothing stands before it."
        )
    following = torch.tensor(ids[1:], device=model.network.device)

    def at(logits: Tensor, numbers: Tensor) -> Tensor:
        said = logits.gather(1, following[numbers][:, None])[:, 0]
        return said - logits.logsumexp(dim=1)

    return Measure("log-likelihood of the text", tuple(range(len(ids) - 1)), at)


def asked_position(trace: Trace, position: int | None) -> int:
    """The position that is meant, counted from 0.

    Raises:
        SelectionError: if there is no such position.
    """
    ids = _ids(trace)
    if position is None:
        mask = getattr(trace.model.tokenizer, "mask_token_id", None)
        masked = [place for place, token_id in enumerate(ids) if token_id == mask]
        only = trace.model.kind == "encoder" and len(masked) == 1
        return masked[0] if only else len(ids) - 1
    if not -len(ids) <= position < len(ids):
        raise SelectionError(
            f"There is no position {position}: the text has {len(ids)} tokens, so positions go "
            f"from 0 to {len(ids) - 1}, or from -1 backwards."
        )
    return position % len(ids)


def token_of(model: Model, token: SupportsIndex | str, vocab_size: int) -> int:
    """The id of a token that is given as one, or as its text.

    Raises:
        SelectionError: if there is no such token, or the text is not one token.
    """
    if isinstance(token, str):
        tokenizer: Any = model.tokenizer
        if tokenizer is None:
            raise SelectionError(
                f"{model.name} came without a tokenizer, so a token is given by its id."
            )
        with model._tokenizing:
            ids = list(tokenizer(token, add_special_tokens=False, verbose=False)["input_ids"])
        if len(ids) != 1:
            pieces = ", ".join(model.labels(ids)) or "none"
            raise SelectionError(
                f"{token!r} is not one token of {model.name}: it is {len(ids)} ({pieces}). Give "
                "the first of them, or a token id."
            )
        return int(ids[0])
    chosen = index(token)
    if not 0 <= chosen < vocab_size:
        raise SelectionError(f"There is no token {chosen}: ids go from 0 to {vocab_size - 1}.")
    return chosen


def _token(trace: Trace, token: SupportsIndex | str | None, position: int) -> int:
    logits = trace.logits_at([position])[0]
    if token is None:
        return int(logits.argmax())
    return token_of(trace.model, token, len(logits))


def _ids(trace: Trace) -> Sequence[int]:
    return trace.source_ids if trace.target_ids is None else trace.target_ids
