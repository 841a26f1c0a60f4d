"""The side bar: which model, which text. It is on every page, so every link carries both.

A bare address opens on a model that this machine has. Links leave out what a session began with,
so where that is not the first of the catalogue, the address says so (`opened`).
"""

import tomllib

import streamlit as st

import vizcore
from app.scene import current, pick
from app.texts import _, literal

Example = tuple[str, str]
"""What it is called, and the text."""


@st.cache_data(show_spinner=False)
def _examples(two_texts: bool) -> list[Example]:
    """The texts to begin with, for encoder-decoders or for all others."""
    with vizcore.asset("examples.toml").open("rb") as file:
        tables = tomllib.load(file)["source" if two_texts else "example"]
    return [(one["title"], one["text"]) for one in tables]


def choose() -> None:
    """Show the widgets."""
    entries = {entry.name: entry for entry in vizcore.entries()}
    with st.sidebar:
        model = st.selectbox(
            _("Model"),
            list(entries),
            index=list(entries).index(_opened(list(entries))),
            key="model",
            bind="query-params",
            accept_new_options=True,
            on_change=_suit_text,
            help=_(
                "Choose one, or type a Hub id such as openai-community/gpt2, or the path of a "
                "folder. Weights are read from safetensors or GGUF; code that comes with a model "
                "is never run."
            ),
        )
        entry = entries.get(model)
        two_texts = _reads_two_texts(model)
        if entry is not None:
            st.caption(literal(entry.description))
        st.text_area(
            _("Text"),
            _examples(two_texts)[0][1],
            key="text",
            bind="query-params",
            height=120,
            on_change=_forget_token,
            help=_("Ctrl+Enter, or a click elsewhere, runs it."),
        )
        if two_texts:
            st.text_input(
                _("Target (the decoder reads it)"),
                key="target",
                bind="query-params",
                placeholder=_("empty: the model writes it"),
            )
        with st.container(gap="xxsmall"):
            st.caption(_("Or try one of these:"))
            for number, (title, text) in enumerate(_examples(two_texts)):
                st.button(
                    title, key=f"example_{number}", on_click=_take, args=(text,), type="tertiary"
                )
        _tell_what_opened()
        scene = current()
        if not scene.fits_a_link:
            st.caption(
                _(
                    ":material/link_off: This text is too long for a link: the address may not "
                    "bring it back everywhere. Share the text itself."
                )
            )


def _opened(names: list[str]) -> str:
    """The model that this session began with, and that an address without one means in it."""
    state, address = st.session_state, st.query_params
    if "opening" not in state:
        stated = address.get("opened")
        if not address:
            here = [entry.name for entry in vizcore.entries() if vizcore.is_fetched(entry)]
            stated = here[0] if here else None
        state["opening"] = stated if stated in names[1:] else None
    return state["opening"] or names[0]


def _tell_what_opened() -> None:
    """Name it in an address that says more, by a field that nobody sees: those outlive a page."""
    state, address = st.session_state, st.query_params
    if state["opening"] is None:
        return
    if address and "opened" not in address:
        state["opened"] = state["opening"]
    st.text_input("opened", key="opened", bind="query-params", label_visibility="collapsed")


def _reads_two_texts(model: str | None) -> bool:
    """Whether the catalogue says so; of other models it is not known before they are loaded."""
    return any(
        entry.name == model and entry.kind == "encoder-decoder" for entry in vizcore.entries()
    )


def _suit_text() -> None:
    """Where an example stands that is meant for another kind of model, put one for this kind."""
    pick(prefix=None, forced=None)  # their ids are of another vocabulary
    two_texts = _reads_two_texts(st.session_state["model"])
    if st.session_state["text"] in [text for _title, text in _examples(not two_texts)]:
        _take(_examples(two_texts)[0][1])


def _take(text: str) -> None:
    st.session_state["text"] = text
    _forget_token()


def _forget_token() -> None:
    """A position in one text, or a beginning of its translation, means nothing in another."""
    pick(token=None, prefix=None, forced=None, written=None)
