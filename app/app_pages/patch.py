"""Patch: two sentences, and which part of one run, put into the other, brings its answer back."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

import vizcore
from app import fields
from app.loading import is_long, load_model, run_text, work_out
from app.mount import mount_map, plotly_itself
from app.scene import current, pick
from app.sweeping import Sweep, sweep
from app.texts import _, code, literal

HEIGHT = 430
TICK = 0.7
"""Seconds between two looks at what is measured."""
N_SHOWN = 6
N_COMPARED = 60
OF_HEADS = ("head", "pattern")


@dataclass(frozen=True)
class _Example:
    title: str
    clean: str
    corrupted: str


def _examples() -> list[_Example]:
    return [
        _Example(
            _("Who gets the drink?"),
            "When Mary and John went to the store, John gave a drink to",
            "When Mary and John went to the store, Mary gave a drink to",
        ),
        _Example(
            _("One key or many?"),
            "The keys to the cabinet on the left",
            "The key to the cabinet on the left",
        ),
        _Example(_("Which capital?"), "The capital of France is", "The capital of Italy is"),
    ]


@dataclass(frozen=True, eq=False)
class _Patching:
    """Two runs, and what is put from one into the other."""

    clean: "vizcore.Trace"
    corrupted: "vizcore.Trace"
    where: str

    @property
    def by(self) -> str:
        """What the columns of the grid are."""
        return "head" if self.where in OF_HEADS else "position"

    @property
    def columns(self) -> range:
        """All heads, or all positions."""
        return range(self.clean.n_heads() if self.by == "head" else len(self.clean.query_tokens()))


def show() -> None:
    """Draw the page."""
    page, plotly = st.container(), st.container()
    with plotly:
        plotly_itself()
    with page:
        texts = _texts()
        model = load_model(current().model)
        if not model.has_head or model.kind != "decoder":
            st.info(_cannot(model), icon=":material/info:")
            return
        clean, corrupted = (run_text(model, text, "") for text in texts)
        if is_long(clean, clean.kinds[0]) or is_long(corrupted, corrupted.kinds[0]):
            hint = _("A text has more than {n} tokens. Shorten it: each is patched in turn.")
            st.info(hint.format(n=400), icon=":material/info:")
            return
        _look(clean, corrupted)


def _cannot(model: "vizcore.Model") -> str:
    return _(
        "**{name} does not predict the next token from what is before it.** Choose a model that "
        "reads from left to right, such as smollm2-135m."
    ).format(name=literal(model.name))


def _texts() -> tuple[str, str]:
    first = _examples()[0]
    for name in ("clean", "corrupted"):  # what was written before another page was looked at
        before = st.session_state.get(f"{name}_before")
        if before is not None and name not in st.session_state and name not in st.query_params:
            st.session_state[name] = before
    left, right = st.columns(2, gap="medium")
    with left:
        clean = st.text_input(
            _("Clean sentence"),
            first.clean,
            key="clean",
            bind="query-params",
            on_change=_forget,
            help=_("Parts of this run are put into the other."),
        )
    with right:
        corrupted = st.text_input(
            _("Corrupted sentence"),
            first.corrupted,
            key="corrupted",
            bind="query-params",
            on_change=_forget,
            help=_("The same with a word or two exchanged, of as many tokens."),
        )
    st.session_state["clean_before"], st.session_state["corrupted_before"] = clean, corrupted
    with st.container(horizontal=True, gap="medium"):
        for number, one in enumerate(_examples()):
            st.button(
                one.title, key=f"patch_{number}", on_click=_take, args=(one,), type="tertiary"
            )
    return clean, corrupted


def _take(one: _Example) -> None:
    st.session_state["clean"], st.session_state["corrupted"] = one.clean, one.corrupted
    _forget()


def _forget() -> None:
    pick(token=None)


@st.fragment
def _look(clean: "vizcore.Trace", corrupted: "vizcore.Trace") -> None:
    scene = current()
    fields.choice(
        _("What is put in"),
        "patched",
        scene.patched,
        {
            "": _("State (residual stream)"),
            "attention": _("Attention's output"),
            "feed-forward": _("Feed-forward's output"),
            "head": _("A head's output"),
            "pattern": _("A head's attention"),
        },
        help=_(
            "The first three by layer and position, the last two by layer and head. The residual "
            "stream is all that a layer hands to the next."
        ),
    )
    one = _Patching(clean, corrupted, scene.patched or "residual")
    under_way = sweep(
        _("Patching"),
        (id(clean), id(corrupted), one.where),
        lambda: vizcore.patching_effects_stream(clean.model, clean, corrupted, where=one.where),
    )
    table = under_way.table()
    if under_way.error:
        st.error(literal(under_way.error), icon=":material/error:")
        return
    grid, words = st.columns([7, 5], gap="medium")
    chosen = _chosen(one, table)
    with grid:
        draw = _measured if under_way.complete else _measuring
        draw(one, under_way, chosen)
    with words:
        _cell(one, table, chosen)


def _chosen(one: _Patching, table: pd.DataFrame) -> tuple[int, int]:
    """The layer and column that are looked at; at first the cell that brings most back.

    A state of the last layer at the last position is the answer itself, and would always win.
    """
    scene, layers = current(), one.clean.layers()
    column = scene.head if one.by == "head" else scene.token
    if scene.layer is not None and column is not None:
        nearest = min(layers, key=lambda other: abs(other - (scene.layer or 0)))
        return nearest, min(column, one.columns[-1])
    if one.by == "position" and not table.empty:
        table = table[table["position"] < one.columns[-1]]
    if table.empty:
        return layers[len(layers) // 2], 0
    most = table.loc[table["effect"].abs().idxmax()]
    return int(most["layer"]), int(most[one.by])


def _grid(one: _Patching, under_way: Sweep, chosen: tuple[int, int]) -> None:
    table = under_way.table()
    if table.empty:
        table = pd.DataFrame({"layer": [], one.by: [], "effect": []})
    layers = one.clean.layers()
    figure = vizcore.effect_heatmap(
        table,
        rows=layers,
        columns=one.columns,
        by=one.by,
        labels=one.clean.query_tokens() if one.by == "position" else None,
        selected=chosen,
        dark=st.context.theme.type == "dark",
        height=HEIGHT,
    ).figure
    name = "head" if one.by == "head" else "token"
    mount_map(
        figure,
        key="patches",
        alt=_("What each patch brings back"),
        on_select=lambda choice: pick(layer=layers[choice["row"]], **{name: choice["column"]}),
    )


def _measured(one: _Patching, under_way: Sweep, chosen: tuple[int, int]) -> None:
    _grid(one, under_way, chosen)


@st.fragment(run_every=TICK)
def _measuring(one: _Patching, under_way: Sweep, chosen: tuple[int, int]) -> None:
    """The grid while it fills; the page can be used meanwhile."""
    if under_way.complete or under_way.error:
        st.rerun()
    st.progress(under_way.fraction)
    _grid(one, under_way, chosen)


def _cell(one: _Patching, table: pd.DataFrame, chosen: tuple[int, int]) -> None:
    """The cell in words, and what the model expects in the three runs."""
    layer, column = chosen
    place = _("layer {layer}, head {head}").format(layer=layer, head=column)
    if one.by == "position":
        place = _("layer {layer} at {token}").format(
            layer=layer, token=code(one.clean.query_tokens()[column])
        )
    said = _("**{place}** is put from the clean run into the corrupted one.").format(
        place=place[:1].upper() + place[1:]
    )
    mine = table
    if not table.empty:
        mine = table[(table["layer"] == layer) & (table[one.by] == column)]
    if not mine.empty:
        row = mine.iloc[0]
        said += " " + _("That changes the {metric} by **{effect:+.2f}**").format(
            metric=literal(str(table.attrs.get("metric", ""))), effect=row["effect"]
        )
        if pd.notna(row["restored"]):
            said += _(", **{share:.0%}** of the way back").format(share=row["restored"])
        said += "."
    st.markdown(said)
    patch = vizcore.Patch(
        one.clean,
        one.where,
        layer,
        head=column if one.by == "head" else None,
        positions=None if one.by == "head" else [column],
    )
    try:
        patched = work_out(
            _("Running with the patch"),
            (id(one.clean), id(one.corrupted), one.where, chosen),
            lambda _progress: (
                one.clean,
                one.corrupted,
                one.clean.model.trace(one.corrupted.source_ids, edits=[patch]),
            ),
        )[2]
    except vizcore.VizcoreError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    _three_runs(one, patched)
    st.caption(
        _("Click on a cell to see what it brings back. Blue: back towards the clean answer.")
    )


def _three_runs(one: _Patching, patched: "vizcore.Trace") -> None:
    runs = {"clean": one.clean, "corrupted": one.corrupted, "patched": patched}
    tables = [
        trace.next_tokens(-1, N_COMPARED)
        .set_index(["token_id", "token"])[["rank", "probability"]]
        .add_prefix(f"{name}_")
        for name, trace in runs.items()
    ]
    both = pd.concat(tables, axis=1).reset_index()
    best = both[[f"{name}_rank" for name in runs]].min(axis=1)
    shown = both.assign(best=best).nsmallest(N_SHOWN, "best")
    shown = shown.sort_values("clean_probability", ascending=False)
    bar = st.column_config.ProgressColumn
    words = {"clean": _("Clean"), "corrupted": _("Corrupted"), "patched": _("Patched")}
    columns: dict[str, Any] = {
        f"{name}_probability": bar(word, format="percent", min_value=0, max_value=1, width=95)
        for name, word in words.items()
    }
    st.dataframe(
        shown[["token", *columns]],
        hide_index=True,
        row_height=31,
        column_config={"token": st.column_config.TextColumn(_("Next"), width=70), **columns},
    )
