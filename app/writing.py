"""A text that a model is writing, kept so that more of it can be asked for.

Each token is computed once, whoever asks first; a page that is interrupted, or another session,
goes on where it stopped. Not for searches, which look at many texts at once.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import vizcore
from app.loading import work_out
from app.texts import _

MOST = 200
"""Tokens that are written on a page."""
N_SHOWN = 5
"""Alternatives of each."""


@dataclass(eq=False)
class Writing:
    """The steps that were written so far, and where more come from."""

    model: "vizcore.Model"
    more: "Iterator[vizcore.GenerationStep]"
    steps: "list[vizcore.GenerationStep]" = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def up_to(self, n_steps: int) -> "Iterator[vizcore.GenerationStep]":
        """The first steps, each as soon as it is there; fewer if the text ends before."""
        for number in range(n_steps):
            with self.lock:
                if number == len(self.steps):
                    step = next(self.more, None)
                    if step is None:
                        return
                    self.steps.append(step)
            yield self.steps[number]


def begin(
    model: "vizcore.Model",
    text: str,
    target: str,
    *,
    sampling: "vizcore.Sampling",
    seed: int,
    forced: dict[int, int],
) -> Writing:
    """The writing with these settings, begun now if nobody has; errors as of `load_model`."""
    beginning = target or None if model.kind == "encoder-decoder" else None
    found: Writing = work_out(
        _("Reading the text"),
        (id(model), text, beginning, sampling, seed, tuple(forced.items())),
        lambda _progress: Writing(
            model,
            vizcore.generate(
                model,
                text,
                target=beginning,
                sampling=sampling,
                seed=seed,
                forced=forced,
                max_new_tokens=MOST + 1,  # one more is looked at than is written
                k=N_SHOWN,
            ),
        ),
    )
    return found
