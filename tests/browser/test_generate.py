"""The page Generate, as somebody in front of it sees it."""

from typing import Any

from playwright.sync_api import expect

import vizcore
from tests.browser.conftest import Visitor

TEXT = "I love"


def opened(visitor: Visitor, **scene: object) -> Any:
    """The columns of the page, drawn."""
    visitor.open("/generate", **{"model": "tatoeba-lm", "text": TEXT, "written": 2, **scene})
    view = visitor.page.locator(".alternatives-view[data-drawn]")
    view.wait_for()
    return view


def expect_written(visitor: Visitor, tokens: list[str]) -> None:
    """These tokens stand on top of the columns, and nothing after them yet."""
    tops = visitor.page.locator(".alternatives-view .written:enabled .label")
    expect(tops).to_have_text(tokens, timeout=60_000)


def test_a_token_more_another_instead_and_undo(visitor: Visitor) -> None:
    steps = list(vizcore.generate(vizcore.load("tatoeba-lm"), TEXT, max_new_tokens=3))
    opened(visitor)
    expect_written(visitor, [step.token for step in steps[:2]])
    visitor.page.get_by_role("button", name="Next token").click()
    expect_written(visitor, [step.token for step in steps])
    other = steps[1].alternatives.iloc[1]
    visitor.page.locator(f'.option[data-step="1"][data-id="{other["token_id"]}"]').click()
    visitor.address_has(forced=f"1-{other['token_id']}", written=3)
    forced = vizcore.generate(
        vizcore.load("tatoeba-lm"), TEXT, max_new_tokens=3, forced={1: other["token_id"]}
    )
    expect_written(visitor, [step.token for step in forced])
    assert visitor.page.locator(".alternatives-view .forced").count() == 1
    visitor.page.get_by_role("button", name="Undo", exact=True).click()
    expect_written(visitor, [step.token for step in steps])


def test_the_attention_of_each_token_is_a_click_away(visitor: Visitor) -> None:
    view = opened(visitor, layer=0, head=0)
    view.locator('.written[data-step="0"]').click()
    visitor.address_has(token=0)
    visitor.page.get_by_text("was chosen, the model looked most at").wait_for()
    first = next(vizcore.generate(vizcore.load("tatoeba-lm"), TEXT))
    strip = visitor.page.locator(".tokens-view [aria-pressed=true]")
    strip.and_(visitor.page.get_by_text(first.token, exact=True)).wait_for()


def test_a_point_of_the_tree_writes_up_to_it(visitor: Visitor) -> None:
    visitor.open("/generate", model="tatoeba-lm", text=TEXT, written=0, ahead="tree", beams=2)
    tree = vizcore.beam_tree(vizcore.load("tatoeba-lm"), TEXT, n_beams=2, max_new_tokens=8)
    path = tree.path(tree.best.number)[1:3]
    point = visitor.page.locator(".js-plotly-plot .scatterlayer .point")
    point.first.wait_for()
    kept = [node.number for node in tree.nodes if node.fate != "pruned"]
    point.nth(kept.index(path[-1].number)).click(force=True)
    visitor.address_has(forced=f"0-{path[0].token_id}.1-{path[1].token_id}", written=2)


def test_a_long_text_of_several_scripts_fits_the_page(visitor: Visitor) -> None:
    opened(visitor, text="我爱你 مرحبا <b> 🎉 " * 12, written=20)
    assert visitor.page.evaluate("() => document.documentElement.scrollWidth") <= 1280
