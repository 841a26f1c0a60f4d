"""The page Compare without a browser: what is compared, by what, and what is said of it."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import vizcore

LM = "tatoeba-lm"


def shown() -> None:
    """The page by itself, with what the side bar would have put into the state."""
    import streamlit as st

    from app.app_pages import compare

    for name, value in (("model", "tatoeba-lm"), ("text", "I love you.")):
        if name not in st.session_state:
            st.session_state[name] = st.query_params.get(name, value)
    compare.show()


@pytest.fixture
def views(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the page has shown."""
    from app.app_pages import compare

    seen: list[Any] = []
    monkeypatch.setattr(compare, "mount", lambda view, **settings: seen.append((view, settings)))
    return seen


def opened(**scene: str) -> Any:
    """The page for a scene, run to its end."""
    app = AppTest.from_function(shown, default_timeout=240)
    for key, value in scene.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    return app


def texts(view: vizcore.View) -> list[list[str]]:
    data: Any = view.data
    return [[part["text"] for part in line["parts"]] for line in data["lines"]]


def test_it_says_which_sentence_is_likelier_and_by_how_much(views: list[Any]) -> None:
    app = opened(sentences="我爱你。\n我你爱。\n爱你我。")
    scores = vizcore.score(vizcore.load(LM), ["我爱你。", "爱你我。"])["log_likelihood"]
    said = app.markdown[0].value
    assert "我爱你。” **" in said
    assert f"({scores[0] - scores[1]:.2f} nats)" in said
    view, settings = views[-1]
    assert ["".join(line[1:]) for line in texts(view)] == ["我爱你。", "我你爱。", "爱你我。"]
    settings["on_select"]({"line": 2, "part": 3})
    assert (app.query_params.get("line"), settings["key"]) == (None, "sentences_view")


def test_it_opens_with_an_example_and_others_are_one_click_away(views: list[Any]) -> None:
    app = opened()
    assert len(views[-1][0].data["lines"]) == 2
    app.button(key="compare_0").click().run()
    assert app.session_state["sentences"] == "我爱你。\n我你爱。\n爱你我。"
    assert app.session_state["model"] == LM
    assert len(views[-1][0].data["lines"]) == 3


def test_words_instead_of_tokens_and_a_mean_instead_of_the_sum(views: list[Any]) -> None:
    opened(sentences="Unbelievable astronauts are here.\nCats are here.", unit="word")
    assert "Unbelievable" in texts(views[-1][0])[0]
    opened(sentences="Cats are here.\nCats.", measure="per_token")
    found = vizcore.side_by_side(vizcore.load(LM), ["Cats are here.", "Cats."])
    data: Any = views[-1][0].data
    assert [line["total"] for line in data["lines"]] == [
        pytest.approx(value, rel=1e-4) for value in found.lines["per_token"]
    ]


def test_a_second_model_reads_every_sentence_too(views: list[Any]) -> None:
    opened(sentences="I love you.\nI love cats.", beside="induction", unit="word")
    data: Any = views[-1][0].data
    assert [line["model"] for line in data["lines"]] == [LM, "induction"] * 2


def test_translations_are_compared_given_the_text_on_the_left(views: list[Any]) -> None:
    app = opened(model="tatoeba-translator", sentences="我爱你。\n我恨你。")
    assert "tatoeba\\-translator" in app.markdown[0].value
    assert "“我爱你。” **" in app.markdown[0].value


def test_nothing_to_compare_too_much_and_a_model_that_cannot_are_said_in_words(
    views: list[Any],
) -> None:
    assert opened(sentences="  \n ").info[0].value.startswith("Write two sentences")
    many = opened(sentences="\n".join(f"Cats {n}." for n in range(12)))
    assert many.warning[0].value == "The first 10 of 12 sentences are compared."
    assert len(views[-1][0].data["lines"]) == 10
    alone = opened(model="minilm-l6")
    assert "does not say how likely a sentence is" in alone.info[0].value


def test_a_masked_model_compares_sentences_too(views: list[Any]) -> None:
    app = opened(model="tatoeba-mlm", sentences="They are here.\nThey is here.")
    assert not app.info
    assert len(views[-1][0].data["lines"]) == 2


def test_a_sentence_that_cannot_be_run_is_an_error_in_words(views: list[Any]) -> None:
    app = opened(sentences="A cat.\nA\x00cat.")
    assert "NUL" in app.error[0].value
    assert not views


def test_a_place_that_is_picked_or_where_they_part_leads_to_its_attention(views: list[Any]) -> None:
    app = opened(sentences="They are here.\nThey is here.")
    assert "·are" in app.button(key="to_attention").label
    app = opened(sentences="They are here.\nThey is here.", line="1", token="3")
    assert "·here" in app.button(key="to_attention").label
    assert views[-1][0].data["selected"] == [1, 3]
