"""The page Attribute without a browser: what is explained, and what is said of it."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import vizcore

TEXT = "I love you"


def shown() -> None:
    """The page by itself, with what the side bar would have put into the state."""
    import streamlit as st

    from app.app_pages import attribute

    for name, value in (("model", "tatoeba-lm"), ("text", "I love you")):
        if name not in st.session_state:
            st.session_state[name] = st.query_params.get(name, value)
    attribute.show()


@pytest.fixture
def views(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the page has shown."""
    from app.app_pages import attribute

    seen: list[Any] = []
    monkeypatch.setattr(attribute, "mount", lambda view, **settings: seen.append((view, settings)))
    monkeypatch.setattr(attribute, "PATIENCE", 60)  # so that it is measured when the page is shown
    return seen


def opened(**scene: str) -> Any:
    """The page for a scene, run to its end."""
    app = AppTest.from_function(shown, default_timeout=240)
    for key, value in scene.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    return app


def test_the_likeliest_token_is_explained_by_all_methods_the_most_faithful_first(
    views: list[Any],
) -> None:
    app = opened()
    model = vizcore.load("tatoeba-lm")
    likeliest = model.trace(TEXT).next_tokens(k=1).iloc[0]
    assert f"{likeliest['probability']:.1%}" in app.markdown[0].value
    data = views[-1][0].data
    assert len(data["methods"]) == 5
    faithful = [one["faithful"] for one in data["methods"]]
    assert faithful == sorted(faithful, reverse=True)
    assert data["tokens"][1:] == ["·I", "·love", "·you"]
    assert app.dataframe[0].value["method"].iloc[-1] == "Random order"


def test_words_and_place_are_in_the_address(views: list[Any]) -> None:
    app = opened(answer=".", rather="!", token="2")
    assert "**Why ` . ` rather than ` ! `?**" in app.markdown[0].value
    assert views[-1][0].data["selected"] == 2
    app.text_input(key="field_rather").set_value("").run()
    assert "rather" not in app.query_params
    assert "rather than" not in app.markdown[0].value


def test_the_whole_text_can_be_explained(views: list[Any]) -> None:
    app = opened(explains="likelihood")
    assert app.markdown[0].value.startswith("**Why is this text as likely as it is?** -")
    assert not app.text_input


def test_a_click_asks_after_that_token(views: list[Any]) -> None:
    opened()
    view, settings = views[-1]
    assert settings["key"] == "attribution"
    assert view.data["pickable"] == [0, 1, 2, 3]


def test_a_word_of_several_tokens_is_refused_in_words(views: list[Any]) -> None:
    app = opened(answer="hippopotamuses")
    assert "one token is explained at a time" in app.error[0].value


def test_a_model_without_a_head_explains_nothing(views: list[Any]) -> None:
    app = opened(model="minilm-l6")
    assert "does not predict tokens" in app.info[0].value


def test_a_long_text_is_refused_with_what_to_do(views: list[Any]) -> None:
    app = opened(text="I love you. " * 60)
    assert "Shorten it to 150" in app.info[0].value
