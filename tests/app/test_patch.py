"""The page Patch without a browser: what each patch brings back, and texts that do not line up."""

import time
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import vizcore

CLEAN, CORRUPTED = "I love my", "You love my"


def shown() -> None:
    """The page by itself, with what the side bar would have put into the state."""
    import streamlit as st

    from app.app_pages import patch

    if "model" not in st.session_state:
        st.session_state["model"] = st.query_params.get("model", "tatoeba-lm")
    patch.show()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The grids that the page has shown, and what a click on them does."""
    from app.app_pages import patch

    seen: list[Any] = []
    monkeypatch.setattr(
        patch, "mount_map", lambda figure, **settings: seen.append((figure, settings))
    )
    return seen


def opened(**scene: str) -> Any:
    """The page for a scene, when everything is measured."""
    app = AppTest.from_function(shown, default_timeout=240)
    for key, value in {"clean": CLEAN, "corrupted": CORRUPTED, **scene}.items():
        app.query_params[key] = value
    app.run()
    for _attempt in range(200):
        if not app.get("progress"):
            break
        time.sleep(0.1)
        app.run()
    assert not app.exception, app.exception
    return app


def test_each_state_has_what_it_brings_back(drawn: list[Any]) -> None:
    opened()
    table = vizcore.patching_effects(vizcore.load("tatoeba-lm"), CLEAN, CORRUPTED)
    cells = drawn[-1][0].data[0].z
    for row in table.itertuples():
        assert cells[row.layer][row.position] == pytest.approx(row.effect, abs=1e-4)


def test_a_cell_is_told_in_words_and_with_the_three_runs(drawn: list[Any]) -> None:
    app = opened(layer="1", token="1")
    model = vizcore.load("tatoeba-lm")
    table = vizcore.patching_effects(model, CLEAN, CORRUPTED)
    row = table.query("layer == 1 and position == 1").iloc[0]
    said = app.markdown[-1].value
    assert said.startswith("**Layer 1 at ` ·I `** is put from the clean run")
    assert f"by **{row['effect']:+.2f}**, **{row['restored']:.0%}** of the way back." in said
    patch = vizcore.Patch(model.trace(CLEAN), "residual", 1, positions=[1])
    top = model.trace(CORRUPTED, edits=[patch]).next_tokens(-1, 1).iloc[0]
    runs = app.dataframe[0].value.set_index("token")
    assert runs.loc[top["token"], "patched_probability"] == pytest.approx(top["probability"])
    clean = model.trace(CLEAN).next_tokens(-1, 1).iloc[0]
    assert runs.loc[clean["token"], "clean_probability"] == pytest.approx(clean["probability"])


def test_heads_have_a_grid_of_their_own(drawn: list[Any]) -> None:
    app = opened(patched="head", layer="0", head="1")
    table = vizcore.patching_effects(vizcore.load("tatoeba-lm"), CLEAN, CORRUPTED, where="head")
    row = table.query("layer == 0 and head == 1").iloc[0]
    assert drawn[-1][0].data[0].z[0][1] == pytest.approx(row["effect"], abs=1e-4)
    assert app.markdown[-1].value.startswith("**Layer 0, head 1** is put")
    assert f"by **{row['effect']:+.2f}**" in app.markdown[-1].value
    far = opened(patched="pattern", layer="99", head="99")  # of another model
    n_layers = len(drawn[-1][0].data[0].z)
    assert f"**Layer {n_layers - 1}, head" in far.markdown[-1].value


def test_an_example_is_one_click_away(drawn: list[Any]) -> None:
    app = opened(token="2")
    app.button(key="patch_2").click().run()
    assert app.session_state["clean"] == "The capital of France is"
    assert "token" not in app.query_params


@pytest.mark.parametrize(
    ("clean", "corrupted", "said"),
    [
        ("I love my", "I love my cat", "so their positions do not line up"),
        ("a\x00b", "a", "NUL"),
    ],
)
def test_texts_that_cannot_be_patched_are_an_error_in_words(
    clean: str, corrupted: str, said: str, drawn: list[Any]
) -> None:
    app = opened(clean=clean, corrupted=corrupted)
    assert said in app.error[0].value.replace("\\", "")


def test_chinese_a_model_that_cannot_and_a_long_text(drawn: list[Any]) -> None:
    app = opened(clean="我爱你", corrupted="我恨你", layer="0", token="2")
    assert "is put from the clean run" in app.markdown[-1].value
    for model in ("minilm-l6", "tatoeba-translator"):
        assert "does not predict the next token" in opened(model=model).info[0].value
    long = "I love my cat. " * 100
    assert "Shorten it" in opened(clean=long, corrupted=long).info[0].value
