"""The page Translate without a browser: what is translated, forced, scored, and by which model."""

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import vizcore
from tests.support.tiny import save, tiny_network

SOURCE = "the cat sat"


def shown() -> None:
    """The page by itself, with what the side bar would have put into the state."""
    import streamlit as st

    from app.app_pages import translate

    for name, value in (("model", ""), ("text", "the cat sat")):
        if name not in st.session_state:
            st.session_state[name] = st.query_params.get(name, value)
    translate.show()


def opened(**scene: str) -> Any:
    """The page for a scene, run to its end."""
    app = AppTest.from_function(shown, default_timeout=120)
    for key, value in scene.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    return app


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny encoder-decoder: two layers of cross attention, four heads."""
    return str(save(tiny_network("t5", seed=4), tmp_path_factory.mktemp("t5") / "tiny"))


@pytest.fixture(scope="module")
def model(folder: str) -> vizcore.Model:
    """The same, loaded."""
    return vizcore.load(folder)


@pytest.fixture
def views(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The alternatives that the page has shown."""
    from app.app_pages import translate

    seen: list[Any] = []
    monkeypatch.setattr(translate, "mount", lambda view, **settings: seen.append((view, settings)))
    return seen


def written(view: vizcore.View) -> list[int]:
    """The ids that a view says were written."""
    columns: Any = view.data["columns"]
    return [column["written"]["id"] for column in columns if column["written"]]


def test_the_model_writes_by_itself(folder: str, model: vizcore.Model, views: list[Any]) -> None:
    opened(model=folder)
    expected = vizcore.translate(model, SOURCE)
    view, _settings = views[-1]
    assert written(view) == expected.steps["token_id"].tolist()
    assert view.data["text"] == expected.text
    n_steps = len(expected.steps)
    mean = expected.log_likelihood / n_steps
    assert view.data["note"] == (
        f"log P(target | source) = {expected.log_likelihood:.2f} nats, {mean:.2f} a token"
    )
    assert [column["forced"] for column in view.data["columns"]] == [False] * n_steps


def test_a_beginning_in_the_address_is_kept(
    folder: str, model: vizcore.Model, views: list[Any]
) -> None:
    free = vizcore.translate(model, SOURCE)
    other = int(free.alternatives.query("step == 1")["token_id"].iloc[1])
    beginning = free.beginning(1, other)
    opened(model=folder, prefix=".".join(map(str, beginning)))
    view, _settings = views[-1]
    forced = vizcore.translate(model, SOURCE, prefix=beginning)
    assert written(view) == forced.steps["token_id"].tolist()
    assert [column["forced"] for column in view.data["columns"]][:3] == [False, True, False]


def test_a_beginning_of_another_vocabulary_is_let_go(
    folder: str, model: vizcore.Model, views: list[Any]
) -> None:
    opened(model=folder, prefix="1.99999")
    assert written(views[-1][0]) == vizcore.translate(model, SOURCE).steps["token_id"].tolist()


def test_a_target_of_ones_own_is_scored(
    folder: str, model: vizcore.Model, views: list[Any]
) -> None:
    app = opened(model=folder, target="the door", prefix="1.5")
    assert written(views[-1][0]) == model.encode("the door", target=True)
    assert "This is your own target." in app.markdown[0].value


def test_several_beams_are_one_number_away(
    folder: str, model: vizcore.Model, views: list[Any]
) -> None:
    app = opened(model=folder)
    app.number_input(key="field_beams").set_value(4).run()
    assert app.query_params["beams"] == "4" or app.query_params["beams"] == ["4"]
    searched = vizcore.translate(model, SOURCE, n_beams=4)
    assert written(views[-1][0]) == searched.steps["token_id"].tolist()


@pytest.mark.parametrize(
    ("choice", "beginning", "token"),
    [
        ({"action": "force", "step": 1, "token_id": 77}, [0, 1, 77], None),
        ({"action": "free", "step": 1, "token_id": -1}, [0, 1], None),
        ({"action": "free", "step": 0, "token_id": -1}, None, None),
        ({"action": "look", "step": 2, "token_id": 5}, None, 2),
    ],
)
def test_what_is_picked_goes_into_the_address(
    monkeypatch: pytest.MonkeyPatch,
    model: vizcore.Model,
    choice: dict[str, Any],
    beginning: list[int] | None,
    token: int | None,
) -> None:
    from app.app_pages import translate

    picked: dict[str, Any] = {}
    monkeypatch.setattr(translate, "pick", lambda **picks: picked.update(picks))
    monkeypatch.setattr(translate.st, "session_state", {"target": "mine"})
    translation = vizcore.translate(model, SOURCE)
    translate._picked(translation)(choice)
    ids = translation.trace.target_ids
    expected = None
    if beginning is not None:
        expected = ".".join(str(ids[one] if one < 2 else one) for one in beginning)
    assert picked.get("prefix") == expected
    assert picked["token"] == token


def test_the_alignment_is_the_mean_until_a_layer_and_a_head_are_picked(folder: str) -> None:
    app = opened(model=folder)
    assert [field.label for field in app.number_input] == ["Beams", "Layer"]
    assert app.markdown[-1].value.startswith("**Where it looked** while it wrote, all heads")
    app.number_input(key="field_layer").set_value(1).run()
    assert app.markdown[-1].value.startswith("**Where layer 1 looked**")
    app.number_input(key="field_head").set_value(3).run()
    assert app.markdown[-1].value.startswith("**Where head 3 of layer 1 looked**")


def test_a_token_that_was_picked_is_told_where_it_looked(folder: str, model: vizcore.Model) -> None:
    app = opened(model=folder, token="1", layer="0", head="2")
    one = vizcore.translate(model, SOURCE).alignment(0, 2)
    key = int(one.values[1].argmax())
    assert f"{one.values[1][key]:.2f}." in app.markdown[-1].value
    assert one.key_tokens[key] in app.markdown[-1].value


@pytest.mark.parametrize("name", ["smollm2-135m", "minilm-l6"])
def test_a_model_that_reads_one_text_says_so_without_being_loaded(name: str) -> None:
    app = opened(model=name)
    assert app.info[0].value.replace("\\", "").startswith(f"**{name} does not translate**")


def test_so_does_one_that_nobody_knows_before_it_is_loaded(tmp_path: Path) -> None:
    app = opened(model=str(save(tiny_network("gpt2"), tmp_path)))
    assert "does not translate" in app.info[0].value


def test_a_text_that_cannot_be_read_says_so(folder: str) -> None:
    said = opened(model=folder, text="a\x00b").error[0].value.replace("\\", "")
    assert said.startswith("Character 1 is NUL")
