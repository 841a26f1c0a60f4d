"""Runs of benchmarks in threads of their own, which pages watch, stop and take up again.

Every answer is kept as it comes, under a name that says what was asked of whom; so a run that was
stopped, or whose server was, goes on where it was, and one that is done is read. Not for results
that are brought along as a file.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Literal

import streamlit as st

import vizcore

FOLDER = "evaluations"
"""Within the folder in which models are kept."""


@dataclass(eq=False)
class Run:
    """One or several models that answer the same benchmarks, one after the other."""

    jobs: "Sequence[tuple[vizcore.Model, Asked, Path]]"
    n_done: int = 0
    n_items: int = 0
    doing: str = ""
    error: str = ""
    ended: bool = False
    wanted: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.wanted.set()
        self.n_items = len(self.jobs) * self.jobs[0][1].n_items

    def work(self) -> None:
        """Answer until all is done, or nobody wants it any more."""
        try:
            before = 0
            for model, asked, path in self.jobs:
                stream = vizcore.evaluation_stream(
                    model, asked.benchmarks, path, method=asked.method, train=asked.train
                )
                for status in stream:
                    self.n_done = before + status.n_done
                    self.doing = f"{model.name}: {status.benchmark}"
                    if not self.wanted.is_set():
                        stream.close()
                        return
                before += asked.n_items
        except vizcore.VizcoreError as error:
            self.error = str(error)
        finally:
            self.ended = True

    def stop(self) -> None:
        """End after the part that is at work."""
        self.wanted.clear()


@dataclass(frozen=True, eq=False)
class Asked:
    """What models are asked.

    Args:
        benchmarks: the files.
        method: None for minimal pairs; "words", "likelihood" or "probe" for labels.
        train: what to learn from, for the last two.
        sample: how many items of each file were chosen; None for all.
    """

    benchmarks: "tuple[vizcore.Benchmark, ...]"
    method: Literal["words", "likelihood", "probe"] | None = None
    train: "vizcore.Benchmark | None" = None
    sample: int | None = None

    @property
    def n_items(self) -> int:
        """Items to be run, those to learn from included."""
        learnt = () if self.train is None else (self.train,)
        return sum(len(one.items) for one in (*self.benchmarks, *learnt))

    def path(self, model: "vizcore.Model") -> Path:
        """Where a model's answers are kept."""
        known = [entry.name for entry in vizcore.entries()]
        # A folder may hold other weights tomorrow; the catalogue's never change.
        who = model.name if model.name in known else f"{model.name} {id(model)}"
        learnt = () if self.train is None else (self.train,)
        stated = [who, self.method, self.sample]
        stated += [(one.name, one.sha256) for one in (*self.benchmarks, *learnt)]
        key = hashlib.sha256(repr(stated).encode()).hexdigest()[:20]
        folder = vizcore.cache_folder() / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{key}.parquet"


@st.cache_resource(show_spinner=False)
def _runs() -> dict[tuple[Path, ...], Run]:
    return {}


def find(paths: tuple[Path, ...]) -> Run | None:
    """The run that writes these, if there is one, or was one since the server began."""
    return _runs().get(paths)


def start(models: "Sequence[vizcore.Model]", asked: Asked) -> None:
    """Begin, or take up again what was stopped; what runs already goes on."""
    jobs = [(model, asked, asked.path(model)) for model in models]
    paths = tuple(path for _model, _asked, path in jobs)
    run = find(paths)
    if run is not None and not run.ended:
        return
    run = _runs()[paths] = Run(jobs)
    Thread(target=run.work, daemon=True).start()


def results(path: Path) -> "vizcore.Evaluation | None":
    """What is kept so far; None if nothing is."""
    try:
        found = vizcore.read_evaluation(path)
    except vizcore.DataError:
        return None
    return None if found.items.empty else found
