"""Puts a browser view on a Streamlit page and brings back what is picked in it.

A view's module has one signature for all hosts; `mount.js` is the few lines that fit it to a
Streamlit component. The view is told what is selected, but keeps nothing: the selection lives in
the session state, like that of any widget.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

import vizcore

_ADAPTER = (Path(__file__).parent / "mount.js").read_text("utf-8")
_EXPORT = "export default view;\n"


def mount(
    view: vizcore.View, *, key: str, on_select: Callable[[dict[str, Any]], None], **data: Any
) -> None:
    """Show a view here.

    Args:
        view: what to show.
        key: of the component in the session state.
        on_select: called with what the user picked, before the page runs again.
        data: what to change in the view's data, such as `selected`.
    """

    def picked() -> None:
        choice = st.session_state[key].get("select")
        if choice:
            on_select(dict(choice))

    component = _component(view.name, view.js, view.css)
    component(data=view.data | data, key=key, on_select_change=picked)


@cache
def _component(name: str, js: str, css: str) -> Any:
    if not js.endswith(_EXPORT):
        raise ValueError(f"The module of {name} must end with {_EXPORT!r}.")
    adapted = js.removesuffix(_EXPORT) + _ADAPTER
    return st.components.v2.component(f"headlight_{name}", js=adapted, css=css)
