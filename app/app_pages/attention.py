"""Attention: all heads at a glance, and the one that was picked in large."""

from typing import Any

import streamlit as st

import vizcore
from app.loading import draw_heads, load_model, run_text
from app.mount import mount
from app.scene import Scene, keep_in_range
from app.texts import _, literal

GRID_WIDTH, MAP_WIDTH = 5, 7
N_LOOKED_AT = 5


def show() -> None:
    """Draw the page."""
    scene = Scene.read(st.session_state)
    model = load_model(scene.model)
    trace = run_text(model, scene.text, scene.target)
    _look(trace)


@st.fragment
def _look(trace: vizcore.Trace) -> None:
    kind = _kind(trace)
    view = draw_heads(trace, kind)
    grid, large = st.columns([GRID_WIDTH, MAP_WIDTH], gap="medium")
    with large:
        layer, head = _head(trace, kind, view)
        _open_head(trace.map(layer, head, kind))
    with grid:
        mount(view, key=f"grid_{kind}", on_select=_pick_head, selected=[layer, head])


def _kind(trace: vizcore.Trace) -> str:
    if len(trace.kinds) == 1:
        return trace.kinds[0]
    words = {
        "encoder": _("Source looks at source"),
        "decoder": _("Target looks at target"),
        "cross": _("Target looks at source"),
    }
    return st.segmented_control(
        _("Attention"),
        trace.kinds,
        format_func=words.__getitem__,
        default="cross",
        key="kind",
        bind="query-params",
        required=True,
        label_visibility="collapsed",
    )


def _head(trace: vizcore.Trace, kind: str, view: vizcore.View) -> tuple[int, int]:
    """The head that is open; the one that is easiest to read if none was picked."""
    layers, n_heads = trace.layers(kind), trace.n_heads(kind)
    first_layer, first_head = 0, 0
    keep_in_range(st.session_state, "layer", layers[0], layers[-1])
    keep_in_range(st.session_state, "head", 0, n_heads - 1)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        layer = st.number_input(
            _("Layer"), layers[0], layers[-1], first_layer, key="layer", bind="query-params", width=130
        )
        head = st.number_input(
            _("Head"), 0, n_heads - 1, first_head, key="head", bind="query-params", width=130
        )
    return int(layer), int(head)


def _pick_head(choice: dict[str, Any]) -> None:
    st.session_state["layer"] = choice["layer"]
    st.session_state["head"] = choice["head"]


def _open_head(one: vizcore.AttentionMap) -> None:
    st.markdown(f"**{literal(one.name)}** {literal(vizcore.describe(one).text)}")
    row = st.session_state.get("token")
    figure = vizcore.heatmap(one, row=row, dark=st.context.theme.type == "dark").figure
    st.plotly_chart(figure, key="map", theme=None, on_select="rerun", selection_mode="points")
