"""The page Translate, as somebody in front of it sees it."""

from pathlib import Path
from typing import Any

import pytest

import vizcore
from tests.browser.conftest import Visitor
from tests.support.tiny import save, tiny_network

SOURCE = "the cat sat"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random encoder-decoder, which has room for twenty tokens."""
    network = tiny_network("bart", seed=3, max_position_embeddings=20)
    return save(network, tmp_path_factory.mktemp("bart") / "tiny")


@pytest.fixture(scope="module")
def model(folder: Path) -> vizcore.Model:
    """The same, loaded."""
    return vizcore.load(folder)


def column(visitor: Visitor, step: int) -> Any:
    """The column of a step."""
    return visitor.page.locator(".alternatives-view .column").nth(step)


def expect(visitor: Visitor, translation: vizcore.Translation) -> None:
    """The page shows what was written, and where it looked."""
    visitor.page.wait_for_function(
        """(tokens) => {
            const root = [...document.querySelectorAll("*")].map((el) => el.shadowRoot ?? el)
                .find((el) => el.querySelector?.(".alternatives-view[data-drawn]"));
            const shown = [...(root?.querySelectorAll(".written .label") ?? [])];
            return JSON.stringify(shown.map((el) => el.textContent)) === JSON.stringify(tokens);
        }""",
        arg=translation.steps["token"].tolist(),
    )
    visitor.expect_map(translation.alignment().values)


def test_an_alternative_that_is_clicked_is_written_and_the_rest_changes(
    visitor: Visitor, folder: Path, model: vizcore.Model
) -> None:
    free = vizcore.translate(model, SOURCE)
    visitor.open("/translate", model=folder, text=SOURCE)
    expect(visitor, free)
    column(visitor, 1).locator(".option").nth(2).click()
    other = int(free.alternatives.query("step == 1")["token_id"].iloc[2])
    beginning = free.beginning(1, other)
    visitor.address_has(prefix=".".join(map(str, beginning)))
    expect(visitor, vizcore.translate(model, SOURCE, prefix=beginning))
    visitor.page.reload()
    visitor.settle()
    expect(visitor, vizcore.translate(model, SOURCE, prefix=beginning))
    column(visitor, 1).locator(".free").click()
    expect(visitor, free)


def test_another_text_is_translated_from_its_beginning(
    visitor: Visitor, folder: Path, model: vizcore.Model
) -> None:
    free = vizcore.translate(model, SOURCE)
    beginning = free.beginning(0, 77)
    visitor.open(
        "/translate", model=folder, text=SOURCE, prefix=".".join(map(str, beginning)), token=1
    )
    expect(visitor, vizcore.translate(model, SOURCE, prefix=beginning))
    visitor.type("a door is a cat")
    expect(visitor, vizcore.translate(model, "a door is a cat"))


def test_a_target_of_ones_own_is_scored_and_can_be_gone_on_from(
    visitor: Visitor, folder: Path, model: vizcore.Model
) -> None:
    visitor.open("/translate", model=folder, text=SOURCE)
    field = visitor.page.get_by_label("Target (the decoder reads it)")
    field.fill("the door")
    field.press("Enter")
    own = vizcore.translate(model, SOURCE, target="the door")
    expect(visitor, own)
    note = visitor.page.locator(".alternatives-view .note").inner_text()
    assert note.startswith(f"log P(target | source) = {own.log_likelihood:.2f} nats")
    other = int(own.alternatives.query("step == 1 and not is_written")["token_id"].iloc[0])
    column(visitor, 1).locator(f".option[data-id='{other}']").click()
    expect(visitor, vizcore.translate(model, SOURCE, prefix=own.beginning(1, other)))
    assert field.input_value() == ""


def test_a_written_token_marks_its_row_and_back(visitor: Visitor, folder: Path) -> None:
    visitor.open("/translate", model=folder, text=SOURCE)
    column(visitor, 2).locator(".written").click()
    visitor.address_has(token=2)
    pressed = visitor.page.locator(".alternatives-view .written[aria-pressed='true']")
    pressed.wait_for()
    visitor.page.get_by_text("most at").wait_for()
    pressed.click()
    pressed.wait_for(state="detached")


def test_the_whole_result_fits_on_a_projector(visitor: Visitor, folder: Path) -> None:
    visitor.open("/translate", model=folder, text=SOURCE, target="a cat on the door")
    status = visitor.page.locator(".alternatives-view .status")
    status.wait_for()
    assert status.bounding_box()["y"] < 720
