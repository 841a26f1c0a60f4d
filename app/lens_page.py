"""What a model would say if it stopped after each of its layers, on the page Next token."""

from typing import Any

import streamlit as st

import vizcore
from app.loading import work_out
from app.texts import _, code

N_COLUMNS = 10
"""Positions side by side: more could not be read."""
BEFORE = 7
"""So many of them stand before the picked one."""


def show(trace: "vizcore.Trace", position: int) -> None:
    """Show it around a position."""
    n_tokens = len(trace.source_ids if trace.target_ids is None else trace.target_ids)
    first = max(0, min(position - BEFORE, n_tokens - N_COLUMNS))
    positions = list(range(first, min(first + N_COLUMNS, n_tokens)))
    found: tuple[Any, vizcore.LogitLens] = work_out(
        _("Asking every layer"),
        (id(trace), "lens", first),
        lambda _progress: (trace, vizcore.logit_lens(trace, positions)),
    )
    lens = found[1]
    frame, dark = lens.to_frame(), st.context.theme.type == "dark"
    column = positions.index(position)
    known = lens.known_from().iloc[column]
    grid, curve = st.columns([7, 3], gap="medium")
    with grid:
        figure = vizcore.lens_heatmap(frame, position=position, dark=dark).figure
        st.plotly_chart(figure, key="lens", config={"displaylogo": False})
        st.caption(_caption(positions, n_tokens))
    with curve:
        st.markdown(_when(lens, known))
        st.plotly_chart(
            vizcore.rank_curve(frame, position, dark=dark).figure,
            key="rank_curve",
            config={"displaylogo": False},
        )
        st.caption(
            _(
                "The rank of its answer after each layer; 1 is the likeliest. Early layers are not "
                "written in the language of the output, so what the lens reads there is rough."
            )
        )


def _caption(positions: list[int], n_tokens: int) -> str:
    said = _("In each cell the likeliest token; the stronger its colour, the likelier.")
    if len(positions) < n_tokens:
        said += " " + _("Tokens {first} to {last} of {n}: pick another to move on.").format(
            first=positions[0], last=positions[-1], n=n_tokens
        )
    return said


def _when(lens: "vizcore.LogitLens", known: Any) -> str:
    if known["known_from"] < 0:
        return _("After {token} the embedding alone already says {answer}.").format(
            token=code(known["token"]), answer=code(known["answer"])
        )
    return _(
        "After {token} the answer is {answer}: known from **layer {layer}** of {last}."
    ).format(
        token=code(known["token"]),
        answer=code(known["answer"]),
        layer=known["known_from"],
        last=lens.layers[-1],
    )
