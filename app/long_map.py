"""Puts the map of one head of a long text on a page: in tiles, worked out when they are looked at.

The view asks for the tile that it needs next; what is kept of a session is which one that was and
the last view, from which the coarse picture of the whole map is taken over. No map is ever whole.
For short texts take a heatmap, which shows everything at once.
"""

from dataclasses import dataclass
from typing import Any

import streamlit as st

import vizcore
from app.mount import mount
from app.scene import current, pick, within
from app.texts import _

_KEY = "long_map"


@dataclass
class _Kept:
    """What a session looks at.

    Args:
        shape: of the map; another text, another map.
        region: what was asked for last; None: the whole map.
        without_first: whether the first token is taken out.
        view: the last view.
        picked: whether a row was picked that the rest of the page does not know of yet.
    """

    shape: tuple[int, int]
    region: "vizcore.MapRegion | None" = None
    without_first: bool = False
    view: "vizcore.View | None" = None
    picked: bool = False


@st.fragment
def show(trace: "vizcore.Trace", layer: int, head: int, kind: str, *, height: int) -> None:
    """Show the map of a head here. A click on a row picks its token.

    Args:
        trace: of a long text.
        layer, head, kind: as in `trace.attention`.
        height: in CSS pixels.
    """
    shape = (len(trace.query_tokens(kind)), len(trace.key_tokens(kind)))
    kept = st.session_state.get(_KEY)
    if kept is None or kept.shape != shape:
        kept = st.session_state[_KEY] = _Kept(shape)
    if kept.picked:  # a token that is picked here is told elsewhere on the page
        kept.picked = False
        st.rerun()
    view = vizcore.tile_view(
        trace,
        layer,
        head,
        kind=kind,
        region=kept.region,
        row=within(current().token, shape[0] - 1),
        without_first=kept.without_first,
        live=True,
        earlier=kept.view,
        height=height,
        texts=_texts(),
    )
    kept.view = view
    mount(view, key="tiles", on_select=_picked)


def _picked(choice: dict[str, Any]) -> None:
    kept = st.session_state[_KEY]
    if "row" in choice:
        row = int(choice["row"])
        pick(token=None if current().token == row else row)
        kept.picked = True
        return
    tile = choice["tile"]
    kept.region = vizcore.MapRegion(
        int(tile["query"]), int(tile["key"]), int(tile["n_queries"]), int(tile["n_keys"])
    )
    kept.without_first = bool(choice["without_first"])


def _texts() -> dict[str, str]:
    return {
        "hint": _(
            "Scroll or pinch to zoom, drag to move. Zoomed in, click a row to pick its token."
        ),
        "keep": _("First token: as it is"),
        "renormalise": _("First token: left out, rest scaled up"),
        "linear": _("Colours: linear"),
        "log": _("Colours: logarithmic"),
    }
