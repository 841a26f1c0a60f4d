"""Small files of sentences to train on, and a run that is small enough for a test."""

import itertools
from pathlib import Path
from typing import Any

from vizcore.training_settings import TrainingSettings

WHO = {"I": "我", "you": "你", "Tom": "汤姆", "he": "他"}
DOES = {"see": "看见", "like": "喜欢", "know": "认识"}
WHOM = {"cats": "猫", "dogs": "狗", "Mary": "玛丽", "birds": "鸟"}


def pairs() -> list[tuple[str, str]]:
    """48 English sentences, each with its translation."""
    return [
        (f"{who} {does} {whom}.", f"{WHO[who]}{DOES[does]}{WHOM[whom]}。")
        for who, does, whom in itertools.product(WHO, DOES, WHOM)
    ]


def pairs_file(folder: Path) -> Path:
    """A file of those pairs."""
    path = folder / "pairs.tsv"
    path.write_text("".join(f"{one}\t{other}\tnotes\n" for one, other in pairs()), "utf-8")
    return path


def lines_file(folder: Path) -> Path:
    """A file of those sentences in both languages, one a line."""
    path = folder / "lines.txt"
    path.write_text("".join(f"{one}\n{other}\n" for one, other in pairs()), "utf-8")
    return path


def small(task: str, **changes: Any) -> TrainingSettings:
    """The settings of a run that takes a second or two."""
    values: dict[str, Any] = {
        "task": task,
        "d_model": 32,
        "n_heads": 2,
        "n_layers": 1,
        "d_ff": 48,
        "vocab_size": 420,
        "steps": 30,
        "batch_tokens": 200,
        "learning_rate": 0.01,
        "warmup": 5,
        "average": 0.9,
        "evaluate_every": 10,
        "checkpoint_every": 7,
        "snapshots": 5,
        "held_out": 0.1,
        "precision": "float32",
    }
    return TrainingSettings(**(values | changes))
