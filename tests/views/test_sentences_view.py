"""Sentences side by side: what the data of their view say, and what is seen and picked."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from vizcore.errors import SelectionError
from vizcore.views.page import View
from vizcore.views.sentence_figures import MOST_LABELS, sentence_curves
from vizcore.views.sentences_view import sentences_view

TEXTS = [["<s>", "The", "<b>"], ["<s>", "A", "مرحبا", "$x$"]]
COLUMNS = [[0, 1, 3], [0, 1, 2, 3]]
BITS = [[math.nan, 2.0, 30.0], [math.nan, 4.0, 1.0, 0.5]]


def parts() -> pd.DataFrame:
    """Two sentences that part at once."""
    rows = []
    for line, texts in enumerate(TEXTS):
        total = 0.0
        for part, text in enumerate(texts):
            bits = BITS[line][part]
            total -= 0 if math.isnan(bits) else bits * math.log(2)
            rows.append(
                {
                    "line": line,
                    "part": part,
                    "text": text,
                    "column": COLUMNS[line][part],
                    "special": part == 0,
                    "surprisal": bits,
                    "cumulative": total,
                }
            )
    return pd.DataFrame(rows)


def lines(*models: str) -> pd.DataFrame:
    """Their totals."""
    totals = [-32 * math.log(2), -5.5 * math.log(2)]
    return pd.DataFrame(
        {
            "line": [0, 1],
            "sentence": ["The <b>", "A مرحبا $x$"],
            "model": models or ("m", "m"),
            "log_likelihood": totals,
            "per_token": [math.nan, totals[1] / 3],
        }
    )


def view(**settings: Any) -> View:
    return sentences_view(parts(), lines(), parting=1, **settings)


def test_each_line_says_how_far_it_is_behind_the_likeliest() -> None:
    data: Any = view().data
    assert [line["behind"] for line in data["lines"]] == [
        pytest.approx(-26.5 * math.log(2), 1e-5),
        0,
    ]
    assert data["nColumns"] == 4
    assert [part["bits"] for part in data["lines"][0]["parts"]] == [None, 2, 30]


def test_lines_name_their_model_only_where_there_are_several() -> None:
    data: Any = view().data
    assert {line["model"] for line in data["lines"]} == {""}
    data = sentences_view(parts(), lines("one", "other")).data
    assert [line["model"] for line in data["lines"]] == ["one", "other"]
    assert [line["behind"] for line in data["lines"]] == [0, 0]  # each is its model's likeliest


def test_another_measure_ranks_them_and_what_it_does_not_know_is_not_scored() -> None:
    data: Any = view(measure="per_token").data
    assert [line["total"] is None for line in data["lines"]] == [True, False]


def test_no_sentence_or_a_measure_that_is_not_there_is_refused() -> None:
    with pytest.raises(SelectionError) as caught:
        sentences_view(parts(), lines(), measure="x")
    assert str(caught.value) == (
        "There is no 'x' of 2 sentences: give at least one sentence, and a column of line, "
        "sentence, model, log_likelihood, per_token."
    )
    with pytest.raises(SelectionError) as caught:
        sentence_curves(parts(), lines()[:0])
    assert str(caught.value) == "There is no sentence to draw a curve of: give at least one."


def test_a_curve_goes_through_what_each_part_adds() -> None:
    figure = sentence_curves(parts(), lines(), parting=1).figure
    first, second = figure.data
    assert list(first.x) == [0, 1, 3]
    assert list(second.y) == parts()["cumulative"].tolist()[3:]
    assert figure.layout.xaxis.ticktext[1].strip("\u2068\u2069") == "The / A"
    assert first.line.color != second.line.color
    assert figure.layout.shapes[0].x0 == 1


def test_many_parts_are_not_written_along_the_axis() -> None:
    many = pd.concat([parts().assign(column=range(7)), parts().assign(column=MOST_LABELS)])
    assert sentence_curves(many, lines()).figure.layout.xaxis.showticklabels is False


@pytest.fixture
def opened(quiet_page: Any, tmp_path: Path) -> Any:
    """The page, with the network cut off."""
    quiet_page.route("http*://**", lambda route: route.abort())
    file = tmp_path / "page.html"
    file.write_text(view(selected=(1, 1)).to_html(), "utf-8")
    quiet_page.goto(file.as_uri())
    quiet_page.wait_for_selector(".sentences-view[data-drawn]")
    return quiet_page


@pytest.mark.browser
def test_equal_parts_stand_in_one_column_and_different_ones_are_marked(opened: Any) -> None:
    def left(line: int, part: int) -> float:
        button = opened.locator(f'button[data-line="{line}"][data-part="{part}"]')
        return float(button.bounding_box()["x"])

    assert left(0, 0) == left(1, 0)
    assert left(0, 1) == left(1, 1)
    assert left(0, 2) == left(1, 3)
    marked = opened.locator(".sentences-view .apart .label").all_inner_texts()
    assert marked == ["The", "<b>", "A", "مرحبا", "$x$"]
    assert opened.locator(".parting").inner_text() == "they part here"
    assert opened.locator(".head").all_inner_texts() == ["−22.18\n−18.37 nats", "−3.81\nlikeliest"]


@pytest.mark.browser
def test_bars_are_as_tall_as_the_surprise_and_cut_where_it_is_too_much(opened: Any) -> None:
    bars = opened.locator(".sentences-view .bar")
    heights = [bars.nth(number).bounding_box()["height"] for number in range(bars.count())]
    cut, two, four = heights[1], heights[0], heights[2]
    assert four == pytest.approx(2 * two, abs=0.5)
    assert cut == pytest.approx(10 * two, abs=1)  # of 30 bits, 20 are shown
    assert "cut" in bars.nth(1).get_attribute("class")


@pytest.mark.browser
def test_pointing_tells_and_leaving_returns_to_the_picked_one(opened: Any) -> None:
    status = opened.locator(".sentences-view .status")
    assert status.inner_text() == (
        "\u2068A\u2069: 4.00 bits of surprise, probability 6.25 %; so far −2.77 nats"
    )
    opened.locator(".part.special").first.hover()
    assert "nothing stands before it" in status.inner_text()
    opened.mouse.move(1, 1)
    assert "4.00 bits" in status.inner_text()


@pytest.mark.browser
def test_the_keyboard_moves_along_a_line_and_between_lines_and_picks(
    quiet_page: Any, tmp_path: Path
) -> None:
    file = tmp_path / "page.html"
    file.write_text(view(selected=(0, 2)).to_html(), "utf-8")
    quiet_page.goto(file.as_uri())
    quiet_page.wait_for_selector(".sentences-view[data-drawn]")
    here = quiet_page.locator('button[data-line="0"][data-part="2"]')
    here.focus()
    for key, place in [("ArrowDown", "1 3"), ("ArrowLeft", "1 2"), ("ArrowUp", "0 1")]:
        quiet_page.keyboard.press(key)
        focused = quiet_page.evaluate(
            "() => { const at = document.querySelector('[id^=headlight]').shadowRoot.activeElement;"
            " return `${at.dataset.line} ${at.dataset.part}`; }"
        )
        assert focused == place
