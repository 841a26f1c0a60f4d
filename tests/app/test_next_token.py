"""The page Next token without a browser: what each layer would say, and what sampling does."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import vizcore

TEXT = "They are here."


def shown() -> None:
    """The page by itself, with what the side bar would have put into the state."""
    import streamlit as st

    from app.app_pages import next_token

    for name, value in (("model", "tatoeba-lm"), ("text", "They are here.")):
        if name not in st.session_state:
            st.session_state[name] = st.query_params.get(name, value)
    next_token.show()


def opened(**scene: str) -> Any:
    """The page for a scene, run to its end."""
    app = AppTest.from_function(shown, default_timeout=240)
    for key, value in scene.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    return app


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The figures that the page has shown, by their keys."""
    import streamlit as st

    seen: dict[str, Any] = {}
    monkeypatch.setattr(
        st, "plotly_chart", lambda figure, key, **settings: seen.update({key: figure})
    )
    return seen


def test_by_layer_it_shows_what_the_lens_reads_and_when_the_answer_is_known(
    figures: dict[str, Any],
) -> None:
    app = opened(expects="layers", token="3")
    trace = vizcore.load("tatoeba-lm").trace(TEXT)
    lens = vizcore.logit_lens(trace)
    known = lens.known_from().iloc[3]
    said = next(one.value for one in app.markdown if "After" in one.value)
    assert known["answer"] in said
    if known["known_from"] >= 0:
        assert f"**layer {known['known_from']}** of {lens.layers[-1]}" in said
    assert figures["rank_curve"].data[0].y.tolist() == lens.answer_rank[:, 3].tolist()
    assert len(figures["lens"].data[0].z) == len(lens.layers)


def test_of_a_long_text_the_lens_is_held_around_the_picked_token(figures: dict[str, Any]) -> None:
    app = opened(text="They are here. " * 12, expects="layers", token="20")
    assert len(figures["lens"].data[0].z[0]) == 10
    assert any("Tokens 13 to 22 of" in one.value for one in app.caption)


def test_sampling_settings_are_in_the_link_and_change_what_can_be_drawn(
    figures: dict[str, Any],
) -> None:
    app = opened(expects="sampling", token="2", temperature="50", top_p="80")
    trace = vizcore.load("tatoeba-lm").trace(TEXT)
    sampling = vizcore.Sampling(temperature=0.5, top_p=0.8)
    table = vizcore.sampling_table(trace, 2, sampling=sampling, k=None)
    kept = int(table["kept"].sum())
    assert any(f"**{kept:,} of {len(table):,} tokens**" in one.value for one in app.markdown)
    after = figures["sampling"].data[1]
    assert after.x.tolist() == pytest.approx(table["min_p"].head(15).tolist())
    app.select_slider(key="field_top_p").set_value(100).run()
    assert "top_p" not in app.query_params
    assert any(f"{len(table):,} of {len(table):,}" in one.value for one in app.markdown)


def test_a_setting_that_is_out_of_range_in_a_link_is_brought_back(figures: dict[str, Any]) -> None:
    app = opened(expects="sampling", temperature="900", top_k="0")
    assert app.select_slider(key="field_temperature").value == 200
    assert app.select_slider(key="field_top_k").value == 1
