"""What a run keeps: whole or not at all, and exactly what it was."""

import copy
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vizcore import checkpoints
from vizcore.errors import TrainingError


@given(n_steps=st.integers(1, 10**6), n_snapshots=st.integers(2, 40))
def test_snapshots_are_taken_at_both_ends_and_ever_further_apart(
    n_steps: int, n_snapshots: int
) -> None:
    steps = checkpoints.snapshot_steps(n_steps, n_snapshots)
    assert (steps[0], steps[-1]) == (0, n_steps)
    assert len(steps) <= n_snapshots
    gaps = [later - earlier for earlier, later in zip(steps, steps[1:], strict=False)]
    assert min(gaps) >= 1
    assert all(later >= earlier - 1 for earlier, later in zip(gaps, gaps[1:], strict=False))


def test_one_snapshot_is_the_last_and_none_is_none() -> None:
    assert checkpoints.snapshot_steps(100, 1) == [100]
    assert checkpoints.snapshot_steps(100, 0) == []


def stepped() -> tuple[nn.Module, torch.optim.Optimizer]:
    """A network that has learned a little, with dropout that has been drawn."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    for _step in range(3):
        network(torch.ones(5, 3)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return network, optimizer


def test_a_state_goes_on_exactly_where_it_was_saved(tmp_path: Path) -> None:
    network, optimizer = stepped()
    checkpoints.save_state(
        tmp_path, network, copy.deepcopy(network), optimizer, {"step": 3, "what": "我"}
    )

    def another_step() -> list[torch.Tensor]:
        network(torch.ones(5, 3)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        return [parameter.detach().clone() for parameter in network.parameters()]

    expected = another_step()
    fresh = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    network, optimizer = fresh, torch.optim.AdamW(fresh.parameters(), lr=0.1)
    progress = checkpoints.restore_state(tmp_path, network, network, optimizer)
    assert progress == {"step": 3, "what": "我"} == checkpoints.read_progress(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(expected, another_step(), strict=True))


def test_the_state_of_another_network_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    network, optimizer = stepped()
    checkpoints.save_state(tmp_path, network, copy.deepcopy(network), optimizer, {})
    other = nn.Sequential(nn.Linear(3, 5), nn.Dropout(0.5), nn.Linear(5, 2))
    with pytest.raises(TrainingError) as others:
        checkpoints.restore_state(tmp_path, other, other, optimizer)
    assert str(others.value) == (
        f"The state in {tmp_path} is that of a network of other sizes. Resume with the settings "
        "that the run began with, or choose another folder."
    )
    path = tmp_path / checkpoints.STATE
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TrainingError, match="state.safetensors is damaged: "):
        checkpoints.restore_state(tmp_path, network, network, optimizer)
    with pytest.raises(TrainingError, match="state.safetensors is no state of a training run: "):
        checkpoints.read_progress(tmp_path)


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notes.txt"
    checkpoints.write_text(path, "before")

    def full(*_arguments: object, **_others: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(TrainingError) as raised:
        checkpoints.write_text(path, "after")
    assert str(raised.value) == (
        f"{path} could not be written: [Errno 28] No space left on device. What was saved before "
        "is still there. Free some space or permit writing, and go on from it with `resume`."
    )
    assert path.read_text() == "before"
    assert [found.name for found in tmp_path.iterdir()] == ["notes.txt"]


def test_metrics_after_the_last_state_are_forgotten(tmp_path: Path) -> None:
    rows = [{"step": step, "loss": 1 / (step + 1)} for step in (0, 10, 20)]
    checkpoints.write_metrics(tmp_path, rows)
    assert [row["step"] for row in checkpoints.read_metrics(tmp_path, until_step=12)] == [0, 10]
    assert checkpoints.read_metrics(tmp_path / "nowhere", until_step=1) == []


def test_what_is_written_can_be_read_by_others_on_the_machine(tmp_path: Path) -> None:
    network, _optimizer = stepped()
    checkpoints.save_weights(tmp_path / "weights.safetensors", network, dtype=torch.float16)
    assert (tmp_path / "weights.safetensors").stat().st_mode & 0o044 == 0o044
