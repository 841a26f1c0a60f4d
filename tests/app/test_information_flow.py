"""The page Information flow without a browser: which state is taken apart, and what is said."""

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import vizcore
from tests.support.tiny import save, tiny_network


def shown() -> None:
    """The page by itself, with what the side bar would have put into the state."""
    import streamlit as st

    from app.app_pages import information_flow

    for name, value in (("model", "tatoeba-lm"), ("text", "I love you.")):
        if name not in st.session_state:
            st.session_state[name] = st.query_params.get(name, value)
    information_flow.show()


@pytest.fixture
def views(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the page has shown."""
    from app.app_pages import information_flow

    seen: list[Any] = []
    monkeypatch.setattr(
        information_flow, "mount", lambda view, **settings: seen.append((view, settings))
    )
    return seen


def opened(**scene: str) -> Any:
    """The page for a scene, run to its end."""
    app = AppTest.from_function(shown, default_timeout=240)
    for key, value in scene.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    return app


def test_the_last_state_is_taken_apart_if_none_was_picked(views: list[Any]) -> None:
    app = opened()
    model = vizcore.load("tatoeba-lm")
    found = vizcore.contributions(model.trace("I love you."))
    assert app.markdown[0].value == f"` . ` after layer {found.layers[-1]} is made of"
    parts = app.dataframe[0].value
    assert parts["share"].iloc[0] == pytest.approx(
        max(found.residual[-1, -1], found.feed_forward[-1, -1], found.attention[-1, -1].max())
    )
    view, settings = views[-1]
    assert view.data["whole"]
    assert settings["chosen"] == [len(found.layers), 4]


def test_a_picked_state_is_and_what_the_layer_makes_likelier(views: list[Any]) -> None:
    app = opened(layer="1", token="2")
    assert app.markdown[0].value == "` ·love ` after layer 1 is made of"
    assert views[-1][1]["chosen"] == [2, 2]
    model = vizcore.load("tatoeba-lm")
    expected = vizcore.promoted_tokens(model.trace("I love you."), 1, 2, k=6)
    assert app.dataframe[1].value["token"].tolist() == expected["token"].tolist()


def test_an_encoder_without_a_head_promotes_nothing(views: list[Any]) -> None:
    app = opened(model="minilm-l6")
    assert len(app.dataframe) == 1


def test_a_network_that_cannot_be_taken_apart_says_so(views: list[Any], tmp_path: Path) -> None:
    app = opened(model=str(save(tiny_network("falcon"), tmp_path / "falcon")), text="the cat")
    assert "cannot be taken apart layer by layer" in app.error[0].value


def test_a_long_text_is_refused_with_what_to_do(views: list[Any]) -> None:
    app = opened(text="I love you. " * 50)
    assert "shorten it to 120" in app.info[0].value
