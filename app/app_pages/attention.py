"""Attention: all heads at a glance, and the one that was picked in large."""

import time
from typing import Any

import pandas as pd
import streamlit as st

import vizcore
from app import effect_here, fields, open_head
from app.loading import (
    draw_heads,
    general_scores,
    head_to_open,
    heads_job,
    is_long,
    load_model,
    run_text,
    scores_here,
)
from app.mount import mount, plotly_itself
from app.scene import Scene, current, pick, within
from app.texts import _, code, literal

WIDTHS = {"": (5, 7), "text": (5, 7), "lines": (5, 7), "numbers": (4, 8)}
"""Of all heads and the open one, by how that is seen: numbers need room."""
GRID_HEIGHT = 570
MAP_HEIGHT = 438
KINDS_HEIGHT = 50
"""Of the choice between kinds of attention, where there is one: all should fit on a projector."""
N_LOOKED_AT = 4
TICK = 0.5
"""Seconds between two looks at how far the picture of all heads is."""


def show() -> None:
    """Draw the page."""
    scene = current()
    page, plotly = st.container(), st.container()
    with plotly:
        plotly_itself()
    with page:
        model = load_model(scene.model)
        _look(run_text(model, scene.text, scene.target))


@st.fragment
def _look(trace: "vizcore.Trace") -> None:
    scene = current()
    kind = fields.kind(trace, scene)
    lower = KINDS_HEIGHT if len(trace.kinds) > 1 else 0
    grid, large = st.columns(WIDTHS[scene.seen], gap="medium")
    with large:
        with st.container(horizontal=True):
            layer, head = fields.head(trace, kind, scene, head_to_open(trace, kind))
            row = _row(trace, kind, scene)
        open_head.choose(trace, kind, layer, head)
        _say(trace, kind, layer, head, row)
        open_head.show(trace, kind, layer, head, row, MAP_HEIGHT - lower)
    with grid:
        fields.choice(
            _("See all heads by"),
            "overview",
            scene.overview,
            {"": _("Maps"), "here": _("Scores here"), "general": _("General scores")},
            hidden=True,
        )
        height = GRID_HEIGHT - lower
        if scene.overview:
            _scatter(trace, kind, layer, head, height)
        elif is_long(trace, kind) and not heads_job(trace, kind).made.done():
            _watch(trace, kind)
        else:
            mount(
                draw_heads(trace, kind).view,
                key=f"grid_{kind}",
                on_select=_pick_head,
                selected=[layer, head],
                height=height,
            )


@st.fragment(run_every=TICK)
def _watch(trace: "vizcore.Trace", kind: str) -> None:
    """How far the picture of all heads of a long text is; the page can be used meanwhile."""
    job = heads_job(trace, kind)
    if job.made.done():
        st.rerun()
    st.progress(job.fraction or 0.0, text=_("Looking at every head") + " …")


def _scatter(trace: "vizcore.Trace", kind: str, layer: int, head: int, height: int) -> None:
    """All heads as points, by two of their scores."""
    general = current().overview == "general"
    if not general and is_long(trace, kind):
        n_tokens = len(trace.query_tokens(kind))
        hint = _("This text has {n} tokens, too many to score every head on. See *{other}*.")
        st.info(hint.format(n=n_tokens, other=_("General scores")), icon=":material/info:")
        return
    table = general_scores(trace.model) if general else scores_here(trace, kind)
    view = vizcore.head_scatter(table[table["kind"] == kind], height=height)
    mount(view, key=f"scatter_{kind}", on_select=_pick_head, selected=[layer, head, kind])


def _row(trace: "vizcore.Trace", kind: str, scene: Scene) -> int | None:
    """The query token that is looked at closely, if one was picked."""
    last = len(trace.query_tokens(kind)) - 1
    row = within(scene.token, last)
    hint = _("Click on a row of the map, or type its number, to see where it looks.")
    fields.number(_("Token"), "token", row, 0, last, optional=True, help=hint)
    return row


def _pick_head(choice: dict[str, Any]) -> None:
    pick(layer=choice["layer"], head=choice["head"])


def _say(trace: "vizcore.Trace", kind: str, layer: int, head: int, row: int | None) -> None:
    """What the open head does, and where the picked token looks most; or what is compared."""
    other = open_head.compared_with(trace, kind, layer, head, current())
    if other is not None and not is_long(trace, kind):
        st.markdown(_compared(trace.map(layer, head, kind), trace.map(*other, kind)))
        return
    if is_long(trace, kind):  # there is no whole map
        one = trace.map_rows(layer, head, [row or 0], kind)
        place = None if row is None else 0
        job = heads_job(trace, kind)
        known = job.made.done() and not job.made.exception()
        does = draw_heads(trace, kind).words[layer, head] if known else ""
    else:
        one = trace.map(layer, head, kind)
        does, place = vizcore.describe(one).text, row
    name = literal(one.name.capitalize())
    asked = effect_here.measured(trace, kind, current())
    after = "" if row is None or kind == "encoder" else trace.query_tokens(kind)[row]
    effect = "" if asked is None else effect_here.say(*asked, layer, head, after)
    lines = [_("**{head}** {does}").format(head=name, does=literal(does))]
    if not current().seen and place is not None:
        lines.append(_looked_at(one, place))
    hint = ""
    if len(lines) == 1 and not current().seen:  # the other views say by themselves what to do
        hint = _("Click on a token or a row of the map to see where it looks.")
    if asked is None or effect:
        st.markdown("  \n".join(filter(None, (*lines, effect or hint))))
        return
    with st.container(gap=None):
        st.markdown("  \n".join(lines))
        effect_here.watch(asked, layer, head, after, hint, time.monotonic())


def _compared(one: "vizcore.AttentionMap", other: "vizcore.AttentionMap") -> str:
    """What colours, or dashes, mean in a difference."""
    less = _("orange") if st.context.theme.type == "dark" else _("brown")
    said = (
        _("**{one} minus {other}**: solid is more, dashed is less")
        if current().seen == "lines"
        else _("**{one} minus {other}**: blue is more, {less} is less")
    )
    return said.format(one=literal(one.name.capitalize()), other=literal(other.name), less=less)


def _looked_at(one: "vizcore.AttentionMap", row: int) -> str:
    """One line on where the picked token looks most."""
    weights = pd.Series(one.values[row]).nlargest(N_LOOKED_AT)
    places = [f"{code(one.key_tokens[key])} {weight:.3f}" for key, weight in weights.items()]
    return _("{token} looks most at {places}").format(
        token=code(one.query_tokens[row]), places=" \u2002".join(places)
    )
