"""The page What matters without a browser: what is measured, switched off, cut and taken back."""

import math
import time
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

import vizcore

LM = "tatoeba-lm"
TEXT = "I love my"


def shown() -> None:
    """The page by itself, with what the side bar would have put into the state."""
    import streamlit as st

    from app.app_pages import what_matters

    for name, value in (("model", "tatoeba-lm"), ("text", "I love my"), ("target", "")):
        if name not in st.session_state:
            st.session_state[name] = st.query_params.get(name, value)
    what_matters.show()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the page has shown last, by its key."""
    from app import head_without
    from app.app_pages import what_matters

    seen: dict[str, Any] = {}

    def keep(view: Any, *, key: str, **settings: Any) -> None:
        seen[key] = (view, settings)

    for module in (what_matters, head_without):
        monkeypatch.setattr(module, "mount", keep)
        monkeypatch.setattr(module, "mount_map", keep)
    return seen


def opened(**scene: str) -> Any:
    """The page for a scene, when everything is measured."""
    app = AppTest.from_function(shown, default_timeout=240)
    for key, value in scene.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    for _attempt in range(200):
        if not app.get("progress"):
            break
        time.sleep(0.1)
        app.run()
    assert not app.exception, app.exception
    return app


def measured(metric: Any = None) -> pd.DataFrame:
    return vizcore.ablation_effects(vizcore.load(LM), TEXT, metric)


def said(app: Any, beginning: str) -> str:
    return next(one.value for one in app.markdown if one.value.startswith(beginning))


def test_each_head_has_its_measured_effect_and_the_strongest_is_open(drawn: dict[str, Any]) -> None:
    app = opened()
    table = measured()
    cells = drawn["effects"][0].data[0].z
    assert [
        cells[layer][head] for layer, head in zip(table["layer"], table["head"], strict=True)
    ] == [pytest.approx(effect, abs=1e-4) for effect in table["effect"]]
    most = table.loc[table["effect"].abs().idxmax()]
    verdict = said(app, f"**Layer {most['layer']:.0f}, head {most['head']:.0f}** looks at")
    before = math.exp(table.attrs["original"])
    after = math.exp(table.attrs["original"] + most["effect"])
    assert verdict.endswith(f"gets **{after:.2f}** instead of {before:.2f}.")


def test_a_head_that_is_switched_off_changes_the_table_and_is_in_the_link(
    drawn: dict[str, Any],
) -> None:
    app = opened(layer="1", head="2")
    app.toggle(key="field_off").set_value(True).run()
    assert app.query_params["off"] == "1-2"
    model = vizcore.load(LM)
    edited = model.trace(TEXT, edits=[vizcore.AblateHead(1, 2)])
    table = app.dataframe[0].value.set_index("token")["probability_after"]
    top = edited.next_tokens(-1, 1).iloc[0]
    assert table.index[0] == top["token"]
    assert table.iloc[0] == pytest.approx(top["probability"], abs=1e-5)
    now = vizcore.trace_surprisal(edited)["log_probability"].sum()
    assert f"**{now:.2f} nats** instead of" in said(app, "The text:")
    again = opened(layer="1", head="2", off="1-2")
    assert said(again, "The text:") == said(app, "The text:")


def test_edits_in_force_are_listed_and_each_can_be_taken_back(drawn: dict[str, Any]) -> None:
    app = opened(off="1-2.0-1", cut="2-0-3-1")
    assert [one.label for one in app.button] == [
        "Layer 1, head 2",
        "Layer 0, head 1",
        "2.0: ·my → ·I",
    ]
    crossed = drawn["effects"][0].layout.annotations
    assert [(one.x, one.y) for one in crossed] == [(2, 1), (1, 0)]
    app.button(key="off_0").click().run()
    assert app.query_params["off"] == "0-1"
    app.button(key="cut_0").click().run()
    assert "cut" not in app.query_params


def test_what_this_model_or_text_has_not_is_left_out(drawn: dict[str, Any]) -> None:
    app = opened(off="99-0.0-99", cut="0-0-99-0.1-2-3")
    assert "Switch heads off" in said(app, "The text:")


def test_edges_of_the_open_head_are_measured_and_can_be_cut(drawn: dict[str, Any]) -> None:
    opened(layer="1", head="0", matters="edges")
    table = vizcore.knock_out_effects(vizcore.load(LM), TEXT, 1, 0, queries=[3])
    view, settings = drawn["edges"]
    for row in table.itertuples():
        weight, effect = view.data["details"][row.key].split(" of the attention; cut: ")
        assert float(weight) == pytest.approx(row.weight, abs=0.006)
        assert float(effect.split()[0]) == pytest.approx(row.effect, abs=0.002)
    assert callable(settings["on_select"])


def test_another_word_or_the_whole_text_is_asked_about(drawn: dict[str, Any]) -> None:
    app = opened(answer="mother", layer="0", head="0")
    assert "without it ` ·mother ` gets" in said(app, "**Layer 0, head 0**")
    whole = opened(explains="likelihood", layer="0", head="0")
    table = measured(vizcore.LogLikelihood())
    assert f"instead of {table.attrs['original']:.2f} nats." in said(whole, "**Layer 0, head 0**")
    missing = opened(answer="<b>xyzzy")
    assert "is not one of the 2,000 likeliest tokens" in missing.warning[0].value


def test_a_translator_is_measured_by_kind_of_attention(drawn: dict[str, Any]) -> None:
    scene = {"model": "tatoeba-translator", "text": "I love you.", "target": "我爱"}
    app = opened(**scene, layer="1", head="1", kind="cross")
    model = vizcore.load("tatoeba-translator")
    table = vizcore.ablation_effects(model, "I love you.", target="我爱", kind="cross")
    row = table.query("layer == 1 and head == 1").iloc[0]
    after = math.exp(table.attrs["original"] + row["effect"])
    assert f"gets **{after:.2f}** instead of" in said(app, "**Layer 1, head 1** looks at")
    assert drawn["looks_cross"]


@pytest.mark.parametrize("model", ["minilm-l6", "tatoeba-mlm"])
def test_a_model_that_cannot_is_said_in_words(model: str, drawn: dict[str, Any]) -> None:
    assert "does not predict the next token" in opened(model=model).info[0].value


def test_a_long_text_and_one_that_cannot_be_run_are_said_in_words(drawn: dict[str, Any]) -> None:
    assert "Shorten it" in opened(text="I love my cat. " * 100).info[0].value
    assert "NUL" in opened(text="a\x00b").error[0].value
