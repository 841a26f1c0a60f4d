"""The training view: what its data say, and what a reader plays, slides and picks in Chromium."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.views.synthetic import attention_maps
from vizcore.errors import SelectionError, ShapeError
from vizcore.maps import AttentionMap
from vizcore.views.training_view import MAX_POINTS, training_view

STEPS = (0, 1, 2, 4, 8, 100)
TOKENS = ("<s>", "<b>", "·c", "d")
LOSSES = pd.DataFrame(
    {"training": [5.0, 4.0, 3.0, 1.0], "validation": [5.5, 4.5, math.nan, 2.25]},
    index=[0, 2, 8, 100],
)
SCORE = pd.DataFrame({"score": [0.0, 0.5, 1.0]}, index=[0, 8, 100])


@dataclass(frozen=True)
class Made:
    """A frame made up."""

    step: int
    tokens: Sequence[str]
    maps: Sequence[AttentionMap]
    expected: Sequence[pd.DataFrame]
    surprisal: pd.DataFrame | None


def made(step: int, *, seed: int = 0) -> Made:
    """A frame in which d becomes likelier with the step, and the maps are others each time."""
    share = 0.1 + step / 200
    surprisal = pd.DataFrame(
        {
            "log_probability": [math.nan, math.log(0.5), math.log(0.25), math.log(share)],
            "surprisal": [math.nan, 1.0, 2.0, -math.log2(share)],
            "rank": pd.array([pd.NA, 1, 2, 3 if step < 50 else 1], "Int64"),
        }
    )
    expected = pd.DataFrame({"token": ["d", "x"], "probability": [share, 0.05]})
    others = pd.DataFrame({"token": ["x", "y"], "probability": [0.6, 0.3]})
    return Made(
        step, TOKENS, list(attention_maps(2, 2, 4, seed=step)), [others, others, expected, others],
        surprisal,
    )  # fmt: skip


FRAMES = [made(step) for step in STEPS]


def data_of(*arguments: Any, **settings: Any) -> Any:
    """What the view's module gets."""
    return training_view(*arguments, **settings).data


def test_a_chart_has_its_lines_and_no_number_where_nothing_was_measured() -> None:
    data = data_of(FRAMES, {"Loss": LOSSES}, units={"Loss": "nats"}, gaps={"Loss": "gap"})
    (chart,) = data["charts"]
    assert (chart["title"], chart["unit"], chart["gap"]) == ("Loss", "nats", "gap")
    assert [line["name"] for line in chart["lines"]] == ["training", "validation"]
    assert chart["lines"][1] == {
        "name": "validation",
        "steps": [0, 2, 8, 100],
        "values": [5.5, 4.5, None, 2.25],
    }


def test_a_long_line_is_thinned_but_keeps_its_ends() -> None:
    table = pd.DataFrame({"loss": range(5000, 0, -1)}, index=range(5000), dtype=float)
    line = data_of([], {"Loss": table})["charts"][0]["lines"][0]
    assert len(line["steps"]) == len(line["values"]) == MAX_POINTS
    assert (line["steps"][0], line["steps"][-1], line["values"][-1]) == (0, 4999, 1.0)


def test_each_frame_says_what_was_expected_and_what_came() -> None:
    first, last = (data_of(FRAMES, {})["frames"][at] for at in (0, -1))
    assert (first["step"], last["step"]) == (0, 100)
    assert first["expected"][2] == [["d", 0.1], ["x", 0.05]]
    assert first["following"] == [["<b>", 0.5, 1], ["·c", 0.25, 2], ["d", 0.1, 3], None]
    assert last["following"][2] == ["d", 0.6, 1]
    assert first["places"] == [None, round(1 / 12, 3), round(2 / 12, 3), 0.277]
    assert first["details"][:2] == ["nothing stands before it", "1.00 bits of surprise, rank 1"]


def test_without_scores_or_predictions_there_are_none() -> None:
    bare = [replace(frame, surprisal=None, expected=()) for frame in FRAMES]
    frame = data_of(bare, {})["frames"][0]
    assert (frame["expected"], frame["following"]) == ([], [None] * 4)
    assert frame["places"] == [None] * 4


def test_what_is_no_number_becomes_none_that_json_has_no_word_for() -> None:
    broken = made(1)
    broken.surprisal.loc[3, ["log_probability", "surprisal"]] = math.inf
    broken.expected[2].loc[0, "probability"] = math.nan
    frame = data_of([broken], {})["frames"][0]
    assert frame["expected"][2][0] == ["d", 0.0]
    assert frame["places"][3] == 1.0


def test_the_axis_of_steps_is_logarithmic_where_the_snapshots_are() -> None:
    assert data_of(FRAMES, {})["logSteps"] is True
    evenly = [made(step) for step in (0, 10, 20, 30)]
    assert data_of(evenly, {})["logSteps"] is False
    assert data_of(evenly, {}, log_steps=True)["logSteps"] is True
    assert data_of([], {"Loss": LOSSES})["logSteps"] is False


def test_what_is_selected_does_not_make_it_another_picture() -> None:
    one, other = (data_of(FRAMES, {}, step=step, token=1, head=(0, 1)) for step in (0, 4))
    assert one["identity"] == other["identity"] != data_of(FRAMES[:2], {})["identity"]


def test_nothing_at_all_cannot_be_shown() -> None:
    with pytest.raises(SelectionError) as caught:
        training_view([], {})
    assert str(caught.value) == "There is nothing to show: give at least one frame or one chart."


def test_frames_of_different_texts_are_refused() -> None:
    with pytest.raises(ShapeError) as caught:
        training_view([made(0), replace(made(7), tokens=("a", "b", "c", "d"))], {})
    assert str(caught.value) == (
        "The frame of step 7 has other tokens than that of step 0: all frames must be of the same "
        "text."
    )


@pytest.fixture
def opened(quiet_page: Any, tmp_path: Path) -> Any:
    """A page with the view at step 4, with the network cut off; `picked` is what it reported."""
    quiet_page.route("http*://**", lambda route: route.abort())
    shown = training_view(
        FRAMES, {"Loss": LOSSES, "Score": SCORE}, gaps={"Loss": "gap"}, step=4, token=2, head=(1, 0)
    )
    file = tmp_path / "page.html"
    file.write_text(shown.to_html(), "utf-8")
    quiet_page.goto(file.as_uri())
    quiet_page.evaluate(
        "window.picked = []; document.addEventListener('headlight-select',"
        " (event) => event.detail.step !== undefined && picked.push(event.detail))"
    )
    quiet_page.wait_for_selector(".training-view[data-drawn]")
    quiet_page.wait_for_selector(".model-view[data-drawn]")
    return quiet_page


def step_of(page: Any) -> str:
    """The step that is shown."""
    return str(page.locator(".training-view output").inner_text())


def legend(page: Any, chart: int) -> str:
    """What the legend of a chart tells."""
    return " ".join(page.locator(".chart .legend").nth(chart).inner_text().split())


def comes(page: Any) -> str:
    """What is told about the token that comes."""
    return " ".join(page.locator(".expected .row.comes").inner_text().split())


@pytest.mark.browser
def test_all_parts_show_the_same_snapshot(opened: Any) -> None:
    assert step_of(opened) == "step 4 of 100"
    assert legend(opened, 0) == "training 4.00 validation 4.50 gap 0.50"  # nearest: step 2
    assert comes(opened) == "d 12.0 %"
    assert "·c" in opened.locator(".expected .title").inner_text()
    assert opened.locator(".tokens-view button").all_inner_texts() == list(TOKENS)
    assert opened.locator(".model-view .status").inner_text().startswith("Layer 1 · Head 0")
    assert opened.evaluate("picked") == []


@pytest.mark.browser
def test_the_slider_moves_everything_and_reports_when_let_go(opened: Any) -> None:
    before = opened.locator("canvas.one").screenshot()
    opened.locator(".when").focus()
    opened.keyboard.press("End")
    assert step_of(opened) == "step 100 of 100"
    assert legend(opened, 0) == "training 1.00 validation 2.25 gap 1.25"
    assert legend(opened, 1) == "score 1.00"
    assert comes(opened) == "d 60.0 %"
    assert "d⁩ comes: #1" in opened.locator(".expected .title").inner_text()
    assert opened.evaluate("picked") == [{"step": 100, "token": 2, "layer": 1, "head": 0}]
    opened.wait_for_timeout(100)
    assert opened.locator("canvas.one").screenshot() != before


@pytest.mark.browser
def test_playing_shows_every_snapshot_and_stops_at_the_last(opened: Any) -> None:
    opened.clock.install()
    opened.locator(".when").focus()
    opened.keyboard.press("Home")
    opened.locator(".play").click()
    seen = [step_of(opened)]
    assert opened.locator(".play").inner_text() == "❚❚ Pause"
    for _ in range(4):
        opened.clock.run_for(900)
        seen.append(step_of(opened))
    assert seen == [f"step {step} of 100" for step in STEPS[1:]]
    assert opened.locator(".play").inner_text() == "▶ Play"
    assert [one["step"] for one in opened.evaluate("picked")] == [0, 100]
    opened.locator(".play").click()  # again, from the beginning
    assert step_of(opened) == "step 0 of 100"
    opened.clock.run_for(900)
    opened.locator(".play").click()
    opened.clock.run_for(5000)
    assert step_of(opened) == "step 1 of 100"
    assert opened.evaluate("picked").pop()["step"] == 1


@pytest.mark.browser
def test_a_click_in_a_curve_goes_to_the_nearest_snapshot(opened: Any) -> None:
    box = opened.locator(".plot").first.bounding_box()
    opened.mouse.click(box["x"] + box["width"] - 12, box["y"] + 20)
    assert step_of(opened) == "step 100 of 100"
    opened.mouse.click(box["x"] + 41, box["y"] + 20)
    assert step_of(opened) == "step 0 of 100"


@pytest.mark.browser
def test_pointing_at_a_curve_tells_its_values_there(opened: Any) -> None:
    box = opened.locator(".plot").first.bounding_box()
    opened.mouse.move(box["x"] + box["width"] - 12, box["y"] + 20)
    assert legend(opened, 1) == "score 1.00"
    assert step_of(opened) == "step 4 of 100"
    opened.mouse.move(2, 2)
    assert legend(opened, 1) == "score 0.00"  # of step 0, the nearer one of those measured


@pytest.mark.browser
def test_a_token_and_a_head_can_be_picked(opened: Any) -> None:
    opened.locator(".tokens-view button").nth(0).click()
    assert comes(opened) == "<b> 50.0 %"
    assert opened.locator(".expected .later").count() == 1
    opened.locator("canvas.all").focus()
    opened.keyboard.press("ArrowDown")  # either of them leads to another head of the layer
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press("Enter")
    assert opened.evaluate("picked").pop()["token"] == 0
    assert len({(one["layer"], one["head"]) for one in opened.evaluate("picked")}) == 2


@pytest.mark.browser
def test_curves_alone_have_no_player(quiet_page: Any, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(training_view([], {"Loss": LOSSES}).to_html(), "utf-8")
    quiet_page.goto(file.as_uri())
    quiet_page.wait_for_selector(".training-view[data-drawn]")
    assert not quiet_page.locator(".play").is_visible()
    assert legend(quiet_page, 0) == "training 1.00 validation 2.25"


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_used_by_everybody(browser: Any, tmp_path: Path, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = browser.new_context(color_scheme=scheme).new_page()
    file = tmp_path / "page.html"
    shown = training_view(FRAMES, {"Loss": LOSSES}, gaps={"Loss": "gap"}, token=1)
    file.write_text(shown.to_html(), "utf-8")
    page.goto(file.as_uri())
    page.wait_for_selector(".training-view[data-drawn]")
    found = Axe().run(page).response["violations"]
    page.context.close()
    assert not [(one["id"], one["nodes"][0]["html"]) for one in found]
