"""Fields for what is picked on a page: they show it, and picking another puts it there."""

from collections.abc import Sequence

import streamlit as st

from app.scene import pick
from app.texts import _

WIDTH = 130


def number(
    label: str,
    name: str,
    picked: int | None,
    low: int,
    high: int,
    *,
    optional: bool = False,
    help: str | None = None,
) -> None:
    """A field for one number of the scene.

    Args:
        label: above the field.
        name: of the scene's value, such as "layer".
        picked: what is picked now.
        low, high: what can be picked.
        optional: whether nothing can be picked, too.
        help: behind the question mark.
    """
    key = f"field_{name}"
    st.session_state[key] = picked

    def changed() -> None:
        value = st.session_state[key]
        pick(**{name: None if value is None else int(value)})

    st.number_input(
        label,
        low,
        high,
        value=None if optional else "min",
        key=key,
        on_change=changed,
        placeholder=_("any"),
        width=WIDTH,
        help=help,
    )


def one_of(label: str, name: str, picked: int, choices: Sequence[int]) -> None:
    """A field for a number of the scene that can only be one of some.

    Args:
        label: above the field.
        name: of the scene's value.
        picked: what is picked now.
        choices: what can be picked.
    """
    key = f"field_{name}"
    st.session_state[key] = picked
    st.selectbox(
        label,
        choices,
        key=key,
        on_change=lambda: pick(**{name: st.session_state[key]}),
        width=WIDTH,
    )
