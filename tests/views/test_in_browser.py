"""The model view and the heatmap as real Chromium shows them, from a file and without a network."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.views.synthetic import a_map, attention_maps
from vizcore.maps import AttentionMap
from vizcore.patterns import describe
from vizcore.views import page as pages
from vizcore.views.colours import DARK, LIGHT
from vizcore.views.figures import heatmap
from vizcore.views.model_view import model_view
from vizcore.views.page import View

pytestmark = pytest.mark.browser

BODY = "<!doctype html><html lang=en><title>t</title><main><h1>t</h1>{}</main></html>"


@pytest.fixture
def show(quiet_page: Any, tmp_path: Path) -> Callable[[str], Any]:
    """Opens HTML as a file on a page that reaches nothing else, and waits for all its views."""

    def opened(html: str) -> Any:
        asked: list[str] = []
        quiet_page.route(
            lambda url: not url.startswith("file:"),
            lambda route: (asked.append(route.request.url), route.abort()),
        )
        path = tmp_path / "view.html"
        path.write_text(html, encoding="utf-8")
        quiet_page.goto(path.as_uri())
        quiet_page.wait_for_function(
            "() => { const views = [...document.querySelectorAll('[id^=headlight-]')];"
            "return views.length && views.every((view) => view.shadowRoot"
            "?.querySelector('[data-drawn], .error') || view.querySelector('.main-svg')) }"
        )
        assert asked == []
        return quiet_page

    return opened


def picked(page: Any) -> list[Any]:
    """What the views of the page have reported so far; the first call starts listening."""
    return page.evaluate(
        "() => { if (!window.picked) { window.picked = []; document.addEventListener("
        "'headlight-select', (event) => window.picked.push(event.detail)); } return window.picked }"
    )


def point_at(page: Any, words: str, view: int = 0) -> None:
    """Moves over the grid until the status line begins with these words."""
    box = page.locator("canvas.all").nth(view).bounding_box()
    status = page.locator(".model-view .status").nth(view)
    for y in range(40, int(box["height"]), 20):
        for x in range(40, int(box["width"]), 20):
            page.mouse.move(box["x"] + x, box["y"] + y)
            if status.inner_text().startswith(words):
                return
    pytest.fail(f"No map of the grid is called {words!r}.")


def pixel(page: Any, selector: str, x: float, y: float) -> list[int]:
    """Red, green, blue, alpha of a canvas, at a place given in shares of its size."""
    return page.locator(selector).first.evaluate(
        "(canvas, [x, y]) => [...canvas.getContext('2d').getImageData("
        "x * canvas.width, y * canvas.height, 1, 1).data]",
        [x, y],
    )


def test_pointing_at_a_head_names_it_and_what_it_does(show: Callable[[str], Any]) -> None:
    maps = list(attention_maps(3, 2, 8))
    page = show(model_view(maps).to_html())
    point_at(page, "Layer 2 · Head 1")
    text = page.locator(".status").inner_text()
    assert text == f"Layer 2 · Head 1: {describe(maps[5]).text}"


def test_the_status_line_keeps_its_height_whatever_it_says(show: Callable[[str], Any]) -> None:
    page = show(model_view(attention_maps(3, 2, 8), detail=False).to_html())
    heights = [page.locator(".status").bounding_box()["height"]]
    point_at(page, "Layer 2 · Head 1")
    heights.append(page.locator(".status").bounding_box()["height"])
    assert heights[0] == heights[1] > 0


def test_a_click_selects_the_head_and_outlines_it(show: Callable[[str], Any]) -> None:
    page = show(model_view(attention_maps(3, 2, 8, kind="encoder"), detail=False).to_html())
    assert page.locator(".mark.selected").is_hidden()
    picked(page)
    point_at(page, "Layer 1 · Head 0")
    page.mouse.down()
    page.mouse.up()
    assert picked(page) == [{"layer": 1, "head": 0, "kind": "encoder"}]
    assert page.locator(".mark.selected").is_visible()


def test_arrow_keys_move_over_layers_and_heads_and_enter_opens(show: Callable[[str], Any]) -> None:
    page = show(model_view(attention_maps(2, 3, 5), detail=False, height=400).to_html())
    picked(page)
    page.locator(".zoom .in").focus()
    page.keyboard.press("Tab")
    status = page.locator(".status")
    assert status.inner_text().startswith("Layer 0 · Head 0")
    names = set()
    for key in ("ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
        names.add(status.inner_text().split(":")[0])
    assert "Layer 1 · Head 1" in names
    page.keyboard.press("ArrowDown")
    assert status.inner_text().startswith("Layer 1 · Head 1")
    page.keyboard.press("Enter")
    assert picked(page) == [{"layer": 1, "head": 1, "kind": "decoder"}]


@pytest.mark.parametrize(("scheme", "colours"), [("light", LIGHT), ("dark", DARK)])
def test_pixels_are_the_ramps_colours_of_the_values(
    show: Callable[[str], Any], scheme: str, colours: Any, page: Any
) -> None:
    page.emulate_media(color_scheme=scheme)
    map = a_map([[1.0, 0.0], [0.0, 1.0]], "ab", "ab", layer=0, head=0)
    page = show(model_view([map], detail=False).to_html())
    # One map, right and below of the numbers: its cells are a quarter of it each.
    box = page.evaluate(
        "() => { const c = document.querySelector('[id^=headlight-]').shadowRoot.querySelector("
        "'canvas.all'); return [37 / c.clientWidth, 33 / c.clientHeight] }"
    )
    for (x, y), stop in {
        (0.25, 0.25): colours.sequential[-1],
        (0.75, 0.25): colours.sequential[0],
        (0.25, 0.75): colours.sequential[0],
        (0.75, 0.75): colours.sequential[-1],
    }.items():
        place = (box[0] + (1 - box[0]) * x, box[1] + (1 - box[1]) * y)
        expected = [int(stop[at : at + 2], 16) for at in (1, 3, 5)]
        assert pixel(page, "canvas.all", *place) == [*expected, 255]


def test_a_cell_that_is_not_a_number_has_its_own_colour_and_is_in_the_legend(
    show: Callable[[str], Any],
) -> None:
    map = a_map([[np.nan, np.nan], [np.nan, np.nan]], "ab", "ab", layer=0, head=0)
    page = show(model_view([map], detail=False).to_html())
    expected = [int(LIGHT.undefined[at : at + 2], 16) for at in (1, 3, 5)]
    assert pixel(page, "canvas.all", 0.6, 0.6) == [*expected, 255]
    assert "not a number" in page.locator(".legend").inner_text()


def test_masked_cells_let_the_page_through(show: Callable[[str], Any]) -> None:
    map = a_map(
        [[1.0, 0.0], [0.5, 0.5]],
        "ab",
        "ab",
        layer=0,
        head=0,
        masked=np.triu(np.ones((2, 2), bool), 1),
    )
    page = show(model_view([map], detail=False).to_html())
    assert pixel(page, "canvas.all", 0.85, 0.3)[3] == 0
    assert pixel(page, "canvas.all", 0.85, 0.85)[3] == 255
    assert "masked" in page.locator(".legend").inner_text()


def test_the_enlarged_map_tells_the_value_under_the_pointer(show: Callable[[str], Any]) -> None:
    values = np.array([[0.25, 0.75], [0.5, 0.5]])
    page = show(model_view([a_map(values, "ab", "cd", layer=0, head=0)]).to_html())
    box = page.locator("canvas.one").bounding_box()
    status = page.locator(".status")
    seen = set()
    for x in np.linspace(0.1, 0.9, 9):
        for y in np.linspace(0.1, 0.9, 9):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
            seen.add(re.sub("[\u2068\u2069]", "", status.inner_text()))
    assert {
        "“a” looks at “c”: 0.25",
        "“a” looks at “d”: 0.75",
        "“b” looks at “c”: 0.50",
        "“b” looks at “d”: 0.50",
    } <= seen


def test_one_scale_for_each_head_makes_a_faint_head_visible(show: Callable[[str], Any]) -> None:
    map = a_map(np.full((2, 2), 0.1), "ab", "ab", layer=0, head=0)
    page = show(model_view([map], detail=False).to_html())
    before = pixel(page, "canvas.all", 0.6, 0.6)
    page.locator(".look summary").click()
    page.locator("select.own").select_option("own")
    page.wait_for_timeout(100)
    expected = [int(LIGHT.sequential[-1][at : at + 2], 16) for at in (1, 3, 5)]
    assert pixel(page, "canvas.all", 0.6, 0.6) == [*expected, 255] != before


def test_all_heads_of_a_large_model_fit_the_apps_column_without_scrolling(
    show: Callable[[str], Any],
) -> None:
    html = model_view(attention_maps(30, 9, 20), detail=False, height=560)._repr_html_()
    page = show(BODY.format(f'<div style="width: 420px">{html}</div>'))
    grid = page.locator(".grid").evaluate(
        "grid => [grid.scrollWidth - grid.clientWidth, grid.scrollHeight - grid.clientHeight]"
    )
    assert grid == [0, 0]


def test_where_maps_would_be_too_small_the_grid_scrolls_down_only(
    show: Callable[[str], Any],
) -> None:
    html = model_view(attention_maps(48, 32, 4), detail=False, height=560)._repr_html_()
    page = show(BODY.format(f'<div style="width: 600px">{html}</div>'))
    scrolls = page.locator(".grid").evaluate(
        "grid => [grid.scrollWidth - grid.clientWidth, grid.scrollHeight - grid.clientHeight]"
    )
    assert scrolls[0] == 0
    assert scrolls[1] > 0


def test_two_views_on_a_page_leave_each_other_and_the_page_alone(
    show: Callable[[str], Any],
) -> None:
    views = [model_view(attention_maps(n, 2, 5), detail=False, height=300) for n in (2, 3)]
    page = show(BODY.format("".join(view._repr_html_() for view in views)))
    point_at(page, "Layer 2 · Head 1", view=1)
    assert page.locator(".status").nth(0).inner_text().startswith("Point at a map")


def test_a_view_leaves_no_global_behind(show: Callable[[str], Any], tmp_path: Path) -> None:
    page = show(model_view(attention_maps(1, 1, 3)).to_html())
    empty = page.context.new_page()
    (tmp_path / "empty.html").write_text("<!doctype html><title>t</title>")
    empty.goto((tmp_path / "empty.html").as_uri())
    # (The first view's element has an id, and an id is a name in the window.)
    names = "() => Object.getOwnPropertyNames(window).filter((name) => !/^headlight-/.test(name))"
    assert set(page.evaluate(names)) - set(empty.evaluate(names)) == set()


def test_hostile_tokens_are_text_and_run_nothing(show: Callable[[str], Any]) -> None:
    nasty = ["</script><img src=x onerror=alert(1)>", "<b>bold</b>", "$$x^2$$"]
    values = np.full((3, 3), 0.02)
    values[:, 1] = 0.96
    map = a_map(values, "abc", nasty, layer=0, head=0, kind="cross")
    page = show(model_view([map], title="<i>title</i>").to_html())
    assert page.locator(".status").inner_text() == (
        "Layer 0 · Head 0: looks at one place, “<b>bold</b>”, 0.96"
    )
    assert page.locator("h1").inner_text() == "<i>title</i>"
    assert page.locator("img, b, i").count() == 0


def test_what_cannot_be_drawn_is_said_in_words_inside_the_element(
    show: Callable[[str], Any],
) -> None:
    view = model_view(attention_maps(1, 1, 4))
    broken = {**view.data, "codes": {**view.data["codes"], "shape": [1, 4, 5]}}
    page = show(View(view.name, view.title, broken, view.js, view.css).to_html())
    assert page.locator(".error").inner_text() == (
        "This picture cannot be drawn: the data has 24 bytes, but its shape says 20."
    )


HOST = """<!doctype html><div id="el" style="width: 600px"></div><script type="module">
{module}
const el = document.getElementById("el");
window.mount = (data) => {{ window.cleanup = view({{ el, data, select() {{}} }}); }};
</script>"""


def test_called_again_on_its_element_it_takes_the_new_data_and_cleans_up_once(
    quiet_page: Any, tmp_path: Path
) -> None:
    module = pages.script("model_view").replace("export default view;", "")
    (tmp_path / "host.html").write_text(HOST.format(module=module), encoding="utf-8")
    quiet_page.goto((tmp_path / "host.html").as_uri())
    for n_layers, selected in ((2, (1, 0)), (3, (2, 1))):
        view = model_view(attention_maps(n_layers, 2, 5), selected=selected, detail=False)
        quiet_page.evaluate("(data) => window.mount(data)", json.loads(json.dumps(view.data)))
        expected = f"Layer {selected[0]} · Head {selected[1]}:"
        quiet_page.wait_for_function(
            "(words) => document.querySelector('.status')?.textContent.startsWith(words)",
            arg=expected,
        )
        assert quiet_page.locator(".model-view").count() == 1
    quiet_page.evaluate("() => window.cleanup()")
    assert quiet_page.evaluate("() => document.getElementById('el').childNodes.length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_complain_about(
    show: Callable[[str], Any], scheme: str, page: Any
) -> None:
    page.emulate_media(color_scheme=scheme)
    values = np.array([[0.5, 0.5], [np.nan, 1.0]])
    masked = np.array([[False, True], [False, False]])
    map = a_map(values, "ab", "ab", layer=0, head=0, masked=masked)
    page = show(model_view([map]).to_html())
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


def test_a_heatmap_needs_no_network_and_two_share_one_plotly(show: Callable[[str], Any]) -> None:
    maps: list[AttentionMap] = list(attention_maps(1, 2, 6))
    page = show(BODY.format("".join(heatmap(map)._repr_html_() for map in maps)))
    assert page.locator(".js-plotly-plot").count() == 2
    assert page.locator("text=Layer 0, head 1").count() == 1


def test_hovering_a_cell_of_the_heatmap_tells_tokens_positions_and_value(
    show: Callable[[str], Any],
) -> None:
    map = a_map([[0.125, 0.875], [0.5, 0.5]], ["<b>a</b>", "$b$"], ["the", "the"])
    page = show(heatmap(map).to_html())
    cells = page.locator('.nsewdrag[data-subplot="xy"]').bounding_box()
    page.mouse.move(cells["x"] + 0.75 * cells["width"], cells["y"] + 0.25 * cells["height"])
    page.wait_for_selector(".hovertext text")
    text = page.locator(".hovertext text").first.text_content()
    plain = re.sub("[\u2068\u2069]", "", text)
    assert plain == "query 0: <b>a</b>key 1: theattention 0.875"


def test_clicking_a_query_token_of_the_heatmap_selects_its_row(show: Callable[[str], Any]) -> None:
    (map,) = attention_maps(1, 1, 8)
    page = show(heatmap(map).to_html())
    page.evaluate(
        "() => document.querySelector('.js-plotly-plot').on('plotly_selected', (event) => {"
        "window.row = event?.points.map((point) => point.customdata) })"
    )
    labels = page.locator('.nsewdrag[data-subplot="x2y"]').bounding_box()
    for row in (0, 5):
        for across in (0.1, 0.9):
            x = labels["x"] + across * labels["width"]
            y = labels["y"] + (row + 0.5) / 8 * labels["height"]
            page.mouse.move(x, y)
            page.wait_for_timeout(100)
            page.mouse.click(x, y)
            page.wait_for_timeout(350)
            assert page.evaluate("() => window.row") == [row]
