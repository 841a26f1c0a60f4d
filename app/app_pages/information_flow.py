"""Information flow: what each token's state is made of, through all layers, as a graph."""

from typing import Any

import pandas as pd
import streamlit as st

import vizcore
from app import fields
from app.loading import load_model, run_text, work_out
from app.mount import mount
from app.scene import Scene, current, pick, within
from app.texts import _, code

HEIGHT = 500
MOST = 120
"""Tokens: longer texts have too many places to be told apart."""
N_PARTS, N_PROMOTED = 6, 6


def show() -> None:
    """Draw the page."""
    scene = current()
    model = load_model(scene.model)
    _look(run_text(model, scene.text, scene.target))


@st.fragment
def _look(trace: "vizcore.Trace") -> None:
    scene = current()
    kinds = [kind for kind in trace.kinds if kind != "cross"]
    kind = kinds[0]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if len(kinds) > 1:
            words = {"": _("Source"), "decoder": _("Target")}
            picked = "decoder" if scene.kind == "decoder" else ""
            fields.choice(_("Which text"), "kind", picked, words, hidden=True)
            kind = picked or "encoder"
        st.caption(
            _("Each line is what one layer moves, not only where it looks. Click on a place."),
            width="content",
            help=_(
                "What a state would lack without it: another token by way of attention (weight, "
                "value and output matrix together), the residual stream, or the feed-forward block "
                "(ALTI, Ferrando et al. 2022). The last two go along a row."
            ),
        )
    n_tokens = len(trace.query_tokens(kind))
    if n_tokens > MOST:
        st.info(
            _("This text has {n} tokens, too many for a graph: shorten it to {most}.").format(
                n=n_tokens, most=MOST
            ),
            icon=":material/info:",
        )
        return
    found, view = work_out(
        _("Taking every layer apart"),
        (id(trace), "contributions", kind),
        lambda _progress: (trace, *_made(trace, kind)),
    )[1:]
    layer, token = _place(found, scene)
    graph, details = st.columns([5, 2], gap="medium")
    with graph:
        mount(
            view,
            key=f"information_{kind}",
            on_select=_pick,
            chosen=[1 + found.layers.index(layer), token],
        )
    with details:
        _details(trace, found, layer, token)


def _made(trace: "vizcore.Trace", kind: str) -> "tuple[vizcore.Contributions, vizcore.View]":
    found = vizcore.contributions(trace, kind)
    texts = {
        "overview": _(
            "Each line is what one layer moves from another token. Point at a place to see what "
            "it is made of through all layers; click to keep it."
        ),
        "heads": _("contributions"),
    }
    return found, vizcore.flow_view(found.maps(), residual=None, height=HEIGHT, texts=texts)


def _place(found: "vizcore.Contributions", scene: Scene) -> tuple[int, int]:
    """The state that is looked at: the last, if none was picked."""
    layer = found.layers[-1] if scene.layer is None else scene.layer
    token = within(scene.token, len(found.tokens) - 1)
    nearest = min(found.layers, key=lambda other: abs(other - layer))
    return nearest, len(found.tokens) - 1 if token is None else token


def _pick(choice: dict[str, Any]) -> None:
    if choice["token"] is not None:
        pick(layer=choice["layer"], token=choice["token"])


def _details(
    trace: "vizcore.Trace", found: "vizcore.Contributions", layer: int, token: int
) -> None:
    st.markdown(
        _("{token} after layer {layer} is made of").format(
            token=code(found.tokens[token]), layer=layer
        )
    )
    share = st.column_config.ProgressColumn(
        _("Share"), format="percent", min_value=0, max_value=1, width="small"
    )
    st.dataframe(
        _parts(trace, found, layer, token),
        hide_index=True,
        height="content",
        row_height=29,
        column_config={"part": st.column_config.TextColumn(_("Part")), "share": share},
    )
    if trace.model.has_head and found.kind == trace.kinds[0 if len(trace.kinds) == 1 else 1]:
        _promoted(trace, layer, token)
    st.button(
        _("See where layer {layer} looks").format(layer=layer),
        key="information_to_attention",
        icon=":material/grid_view:",
        on_click=_go,
        args=(found.kind, layer, token),
    )
    if st.session_state.pop("go_to_attention", False):
        st.switch_page(st.session_state["pages"]["attention"])


def _parts(
    trace: "vizcore.Trace", found: "vizcore.Contributions", layer: int, token: int
) -> pd.DataFrame:
    """The largest shares of one state, in words."""
    frame = found.to_frame()
    its = frame[(frame["layer"] == layer) & (frame["position"] == token)]
    most = its.nlargest(N_PARTS, "share")
    called = {"residual": _("itself, before"), "feed-forward": _("feed-forward")}
    names = [
        called.get(row.part)
        or f"{(found.tokens if row.part == 'token' else trace.source_tokens)[row.from_position]}"
        f" ({row.from_position})"
        for row in most.itertuples()
    ]
    return pd.DataFrame({"part": names, "share": most["share"].tolist()})


def _promoted(trace: "vizcore.Trace", layer: int, token: int) -> None:
    """What the layer makes likelier there."""
    table: pd.DataFrame = work_out(
        _("Asking what the layer makes likelier"),
        (id(trace), "promoted", layer, token),
        lambda _progress: (trace, vizcore.promoted_tokens(trace, layer, token, k=N_PROMOTED)),
    )[1]
    ranks = [
        f"{before:,} → {after:,}"
        for before, after in zip(table["rank_before"], table["rank"], strict=True)
    ]
    st.markdown(
        _("What layer {layer} makes likelier as an answer").format(layer=layer),
        help=_("The logit lens before the layer and after it. In early layers it is rough."),
    )
    st.dataframe(
        pd.DataFrame({"token": table["token"], "rank": ranks}),
        hide_index=True,
        height="content",
        row_height=29,
        column_config={
            "token": st.column_config.TextColumn(_("Token")),
            "rank": st.column_config.TextColumn(_("Rank")),
        },
    )


def _go(kind: str, layer: int, token: int) -> None:
    pick(kind=kind, layer=layer, token=token)
    st.session_state["go_to_attention"] = True
