"""Trains the Transformer of `vizcore.transformer` on a file of sentences.

A run is a folder. Everything that it depends on is in its settings, its data and its seed, and
everything that it goes on from is in one state file there: a run that was killed and resumed ends
with the same weights, bit by bit (on a CPU, with as many threads). What it leaves is a model that
`vizcore.load` takes, with its curves and snapshots. For networks that have to be split over several
machines, use another trainer.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from vizcore import checkpoints
from vizcore.bpe import END_ID, PAD_ID, START_ID, learn_tokenizer
from vizcore.corpus import Corpus, length_batches, read_corpus
from vizcore.errors import TrainingError
from vizcore.lessons import (
    Batch,
    Encoded,
    check_lengths,
    disagreement,
    lesson_of,
    twice,
    with_hidden_words,
)
from vizcore.precision import has_fast_bfloat16, matrix_precision
from vizcore.pretrained import wrap
from vizcore.training_settings import TrainingSettings, TrainingStatus
from vizcore.transformer import Transformer

PROBE = 1000
"""At most so many training sentences are looked at for the training loss of an evaluation."""
EVALUATION_TOKENS = 8192
KEPT = ("step", "seconds", "best_loss", "best_step", "without_better", "running_loss")
"""What a run remembers beside its tensors."""


Report = Callable[[TrainingStatus], None]
Measure = Callable[[Transformer], Mapping[str, float | int]]


def train(
    data: str | Path,
    folder: str | Path,
    settings: TrainingSettings,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    measure: Measure | None = None,
    resume: bool = False,
    report: Report | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Path:
    """Train a network; leave a model in a folder.

    Args:
        data: a UTF-8 file: a sentence, a tab and its translation a line, or a sentence a line.
        folder: for the model, its curves, its snapshots and, while it is not finished, its state.
        tokenizer: the one to use, made by `vizcore.bpe.finished`; None learns one from the data.
        measure: more columns for the metrics, measured at each evaluation.
        resume: go on with the run in the folder, with the settings that it began with.
        report: told after each step how far it is.
        should_stop: asked after each step; if it says so, the state is saved and the run ends with
            a TrainingError.

    Returns:
        The folder, for `vizcore.load`.

    Raises:
        DataError: if the data cannot be read; nothing is written then.
        TrainingError: if the run cannot begin, or go on: the loss is no number, the disk is full.
    """
    folder = Path(folder)
    _check(folder, settings, resume=resume)
    if resume and checkpoints.is_finished(folder):
        return folder
    if resume:
        settings = TrainingSettings(**checkpoints.read_progress(folder)["settings"])
    corpus = read_corpus(
        Path(data),
        pairs=settings.task == "translation",
        seed=settings.seed,
        share=settings.held_out,
    )
    if tokenizer is None:
        tokenizer = _tokenizer(corpus, settings, folder, resume=resume)
    run = _Run(corpus, folder, settings, tokenizer, measure)
    if resume:
        run.restore()
    else:
        run.begin()
    run.learn(report, should_stop)
    run.finish()
    return folder


def _check(folder: Path, settings: TrainingSettings, *, resume: bool) -> None:
    begun, finished = checkpoints.has_state(folder), checkpoints.is_finished(folder)
    if not resume and (begun or finished):
        raise TrainingError(
            f"There is a {'finished' if finished else 'begun'} run in {folder}. "
            + ("" if finished else "Go on with it by `resume`, or ")
            + f"{'C' if finished else 'c'}hoose another folder."
        )
    if resume and not begun and not finished:
        raise TrainingError(
            f"There is no run in {folder} to go on with. Leave `resume` out to begin one."
        )


def _tokenizer(
    corpus: Corpus, settings: TrainingSettings, folder: Path, *, resume: bool
) -> PreTrainedTokenizerBase:
    if resume:
        kept: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        return kept
    texts = [text for example in corpus.training for text in example]
    return learn_tokenizer(texts, task=settings.task, vocab_size=settings.vocab_size)


@dataclass(eq=False)
class _Run:
    """One run: what it works on, and how far it is."""

    corpus: Corpus
    folder: Path
    settings: TrainingSettings
    tokenizer: PreTrainedTokenizerBase
    measure: Measure | None
    step: int = 0
    seconds: float = 0.0
    best_loss: float = math.inf
    best_step: int = 0
    without_better: int = 0
    running_loss: float = 0.0
    rows: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = self.settings
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.half = settings.precision == "bfloat16" or (
            settings.precision == "auto" and has_fast_bfloat16(self.device)
        )
        torch.manual_seed(settings.seed)
        config = settings.network(len(self.tokenizer))
        self.network: Transformer = Transformer(config)
        self.network.to(self.device)
        self.average = AveragedModel(self.network, multi_avg_fn=_running_average(settings.average))
        matrices = [p for p in self.network.parameters() if p.ndim > 1]
        vectors = [p for p in self.network.parameters() if p.ndim < 2]
        groups: list[dict[str, Any]] = [
            {"params": matrices},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(
            groups,
            lr=settings.learning_rate,
            betas=(0.9, 0.98),
            eps=1e-9,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.lesson = lesson_of(settings.task, self.tokenizer)
        self.training = self.lesson.encode(self.corpus.training)
        self.validation = self.lesson.encode(self.corpus.validation)
        if settings.positions == "learned":
            both = [*self.training, *self.validation]
            check_lengths(both, name=self.corpus.name, max_tokens=settings.max_tokens)
        self.probe = self.training[:: max(1, len(self.training) // PROBE)]
        self.n_tokens_done, self.seconds_then = 0, 0.0
        self.steps_per_epoch = len(self._batches(0))
        self.n_steps = settings.steps or settings.epochs * self.steps_per_epoch
        self.snapshots_at = set(checkpoints.snapshot_steps(self.n_steps, settings.snapshots))

    @property
    def averaged(self) -> Transformer:
        """The network with the averaged weights: what is evaluated and kept."""
        module: Any = self.average.module
        averaged: Transformer = module
        return averaged

    def begin(self) -> None:
        """Save what there is before the first step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save_pretrained(self.folder)
        self.evaluate()
        self.snapshot()
        self.save()

    def restore(self) -> None:
        """Go back to what was saved last."""
        progress = checkpoints.restore_state(
            self.folder, self.network, self.averaged, self.optimizer
        )
        if progress["sha256"] != self.corpus.sha256:
            raise TrainingError(
                f"{self.corpus.name} is not the file that the run in {self.folder} began with. "
                "Give that file, or choose another folder."
            )
        for name in KEPT:
            setattr(self, name, progress[name])
        self.seconds_then = self.seconds
        self.average.n_averaged.fill_(self.step)
        self.rows = checkpoints.read_metrics(self.folder, until_step=self.step)

    def save(self) -> None:
        """Save everything that the run goes on from."""
        progress = {name: getattr(self, name) for name in KEPT}
        resolved = asdict(self.settings) | {"precision": "bfloat16" if self.half else "float32"}
        checkpoints.save_state(
            self.folder,
            self.network,
            self.averaged,
            self.optimizer,
            progress | {"sha256": self.corpus.sha256, "settings": resolved},
        )

    def learn(self, report: Report | None, should_stop: Callable[[], bool] | None) -> None:
        """Steps, until the last or until patience ends."""
        settings, speed = self.settings, 0.0
        for epoch, numbers in self._rest():
            if settings.patience is not None and self.without_better >= settings.patience:
                return
            began = time.monotonic()
            chance = f"{settings.seed} {self.step}"
            batch = self.lesson.batch([self.training[n] for n in numbers], chance, self.device)
            batch = with_hidden_words(batch, settings.word_dropout, chance)
            loss = self.update(batch, agree=settings.agrees_at(self.step, self.n_steps))
            self.step += 1
            self.running_loss += (loss - self.running_loss) / min(self.step, 50)
            taken = time.monotonic() - began
            self.seconds += taken
            self.n_tokens_done += batch.n_tokens
            speed += (batch.n_tokens / taken - speed) / min(self.step, 20)
            if self.step % settings.evaluate_every == 0 or self.step == self.n_steps:
                self.evaluate()
            if self.step in self.snapshots_at:
                self.snapshot()
            if self.step % settings.checkpoint_every == 0:
                self.save()
            if report is not None:
                report(self.status(epoch, speed))
            if should_stop is not None and should_stop():
                self.save()
                raise TrainingError(
                    f"Stopped after step {self.step} of {self.n_steps}; everything is saved in "
                    f"{self.folder}. Go on with `resume`."
                )

    def update(self, batch: Batch, *, agree: bool) -> float:
        """One step of AdamW; returns the loss."""
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate_at(self.step, self.n_steps)
        batch = twice(batch) if agree else batch
        self.network.train()
        with matrix_precision(self.device, half=self.half):
            logits = self.network.logits(self.lesson.hidden(self.network, batch)[None])[0]
        loss = nn.functional.cross_entropy(
            logits.float(), batch.labels, label_smoothing=settings.label_smoothing
        )
        if agree:
            loss = loss + settings.agreement * disagreement(logits.float())
        if not loss.isfinite():
            raise TrainingError(
                f"The loss of step {self.step + 1} is {loss.item()}: training has diverged. The "
                f"last good state is in {self.folder}. Begin anew with a lower learning rate than "
                f"{settings.learning_rate:g}."
            )
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update_parameters(self.network)
        return loss.item()

    def evaluate(self) -> None:
        """A row of the metrics, the best weights if they are, and a snapshot if it is time."""
        validation_loss = self.loss(self.validation)
        seconds = self.seconds - self.seconds_then
        row = {
            "step": self.step,
            "epoch": self.step / self.steps_per_epoch,
            "seconds": self.seconds,
            "tokens_per_second": self.n_tokens_done / seconds if seconds else 0.0,
            "learning_rate": self.settings.learning_rate_at(self.step, self.n_steps),
            "train_loss": self.loss(self.probe),
            "validation_loss": validation_loss,
        }
        self.n_tokens_done, self.seconds_then = 0, self.seconds
        extra = {} if self.measure is None else dict(self.measure(self.averaged))
        self.rows.append(row | extra)
        checkpoints.write_metrics(self.folder, self.rows)
        if validation_loss < self.best_loss:
            self.best_loss, self.best_step, self.without_better = validation_loss, self.step, 0
            checkpoints.save_weights(self.folder / checkpoints.BEST, self.averaged)
        else:
            self.without_better += 1

    def snapshot(self) -> None:
        """Keep the weights as they are now, in half precision."""
        path = self.folder / checkpoints.SNAPSHOTS / f"step-{self.step:06d}.safetensors"
        checkpoints.save_weights(path, self.averaged, dtype=torch.float16)

    def loss(self, examples: Sequence[Encoded]) -> float:
        """The mean loss a token of some examples: no dropout, no label smoothing."""
        self.averaged.eval()
        total, n_asked = 0.0, 0
        lengths = [[len(ids) for ids in example] for example in examples]
        for numbers in length_batches(lengths, batch_tokens=EVALUATION_TOKENS, seed="evaluation"):
            chosen = [examples[number] for number in numbers]
            batch = self.lesson.batch(chosen, f"evaluation {numbers[0]}", self.device)
            with torch.inference_mode(), matrix_precision(self.device, half=self.half):
                logits = self.averaged.logits(self.lesson.hidden(self.averaged, batch)[None])[0]
                loss = nn.functional.cross_entropy(logits.float(), batch.labels, reduction="sum")
            total += loss.item()
            n_asked += len(batch.labels)
        return total / n_asked

    def status(self, epoch: int, speed: float) -> TrainingStatus:
        """How far it is."""
        last = self.rows[-1]
        return TrainingStatus(
            step=self.step,
            n_steps=self.n_steps,
            epoch=epoch,
            loss=self.running_loss,
            tokens_per_second=speed,
            seconds_left=self.seconds / self.step * (self.n_steps - self.step),
            training_loss=last["train_loss"],
            validation_loss=last["validation_loss"],
        )

    def finish(self) -> None:
        """Leave the best weights as a model, with the facts about it; the state is not needed."""
        if self.settings.keep == "best":
            checkpoints.restore_weights(self.folder / checkpoints.BEST, self.averaged)
        network = wrap(self.averaged.cpu().eval(), pad_id=PAD_ID, bos_id=START_ID, eos_id=END_ID)
        checkpoints.save_model(self.folder, network)
        facts = {
            "task": self.settings.task,
            "data": {
                "name": self.corpus.name,
                "sha256": self.corpus.sha256,
                "training_sentences": len(self.corpus.training),
                "validation_sentences": len(self.corpus.validation),
            },
            "seed": self.settings.seed,
            "n_parameters": sum(p.numel() for p in self.averaged.parameters()),
            "seconds": round(self.seconds, 1),
            "steps": self.step,
            "epochs": round(self.step / self.steps_per_epoch, 2),
            "best_step": self.best_step,
            "settings": asdict(self.settings),
            "scores": {"validation_loss": round(self.best_loss, 4)},
        }
        checkpoints.write_facts(self.folder, facts)
        for name in (checkpoints.STATE, checkpoints.BEST):
            (self.folder / name).unlink(missing_ok=True)

    def _batches(self, epoch: int) -> list[list[int]]:
        lengths = [[len(ids) for ids in example] for example in self.training]
        seed = f"{self.settings.seed} {epoch}"
        return length_batches(lengths, batch_tokens=self.settings.batch_tokens, seed=seed)

    def _rest(self) -> Iterator[tuple[int, list[int]]]:
        """The batches that are still to come, each with its epoch, counted from 1."""
        begun, number = self.step, 0
        for epoch in itertools.count(1):
            for batch in self._batches(epoch - 1):
                if number == self.n_steps:
                    return
                if number >= begun:
                    yield epoch, batch
                number += 1


def _running_average(keep: float | int) -> Callable[[Any, Any, Any], None]:
    """In the first steps less is kept of what was before, which is hardly learned yet."""

    def update(averages: list[Tensor], weights: list[Tensor], n_averaged: Tensor) -> None:
        n = float(n_averaged)
        kept = min(float(keep), (1 + n) / (10 + n))
        torch._foreach_lerp_(averages, weights, 1 - kept)

    return update
