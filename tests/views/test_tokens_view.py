"""The tokens view: what its data say, and what a reader sees and picks in Chromium."""

import math
from pathlib import Path
from typing import Any

import pytest

from vizcore.errors import ShapeError
from vizcore.views.page import View
from vizcore.views.tokens_view import tokens_view

HOSTILE = ["<b>", "·a", "</script>", "⏎", "$x$", "مرحبا"]


def view(tokens: list[str], values: list[float], **settings: Any) -> View:
    """A view on a scale from 0 to 10."""
    return tokens_view(
        tokens, values, low=0, high=10, low_label="expected", high_label="surprising", **settings
    )


def test_a_value_has_its_place_on_the_scale_and_is_clipped_at_its_ends() -> None:
    places = view(list("abcde"), [0, 2.5, 10, 99, -3]).data["places"]
    assert places == [0, 0.25, 1, 1, 0]


def test_what_is_no_number_has_no_place() -> None:
    assert view(["a", "b"], [math.nan, 1]).data["places"] == [None, 0.1]


@pytest.mark.parametrize(
    ("n_values", "n_details", "wrong"), [(1, 3, "1 values"), (3, 2, "2 details")]
)
def test_one_value_and_one_detail_belong_to_each_token(
    n_values: int, n_details: int, wrong: str
) -> None:
    with pytest.raises(ShapeError) as caught:
        view(list("abc"), [1.0] * n_values, details=["x"] * n_details)
    assert str(caught.value) == f"There are 3 tokens and {wrong}: give one for each token."


@pytest.fixture
def opened(quiet_page: Any, tmp_path: Path) -> Any:
    """A page with hostile tokens, with the network cut off."""
    quiet_page.route("http*://**", lambda route: route.abort())
    shown = view(
        HOSTILE,
        [math.nan, 0, 5, 10, 3, 7],
        details=[f"detail {i}" for i in range(len(HOSTILE))],
        special=[0],
        selected=1,
    )
    file = tmp_path / "page.html"
    file.write_text(shown.to_html(), "utf-8")
    quiet_page.goto(file.as_uri())
    quiet_page.wait_for_selector(".tokens-view[data-drawn]")
    return quiet_page


@pytest.mark.browser
def test_the_tokens_are_there_to_read_as_they_are(opened: Any) -> None:
    assert opened.locator(".tokens-view button").all_inner_texts() == HOSTILE


@pytest.mark.browser
def test_pointing_at_a_token_tells_its_detail_and_leaving_returns_to_the_picked_one(
    opened: Any,
) -> None:
    status = opened.locator(".tokens-view .status")
    assert "detail 1" in status.inner_text()
    opened.locator(".tokens-view button").nth(4).hover()
    assert "detail 4" in status.inner_text()
    opened.mouse.move(1, 1)
    assert "detail 1" in status.inner_text()


@pytest.mark.browser
def test_a_click_and_the_keyboard_pick_a_token(opened: Any) -> None:
    opened.evaluate(
        "addEventListener('headlight-select', (e) => (window.picked = e.detail.token), true)"
    )
    opened.locator(".tokens-view button").nth(2).click()
    assert opened.evaluate("window.picked") == 2
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press("Enter")
    assert opened.evaluate("window.picked") == 3
    pressed = opened.locator(".tokens-view button[aria-pressed=true]")
    assert pressed.get_attribute("data-position") == "3"


@pytest.mark.browser
def test_only_the_picked_token_is_a_stop_of_the_tab_key(opened: Any) -> None:
    assert opened.locator(".tokens-view button[tabindex='0']").count() == 1


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_can_be_read_on_every_colour(browser: Any, tmp_path: Path, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = browser.new_context(color_scheme=scheme).new_page()
    file = tmp_path / "page.html"
    steps = [i / 4 for i in range(41)]
    file.write_text(view([f"t{i}" for i in range(41)], steps).to_html(), "utf-8")
    page.goto(file.as_uri())
    page.wait_for_selector(".tokens-view[data-drawn]")
    found = Axe().run(page).response["violations"]
    page.context.close()
    assert not [(one["id"], one["nodes"][0]["html"]) for one in found]
