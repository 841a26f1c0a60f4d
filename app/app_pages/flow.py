"""Flow: attention through all layers at once, as a graph between positions."""

from collections.abc import Iterator
from typing import Any

import streamlit as st

import vizcore
from app import fields
from app.loading import is_long, load_model, run_text, work_out
from app.mount import mount
from app.scene import Scene, current, pick, within
from app.texts import _

HEIGHT = 550
OPENING_LAYER = 5
"""Deep enough for something to have flowed, and not so deep that all has come to one place."""


def show() -> None:
    """Draw the page."""
    scene = current()
    model = load_model(scene.model)
    _look(run_text(model, scene.text, scene.target))


@st.fragment
def _look(trace: "vizcore.Trace") -> None:
    scene = current()
    kinds = [kind for kind in trace.kinds if kind != "cross"]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = kinds[0]
        if len(kinds) > 1:
            words = {"": _("Source"), "decoder": _("Target")}
            picked = "decoder" if scene.kind == "decoder" else ""
            fields.choice(_("Which text"), "kind", picked, words, hidden=True)
            kind = picked or "encoder"
        fields.choice(
            _("Rows"), "unit", scene.unit, {"": _("Tokens"), "word": _("Words")}, hidden=True
        )
        st.caption(
            _("What a place holds after a layer, and through which places it came there."),
            help=_hint(trace, kind),
            width="content",
        )
    if is_long(trace, kind):
        n_tokens = len(trace.query_tokens(kind))
        hint = _("This text has {n} tokens, too many for a graph. Shorten it, or see Attention.")
        st.info(hint.format(n=n_tokens), icon=":material/info:")
        return
    by_word = scene.unit == "word"
    # In a decoder nearly all of a plain rollout ends at the first token, where heads park.
    sink = scene.sink or ("renormalise" if kind == "decoder" else "keep")
    view = work_out(
        _("Following attention through all layers"),
        (id(trace), "flow", kind, scene.unit, sink),
        lambda _progress: (trace, _view(trace, kind, sink, by_word)),
    )[1]
    mount(
        view,
        key=f"flow_{kind}_{scene.unit}",
        on_select=_ignore if by_word else _pick,
        **({} if by_word else _opened(trace, kind, scene)),
    )


def _hint(trace: "vizcore.Trace", kind: str) -> str:
    """How the picture is made, and what it does not show."""
    lines = [
        _(
            "Attention rollout: in each layer half of a place is what was there before, half what "
            "the mean of all heads brings. It follows attention alone, not what the values hold."
        )
    ]
    if kind == "decoder" and len(trace.layers(kind)) > OPENING_LAYER + 1:
        lines.append(
            _(
                "In a deep decoder all of it ends at the earliest tokens, whatever the text: so "
                "the picture begins at an early layer."
            )
        )
    return " ".join(lines)


def _opened(trace: "vizcore.Trace", kind: str, scene: Scene) -> dict[str, list[int]]:
    """The place that a link or another page names; what is chosen later the view itself knows."""
    state, of = st.session_state, (id(trace), kind)
    if state.get("flow_of") != of:
        state["flow_of"], state["flow_opened"] = of, scene.token
    token = within(state["flow_opened"], len(trace.query_tokens(kind)) - 1)
    return {} if token is None else {"chosen": [1 + _opening_place(trace, kind), token]}


def _opening_place(trace: "vizcore.Trace", kind: str) -> int:
    """Which of the layers is looked at first, by its place among them."""
    return min(OPENING_LAYER, len(trace.layers(kind)) - 1)


def _view(trace: "vizcore.Trace", kind: str, sink: Any, by_word: bool) -> "vizcore.View":
    def words() -> "Iterator[vizcore.AttentionMap]":
        for one in trace.maps(kind):
            yield vizcore.by_words(one)

    return vizcore.flow_view(
        words() if by_word else trace,
        kind=kind,
        sink=sink,
        layer=trace.layers(kind)[_opening_place(trace, kind)],
        height=HEIGHT,
    )


def _pick(choice: dict[str, Any]) -> None:
    pick(token=choice["token"])


def _ignore(choice: dict[str, Any]) -> None:
    """Words have no place in the scene: a position there is a token's."""
