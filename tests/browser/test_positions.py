"""The page Positions, as somebody in front of it sees it."""

import math
from typing import Any
from urllib.parse import urlencode

from tests.browser.conftest import Visitor

CHARTS = ".js-plotly-plot"


def look(visitor: Visitor, n_charts: int, **scene: object) -> None:
    """Open the page and wait until its pictures are drawn."""
    visitor.page.goto(f"{visitor.address}/positions?{urlencode(scene)}")
    wait_for_charts(visitor, n_charts)


def wait_for_charts(visitor: Visitor, n_charts: int) -> None:
    visitor.page.wait_for_function(
        """(n) => [...document.querySelectorAll(".js-plotly-plot")].filter(
            (plot) => plot._fullData?.length && plot.querySelector(".main-svg")).length === n""",
        arg=n_charts,
    )


def test_the_hand_of_the_clock_follows_the_position(visitor: Visitor) -> None:
    look(visitor, 2, model="smollm2-135m", pair=3, place=5)
    thumb = visitor.page.get_by_role("slider", name="Position of the token")
    thumb.focus()
    visitor.page.keyboard.press("ArrowRight")
    visitor.address_has(place=6, pair=3)
    angle = 6 * 100_000 ** (-3 / 32)
    visitor.page.wait_for_function(
        """([x, y]) => {
            const tip = document.querySelector(".js-plotly-plot")?._fullData?.at(-1);
            return tip && Math.hypot(tip.x[0] - x, tip.y[0] - y) < 1e-5;
        }""",
        arg=[math.cos(angle), math.sin(angle)],
    )


def test_the_table_that_is_drawn_is_the_models(visitor: Visitor, minilm: Any) -> None:
    look(visitor, 4, model="minilm-l6", span=16, dims="3.50")
    rows = minilm.network.embeddings.position_embeddings.weight[:16].tolist()
    visitor.page.wait_for_function(
        """(rows) => {
            const cells = document.querySelector(".js-plotly-plot")._fullData[0].z;
            return cells.length === rows.length && rows.every((row, i) =>
                row.every((value, j) => Math.abs(value - cells[i][j]) < 1e-6));
        }""",
        arg=rows,
    )


def test_a_link_brings_the_picture_back(visitor: Visitor) -> None:
    look(visitor, 2, model="smollm2-135m", pair=20, place=150, span=256)
    visitor.page.reload()
    wait_for_charts(visitor, 2)
    for name, value in (("Pair of dimensions", "20"), ("Position of the token", "150")):
        thumb = visitor.page.get_by_role("slider", name=name)
        assert thumb.input_value() == value
    longest = visitor.page.evaluate(
        f"Math.max(...document.querySelectorAll('{CHARTS}')[1]._fullData[1].x)"
    )
    assert longest == 255


def test_on_a_projector_the_first_pictures_need_no_scrolling(visitor: Visitor) -> None:
    for model, n_charts in (("smollm2-135m", 2), ("minilm-l6", 4)):
        look(visitor, n_charts, model=model)
        for number in (0, 1):
            box = visitor.page.locator(CHARTS).nth(number).bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= 720
            assert box["x"] + box["width"] <= 1280
