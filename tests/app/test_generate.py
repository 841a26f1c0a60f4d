"""The page Generate without a browser: what is written, what is forced, and what is undone."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import vizcore

LM = "tatoeba-lm"
TEXT = "I love"


def shown() -> None:
    """The page by itself, with what the side bar would have put into the state."""
    import streamlit as st

    from app.app_pages import generate

    for name, value in (("model", "tatoeba-lm"), ("text", "I love")):
        if name not in st.session_state:
            st.session_state[name] = st.query_params.get(name, value)
    generate.show()


@pytest.fixture
def views(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the page has shown last, by name."""
    from app import chosen_for
    from app.app_pages import generate

    seen: dict[str, Any] = {}

    def mount(view: Any, **settings: Any) -> None:
        seen[view.name] = (view.data, settings["on_select"])

    monkeypatch.setattr(generate, "mount", mount)
    monkeypatch.setattr(chosen_for, "mount", mount)
    return seen


def opened(**scene: str) -> Any:
    """The page for a scene, run to its end."""
    app = AppTest.from_function(shown, default_timeout=240)
    for key, value in scene.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    return app


def written(views: dict[str, Any]) -> list[str]:
    columns = views["alternatives_view"][0]["columns"]
    return [one["written"]["token"] for one in columns if one["written"]]


def model_writes(n: int, **settings: Any) -> list[str]:
    steps = vizcore.generate(vizcore.load(LM), TEXT, max_new_tokens=n, **settings)
    return [step.token for step in steps]


def test_it_opens_with_what_is_likeliest_and_what_could_come_next(views: dict[str, Any]) -> None:
    opened(written="3")
    assert written(views) == model_writes(3)
    ahead = views["alternatives_view"][0]["columns"][3]
    assert ahead["written"] is None
    assert ahead["options"][0]["token"] == model_writes(4)[3]


def test_a_token_more_ten_more_and_undo(views: dict[str, Any]) -> None:
    app = opened(written="1")
    app.button(key="next").click().run()
    assert written(views) == model_writes(2)
    assert app.query_params["written"] == "2"
    app.button(key="more").click().run()
    assert written(views) == model_writes(12)
    app.button(key="undo").click().run()
    assert written(views) == model_writes(2)
    app.button(key="undo").click().run()
    app.button(key="undo").click().run()  # nothing was done before: the last token goes
    assert written(views) == []
    assert app.button(key="undo").disabled


def test_temperature_draws_and_the_seed_decides_what(views: dict[str, Any]) -> None:
    scene = {"written": "6", "temperature": "150", "seed": "3"}
    app = opened(**scene)
    hot = vizcore.Sampling(temperature=1.5, top_p=1.0, min_p=0.0)
    assert written(views) == model_writes(6, sampling=hot, seed=3)
    app.button(key="again").click().run()
    assert app.query_params["seed"] == "4"
    assert written(views) == model_writes(6, sampling=hot, seed=4)
    assert opened(written="2").button(key="again").disabled  # at temperature 0 there is no luck


def test_bars_are_what_is_drawn_from(views: dict[str, Any]) -> None:
    opened(written="1", temperature="50")
    first = next(
        vizcore.generate(vizcore.load(LM), TEXT, sampling=vizcore.Sampling(temperature=0.5))
    ).alternatives
    options = views["alternatives_view"][0]["columns"][0]["options"]
    assert [one["probability"] for one in options] == [
        pytest.approx(value, rel=1e-3) for value in first["drawn_probability"][:5]
    ]


def test_an_alternative_in_the_link_is_forced_and_marked(views: dict[str, Any]) -> None:
    other = int(next(vizcore.generate(vizcore.load(LM), TEXT)).alternatives["token_id"].iloc[2])
    opened(written="4", forced=f"0-{other}")
    assert written(views) == model_writes(4, forced={0: other})
    assert [one["forced"] for one in views["alternatives_view"][0]["columns"]][:2] == [True, False]
    opened(written="2", forced="0-999999")  # a link from another model
    assert written(views) == model_writes(2)


def test_the_text_so_far_is_coloured_by_where_the_model_looked(views: dict[str, Any]) -> None:
    opened(written="3", token="1", layer="2", head="1")
    data = views["tokens_view"][0]
    *_before, step, _last = vizcore.generate(vizcore.load(LM), TEXT, max_new_tokens=3)
    trace = step.trace()
    assert data["tokens"] == [*trace.tokens, *model_writes(3)[1:]]
    weights = trace.attention(2, 1)[-1]
    assert data["selected"] == len(weights)
    assert data["details"][2] == f"{float(weights[2]):.3f} of the attention"
    assert data["details"][-2:] == ["chosen now", "written later"]


def test_a_translator_writes_its_target_and_looks_at_its_source(views: dict[str, Any]) -> None:
    app = opened(model="tatoeba-translator", text="I love you.", written="3")
    assert views["tokens_view"][0]["tokens"][:2] == ["·I", "·love"]
    assert views["alternatives_view"][0]["text"] == "我爱你"
    assert "the model looked most at" in app.markdown[-1].value
    opened(model="tatoeba-translator", text="I love you.", written="3", kind="decoder")
    assert views["tokens_view"][0]["tokens"][-1] == "你"


def test_a_search_shows_the_ways_to_go_on(views: dict[str, Any]) -> None:
    app = opened(written="1", ahead="tree", beams="2")
    tree = vizcore.beam_tree(
        vizcore.load(LM), f"{TEXT} {model_writes(1)[0].strip('·')}", n_beams=2, max_new_tokens=8
    )
    said = next(one.value for one in app.markdown if "likeliest way to go on" in one.value)
    assert tree.text().strip() in said


def test_at_the_end_of_the_text_nothing_more_can_be_written(views: dict[str, Any]) -> None:
    app = opened(text="I love you.", written="30", ahead="tree")
    assert app.button(key="next").disabled
    assert app.info[0].value == "The text has ended, so nothing comes after it."


@pytest.mark.parametrize(
    ("scene", "said"),
    [
        ({"model": "minilm-l6"}, "does not write"),
        ({"model": "tatoeba-mlm"}, "does not write"),
    ],
)
def test_a_model_that_cannot_write_is_said_in_words(
    scene: dict[str, str], said: str, views: dict[str, Any]
) -> None:
    assert said in opened(**scene).info[0].value


def test_a_text_that_cannot_be_read_is_an_error_in_words(views: dict[str, Any]) -> None:
    assert "NUL" in opened(text="a\x00b").error[0].value
    assert not views


def test_the_text_so_far_can_become_the_text_of_all_pages(views: dict[str, Any]) -> None:
    app = opened(written="2")
    app.button(key="use").click().run()
    tokenizer: Any = vizcore.load(LM).tokenizer
    *_before, last = vizcore.generate(vizcore.load(LM), TEXT, max_new_tokens=2)
    assert app.session_state["text"] == tokenizer.decode(list(last.ids), skip_special_tokens=True)
    assert written(views) == []
