"""What an attribution explains: a token, one rather than another, or a text's likelihood.

The idea: each of these is a sum of log-probabilities at some places of some rows that are run (a
masked model needs a row for every hidden token), so all methods work on one `Question` and know
nothing of kinds of models. Tokens that cannot matter, those after the place that is asked of a
decoder, are not run at all. For how a logit is put together of parts of the network, see
`vizcore.direct_attribution`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vizcore.capture import text_inputs
from vizcore.errors import MissingHeadError, SelectionError, TextError
from vizcore.model import Model
from vizcore.selection import check_unedited
from vizcore.token_vectors import Side, logits_at
from vizcore.token_words import special_ids
from vizcore.trace import Trace


@dataclass(frozen=True)
class AttributionTarget:
    """What is explained.

    Args:
        token: the token whose log-probability it is: its id, or a text of one token; None for the
            likeliest.
        against: another token, whose log-probability is taken away: why the one rather than the
            other.
        position: after which token it is asked; negative from the end, None for the last. Of an
            encoder-decoder in its target. Of a masked model the position itself, which is hidden
            from it first; None for the first hidden one, else the last.
        of: "token", or "likelihood": the log-likelihood of the whole text (of an encoder-decoder:
            of its target; of a masked model the pseudo-log-likelihood, Salazar et al. 2020).
    """

    token: int | str | None = None
    against: int | str | None = None
    position: int | None = None
    of: Literal["token", "likelihood"] = "token"


@dataclass(frozen=True, eq=False)
class Question:
    """A target for one trace: what is run, what is asked of it, and what may matter.

    Args:
        model: the model.
        inputs: arguments of its forward, one row or several.
        asked: row, position and token of each log-probability that is part of the value, and 1 or
            -1; one line each, in ascending order of row and position.
        features: side, position of each token that may matter.
        own: for each row and feature, whether the token stands there (in rows of a masked model
            one is hidden).
        measure: "token", "contrast" or "likelihood".
        position, token, against: of a token, where it is asked, and the ids.
    """

    model: Model
    inputs: dict[str, Tensor]
    asked: np.ndarray
    features: list[tuple[Side, int]]
    own: Bool[np.ndarray, "row feature"]
    measure: Literal["token", "contrast", "likelihood"]
    position: int | None = None
    token: int | None = None
    against: int | None = None

    @property
    def n_rows(self) -> int:
        """How many rows are run at a time."""
        return len(self.own)

    def probability(self, value: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """A value in nats as a number from 0 to 1 that can be read.

        Of a token its probability; of a contrast that of the one among the two; of a likelihood the
        geometric mean of the tokens' probabilities.
        """
        if self.measure == "contrast":
            found: np.ndarray = 1 / (1 + np.exp(-np.clip(value, -700, 700)))
            return found
        scale = len(self.asked) if self.measure == "likelihood" else 1
        shared: np.ndarray = np.exp(value / scale)
        return shared


def question(
    trace: Trace, target: AttributionTarget | None = None, *, first: bool = False
) -> Question:
    """The target as what is run and asked.

    Args:
        first: whether a decoder's first token may matter, too, if it is one of the text. Heads park
            there what they don't need (the attention sink), so without it a model breaks, whatever
            the text says.

    Raises:
        MissingHeadError: if the model has no language-model head.
        SelectionError: if there is no such position or token.
        TextError: if there is nothing to explain, or nothing that could matter.
    """
    model, target = trace.model, target or AttributionTarget()
    check_unedited(trace, "Attributions")
    if not model.has_head:
        raise MissingHeadError(
            f"{model.name} has no language-model head, so it expects no tokens, and there is "
            'nothing to explain. Load a model with one, such as "smollm2-135m".'
        )
    if target.of not in ("token", "likelihood"):
        raise SelectionError(
            f'What is explained is of a "token" or the "likelihood", not {target.of!r}.'
        )
    if target.of == "likelihood":
        if (target.token, target.against, target.position) != (None, None, None):
            raise SelectionError(
                "The likelihood is of the whole text: leave out token, against and position, or "
                'ask for of="token".'
            )
        return _whole(trace, first)
    return _of_token(trace, target, first)


def _whole(trace: Trace, first: bool) -> Question:
    model, ids = trace.model, trace.source_ids
    if model.kind == "encoder":
        hidden = _mask_id(model)
        scored = _own(model, ids)
        rows = [[hidden if at == place else one for at, one in enumerate(ids)] for place in scored]
        asked = [(row, place, ids[place], 1) for row, place in enumerate(scored)]
        features: list[tuple[Side, int]] = [("source", place) for place in scored]
        return _question(trace, rows, None, asked, features, ~np.eye(len(scored), dtype=bool))
    read = ids if trace.target_ids is None else trace.target_ids
    asked = [(0, place, token_id, 1) for place, token_id in enumerate(read[1:])]
    if not asked:
        raise TextError(
            f"Nothing of this text is scored: {model.name} has nothing before its only token. "
            "Give a longer text."
        )
    return _question(
        trace, *_read(trace, len(read) - 1), asked, _before(trace, len(read) - 1, first)
    )


def _of_token(trace: Trace, target: AttributionTarget, first: bool) -> Question:
    model = trace.model
    ids = trace.source_ids if trace.target_ids is None else trace.target_ids
    position = _position(model, ids, target.position)
    row: list[int] = list(ids)
    if model.kind == "encoder":
        row[position] = _mask_id(model)
        features = [one for one in _before(trace, len(ids), first) if one[1] != position]
        texts: tuple[list[list[int]], list[int] | None] = ([row], None)
    else:
        features = _before(trace, position + 1, first)
        texts = _read(trace, position + 1)
    plain = _question(trace, *texts, [(0, position, 0, 1)], features)
    with torch.inference_mode():
        every = logits_at(model, plain.inputs, torch.tensor([position]))[0]
    token = int(every.argmax()) if target.token is None else _id(model, target.token, every)
    asked = [(0, position, token, 1)]
    against = None
    if target.against is not None:
        against = _id(model, target.against, every)
        if against == token:
            raise SelectionError(
                f"Token {token} ({model.labels([token])[0]}) is to be explained against itself: "
                "give another one."
            )
        asked.append((0, position, against, -1))
    return _question(
        trace, *texts, asked, features, position=position, token=token, against=against
    )


def _question(
    trace: Trace,
    rows: list[list[int]],
    target_ids: list[int] | None,
    asked: Sequence[tuple[int, int, int, int]],
    features: list[tuple[Side, int]],
    own: Bool[np.ndarray, "row feature"] | None = None,
    *,
    position: int | None = None,
    token: int | None = None,
    against: int | None = None,
) -> Question:
    if not features:
        raise TextError(
            "There is no token that could have mattered: of the text, nothing but its first token "
            "(which is always kept) stands before the place that is asked. Give a longer text, or "
            "a later position."
        )
    device = trace.model.network.device
    target_row = None if target_ids is None else torch.tensor([target_ids], device=device)
    inputs = text_inputs(trace.model.network, torch.tensor(rows, device=device), target_row)
    return Question(
        model=trace.model,
        inputs=inputs,
        asked=np.array(asked, np.int64).reshape(-1, 4),
        features=features,
        own=np.ones((len(rows), len(features)), bool) if own is None else own,
        measure="likelihood" if token is None else "token" if against is None else "contrast",
        position=position,
        token=token,
        against=against,
    )


def _read(trace: Trace, n_tokens: int) -> tuple[list[list[int]], list[int] | None]:
    """What is run so that the last token that is read is that of the number."""
    if trace.target_ids is None:
        return [trace.source_ids[:n_tokens]], None
    return [trace.source_ids], trace.target_ids[:n_tokens]


def _before(trace: Trace, n_tokens: int, first: bool) -> list[tuple[Side, int]]:
    """The tokens that may matter, of so many that are read."""
    model = trace.model
    if trace.target_ids is None:
        own = _own(model, trace.source_ids[:n_tokens])
        return [("source", at) for at in own if at or first or model.kind == "encoder"]
    source: list[tuple[Side, int]] = [("source", at) for at in _own(model, trace.source_ids)]
    # The first token of a target is the start token, whatever the tokenizer calls it.
    return source + [("target", at) for at in _own(model, trace.target_ids[:n_tokens]) if at]


def _own(model: Model, ids: Sequence[int]) -> list[int]:
    """Where tokens of the text itself stand."""
    special = set() if model.tokenizer is None else special_ids(model.tokenizer)
    return [at for at, token_id in enumerate(ids) if token_id not in special]


def _position(model: Model, ids: Sequence[int], position: int | None) -> int:
    if position is None and model.kind == "encoder":
        mask = getattr(model.tokenizer, "mask_token_id", None)
        masked = [at for at, token_id in enumerate(ids) if token_id == mask]
        return (masked or _own(model, ids)[-1:] or [len(ids) - 1])[0]
    chosen = -1 if position is None else position
    if not -len(ids) <= chosen < len(ids):
        raise SelectionError(
            f"There is no position {chosen}: the text has {len(ids)} tokens, so positions go "
            f"from 0 to {len(ids) - 1}, or from -1 backwards."
        )
    return chosen % len(ids)


def _mask_id(model: Model) -> int:
    mask: int | None = getattr(model.tokenizer, "mask_token_id", None)
    if mask is None:
        raise SelectionError(
            f"{model.name} reads the whole text at once, and its tokenizer has no mask token, so "
            "no token can be hidden from it and asked for."
        )
    return mask


def _id(model: Model, token: int | str, logits: Float[Tensor, " vocab"]) -> int:
    """The id that is meant. Of a word with and without a space before it, the likelier."""
    if not isinstance(token, str):
        if not 0 <= token < len(logits):
            raise SelectionError(f"There is no token {token}: ids go from 0 to {len(logits) - 1}.")
        return token
    if model.tokenizer is None:
        raise SelectionError(
            f"{model.name} came without a tokenizer, so a token is named by its id, not by "
            f"{token!r}."
        )
    tokenizer: Any = model.tokenizer
    with model._tokenizing:
        readings = [
            list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
            for text in (token, f" {token}")
        ]
    single = [one[0] for one in readings if len(one) == 1]
    if single:
        return int(max(single, key=lambda one: float(logits[one])))
    shortest = min((one for one in readings if one), key=len, default=[])
    pieces = ", ".join(f"“{one}”" for one in model.labels(shortest))
    raise SelectionError(
        f"“{token}” is {len(shortest)} tokens for {model.name} ({pieces}), and one token is "
        "explained at a time: give one of them."
    )
