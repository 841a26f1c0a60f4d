"""Views stay legible in every script, in a narrow column, and where a reader begins to look."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.tiny import tiny_network
from tests.views.synthetic import a_map, attention_maps
from vizcore.model import Model
from vizcore.views.figures import heatmap
from vizcore.views.flow_view import flow_view
from vizcore.views.head_view import head_view
from vizcore.views.neuron_view import neuron_view
from vizcore.views.scatter_view import head_scatter
from vizcore.views.text_view import text_view

pytestmark = pytest.mark.browser

BESIDE_A_GRID = {"width": 570, "height": 720}


def opened(page: Any, folder: Path, view: Any) -> Any:
    """A view as a page of its own, once it is drawn; what it is in."""
    path = folder / "view.html"
    path.write_text(view.to_html(), encoding="utf-8")
    page.goto(path.as_uri())
    page.wait_for_function(
        "() => document.querySelector('[id^=headlight-]')?.shadowRoot"
        "?.querySelector('[data-drawn], .error')"
    )
    return page.locator("[id^=headlight-]")


def lefts(shown: Any, selector: str) -> list[float]:
    """How far left each of these begins."""
    return [one.bounding_box()["x"] for one in shown.locator(selector).all()]


@pytest.mark.parametrize(
    ("tokens", "direction"),
    [
        (["[CLS]", "سأل", "الطبيب", "[SEP]"], "rtl"),
        (["[CLS]", "she", "asked", "الطبيب"], "ltr"),
        (["«", "שלום", "world"], "rtl"),
    ],
)
def test_a_text_begins_on_the_side_of_its_script_whatever_stands_around_it(
    quiet_page: Any, tmp_path: Path, tokens: list[str], direction: str
) -> None:
    n = len(tokens)
    shown = opened(
        quiet_page, tmp_path, text_view(a_map(np.full((n, n), 1 / n), tokens, tokens, layer=0))
    )
    begins = lefts(shown, ".token")
    assert begins == sorted(begins, reverse=direction == "rtl")


def test_in_a_narrow_column_all_heads_stand_in_one_line_above_their_lines(
    quiet_page: Any, tmp_path: Path
) -> None:
    quiet_page.set_viewport_size(BESIDE_A_GRID)
    shown = opened(quiet_page, tmp_path, head_view(attention_maps(1, 9, 30), 0, height=430))
    boxes = [one.bounding_box() for one in shown.locator(".heads button").all()]
    assert len({box["y"] for box in boxes}) == 1
    stage = shown.locator(".stage").bounding_box()
    assert boxes[0]["y"] + boxes[0]["height"] <= stage["y"]
    assert stage["height"] > 200


def test_the_token_that_is_held_at_first_is_in_sight(quiet_page: Any, tmp_path: Path) -> None:
    quiet_page.set_viewport_size(BESIDE_A_GRID)
    view = head_view(attention_maps(1, 2, 300), 0, selected=("query", 150), height=430)
    shown = opened(quiet_page, tmp_path, view)
    stage = shown.locator(".stage").bounding_box()
    held = shown.locator(".queries .row[aria-selected=true]").bounding_box()
    assert stage["y"] < held["y"]
    assert held["y"] + held["height"] < stage["y"] + stage["height"]


def test_the_token_of_a_long_text_that_is_held_at_first_is_in_sight(
    quiet_page: Any, tmp_path: Path
) -> None:
    (map,) = attention_maps(1, 1, 1500)
    shown = opened(quiet_page, tmp_path, text_view(map, selected=900, height=430))
    text = shown.locator(".text").bounding_box()
    held = shown.locator(".token[aria-pressed=true]").bounding_box()
    assert text["y"] < held["y"]
    assert held["y"] + held["height"] < text["y"] + text["height"]


def test_what_a_head_does_is_never_cut_off(quiet_page: Any, tmp_path: Path) -> None:
    values = np.array([[-0.25, 0.5], [0.125, -0.0625]])
    shown = opened(quiet_page, tmp_path, head_view(a_map(values, "ab", "ab", layer=3)))
    does = shown.locator(".does")
    assert does.inner_text().replace("\n", " ") == "values from −0.25 to 0.5"
    assert does.evaluate("(one) => one.scrollWidth <= one.clientWidth")


def test_in_a_narrow_column_the_vectors_keep_room_for_their_dimensions(
    quiet_page: Any, tmp_path: Path
) -> None:
    quiet_page.set_viewport_size(BESIDE_A_GRID)
    trace = Model.of(tiny_network("gpt2"), None, name="some-gpt2").trace([5, 6, 7, 8])
    shown = opened(quiet_page, tmp_path, neuron_view(trace, 0, 0))
    for strip in shown.locator(".list .row >> nth=0").locator("canvas").all():
        assert strip.bounding_box()["width"] > 120


def test_rows_of_the_flow_do_not_run_into_each_other(quiet_page: Any, tmp_path: Path) -> None:
    tokens = [f"医{place}" for place in range(55)]
    maps = [a_map(np.full((55, 55), 1 / 55), tokens, tokens, layer=layer) for layer in range(2)]
    shown = opened(quiet_page, tmp_path, flow_view(maps, height=560))
    assert "of 55 tokens, which take little part, are folded away" in (
        shown.locator(".notes").inner_text()
    )


def test_where_a_map_will_be_is_said_before_a_head_is_pointed_at(
    quiet_page: Any, tmp_path: Path
) -> None:
    scores = pd.DataFrame({"layer": [0, 0], "head": [0, 1], "same": [0.25, 0.5]})
    shown = opened(quiet_page, tmp_path, head_scatter(scores, maps=attention_maps(1, 2, 4)))
    assert shown.locator(".missing").inner_text() == (
        "The map of the head that you point at is drawn here."
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_of_a_heatmap_is_as_light_or_dark_as_the_map_and_says_its_title_once(
    quiet_page: Any, tmp_path: Path, scheme: str, dark: bool
) -> None:
    quiet_page.emulate_media(color_scheme=scheme)
    (map,) = attention_maps(1, 1, 6)
    path = tmp_path / "map.html"
    path.write_text(heatmap(map, dark=dark).to_html(), encoding="utf-8")
    quiet_page.goto(path.as_uri())
    quiet_page.wait_for_selector(".js-plotly-plot .main-svg")
    background = quiet_page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(14, 17, 23)" if dark else "rgb(255, 255, 255)")
    assert quiet_page.get_by_text("Layer 0, head 0", exact=True).count() == 1
