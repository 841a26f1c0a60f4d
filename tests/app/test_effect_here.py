"""What the page Attention says of the open head's measured effect."""

import math
import time
from typing import Any

import pytest

import vizcore
from tests.app.test_pages import opened

LM = "tatoeba-lm"
TEXT = "I love my"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.effect_here.TICK", 0.0)


def said_after_a_while(**scene: str) -> str:
    """The lines above the map, when the effect is measured."""
    app: Any = opened(**scene)
    for _attempt in range(300):
        lines = [one.value for one in app.markdown if "Without this head" in one.value]
        if lines:
            return str(lines[0])
        time.sleep(0.1)
        app.run()
    raise AssertionError("no effect was said")


def probability(position: int, edits: "list[vizcore.Edit]", token_id: int) -> float:
    trace = vizcore.load(LM).trace(TEXT, edits=edits)
    return math.exp(float(trace.logits[position].log_softmax(-1)[token_id]))


@pytest.mark.parametrize("token", [None, 2])
def test_the_open_head_carries_what_the_prediction_loses_without_it(token: int | None) -> None:
    trace = vizcore.load(LM).trace(TEXT)
    position = len(trace.tokens) - 1 if token is None else token
    best = trace.next_tokens(position, 1).iloc[0]
    picked = {} if token is None else {"token": str(token)}
    said = said_after_a_while(model=LM, text=TEXT, layer="1", head="2", **picked)
    without = probability(position, [vizcore.AblateHead(1, 2)], int(best["token_id"]))
    assert f"gets **{without:.2f}** instead of {best['probability']:.2f}." in said
    assert str(best["token"]).strip("·") in said
    assert ("after" in said) == (token is not None)


def test_before_it_is_measured_the_page_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.effect_here.TICK", 1000.0)
    app = opened(model=LM, text="A text that nobody measures")
    assert any("Click on a token or a row" in one.value for one in app.markdown)
    assert not any("Without this head" in one.value for one in app.markdown)


@pytest.mark.parametrize(
    "scene",
    [
        {"model": "tatoeba-mlm", "text": "I love my dog."},
        {"model": LM, "text": "I love my dog. " * 30},
    ],
)
def test_where_it_would_take_long_or_means_nothing_it_is_left_to_another_page(
    scene: dict[str, str],
) -> None:
    app = opened(**scene)
    time.sleep(1)
    app.run()
    assert not any("Without this head" in one.value for one in app.markdown)
