"""What a training left behind: its curves, its facts, and the network as it was along the way.

The idea: a trained model's folder is its own diary. `metrics.csv` has a row for each evaluation,
`training.json` the facts, `snapshots/` the weights at some of the steps, each of which becomes a
`Model` like any other. Nothing is trained or written here: that is the trainer's.
"""

import copy
import csv
import json
import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from vizcore.checkpoints import FACTS, METRICS, SNAPSHOTS
from vizcore.errors import ModelFilesError, ModelNotFoundError, SelectionError
from vizcore.loading import load
from vizcore.model import Model
from vizcore.resources import asset

WEIGHTS = "model.safetensors"
_SNAPSHOT = re.compile(r"step-(\d+)\.safetensors")


@dataclass(frozen=True, eq=False)
class TrainingRecord:
    """How a model came about. Made by `training_record`.

    Args:
        name: of the model.
        folder: where it lies.
        metrics: one row an evaluation: step, and what was measured (losses in nats a token, NaN
            where it was not); gap is validation_loss - train_loss.
        facts: what training.json says, such as task, data, seconds, settings and scores; {} if
            there is none (a training that is still running).
        snapshots: the steps at which the weights were kept, in order.
    """

    name: str
    folder: Path
    metrics: pd.DataFrame
    facts: dict[str, Any]
    snapshots: tuple[int, ...]

    def __repr__(self) -> str:
        return (
            f"TrainingRecord({self.name}, {len(self.metrics)} evaluations, "
            f"{len(self.snapshots)} snapshots)"
        )

    @property
    def seconds(self) -> float:
        """How long the training took; NaN if that is not known."""
        stated = self.facts.get("seconds")
        if isinstance(stated, int | float):
            return float(stated)
        measured = self.metrics.get("seconds", pd.Series(dtype=float)).dropna()
        return float(measured.iloc[-1]) if len(measured) else math.nan

    @property
    def scores(self) -> dict[str, float]:
        """What the finished model was judged by, such as {"bleu": 41.5}; {} if it was not."""
        scores = self.facts.get("scores")
        return {
            str(name): float(score)
            for name, score in (scores if isinstance(scores, dict) else {}).items()
            if isinstance(score, int | float)
        }

    @cached_property
    def n_parameters(self) -> int:
        """How many numbers the network has; tied ones count once."""
        stated = self.facts.get("n_parameters")
        if isinstance(stated, int):
            return stated
        return sum(math.prod(shape) for shape in _shapes(self.folder / WEIGHTS).values())

    @property
    def n_bytes(self) -> int:
        """The size of the finished model's weights on the disk."""
        return (self.folder / WEIGHTS).stat().st_size

    def snapshot(self, step: int) -> Model:
        """The model as it was after so many steps; the same tokenizer, in float32.

        Raises:
            SelectionError: if there is no snapshot of that step.
            ModelFilesError: if its file is broken, or of another network.
        """
        if step not in self.snapshots:
            raise SelectionError(
                f"There is no snapshot of step {step}: {self.name} has "
                f"{_listed(self.snapshots) if self.snapshots else 'none'}."
            )
        path = next(path for path, its_step in _snapshot_files(self.folder) if its_step == step)
        finished = self._finished
        try:
            state = {name: tensor.float() for name, tensor in load_file(path).items()}
        except (SafetensorError, OSError) as error:
            raise ModelFilesError(f"The snapshot {path} cannot be read: {error}.") from error
        network = copy.deepcopy(finished.network)
        expected = _shapes(self.folder / WEIGHTS).items()
        differing = expected ^ {name: tuple(tensor.shape) for name, tensor in state.items()}.items()
        if differing:
            raise ModelFilesError(
                f"The snapshot {path} is not of this network: it differs in {min(differing)[0]}. "
                "Take it away, or train the model again."
            )
        network.load_state_dict(state, strict=False)  # tied weights are in there only once
        return Model.of(network, finished.tokenizer, name=f"{self.name} at step {step:,}")

    @cached_property
    def _finished(self) -> Model:
        return load(self.folder)


def training_record(model: Model | str | Path) -> TrainingRecord:
    """The record of a model's training.

    Args:
        model: a loaded model, the name of a bundled one, or the folder of one that was trained.

    Raises:
        ModelNotFoundError: if there is no such folder or bundled model.
        ModelFilesError: if there is no record in the folder, or it cannot be read.
    """
    name, folder = _place(model)
    if not (folder / METRICS).is_file():
        raise ModelFilesError(
            f"There is no record of a training in {folder}: it has no {METRICS}. Models that were "
            "trained with Headlight have one (`vizcore train`)."
        )
    return TrainingRecord(
        name=name,
        folder=folder,
        metrics=_read_metrics(folder / METRICS),
        facts=_read_facts(folder / FACTS),
        snapshots=tuple(step for _, step in _snapshot_files(folder)),
    )


def _place(model: Model | str | Path) -> tuple[str, Path]:
    if isinstance(model, Model):
        if model.folder is None:
            raise ModelFilesError(
                f"{model.name} was not loaded from a folder, so there is no record of its training."
            )
        return Path(model.name).name, model.folder
    path = Path(model).expanduser()
    if path.is_dir():
        return path.resolve().name, path
    try:
        return str(model), asset(f"models/{model}")
    except FileNotFoundError:
        raise ModelNotFoundError(
            f"There is no folder {path}, nor a model of that name that comes with Headlight."
        ) from None


def _read_metrics(path: Path) -> pd.DataFrame:
    """One row a step; of a step that was done again after a resume, the later row."""
    try:
        text = path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise ModelFilesError(f"{path} cannot be read: {error}.") from error
    lines = csv.reader(text.splitlines())
    header = next(lines, [])
    if "step" not in header:
        raise ModelFilesError(
            f"Line 1 of {path} must name the columns, `step` among them, and is "
            f"{','.join(header)!r}."
        )
    rows = []
    for number, fields in enumerate(lines, start=2):
        if not fields:
            continue
        if len(fields) != len(header):
            is_being_written = not text.endswith("\n") and number == len(text.splitlines())
            if is_being_written:
                break
            raise ModelFilesError(
                f"Line {number} of {path} has {len(fields)} values, and there are {len(header)} "
                "columns."
            )
        rows.append([_number(field, number, path) for field in fields])
        step = rows[-1][header.index("step")]
        if not (0 <= step < math.inf and step == int(step)):
            raise ModelFilesError(f"Line {number} of {path}: {step:g} is no step.")
    metrics = pd.DataFrame(rows, columns=header, dtype=float)
    metrics = metrics.drop_duplicates("step", keep="last").sort_values("step", ignore_index=True)
    metrics["step"] = metrics["step"].astype(int)
    if {"train_loss", "validation_loss"} <= set(header):
        metrics["gap"] = metrics["validation_loss"] - metrics["train_loss"]
    return metrics


def _number(field: str, line: int, path: Path) -> float:
    try:
        return float(field) if field.strip() else math.nan
    except ValueError:
        raise ModelFilesError(f"Line {line} of {path}: {field!r} is not a number.") from None


def _read_facts(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelFilesError(f"{path} is not valid JSON ({error}).") from error
    if not isinstance(facts, dict):
        raise ModelFilesError(f"{path} must hold a JSON object, and holds something else.")
    return facts


def _snapshot_files(folder: Path) -> list[tuple[Path, int]]:
    places = (folder / SNAPSHOTS).glob("*") if (folder / SNAPSHOTS).is_dir() else ()
    found = [(path, _SNAPSHOT.fullmatch(path.name)) for path in places]
    return sorted(
        ((path, int(matched[1])) for path, matched in found if matched), key=lambda one: one[1]
    )


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor in a file, of which only the beginning is read."""
    opening: Any = safe_open
    try:
        with opening(path, "pt") as file:
            names = list(file.keys())
            return {name: tuple(file.get_slice(name).get_shape()) for name in names}
    except (SafetensorError, OSError) as error:
        raise ModelFilesError(f"The weights {path} cannot be read: {error}.") from error


def _listed(steps: tuple[int, ...]) -> str:
    if len(steps) <= 6:
        return ", ".join(map(str, steps))
    return f"{', '.join(map(str, steps[:3]))} … {steps[-1]} ({len(steps)} in all)"
