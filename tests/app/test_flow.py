"""The page Flow without a browser: what is said about the picture, for which model."""

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.support.tiny import save, tiny_network

DEEP = "In a deep decoder all of it ends at the earliest tokens"


def shown() -> None:
    """The page by itself, with what the side bar would have put into the state."""
    import streamlit as st

    from app.app_pages import flow

    for name, value in (("model", ""), ("text", "the cat sat")):
        if name not in st.session_state:
            st.session_state[name] = st.query_params.get(name, value)
    flow.show()


def hint(**scene: str) -> str:
    """What stands behind the question mark of the page for a scene."""
    app: Any = AppTest.from_function(shown, default_timeout=120)
    for key, value in scene.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    assert app.caption[0].value == (
        "What a place holds after a layer, and through which places it came there."
    )
    return str(app.caption[0].proto.help)


def test_how_the_picture_is_made_is_behind_a_question_mark() -> None:
    assert hint(model="minilm-l6").startswith("Attention rollout: in each layer half of a place")


@pytest.mark.parametrize("architecture", ["gpt2", "t5"])
def test_of_a_deep_decoder_alone_it_is_said_why_the_picture_begins_early(
    tmp_path: Path, architecture: str
) -> None:
    assert DEEP in hint(model="smollm2-135m")
    assert DEEP not in hint(model=str(save(tiny_network(architecture), tmp_path / architecture)))
    assert DEEP not in hint(model="minilm-l6")
