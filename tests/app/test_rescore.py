"""The page Rescore without a browser: who wins, what is counted, and what cannot be read."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import vizcore

LM = "tatoeba-lm"


def shown() -> None:
    """The page by itself, with what the side bar would have put into the state."""
    import streamlit as st

    from app.app_pages import rescore

    if "model" not in st.session_state:
        st.session_state["model"] = st.query_params.get("model", "tatoeba-lm")
    rescore.show()


def opened(**scene: str) -> Any:
    """The page for a scene, run to its end."""
    app = AppTest.from_function(shown, default_timeout=240)
    for key, value in scene.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    return app


def recorded(name: str) -> list[vizcore.Rescoring]:
    lists = vizcore.read_nbest(vizcore.asset(f"rescoring/{name}"))
    return vizcore.rescore(vizcore.load(LM), lists)


def verdict(app: Any) -> str:
    return next(one.value for one in app.markdown if one.value.startswith("At weight"))


def test_it_opens_with_the_recorded_pair_and_says_who_wins() -> None:
    (one,) = recorded("recognise-speech.jsonl")
    app = opened()
    best = one.table(0.3).iloc[0]
    assert f"“**{best['hypothesis']}**” wins" in verdict(app)
    assert f"({best['error_rate']:.0%} of its words wrong)" in verdict(app)
    assert app.dataframe[0].value["total"].tolist() == one.table(0.3)["total"].tolist()
    assert app.dataframe[1].value["low"].tolist() == one.winners()["low"].tolist()


def test_the_weight_is_in_the_link_and_changes_the_winner() -> None:
    (one,) = recorded("recognise-speech.jsonl")
    app = opened()
    app.slider(key="field_weight").set_value(0.0).run()
    assert app.query_params["weight"] == "0"
    assert f"“**{one.table(0).iloc[0]['hypothesis']}**” wins" in verdict(app)
    assert verdict(opened(weight="0")) == verdict(app)
    assert "At weight **1.00**" in verdict(opened(weight="12345"))


def test_of_several_lists_one_is_looked_at_and_all_are_counted() -> None:
    found = recorded("translations.jsonl")
    app = opened(lists="translations", group="4")
    assert found[4].table(0.3).iloc[0]["hypothesis"][:3] in verdict(app)
    assert "of its characters wrong" in verdict(app)
    first = vizcore.error_rates(found)["error_rate"].iloc[0]
    said = next(one.value for one in app.markdown if "lists together" in one.value)
    assert said.startswith(f"**All 10 lists together**: {first:.1%} errors")
    app.selectbox(key="field_group").select(0).run()
    assert app.query_params["group"] == "0"
    assert found[0].table(0.3).iloc[0]["hypothesis"][:3] in verdict(app)


def test_another_model_is_offered_for_what_is_chinese() -> None:
    app = opened(model="induction", lists="translations")
    app.button(key="ask_other").click().run()
    assert app.session_state["model"] == LM


def test_a_list_of_ones_own_is_pasted() -> None:
    app = opened(lists="own", nbest="I love you. | -2\nI love stew. | -1", weight="0")
    assert "“**I love stew\\.**” wins" in verdict(app)
    assert "error_rate" not in app.dataframe[0].value
    app = opened(lists="own", nbest="I love you.\t-2\nI love stew.\t-1", reference="I love you")
    assert app.dataframe[0].value.set_index("hypothesis")["error_rate"].to_dict() == {
        "I love you.": 0,
        "I love stew.": pytest.approx(1 / 3),
    }


@pytest.mark.parametrize(
    ("pasted", "said"),
    [
        ("no score", "Line 1 of your list has no tab."),
        ("a | b", "Line 1 of your list has the score 'b', which is no number."),
        ("a | 1\n | 2", "Line 2 of your list has a score and no hypothesis before it."),
        ("<b>x</b> | inf", "which is no number."),
        ('{"text": "a"}', 'needs "text" and "score"'),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(pasted: str, said: str) -> None:
    app = opened(lists="own", nbest=pasted)
    assert said in app.error[0].value.replace("\\", "")
    assert not app.dataframe


def test_nothing_yet_too_much_and_a_model_that_cannot_are_said_in_words() -> None:
    assert opened(lists="own", nbest=" \n").info[0].value.startswith("Paste what a recogniser")
    many = "\n".join(f"a {n} | -{n}" for n in range(2001))
    assert opened(lists="own", nbest=many).error[0].value.startswith("There are 2,001 hypotheses")
    for model in ("minilm-l6", "tatoeba-mlm", "tatoeba-translator"):
        assert "does not say how likely" in opened(model=model).info[0].value
    one_list = opened(lists="own", nbest="我 | -1\nمرحبا 🎉 <script> | -2")
    assert len(one_list.dataframe[0].value) == 2


def test_long_hypotheses_are_weighed() -> None:
    long = "\n".join(f"{'cats and dogs ' * 100}{n} | -{n}" for n in range(10))
    app = opened(model="induction", lists="own", nbest=long)
    assert app.error or len(app.dataframe[0].value) == 10
