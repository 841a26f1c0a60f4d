"""Which number is asked about when something in a run is changed: a token, or the whole text.

The fields are those of the page Attribute, so a link means the same there. What a metric is in the
library is `vizcore.LogProbability` or `vizcore.LogLikelihood`.
"""

import math
from dataclasses import dataclass

import pandas as pd
import streamlit as st

import vizcore
from app import fields
from app.loading import work_out
from app.scene import current, pick, within
from app.texts import _, code

MOST_LIKELY = 2000
"""Among so many of the likeliest tokens a word is looked for."""


@dataclass(frozen=True)
class Asked:
    """What is asked.

    Args:
        metric: as the library takes it.
        position: after which token; the last if the whole text is asked about.
        token, token_id: which one; "" and None for the whole text.
    """

    metric: "vizcore.LogProbability | vizcore.LogLikelihood"
    position: int
    token: str = ""
    token_id: int | None = None

    def told(self, value: float) -> str:
        """A value of the metric, in words: a probability, or nats."""
        if self.token_id is None:
            return _("{nats:.2f} nats").format(nats=value)
        return f"{math.exp(value):.2f}" if value > math.log(0.01) else f"{math.exp(value):.1e}"

    @property
    def what(self) -> str:
        """What is measured, in words."""
        return _("the text") if self.token_id is None else code(self.token)


def likeliest(trace: "vizcore.Trace", position: int, n_tokens: int) -> pd.DataFrame:
    """The tokens that are expected most after a position, worked out once for all pages."""
    found: pd.DataFrame = work_out(
        _("Looking for the word"),
        (id(trace), position, n_tokens),
        lambda _progress: (trace, trace.next_tokens(position, n_tokens)),
    )[1]
    return found


def choose(trace: "vizcore.Trace") -> Asked | None:
    """The fields, side by side; None, and what is wrong in words, if there is no such token."""
    scene = current()
    ids = trace.source_ids if trace.target_ids is None else trace.target_ids
    last = len(ids) - 1
    fields.choice(
        _("What is measured"),
        "explains",
        scene.explains,
        {"": _("One token"), "likelihood": _("The whole text")},
        help=_("The probability of one token, or the likelihood of the text as it stands."),
    )
    if scene.explains == "likelihood":
        return Asked(vizcore.LogLikelihood(), last)
    picked = within(scene.token, last)
    position = last if picked is None else picked
    fields.number(_("After token number"), "token", position, 0, last)
    key = "field_answer"
    st.session_state[key] = scene.answer
    st.text_input(
        _("The word"),
        key=key,
        placeholder=_("the likeliest"),
        on_change=lambda: pick(answer=st.session_state[key].strip() or None),
        width=120,
    )
    table = likeliest(trace, position, MOST_LIKELY if scene.answer else 1)
    if scene.answer:
        table = table[table["token"].str.strip("·▁Ġ ") == scene.answer.strip()]
    if table.empty:
        st.warning(
            _("{word} is not one of the {n:,} likeliest tokens here. Try a piece of it.").format(
                word=code(scene.answer), n=MOST_LIKELY
            )
        )
        return None
    row = table.iloc[0]
    token_id = int(row["token_id"])
    metric = vizcore.LogProbability(token_id, position)
    return Asked(metric, position, str(row["token"]), token_id)
