"""What a training run keeps on the disk: its state, its metrics, its snapshots.

Each file is written beside its place and then renamed over it, so that whatever a kill or a full
disk interrupts, the one before is still there and whole. The state is one file with everything in
it that the run goes on from, down to the random numbers. Not for finished models: those are
ordinary folders that `vizcore.load` takes.
"""

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from vizcore.errors import TrainingError

STATE = "state.safetensors"
BEST = "best.safetensors"
METRICS = "metrics.csv"
FACTS = "training.json"
SNAPSHOTS = "snapshots"


def snapshot_steps(n_steps: int, n_snapshots: int) -> list[int]:
    """After which steps to keep the weights: 0, n_steps, and a geometric row between them.

    Most happens early, so early snapshots lie closer together.
    """
    if n_snapshots <= 2:
        return [0, n_steps][2 - n_snapshots :]
    ratio = n_steps ** (1 / (n_snapshots - 2))
    return sorted({0, n_steps, *(round(ratio**power) for power in range(n_snapshots - 1))})


def save_state(
    folder: Path,
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Mapping[str, Any],
) -> None:
    """Write everything that the run goes on from.

    Args:
        progress: whatever else there is to know, for JSON.
    """
    tensors: dict[str, Tensor] = {}
    for name, parameter in network.named_parameters():
        tensors[f"network.{name}"] = parameter
        for what, tensor in optimizer.state[parameter].items():
            tensors[f"optimizer.{what}.{name}"] = tensor
    tensors |= {f"average.{name}": tensor for name, tensor in average.named_parameters()}
    tensors["random"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random_cuda"] = torch.cuda.get_rng_state()
    save_tensors(folder / STATE, tensors, {"progress": json.dumps(progress)})


def restore_state(
    folder: Path, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Put everything back as `save_state` found it, and return the progress.

    Raises:
        TrainingError: if there is no state, or it is damaged, or it is that of another network.
    """
    tensors, metadata = _load_tensors(folder / STATE)
    parameters = dict(network.named_parameters())
    try:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(tensors[f"network.{name}"])
            for name, parameter in average.named_parameters():
                parameter.copy_(tensors[f"average.{name}"])
        progress: dict[str, Any] = json.loads(metadata["progress"])
    except (KeyError, RuntimeError) as error:
        raise TrainingError(
            f"The state in {folder} is that of a network of other sizes. Resume with the settings "
            "that the run began with, or choose another folder."
        ) from error
    for key, tensor in tensors.items():
        part, _dot, rest = key.partition(".")
        if part == "optimizer":
            what, _dot, name = rest.partition(".")
            optimizer.state[parameters[name]][what] = tensor.to(
                "cpu" if what == "step" else parameters[name].device
            )
    torch.set_rng_state(tensors["random"])
    if "random_cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random_cuda"])
    return progress


def has_state(folder: Path) -> bool:
    """Whether a run was begun there and not finished."""
    return (folder / STATE).is_file()


def is_finished(folder: Path) -> bool:
    """Whether a run was finished there."""
    return (folder / FACTS).is_file()


def read_progress(folder: Path) -> dict[str, Any]:
    """The progress of the state in a folder, without its tensors.

    Raises:
        TrainingError: if there is none, or it is damaged.
    """
    path = folder / STATE
    try:
        with safe_open(path, framework="pt") as file:
            progress: dict[str, Any] = json.loads(file.metadata()["progress"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path} is no state of a training run: {error}") from error
    return progress


def save_weights(path: Path, network: nn.Module, *, dtype: torch.dtype | None = None) -> None:
    """Write a network's weights, in another precision if one is given."""
    tensors = {f"transformer.{name}": one for name, one in network.named_parameters()}
    save_tensors(path, {name: one.to(dtype or one.dtype) for name, one in tensors.items()}, {})


def save_model(folder: Path, network: PreTrainedModel) -> None:
    """Write the finished network's configuration and weights.

    Raises:
        TrainingError: if they cannot be written.
    """
    try:
        network.save_pretrained(folder)
    except (OSError, SafetensorError) as error:
        raise _not_written(folder, error) from error


def restore_weights(path: Path, network: nn.Module) -> None:
    """Put weights that `save_weights` wrote back into a network of the same sizes."""
    tensors, _metadata = _load_tensors(path)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(tensors[f"transformer.{name}"])


def read_metrics(folder: Path, *, until_step: int) -> list[dict[str, float]]:
    """The rows of the metrics up to a step; later ones belong to work that was lost."""
    path = folder / METRICS
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    return [row for row in rows if row["step"] <= until_step]


def write_metrics(folder: Path, rows: Sequence[Mapping[str, float | int]]) -> None:
    """Write all rows of the metrics."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in rows)
    write_text(folder / METRICS, text.getvalue())


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write what there is to know about a finished run."""
    write_text(folder / FACTS, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    _write(path, lambda part: part.write_text(text, encoding="utf-8"))


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file whole or not at all."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    _write(path, lambda part: save_file(plain, part, metadata=dict(metadata)))


def _write(path: Path, write: Callable[[Path], object]) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        part.chmod(0o644)  # safetensors lets nobody else read what it writes
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise _not_written(path, error) from error


def _not_written(path: Path, error: Exception) -> TrainingError:
    return TrainingError(
        f"{path} could not be written: {error}. What was saved before is still there. Free some "
        "space or permit writing, and go on from it with `resume`."
    )


def _load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.is_file():
        raise TrainingError(
            f"There is no {path.name} in {path.parent}, so there is no run to go on with. Leave "
            "`resume` out to begin one."
        )
    try:
        with safe_open(path, framework="pt") as file:
            names: list[str] = file.keys()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise TrainingError(f"{path} is damaged: {error}. Begin the run anew.") from error
