"""Compare: sentences side by side, how likely each is, and where they part."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

import vizcore
from app import fields
from app.loading import load_model, work_out
from app.mount import mount
from app.scene import Scene, current, pick
from app.texts import _, literal

MOST = 10
DEFAULT_MODEL = "tatoeba-lm"


@dataclass(frozen=True)
class _Example:
    title: str
    sentences: tuple[str, ...]
    model: str = ""


def _examples() -> list[_Example]:
    return [
        _Example(_("Word order"), ("我爱你。", "我你爱。", "爱你我。"), DEFAULT_MODEL),
        _Example(
            _("Agreement at a distance"),
            (
                "The keys to the cabinet are on the table.",
                "The keys to the cabinet is on the table.",
            ),
        ),
        _Example(
            _("A garden path"),
            (
                "The horse raced past the barn fell.",
                "The horse that was raced past the barn fell.",
            ),
        ),
        _Example(
            _("Meaning"),
            ("I drank a cup of tea.", "I drank a cup of sand.", "I drank a cup of the."),
        ),
    ]


def show() -> None:
    """Draw the page."""
    _bring_back()
    given, settings = st.columns([5, 4], gap="medium")
    with given:
        st.text_area(
            _("Sentences, one a line"),
            "\n".join(_examples()[1].sentences),
            key="sentences",
            bind="query-params",
            height=104,
            on_change=_forget,
            help=_("Two to ten. Ctrl+Enter, or a click elsewhere, compares them."),
        )
        with st.container(horizontal=True, gap="medium"):
            for number, example in enumerate(_examples()):
                st.button(
                    example.title,
                    key=f"compare_{number}",
                    on_click=_take,
                    args=(example,),
                    type="tertiary",
                )
    with settings:
        scene = current()
        with st.container(horizontal=True):
            other = _other_model(scene)
            fields.choice(
                _("Parts"),
                "unit",
                scene.unit,
                {"": _("tokens"), "word": _("words")},
                help=_("Words make models with different tokens comparable."),
            )
        measure = _measure(scene)
    st.session_state["sentences_before"] = st.session_state["sentences"]
    sentences = [line.strip() for line in st.session_state["sentences"].splitlines()]
    sentences = [line for line in sentences if line]
    if not sentences:
        st.info(_("Write two sentences above, one a line, or try an example."))
        return
    if len(sentences) > MOST:
        st.warning(
            _("The first {most} of {n} sentences are compared.").format(most=MOST, n=len(sentences))
        )
    _compare(current(), tuple(sentences[:MOST]), other, measure)


def _bring_back() -> None:
    """What was compared before another page was looked at."""
    state = st.session_state
    before = state.get("sentences_before")
    if before is not None and "sentences" not in state and "sentences" not in st.query_params:
        state["sentences"] = before


def _other_model(scene: Scene) -> str:
    names = [entry.name for entry in vizcore.entries() if entry.name != scene.model]
    key = "field_beside"
    st.session_state[key] = scene.beside if scene.beside in names else None
    st.selectbox(
        _("A second model"),
        names,
        index=None,
        key=key,
        placeholder=_("none"),
        on_change=lambda: pick(beside=st.session_state[key]),
        width=170,
        help=_("Both read every sentence; a line each."),
    )
    return st.session_state[key] or ""


def _compare(scene: Scene, sentences: tuple[str, ...], other: str, measure: str) -> None:
    models = [load_model(name) for name in (scene.model, other) if name]
    for model in models:
        if not model.has_head:
            st.info(_cannot(model), icon=":material/info:")
            return
    by = "word" if scene.unit == "word" else "token"
    source = scene.text if models[0].kind == "encoder-decoder" else None
    found: vizcore.SideBySide = work_out(
        _("Reading the sentences"),
        (*map(id, models), sentences, by, source),
        lambda _progress: (
            models,
            vizcore.side_by_side(models, sentences, by=by, source=source),
        ),
    )[1]
    _verdict(found, models)
    mount(
        vizcore.sentences_view(
            found.parts,
            found.lines,
            measure=measure,
            parting=found.parting,
            selected=_selected(found, scene),
            texts=_view_texts(),
        ),
        key="sentences_view",
        on_select=lambda choice: pick(line=choice["line"], token=choice["part"]),
    )
    _look_closer(found, scene, is_target=source is not None)
    curves, table = st.columns([3, 2], gap="medium")
    with curves:
        figure = vizcore.sentence_curves(
            found.parts,
            found.lines,
            parting=found.parting,
            dark=st.context.theme.type == "dark",
        ).figure
        st.plotly_chart(figure, key="curves", config={"displaylogo": False})
    with table:
        _table(found.lines, several=len(models) > 1)


def _cannot(model: "vizcore.Model") -> str:
    return _(
        "**{name} does not say how likely a sentence is**: it predicts no tokens. Choose a model "
        "that does, such as smollm2-135m, tatoeba-lm or tatoeba-mlm."
    ).format(name=literal(model.name))


def _verdict(found: "vizcore.SideBySide", models: "Sequence[vizcore.Model]") -> None:
    """Who wins, by how much, and where it is decided: one line a model."""
    for model in models:
        mine = found.lines[found.lines["model"] == model.name].sort_values(
            "log_likelihood", ascending=False
        )
        if len(mine) < 2 or mine["log_likelihood"].isna().any():
            continue
        best, second = mine.iloc[0], mine.iloc[1]
        gap = best["log_likelihood"] - second["log_likelihood"]
        st.markdown(
            _(
                "**{model}** finds “{best}” **{times} times as likely** as “{second}” "
                "({gap:.2f} nats)."
            ).format(
                model=literal(model.name),
                best=literal(best["sentence"]),
                second=literal(second["sentence"]),
                gap=gap,
                times=_times(gap),
            )
        )


def _times(gap: float) -> str:
    """How many times as likely; beyond a million as a power of ten."""
    if gap < math.log(1e6):
        return f"{math.exp(gap):,.1f}"
    return f"10^{gap / math.log(10):.0f}"


def _measure(scene: Scene) -> str:
    words = {
        "": _("sentence"),
        "per_token": _("token"),
        "per_word": _("word"),
        "per_character": _("character"),
    }
    fields.choice(
        _("Log-likelihood of a"),
        "measure",
        scene.measure,
        words,
        help=_(
            "A longer sentence has more parts, and each costs likelihood. By its mean for a token, "
            "word or character, sentences of different lengths can be compared."
        ),
    )
    return scene.measure or "log_likelihood"


def _selected(found: "vizcore.SideBySide", scene: Scene) -> tuple[int, int] | None:
    if scene.line is None or scene.token is None or scene.line >= len(found.lines):
        return None
    n_parts = int((found.parts["line"] == scene.line).sum())
    return scene.line, min(scene.token, n_parts - 1)


def _look_closer(found: "vizcore.SideBySide", scene: Scene, *, is_target: bool) -> None:
    """One click to the attention at the place that is picked, or where they part."""
    chosen = _selected(found, scene)
    if chosen is None and found.parting is not None:
        at = found.parts[found.parts["column"] == found.parting]
        chosen = int(at.iloc[0]["line"]), int(at.iloc[0]["part"])
    if chosen is None:
        return
    row: Any = found.parts[
        (found.parts["line"] == chosen[0]) & (found.parts["part"] == chosen[1])
    ].iloc[0]
    line: Any = found.lines.iloc[chosen[0]]
    st.button(
        _("See where {model} looks at “{text}”").format(
            model=literal(line["model"]), text=literal(row["text"])
        ),
        key="to_attention",
        icon=":material/grid_view:",
        on_click=_go,
        args=(line["model"], line["sentence"], int(row["last"]), is_target),
    )
    if st.session_state.pop("go_to_attention", False):
        st.switch_page(st.session_state["pages"]["attention"])


def _go(model: str, sentence: str, token: int, is_target: bool) -> None:
    st.session_state["model"] = model
    st.session_state["target" if is_target else "text"] = sentence
    pick(token=token, line=None)
    st.session_state["go_to_attention"] = True


def _table(lines: pd.DataFrame, *, several: bool) -> None:
    columns = ["sentence", "log_likelihood", "n_tokens", "per_token", "per_character"]
    number = st.column_config.NumberColumn
    st.dataframe(
        lines,
        hide_index=True,
        row_height=31,
        column_order=["rank", *(["model"] if several else []), *columns],
        column_config={
            "rank": number(_("Rank"), width=50),
            "model": st.column_config.TextColumn(_("Model")),
            "sentence": st.column_config.TextColumn(_("Sentence")),
            "log_likelihood": number(_("Nats"), format="%.2f", help=_("log P(sentence)")),
            "n_tokens": number(_("Tokens"), help=_("How many are scored.")),
            "per_token": number(_("Per token"), format="%.3f"),
            "per_character": number(_("Per character"), format="%.3f"),
        },
    )


def _view_texts() -> dict[str, str]:
    return {
        "label": _("{lines} sentences in columns. Arrow keys move, Enter picks a place."),
        "hint": _(
            "The taller its bar, the less a part was expected. Click on one to look into it."
        ),
        "part": _(
            "{text}: {bits} bits of surprise, probability {probability}; so far {total} nats"
        ),
        "unscored": _("{text}: nothing stands before it, so it is not scored"),
        "parting": _("they part here"),
        "best": _("likeliest"),
        "behind": _("{nats} nats"),
        "unknown": _("not scored"),
    }


def _take(example: _Example) -> None:
    st.session_state["sentences"] = "\n".join(example.sentences)
    if example.model:
        st.session_state["model"] = example.model
    _forget()


def _forget() -> None:
    pick(line=None, token=None)
