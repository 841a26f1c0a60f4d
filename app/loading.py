"""Models and traces, made once for the whole server and shared by all of its sessions.

Each is made in a thread of its own, so that a page is on the screen at once and can say how far
the work is, whoever began it. A trace is never written to, so it can be shared like a model. When
there are too many, those that were not looked at for longest are dropped.
"""

import gc
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import streamlit as st

import vizcore
from app.texts import _, literal

MAX_MODELS = 3
MAX_TRACES = 8
"""Traces and pictures of heads, two for each text: a long text is some hundred megabytes."""
PATIENCE = 0.25
"""Seconds before progress is shown: what is done sooner should not flash."""
TICK = 0.1
"""Seconds between two looks at how far a job is."""
SHORT = 200
"""Tokens of a text for which looking for a telling head takes no time worth speaking of."""

LONG = 400
"""From more tokens than this on, no whole map is made: heads are counted in pieces, and seen in
tiles."""

Progress = Callable[[str, float | None], None]


@dataclass(eq=False)
class Job:
    """Something that is being made, and how far it is."""

    made: Future[Any] = field(default_factory=Future)
    message: str = ""
    fraction: float | None = None

    def report(self, message: str, fraction: float | None) -> None:
        """Called by the worker with what it is doing, and how far it is (0 to 1)."""
        self.message, self.fraction = message, fraction


@dataclass(eq=False)
class Workshop:
    """Makes each thing once, keeps the last few, and lets everybody watch."""

    limit: int
    _jobs: OrderedDict[Hashable, Job] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def order(self, key: Hashable, make: Callable[[Progress], Any]) -> Job:
        """The job of that key; begun now if nobody has."""
        with self._lock:
            job = self._jobs.get(key)
            if job is None or (job.made.done() and job.made.exception()):
                job = self._jobs[key] = Job()
                threading.Thread(target=self._work, args=(job, make), daemon=True).start()
            self._jobs.move_to_end(key)
            while len(self._jobs) > self.limit:
                self._jobs.popitem(last=False)
            return job

    @staticmethod
    def _work(job: Job, make: Callable[[Progress], Any]) -> None:
        try:
            job.made.set_result(make(job.report))
        except BaseException as error:  # raised again in each session that waits for it
            job.made.set_exception(error)


@st.cache_resource(show_spinner=False)
def _workshops() -> tuple[Workshop, Workshop]:
    return Workshop(MAX_MODELS), Workshop(MAX_TRACES)


@dataclass(frozen=True, eq=False)
class Heads:
    """All heads of a trace.

    Args:
        view: their picture.
        words: of a long text, for each (layer, head) what it does.
    """

    view: "vizcore.View"
    words: dict[tuple[int, int], str] = field(default_factory=dict)


def load_model(name: str) -> "vizcore.Model":
    """The model of that name. Until it is there the page shows progress; on an error it stops."""
    models, _traces = _workshops()
    job = models.order(name, lambda progress: _load(name, progress))
    model: vizcore.Model = _wait(job, _("Loading {name}").format(name=name))
    if model.note and name not in [entry.name for entry in vizcore.entries()]:
        st.info(literal(model.note), icon=":material/info:")
    return model


def _load(name: str, progress: Progress) -> "vizcore.Model":
    progress(_("Starting PyTorch"), None)
    load = vizcore.load  # its first use imports PyTorch and transformers
    # Streamlit collects garbage after every run of a page. What was just imported stays for good;
    # walking over it each time would hold up everybody for a quarter of a second. Once, since a
    # model that is dropped later has to be found.
    if not gc.get_freeze_count():
        gc.freeze()
    return load(name, progress=progress)


def run_text(model: "vizcore.Model", text: str, target: str) -> "vizcore.Trace":
    """The trace of a text, with progress and errors as in `load_model`."""
    _models, traces = _workshops()
    key = (id(model), text, target)
    job = traces.order(key, lambda progress: (model, model.trace(text, *_targets(model, target))))
    trace: vizcore.Trace = _wait(job, _("Running the text through the model"))[1]
    return trace


def work_out(title: str, key: Hashable, make: Callable[[Progress], Any]) -> Any:
    """Anything else that may take long, with progress and errors as in `load_model`.

    Args:
        title: what is being done, in words.
        key: says what it depends on; what was made for the same key is made once.
        make: makes it; called in a thread of its own.
    """
    _models, traces = _workshops()
    return _wait(traces.order((title, key), make), title)


def begin(title: str, key: Hashable, make: Callable[[Progress], Any]) -> Job:
    """The same as a job, begun now: for what nobody should wait for. `work_out` gives its result.

    Arguments as in `work_out`.
    """
    _models, traces = _workshops()
    return traces.order((title, key), make)


def draw_heads(trace: "vizcore.Trace", kind: str) -> Heads:
    """The picture of all heads of a trace; its maps are worked out only once."""
    heads: Heads = _wait(heads_job(trace, kind), _("Drawing every head"))[1]
    return heads


def heads_job(trace: "vizcore.Trace", kind: str) -> Job:
    """The same as a job, begun now: for a long text that takes so long that nobody should wait."""
    _models, traces = _workshops()
    return traces.order((id(trace), kind), lambda progress: (trace, _draw(trace, kind, progress)))


def is_long(trace: "vizcore.Trace", kind: str) -> bool:
    """Whether whole maps of this text are too large to be made."""
    return max(len(trace.query_tokens(kind)), len(trace.key_tokens(kind))) > LONG


def _draw(trace: "vizcore.Trace", kind: str, progress: Progress) -> Heads:
    if is_long(trace, kind):
        title = _("Looking at every head")
        found = vizcore.head_overview(trace, kind, progress=lambda share: progress(title, share))
        view = vizcore.model_view(found, kind=kind, detail=False)
        words = {(one.layer, one.head): one.pattern.text for one in found.heads}
        return Heads(view, words)
    n_maps = len(trace.layers(kind)) * trace.n_heads(kind)

    def looked_at() -> "Iterator[vizcore.AttentionMap]":
        for done, one in enumerate(trace.maps(kind)):
            progress(_("Drawing every head"), done / n_maps)
            yield one

    view = vizcore.model_view(looked_at(), kind=kind, detail=False)
    return Heads(view)


def scores_here(trace: "vizcore.Trace", kind: str) -> pd.DataFrame:
    """What every head does on this text, as numbers."""
    found: pd.DataFrame = work_out(
        _("Scoring every head on this text"),
        (id(trace), kind),
        lambda _progress: (trace, vizcore.map_scores(trace, kind=kind)),
    )[1]
    return found


def general_scores(model: "vizcore.Model") -> pd.DataFrame:
    """What every head of a model does on sentences and on random tokens, as numbers."""
    found: pd.DataFrame = work_out(
        _("Scoring every head on sentences and on random tokens"),
        id(model),
        lambda progress: (model, vizcore.head_scores(model, progress=progress)),
    )[1]
    return found


def head_to_open(trace: "vizcore.Trace", kind: str) -> tuple[int, int]:
    """The layer and head to open where none was picked, found out once for a trace."""
    found: tuple[int, int] = work_out(
        _("Looking for a head to begin with"),
        (id(trace), kind),
        lambda _progress: (trace, opening_head(trace, kind)),
    )[1]
    return found


def opening_head(trace: "vizcore.Trace", kind: str) -> tuple[int, int]:
    """A head that is good to begin with.

    In attention to another text, the one whose queries most decide where it looks; else the first
    that does something telling. Of a long text that is read from left to right, the beginning
    tells, which is what it would be without the rest.
    """
    if kind == "decoder" and trace.kinds == ("decoder",) and len(trace.token_ids) > SHORT:
        trace = trace.model.trace(trace.token_ids[:SHORT])
    n_tokens = max(len(trace.query_tokens(kind)), len(trace.key_tokens(kind)))
    if n_tokens <= SHORT and kind == "cross":
        scores = vizcore.map_scores(trace, kind=kind)
        best = scores.loc[scores["mutual_information"].fillna(0).idxmax()]
        return int(best["layer"]), int(best["head"])
    if n_tokens <= SHORT:
        for one in trace.maps(kind):
            if vizcore.is_telling(one):
                return one.layer, one.head
    return trace.layers(kind)[0], 0


def look_inside(
    trace: "vizcore.Trace", layer: int, head: int, token: int, kind: str, without: str
) -> "vizcore.AttentionSteps":
    """One head for one token, step by step; of a text for the first time with progress."""
    _models, traces = _workshops()

    def run_again(progress: Progress) -> Any:
        # Kept by the trace itself, so that every other head is there at once.
        return trace, vizcore.attention_steps(trace, layer, head, token, kind=kind)

    _wait(
        traces.order((id(trace), "inside"), run_again),
        _("Running the text once more, to see what stands around each attention"),
    )
    left_out = without.split("-")
    return vizcore.attention_steps(
        trace,
        layer,
        head,
        token,
        kind=kind,
        scaling="scaling" not in left_out,
        mask="mask" not in left_out,
    )


def _targets(model: "vizcore.Model", target: str) -> tuple[str, ...]:
    return (target,) if target and model.kind == "encoder-decoder" else ()


def _wait(job: Job, title: str) -> Any:
    """Wait for a job; show how far it is if it takes long, and say in words what went wrong."""
    place = st.empty()
    began = time.monotonic()
    shown: tuple[str, float] | None = None
    while not job.made.done():
        now = (job.message or title, round(job.fraction or 0.0, 2))
        if now != shown and time.monotonic() - began > PATIENCE:
            place.progress(now[1], text=literal(now[0]) + " …")
            shown = now
        wait([job.made], timeout=TICK)
    place.empty()
    error = job.made.exception()
    if error is None:
        return job.made.result()
    if isinstance(error, vizcore.VizcoreError):
        st.error(literal(str(error)), icon=":material/error:")
        st.stop()
    raise error
