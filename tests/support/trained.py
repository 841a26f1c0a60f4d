"""The folder that a training leaves, made up: a tiny random network with curves and snapshots.

The weights of a snapshot are the finished ones times a share that grows with the step, so that
each snapshot is another network, and one that a test can work out for itself.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from tests.support.tiny import save, tiny_network

STEPS = (0, 10, 40, 160)
FACTS: dict[str, Any] = {
    "task": "language model",
    "data": {"name": "made-up.txt", "sha256": "0" * 64, "lines": 4},
    "seed": 1,
    "seconds": 75.5,
    "steps": 160,
    "settings": {"batch": 8},
    "scores": {"accuracy": 0.5},
}
METRICS = """\
step,epoch,seconds,tokens_per_second,learning_rate,train_loss,validation_loss
0,0,0.5,,0,5.75,5.75
10,1,5.5,900,0.001,4.5,4.625
40,2,20.25,905,0.001,2.25,2.875
160,8,75.5,903,0.0005,0.5,2.5
"""


def trained_folder(
    folder: Path,
    network: PreTrainedModel | None = None,
    *,
    tokenizer: Any = "its own",
    facts: dict[str, Any] | None = None,
    metrics: str = METRICS,
    steps: Sequence[int] = STEPS,
) -> Path:
    """Write what training this network might have left; the folder."""
    save(network or tiny_network("gpt2"), folder, tokenizer=tokenizer)
    (folder / "metrics.csv").write_text(metrics, "utf-8")
    (folder / "training.json").write_text(json.dumps(FACTS if facts is None else facts), "utf-8")
    for step in steps:
        save_snapshot(folder, step, share=(step + 1) / (max(steps) + 1))
    return folder


def save_snapshot(folder: Path, step: int, *, share: float) -> None:
    """Keep the finished weights times a share, as float16, as those of a step."""
    (folder / "snapshots").mkdir(exist_ok=True)
    weights = load_file(folder / "model.safetensors")
    kept = {name: (tensor * share).to(torch.float16) for name, tensor in weights.items()}
    save_file(kept, folder / "snapshots" / f"step-{step:06d}.safetensors")
