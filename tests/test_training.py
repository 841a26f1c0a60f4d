"""A run of training: what it leaves, and that it can be killed and go on to the bit."""

import csv
import json
import math
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import vizcore
from tests.support.sentences import lines_file, pairs_file, small
from vizcore.errors import TrainingError
from vizcore.training import train
from vizcore.training_settings import TrainingSettings, TrainingStatus

ROOT = Path(__file__).resolve().parent.parent


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("task", "kind"),
    [("translation", "encoder-decoder"), ("language-model", "decoder"), ("masked", "encoder")],
)
def test_each_task_leaves_a_model_of_its_kind_that_has_learned(
    tmp_path: Path, task: str, kind: str
) -> None:
    data = pairs_file(tmp_path) if task == "translation" else lines_file(tmp_path)
    folder = train(data, tmp_path / "run", small(task, steps=60))
    model = vizcore.load(folder)
    assert model.kind == kind
    assert model.has_head
    losses = [row["validation_loss"] for row in rows(folder)]
    assert min(losses) < losses[0] - 1


def test_a_translator_that_saw_enough_translates_what_it_was_held_back_from(
    tmp_path: Path,
) -> None:
    settings = small("translation", steps=300, dropout=0, average=0, label_smoothing=0)
    folder = train(pairs_file(tmp_path), tmp_path / "run", settings)
    assert rows(folder)[-1]["validation_loss"] < 0.1
    model = vizcore.load(folder)
    trace = model.trace("you like birds.")
    assert model.tokenizer is not None
    assert model.tokenizer.decode(trace.target_ids, skip_special_tokens=True) == "你喜欢鸟。"


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    data = lines_file(tmp_path)
    one, again, other = (
        weights(train(data, tmp_path / name, small("language-model", steps=5, seed=seed)))
        for name, seed in (("one", 1), ("again", 1), ("other", 2))
    )
    assert same(one, again)
    assert not same(one, other)


def test_agreement_is_asked_for_from_its_share_of_the_steps_on(tmp_path: Path) -> None:
    losses: dict[str, list[float]] = {}
    for name, begins in (("never", None), ("late", 0.5), ("always", 0.0)):
        changes = {} if begins is None else {"agreement": 5.0, "agreement_from": begins}
        settings = small("language-model", steps=6, dropout=0.3, **changes)
        reported: list[float] = []
        train(
            lines_file(tmp_path),
            tmp_path / name,
            settings,
            report=lambda status, its=reported: its.append(status.loss),
        )
        losses[name] = reported
    assert losses["late"][:3] == losses["never"][:3]
    assert losses["late"][3] > losses["never"][3]
    assert losses["always"][0] > losses["never"][0]


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from tests.support.sentences import small
    from vizcore.training import train

    def report(status):
        if status.step == {step}:
            os.kill(os.getpid(), signal.SIGKILL)

    settings = small({task!r})
    train(Path({data!r}), Path({folder!r}), settings, resume={resume}, report=report)
"""


def killed(step: int, *, task: str, data: Path, folder: Path, resume: bool = False) -> None:
    """Run it in a process of its own that is killed after a step, as by kill -9."""
    script = textwrap.dedent(KILLED).format(
        step=step, task=task, data=str(data), folder=str(folder), resume=resume
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert done.returncode == -9


@pytest.mark.parametrize("task", ["translation", "masked"])
def test_killed_twice_and_resumed_it_ends_with_the_weights_of_an_undisturbed_run(
    tmp_path: Path, task: str
) -> None:
    data = pairs_file(tmp_path) if task == "translation" else lines_file(tmp_path)
    whole = train(data, tmp_path / "whole", small(task))
    broken = tmp_path / "broken"
    killed(12, task=task, data=data, folder=broken)  # between two checkpoints
    killed(25, task=task, data=data, folder=broken, resume=True)
    train(data, broken, small(task), resume=True)
    assert same(weights(whole), weights(broken))
    timeless = [
        [
            {key: row[key] for key in row if key not in ("seconds", "tokens_per_second")}
            for row in rows(folder)
        ]
        for folder in (whole, broken)
    ]
    assert timeless[0] == timeless[1]
    for path in sorted((whole / "snapshots").iterdir()):
        assert path.read_bytes() == (broken / "snapshots" / path.name).read_bytes()
    assert len(list((broken / "snapshots").iterdir())) == 5


def test_resuming_goes_on_with_the_settings_it_began_with(tmp_path: Path) -> None:
    data, folder = lines_file(tmp_path), tmp_path / "run"
    stop_at(data, folder, small("language-model"), 9)
    train(data, folder, small("masked", d_model=64, steps=3), resume=True)
    facts = json.loads((folder / "training.json").read_text())
    assert (facts["task"], facts["steps"]) == ("language-model", 30)
    assert facts["settings"]["d_model"] == 32


def stop_at(data: Path, folder: Path, settings: TrainingSettings, step: int) -> str:
    """Stop a run after a step; what it says."""
    seen: list[TrainingStatus] = []
    with pytest.raises(TrainingError) as stopped:
        train(
            data,
            folder,
            settings,
            report=seen.append,
            should_stop=lambda: seen[-1].step == step,
        )
    return str(stopped.value)


def test_stopped_by_request_it_loses_nothing(tmp_path: Path) -> None:
    data, folder = lines_file(tmp_path), tmp_path / "run"
    said = stop_at(data, folder, small("language-model"), 12)
    assert said == (
        f"Stopped after step 12 of 30; everything is saved in {folder}. Go on with `resume`."
    )
    first: list[int] = []
    train(
        data,
        folder,
        small("language-model"),
        resume=True,
        report=lambda status: first.append(status.step),
    )
    assert first[0] == 13


def test_a_finished_run_leaves_no_state_and_resuming_it_changes_nothing(tmp_path: Path) -> None:
    data = lines_file(tmp_path)
    folder = train(data, tmp_path / "run", small("language-model", steps=4))
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "metrics.csv", "training.json"} <= names
    assert not names & {"state.safetensors", "best.safetensors"}
    before = (folder / "model.safetensors").read_bytes()
    train(data, folder, small("language-model", steps=4), resume=True)
    assert (folder / "model.safetensors").read_bytes() == before


def test_metrics_tell_training_and_validation_loss_at_each_evaluation(tmp_path: Path) -> None:
    folder = train(lines_file(tmp_path), tmp_path / "run", small("language-model"))
    found = rows(folder)
    assert [row["step"] for row in found] == [0, 10, 20, 30]
    assert set(found[0]) == {
        "step",
        "epoch",
        "seconds",
        "tokens_per_second",
        "learning_rate",
        "train_loss",
        "validation_loss",
    }
    vocabulary = len(vizcore.load(folder).tokenizer or ())
    assert found[0]["train_loss"] == pytest.approx(math.log(vocabulary), rel=0.5)
    assert all(row["train_loss"] > 0 for row in found)


def test_what_is_measured_besides_stands_in_the_metrics(tmp_path: Path) -> None:
    folder = train(
        lines_file(tmp_path),
        tmp_path / "run",
        small("language-model", steps=10),
        measure=lambda network: {"width": network.config.d_model},
    )
    assert [row["width"] for row in rows(folder)] == [32, 32]


def test_the_best_weights_are_left_unless_the_last_are_asked_for(tmp_path: Path) -> None:
    data = lines_file(tmp_path)
    # At this rate the weights of the last step are worse than those of an earlier one.
    settings: dict[str, Any] = {"steps": 200, "dropout": 0, "average": 0, "learning_rate": 0.03}
    best = train(data, tmp_path / "best", small("language-model", **settings))
    last = train(data, tmp_path / "last", small("language-model", **settings, keep="last"))
    facts = json.loads((best / "training.json").read_text())
    losses = {row["step"]: row["validation_loss"] for row in rows(best)}
    assert facts["best_step"] == min(losses, key=lambda step: losses[step]) < 200
    assert not same(weights(best), weights(last))
    snapshot = load_file(last / "snapshots" / "step-000200.safetensors")
    assert all(torch.equal(weights(last)[name].half(), snapshot[name]) for name in snapshot)


def test_it_stops_early_when_nothing_gets_better(tmp_path: Path) -> None:
    settings = small(
        "language-model", steps=2000, patience=2, learning_rate=0.03, dropout=0, average=0
    )
    folder = train(lines_file(tmp_path), tmp_path / "run", settings)
    found = rows(folder)
    facts = json.loads((folder / "training.json").read_text())
    assert found[-1]["step"] == facts["steps"] == facts["best_step"] + 20 < 2000


def test_snapshots_lie_closer_together_in_the_beginning(tmp_path: Path) -> None:
    folder = train(lines_file(tmp_path), tmp_path / "run", small("language-model", snapshots=6))
    steps = [int(path.stem.removeprefix("step-")) for path in (folder / "snapshots").iterdir()]
    assert sorted(steps) == [0, 1, 2, 5, 13, 30]


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_what_was_saved(tmp_path: Path) -> None:
    data, folder = lines_file(tmp_path), tmp_path / "run"
    seen: list[TrainingStatus] = []
    settings = small("language-model", learning_rate=1e30, warmup=0, norm="pre", steps=500)
    with pytest.raises(TrainingError, match="The loss of step") as raised:
        train(data, folder, settings, report=seen.append)
    step = seen[-1].step + 1 if seen else 1
    said = str(raised.value)
    assert said.startswith(f"The loss of step {step} is ")
    assert said.endswith(
        f": training has diverged. The last good state is in {folder}. Begin anew with a lower "
        "learning rate than 1e+30."
    )
    assert (folder / "state.safetensors").is_file()


def test_a_full_disk_ends_the_run_with_its_last_state_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, folder = lines_file(tmp_path), tmp_path / "run"
    stop_at(data, folder, small("language-model"), 9)
    before = (folder / "state.safetensors").read_bytes()

    def full(*_arguments: object, **_others: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vizcore.checkpoints.save_file", full)
    with pytest.raises(TrainingError) as raised:
        train(data, folder, small("language-model"), resume=True)
    assert "could not be written: [Errno 28] No space left on device. What was saved before" in str(
        raised.value
    )
    assert (folder / "state.safetensors").read_bytes() == before
    monkeypatch.undo()
    train(data, folder, small("language-model"), resume=True)
    assert not list(folder.glob(".*.part"))


def test_a_run_is_never_overwritten(tmp_path: Path) -> None:
    data, folder = lines_file(tmp_path), tmp_path / "run"
    stop_at(data, folder, small("language-model"), 3)
    with pytest.raises(TrainingError) as begun:
        train(data, folder, small("language-model"))
    assert str(begun.value) == (
        f"There is a begun run in {folder}. Go on with it by `resume`, or choose another folder."
    )
    train(data, folder, small("language-model"), resume=True)
    with pytest.raises(TrainingError) as finished:
        train(data, folder, small("language-model"))
    assert str(finished.value) == f"There is a finished run in {folder}. Choose another folder."


def test_resuming_nothing_or_with_other_data_is_refused(tmp_path: Path) -> None:
    data, folder = lines_file(tmp_path), tmp_path / "run"
    with pytest.raises(TrainingError) as nothing:
        train(data, folder, small("language-model"), resume=True)
    assert str(nothing.value) == (
        f"There is no run in {folder} to go on with. Leave `resume` out to begin one."
    )
    stop_at(data, folder, small("language-model"), 3)
    data.write_text(data.read_text("utf-8").replace("猫", "鸟"), "utf-8")
    with pytest.raises(TrainingError) as others:
        train(data, folder, small("language-model"), resume=True)
    assert str(others.value) == (
        f"lines.txt is not the file that the run in {folder} began with. Give that file, or "
        "choose another folder."
    )


def test_settings_that_cannot_be_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    for changes, said in {
        "steps": (0, "steps must be at least 1, not 0."),
        "dropout": (1.5, "dropout must be at least 0 and less than 1, not 1.5."),
        "learning_rate": (0, "learning_rate must be above 0, not 0."),
        "n_heads": (5, "d_model is 32, which 5 heads cannot share equally."),
    }.items():
        with pytest.raises(TrainingError) as refused:
            small("masked", **{changes: said[0]})
        assert str(refused.value) == said[1]
    assert not list(tmp_path.iterdir())
