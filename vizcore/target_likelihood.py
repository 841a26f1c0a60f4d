"""How likely an encoder-decoder finds the tokens of a target, given its source.

Scored is what its training loss scores: every token that the tokenizer makes of the target, the end
of the text included, since a translation that stops too early is not the one that was asked about.
Sources of one length are run together, so that none is padded.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vizcore.asked_rows import Answers, Batch, Runner, ask, questions
from vizcore.capture import text_inputs
from vizcore.errors import ModelFilesError
from vizcore.model import Model, decoder_start
from vizcore.sentences import encode_all
from vizcore.token_scores import TOKENS_AT_ONCE, runs_together


@dataclass(frozen=True)
class Translated:
    """A source, what the decoder reads, and what it should say after each token of that."""

    source: tuple[int, ...]
    read: tuple[int, ...]
    said: tuple[int, ...]

    @property
    def scored(self) -> tuple[int, ...]:
        """The tokens that are scored."""
        return self.said


def translated(
    model: Model, targets: Sequence[str], sources: Sequence[str], *, start: int
) -> list[Translated]:
    """What is run for each of these targets.

    Raises:
        TextError: if a text is empty, too long, or not encodable.
        ModelFilesError: if it is not known what the decoder reads first.
    """
    distinct = list(dict.fromkeys(sources))
    source_ids = dict(zip(distinct, encode_all(model, distinct, start=start), strict=True))
    rows = encode_all(model, targets, start=start, target=True)
    return [
        Translated(tuple(source_ids[source]), tuple(_shifted(model, row)), tuple(row))
        for source, row in zip(sources, rows, strict=True)
    ]


def _shifted(model: Model, labels: list[int]) -> list[int]:
    """What the decoder reads for these labels: the same, one place to the right."""
    network: Any = model.network
    shift = getattr(network, "prepare_decoder_input_ids_from_labels", None)
    if shift is not None and getattr(network.config, "decoder_start_token_id", None) is not None:
        return [int(token_id) for token_id in shift(torch.tensor([labels]))[0]]
    beginning = decoder_start(network)
    if beginning is None:
        raise ModelFilesError(
            f"The configuration of {model.name} has no decoder_start_token_id, so it is not known "
            "what its decoder reads first, and its targets cannot be scored."
        )
    return [beginning, *labels[:-1]]


def target_scores(
    model: Model, pairs: Sequence[Translated], *, runner: Runner | None = None
) -> list[Answers]:
    """What the model expected of every token of each target."""
    runner = runner or Runner.of(model)
    found = [Answers(np.empty(0))] * len(pairs)
    for batch in _batches(pairs, TOKENS_AT_ONCE if runs_together(model) else 1):
        its = [pairs[number] for number in batch]
        for number, answers in zip(batch, _ask(runner, its), strict=True):
            found[number] = answers
    return found


def _batches(pairs: Sequence[Translated], tokens_at_once: int) -> Iterator[list[int]]:
    of_length: dict[int, list[int]] = defaultdict(list)
    for number, pair in enumerate(pairs):
        of_length[len(pair.source)].append(number)
    for length, numbers in sorted(of_length.items()):
        numbers.sort(key=lambda number: len(pairs[number].read))
        batch: list[int] = []
        for number in numbers:
            size = length + len(pairs[number].read)
            if batch and (len(batch) + 1) * size > tokens_at_once:
                yield batch
                batch = []
            batch.append(number)
        yield batch


def _ask(runner: Runner, pairs: Sequence[Translated]) -> list[Answers]:
    width = max(len(pair.read) for pair in pairs)
    reads = [(*pair.read, *[pair.read[0]] * (width - len(pair.read))) for pair in pairs]
    device = runner.network.device
    asked = [
        (row * width + place, token_id)
        for row, pair in enumerate(pairs)
        for place, token_id in enumerate(pair.said)
    ]
    places, at, token_ids, numbers = questions(asked, device)
    inputs = text_inputs(
        runner.network,
        torch.tensor([pair.source for pair in pairs], device=device),
        torch.tensor(reads, device=device),
    )
    values = ask(runner, Batch(inputs, places, at, token_ids)).log_probabilities[numbers]
    ends = np.cumsum([len(pair.said) for pair in pairs]).tolist()
    return [
        Answers(values[end - len(pair.said) : end]) for pair, end in zip(pairs, ends, strict=True)
    ]
