"""Attention: all heads at a glance, and the one that was picked in large."""

from typing import Any

import pandas as pd
import streamlit as st

import vizcore
from app import fields
from app.loading import draw_heads, load_model, run_text
from app.mount import mount, mount_map, plotly_itself
from app.scene import Scene, current, pick, within
from app.texts import _, code, literal

GRID_WIDTH, MAP_WIDTH = 5, 7
GRID_HEIGHT = 620
MAP_HEIGHT = 490
KINDS_HEIGHT = 50
"""Of the choice between kinds of attention, where there is one: all should fit on a projector."""
N_LOOKED_AT = 4


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
    heads = draw_heads(trace, kind)
    lower = KINDS_HEIGHT if len(trace.kinds) > 1 else 0
    grid, large = st.columns([GRID_WIDTH, MAP_WIDTH], gap="medium")
    with large:
        with st.container(horizontal=True):
            layer, head = fields.head(trace, kind, scene, heads.opening)
            row = _row(trace, kind, scene)
        _open_head(trace.map(layer, head, kind), row, MAP_HEIGHT - lower)
    with grid:
        mount(
            heads.view,
            key=f"grid_{kind}",
            on_select=_pick_head,
            selected=[layer, head],
            height=GRID_HEIGHT - lower,
        )


def _row(trace: "vizcore.Trace", kind: str, scene: Scene) -> int | None:
    """The query token that is looked at closely, if one was picked."""
    last = len(trace.query_tokens(kind)) - 1
    row = within(scene.token, last)
    hint = _("Click on a row of the map, or type its number, to see where it looks.")
    fields.number(_("Token"), "token", row, 0, last, optional=True, help=hint)
    return row


def _pick_head(choice: dict[str, Any]) -> None:
    pick(layer=choice["layer"], head=choice["head"])


def _open_head(one: "vizcore.AttentionMap", row: int | None, height: int) -> None:
    st.markdown(
        _("**{head}** {does}").format(
            head=literal(one.name.capitalize()), does=literal(vizcore.describe(one).text)
        )
        + "  \n"
        + _looked_at(one, row)
    )
    figure = vizcore.heatmap(
        one, row=row, dark=st.context.theme.type == "dark", height=height
    ).figure
    figure.update_layout(title=None, margin_t=10)
    alt = _("Attention map of {head}").format(head=one.name)
    mount_map(figure, key="map", alt=alt, on_select=_pick_row)


def _pick_row(choice: dict[str, Any]) -> None:
    """A click on the row that is picked puts it back."""
    row = int(choice["row"])
    pick(token=None if current().token == row else row)


def _looked_at(one: "vizcore.AttentionMap", row: int | None) -> str:
    """One line on where the picked token looks most, or how to pick one."""
    if row is None:
        return _("Click on a token or a row of the map to see where it looks.")
    weights = pd.Series(one.values[row]).nlargest(N_LOOKED_AT)
    places = [f"{code(one.key_tokens[key])} {weight:.3f}" for key, weight in weights.items()]
    return _("{token} looks most at {places}").format(
        token=code(one.query_tokens[row]), places=" \u2002".join(places)
    )
