"""Pseudo-log-likelihood: how likely a masked model finds each token of a text, given all others.

Each token is hidden in turn, in a copy of the text of its own, and the model is asked what stood
there (Salazar et al. 2020). Of a word of several pieces the later ones give the earlier away; so
they can be hidden too (Kauf & Ivanova 2023). Copies of one length are run together, without
padding, so the numbers don't depend on what else is in a batch.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vizcore.asked_rows import Answers, Batch, Runner, ask, questions
from vizcore.capture import text_inputs
from vizcore.errors import SelectionError
from vizcore.model import Model
from vizcore.sentences import Passage, passages
from vizcore.token_scores import TOKENS_AT_ONCE, runs_together
from vizcore.token_words import special_ids, token_words


@dataclass(frozen=True)
class Cloze:
    """One text, and what is hidden in each of its copies.

    Args:
        ids: token ids, special tokens included.
        asked: the places that are asked about, one copy each.
        hidden: for each copy the places that are hidden, the asked one among them.
    """

    ids: tuple[int, ...]
    asked: tuple[int, ...]
    hidden: tuple[tuple[int, ...], ...]

    @property
    def scored(self) -> tuple[int, ...]:
        """The tokens that are scored."""
        return tuple(self.ids[place] for place in self.asked)


def clozes(
    model: Model,
    sentences: Sequence[str],
    given: Sequence[str] | None,
    *,
    start: int,
    separator: str,
    masking: str,
) -> list[Cloze]:
    """What is run for each of these sentences.

    Args:
        given, start, separator: as in `vizcore.sentences.passages`.
        masking: "original" hides the asked token alone, "within_word_l2r" also those that follow it
            in its word, as the tokenizer splits words.

    Raises:
        TextError: if a sentence is empty, too long, or not encodable.
        SelectionError: if there is no such masking, or the tokenizer has no mask token.
    """
    if masking not in ("within_word_l2r", "original"):
        raise SelectionError(
            f'There is no masking {masking!r}: it is "within_word_l2r" (Kauf & Ivanova 2023) or '
            '"original" (Salazar et al. 2020).'
        )
    if model.tokenizer is not None and model.tokenizer.mask_token_id is None:
        raise SelectionError(
            f"The tokenizer of {model.name} has no mask token, so no token can be hidden from it."
        )
    found = passages(model, sentences, given, start=start, separator=separator)
    special = special_ids(model.tokenizer) if model.tokenizer is not None else set()
    firsts = [0] * len(found) if given is None else [one.first for one in found]
    if masking == "within_word_l2r":
        texts = list(sentences)
        if given is not None:
            texts = [f"{a}{separator}{b}" for a, b in zip(given, sentences, strict=True)]
        words = _words(model, texts, found)
    else:
        words = [list(range(len(one.ids))) for one in found]
    return [
        _cloze(one, first, its_words, special)
        for one, first, its_words in zip(found, firsts, words, strict=True)
    ]


def _cloze(passage: Passage, first: int, words: Sequence[int | None], special: set[int]) -> Cloze:
    n_tokens = len(passage.ids)
    asked = [place for place in range(first, n_tokens) if passage.ids[place] not in special]
    hidden = [
        (
            place,
            *(
                later
                for later in range(place + 1, n_tokens)
                if words[place] is not None and words[later] == words[place]
            ),
        )
        for place in asked
    ]
    return Cloze(passage.ids, tuple(asked), tuple(hidden))


def _words(model: Model, texts: Sequence[str], found: Sequence[Passage]) -> list[list[int | None]]:
    """The word of each token, as the tokenizer splits a text into words before it makes pieces."""
    tokenizer: Any = model.tokenizer
    if not tokenizer.is_fast:
        pieces = [
            token_words(tokenizer, one.ids, text) for one, text in zip(found, texts, strict=True)
        ]
        return [list(one.numbers) for one in pieces]
    with model._tokenizing:
        encoded = tokenizer(list(texts), verbose=False)
    return [list(encoded.word_ids(number)) for number in range(len(texts))]


def masked_scores(
    model: Model, texts: Sequence[Cloze], *, runner: Runner | None = None
) -> list[Answers]:
    """What the model expected of every asked token, one `Answers` a text."""
    runner = runner or Runner.of(model)
    found = [np.full(len(text.asked), np.nan) for text in texts]
    for batch in _batches(texts, 1 if not runs_together(model) else TOKENS_AT_ONCE):
        for (number, copy), value in zip(batch, _ask(model, runner, texts, batch), strict=True):
            found[number][copy] = value
    return [Answers(one) for one in found]


def _batches(texts: Sequence[Cloze], tokens_at_once: int) -> Iterator[list[tuple[int, int]]]:
    """Copies of texts of one length, as the number of the text and that of its copy."""
    of_length: dict[int, list[int]] = defaultdict(list)
    for number, text in enumerate(texts):
        of_length[len(text.ids)].append(number)
    for length, numbers in sorted(of_length.items()):
        copies = [(number, copy) for number in numbers for copy in range(len(texts[number].asked))]
        size = max(1, tokens_at_once // length)
        for start in range(0, len(copies), size):
            yield copies[start : start + size]


def _ask(
    model: Model, runner: Runner, texts: Sequence[Cloze], batch: Sequence[tuple[int, int]]
) -> np.ndarray:
    tokenizer: Any = model.tokenizer
    rows, pairs = [], []
    for row, (number, copy) in enumerate(batch):
        text = texts[number]
        ids = list(text.ids)
        for place in text.hidden[copy]:
            ids[place] = tokenizer.mask_token_id
        place = text.asked[copy]
        rows.append(ids)
        pairs.append((row * len(ids) + place, text.ids[place]))
    device = runner.network.device
    places, at, token_ids, numbers = questions(pairs, device)
    inputs = text_inputs(runner.network, torch.tensor(rows, device=device))
    answers = ask(runner, Batch(inputs, places, at, token_ids))
    found: np.ndarray = answers.log_probabilities[numbers]
    return found
