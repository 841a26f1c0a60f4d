"""Next token: what the model expects after every token, by layer, and after sampling settings."""

import math
from typing import Any

import pandas as pd
import streamlit as st

import vizcore
from app import fields, lens_page, sampling_page
from app.loading import load_model, run_text
from app.mount import mount
from app.scene import current, pick, within
from app.texts import _, code, literal

MOST_SURPRISED = 16.0
"""Bits at the dark end of the colours: a probability of 1 in 65,536."""
N_SHOWN = 10


def show() -> None:
    """Draw the page."""
    scene = current()
    model = load_model(scene.model)
    if not model.has_head or model.kind == "encoder":
        st.info(_no_next_token(model), icon=":material/info:")
        return
    trace = run_text(model, scene.text, scene.target)
    _look(trace)


def _no_next_token(model: "vizcore.Model") -> str:
    name = literal(model.name)
    if not model.has_head:
        return _(
            "**{name} does not predict tokens**: it has no language-model head. Choose a language "
            "model on the left, such as smollm2-135m, or see where this one looks on the page "
            "Attention."
        ).format(name=name)
    return _(
        "**{name} reads the whole text at once**, so no token comes after another for it. Choose a "
        "model that reads from left to right, such as smollm2-135m."
    ).format(name=name)


@st.fragment
def _look(trace: "vizcore.Trace") -> None:
    surprisal = vizcore.trace_surprisal(trace)
    st.markdown(
        _(
            "The stronger its colour, the less {name} expected a token. Pick one to see what it "
            "expects **after** it."
        ).format(name=literal(trace.model.name))
    )
    strip = st.container()
    scene = current()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        position = _position(surprisal)
        fields.choice(
            _("What the model expects"),
            "expects",
            scene.expects,
            {"": _("In the end"), "layers": _("By layer"), "sampling": _("Sampling")},
            help=_(
                "In the end: the likeliest tokens. By layer: what it would say if it stopped "
                "earlier (logit lens). Sampling: what temperature and cuts do to it."
            ),
        )
    with strip:
        mount(_text(trace, surprisal), key="text_strip", on_select=_pick_token, selected=position)
    if scene.expects == "layers":
        lens_page.show(trace, position)
        return
    if scene.expects == "sampling":
        sampling_page.show(trace, position)
        return
    table, actual = st.columns([5, 4], gap="large")
    with actual:
        _what_came(surprisal, position)
    with table:
        _expected(trace, surprisal, position)


def _position(surprisal: pd.DataFrame) -> int:
    """The position after which the model is asked; the end of the text if none was picked."""
    last = len(surprisal) - 1
    picked = within(current().token, last)
    position = last if picked is None else picked
    fields.number(_("After token number"), "token", position, 0, last)
    return position


def _pick_token(choice: dict[str, Any]) -> None:
    pick(token=choice["token"])


def _text(trace: "vizcore.Trace", surprisal: pd.DataFrame) -> "vizcore.View":
    ids = trace.source_ids if trace.target_ids is None else trace.target_ids
    return vizcore.tokens_view(
        surprisal["token"].tolist(),
        surprisal["surprisal"].tolist(),
        low=0,
        high=MOST_SURPRISED,
        low_label=_("expected (0 bits)"),
        high_label=_("surprising ({bits:.0f} bits or more)").format(bits=MOST_SURPRISED),
        details=[_in_words(row) for row in surprisal.itertuples()],
        special=trace.model.special_positions(ids),
        texts={
            "label": _("The text, {tokens} tokens. Arrow keys move, Enter picks one."),
            "hint": _("Point at a token to read how surprising it was."),
        },
    )


def _in_words(row: Any) -> str:
    if math.isnan(row.surprisal):
        return _("nothing stands before it, so it cannot surprise")
    return _("{bits:.2f} bits of surprise · probability {share} · rank {rank}").format(
        bits=row.surprisal, share=_share(math.exp(row.log_probability)), rank=row.rank
    )


def _share(probability: float) -> str:
    return f"{probability:.2%}" if probability >= 0.0001 else f"{probability:.1e}"


def _expected(trace: "vizcore.Trace", surprisal: pd.DataFrame, position: int) -> None:
    token = code(surprisal["token"][position])
    st.markdown(_("After {token} the model expects").format(token=token))
    expected = trace.next_tokens(position, N_SHOWN)
    st.dataframe(
        expected.assign(percent=100 * expected["probability"]),
        hide_index=True,
        height="content",
        row_height=31,
        column_order=["rank", "token", "percent", "log_probability", "token_id"],
        column_config={
            "rank": st.column_config.NumberColumn(_("Rank"), width=50),
            "token": st.column_config.TextColumn(_("Token")),
            "percent": st.column_config.ProgressColumn(
                _("Probability"), format="%.2f%%", min_value=0, max_value=100
            ),
            "log_probability": st.column_config.NumberColumn(
                _("Log-probability"), format="%.3f", help=_("Natural logarithm, in nats.")
            ),
            "token_id": st.column_config.NumberColumn(_("Token id"), format="%d"),
        },
    )


def _what_came(surprisal: pd.DataFrame, position: int) -> None:
    if position + 1 == len(surprisal):
        st.markdown(_("Nothing follows: this is the end of the text."))
        return
    came = surprisal.iloc[position + 1]
    st.markdown(_("In the text comes {token}").format(token=code(came["token"])))
    rank, probability, bits = st.columns([3, 4, 3], gap="small")
    rank.metric(_("Rank"), f"{came['rank']:,}")
    probability.metric(_("Probability"), _share(math.exp(came["log_probability"])))
    bits.metric(
        _("Surprisal"),
        f"{came['surprisal']:.2f}",
        help=_("In bits: -log2 of the probability. 1 bit is a coin flip, 10 bits 1 in 1,024."),
    )
