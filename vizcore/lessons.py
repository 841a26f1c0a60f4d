"""What a network is asked while it is trained: to translate, to go on, or to fill in.

A lesson turns sentences into token ids, a few of them into a batch, and a batch into the hidden
states at the places where something has to be predicted; the loss and its gradient are
`vizcore.training`'s. Padding never enters a loss, and logits are computed only where there is
something to predict.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from vizcore.bpe import END_ID, MASK_ID, PAD_ID, START_ID, Task
from vizcore.corpus import Example
from vizcore.errors import DataError
from vizcore.transformer import Transformer

Encoded = tuple[tuple[int, ...], ...]
"""The token ids of an example: (source, target), or (line,)."""
MASKED_SHARE = 0.15
"""Of the tokens of a line, as in BERT (Devlin et al. 2019): 80 % masked, 10 % others, 10 % kept."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Some examples, padded to the longest.

    Args:
        tokens: (batch, token) what is read, or the source.
        present: False for padding; None if there is none.
        target: (batch, token) what the decoder of an encoder-decoder reads, else None.
        asked: (batch, token) where something has to be predicted.
        labels: (asked,) what is right there.
        n_tokens: without padding.
    """

    tokens: Int[Tensor, "batch token"]
    present: Bool[Tensor, "batch token"] | None
    target: Int[Tensor, "batch target"] | None
    asked: Bool[Tensor, "batch _"]
    labels: Int[Tensor, " asked"]
    n_tokens: int


@dataclass(frozen=True, eq=False)
class Translation:
    """Predict each token of the target, given the source and the target before it."""

    tokenizer: PreTrainedTokenizerBase

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """Sources and targets, each with its end."""
        sources = _ids(self.tokenizer, [source for source, _target in examples])
        targets = _ids(self.tokenizer, [target for _source, target in examples])
        return list(zip(sources, targets, strict=True))

    def batch(self, examples: Sequence[Encoded], chance: str, device: torch.device) -> Batch:
        """The decoder reads the target one place later than it has to predict it."""
        sources = _padded([source for source, _target in examples])
        labels = _padded([target for _source, target in examples])
        target = torch.cat([torch.full_like(labels[:, :1], START_ID), labels[:, :-1]], dim=1)
        asked = labels != PAD_ID
        return Batch(
            tokens=sources.to(device),
            present=_present(sources, device),
            target=target.to(device),
            asked=asked.to(device),
            labels=labels[asked].to(device),
            n_tokens=sum(len(source) + len(target) for source, target in examples),
        )

    def hidden(self, network: Transformer, batch: Batch) -> Float[Tensor, "asked d_model"]:
        """Padding behind a target needs no mask: what looks back never sees it."""
        memory = network.encode(batch.tokens, present=batch.present)
        assert batch.target is not None  # noqa: S101 - `batch` has put one there
        return network.decode(batch.target, memory, memory_present=batch.present)[batch.asked]


@dataclass(frozen=True, eq=False)
class NextToken:
    """Predict each token of a line and then its end."""

    tokenizer: PreTrainedTokenizerBase

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """The lines, each with its beginning and its end."""
        lines = _ids(self.tokenizer, [line for (line,) in examples])
        return [((*line, END_ID),) for line in lines]

    def batch(self, examples: Sequence[Encoded], chance: str, device: torch.device) -> Batch:
        """Each place has to predict the next."""
        whole = _padded([line for (line,) in examples])
        asked = whole[:, 1:] != PAD_ID
        return Batch(
            tokens=whole[:, :-1].to(device),
            present=None,
            target=None,
            asked=asked.to(device),
            labels=whole[:, 1:][asked].to(device),
            n_tokens=sum(len(line) - 1 for (line,) in examples),
        )

    def hidden(self, network: Transformer, batch: Batch) -> Float[Tensor, "asked d_model"]:
        """Padding behind a line needs no mask: what looks back never sees it."""
        return network.decode(batch.tokens)[batch.asked]


@dataclass(frozen=True, eq=False)
class MaskedWords:
    """Predict the tokens of a line that were masked."""

    tokenizer: PreTrainedTokenizerBase

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """The lines, each with its beginning and its end."""
        return [(line,) for line in _ids(self.tokenizer, [line for (line,) in examples])]

    def batch(self, examples: Sequence[Encoded], chance: str, device: torch.device) -> Batch:
        """Masks fall elsewhere each time, but never on the ends of a line."""
        dice = random.Random(chance)
        whole = _padded([line for (line,) in examples])
        tokens, asked = whole.clone(), torch.zeros_like(whole, dtype=torch.bool)
        for row, (line,) in enumerate(examples):
            places = range(1, len(line) - 1)
            n_masked = max(1, round(MASKED_SHARE * len(places)))
            for place in dice.sample(places, min(n_masked, len(places))):
                asked[row, place] = True
                fate = dice.random()
                if fate < 0.8:
                    tokens[row, place] = MASK_ID
                elif fate < 0.9:
                    tokens[row, place] = dice.randrange(MASK_ID + 1, len(self.tokenizer))
        return Batch(
            tokens=tokens.to(device),
            present=_present(whole, device),
            target=None,
            asked=asked.to(device),
            labels=whole[asked].to(device),
            n_tokens=sum(len(line) for (line,) in examples),
        )

    def hidden(self, network: Transformer, batch: Batch) -> Float[Tensor, "asked d_model"]:
        """The whole line is seen, padding is not."""
        return network.encode(batch.tokens, present=batch.present)[batch.asked]


Lesson = Translation | NextToken | MaskedWords
"""Each encodes examples, makes a batch of some, and says what a network makes of that."""


def lesson_of(task: Task, tokenizer: PreTrainedTokenizerBase) -> Lesson:
    """The lesson in which a task is learned."""
    if task == "translation":
        return Translation(tokenizer)
    return NextToken(tokenizer) if task == "language-model" else MaskedWords(tokenizer)


def with_hidden_words(batch: Batch, share: float | int, chance: str) -> Batch:
    """The batch with some of the tokens that are read hidden behind a mask (word dropout).

    A network that may not rely on any single token learns less by heart; a decoder has to look at
    its source again and again (Gal & Ghahramani 2016; for translation, Sennrich & Zhang 2019).

    Args:
        batch: what is predicted stays as it is, and so do beginnings, ends and padding.
        share: of the tokens, of the source and of the target each.
        chance: decides which.
    """
    if not share:
        return batch
    generator = torch.Generator().manual_seed(random.Random(f"hide {chance}").getrandbits(63))

    def hide(tokens: Int[Tensor, "row token"]) -> Int[Tensor, "row token"]:
        chosen = torch.rand(tokens.shape, generator=generator).to(tokens.device) < share
        return tokens.masked_fill(chosen & (tokens > MASK_ID), MASK_ID)

    target = None if batch.target is None else hide(batch.target)
    return replace(batch, tokens=hide(batch.tokens), target=target)


def twice(batch: Batch) -> Batch:
    """The batch and once more the same behind it, for `disagreement`."""

    def double(tensor: Tensor | None) -> Any:
        return None if tensor is None else torch.cat([tensor, tensor])

    return Batch(
        tokens=double(batch.tokens),
        present=double(batch.present),
        target=double(batch.target),
        asked=double(batch.asked),
        labels=double(batch.labels),
        n_tokens=batch.n_tokens,
    )


def disagreement(logits: Float[Tensor, "twice_asked vocab_size"]) -> Float[Tensor, ""]:
    """How differently a network expects tokens in its two passes over the same batch, in nats.

    The mean of KL(first ‖ second) and KL(second ‖ first) (R-Drop, Liang et al. 2021): it keeps a
    network that drops neurons from learning by heart what only some of them know.

    Args:
        logits: those of the first pass, then those of the second.
    """
    first, second = logits.log_softmax(dim=-1).chunk(2)
    return ((first.exp() - second.exp()) * (first - second)).sum(dim=-1).mean() / 2


def check_lengths(examples: Sequence[Encoded], *, name: str, max_tokens: int) -> None:
    """Refuse examples that are longer than a table of positions.

    Raises:
        DataError: if one is.
    """
    longest = max(len(ids) for example in examples for ids in example)
    if longest > max_tokens:
        raise DataError(
            f"A sentence in {name} has {longest} tokens, and the table of learned positions has "
            f"{max_tokens}. Give a larger max_tokens, other positions, or shorter sentences."
        )


def _ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[tuple[int, ...]]:
    call: Any = tokenizer
    return [tuple(ids) for ids in call(list(texts), verbose=False)["input_ids"]] if texts else []


def _padded(rows: Sequence[Sequence[int]]) -> Int[Tensor, "row token"]:
    tensors = [torch.tensor(row) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=PAD_ID)


def _present(tokens: Int[Tensor, "row token"], device: torch.device) -> Tensor | None:
    """Where tokens are, or None if they are everywhere: without a mask attention is faster."""
    present = tokens != PAD_ID
    return None if bool(present.all()) else present.to(device)
