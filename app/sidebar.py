"""The side bar: which model, which text. It is on every page, so every link carries both."""

import tomllib

import streamlit as st

import vizcore
from app.scene import current, pick
from app.texts import _, literal


@st.cache_data(show_spinner=False)
def _examples() -> list[tuple[str, str]]:
    with vizcore.asset("examples.toml").open("rb") as file:
        return [(one["title"], one["text"]) for one in tomllib.load(file)["example"]]


def choose() -> None:
    """Show the widgets."""
    entries = {entry.name: entry for entry in vizcore.entries()}
    examples = _examples()
    with st.sidebar:
        model = st.selectbox(
            _("Model"),
            list(entries),
            key="model",
            bind="query-params",
            accept_new_options=True,
            help=_(
                "Choose one, or type a Hub id such as openai-community/gpt2, or the path of a "
                "folder. Weights are read from safetensors or GGUF; code that comes with a model "
                "is never run."
            ),
        )
        entry = entries.get(model)
        if entry is not None:
            st.caption(literal(entry.description))
        st.text_area(
            _("Text"),
            examples[0][1],
            key="text",
            bind="query-params",
            height=120,
            on_change=_forget_token,
            help=_("Ctrl+Enter, or a click elsewhere, runs it."),
        )
        if entry is not None and entry.kind == "encoder-decoder":
            st.text_input(
                _("Target (the decoder reads it)"),
                key="target",
                bind="query-params",
                placeholder=_("empty: the model writes it"),
            )
        with st.container(gap="xxsmall"):
            st.caption(_("Or try one of these:"))
            for number, (title, text) in enumerate(examples):
                st.button(
                    title, key=f"example_{number}", on_click=_take, args=(text,), type="tertiary"
                )
        scene = current()
        if not scene.fits_a_link:
            st.caption(
                _(
                    ":material/link_off: This text is too long for a link: the address may not "
                    "bring it back everywhere. Share the text itself."
                )
            )


def _take(text: str) -> None:
    st.session_state["text"] = text
    _forget_token()


def _forget_token() -> None:
    """A position in one text means nothing in another."""
    pick(token=None)
