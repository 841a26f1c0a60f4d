"""The pages What matters and Patch, as somebody in front of them sees them."""

import re

from playwright.sync_api import expect

import vizcore
from tests.browser.conftest import Visitor

TEXT = "I love my"


def test_a_head_is_switched_off_and_on_again_and_the_table_follows(visitor: Visitor) -> None:
    visitor.open("/what-matters", model="tatoeba-lm", text=TEXT, layer=1, head=2)
    model = vizcore.load("tatoeba-lm")
    edited = model.trace(TEXT, edits=[vizcore.AblateHead(1, 2)])
    now = vizcore.trace_surprisal(edited)["log_probability"].sum()
    visitor.page.get_by_text("Switch it off").click()
    visitor.address_has(off="1-2")
    visitor.page.get_by_text(f"{now:.2f} nats").wait_for()
    visitor.page.get_by_role("button", name="Layer 1, head 2").click()
    expect(visitor.page.get_by_text("Switch heads off, or cut edges")).to_be_visible()
    assert "off=" not in visitor.page.url


def test_a_cell_of_the_effects_opens_its_head(visitor: Visitor) -> None:
    visitor.open("/what-matters", model="tatoeba-lm", text=TEXT, layer=0, head=0)
    cells = visitor.page.locator(".st-key-effects .js-plotly-plot .draglayer .nsewdrag")
    cells = cells.or_(visitor.page.locator(".js-plotly-plot .nsewdrag")).first
    cells.wait_for()
    box = cells.bounding_box()
    assert box is not None
    visitor.page.mouse.move(box["x"] + 2, box["y"] + box["height"] - 2)
    visitor.page.mouse.click(box["x"] + 3, box["y"] + box["height"] - 3)
    last = vizcore.load("tatoeba-lm").n_layers - 1
    visitor.address_has(layer=last, head=0)
    expect(visitor.page.get_by_text(re.compile(f"^Layer {last}, head 0 looks at"))).to_be_visible()


def test_an_edge_is_cut_with_a_click(visitor: Visitor) -> None:
    visitor.open("/what-matters", model="tatoeba-lm", text=TEXT, layer=1, head=0)
    visitor.page.get_by_text("Edges", exact=True).click()
    visitor.page.locator('.tokens-view[data-drawn] button[data-position="1"]').click()
    visitor.address_has(cut="1-0-3-1")
    visitor.page.get_by_role("button", name="1.0: ·my → ·I").wait_for()


def test_a_patch_is_told_and_another_cell_is_a_click_away(visitor: Visitor) -> None:
    scene = {"clean": "I love my", "corrupted": "You love my"}
    visitor.open("/patch", model="tatoeba-lm", **scene, layer=0, token=1)
    table = vizcore.patching_effects(vizcore.load("tatoeba-lm"), *scene.values())
    row = table.query("layer == 0 and position == 1").iloc[0]
    visitor.page.get_by_text(f"{row['effect']:+.2f}").first.wait_for()
    visitor.page.get_by_text("A head's output").click()
    visitor.address_has(patched="head")
    assert visitor.page.evaluate("() => document.documentElement.scrollWidth") <= 1280
