"""The alternatives view: what its data say, and what a reader forces, undoes and copies."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from vizcore.errors import SelectionError
from vizcore.views.alternatives_view import alternatives_view

WRITTEN = pd.DataFrame(
    {
        "step": [0, 1, 2],
        "token": ["我", "<b>", "</s>"],
        "token_id": [5, 9, 2],
        "probability": [0.75, 0.0004, 0.5],
        "log_probability": [-0.2877, -7.824, -0.6931],
        "rank": [1, 1234, 1],
    }
)
OPTIONS = pd.DataFrame(
    [
        (0, "我", 5, 0.75, -0.2877, 1, True),
        (0, "我", 6, 0.125, -2.0794, 2, False),  # looks the same, but is another token
        (1, "们", 7, 0.9, -0.1054, 1, False),
        (1, "x", 8, 0.055, -2.9004, 2, False),
        (2, "</s>", 2, 0.5, -0.6931, 1, True),
        (2, "y", 3, 0.25, -1.3863, 2, False),
    ],
    columns=["step", "token", "token_id", "probability", "log_probability", "rank", "is_written"],
)
NEXT = pd.DataFrame([(3, "z", 4, 1.0, 0.0, 1, False)], columns=OPTIONS.columns)


def columns(**settings: Any) -> Any:
    """The columns that the view's module gets."""
    return alternatives_view(WRITTEN, OPTIONS, **settings).data["columns"]


def test_a_column_holds_what_was_written_and_what_could_have_been() -> None:
    column = columns(forced=[1], special=[2])[1]
    assert column["written"] == {
        "token": "<b>",
        "id": 9,
        "probability": 0.0004,
        "nats": -7.82,
        "rank": 1234,
    }
    assert [option["id"] for option in column["options"]] == [7, 8]
    assert [one["forced"] for one in columns(forced=[1])] == [False, True, False]
    assert [one["special"] for one in columns(special=[2])] == [False, False, True]


def test_what_would_come_next_was_not_written() -> None:
    data: Any = alternatives_view(WRITTEN, pd.concat([OPTIONS, NEXT])).data
    assert data["columns"][3]["written"] is None
    assert [option["token"] for option in data["columns"][3]["options"]] == ["z"]


@pytest.mark.parametrize("steps", [WRITTEN, WRITTEN.iloc[:0]])
def test_each_step_needs_alternatives(steps: pd.DataFrame) -> None:
    with pytest.raises(SelectionError) as caught:
        alternatives_view(steps, OPTIONS.iloc[:0])
    assert str(caught.value) == (
        f"There are {len(steps)} steps, and alternatives for 0: each step needs at least one."
    )


@pytest.fixture
def opened(quiet_page: Any, tmp_path: Path) -> Any:
    """A page with the view, with the network cut off; `picked` is what it reported."""
    quiet_page.route("http*://**", lambda route: route.abort())
    shown = alternatives_view(
        WRITTEN,
        pd.concat([OPTIONS, NEXT]),
        text="我<b>",
        note="-8.80 nats",
        forced=[1],
        special=[2],
        selected=0,
    )
    file = tmp_path / "page.html"
    file.write_text(shown.to_html(), "utf-8")
    quiet_page.goto(file.as_uri())
    quiet_page.evaluate(
        "window.picked = []; document.addEventListener('headlight-select',"
        " (event) => picked.push(event.detail))"
    )
    quiet_page.wait_for_selector(".alternatives-view[data-drawn]")
    return quiet_page


def column(page: Any, step: int) -> Any:
    """The column of a step."""
    return page.locator(".alternatives-view .column").nth(step)


@pytest.mark.browser
def test_everything_is_there_to_read(opened: Any) -> None:
    assert opened.locator(".all").inner_text() == "我<b>"
    assert opened.locator(".note").inner_text() == "-8.80 nats"
    tops = opened.locator(".written").all_inner_texts()
    assert [top.split("\n") for top in tops] == [
        ["我", "75 % · #1"],
        ["<b>", "< 0.1 % · #1,234"],
        ["</s>", "50 % · #1"],
        ["…"],
    ]
    options = [" ".join(text.split()) for text in opened.locator(".option").all_inner_texts()]
    assert options[:4] == ["我 75 %", "我 13 %", "们 90 %", "x 5.5 %"]


@pytest.mark.browser
def test_only_the_token_that_was_written_is_marked_though_another_looks_the_same(
    opened: Any,
) -> None:
    assert column(opened, 0).locator(".option.taken").count() == 1
    assert column(opened, 0).locator(".option").nth(0).get_attribute("data-id") == "5"
    assert column(opened, 1).locator(".option.taken").count() == 0


@pytest.mark.browser
def test_a_click_forces_undoes_or_looks(opened: Any) -> None:
    column(opened, 0).locator(".option").nth(1).click()
    column(opened, 1).locator(".free").click()
    column(opened, 2).locator(".written").click()
    column(opened, 2).locator(".option").nth(0).click()
    assert opened.evaluate("picked") == [
        {"action": "force", "step": 0, "token_id": 6},
        {"action": "free", "step": 1, "token_id": -1},
        {"action": "look", "step": 2, "token_id": 2},
        {"action": "look", "step": 2, "token_id": 2},
    ]
    assert opened.locator(".free").count() == 1
    assert column(opened, 3).locator(".written").is_disabled()


@pytest.mark.browser
def test_the_keyboard_moves_among_the_alternatives(opened: Any) -> None:
    assert opened.locator(".columns button[tabindex='0']").count() == 1
    opened.locator(".columns button[tabindex='0']").focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "Enter"):
        opened.keyboard.press(key)
    assert opened.evaluate("picked") == [{"action": "force", "step": 0, "token_id": 6}]
    assert opened.locator(".columns button[tabindex='0']").count() == 1


@pytest.mark.browser
def test_pointing_tells_in_words(opened: Any) -> None:
    status = opened.locator(".status")
    assert status.inner_text().startswith("Click on an alternative")
    told = {
        (0, ".option >> nth=1"): "我: probability 13 %, rank 2, -2.08 nats. Click to write it",
        (1, ".written"): "<b> was forced: probability < 0.1 %, rank 1,234, -7.82 nats",
        (2, ".written"): "</s> was written: probability 50 %, rank 1, -0.69 nats",
    }
    for (step, place), words in told.items():
        column(opened, step).locator(place).hover()
        assert status.inner_text().replace("\u2068", "").replace("\u2069", "") == words


@pytest.mark.browser
def test_the_text_can_be_copied(opened: Any) -> None:
    opened.evaluate(
        "Object.defineProperty(navigator, 'clipboard',"
        " { value: { writeText: async (text) => { window.copied = text } } })"
    )
    opened.locator(".copy").click()
    opened.wait_for_function("window.copied === '我<b>'")
    assert opened.locator(".copy").inner_text() == "Copied"


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_used_by_everybody(browser: Any, tmp_path: Path, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = browser.new_context(color_scheme=scheme).new_page()
    file = tmp_path / "page.html"
    shown = alternatives_view(WRITTEN, OPTIONS, text="a", note="b", forced=[1], selected=0)
    file.write_text(shown.to_html(), "utf-8")
    page.goto(file.as_uri())
    page.wait_for_selector(".alternatives-view[data-drawn]")
    found = Axe().run(page).response["violations"]
    page.context.close()
    assert not [(one["id"], one["nodes"][0]["html"]) for one in found]
