"""Fields for what is picked on a page: they show it, and picking another puts it there."""

from collections.abc import Mapping, Sequence

import streamlit as st

import vizcore
from app.scene import Scene, pick
from app.texts import _

WIDTH = 145


def number(
    label: str,
    name: str,
    picked: int | None,
    low: int,
    high: int,
    *,
    optional: bool = False,
    nothing: str | None = None,
    help: str | None = None,
) -> None:
    """A field for one number of the scene.

    Args:
        label: above the field.
        name: of the scene's value, such as "layer".
        picked: what is picked now.
        low, high: what can be picked.
        optional: whether nothing can be picked, too.
        nothing: what the field says then; None: "any".
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
        placeholder=nothing or _("any"),
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


def choice(
    label: str,
    name: str,
    picked: str,
    words: Mapping[str, str],
    *,
    as_list: bool = False,
    hidden: bool = False,
    help: str | None = None,
) -> None:
    """A field for a value of the scene that is one of some words; the first is what "" means.

    Args:
        label: above the field.
        name: of the scene's value.
        picked: what is picked now.
        words: what can be picked, and how it is called.
        as_list: one below the other, in a list that opens; else side by side.
        hidden: whether the label is there for screen readers alone.
        help: behind the question mark.
    """
    key = f"field_{name}"
    st.session_state[key] = picked if picked in words else ""

    def changed() -> None:
        pick(**{name: st.session_state[key] or None})

    visibility = "collapsed" if hidden else "visible"
    if as_list:
        st.selectbox(
            label,
            list(words),
            format_func=words.__getitem__,
            key=key,
            on_change=changed,
            label_visibility=visibility,
            help=help,
        )
    else:
        st.segmented_control(
            label,
            list(words),
            format_func=words.__getitem__,
            key=key,
            on_change=changed,
            required=True,
            label_visibility=visibility,
            help=help,
        )


def kind(trace: "vizcore.Trace", scene: Scene) -> str:
    """The kind of attention that is looked at; a field for it where there are several."""
    if len(trace.kinds) == 1:
        return trace.kinds[0]
    words = {
        "encoder": _("Source looks at source"),
        "decoder": _("Target looks at target"),
        "cross": _("Target looks at source"),
    }
    st.session_state["field_kind"] = scene.kind if scene.kind in trace.kinds else "cross"
    return st.segmented_control(
        _("Attention"),
        trace.kinds,
        format_func=words.__getitem__,
        key="field_kind",
        on_change=lambda: pick(kind=st.session_state["field_kind"]),
        required=True,
        label_visibility="collapsed",
    )


def head(
    trace: "vizcore.Trace", kind: str, scene: Scene, opening: tuple[int, int]
) -> tuple[int, int]:
    """The layer and the head that are open, in two fields that say so.

    Args:
        trace: what was run.
        kind: of attention.
        scene: what was picked.
        opening: what is open if nothing was.
    """
    layers, n_heads = trace.layers(kind), trace.n_heads(kind)
    layer = opening[0] if scene.layer is None else scene.layer
    head = opening[1] if scene.head is None else scene.head
    nearest = min(layers, key=lambda other: abs(other - layer))
    if layers == tuple(range(layers[0], layers[-1] + 1)):
        number(_("Layer"), "layer", nearest, layers[0], layers[-1])
    else:  # a hybrid network, in which only some layers have attention
        one_of(_("Layer"), "layer", nearest, layers)
    number(_("Head"), "head", min(head, n_heads - 1), 0, n_heads - 1)
    return nearest, min(head, n_heads - 1)
