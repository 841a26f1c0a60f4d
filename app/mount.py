"""Puts a browser view or a Plotly map on a Streamlit page and brings back what is picked in it.

A view's module has one signature for all hosts; `mount.js` is the few lines that fit it to a
Streamlit component. What is picked is handed to the page, which puts it into the scene; nothing is
kept here.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

import vizcore
from app.texts import _

_EXPORT = "export default view;\n"


def mount(
    view: "vizcore.View", *, key: str, on_select: Callable[[dict[str, Any]], None], **data: Any
) -> None:
    """Show a view here.

    Args:
        view: what to show.
        key: of the component in the session state.
        on_select: called with what the user picked, before the page runs again.
        data: what to change in the view's data, such as `selected`.
    """
    component = _component(view.name, view.js, view.css)
    component(data=view.data | data, key=key, on_select_change=_picked(key, on_select))


def mount_map(
    figure: Any, *, key: str, alt: str, on_select: Callable[[dict[str, Any]], None]
) -> None:
    """Show the Plotly figure of a map here.

    Args:
        figure: as `vizcore.heatmap` draws it.
        key: of the chart in the session state.
        alt: what the chart shows, for those who cannot see it.
        on_select: called with {"row": position, "column": place on the other axis} when a row or
            its token was clicked, before the page runs again.
    """
    data = {
        "figure": figure.to_json(),
        "rows": sorted({int(row) for row in figure.data[0].customdata}),
        "alt": alt,
        "missing": _("The map cannot be drawn: this page has no Plotly. Reload it."),
    }
    _chart()(data=data, key=key, on_select_change=_picked(key, on_select))


def plotly_itself() -> None:
    """Makes Streamlit send Plotly: with an empty chart, which nobody sees.

    Put it on the page while a model is loading, so that the browser reads Plotly meanwhile.
    """
    with st.container(key="plotly_itself"):
        st.plotly_chart({"data": [{"type": "scatter"}]}, key="empty_chart")


def _picked(key: str, on_select: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
    def picked() -> None:
        choice = st.session_state[key].get("select")
        if choice:
            on_select(dict(choice))

    return picked


@cache
def _component(name: str, js: str, css: str) -> Any:
    if not js.endswith(_EXPORT):
        raise ValueError(f"The module of {name} must end with {_EXPORT!r}.")
    adapted = js.removesuffix(_EXPORT) + _text("mount.js")
    return st.components.v2.component(f"headlight_{name}", js=adapted, css=css)


@cache
def _chart() -> Any:
    # Without a style sheet of its own: Plotly puts its style into the page.
    return st.components.v2.component("headlight_chart", js=_text("chart.js"), isolate_styles=False)


def _text(name: str) -> str:
    return (Path(__file__).parent / name).read_text("utf-8")
