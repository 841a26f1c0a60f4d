"""The single items behind a number of a benchmark, and a model's view of the one that is picked.

A pair is shown as on the page Compare, part by part, so that one sees where it is decided; of
labelled items their row says all.
"""

from typing import Any

import pandas as pd
import streamlit as st

import vizcore
from app import fields
from app.loading import work_out
from app.mount import mount
from app.scene import current, pick
from app.texts import _, literal

MOST_ROWS = 1000
HEIGHT = 195
ALL = "all"
PAIR = ["correct", "difference", "good", "bad"]
LABELLED = ["text", "second", "label", "predicted", "correct"]


def show(
    found: "list[vizcore.Evaluation]",
    models: "list[vizcore.Model]",
    *,
    by: str,
    names: list[str],
    group: int,
) -> None:
    """The items of a group, and below them the one that is picked.

    Args:
        found: the answers of one model or two.
        models: the models, if they are here: then a pair is looked into.
        by, names, group: the column by which items are grouped, the groups, which one.
    """
    scene = current()
    items = _side_by_side(found)
    if by in items and names[group] != ALL:
        items = items[items[by] == names[group]]
    two = "correct_b" in items
    words = {"": _("All items"), "wrong": _("Wrong ones")}
    if two:
        words["apart"] = _("Answered apart")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(_("**Items of {name}**").format(name=literal(names[group].replace("_", " "))))
        if "correct" in items:
            fields.choice(_("Which items"), "items", scene.items, words, hidden=True)
    if "correct" in items and scene.items == "wrong":
        items = items[~items["correct"].astype(bool)]
    elif two and scene.items == "apart":
        items = items[items["correct"] != items["correct_b"]]
    items = items.head(MOST_ROWS).reset_index(drop=True)
    if items.empty:
        st.caption(_("There are none."))
        return
    key = f"items_{by}_{group}_{scene.items}"
    columns = [name for name in (*PAIR, *LABELLED) if name in items]
    columns = list(dict.fromkeys(columns))
    columns[1:1] = [one for one in items if one.endswith("_b")]
    st.dataframe(
        items[columns],
        hide_index=True,
        row_height=31,
        height=min(HEIGHT, 38 + 31 * len(items)),
        key=key,
        on_select=lambda: _picked(key),
        selection_mode="single-row",
        column_config=_columns(),
    )
    if "good" not in items:
        return
    row: Any = items.iloc[min(scene.item or 0, len(items) - 1)]
    able = [one for one in models if one.has_head and one.kind == "decoder"]
    _decided(row, two=two)
    if able:
        _look_into(able[0], row)


def _side_by_side(found: "list[vizcore.Evaluation]") -> pd.DataFrame:
    """The items of the first, with the second's answers beside if both have the same."""
    items = found[0].items
    if "layer" in items:
        items = items[items["layer"] == items["layer"].max()]
    if len(found) == 1 or "layer" in found[1].items or "correct" not in found[1].items:
        return items
    answers = [one for one in ("difference", "predicted", "correct") if one in found[1].items]
    other = found[1].items[["benchmark", "line", *answers]]
    other = other.rename(columns={name: f"{name}_b" for name in answers})
    return items.merge(other, on=["benchmark", "line"])


def _picked(key: str) -> None:
    rows = st.session_state[key]["selection"]["rows"]
    pick(item=int(rows[0]) if rows else None)


def _decided(row: Any, *, two: bool) -> None:
    said = _("**{verdict}**").format(verdict=_likelier(row["correct"], row["difference"]))
    if two:
        second = _likelier(row["correct_b"], row["difference_b"])
        said += " " + _("The second model: {verdict}").format(verdict=second)
    st.markdown(said)


def _likelier(is_right: bool, difference: float) -> str:
    if is_right:
        return _("Right: the good sentence is {nats:.2f} nats likelier.").format(nats=difference)
    return _("Wrong: the bad sentence is {nats:.2f} nats likelier.").format(nats=-difference)


def _look_into(model: "vizcore.Model", row: Any) -> None:
    """Both sentences, part by part."""
    sentences = (str(row["good"]), str(row["bad"]))
    shown: vizcore.SideBySide = work_out(
        _("Reading the pair"),
        (id(model), sentences),
        lambda _progress: (model, vizcore.side_by_side(model, sentences)),
    )[1]
    mount(
        vizcore.sentences_view(
            shown.parts, shown.lines, measure="log_likelihood", parting=shown.parting
        ),
        key="pair_view",
        on_select=lambda _choice: None,
    )
    st.button(
        _("Open in Compare"),
        key="to_compare",
        icon=":material/compare_arrows:",
        on_click=_compare,
        args=(sentences,),
    )
    if st.session_state.pop("go_to_compare", False):
        st.switch_page(st.session_state["pages"]["compare"])


def _compare(sentences: tuple[str, str]) -> None:
    st.session_state["sentences"] = "\n".join(sentences)
    st.session_state["go_to_compare"] = True


def _columns() -> dict[str, Any]:
    number, box = st.column_config.NumberColumn, st.column_config.CheckboxColumn
    return {
        "good": st.column_config.TextColumn(_("Good")),
        "bad": st.column_config.TextColumn(_("Bad")),
        "difference": number(_("Nats apart"), format="%.2f", width=80),
        "correct": box(_("Right"), width=55),
        "difference_b": number(_("Second"), format="%.2f", width=70),
        "correct_b": box(_("Second right"), width=90),
        "text": st.column_config.TextColumn(_("Text")),
        "label": st.column_config.TextColumn(_("Label"), width=70),
        "predicted": st.column_config.TextColumn(_("Answer"), width=70),
    }
