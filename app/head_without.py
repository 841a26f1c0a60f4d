"""One head: where it looks, and what the model expects without it and others that are switched off.

Every edit in force is listed and can be taken back, and all of them are in the link. The effects of
all heads are the page's own.
"""

import math
from typing import Any

import pandas as pd
import streamlit as st

import vizcore
from app import fields
from app.loading import work_out
from app.mount import mount, mount_map
from app.scene import Scene, current, pick
from app.texts import _, code, literal
from app.what_is_asked import Asked

N_SHOWN = 6
N_COMPARED = 60
MAP_HEIGHT = 400
SINK = 0.05
"""Attention on other tokens than the first from which one of them is named."""


@st.fragment
def show(
    trace: "vizcore.Trace",
    kind: str,
    asked: Asked,
    layer: int,
    head: int,
    effects: pd.DataFrame,
) -> None:
    """Draw it.

    Args:
        trace: of the unedited run.
        kind: of attention.
        asked: what is measured.
        layer, head: which one.
        effects: of heads, as far as they are measured.
    """
    scene = current()
    query = min(asked.position, len(trace.query_tokens(kind)) - 1)
    row = trace.map_rows(layer, head, [query], kind)
    st.markdown(_verdict(trace, kind, asked, (layer, head), row, effects))
    with st.container(horizontal=True, vertical_alignment="center"):
        _switch(scene, layer, head)
        fields.choice(
            _("What is seen"),
            "matters",
            scene.matters,
            {"": _("Prediction"), "map": _("Map"), "edges": _("Edges")},
            hidden=True,
        )
    _in_force(trace, kind, scene)
    if scene.matters == "map":
        _map(trace, kind, layer, head, query)
    elif scene.matters == "edges":
        _edges(trace, kind, asked, layer, head, query)
    else:
        _prediction(trace, kind, asked, scene)


def _verdict(
    trace: "vizcore.Trace",
    kind: str,
    asked: Asked,
    which: tuple[int, int],
    row: "vizcore.AttentionMap",
    effects: pd.DataFrame,
) -> str:
    layer, head = which
    weights = pd.Series(row.values[0])
    others = weights.drop(0) if kind != "cross" and len(weights) > 1 else weights
    key = int(others.idxmax() if others.max() >= SINK else weights.idxmax())
    said = _("**Layer {layer}, head {head}** looks at {token} with **{weight:.2f}**").format(
        layer=layer, head=head, token=code(row.key_tokens[key]), weight=weights[key]
    )
    mine = pd.DataFrame()
    if not effects.empty:
        mine = effects[(effects["layer"] == layer) & (effects["head"] == head)]
    if mine.empty:
        edits = [[vizcore.AblateHead(layer, head, kind=kind)]]
        mine = work_out(
            _("Running without the head"),
            (id(trace), kind, asked.metric, which),
            lambda _progress: (
                trace,
                vizcore.edit_effects(trace.model, trace, edits, asked.metric),
            ),
        )[1]
    original = float(mine.attrs.get("original", effects.attrs.get("original", math.nan)))
    effect = float(mine["effect"].iloc[0])
    return said + _("; without it {what} gets **{after}** instead of {before}.").format(
        what=asked.what, after=asked.told(original + effect), before=asked.told(original)
    )


def _switch(scene: Scene, layer: int, head: int) -> None:
    key = "field_off"
    off = scene.heads_off
    st.session_state[key] = (layer, head) in off

    def changed() -> None:
        left = [one for one in off if one != (layer, head)]
        _pick("off", [*left, (layer, head)] if st.session_state[key] else left)

    st.toggle(_("Switch it off"), key=key, on_change=changed)


def _pick(name: str, edits: list[tuple[int, ...]]) -> None:
    pick(**{name: ".".join("-".join(map(str, one)) for one in edits) or None})


def edits_in_force(
    trace: "vizcore.Trace", kind: str, scene: Scene
) -> "list[vizcore.AblateHead | vizcore.KnockOut]":
    """Those of the scene that this model and this text can have."""
    layers, n_heads = trace.layers(kind), trace.n_heads(kind)
    n_queries, n_keys = len(trace.query_tokens(kind)), len(trace.key_tokens(kind))
    heads: list[vizcore.AblateHead | vizcore.KnockOut] = [
        vizcore.AblateHead(layer, head, kind=kind)
        for layer, head in dict.fromkeys(scene.heads_off)
        if layer in layers and head < n_heads
    ]
    return heads + [
        vizcore.KnockOut(layer, head, query, key, kind=kind)
        for layer, head, query, key in dict.fromkeys(scene.edges_cut)
        if layer in layers and head < n_heads and query < n_queries and key < n_keys
    ]


def _in_force(trace: "vizcore.Trace", kind: str, scene: Scene) -> None:
    """What is switched off or cut; a click takes it back."""
    if not (scene.off or scene.cut):
        return
    with st.container(horizontal=True, gap="small"):
        for number, one in enumerate(scene.heads_off):
            st.button(
                _("Layer {layer}, head {head}").format(layer=one[0], head=one[1]),
                key=f"off_{number}",
                icon=":material/close:",
                on_click=_take_back,
                args=("off", scene.heads_off, one),
                help=_("Switch it on again."),
            )
        queries, keys = trace.query_tokens(kind), trace.key_tokens(kind)
        for number, one in enumerate(scene.edges_cut):
            layer, head, query, key = one
            if query < len(queries) and key < len(keys):
                st.button(
                    _("{layer}.{head}: {query} → {key}").format(
                        layer=layer,
                        head=head,
                        query=literal(queries[query]),
                        key=literal(keys[key]),
                    ),
                    key=f"cut_{number}",
                    icon=":material/close:",
                    on_click=_take_back,
                    args=("cut", scene.edges_cut, one),
                    help=_("Let it look there again."),
                )


def _take_back(name: str, edits: list[tuple[int, ...]], one: tuple[int, ...]) -> None:
    _pick(name, [other for other in edits if other != one])


def _prediction(trace: "vizcore.Trace", kind: str, asked: Asked, scene: Scene) -> None:
    """What the model expects, and how likely it finds the text, with the edits and without."""
    edits = edits_in_force(trace, kind, scene)
    before = trace.next_tokens(asked.position, N_COMPARED)
    table = before[["token", "probability"]].head(N_SHOWN)
    total = float(vizcore.trace_surprisal(trace)["log_probability"].sum())
    if not edits:
        st.dataframe(table, hide_index=True, row_height=31, column_config=_columns())
        st.markdown(
            _(
                "The text: {total:.2f} nats. Switch heads off, or cut edges, and see what becomes "
                "of it."
            ).format(total=total)
        )
        return
    edited = work_out(
        _("Running with the edits"),
        (id(trace), tuple(edits)),
        lambda _progress: (trace, _again(trace, edits)),
    )[1]
    after = edited.next_tokens(asked.position, N_COMPARED)
    both = before.merge(after, on=["token_id", "token"], how="outer", suffixes=("", "_after"))
    both = both.sort_values("probability_after", ascending=False, ignore_index=True)
    kept = both[(both["rank"] <= N_SHOWN) | (both["rank_after"] <= N_SHOWN)].head(N_SHOWN + 2)
    st.dataframe(
        kept[["token", "probability", "probability_after"]],
        hide_index=True,
        row_height=31,
        column_config=_columns(),
    )
    now = float(vizcore.trace_surprisal(edited)["log_probability"].sum())
    st.markdown(
        _("The text: **{now:.2f} nats** instead of {total:.2f}.").format(now=now, total=total)
    )


def _again(trace: "vizcore.Trace", edits: Any) -> "vizcore.Trace":
    if trace.target_ids is None:
        return trace.model.trace(trace.source_ids, edits=edits)
    return trace.model.trace(trace.source_ids, trace.target_ids, edits=edits)


def _columns() -> dict[str, Any]:
    bar = st.column_config.ProgressColumn
    return {
        "token": st.column_config.TextColumn(_("Next token"), width=90),
        "probability": bar(_("Before"), format="percent", min_value=0, max_value=1, width=120),
        "probability_after": bar(_("Now"), format="percent", min_value=0, max_value=1, width=120),
    }


def _map(trace: "vizcore.Trace", kind: str, layer: int, head: int, query: int) -> None:
    figure = vizcore.heatmap(
        trace.map(layer, head, kind),
        row=query,
        dark=st.context.theme.type == "dark",
        height=MAP_HEIGHT,
        room=300,
    ).figure
    mount_map(
        figure,
        key="head_map",
        alt=_("Where the head looks"),
        on_select=lambda choice: pick(token=choice["row"]),
    )


def _edges(
    trace: "vizcore.Trace", kind: str, asked: Asked, layer: int, head: int, query: int
) -> None:
    """The edges of the query that is asked about, on the colours of what cutting each changes."""
    table: pd.DataFrame = work_out(
        _("Cutting each edge"),
        (id(trace), kind, asked.metric, layer, head, query),
        lambda _progress: (
            trace,
            vizcore.knock_out_effects(
                trace.model, trace, layer, head, asked.metric, kind=kind, queries=[query]
            ),
        ),
    )[1]
    tokens = list(trace.key_tokens(kind))
    values, details = [math.nan] * len(tokens), [_("it cannot look there")] * len(tokens)
    for row in table.itertuples():
        values[row.key] = abs(float(row.effect))
        details[row.key] = _("{weight:.2f} of the attention; cut: {effect:+.3f} nats").format(
            weight=row.weight, effect=row.effect
        )
    high = max([one for one in values if not math.isnan(one)], default=0.0)
    st.markdown(
        _(
            "What it changes if {query} cannot look at a token. Click on one to cut that edge."
        ).format(query=code(trace.query_tokens(kind)[query]))
    )
    mount(
        vizcore.tokens_view(
            tokens,
            values,
            low=0,
            high=max(high, 1e-6),
            low_label=_("changes nothing"),
            high_label=_("changes {high:.2f} nats").format(high=high),
            details=details,
            texts={
                "label": _("Edges to {tokens} tokens. Arrow keys move, Enter cuts one."),
                "hint": _("Point at a token to read what cutting it changes."),
            },
        ),
        key="edges",
        on_select=lambda choice: _cut((layer, head, query, int(choice["token"]))),
    )


def _cut(edge: tuple[int, ...]) -> None:
    cut = current().edges_cut
    _pick("cut", [one for one in cut if one != edge] if edge in cut else [*cut, edge])
    pick(matters=None)
