"""A text of more tokens than a heatmap shows: its maps in tiles, worked out when looked at."""

from typing import Any
from urllib.parse import urlencode

import pytest

from tests.browser.conftest import Visitor
from tests.views.test_tile_view_browser import Looker, read

TEXT = "The doctor asked the nurse a question, and the nurse said that she did not know. " * 26


@pytest.fixture
def reader(visitor: Visitor) -> Looker:
    """Somebody who has opened a head of the long text."""
    scene = urlencode({"model": "smollm2-135m", "text": TEXT, "layer": 5, "head": 4})
    visitor.page.goto(f"{visitor.address}/?{scene}")
    visitor.page.locator(".tile-view[data-drawn]").wait_for()
    return Looker(visitor.page)


def zoom_in(reader: Looker, x: float, y: float) -> str:
    """Come so close that a cell is one token, and say what is read there."""
    for _ in range(8):
        reader.wheel(x, y, -500)
        words = reader.point(x, y)
        if "looks at" in words:
            return words
        reader.page.wait_for_timeout(300)
    return pytest.fail(f"However close, the view only says {words!r}.")


def test_what_is_read_in_a_tile_is_what_the_model_did(reader: Looker, smollm2: Any) -> None:
    trace = smollm2.trace(TEXT)
    assert len(trace.tokens) > 400
    for x, y in ((60, 200), (10, 150)):
        words = zoom_in(reader, x, y)
        query, key = read(words)
        assert trace.tokens[query].strip("·") in words
        value = float(trace.attention(5, 4)[query, key])
        told = float(words.rsplit(": ", 1)[1].replace("−", "-"))
        assert told == pytest.approx(value, rel=0.06 if value < 0.001 else 0.006)
        reader.canvas.press("0")


def test_a_clicked_row_picks_its_token_for_the_rest_of_the_page(
    visitor: Visitor, reader: Looker, smollm2: Any
) -> None:
    zoom_in(reader, 60, 200)
    for _ in range(3):  # a row that is a hair's breadth high is not clicked but come closer to
        reader.wheel(60, 200, -500)
    query, _ = read(reader.point(60, 200))
    reader.page.mouse.down()
    reader.page.mouse.up()
    visitor.address_has(token=query)
    row = smollm2.trace(TEXT).attention(5, 4)[query]
    reader.page.get_by_text(f"{row.max():.3f}").first.wait_for()


def test_another_head_is_shown_at_the_same_place(reader: Looker, smollm2: Any) -> None:
    place = read(zoom_in(reader, 60, 200))
    field = reader.page.get_by_label("Head", exact=True)
    field.fill("7")
    field.press("Enter")
    label = reader.page.locator(".tile-view canvas[aria-label^='layer 5, head 7']")
    label.wait_for()
    reader.point(200, 20)
    words = reader.point(60, 200)
    assert read(words) == place
    value = float(smollm2.trace(TEXT).attention(5, 7)[place])
    told = float(words.rsplit(": ", 1)[1].replace("−", "-"))
    assert told == pytest.approx(value, rel=0.06 if value < 0.001 else 0.006)
