"""Inside attention: one head for one token, step by step with the numbers of the text."""

from typing import Any

import streamlit as st

import vizcore
from app import fields
from app.formulas import head_formula
from app.loading import head_to_open, load_model, look_inside, run_text
from app.mount import mount
from app.scene import Scene, current, pick, within
from app.texts import _, literal

WITHOUT = ("scaling", "mask")


def show() -> None:
    """Draw the page."""
    scene = current()
    model = load_model(scene.model)
    if model.capture == "eager":
        st.info(
            _(
                "**{name} cannot be shown step by step**: transformers returns the weights of its "
                "attention, but not the queries, keys and values that they come from. See where it "
                "looks on the page Attention, or choose another model on the left, such as "
                "smollm2-135m."
            ).format(name=literal(model.name)),
            icon=":material/info:",
        )
        return
    _look(run_text(model, scene.text, scene.target))


@st.fragment
def _look(trace: "vizcore.Trace") -> None:
    with st.container(gap="xxsmall"):
        _draw(trace, current())


def _draw(trace: "vizcore.Trace", scene: Scene) -> None:
    kind = fields.kind(trace, scene)
    with st.container(horizontal=True, vertical_alignment="bottom", key="inside_fields"):
        opening = (0, 0)
        if scene.layer is None or scene.head is None:
            opening = head_to_open(trace, kind)
        layer, head = fields.head(trace, kind, scene, opening)
        token = _token(trace, kind, scene)
        steps = look_inside(trace, layer, head, token, kind, scene.without)
        _switches(steps, scene)
    step = _nearest(steps.names, scene.step)
    with st.container(key="inside_formula"):
        st.latex(head_formula(steps, step, dark=st.context.theme.type == "dark"))
    view = vizcore.steps_view(steps, step=step, listens=True, translate=_)
    mount(view, key="steps", on_select=_take)


def _token(trace: "vizcore.Trace", kind: str, scene: Scene) -> int:
    """The query token; if none was picked, one that has tokens before it and after it."""
    last = len(trace.query_tokens(kind)) - 1
    picked = within(scene.token, last)
    token = 2 * last // 3 if picked is None else picked
    hint = _("The token that looks: its query is compared with all keys.")
    fields.number(_("Token"), "token", token, 0, last, help=hint)
    return token


def _switches(steps: "vizcore.AttentionSteps", scene: Scene) -> None:
    """What can be left out, to see what it is for."""
    chosen = scene.without.split("-")
    words = {
        "scaling": (
            _("Without scaling"),
            _("What would break if the scores were not divided by √d: the softmax saturates."),
            steps.scaling == 1,
            _("This network does not scale its scores, so there is nothing to leave out."),
        ),
        "mask": (
            _("Without mask"),
            _("What would break if this token could see what comes after it."),
            not steps.n_hidden,
            _("Nothing is hidden from this token, so there is no mask to leave out."),
        ),
    }
    for name in WITHOUT:
        label, hint, missing, why = words[name]
        st.session_state[f"without_{name}"] = name in chosen and not missing
        st.toggle(
            label,
            key=f"without_{name}",
            on_change=_leave_out,
            disabled=missing,
            help=why if missing else hint,
        )


def _leave_out() -> None:
    left_out = [name for name in WITHOUT if st.session_state[f"without_{name}"]]
    pick(without="-".join(left_out) or None)


def _nearest(names: tuple[str, ...], wanted: str) -> str:
    """The step of the address, or the first: other heads have other steps."""
    return wanted if wanted in names else names[0]


def _take(choice: dict[str, Any]) -> None:
    pick(**choice)
