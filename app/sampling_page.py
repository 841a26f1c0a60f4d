"""What temperature, top-k, top-p and min-p do to what a model expects, on the page Next token."""

from collections.abc import Callable

import streamlit as st

import vizcore
from app.scene import current, pick
from app.texts import _

N_SHOWN = 15
ALL = 101
"""At this end of its slider, top-k cuts nothing."""


def show(trace: "vizcore.Trace", position: int) -> None:
    """Show it for the token after a position."""
    bars, settings = st.columns([7, 3], gap="large")
    with settings:
        sampling = of_temperature(temperature(100))
        table = vizcore.sampling_table(trace, position, sampling=sampling, k=N_SHOWN)
        st.markdown(
            _("**{n_kept:,} of {n_tokens:,} tokens** can still be drawn.").format(**table.attrs)
        )
    with bars:
        figure = vizcore.sampling_bars(
            table, dark=st.context.theme.type == "dark", height=430
        ).figure
        st.plotly_chart(figure, key="sampling", config={"displaylogo": False})


def temperature(off: int) -> int:
    """The slider for it, in hundredths; `off` is what stands there if nothing was picked."""
    return _slider(
        _("Temperature"),
        "temperature",
        off,
        (0, 200),
        _("Below 1 the likely become likelier, above 1 less so; 0 takes the likeliest."),
    )


def of_temperature(hundredths: int) -> "vizcore.Sampling":
    """That temperature, and the cuts that are picked in three sliders."""
    top_k = _slider(
        _("Top-k"), "top_k", ALL, (1, ALL), _("Only so many of the likeliest stay."), _count
    )
    top_p = _slider(
        _("Top-p"),
        "top_p",
        100,
        (1, 100),
        _("Only the likeliest that together have so much probability stay."),
    )
    min_p = _slider(
        _("Min-p"),
        "min_p",
        0,
        (0, 100),
        _("Only those at least so likely, beside the likeliest, stay."),
    )
    return vizcore.Sampling(
        temperature=hundredths / 100,
        top_k=None if top_k == ALL else top_k,
        top_p=top_p / 100,
        min_p=min_p / 100,
    )


def _hundredths(value: int) -> str:
    return f"{value / 100:.2f}"


def _count(value: int) -> str:
    return _("all") if value == ALL else str(value)


def _slider(
    label: str,
    name: str,
    off: int,
    ends: tuple[int, int],
    hint: str,
    written: Callable[[int], str] = _hundredths,
) -> int:
    """A setting of the scene; `off` is where it changes nothing, and then it is not in the link."""
    key, (low, high) = f"field_{name}", ends
    picked = getattr(current(), name)
    st.session_state[key] = off if picked is None else min(max(picked, low), high)

    def changed() -> None:
        value = st.session_state[key]
        pick(**{name: None if value == off else value})

    chosen: int = st.select_slider(
        label,
        range(low, high + 1),
        key=key,
        format_func=written,
        on_change=changed,
        help=hint,
    )
    return chosen
