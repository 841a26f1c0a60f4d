"""Rescore: a recogniser's hypotheses, weighed against what a language model expects."""

from typing import Any

import pandas as pd
import streamlit as st

import vizcore
from app import fields
from app.loading import load_model, work_out
from app.scene import Scene, current, pick
from app.texts import _, literal

OPENING = 30
"""The weight of the language model when the page opens, in hundredths."""
CHINESE = "tatoeba-lm"
RECORDED = {"": "recognise-speech.jsonl", "translations": "translations.jsonl"}
MOST = 2000
"""Hypotheses of all lists together."""
HEIGHT = 270
COLUMNS = (4, 3)


def show() -> None:
    """Draw the page."""
    scene = current()
    fields.choice(
        _("Lists of hypotheses"),
        "lists",
        scene.lists,
        {
            "": _("Recognise speech"),
            "translations": _("Ten translations"),
            "own": _("Your own"),
        },
        hidden=True,
    )
    lists = _own() if scene.lists == "own" else _recorded(scene.lists)
    if not lists:
        return
    model = load_model(scene.model)
    if not model.has_head or model.kind != "decoder":
        st.info(_cannot(model), icon=":material/info:")
        return
    n_hypotheses = sum(len(one.hypotheses) for one in lists)
    if n_hypotheses > MOST:
        st.error(
            _(
                "There are {n:,} hypotheses; this page takes {most:,}. `vizcore rescore` in the "
            ).format(n=n_hypotheses, most=MOST)
            + _("terminal takes any number."),
            icon=":material/error:",
        )
        return
    reference = (st.session_state.get("reference") or "").strip() or None
    found: list[vizcore.Rescoring] = work_out(
        _("Asking the language model"),
        (id(model), tuple(lists), reference),
        lambda _progress: (model, vizcore.rescore(model, lists, reference=reference)),
    )[1]
    _look(model, found)


def _cannot(model: "vizcore.Model") -> str:
    return _(
        "**{name} does not say how likely a sentence is**: it does not predict the next token. "
        "Choose a model that reads from left to right, such as smollm2-135m or tatoeba-lm."
    ).format(name=literal(model.name))


def _recorded(which: str) -> "list[vizcore.NBest]":
    name = RECORDED[which]
    if which:
        st.caption(
            _(
                "What tatoeba-translator ended with when it searched with 8 beams. They are "
                "Chinese: ask **{model}** about them."
            ).format(model=CHINESE)
        )
        if current().model != CHINESE:
            st.button(
                _("Ask {model}").format(model=CHINESE), key="ask_other", on_click=_ask_chinese
            )
    else:
        st.caption(
            _(
                "The textbook pair, *recognise speech* and *wreck a nice beach*. The recogniser's "
                "scores are made up to stand for what was heard."
            )
        )
    return vizcore.parse_nbest(vizcore.asset(f"rescoring/{name}").read_bytes(), name)


def _ask_chinese() -> None:
    st.session_state["model"] = CHINESE


def _own() -> "list[vizcore.NBest]":
    """Lists that are pasted or uploaded; what is wrong with them is said in words."""
    pasted, uploaded = st.columns([3, 2], gap="medium")
    with pasted:
        text = st.text_area(
            _("Hypotheses, one a line: the text, a tab or |, its score"),
            key="nbest",
            bind="query-params",
            height=104,
            placeholder="recognise speech | -39.5\nwreck a nice beach | -38.2",
            help=_("A blank line begins the next list. Scores: more is better, best in nats."),
        )
    with uploaded:
        file = st.file_uploader(_("Or a file"), ["jsonl", "txt", "tsv"], key="nbest_file")
    st.text_input(
        _("What is right, if you know"), key="reference", bind="query-params",
        help=_("Then errors are counted. A file may say it itself (“reference”)."),
    )  # fmt: skip
    try:
        if file is not None:
            return vizcore.parse_nbest(file.getvalue(), file.name)
        if (text or "").strip():
            return vizcore.parse_nbest(_tabbed(text), _("your list"))
    except vizcore.VizcoreError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return []
    st.info(
        _("Paste what a recogniser or translator took into account, or upload it as a file."),
        icon=":material/info:",
    )
    return []


def _tabbed(text: str) -> str:
    """With a tab before each score: browsers do not let people type one."""
    lines = []
    for line in text.splitlines():
        before, bar, score = line.rpartition("|")
        lines.append(f"{before}\t{score}" if bar and "\t" not in line else line)
    return "\n".join(lines)


@st.fragment
def _look(model: "vizcore.Model", found: "list[vizcore.Rescoring]") -> None:
    scene = current()
    slider, chosen = st.columns(COLUMNS, gap="medium", vertical_alignment="bottom")
    with slider:
        weight = _weight(scene)
    with chosen:
        one = found[_which(scene, found)]
    st.markdown(_verdict(model, one, weight))
    dark = st.context.theme.type == "dark"
    table, lines = st.columns(COLUMNS, gap="medium")
    with table:
        _table(one.table(weight))
    with lines:
        figure = vizcore.weight_lines(
            one.table(weight), one.winners(), weight=weight, dark=dark, height=HEIGHT
        ).figure
        st.plotly_chart(figure, key="weight_lines", config={"displayModeBar": False})
    winners, rates = st.columns(COLUMNS, gap="medium")
    with winners:
        _winners(one.winners())
    if len(found) > 1 and all(each.reference is not None for each in found):
        with rates:
            _rates(found, weight, dark=dark)


def _weight(scene: Scene) -> float:
    key = "field_weight"
    st.session_state[key] = min(OPENING if scene.weight is None else scene.weight, 100) / 100
    weight: float = st.slider(
        _("Weight of the language model"),
        0.0,
        1.0,
        step=0.01,
        key=key,
        on_change=lambda: pick(weight=round(st.session_state[key] * 100)),
        help=_("0: only the scores that were given. 1: only the language model."),
    )
    return weight


def _which(scene: Scene, found: "list[vizcore.Rescoring]") -> int:
    number = min(scene.group or 0, len(found) - 1)
    if len(found) > 1:
        st.session_state["field_group"] = number
        st.selectbox(
            _("List"),
            range(len(found)),
            format_func=lambda one: found[one].name,
            key="field_group",
            on_change=lambda: pick(group=st.session_state["field_group"]),
        )
    return number


def _verdict(model: "vizcore.Model", one: "vizcore.Rescoring", weight: float) -> str:
    table = one.table(weight)
    best = table.iloc[0]
    said = _("At weight **{weight:.2f}** “{text}” wins").format(
        weight=weight, text=f"**{literal(best['hypothesis'])}**"
    )
    if "error_rate" in table:
        said += _(" ({rate:.0%} of its {units} wrong)").format(
            rate=best["error_rate"],
            units=_("characters") if one.unit == "character" else _("words"),
        )
    winners = one.winners()
    if len(winners) == 1:
        return said + ". " + _("No weight changes that.")
    now = winners[(winners["low"] <= weight) & (weight <= winners["high"])].iloc[0]
    changes = []
    if now["low"] > 0:
        changes.append(_("below {weight:.3f}").format(weight=now["low"]))
    if now["high"] < 1:
        changes.append(_("above {weight:.3f}").format(weight=now["high"]))
    return said + "; " + _("another {when}.").format(when=_(" and ").join(changes))


def _table(table: pd.DataFrame) -> None:
    number = st.column_config.NumberColumn
    st.dataframe(
        table,
        hide_index=True,
        row_height=31,
        column_order=["rank", "hypothesis", "error_rate", "score", "log_likelihood", "total"],
        height=min(HEIGHT, 38 + 31 * len(table)),
        column_config={
            "rank": number(_("Rank"), width=45),
            "hypothesis": st.column_config.TextColumn(_("Hypothesis")),
            "score": number(_("Score"), format="%.2f", width=62, help=_("As it came.")),
            "log_likelihood": number(
                _("Model"), format="%.2f", width=65,
                help=_("The language model's log-likelihood, in nats."),
            ),
            "total": number(
                _("Total"), format="%.2f", width=62, help=_("(1 − weight) × score + weight × model")
            ),
            "error_rate": number(
                _("Errors"), format="percent", width=62,
                help=_("Wrong words (in Chinese: characters), over those of what is right."),
            ),
        },
    )  # fmt: skip


def _winners(winners: pd.DataFrame) -> None:
    st.markdown(_("**Where the weight changes the winner**"))
    number = st.column_config.NumberColumn
    st.dataframe(
        winners.drop(columns="place"),
        hide_index=True,
        row_height=31,
        column_config={
            "low": number(_("From weight"), format="%.3f", width=95),
            "high": number(_("To weight"), format="%.3f", width=85),
            "hypothesis": st.column_config.TextColumn(_("Wins")),
            "error_rate": number(_("Errors"), format="percent", width=62),
        },
    )


def _rates(found: "list[vizcore.Rescoring]", weight: float, *, dark: bool) -> None:
    rates = vizcore.error_rates(found)
    best: Any = rates.loc[rates["error_rate"].idxmin()]
    said = _("**All {n} lists together**: {first:.1%} errors without the language model").format(
        n=len(found), first=rates["error_rate"].iloc[0]
    )
    if best["low"] == 0:
        said += _(", and no weight makes fewer.")
    else:
        said += _(", {best:.1%} at best, at weights {low:.2f} to {high:.2f}.").format(
            best=best["error_rate"], low=best["low"], high=best["high"]
        )
    st.markdown(said)
    figure = vizcore.error_rate_steps(rates, weight=weight, dark=dark, height=180).figure
    st.plotly_chart(figure, key="error_rates", config={"displayModeBar": False})
