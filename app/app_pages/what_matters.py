"""What matters: what each head does to a prediction, measured, beside where it looks."""

import pandas as pd
import streamlit as st

import vizcore
from app import fields, head_without, what_is_asked
from app.loading import draw_heads, is_long, load_model, run_text
from app.mount import mount, mount_map, plotly_itself
from app.scene import current, pick
from app.sweeping import Sweep, head_effects
from app.texts import _, literal
from app.what_is_asked import Asked

HEIGHT = 480
TICK = 0.7
"""Seconds between two looks at what is measured: drawing takes time from measuring."""


def show() -> None:
    """Draw the page."""
    scene = current()
    page, plotly = st.container(), st.container()
    with plotly:
        plotly_itself()
    with page:
        model = load_model(scene.model)
        if not model.has_head or model.kind == "encoder":
            st.info(_cannot(model), icon=":material/info:")
            return
        trace = run_text(model, scene.text, scene.target)
        if is_long(trace, trace.kinds[-1]):
            n_tokens = len(trace.query_tokens(trace.kinds[-1]))
            hint = _("This text has {n} tokens. Shorten it: a run is made without each head.")
            st.info(hint.format(n=n_tokens), icon=":material/info:")
            return
        _look(trace)


def _cannot(model: "vizcore.Model") -> str:
    return _(
        "**{name} does not predict the next token**, so there is nothing to measure. Choose a "
        "model that reads from left to right, such as smollm2-135m, or a translator."
    ).format(name=literal(model.name))


@st.fragment
def _look(trace: "vizcore.Trace") -> None:
    scene = current()
    kind = fields.kind(trace, scene)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        asked = what_is_asked.choose(trace)
        if asked is None:
            return
        under_way = head_effects(trace, kind, asked.metric)
        table = under_way.table()
        layer, head = fields.head(trace, kind, scene, _opening(trace, kind, table))
    if under_way.error:
        st.error(literal(under_way.error), icon=":material/error:")
        return
    effects, looks, one = st.columns([5, 8, 9], gap="medium")
    with effects:
        st.markdown(_("**Measured**: without it"), help=_help(asked))
        draw = _measured if under_way.complete else _measuring
        draw(trace, kind, asked, under_way, (layer, head))
    with looks:
        st.markdown(_("**Attention**: where it looks"))
        mount(
            draw_heads(trace, kind).view,
            key=f"looks_{kind}",
            on_select=lambda choice: pick(layer=choice["layer"], head=choice["head"]),
            selected=[layer, head],
            height=HEIGHT,
        )
    with one:
        head_without.show(trace, kind, asked, layer, head, table)


def _help(asked: Asked) -> str:
    return _(
        "Each cell is a run without that head: how the log-probability of {what} changes, in nats. "
        "Brown or orange: it gets less likely, so the head helps. Blue: more likely."
    ).format(what=asked.what)


def _opening(trace: "vizcore.Trace", kind: str, table: pd.DataFrame) -> tuple[int, int]:
    """The head that matters most of those that are measured."""
    if table.empty:
        return trace.layers(kind)[-1], 0
    most = table.loc[table["effect"].abs().idxmax()]
    return int(most["layer"]), int(most["head"])


def _grid(trace: "vizcore.Trace", kind: str, under_way: Sweep, chosen: tuple[int, int]) -> None:
    table = under_way.table()
    if table.empty:
        table = pd.DataFrame({"layer": [], "head": [], "effect": []})
    layers = trace.layers(kind)
    figure = vizcore.effect_heatmap(
        table,
        rows=layers,
        columns=range(trace.n_heads(kind)),
        selected=chosen,
        crossed=[(one[0], one[1]) for one in current().heads_off],
        dark=st.context.theme.type == "dark",
        height=HEIGHT,
    ).figure
    mount_map(
        figure,
        key="effects",
        alt=_("The measured effect of each head"),
        on_select=lambda choice: pick(layer=layers[choice["row"]], head=choice["column"]),
    )


def _measured(
    trace: "vizcore.Trace", kind: str, asked: Asked, under_way: Sweep, chosen: tuple[int, int]
) -> None:
    _grid(trace, kind, under_way, chosen)


@st.fragment(run_every=TICK)
def _measuring(
    trace: "vizcore.Trace", kind: str, asked: Asked, under_way: Sweep, chosen: tuple[int, int]
) -> None:
    """The grid while it fills; the page can be used meanwhile."""
    if under_way.complete or under_way.error:
        st.rerun()
    st.progress(under_way.fraction)
    _grid(trace, kind, under_way, chosen)
