"""Sorting, filtering, zooming and taking the first token out, as real Chromium shows it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.views.synthetic import a_map, attention_maps
from tests.views.test_in_browser import picked, pixel, point_at, show
from vizcore.views.colours import LIGHT
from vizcore.views.model_view import model_view

__all__ = ["show"]

pytestmark = pytest.mark.browser

N = 6


def previous_and_spread() -> list[Any]:
    """Layer 0: two heads that look at the previous token; layer 1: two that look everywhere."""
    looks = np.eye(N, k=-1)
    looks[0, 0] = 1
    spread = np.tril(np.ones((N, N)))
    spread /= spread.sum(axis=1, keepdims=True)
    tokens = "abcdef"
    return [
        a_map(values, tokens, tokens, layer=layer, head=head, kind="decoder")
        for layer, values in enumerate((looks, spread))
        for head in (0, 1)
    ]


def colour(stop: str) -> list[int]:
    return [*(int(stop[at : at + 2], 16) for at in (1, 3, 5)), 255]


def look(page: Any, name: str, value: str) -> None:
    """Choose something in the menu of colours."""
    menu = page.locator("details.look")
    if not menu.evaluate("(menu) => menu.open"):
        menu.locator("summary").click()
    menu.locator(f"select.{name}").select_option(value)
    settle(page)


def settle(page: Any) -> None:
    page.evaluate("() => new Promise((done) => setTimeout(done, 80))")


def test_sorted_by_a_score_the_first_head_has_the_most_of_it(show: Callable[[str], Any]) -> None:
    scores = pd.DataFrame(
        {"layer": [0, 0, 1, 1], "head": [0, 1, 0, 1], "induction": [0.1, 0.4, 0.9, np.nan]}
    )
    page = show(model_view(previous_and_spread(), scores=scores, detail=False).to_html())
    page.locator("select.order").select_option("induction")
    settle(page)
    canvas = page.locator("canvas.all")
    status = page.locator(".status")
    canvas.hover(position={"x": 30, "y": 40})
    assert status.inner_text().startswith("Layer 1 · Head 0")
    assert status.inner_text().endswith("induction 0.900")
    page.get_by_role("button", name="highest first").click()
    settle(page)
    canvas.hover(position={"x": 31, "y": 41})
    assert status.inner_text().startswith("Layer 0 · Head 0")


def test_sorted_heads_fit_the_room_that_there_is(show: Callable[[str], Any]) -> None:
    for n_heads in (12, 5):
        view = model_view(attention_maps(6, n_heads, 9), sort="entropy", detail=False, height=540)
        page = show(view.to_html())
        page.evaluate("() => { document.querySelector('main').style.width = '360px' }")
        settle(page)
        over = (
            "(grid) => [grid.scrollWidth - grid.clientWidth, grid.scrollHeight - grid.clientHeight]"
        )
        assert page.locator(".grid").evaluate(over) == [0, 0]


def test_arrow_keys_follow_the_order_of_sorted_heads(show: Callable[[str], Any]) -> None:
    page = show(model_view(previous_and_spread(), sort="entropy", detail=False).to_html())
    picked(page)
    page.get_by_role("button", name="Zoom in").focus()
    page.keyboard.press("Tab")
    names = [page.locator(".status").inner_text()[:16]]
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        names.append(page.locator(".status").inner_text()[:16])
    assert names == [f"Layer {layer} · Head {head}" for layer in (1, 0) for head in (0, 1)]
    page.keyboard.press("Enter")
    assert picked(page) == [{"layer": 0, "head": 1, "kind": "decoder"}]


def test_a_filter_counts_the_heads_and_dims_the_others_in_their_places(
    show: Callable[[str], Any],
) -> None:
    page = show(model_view(previous_and_spread(), detail=False).to_html())
    options = page.locator("select.show option").all_inner_texts()
    assert options == ["all heads (4)", "previous token (2)", "spread out (2)"]
    inside = (
        "() => document.querySelector('[id^=headlight-]').shadowRoot.querySelector('canvas.all')"
    )
    alpha = f"""([x, y]) => {{ const c = ({inside})(); const r = devicePixelRatio;
        return c.getContext('2d').getImageData(x * r, y * r, 1, 1).data[3]; }}"""
    point_at(page, "Layer 1 · Head 0")
    box, outer = (
        page.locator(".mark.pointed").bounding_box(),
        page.locator("canvas.all").bounding_box(),
    )
    there = [box["x"] - outer["x"] + 9, box["y"] - outer["y"] + box["height"] - 12]
    assert page.evaluate(alpha, there) == 255
    page.locator("select.show").select_option("previous")
    settle(page)
    assert 0 < page.evaluate(alpha, there) < 60


def test_sorted_heads_that_do_something_else_are_left_out(show: Callable[[str], Any]) -> None:
    page = show(model_view(previous_and_spread(), sort="entropy", detail=False).to_html())
    page.locator("select.show").select_option("previous")
    settle(page)
    seen = set()
    box = page.locator("canvas.all").bounding_box()
    for x in range(10, int(box["width"]), 30):
        page.mouse.move(box["x"] + x, box["y"] + box["height"] / 2)
        seen.add(page.locator(".status").inner_text()[:16])
    assert {"Layer 0 · Head 0", "Layer 0 · Head 1"} <= seen
    assert not any(name.startswith("Layer 1") for name in seen)


def test_keys_zoom_in_on_the_head_and_out_to_all(show: Callable[[str], Any]) -> None:
    page = show(model_view(attention_maps(4, 4, 8), detail=False).to_html())
    page.locator("canvas.all").focus()
    page.keyboard.press("ArrowRight")
    mark = page.locator(".mark.pointed")
    before = mark.bounding_box()["width"]
    for _ in range(4):
        page.keyboard.press("+")
    settle(page)
    assert mark.bounding_box()["width"] > 4 * before
    grid, canvas = page.locator(".grid").bounding_box(), page.locator("canvas.all").bounding_box()
    assert canvas["width"] <= grid["width"]
    middle = mark.bounding_box()
    assert grid["x"] <= middle["x"] + middle["width"] / 2 <= grid["x"] + grid["width"]
    page.keyboard.press("0")
    settle(page)
    assert mark.bounding_box()["width"] == before


def test_the_wheel_with_ctrl_zooms_where_the_pointer_is(show: Callable[[str], Any]) -> None:
    page = show(model_view(attention_maps(4, 4, 8), detail=False).to_html())
    point_at(page, "Layer 2 · Head 1")
    page.keyboard.down("Control")
    for _ in range(6):
        page.mouse.wheel(0, -50)
        settle(page)
    page.keyboard.up("Control")
    assert page.locator(".grid").evaluate("(grid) => grid.scrollWidth > grid.clientWidth")
    page.mouse.move(0, 0)
    point = page.locator(".status")
    point_at(page, "Layer 2 · Head 1")
    assert point.inner_text().startswith("Layer 2 · Head 1")


def test_dragging_pans_and_is_no_click(show: Callable[[str], Any]) -> None:
    page = show(model_view(attention_maps(4, 4, 8), detail=False).to_html())
    for _ in range(4):
        page.get_by_role("button", name="Zoom in").click()
    settle(page)
    picked(page)
    grid = page.locator(".grid")
    grid.evaluate("(grid) => grid.scrollTo(100, 100)")
    box = grid.bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 160, steps=4)
    page.mouse.up()
    assert grid.evaluate("(grid) => [grid.scrollLeft, grid.scrollTop]") == [150, 140]
    assert picked(page) == []


def test_a_head_that_is_zoomed_into_is_drawn_in_full(
    show: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vizcore.views.head_pictures.MAX_FULL_CELLS", 1)
    values = np.zeros((128, 128))
    values[:, ::2] = 1 / 64  # stripes that a thumbnail cannot show
    tokens = [str(at) for at in range(128)]
    page = show(model_view([a_map(values, tokens, tokens, layer=0, head=0)], detail=True).to_html())
    row = """(c) => { const d = c.getContext('2d').getImageData(
        0, Math.round(c.height * 0.6), c.width, 1).data;
        return new Set(Array.from({ length: c.width }, (_, x) => d[4 * x])).size; }"""
    look(page, "own", "own")
    page.mouse.click(5, 5)
    page.locator("canvas.all").focus()
    for _ in range(6):
        page.keyboard.press("+")
    page.wait_for_function(
        f"() => ({row})(document.querySelector('[id^=headlight-]').shadowRoot"
        ".querySelector('canvas.all')) >= 2"
    )
    assert "every head in full" in page.locator(".legend").inner_text()


def a_sink() -> Any:
    """Queries leave 0, 2 in 1,000, and a half beside the first token, on one key."""
    values = [[1.0, 0, 0, 0], [0.998, 0.002, 0, 0], [0.5, 0.4, 0.1, 0], [0.5, 0.25, 0.25, 0]]
    return a_map(values, "abcd", "abcd", layer=0, head=0, kind="decoder")


def cell(page: Any, row: int, column: int) -> list[int]:
    """The colour of a cell of the only map, away from its middle, where marks are."""
    box = page.evaluate(
        "() => { const c = document.querySelector('[id^=headlight-]').shadowRoot.querySelector("
        "'canvas.all'); return [37 / c.clientWidth, 33 / c.clientHeight] }"
    )
    x = box[0] + (1 - box[0]) * (column + 0.55) / 4
    y = box[1] + (1 - box[1]) * (row + 0.55) / 4
    return pixel(page, "canvas.all", x, y)


def test_the_first_token_greyed_out_leaves_the_other_colours_alone(
    show: Callable[[str], Any],
) -> None:
    page = show(model_view([a_sink()], detail=False).to_html())
    assert cell(page, 0, 0) == colour(LIGHT.sequential[-1])
    before = cell(page, 2, 1)
    look(page, "sink", "grey")
    assert cell(page, 0, 0) == cell(page, 2, 0) == colour(LIGHT.aside)
    assert cell(page, 2, 1) == before
    assert "first token greyed out" in page.locator(".legend").inner_text()


def test_renormalised_away_a_half_that_is_left_is_the_whole(show: Callable[[str], Any]) -> None:
    page = show(model_view([a_sink()], detail=False, sink="keep").to_html())
    half = cell(page, 2, 0)
    look(page, "sink", "renormalise")
    shown = cell(page, 3, 1)
    assert np.abs(np.array(shown) - half).max() <= 6
    legend = page.locator(".legend").inner_text()
    assert "the rest of each row scaled up to 1" in legend
    assert "under 1 % left beside the first token: not renormalised" in legend


def test_a_logarithmic_scale_says_where_it_ends(show: Callable[[str], Any]) -> None:
    page = show(model_view([a_sink()], detail=False).to_html())
    look(page, "log", "log")
    legend = page.locator(".legend").inner_text()
    assert legend.startswith("≤ 0.004")
    assert "logarithmic" in legend
    assert cell(page, 0, 0) == colour(LIGHT.sequential[-1])
    assert cell(page, 0, 1) == colour(LIGHT.sequential[0])


def test_marks_of_what_is_infinite_or_beyond_the_scale_are_explained_only_if_there_are_any(
    show: Callable[[str], Any],
) -> None:
    values = np.zeros((4, 4))
    values[0, 1], values[2, 2] = np.inf, 7
    page = show(
        model_view(
            [a_map(values, "abcd", "abcd", layer=0, head=0)], limits=(0, 1), detail=False
        ).to_html()
    )
    legend = page.locator(".legend").inner_text()
    assert "infinite" in legend
    assert "above the scale" in legend
    assert "below the scale" not in legend
    assert "not a number" not in legend


def test_what_the_reader_chose_stays_when_the_text_changes(quiet_page: Any, tmp_path: Any) -> None:
    from tests.views.test_in_browser import HOST
    from vizcore.views import page as pages

    module = pages.script("model_view").replace("export default view;", "")
    (tmp_path / "host.html").write_text(HOST.format(module=module), encoding="utf-8")
    quiet_page.goto((tmp_path / "host.html").as_uri())
    quiet_page.evaluate("(d) => window.mount(d)", model_view(attention_maps(2, 2, 5)).data)
    quiet_page.locator("select.order").select_option("entropy")
    quiet_page.evaluate("(d) => window.mount(d)", model_view(attention_maps(2, 2, 7)).data)
    quiet_page.wait_for_function("() => document.querySelector('[data-drawn=\"2\"]')")
    assert quiet_page.locator("select.order").input_value() == "entropy"
