"""How the terminal shows a training run, and how Ctrl-C ends one.

On a terminal a line is kept up to date: loss, speed, time left. Elsewhere, as in a log file, a line
is printed at each evaluation. Ctrl-C lets the step that is running end, so that nothing is lost; a
second one does not wait. The command itself is `vizcore.cli`'s.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from vizcore.training_settings import TrainingStatus


@contextmanager
def training_progress() -> Iterator[Callable[[TrainingStatus], None]]:
    """What is told after each step shows it on standard error."""
    errors = Console(stderr=True, highlight=False)
    if not errors.is_terminal:
        yield _lines(errors)
        return
    columns = (BarColumn(), TaskProgressColumn(show_speed=False), TextColumn("{task.description}"))
    with Progress(*columns, console=errors) as bars:
        task = bars.add_task("Starting", total=None)

        def report(status: TrainingStatus) -> None:
            bars.update(
                task, description=_in_words(status), total=status.n_steps, completed=status.step
            )

        yield report


def _lines(errors: Console) -> Callable[[TrainingStatus], None]:
    told: list[tuple[float | None, float | None]] = []

    def report(status: TrainingStatus) -> None:
        evaluated = (status.training_loss, status.validation_loss)
        if [evaluated] != told or status.step == status.n_steps:
            told[:] = [evaluated]
            errors.print(
                f"step {status.step} of {status.n_steps}  {_in_words(status)}", soft_wrap=True
            )

    return report


def _in_words(status: TrainingStatus) -> str:
    minutes, seconds = divmod(round(status.seconds_left), 60)
    losses = f"loss {status.loss:.3f}"
    if status.training_loss is not None and status.validation_loss is not None:
        losses += f" (training {status.training_loss:.3f}, validation {status.validation_loss:.3f})"
    speed = f"{status.tokens_per_second:,.0f} tokens/s"
    return f"epoch {status.epoch}  {losses}  {speed}  {minutes}:{seconds:02d} left"


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed, asked between steps; a second Ctrl-C interrupts as usual."""
    pressed: list[bool] = []

    def note(_signal: int, _frame: FrameType | None) -> None:
        pressed.append(True)
        signal.signal(signal.SIGINT, before)
        Console(stderr=True).print("Stopping after this step …")

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
