"""The tile view in Chromium: what is read in it is the map, and what it asks the host for."""

from typing import Any

import numpy as np
import pytest

from tests.views.test_tile_view import a_map
from vizcore.views.map_tiles import MapRegion
from vizcore.views.page import View
from vizcore.views.tile_view import tile_view

pytestmark = pytest.mark.browser

LEFT, TOP = 104, 76
"""Where the map begins on the canvas."""


class Looker:
    """Somebody who looks at one view."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.canvas = page.locator(".tile-view canvas")

    def show(self, view: View) -> None:
        self.page.set_content(view.to_html())
        self.page.evaluate(
            """() => { window.picks = [];
            document.addEventListener("headlight-select", (e) => window.picks.push(e.detail)); }"""
        )
        self.page.locator(".tile-view[data-drawn]").wait_for()

    def point(self, x: float, y: float) -> str:
        """What the view says about a place of the map, in CSS pixels of its frame."""
        box = self.canvas.bounding_box()
        self.page.mouse.move(box["x"] + LEFT + x, box["y"] + TOP + y)
        words: str = self.page.locator(".tile-view .status").inner_text()
        return words.replace("\u2068", "").replace("\u2069", "")

    def wheel(self, x: float, y: float, by: float) -> None:
        self.point(x, y)
        self.page.mouse.wheel(0, by)

    def picks(self) -> list[Any]:
        found: list[Any] = self.page.evaluate("window.picks")
        return found

    def pick(self, number: int) -> Any:
        """The so-manieth pick, counted from 0, once it is there."""
        self.page.wait_for_function("(n) => window.picks.length > n", arg=number)
        return self.picks()[number]


@pytest.fixture
def looker(quiet_page: Any) -> Looker:
    return Looker(quiet_page)


def read(words: str) -> tuple[int, int]:
    """The query and the key that a sentence about one cell is about."""
    query, key = (int(part.split(")")[0]) for part in words.split("(")[1:3])
    return query, key


def test_pointing_tells_the_value_of_the_map_also_after_zooming_and_moving(looker: Looker) -> None:
    map = a_map(300, 500)
    looker.show(tile_view(map, region=MapRegion(0, 0, 300, 500)))
    seen = set()

    def check() -> None:
        for x, y in ((20, 20), (130, 90), (200, 240)):
            words = looker.point(x, y)
            query, key = read(words)
            seen.add((query, key))
            value = float(map.values[query, key])
            assert words.startswith(f"“q{query}” ({query}) looks at “k{key}” ({key}): ")
            number = float(words.rsplit(": ", 1)[1].replace("−", "-"))
            assert number == pytest.approx(value, rel=0.06 if value < 0.001 else 0.006)

    check()
    for _ in range(3):
        looker.wheel(150, 100, -400)
    check()
    looker.page.mouse.down()
    looker.page.mouse.move(500, 300, steps=4)
    looker.page.mouse.up()
    check()
    for key in ("+", "ArrowRight", "ArrowDown", "ArrowDown"):
        looker.canvas.press(key)
    check()
    assert len(seen) > 9
    looker.canvas.press("0")
    assert read(looker.point(1, 1)) == (0, 0)


def test_zooming_keeps_what_is_under_the_pointer_there(looker: Looker) -> None:
    looker.show(tile_view(a_map(400, 400)))
    before = read(looker.point(200, 150))
    looker.wheel(200, 150, -600)
    after = read(looker.point(200, 150))
    assert np.abs(np.subtract(before, after)).max() <= 1


def test_the_buttons_zoom_and_show_the_whole_map_again(looker: Looker) -> None:
    looker.show(tile_view(a_map(400, 400)))
    far = read(looker.point(300, 300))
    looker.page.get_by_role("button", name="Zoom in").click()
    assert read(looker.point(300, 300)) != far
    looker.page.get_by_role("button", name="Whole map").click()
    assert read(looker.point(300, 300)) == far


def test_zooming_by_keys_and_buttons_keeps_the_diagonal_in_sight(looker: Looker) -> None:
    looker.page.set_viewport_size({"width": 1100, "height": 600})  # room beside a square map
    looker.show(tile_view(a_map(400, 400, causal=True)))
    for _ in range(3):
        looker.canvas.press("+")
        looker.page.get_by_role("button", name="Zoom in").click()
    at = [read(looker.point(x, x)) for x in range(20, 240, 20)]
    assert min(abs(query - key) for query, key in at) <= 2


def test_masked_cells_and_cells_without_a_number_are_told_and_in_the_legend(looker: Looker) -> None:
    map = a_map(60, 60, causal=True)
    map.values[50, 2], map.values[51, 2] = np.nan, np.inf
    looker.show(tile_view(map))
    looker.canvas.press("+")
    looker.canvas.press("0")
    box = looker.canvas.bounding_box()
    size = (box["height"] - TOP - 1) / 60
    assert looker.point(50.5 * size, 5.5 * size) == "“q5” (5) looks at “k50” (50): masked"
    for row in (50.5, 51.5):
        assert looker.point(2.5 * size, row * size).endswith("“k2” (2): not a number, or infinite")
    legend = looker.page.locator(".legend").inner_text()
    assert "masked" in legend
    assert "not a number, or infinite" in legend


def test_a_page_without_a_host_says_what_it_does_not_hold(looker: Looker) -> None:
    looker.show(tile_view(a_map(1300, 1300)))
    assert "each cell: 3 × 3 tokens (all that this page holds)" in (
        looker.page.locator(".legend").inner_text()
    )
    assert looker.point(50, 50).startswith("Tokens ")
    looker.show(tile_view(a_map(1300, 1300), region=MapRegion(100, 200, 300, 300)))
    assert "every token at queries 100–399, keys 200–499; elsewhere 3 × 3 tokens a cell" in (
        looker.page.locator(".legend").inner_text()
    )


def test_a_host_is_asked_for_the_tile_that_is_needed_and_only_then(looker: Looker) -> None:
    map = a_map(1500, 1500)
    looker.show(tile_view(map, live=True))
    looker.page.wait_for_timeout(400)
    assert looker.picks() == []  # all that can be seen from here is there
    for _ in range(3):
        looker.page.get_by_role("button", name="Zoom in").click()
    looker.canvas.press("ArrowLeft")
    asked = looker.pick(0)
    tile = asked["tile"]
    assert asked["without_first"] is False
    assert 0 < tile["query"] < tile["query"] + tile["n_queries"] < 1500
    assert 0 <= tile["key"] < tile["key"] + tile["n_keys"] <= 1500
    n_picks = len(looker.picks())
    looker.page.get_by_label("First token").select_option("out")
    assert looker.pick(n_picks)["without_first"] is True


def test_without_a_host_nothing_is_asked(looker: Looker) -> None:
    looker.show(tile_view(a_map(1500, 1500)))
    looker.wheel(100, 100, -900)
    looker.page.wait_for_timeout(400)
    assert looker.picks() == []


def test_a_click_on_a_row_picks_it_and_from_far_away_zooms_in(looker: Looker) -> None:
    looker.show(tile_view(a_map(1500, 1500)))
    looker.point(120, 200)
    looker.page.mouse.down()
    looker.page.mouse.up()
    assert looker.picks() == []
    looker.wheel(120, 200, -900)
    first, last = looker.point(120, 200).removeprefix("Tokens ").split(" ")[0].split("–")
    looker.page.mouse.down()
    looker.page.mouse.up()
    (picked,) = looker.picks()
    assert int(first) <= picked["row"] <= int(last)
