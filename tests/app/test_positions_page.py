"""The page Positions without a browser: what it says and offers for each family."""

import json
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.support.tiny import save, tiny_network


def _page() -> None:
    from app.app_pages import positions

    positions.show()


def opened(model: str | Path, **scene: str) -> Any:
    """The page for a model, run to its end."""
    app = AppTest.from_function(_page, default_timeout=120)
    app.session_state["model"] = str(model)
    for key, value in scene.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    return app


def charts(app: Any) -> list[dict[str, Any]]:
    return [json.loads(one.proto.spec) for one in app.get("plotly_chart")]


def tiny(folder: Path, model_type: str, **changes: Any) -> Path:
    return save(tiny_network(model_type, **changes), folder)


def test_smollm2_turns_pairs_and_says_so() -> None:
    app = opened("smollm2-135m", pair="2", place="17")
    assert app.markdown[0].value.startswith("**Rotary \\(RoPE\\)\\:**")
    assert "**Pair 2** as the hand of a clock: one turn takes 12.9 tokens." in app.markdown[1].value
    assert "17 \\cdot 0.487" in app.markdown[1].value
    assert [slider.value for slider in app.slider] == [2, 17]
    assert len(charts(app)) == 2


def test_what_is_picked_goes_into_the_address() -> None:
    app = opened("smollm2-135m")
    app.slider(key="field_pair").set_value(7).run()
    app.slider(key="field_place").set_value(30).run()
    app.selectbox(key="field_span").set_value(256).run()
    for key, value in {"pair": "7", "place": "30", "span": "256"}.items():
        assert app.query_params[key] == value


def test_a_learned_table_is_shown_in_four_pictures() -> None:
    app = opened("minilm-l6", dims="3.50", span="512")
    assert app.markdown[0].value.startswith("**Learned\\:** each of 512 positions has a vector")
    assert [slider.value for slider in app.slider] == [3, 50]
    assert len(charts(app)) == 4
    app.slider(key="field_second").set_value(9).run()
    assert app.query_params["dims"] == "3.9"


@pytest.mark.parametrize("dims", ["9", "1.2.3", "-1.5", "x", "5000.9000"])
def test_dimensions_that_are_not_there_do_not_break_the_page(dims: str) -> None:
    app = opened("minilm-l6", dims=dims)
    assert all(0 <= slider.value <= 383 for slider in app.slider)


def test_biases_of_each_stack_can_be_chosen(tmp_path: Path) -> None:
    folder = tiny(tmp_path, "umt5")
    app = opened(folder, encoding="1", layer="1", head="2")
    (choice,) = app.button_group
    assert choice.options == [
        "Relative bias · encoder · layers 0–2",
        "Relative bias · decoder · layers 0–1",
    ]
    assert choice.value == 1
    assert [field.value for field in app.number_input] == [1, 2]
    (chart,) = charts(app)
    assert [line["name"] for line in chart["data"]] == [f"head {head}" for head in range(4)]


def test_slopes_are_a_line_a_head(tmp_path: Path) -> None:
    app = opened(tiny(tmp_path, "bloom"))
    assert app.markdown[0].value.startswith("**ALiBi\\:** the farther back a token is")
    (chart,) = charts(app)
    assert len(chart["data"]) == 4


def test_layers_without_positions_are_an_encoding_of_their_own(tmp_path: Path) -> None:
    app = opened(tiny(tmp_path, "smollm3", no_rope_layers=[1, 0, 1]), encoding="1")
    (choice,) = app.button_group
    assert choice.options == ["Rotary · layers 0, 2", "None · layer 1"]
    assert app.markdown[0].value.startswith("**None in these layers \\(NoPE\\)\\:**")
    assert app.caption[0].value == (
        "There are no numbers to draw here. Two models that have some: smollm2-135m turns its "
        "queries and keys, minilm-l6 has a learned table."
    )
    assert charts(app) == []


@pytest.mark.parametrize(
    ("model_type", "said"),
    [
        ("jamba", "**None\\:**"),
        ("xlnet", "**Relative\\:**"),
        ("marian", "**Sinusoidal\\:** a fixed"),
    ],
)
def test_other_families_are_described(model_type: str, said: str, tmp_path: Path) -> None:
    assert opened(tiny(tmp_path, model_type)).markdown[0].value.startswith(said)
