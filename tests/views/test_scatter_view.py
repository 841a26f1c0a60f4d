"""The scatter of all heads: its data, and itself in Chromium."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.views.synthetic import attention_maps
from tests.views.test_in_browser import picked, show
from vizcore.errors import SelectionError
from vizcore.views.scatter_view import head_scatter

__all__ = ["show"]

SCORES = pd.DataFrame(
    {
        "layer": [0, 0, 1, 1],
        "head": [0, 1, 0, 1],
        "summary": ["looks at itself", None, "spreads", "sinks"],
        "previous_token": [0.0, 1.0, 0.0, 1.0],
        "entropy": [0.0, 0.0, 2.0, 2.0],
        "sink": [0.5, np.nan, 0.25, 0.125],
    }
)


def test_every_head_is_a_point_with_all_its_scores_and_words() -> None:
    data: Any = head_scatter(SCORES).data
    assert [(one["layer"], one["head"]) for one in data["points"]] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    ]
    assert [one["text"] for one in data["points"]] == ["looks at itself", "", "spreads", "sinks"]
    assert [one["label"] for one in data["scores"]] == ["previous token", "entropy", "sink"]
    assert data["scores"][2]["values"] == [0.5, None, 0.25, 0.125]
    assert data["begin"] == {"x": "previous_token", "y": "entropy", "colour": "layer"}


def test_a_table_of_one_score_has_it_on_both_axes() -> None:
    data: Any = head_scatter(SCORES[["layer", "head", "sink"]]).data
    assert (data["begin"]["x"], data["begin"]["y"]) == ("sink", "sink")


def test_maps_find_their_points_and_some_heads_have_none() -> None:
    data: Any = head_scatter(SCORES, maps=attention_maps(1, 2, 5, n_queries=3)).data
    assert [one["map"] for one in data["points"]] == [0, 1, None, None]
    assert data["maps"]["shape"] == [3, 5]


def test_kinds_keep_heads_of_the_same_number_apart() -> None:
    table = pd.concat([SCORES.assign(kind="encoder"), SCORES.assign(kind="cross")])
    maps = list(attention_maps(1, 2, 5, n_queries=3, kind="cross"))
    data: Any = head_scatter(table, maps=maps, selected=(1, 0, "cross")).data
    assert data["kinds"] == ["cross", "encoder"]
    assert [one["map"] for one in data["points"]] == [None] * 4 + [0, 1, None, None]
    assert data["selected"] == [1, 0, "cross"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"x": "induction"},
            "There is no score 'induction': the table has 'previous_token', 'entropy', 'sink'.",
        ),
        ({"selected": (2, 0)}, "There is no head (2, 0) in the table of scores to select."),
        (
            {"colour": "head"},
            "Points can be coloured by 'layer' or 'kind', not by 'head'.",
        ),
    ],
)
def test_what_is_not_there_is_named_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SelectionError) as caught:
        head_scatter(SCORES, **arguments)
    assert str(caught.value) == message


def centre(page: Any, index: int) -> tuple[float, float]:
    box = page.locator(".point").nth(index).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def status(page: Any) -> str:
    text: str = page.locator(".status").inner_text()
    return re.sub("[\u2068\u2069]", "", text)


@pytest.mark.browser
def test_points_are_placed_by_their_scores_and_other_axes_can_be_chosen(
    show: Callable[[str], Any],
) -> None:
    page = show(head_scatter(SCORES).to_html())
    places = [centre(page, index) for index in range(4)]
    assert places[0][0] == places[2][0] < places[1][0] == places[3][0]
    assert places[0][1] == places[1][1] > places[2][1] == places[3][1]
    page.locator("select.y").select_option("sink")
    page.wait_for_function(
        "() => document.querySelector('[id^=headlight-]').shadowRoot"
        ".querySelectorAll('.point').length === 3"
    )
    assert centre(page, 0)[1] < centre(page, 1)[1] < centre(page, 2)[1]
    assert "1 heads have no value here." in page.locator(".legend").inner_text()


@pytest.mark.browser
def test_pointing_names_a_head_with_its_words_and_both_numbers(show: Callable[[str], Any]) -> None:
    page = show(head_scatter(SCORES).to_html())
    page.mouse.move(*centre(page, 2))
    assert status(page) == "Layer 1 · Head 0: spreads · previous token 0 · entropy 2"
    assert page.locator("svg text.name").text_content() == "Layer 1 · Head 0"


@pytest.mark.browser
def test_a_click_reports_the_head(show: Callable[[str], Any]) -> None:
    page = show(head_scatter(SCORES.assign(kind="encoder")).to_html())
    picked(page)
    page.mouse.click(*centre(page, 3))
    assert picked(page) == [{"layer": 1, "head": 1, "kind": "encoder"}]
    assert page.locator(".ring.selected").count() == 1


@pytest.mark.browser
def test_the_keyboard_alone_reaches_every_head_and_opens_one(show: Callable[[str], Any]) -> None:
    page = show(head_scatter(SCORES, selected=(0, 0)).to_html())
    picked(page)
    page.locator("select.y").focus()
    page.keyboard.press("Tab")
    assert status(page).startswith("Layer 0 · Head 0")
    page.keyboard.press("ArrowRight")
    assert status(page).startswith("Layer 0 · Head 1")
    page.keyboard.press("ArrowUp")
    assert status(page).startswith("Layer 1 · Head 1")
    page.keyboard.press("Enter")
    assert picked(page) == [{"layer": 1, "head": 1, "kind": None}]


@pytest.mark.browser
def test_the_map_of_the_head_stands_beside_and_what_is_missing_is_said(
    show: Callable[[str], Any],
) -> None:
    page = show(head_scatter(SCORES, maps=attention_maps(1, 2, 5)).to_html())
    page.mouse.move(*centre(page, 1))
    canvas = page.locator(".detail canvas")
    assert canvas.get_attribute("aria-label") == "Layer 0 · Head 1"
    drawn = "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v)"
    assert canvas.evaluate(drawn)
    page.mouse.move(*centre(page, 3))
    assert page.locator(".detail").inner_text() == "There is no map of this head on this page."
    assert canvas.is_hidden()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_complain_about(
    show: Callable[[str], Any], scheme: str, page: Any
) -> None:
    page.emulate_media(color_scheme=scheme)
    table = pd.concat([SCORES.assign(kind="encoder"), SCORES.assign(kind="cross")])
    page = show(head_scatter(table, maps=attention_maps(1, 2, 5, kind="cross")).to_html())
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
