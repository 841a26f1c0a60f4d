"""What a session opens with, and how an address keeps it: the side bar without a browser."""

import os
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.support.catalogue import BUNDLED, NOT_HERE, use_catalogue

MAIN = Path(__file__).resolve().parent.parent.parent / "app" / "main.py"
ONE_TEXT = "When Mary and John went to the store, John gave a drink to"
SOURCE = "I love you."


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nothing was fetched and nothing can be."""
    monkeypatch.setenv("HEADLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return tmp_path


@pytest.fixture
def bundled_second(no_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue that begins with a model that would have to be fetched."""
    use_catalogue(no_cache, monkeypatch)


def opened(**address: str) -> Any:
    app = AppTest.from_file(str(MAIN), default_timeout=120)
    for key, value in address.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    return app


def shown(app: Any) -> tuple[str, str]:
    return app.selectbox(key="model").value, app.text_area(key="text").value


@pytest.mark.usefixtures("bundled_second")
def test_with_nothing_fetched_it_opens_on_what_is_bundled() -> None:
    app = opened()
    assert shown(app) == ("tiny-translator", SOURCE)
    assert not app.error
    assert "Target (the decoder reads it)" in [field.label for field in app.text_input]


def test_where_the_first_of_the_catalogue_is_there_it_opens_on_that(
    no_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_catalogue(no_cache, monkeypatch, tables=BUNDLED + NOT_HERE)
    app = opened()
    assert shown(app) == ("tiny-translator", SOURCE)
    app.button(key="example_1").click().run()
    assert "opened" not in app.query_params


@pytest.mark.usefixtures("bundled_second")
def test_a_link_says_which_model_it_began_with_where_another_machine_may_have_another() -> None:
    app = opened()
    assert not app.query_params
    app.button(key="example_1").click().run()
    assert app.query_params["opened"] == "tiny-translator"
    assert shown(app)[0] == "tiny-translator"


@pytest.mark.usefixtures("bundled_second")
def test_a_link_opens_on_the_model_that_it_was_made_with() -> None:
    elsewhere = opened(opened="tiny-translator", layer="1")
    assert shown(elsewhere) == ("tiny-translator", SOURCE)
    of_the_first = opened(layer="1")
    assert shown(of_the_first) == ("far-away", ONE_TEXT)
    assert opened(opened="unheard-of", layer="1").selectbox(key="model").value == "far-away"


@pytest.mark.usefixtures("bundled_second")
def test_each_kind_of_model_has_examples_of_its_own() -> None:
    translates, reads = opened(model="tiny-translator"), opened(model="far-away")
    assert shown(translates)[1] == SOURCE
    assert shown(reads)[1] == ONE_TEXT
    labels = [
        {button.label for button in app.button if str(button.key).startswith("example_")}
        for app in (translates, reads)
    ]
    assert labels[0]
    assert labels[0].isdisjoint(labels[1])


@pytest.mark.usefixtures("bundled_second")
def test_an_example_gives_way_to_one_for_the_other_kind_but_what_was_typed_stays() -> None:
    app = opened()
    app.selectbox(key="model").set_value("far-away").run()
    assert shown(app) == ("far-away", ONE_TEXT)
    app.selectbox(key="model").set_value("tiny-translator").run()
    assert shown(app) == ("tiny-translator", SOURCE)
    app.text_area(key="text").set_value("Mine.").run()
    app.selectbox(key="model").set_value("far-away").run()
    assert shown(app) == ("far-away", "Mine.")
