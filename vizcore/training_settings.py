"""The settings of a training run, and what follows from them alone.

`vizcore.training` runs them. The defaults are those of a small network that learns to translate
from some ten thousand pairs of sentences within an hour on a laptop.
"""

import math
from dataclasses import dataclass
from typing import Literal

from vizcore.bpe import Task
from vizcore.errors import TrainingError
from vizcore.transformer import Positions, TransformerConfig

KINDS: dict[Task, Literal["encoder", "decoder", "encoder-decoder"]] = {
    "translation": "encoder-decoder",
    "language-model": "decoder",
    "masked": "encoder",
}
"""The network that each task needs."""


@dataclass(frozen=True)
class TrainingSettings:
    """What a run is, beside its data.

    Args:
        task: "translation" of pairs, "language-model" of lines, or "masked" words in lines.
        d_model, n_heads, n_layers, d_ff, dropout, inner_dropout, positions, norm, max_tokens: of
            the network, see `vizcore.transformer.TransformerConfig`.
        word_dropout: the share of the tokens read that are hidden in each step, others each time.
        agreement: what it costs, times this, that two passes over a batch with other neurons
            dropped expect different tokens (R-Drop); above 0 each step takes twice as long.
        agreement_from: from which share of the steps on that is asked for; before, a network
            learns as quickly without.
        vocab_size: at most so many tokens are learned.
        steps: updates of the weights; None for as many as `epochs` make.
        epochs: how often each sentence is seen, if `steps` does not say otherwise.
        batch_tokens: places in a batch, padding included.
        learning_rate: the highest: reached after `warmup` steps, then falling along a cosine.
        warmup: steps.
        weight_decay, label_smoothing, clip: of AdamW, of the loss, of the gradient's norm.
        average: the weights that are kept are a running average, of which each step keeps this
            share; 0 keeps the weights themselves.
        keep: the weights that are left: those of the "best" validation loss, or the "last".
        evaluate_every, checkpoint_every: steps.
        patience: stop after so many evaluations without a better validation loss; None never.
        snapshots: how many sets of weights to keep along the way.
        held_out: the share of the sentences to validate with.
        seed: of everything that is random.
        precision: "float32", "bfloat16" (matrix products only), or "auto": the faster one here.
    """

    task: Task
    d_model: int = 256
    n_heads: int = 4
    n_layers: int = 3
    d_ff: int = 1024
    dropout: float | int = 0.1
    inner_dropout: float | int = 0.0
    positions: Positions = "sinusoidal"
    norm: Literal["post", "pre"] = "post"
    max_tokens: int = 512
    word_dropout: float | int = 0.0
    agreement: float | int = 0.0
    agreement_from: float | int = 0.0
    vocab_size: int = 8000
    steps: int | None = None
    epochs: int = 10
    batch_tokens: int = 4096
    learning_rate: float | int = 1e-3
    warmup: int = 400
    weight_decay: float | int = 0.01
    label_smoothing: float | int = 0.1
    clip: float | int = 1.0
    average: float | int = 0.999
    keep: Literal["best", "last"] = "best"
    evaluate_every: int = 200
    checkpoint_every: int = 100
    patience: int | None = 10
    snapshots: int = 12
    held_out: float | int = 0.03
    seed: int = 0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in _COUNTS}
        if self.steps is not None:
            counts["steps"] = self.steps
        for name, value in counts.items():
            if value < 1:
                raise TrainingError(f"{name} must be at least 1, not {value}.")
        for name in (
            "dropout",
            "inner_dropout",
            "word_dropout",
            "agreement_from",
            "label_smoothing",
            "average",
            "held_out",
        ):
            if not 0 <= getattr(self, name) < 1:
                raise TrainingError(
                    f"{name} must be at least 0 and less than 1, not {getattr(self, name):g}."
                )
        if not self.learning_rate > 0:
            raise TrainingError(f"learning_rate must be above 0, not {self.learning_rate:g}.")
        if self.agreement < 0:
            raise TrainingError(f"agreement must be at least 0, not {self.agreement:g}.")
        self.network(self.vocab_size)  # whether the sizes fit together

    def network(self, vocab_size: int) -> TransformerConfig:
        """The network that is trained.

        Raises:
            TrainingError: if its sizes do not fit together.
        """
        try:
            return TransformerConfig(
                kind=KINDS[self.task],
                vocab_size=vocab_size,
                d_model=self.d_model,
                n_heads=self.n_heads,
                n_layers=self.n_layers,
                d_ff=self.d_ff,
                dropout=self.dropout,
                inner_dropout=self.inner_dropout,
                positions=self.positions,
                norm=self.norm,
                max_tokens=self.max_tokens,
            )
        except ValueError as error:
            raise TrainingError(str(error)) from error

    def learning_rate_at(self, step: int, n_steps: int) -> float:
        """Rising in a straight line, then falling along half a cosine wave to 0.

        Args:
            step: counted from 0.
            n_steps: of the whole run.
        """
        warmup = min(self.warmup, n_steps // 4)
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        done = (step - warmup) / max(1, n_steps - warmup)
        return self.learning_rate * (1 + math.cos(math.pi * min(1.0, done))) / 2

    def agrees_at(self, step: int, n_steps: int) -> bool:
        """Whether `agreement` is asked for at a step (from 0) of a run of so many."""
        return self.agreement > 0 and step >= self.agreement_from * n_steps


@dataclass(frozen=True)
class TrainingStatus:
    """How far a run is, after a step.

    Args:
        step, n_steps, epoch: counted from 1.
        loss: of this step's batch, smoothed over the last steps, in nats a token.
        tokens_per_second: read and written, padding not counted.
        seconds_left: until the last step.
        training_loss, validation_loss: of the last evaluation, or None before the first.
    """

    step: int
    n_steps: int
    epoch: int
    loss: float
    tokens_per_second: float
    seconds_left: float
    training_loss: float | None
    validation_loss: float | None


_COUNTS = (
    "d_model",
    "n_heads",
    "n_layers",
    "vocab_size",
    "max_tokens",
    "epochs",
    "batch_tokens",
    "evaluate_every",
    "checkpoint_every",
)
