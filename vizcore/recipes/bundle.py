"""Makes the bundled models again from their data: train, measure, write into `assets/models`.

    python -m vizcore.recipes tatoeba-translator --data tatoeba-cmn-eng.tsv

Each is trained in a folder of work, where a run that was stopped goes on; what is bundled is its
weights in half precision, its tokenizer, curves, some snapshots, and a card with what it can do.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from vizcore import checkpoints
from vizcore.errors import DataError
from vizcore.loading import load
from vizcore.model import Model
from vizcore.recipes import cards, induction, scores
from vizcore.recipes.tatoeba import Tatoeba, read_tatoeba, write_lines, write_pairs
from vizcore.training import Report, train
from vizcore.training_settings import TrainingSettings

Scores = Mapping[str, float | int]

TATOEBA = ("tatoeba-translator", "tatoeba-lm", "tatoeba-mlm")
SMALL: dict[str, Any] = {
    "d_model": 192,
    "n_heads": 4,
    "n_layers": 4,
    "d_ff": 768,
    "norm": "pre",
    "learning_rate": 3e-3,
    "warmup": 200,
    "seed": 1,
}
SETTINGS = {
    "tatoeba-translator": TrainingSettings(
        task="translation",
        dropout=0.1,
        norm="pre",
        epochs=12,
        batch_tokens=1280,
        learning_rate=2e-3,
        warmup=400,
        keep="last",
        patience=None,
        evaluate_every=500,
        snapshots=14,
        seed=1,
    ),
    "tatoeba-lm": TrainingSettings(
        task="language-model", dropout=0.1, epochs=7, evaluate_every=100, snapshots=10, **SMALL
    ),
    "tatoeba-mlm": TrainingSettings(
        task="masked", dropout=0.1, epochs=14, evaluate_every=200, snapshots=10, **SMALL
    ),
    "induction": induction.SETTINGS,
}
MOST_SNAPSHOTS = {"tatoeba-translator": 0, "tatoeba-lm": 3, "tatoeba-mlm": 0, "induction": 99}
"""How many to bundle: a translator's snapshots would take more room than all models together."""


@dataclass(frozen=True)
class Recipe:
    """How one model is made.

    Args:
        write_data: writes the file that is trained on.
        measure: what the finished model can do.
    """

    write_data: Callable[[Path], None]
    measure: Callable[[Model], Scores]


def make(name: str, *, data: Path | None, work: Path, bundle: Path, report: Report | None) -> Path:
    """Train a bundled model and write it into its folder.

    Args:
        name: one of `SETTINGS`.
        data: the file of Tatoeba's pairs; the induction model needs none.
        work: the folder of work; a run that was stopped there goes on.
        bundle: the folder of bundled models, `assets/models`.
        report: told how far it is.

    Raises:
        DataError: if the data is missing or malformed.
    """
    recipe = _recipe(name, data)
    run, file = work / name, work / f"{name}.txt"
    work.mkdir(parents=True, exist_ok=True)
    recipe.write_data(file)
    special: dict[str, Any] = {}
    if name == "induction":
        special = {"tokenizer": induction.word_tokenizer(), "measure": induction.measure}
    begun = checkpoints.has_state(run) or checkpoints.is_finished(run)
    train(file, run, SETTINGS[name], resume=begun, report=report, **special)
    return pack(name, run, recipe.measure(load(run)), bundle=bundle)


def pack(name: str, run: Path, measured: Scores, *, bundle: Path) -> Path:
    """Write a finished run into the bundle, with its scores and its card."""
    target = bundle / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for kept in ("tokenizer.json", "tokenizer_config.json", "config.json", checkpoints.METRICS):
        shutil.copyfile(run / kept, target / kept)
    generation = run / "generation_config.json"
    if generation.is_file():
        shutil.copyfile(generation, target / generation.name)
    weights = load_file(run / "model.safetensors")
    half = {key: tensor.to(torch.float16) for key, tensor in weights.items()}
    checkpoints.save_tensors(target / "model.safetensors", half, {"format": "pt"})
    snapshots = sorted((run / checkpoints.SNAPSHOTS).glob("*.safetensors"))
    if limit := MOST_SNAPSHOTS[name]:
        (target / checkpoints.SNAPSHOTS).mkdir()
        for path in _spread(snapshots, limit):
            shutil.copyfile(path, target / checkpoints.SNAPSHOTS / path.name)
    facts = json.loads((run / checkpoints.FACTS).read_text(encoding="utf-8"))
    facts["scores"] |= measured
    checkpoints.write_facts(target, facts)
    card = cards.card(name, facts, size=(target / "model.safetensors").stat().st_size)
    (target / "README.md").write_text(card, encoding="utf-8")
    return target


def _recipe(name: str, data: Path | None) -> Recipe:
    if name == "induction":
        return Recipe(
            write_data=lambda path: induction.write_repeats(path, seed=0),
            measure=lambda model: induction.measure(_transformer(model)),
        )
    if data is None:
        raise DataError(f"{name} is trained on Tatoeba's pairs: give their file by --data.")
    tatoeba = read_tatoeba(data)
    measures: dict[str, Callable[[Model, Tatoeba], Scores]] = {
        "tatoeba-translator": scores.translator_scores,
        "tatoeba-lm": scores.language_model_scores,
        "tatoeba-mlm": scores.masked_scores,
    }
    write = write_pairs if name == "tatoeba-translator" else write_lines
    return Recipe(
        write_data=lambda path: write(tatoeba, path),
        measure=lambda model: measures[name](model, tatoeba),
    )


def _transformer(model: Model) -> Any:
    network: Any = model.network
    return network.transformer


def _spread(paths: list[Path], limit: int) -> list[Path]:
    """The first, the last, and as many between them as there may be."""
    if len(paths) <= limit:
        return paths
    places = [round(place * (len(paths) - 1) / (limit - 1)) for place in range(limit)]
    return [paths[place] for place in places]
