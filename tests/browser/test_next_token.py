"""The page Next token, as somebody in front of it sees it."""

import math
from typing import Any

from tests.browser.conftest import Visitor

SENTENCE = "The doctor asked the nurse a question"


def test_every_token_is_shown_with_how_surprising_it_was(visitor: Visitor, smollm2: Any) -> None:
    from vizcore import surprisal

    visitor.open("/next-token", text=SENTENCE)
    tokens = visitor.page.locator(".tokens-view button")
    expected = surprisal(smollm2, SENTENCE)
    assert tokens.all_inner_texts() == expected["token"].tolist()
    tokens.nth(3).hover()
    said = visitor.page.locator(".tokens-view .status").inner_text()
    assert f"{expected['surprisal'][3]:.2f} bits" in said
    assert f"rank {expected['rank'][3]}" in said


def test_a_picked_token_shows_what_the_model_expects_after_it(
    visitor: Visitor, smollm2: Any
) -> None:
    from vizcore import surprisal

    visitor.open("/next-token", text=SENTENCE)
    visitor.page.locator(".tokens-view button").nth(2).click()
    visitor.address_has(token=2)
    came = surprisal(smollm2, SENTENCE).iloc[3]
    probability = f"{math.exp(came['log_probability']):.2%}"
    visitor.page.get_by_test_id("stMetricValue").get_by_text(probability, exact=True).wait_for()


def test_the_keyboard_moves_along_the_text(visitor: Visitor) -> None:
    visitor.open("/next-token", text=SENTENCE, token=1)
    tokens = visitor.page.locator(".tokens-view button")
    tokens.nth(1).focus()
    visitor.page.keyboard.press("ArrowRight")
    visitor.page.keyboard.press("Enter")
    visitor.address_has(token=2)


def test_a_model_without_a_head_says_so(visitor: Visitor) -> None:
    visitor.open("/next-token", text=SENTENCE, model="minilm-l6")
    said = visitor.page.get_by_test_id("stAlert").inner_text()
    assert "minilm-l6 does not predict tokens: it has no language-model head." in said
    assert visitor.page.get_by_test_id("stDataFrame").count() == 0
