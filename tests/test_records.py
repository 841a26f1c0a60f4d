"""The record of a training: what it says, the networks along the way, and what is wrong with it."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import vizcore
from tests.support.tiny import save, tiny_network
from tests.support.trained import FACTS, METRICS, STEPS, trained_folder
from vizcore.errors import ModelFilesError, ModelNotFoundError, SelectionError

HEADER = METRICS.splitlines()[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny decoder that was trained, so to say."""
    return trained_folder(tmp_path_factory.mktemp("trained") / "tiny-lm")


def with_metrics(folder: Path, text: str) -> Path:
    """A folder that holds nothing but these metrics."""
    folder.mkdir(exist_ok=True)
    (folder / "metrics.csv").write_text(text, "utf-8")
    return folder


def complaint(function: Any, *arguments: Any, error: type[Exception] = ModelFilesError) -> str:
    """What the error says that this call ends in."""
    with pytest.raises(error) as caught:
        function(*arguments)
    return str(caught.value)


def test_the_curves_are_there_with_the_gap_between_them(folder: Path) -> None:
    metrics = vizcore.training_record(folder).metrics
    assert metrics["step"].tolist() == [0, 10, 40, 160]
    assert metrics["validation_loss"].tolist() == [5.75, 4.625, 2.875, 2.5]
    assert metrics["gap"].tolist() == [0, 0.125, 0.625, 2]
    assert math.isnan(metrics["tokens_per_second"][0])


def test_the_facts_are_those_of_the_training(folder: Path) -> None:
    record = vizcore.training_record(str(folder))
    assert (record.name, record.facts, record.snapshots) == ("tiny-lm", FACTS, STEPS)
    assert (record.seconds, record.scores) == (75.5, {"accuracy": 0.5})
    assert record.n_bytes == (folder / "model.safetensors").stat().st_size
    assert repr(record) == "TrainingRecord(tiny-lm, 4 evaluations, 4 snapshots)"


def test_parameters_are_counted_if_nobody_says_how_many_tied_ones_once(folder: Path) -> None:
    network = vizcore.load(folder).network
    expected = sum(parameter.numel() for parameter in network.parameters())
    assert vizcore.training_record(folder).n_parameters == expected


def test_a_loaded_model_knows_its_record(folder: Path) -> None:
    assert vizcore.training_record(vizcore.load(folder)).folder == folder


def test_a_snapshot_is_the_network_of_that_step(folder: Path) -> None:
    record = vizcore.training_record(folder)
    finished, early = vizcore.load(folder), record.snapshot(40)
    share = (40 + 1) / (160 + 1)
    for name, weights in finished.network.state_dict().items():
        if weights.ndim > 1:  # masks are kept in buffers
            kept = (weights * share).half().float()
            torch.testing.assert_close(early.network.state_dict()[name], kept)
    assert (early.name, early.kind) == ("tiny-lm at step 40", "decoder")
    assert early.trace("the cat").tokens == finished.trace("the cat").tokens


def test_a_snapshot_runs_its_own_weights_and_leaves_the_others_alone(folder: Path) -> None:
    record = vizcore.training_record(folder)
    last = record.snapshot(160)
    before = last.trace("the cat sat").logits
    record.snapshot(0)
    expected = vizcore.load(folder).trace("the cat sat").logits
    torch.testing.assert_close(last.trace("the cat sat").logits, before, rtol=0, atol=0)
    torch.testing.assert_close(before, expected, rtol=0.02, atol=0.02)  # float16 in between
    assert not torch.allclose(record.snapshot(0).trace("the cat sat").logits, expected, atol=0.1)


def test_a_row_of_a_step_that_was_done_again_takes_the_place_of_the_first(tmp_path: Path) -> None:
    text = "step,train_loss\n1,3\n2,2.5\n\n3,9\n2,2.25\n3,2\n"
    metrics = vizcore.training_record(with_metrics(tmp_path, text)).metrics
    assert metrics.to_dict("list") == {"step": [1, 2, 3], "train_loss": [3, 2.25, 2]}


def test_a_training_that_is_running_has_a_record_too(tmp_path: Path) -> None:
    record = vizcore.training_record(with_metrics(tmp_path, f"{HEADER}\n0,0,1.5,,0,5,nan\n7,0,3"))
    assert (len(record.metrics), record.facts, record.snapshots) == (1, {}, ())
    assert math.isnan(record.metrics["gap"][0])
    assert (record.seconds, record.scores) == (1.5, {})


def test_before_the_first_evaluation_nothing_was_measured(tmp_path: Path) -> None:
    record = vizcore.training_record(with_metrics(tmp_path, f"{HEADER}\n"))
    assert len(record.metrics) == 0
    assert math.isnan(record.seconds)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Line 1 of {path} must name the columns, `step` among them, and is ''."),
        ("a,b\n", "Line 1 of {path} must name the columns, `step` among them, and is 'a,b'."),
        ("step,x\n1,2\n2,3,4\n", "Line 3 of {path} has 3 values, and there are 2 columns."),
        ("step,x\n1,2\n2\n3,4\n", "Line 3 of {path} has 1 values, and there are 2 columns."),
        ("step,x\n1,two\n", "Line 2 of {path}: 'two' is not a number."),
        ("step,x\n1.5,2\n", "Line 2 of {path}: 1.5 is no step."),
        ("step,x\nnan,2\n", "Line 2 of {path}: nan is no step."),
        ("step,x\n-1,2\n", "Line 2 of {path}: -1 is no step."),
        ("step,x\ninf,2\n", "Line 2 of {path}: inf is no step."),
    ],
)
def test_what_is_wrong_with_the_curves_is_said_with_its_line(
    tmp_path: Path, text: str, said: str
) -> None:
    place = with_metrics(tmp_path, text)
    assert complaint(vizcore.training_record, place) == said.format(path=place / "metrics.csv")


def test_curves_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(b"\xff\xfe")
    assert "metrics.csv cannot be read" in complaint(vizcore.training_record, tmp_path)


@pytest.mark.parametrize(
    ("text", "said"), [("{", "is not valid JSON"), ("[1]", "must hold a JSON object")]
)
def test_facts_that_are_none_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with_metrics(tmp_path, f"{HEADER}\n")
    (tmp_path / "training.json").write_text(text)
    assert said in complaint(vizcore.training_record, tmp_path)


def test_a_folder_without_a_record_says_so(tmp_path: Path) -> None:
    save(tiny_network("gpt2"), tmp_path)
    expected = (
        f"There is no record of a training in {tmp_path}: it has no metrics.csv. Models that were "
        "trained with Headlight have one (`vizcore train`)."
    )
    assert complaint(vizcore.training_record, tmp_path) == expected
    assert complaint(vizcore.training_record, vizcore.load(tmp_path)) == expected


def test_a_model_that_came_from_no_folder_says_so() -> None:
    model = vizcore.Model.of(tiny_network("gpt2"), None, name="mine")
    assert complaint(vizcore.training_record, model) == (
        "mine was not loaded from a folder, so there is no record of its training."
    )


def test_what_is_not_there_at_all_says_so() -> None:
    said = complaint(vizcore.training_record, "nowhere", error=ModelNotFoundError)
    assert said == (
        "There is no folder nowhere, nor a model of that name that comes with Headlight."
    )


@pytest.mark.parametrize(
    ("steps", "has"),
    [
        ((), "none"),
        ((1, 2), "1, 2"),
        ((1, 2, 4, 8, 16, 32, 64), "1, 2, 4 … 64 (7 in all)"),
    ],
)
def test_a_snapshot_that_is_not_there_says_which_are(
    tmp_path: Path, steps: tuple[int, ...], has: str
) -> None:
    with_metrics(tmp_path / "tiny", f"{HEADER}\n")
    (tmp_path / "tiny" / "snapshots").mkdir()
    for step in steps:
        (tmp_path / "tiny" / "snapshots" / f"step-{step:06d}.safetensors").touch()
    record = vizcore.training_record(tmp_path / "tiny")
    said = complaint(record.snapshot, 3, error=SelectionError)
    assert said == f"There is no snapshot of step 3: tiny has {has}."


def test_a_broken_snapshot_says_so(tmp_path: Path) -> None:
    folder = trained_folder(tmp_path, steps=(0,))
    (folder / "snapshots" / "step-000000.safetensors").write_bytes(b"no weights")
    said = complaint(vizcore.training_record(folder).snapshot, 0)
    assert "step-000000.safetensors cannot be read" in said


@pytest.mark.parametrize("change", ["missing", "of another shape"])
def test_a_snapshot_of_another_network_is_refused(tmp_path: Path, change: str) -> None:
    folder = trained_folder(tmp_path, steps=(0,))
    path = folder / "snapshots" / "step-000000.safetensors"
    state = load_file(path)
    removed = state.pop("transformer.wte.weight")
    if change == "of another shape":
        state["transformer.wte.weight"] = removed[:7].clone()
    save_file(state, path)
    said = complaint(vizcore.training_record(folder).snapshot, 0)
    assert "is not of this network: it differs in" in said
    assert "transformer.wte.weight" in said
