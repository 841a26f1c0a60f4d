"""The pages Rescore and Benchmarks, as somebody in front of them sees them."""

from playwright.sync_api import expect

import vizcore
from tests.browser.conftest import Visitor

LM = "tatoeba-lm"


def test_the_winner_changes_with_the_weight(visitor: Visitor) -> None:
    nbest = "I love you. | -2\nI love stew. | -1"
    visitor.open("/rescore", model=LM, lists="own", nbest=nbest, weight=0)
    (one,) = vizcore.rescore(vizcore.load(LM), vizcore.parse_nbest(nbest.replace(" | ", "\t"), "x"))
    said = visitor.page.get_by_text("At weight 0.00")
    expect(said).to_contain_text("“I love stew.” wins")
    slider = visitor.page.get_by_role("slider", name="Weight of the language model")
    slider.press("End")
    visitor.address_has(weight=100)
    best = one.table(1)["hypothesis"][0]
    expect(visitor.page.get_by_text("At weight 1.00")).to_contain_text(f"“{best}” wins")


def test_a_file_is_run_in_the_background_and_its_items_are_shown(visitor: Visitor) -> None:
    visitor.open("/benchmarks", model=LM, asked="files")
    rows = "".join(
        f'{{"good": "I love {thing}.", "bad": "I {thing} love."}}\n' for thing in ("you", "cats")
    )
    visitor.page.locator("input[type=file]").first.set_input_files(
        {"name": "mine.jsonl", "mimeType": "text/plain", "buffer": rows.encode()}
    )
    run = visitor.page.get_by_role("button", name="Run", exact=True)
    done = visitor.page.get_by_text("of 2 right")
    run.or_(done).first.wait_for()
    if run.is_visible():  # else it was kept from an earlier time
        run.click()
    done.wait_for()
    visitor.page.locator(".sentences-view[data-drawn]").wait_for()
    expect(visitor.page.get_by_text("Items of all")).to_be_visible()
