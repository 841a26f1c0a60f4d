"""The page Inside attention, as a speaker sees it who steps through it."""

from typing import Any

from tests.browser.conftest import Visitor

SENTENCE = "The cat sat on the mat because it was tired"


def opened(visitor: Visitor, **scene: object) -> Any:
    """The view, once the page shows it."""
    visitor.open("/inside", **{"text": SENTENCE, **scene})
    visitor.page.wait_for_selector(".st-key-inside_formula .katex")
    return visitor.page.locator(".steps-view")


def marked(visitor: Visitor, latex: str) -> None:
    """Waits until this part of the formula is the marked one."""
    visitor.page.wait_for_function(
        """(latex) => document.querySelector(".st-key-inside_formula annotation")
            ?.textContent.includes(latex)""",
        arg=latex,
    )


def test_the_weights_of_the_softmax_are_those_of_the_trace(visitor: Visitor, smollm2: Any) -> None:
    view = opened(visitor, layer=3, head=4, token=6, step="softmax")
    weights = smollm2.trace(SENTENCE).attention(3, 4)[6]
    shown = view.locator(".table .cell:nth-child(3n) .number").all_text_contents()
    assert shown == [f"{float(weight):.2f}" for weight in weights]
    best = int(weights.argmax())
    words = view.locator(".words").inner_text()
    assert words.startswith("·because looks most at")
    assert f"{float(weights[best]):.2f}" in words


def test_arrow_keys_and_a_presenter_step_through_and_the_formula_follows(
    visitor: Visitor,
) -> None:
    view = opened(visitor, layer=3, head=4)
    assert view.get_attribute("data-drawn") == "query"
    visitor.page.keyboard.press("ArrowRight")
    assert view.get_attribute("data-drawn") == "rotation"
    for _step in range(2):
        visitor.page.keyboard.press("PageDown")
    visitor.address_has(step="scores")
    marked(visitor, r"\color{#a83400}q\,K^{\top}$")
    visitor.page.keyboard.press("ArrowLeft")
    visitor.address_has(step="keys")
    view.get_by_role("button", name="Softmax").click()
    visitor.address_has(step="softmax")
    view.get_by_role("button", name="Next step").click()
    visitor.address_has(step="values")


def test_arrow_keys_in_a_field_move_in_its_text_and_nothing_else(visitor: Visitor) -> None:
    view = opened(visitor, layer=3, head=4, step="keys")
    visitor.page.get_by_role("textbox", name="Text", exact=True).press("ArrowRight")
    assert view.get_attribute("data-drawn") == "keys"


def test_a_token_of_the_text_can_be_clicked(visitor: Visitor) -> None:
    view = opened(visitor, layer=3, head=4, step="query")
    view.get_by_role("button", name="·sat").click()
    visitor.address_has(token=2)
    view.locator(".text .looking", has_text="sat").wait_for()


def test_a_step_fills_a_projector_without_scrolling(visitor: Visitor) -> None:
    for scene in ({"step": "sum", "without": "scaling-mask"}, {"step": "scores"}):
        opened(visitor, layer=3, head=4, token=6, **scene)
        heights = visitor.page.evaluate(
            """() => { const main = document.querySelector("[data-testid=stMain]");
                return [main.scrollHeight, main.clientHeight] }"""
        )
        assert heights[0] <= heights[1]


def test_without_the_mask_the_weight_that_leaks_is_said(visitor: Visitor, smollm2: Any) -> None:
    from vizcore import attention_steps

    view = opened(visitor, layer=3, head=4, token=2, step="softmax", without="mask")
    steps = attention_steps(smollm2.trace(SENTENCE), 3, 4, 2, mask=False)
    words = view.locator(".words").inner_text()
    assert words.startswith(f"Without the mask, {steps.hidden_weight:.0%} of the weight goes to")
    assert view.locator(".bar.leaks").count() == 2 * steps.n_hidden
