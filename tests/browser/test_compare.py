"""The page Compare, as somebody in front of it sees it."""

from typing import Any

import vizcore
from tests.browser.conftest import Visitor

SENTENCES = ["They are here.", "They is here."]


def opened(visitor: Visitor, **scene: object) -> Any:
    """The view of the page, drawn."""
    visitor.open("/compare", model="tatoeba-lm", **{"sentences": "\n".join(SENTENCES), **scene})
    view = visitor.page.locator(".sentences-view[data-drawn]")
    view.wait_for()
    return view


def test_each_sentence_has_its_likelihood_and_its_parts(visitor: Visitor) -> None:
    view = opened(visitor)
    found = vizcore.side_by_side(vizcore.load("tatoeba-lm"), SENTENCES)
    shown = [text.replace("−", "-") for text in view.locator(".total").all_inner_texts()]
    assert shown == [f"{value:.2f}" for value in found.lines["log_likelihood"]]
    assert view.locator(".label").all_inner_texts() == found.parts["text"].tolist()
    assert view.locator(".apart .label").all_inner_texts() == ["·are", "·is"]


def test_a_place_that_is_clicked_is_in_the_link_and_leads_to_its_attention(
    visitor: Visitor,
) -> None:
    view = opened(visitor)
    view.locator('button[data-line="1"][data-part="2"]').click()
    visitor.address_has(line=1, token=2)
    visitor.page.get_by_role("button", name="See where tatoeba-lm looks at").click()
    visitor.page.locator(".model-view[data-drawn], .js-plotly-plot").first.wait_for()
    visitor.page.wait_for_function(
        "() => new URLSearchParams(location.search).get('text') === 'They is here.'"
    )
    visitor.address_has(token=2)


def test_other_sentences_are_compared_as_soon_as_they_are_written(visitor: Visitor) -> None:
    view = opened(visitor)
    field = visitor.page.get_by_role("textbox", name="Sentences, one a line")
    field.fill("我爱你。\n我你爱。\n爱你我。")
    field.press("Control+Enter")
    view.locator(".total").nth(2).wait_for()
    assert view.locator(".best").count() == 1


def test_ten_long_sentences_of_several_scripts_fit_and_scroll(visitor: Visitor) -> None:
    long = [f"{word} " * 100 for word in ("cats", "我爱", "مرحبا", "<b>", "🎉")] * 2
    view = opened(visitor, sentences="\n".join(long))
    assert view.locator(".head").count() == 10
    page, board = (
        visitor.page.evaluate("() => document.documentElement.scrollWidth"),
        view.locator(".board").evaluate("(el) => [el.scrollWidth, el.clientWidth]"),
    )
    assert page <= 1280
    assert board[0] > board[1]
