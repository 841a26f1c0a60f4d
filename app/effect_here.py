"""The measured effect of the open head on what the model expects now, beside where it looks.

It is measured for all heads in the background, once the page has been still for a moment, by the
sweep that the page What matters draws; so a head that is opened then has its number at once. Long
texts, and networks that would need a run for each head, are left to that page.
"""

import time

import pandas as pd
import streamlit as st

import vizcore
from app.scene import Scene
from app.sweeping import Sweep, head_effects
from app.texts import _, code
from app.what_is_asked import Asked, likeliest

MOST_TOKENS = 64
"""Of a text that is measured without being asked to."""
TICK = 1.0
"""Seconds that the page is left alone first, and between two looks."""


def measured(trace: "vizcore.Trace", kind: str, scene: Scene) -> "tuple[Asked, Sweep] | None":
    """What is asked, and the sweep that answers it; None if that is not done here."""
    model = trace.model
    ids = trace.source_ids if trace.target_ids is None else trace.target_ids
    n_tokens = max(len(trace.source_ids), len(ids))
    if not model.has_head or model.kind == "encoder" or model.capture != "tap":
        return None
    if n_tokens > MOST_TOKENS:
        return None
    asks_here = scene.token is not None and kind != "encoder" and scene.token < len(ids)
    position = scene.token if asks_here and scene.token is not None else len(ids) - 1
    row = likeliest(trace, position, 1).iloc[0]
    token_id = int(row["token_id"])
    token = str(row["token"])
    metric = vizcore.LogProbability(token_id, position)
    return Asked(metric, position, token, token_id), head_effects(trace, kind, metric)


def say(asked: Asked, under_way: Sweep, layer: int, head: int, place: str) -> str:
    """What becomes of the prediction without the head; empty if that is not measured yet.

    Args:
        asked, under_way: as `measured` returns them.
        layer, head: which one.
        place: the token after which it is predicted, if that is to be said.
    """
    mine = _of(under_way.known(), layer, head)
    if mine.empty:
        return ""
    before = float(str(under_way.attrs["original"]))
    what = asked.what
    if place:
        what = _("{token} after {place}").format(token=what, place=code(place))
    return _("Without this head {what} gets **{after}** instead of {before}.").format(
        what=what,
        after=asked.told(before + float(mine["effect"].iloc[0])),
        before=asked.told(before),
    )


@st.fragment(run_every=TICK)
def watch(
    asked: "tuple[Asked, Sweep]", layer: int, head: int, place: str, hint: str, since: float
) -> None:
    """Measure in the background; until it is known, the hint stands there."""
    under_way = asked[1]
    if time.monotonic() - since >= TICK and not under_way.error:
        under_way.table()
    st.markdown(say(*asked, layer, head, place) or hint)


def _of(effects: pd.DataFrame, layer: int, head: int) -> pd.DataFrame:
    """The row of one head, if it is there."""
    if effects.empty:
        return effects
    return effects[(effects["layer"] == layer) & (effects["head"] == head)]
