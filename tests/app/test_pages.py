"""The pages without a browser: what they say for models and texts of every kind."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.support.tiny import save, tiny_network

MAIN = Path(__file__).resolve().parent.parent.parent / "app" / "main.py"


def opened(**scene: str) -> Any:
    """The app's first page for a scene, run to its end."""
    app = AppTest.from_file(str(MAIN), default_timeout=120)
    for key, value in scene.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    return app


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a tiny encoder-decoder."""
    return str(save(tiny_network("t5"), tmp_path_factory.mktemp("t5")))


def test_the_pages_are_on_the_screen_before_torch_is_imported() -> None:
    code = (
        "import sys, app.sidebar, app.app_pages.attention, app.app_pages.next_token;"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=MAIN.parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_the_first_page_offers_the_catalogue_and_examples() -> None:
    app = opened()
    assert app.selectbox(key="model").options[:2] == ["smollm2-135m", "tatoeba-translator"]
    assert app.text_area[0].value
    assert len(app.button) >= 3


def test_an_example_takes_the_place_of_the_text() -> None:
    app = opened(text="something else")
    assert app.text_area[0].value == "something else"
    app.button[1].click().run()
    assert app.text_area[0].value.startswith("The keys to the cabinet")


def test_an_encoder_decoder_shows_each_kind_of_attention(translator: str) -> None:
    app = opened(model=translator, text="one two three")
    kinds = app.button_group(key="field_kind")
    assert kinds.options == [
        "Source looks at source",
        "Target looks at target",
        "Target looks at source",
    ]
    assert kinds.value == "cross"
    assert "Cross, layer" in app.markdown[0].value


def test_a_kind_in_the_address_is_opened(translator: str) -> None:
    app = opened(model=translator, text="one two three", kind="encoder", layer="1", head="2")
    assert app.markdown[0].value.startswith("**Encoder, layer 1, head 2**")


def test_where_a_token_looks_is_said_once() -> None:
    scene = {"model": "minilm-l6", "text": "a b c", "token": "2"}
    assert "looks most at" in opened(**scene).markdown[0].value
    for seen in ("lines", "text", "numbers"):  # these say it themselves
        assert "looks most at" not in opened(**scene, seen=seen).markdown[0].value


def test_another_head_is_taken_from_the_open_one() -> None:
    scene = {"model": "minilm-l6", "text": "a b c", "layer": "1", "head": "2"}
    app = opened(**scene)
    app.number_input(key="field_minus_head").set_value(4).run()
    assert not app.exception
    assert app.query_params["minus_head"] == "4"
    assert app.markdown[0].value.startswith(
        "**Encoder, layer 1, head 2 minus encoder, layer 1, head 4**"
    )
    app = opened(**scene, minus_layer="99", sink="grey", scale="log", seen="text")
    assert "minus encoder, layer 5, head 2**" in app.markdown[0].value
    lines = opened(**scene, minus_layer="0", seen="lines")
    assert lines.markdown[0].value.endswith("**: solid is more, dashed is less")
    assert (
        "Numbers are those of one head"
        in opened(**scene, minus_head="4", seen="numbers").info[0].value
    )


def test_of_a_hybrid_network_only_the_layers_with_attention_can_be_picked(tmp_path: Path) -> None:
    folder = save(tiny_network("jamba"), tmp_path)
    app = opened(model=str(folder), text="one two three", layer="3")
    (field,) = [field for field in app.selectbox if field.label == "Layer"]
    assert (field.options, field.value) == (["1", "3"], 3)
    assert app.markdown[0].value.startswith("**Layer 3, head 0**")
    app = opened(model=str(folder), text="one two three", layer="0")
    assert app.markdown[0].value.startswith("**Layer 1, head 0**")


def test_a_picked_number_goes_into_the_address() -> None:
    app = opened(model="minilm-l6", text="a b c")
    app.number_input(key="field_layer").set_value(4).run()
    assert app.query_params["layer"] == "4"
    app.number_input(key="field_token").set_value(2).run()
    assert app.query_params["token"] == "2"


def test_another_text_forgets_the_picked_token_but_keeps_the_head() -> None:
    app = opened(model="minilm-l6", text="a b c", layer="3", head="1", token="2")
    app.text_area[0].set_value("d e f g").run()
    assert app.query_params["layer"] == "3"
    assert "token" not in app.query_params


@pytest.mark.parametrize(
    ("scene", "said"),
    [
        ({"text": " "}, "There is nothing in this text that minilm"),
        ({"model": "./nowhere"}, "There is no folder or file"),
    ],
)
def test_what_cannot_be_shown_is_said_and_the_fields_keep_what_was_typed(
    scene: dict[str, str], said: str
) -> None:
    app = opened(**({"model": "minilm-l6", "text": "a"} | scene))
    assert said in app.error[0].value.replace("\\", "")
    assert app.text_area[0].value == scene.get("text", "a")
