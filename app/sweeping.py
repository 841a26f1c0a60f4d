"""Sweeps in the background: tables that grow while a page shows them.

One sweep serves all sessions that ask for the same. It rests when nobody has looked at it for a
while, since a text that was changed is asked about no more, and begins again if somebody does.
"""

import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from threading import Lock, Thread

import pandas as pd

import vizcore
from app.loading import work_out
from app.texts import _

FORGOTTEN = 20.0
"""Seconds after which a sweep that nobody looks at rests."""


@dataclass(eq=False)
class Sweep:
    """What was measured so far.

    Args:
        stream: begins to measure; gives tables, some rows at a time.
    """

    stream: Callable[[], Iterator[pd.DataFrame]]
    parts: list[pd.DataFrame] = field(default_factory=list)
    total: int = 0
    complete: bool = False
    error: str = ""
    _running: bool = False
    _looked: float = 0.0
    _lock: Lock = field(default_factory=Lock)

    @property
    def fraction(self) -> float:
        """How much of it is done."""
        done = sum(map(len, self.parts))
        return done / self.total if self.total else 0.0

    @property
    def attrs(self) -> dict[Hashable, object]:
        """What the tables say of themselves; empty before the first."""
        return dict(self.parts[0].attrs) if self.parts else {}

    def known(self) -> pd.DataFrame:
        """The rows so far; nothing is begun."""
        return pd.concat(self.parts) if self.parts else pd.DataFrame()

    def table(self) -> pd.DataFrame:
        """The rows so far; begins to measure if that is not done, or under way."""
        with self._lock:
            self._looked = time.monotonic()
            if not (self.complete or self._running or self.error):
                self._running, self.parts = True, []
                Thread(target=self._work, daemon=True).start()
        return self.known()

    def _work(self) -> None:
        try:
            for part in self.stream():
                self.total = int(part.attrs["total"])
                self.parts.append(part)
                if time.monotonic() - self._looked > FORGOTTEN:
                    return
            self.complete = True
        except vizcore.VizcoreError as error:
            self.error = str(error)
        finally:
            self._running = False


def sweep(title: str, key: Hashable, stream: Callable[[], Iterator[pd.DataFrame]]) -> Sweep:
    """The sweep of that key, begun when its table is first asked for."""
    found: Sweep = work_out(title, key, lambda _progress: Sweep(stream))
    return found


def head_effects(
    trace: "vizcore.Trace", kind: str, metric: "vizcore.LogProbability | vizcore.LogLikelihood"
) -> Sweep:
    """What each head of this kind of attention matters: one sweep for all pages that ask."""
    return sweep(
        _("Measuring"),
        (id(trace), kind, metric),
        lambda: vizcore.ablation_effects_stream(trace.model, trace, metric, kind=kind),
    )
