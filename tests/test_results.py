"""Results survive: a run that is killed goes on, and never mixes with another run's."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import vizcore
from vizcore.results import KeptRun, part_frames, table_of

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = {"model": "m", "method": "pairs", "benchmarks": [{"name": "b", "n_items": 3}]}


def rows(start: int, n: int = 2) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "benchmark": "b",
            "line": range(start, start + n),
            "text": [None] * n,
            "score": [0.5] * n,
            "correct": [True] * n,
        }
    ).astype({"text": object})


def test_what_is_kept_is_read_again_with_its_types_and_settings(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    with KeptRun(path, SETTINGS) as kept:
        kept.add(table_of(rows(0)))
        kept.add(table_of(rows(2)))
        kept.finish(part_frames(kept.parts), {"threshold": 1.5})
    read = vizcore.read_evaluation(path)
    assert read.complete
    assert list(read.items["line"]) == [0, 1, 2, 3]
    assert read.items["correct"].dtype == bool
    assert read.settings == {**SETTINGS, "threshold": 1.5}
    assert repr(read) == "Evaluation(m, pairs, 4 rows)"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["r.parquet"]
    assert list(pd.read_parquet(path)["line"]) == [0, 1, 2, 3]  # by anybody


def test_an_unfinished_run_can_be_read_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    with KeptRun(path, SETTINGS) as kept:
        kept.add(table_of(rows(0)))
    so_far = vizcore.read_evaluation(path)
    assert (len(so_far.items), so_far.complete) == (2, False)
    assert repr(so_far) == "Evaluation(m, pairs, 2 rows, unfinished)"
    with KeptRun(path, SETTINGS) as again:
        assert (again.n_done, again.finished) == (2, False)
        again.add(table_of(rows(2)))
        again.finish(part_frames(again.parts), {})
    with KeptRun(path, SETTINGS) as done:
        assert done.finished
    assert len(vizcore.read_evaluation(path).items) == 4


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.test_results import SETTINGS, rows
from vizcore import results

path, place = Path(sys.argv[1]), sys.argv[2]
kept = results.KeptRun(path, SETTINGS)
kept.add(results.table_of(rows(0)))

def die(*_arguments):
    os.kill(os.getpid(), signal.SIGKILL)

if place == "in a part":
    results.pq.write_table = lambda rows, path: (path.write_bytes(b"PAR1 half"), die())
    kept.add(results.table_of(rows(2)))
kept.add(results.table_of(rows(2)))
if place == "in the end":
    results.os.replace = die
if place == "after the end":
    results.shutil.rmtree = die
kept.finish(results.part_frames(kept.parts), {})
"""


@pytest.mark.parametrize("place", ["in a part", "in the end", "after the end"])
def test_a_run_that_is_killed_loses_at_most_the_part_that_it_was_writing(
    place: str, tmp_path: Path
) -> None:
    path = tmp_path / "r.parquet"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), place],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    with KeptRun(path, SETTINGS) as kept:
        if place == "after the end":
            assert kept.finished
        else:
            assert kept.n_done == (2 if place == "in a part" else 4)
            if place == "in a part":
                kept.add(table_of(rows(2)))
            kept.finish(part_frames(kept.parts), {})
    assert list(vizcore.read_evaluation(path).items["line"]) == [0, 1, 2, 3]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["r.parquet"]


def test_results_of_another_run_are_not_touched_errors(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    with KeptRun(path, SETTINGS) as kept:
        kept.add(table_of(rows(0)))
    with pytest.raises(vizcore.DataError) as caught:
        KeptRun(path, {**SETTINGS, "model": "other"})
    assert str(caught.value) == (
        f'{path}.parts holds the results of another run (model: "m", now "other"). Give another '
        "name, or remove it."
    )
    with KeptRun(path, SETTINGS) as kept:  # the lock was let go
        kept.finish(part_frames(kept.parts), {})
    with pytest.raises(vizcore.DataError) as caught:
        KeptRun(path, {**SETTINGS, "method": "words"})
    assert str(caught.value) == (
        f'{path} holds the results of another run (method: "pairs", now "words"). Give another '
        "name, or remove it."
    )


def test_two_processes_do_not_write_the_same_results_errors(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    with KeptRun(path, SETTINGS), pytest.raises(vizcore.DataError) as caught:
        KeptRun(path, SETTINGS)
    assert str(caught.value) == (
        f"Another process is writing {path}. Wait for it, or give another name."
    )


def test_files_that_are_no_results_errors(tmp_path: Path) -> None:
    with pytest.raises(vizcore.DataError) as caught:
        vizcore.read_evaluation(tmp_path / "none.parquet")
    assert str(caught.value) == f"There are no results {tmp_path / 'none.parquet'}. Check the path."
    text = tmp_path / "text.parquet"
    text.write_text("hello")
    with pytest.raises(vizcore.DataError) as caught:
        vizcore.read_evaluation(text)
    assert str(caught.value) == f"{text} is no Parquet file that can be read."
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"a": [1]}), other)
    with pytest.raises(vizcore.DataError) as caught:
        vizcore.read_evaluation(other)
    assert str(caught.value) == (
        f"{other} was not written by Headlight: it does not say how it was made."
    )
    with pytest.raises(vizcore.DataError, match=r"r\.parquet cannot be written: \w") as caught:
        KeptRun(text / "r.parquet", SETTINGS)


def test_folders_on_the_way_are_made_and_their_names_mean_nothing(tmp_path: Path) -> None:
    path = tmp_path / "model=a" / "r.parquet"  # which others take for a column
    with KeptRun(path, SETTINGS) as kept:
        kept.add(table_of(rows(0)))
        kept.finish(part_frames(kept.parts), {})
    assert list(vizcore.read_evaluation(path).items) == list(rows(0))
