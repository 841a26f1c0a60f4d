"""The page Training, as somebody in front of it sees it."""

from pathlib import Path
from typing import Any

import pytest

import vizcore
from app.app_pages.training import REPEATS
from tests.browser.conftest import Visitor
from tests.support.trained import METRICS, STEPS, trained_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny decoder that was trained."""
    return trained_folder(tmp_path_factory.mktemp("trained") / "tiny-lm")


def opened(visitor: Visitor, **scene: object) -> Any:
    """The view on the page, drawn."""
    visitor.open("/training", **scene)
    view = visitor.page.locator(".training-view[data-drawn]")
    view.wait_for()
    return view


def step(view: Any) -> str:
    """The step that it shows."""
    return str(view.locator("output.step").inner_text())


def test_the_demonstration_shows_the_stripe_and_what_it_is_good_for(visitor: Visitor) -> None:
    view = opened(visitor)
    record = vizcore.training_record("induction")
    frames = vizcore.playback(record, REPEATS)
    layer, head = vizcore.head_to_watch(frames)
    assert step(view) == f"step {record.snapshots[-1]:,} of {record.snapshots[-1]:,}"
    said = view.locator(".model-view .status")
    assert said.inner_text().startswith(f"Layer {layer} · Head {head}")
    assert view.locator(".tokens-view button").all_inner_texts() == list(frames[-1].tokens)
    legends = [" ".join(text.split()) for text in view.locator(".legend b").all_inner_texts()]
    assert f"{frames[-1].log_likelihood:.1f}" in legends
    box = view.bounding_box()
    assert box["y"] + box["height"] <= 720


def test_a_snapshot_goes_into_the_address_and_comes_back(visitor: Visitor, folder: Path) -> None:
    view = opened(visitor, model=folder, text="the cat sat on", token=1, layer=2, head=3)
    assert step(view) == "step 160 of 160"
    view.locator(".when").focus()
    visitor.page.keyboard.press("ArrowLeft")
    visitor.address_has(snapshot=STEPS[-2], token=1, layer=2, head=3)
    visitor.page.reload()
    visitor.settle()
    view.wait_for()
    assert step(view) == "step 40 of 160"
    legend = " ".join(view.locator(".chart .legend").first.inner_text().split())
    row = METRICS.splitlines()[3].split(",")
    assert legend == f"training {float(row[5]):.2f} validation {float(row[6]):.2f} gap 0.63"


def test_predictions_of_a_snapshot_are_those_of_its_model(visitor: Visitor, folder: Path) -> None:
    view = opened(visitor, model=folder, text="the cat sat on", snapshot=10, token=1)
    trace = vizcore.training_record(folder).snapshot(10).trace("the cat sat on")
    expected = trace.next_tokens(1, 5)
    labels = view.locator(".expected .row:not(.later) .label").all_inner_texts()
    assert labels == expected["token"].tolist()
    surprisal = vizcore.trace_surprisal(trace)
    rank = surprisal["rank"][2]
    assert f"comes: #{rank}" in view.locator(".expected .title").inner_text()


def test_playing_goes_on_by_itself_and_ends_in_the_address(visitor: Visitor, folder: Path) -> None:
    view = opened(visitor, model=folder, text="the cat sat on", snapshot=10)
    view.get_by_role("button", name="Play").click()
    assert step(view) == "step 40 of 160"
    visitor.address_has(snapshot=160)
    view.get_by_role("button", name="Play").wait_for()
    assert step(view) == "step 160 of 160"


def test_another_text_is_run_through_all_snapshots(visitor: Visitor, folder: Path) -> None:
    view = opened(visitor, model=folder, text="the cat sat on")
    field = visitor.page.get_by_label("Text that every snapshot reads")
    field.fill("nobody saw")
    field.press("Enter")
    visitor.address_has(sample="nobody saw")
    tokens = vizcore.load(folder).trace("nobody saw").tokens
    view.locator(".tokens-view button", has_text="nobody").wait_for()
    assert view.locator(".tokens-view button").all_inner_texts() == tokens


def test_the_table_names_every_training(visitor: Visitor, folder: Path) -> None:
    opened(visitor, model=folder, text="the cat sat on")
    assert visitor.page.get_by_test_id("stDataFrame").count() == 1
