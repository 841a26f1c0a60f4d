"""The page Attention, as somebody in front of it sees it."""

import re
from collections.abc import Callable
from typing import Any

import pytest

import vizcore
from tests.browser.conftest import Visitor

SENTENCE = "The doctor asked the nurse a question"
GRID = "canvas.all"


def place_of(visitor: Visitor, layer: int, head: int) -> dict[str, float]:
    """Where on the canvas that head is: found by moving there with the keyboard."""
    visitor.page.wait_for_selector(".model-view[data-drawn]")
    canvas = visitor.page.locator(GRID)
    status = visitor.page.locator(".model-view .status")
    canvas.focus()
    canvas.press("ArrowRight")  # whichever is open, something is pointed at now
    for name, wanted, keys in (
        ("Layer", layer, ("ArrowLeft", "ArrowRight")),
        ("Head", head, ("ArrowUp", "ArrowDown")),
    ):
        here = int(re.search(rf"{name} (\d+)", status.inner_text())[1])
        for _ in range(abs(wanted - here)):
            canvas.press(keys[wanted > here])
    assert f"Layer {layer} · Head {head}:" in status.inner_text()
    box = visitor.page.locator(".mark.pointed").bounding_box()
    outer = canvas.bounding_box()
    return {
        "x": box["x"] - outer["x"] + box["width"] / 2,
        "y": box["y"] - outer["y"] + box["height"] / 2,
    }


def test_a_typed_sentence_shows_the_maps_of_that_sentence(visitor: Visitor, smollm2: Any) -> None:
    visitor.open(layer=5, head=4)
    visitor.type(SENTENCE)
    visitor.expect_map(smollm2.trace(SENTENCE).attention(5, 4))
    visitor.address_has(text=SENTENCE)


def test_the_first_head_that_is_shown_is_one_that_explains_itself(
    visitor: Visitor, smollm2: Any
) -> None:
    visitor.open(text=SENTENCE)
    telling = next(one for one in smollm2.trace(SENTENCE).maps() if vizcore.is_telling(one))
    assert (telling.layer, telling.head) != (0, 0)
    visitor.expect_map(smollm2.trace(SENTENCE).attention(telling.layer, telling.head))


def test_a_clicked_head_opens_and_is_in_the_address(visitor: Visitor, smollm2: Any) -> None:
    visitor.open(text=SENTENCE)
    visitor.page.locator(GRID).click(position=place_of(visitor, 4, 2))
    visitor.expect_map(smollm2.trace(SENTENCE).attention(4, 2))
    visitor.address_has(layer=4, head=2, text=SENTENCE)


def test_the_keyboard_alone_opens_a_head(visitor: Visitor, smollm2: Any) -> None:
    visitor.open(text=SENTENCE)
    place_of(visitor, 1, 3)
    visitor.page.keyboard.press("Enter")
    visitor.expect_map(smollm2.trace(SENTENCE).attention(1, 3))
    visitor.address_has(layer=1, head=3)


def test_the_copied_link_brings_back_the_same_picture(
    visitor: Visitor, another_visitor: Callable[..., Visitor], smollm2: Any
) -> None:
    visitor.open(text=SENTENCE)
    visitor.page.locator(GRID).click(position=place_of(visitor, 3, 5))
    visitor.address_has(layer=3, head=5)
    colleague = another_visitor()
    colleague.page.goto(visitor.page.url)
    colleague.settle()
    colleague.expect_map(smollm2.trace(SENTENCE).attention(3, 5))
    status = colleague.page.locator(".model-view .status")
    status.filter(has_text="Layer 3 · Head 5:").wait_for()


def test_reloading_changes_nothing(visitor: Visitor, smollm2: Any) -> None:
    visitor.open(text=SENTENCE, layer=7, head=1, token=2)
    before = visitor.page.url
    visitor.page.reload()
    visitor.settle()
    assert visitor.page.url == before
    visitor.expect_map(smollm2.trace(SENTENCE).attention(7, 1))


def test_back_returns_to_the_page_before_with_what_was_on_it(
    visitor: Visitor, smollm2: Any
) -> None:
    visitor.open(text=SENTENCE)
    visitor.page.locator(GRID).click(position=place_of(visitor, 2, 1))
    visitor.address_has(layer=2, head=1)
    visitor.go("Expect", "Next token")
    visitor.page.wait_for_selector("[data-testid=stDataFrame]")
    visitor.page.go_back()
    visitor.expect_map(smollm2.trace(SENTENCE).attention(2, 1))
    visitor.address_has(layer=2, head=1, text=SENTENCE)


def test_a_clicked_token_highlights_its_row_and_a_second_click_puts_it_back(
    visitor: Visitor, smollm2: Any
) -> None:
    visitor.open(text=SENTENCE, layer=2, head=1)
    click_on_token(visitor, 4)
    visitor.address_has(token=4)
    row = smollm2.trace(SENTENCE).attention(2, 1)[4]
    visitor.page.get_by_text(f"{row.max():.3f}").first.wait_for()
    visitor.page.wait_for_function(  # dimmed above and below, outlined around
        "document.querySelector('.js-plotly-plot').layout.shapes?.length === 3"
    )
    click_on_token(visitor, 4)
    visitor.page.wait_for_function("!location.search.includes('token')")


def test_a_click_on_a_cell_picks_its_row(visitor: Visitor, smollm2: Any) -> None:
    visitor.open(text=SENTENCE, layer=2, head=1)
    n_rows = len(smollm2.encode(SENTENCE))
    x, y = visitor.page.evaluate(
        """([down]) => {
            const plot = document.querySelector(".js-plotly-plot");
            const { left, top } = plot.getBoundingClientRect();
            const { xaxis, yaxis } = plot._fullLayout;
            return [left + xaxis._offset + 5, top + yaxis._offset + yaxis._length * down];
        }""",
        [4.5 / n_rows],
    )
    click(visitor, 4, x, y)
    visitor.address_has(token=4)


def click_on_token(visitor: Visitor, position: int) -> None:
    """Click the label of a query token beside the map."""
    box = visitor.page.locator(".js-plotly-plot .scatterlayer text").nth(position).bounding_box()
    click(visitor, position, box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)


def click(visitor: Visitor, row: int, x: float, y: float) -> None:
    """Come from somewhere else, as a hand does, wait for the map to notice, and click."""
    visitor.page.mouse.move(x, y - 60)
    visitor.page.mouse.move(x, y)
    visitor.page.wait_for_function(
        "(row) => document.querySelector('.js-plotly-plot')._hoverdata?.[0].y === row", arg=row
    )
    visitor.page.mouse.click(x, y)


def test_numbers_that_are_out_of_range_open_the_nearest_head(
    visitor: Visitor, smollm2: Any
) -> None:
    visitor.open(text=SENTENCE, layer=999, head=77, token=4000)
    visitor.expect_map(smollm2.trace(SENTENCE).attention(29, 8))


def test_another_model_shows_its_own_maps(visitor: Visitor, minilm: Any) -> None:
    visitor.open(text=SENTENCE, model="minilm-l6", layer=5, head=11)
    visitor.expect_map(minilm.trace(SENTENCE).attention(5, 11))


@pytest.mark.parametrize(
    "text", ["", "\x00", "word " * 9000], ids=["empty", "NUL", "longer than the context"]
)
def test_a_text_that_cannot_be_run_is_answered_in_words_and_kept(
    visitor: Visitor, text: str
) -> None:
    visitor.open(text=SENTENCE)
    visitor.type(text)
    alert = visitor.page.get_by_test_id("stAlert")
    alert.wait_for()
    assert "The text" in alert.inner_text() or "Character 0 is NUL" in alert.inner_text()
    field = visitor.page.get_by_role("textbox", name="Text", exact=True)
    assert field.input_value() == text


def test_a_model_that_is_not_there_is_answered_in_words(visitor: Visitor) -> None:
    visitor.open(text=SENTENCE, model="./no/such/folder")
    alert = visitor.page.get_by_test_id("stAlert").inner_text()
    assert "There is no folder or file ./no/such/folder. Check the path." in alert


def test_the_head_that_is_open_stays_open_on_another_page_and_back(visitor: Visitor) -> None:
    visitor.open("/", text="The cat sat", layer=3, head=2, token=1)
    visitor.go("Look", "Inside attention")
    visitor.address_has(layer=3, head=2, token=1, text="The cat sat")
    visitor.page.wait_for_selector(".steps-view[data-drawn]")
    assert visitor.page.get_by_role("spinbutton", name="Layer").input_value() == "3"
    visitor.go("Expect", "Next token")
    visitor.address_has(token=1)
    visitor.go("Look", "Attention")
    visitor.address_has(layer=3, head=2, token=1)
