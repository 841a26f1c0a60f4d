"""The page Training without a browser: which training, which text, and what it says of each."""

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import vizcore
from app.app_pages import training
from tests.support.tiny import save, tiny_network
from tests.support.trained import METRICS, trained_folder


def shown() -> None:
    """The page by itself, with what the side bar would have put into the state."""
    import streamlit as st

    from app.app_pages import training

    st.session_state["model"] = st.query_params.get("model", "minilm-l6")
    st.session_state["text"] = st.query_params.get("text", "the cat sat")
    training.show()


def opened(**scene: str) -> Any:
    """The page for a scene, run to its end."""
    app = AppTest.from_function(shown, default_timeout=120)
    for key, value in scene.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    return app


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny decoder that was trained."""
    return trained_folder(tmp_path_factory.mktemp("trained") / "tiny-lm")


def test_the_demonstration_of_induction_comes_first() -> None:
    app = opened()
    assert app.selectbox[0].value == "induction"
    assert app.text_input[0].value == training.REPEATS
    assert "Press Play and watch a stripe appear." in app.markdown[0].value


def test_the_demonstrations_words_are_all_known_to_it_and_come_twice() -> None:
    words = training.REPEATS.split()
    tokens = vizcore.load(vizcore.training_record("induction").folder).trace(training.REPEATS)
    assert tokens.tokens[-len(words) :] == words
    assert words[: len(words) // 2] == words[len(words) // 2 :]


def test_the_folder_in_the_side_bar_is_opened_with_the_side_bars_text(folder: Path) -> None:
    app = opened(model=str(folder))
    assert app.selectbox[0].value == str(folder)
    assert app.selectbox[0].options[-1] == "tiny-lm"
    assert app.text_input[0].value == "the cat sat"
    assert "the model begins to learn by heart" in app.markdown[0].value


def test_a_text_and_a_training_in_the_address_are_opened(folder: Path) -> None:
    app = opened(model=str(folder), trained="induction", sample="owl ring owl ring")
    assert (app.selectbox[0].value, app.text_input[0].value) == ("induction", "owl ring owl ring")


def test_a_folder_of_the_same_name_as_a_bundled_model_is_another_choice(tmp_path: Path) -> None:
    folder = trained_folder(tmp_path / "induction")
    app = opened(model=str(folder))
    assert {"induction", str(folder)} <= set(app.selectbox[0].options)
    assert app.selectbox[0].value == str(folder)


def test_another_training_forgets_what_was_picked_in_this_one(folder: Path) -> None:
    app = opened(model=str(folder), sample="the mat", snapshot="40", token="1", layer="2")
    app.selectbox[0].set_value("induction").run()
    assert app.text_input[0].value == training.REPEATS
    assert not {"snapshot", "token", "layer", "head"} & set(app.query_params)


def test_the_table_says_what_was_trained_and_how_long(folder: Path) -> None:
    table = opened(model=str(folder)).dataframe[0].value.set_index("model")
    row = table.loc["tiny-lm"]
    record = vizcore.training_record(folder)
    assert row["parameters"] == record.n_parameters
    assert row["size"] == pytest.approx(record.n_bytes / 1e6)
    assert (row["task"], row["time"], row["scores"]) == ("language model", "76 s", "accuracy 0.5")
    assert "induction" in table.index


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5390, "1 h 30 min"), (float("nan"), "")],
)
def test_a_duration_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert training._duration(seconds) == said


def test_without_snapshots_the_curves_are_shown(tmp_path: Path) -> None:
    app = opened(model=str(trained_folder(tmp_path / "bare", steps=())))
    assert app.text_input[0].disabled
    assert app.markdown[1].value.startswith("Of this training no snapshots were kept")
    assert not app.info


def test_before_the_first_evaluation_the_page_says_so(tmp_path: Path) -> None:
    header = METRICS.splitlines()[0] + "\n"
    app = opened(model=str(trained_folder(tmp_path / "bare", steps=(), metrics=header)))
    assert app.info[0].value.startswith("Nothing was measured yet")


def test_a_broken_record_is_said_with_its_line_and_the_others_stay(tmp_path: Path) -> None:
    broken = trained_folder(tmp_path / "bad", metrics="step,train_loss\n1,two\n")
    app = opened(model=str(broken))
    assert "Line 2 of" in app.error[0].value.replace("\\", "")
    assert app.selectbox[0].value == "induction"


def test_a_folder_that_was_not_trained_here_is_no_choice(tmp_path: Path) -> None:
    app = opened(model=str(save(tiny_network("gpt2"), tmp_path)))
    assert str(tmp_path) not in app.selectbox[0].options
    assert not app.error


def test_a_text_that_cannot_be_run_says_so() -> None:
    assert "There is nothing in this text" in opened(sample=" ").error[0].value.replace("\\", "")


def test_a_masked_model_opens_with_a_mask(tmp_path: Path) -> None:
    folder = trained_folder(
        tmp_path / "mlm", tiny_network("bert"), facts={"task": "masked-language-model"}
    )
    assert "<mask>" in opened(model=str(folder)).text_input[0].value


def test_a_translator_shows_each_kind_of_attention(tmp_path: Path) -> None:
    folder = trained_folder(
        tmp_path / "mt", tiny_network("t5", seed=4), facts={"task": "translation"}, steps=(1, 9)
    )
    app = opened(model=str(folder), kind="encoder")
    assert app.button_group[0].value == "encoder"
    assert len(app.button_group[0].options) == 3
