"""`vizcore train`, as somebody types it: begun, interrupted, resumed, refused."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import vizcore
from tests.support.sentences import lines_file, pairs_file
from tests.test_cli import fails, run
from vizcore.terminal_train import interruptible

ROOT = Path(__file__).resolve().parent.parent
SMALL = (
    "--d-model=32 --heads=2 --layers=1 --d-ff=48 --vocab-size=420 --batch-tokens=200 --warmup=5 "
    "--evaluate-every=10 --checkpoint-every=5 --snapshots=4 --precision=float32"
).split()


@pytest.mark.parametrize(
    ("pairs", "options", "said", "kind"),
    [
        (True, [], "Task: translation\n", "encoder-decoder"),
        (False, [], "Task: language-model\n", "decoder"),
        (False, ["--task", "masked"], "", "encoder"),
    ],
)
def test_train_leaves_a_model_and_says_where(
    tmp_path: Path, pairs: bool, options: list[str], said: str, kind: str
) -> None:
    data = pairs_file(tmp_path) if pairs else lines_file(tmp_path)
    folder = tmp_path / "run"
    result = run("train", str(data), str(folder), "--steps", "20", *SMALL, *options)
    assert result.exit_code == 0, result.output
    assert result.stdout == f'{said}The model is in {folder}: vizcore attend {folder} "…"\n'
    told = result.stderr.splitlines()
    assert [line.split("  ")[0] for line in told] == [
        "step 1 of 20",
        "step 10 of 20",
        "step 20 of 20",
    ]
    assert all(" left" in line and " tokens/s " in line for line in told)
    assert vizcore.load(folder).kind == kind


def test_ctrl_c_saves_and_resume_goes_on_where_it_stopped(tmp_path: Path) -> None:
    data, folder = lines_file(tmp_path), tmp_path / "run"
    command = [sys.executable, "-m", "vizcore.cli", "train", str(data), str(folder), *SMALL]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    with subprocess.Popen(
        [*command, "--steps", "100000", "--patience", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("step 1 of 100000")
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 1
    assert "Stopping after this step …" in rest
    assert f"everything is saved in {folder}. Go on with `resume`." in rest
    assert "Traceback" not in rest

    from vizcore.checkpoints import read_progress

    assert read_progress(folder)["step"] >= 1
    assert not (folder / "training.json").exists()


def test_resume_ends_a_run_that_was_stopped(tmp_path: Path) -> None:
    data, folder = lines_file(tmp_path), tmp_path / "run"
    with interruptible() as should_stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert should_stop()
        with pytest.raises(vizcore.TrainingError, match="Stopped after step 1 of 12"):
            vizcore.train(
                data,
                folder,
                vizcore.TrainingSettings("language-model", d_model=32, d_ff=0, steps=12),
                should_stop=should_stop,
            )
    result = run("train", str(data), str(folder), "--resume")
    assert result.exit_code == 0, result.output
    assert json.loads((folder / "training.json").read_text())["steps"] == 12
    again = run("train", str(data), str(folder), "--resume")
    assert (again.exit_code, again.stderr) == (0, "")


@pytest.fixture
def usual_ctrl_c() -> Iterator[None]:
    """Ctrl-C interrupts, also where the tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("usual_ctrl_c")
def test_a_second_ctrl_c_does_not_wait() -> None:
    with interruptible() as should_stop:
        assert not should_stop()
        signal.raise_signal(signal.SIGINT)
        assert should_stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_train_errors(tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.touch()
    assert fails("train", str(empty), str(tmp_path / "run"), code=1) == (
        f"Error: {empty} is empty: there is nothing to train on.\n"
    )
    assert not (tmp_path / "run").exists()
    broken = tmp_path / "broken.tsv"
    broken.write_text("a\tb\nc\n")
    said = run("train", str(broken), str(tmp_path / "run"))
    assert said.exit_code == 1
    assert said.stderr.startswith(f"Error: Line 2 of {broken} has no tab.")
    assert "Usage" in fails("train", str(broken), str(tmp_path / "run"), "--steps=0", code=2)
