"""Whatever somebody types is shown as text, and nothing of it runs."""

import pytest

from tests.browser.conftest import Visitor

HOSTILE = {
    "script": "<script>window.hacked = true</script><img src=x onerror='window.hacked = true'>",
    "markdown": "# big **bold** [link](javascript:window.hacked=true) `code` ![i](x) :smile:",
    "formula": "$$x^2$$ and $\\frac{1}{2}$ cost $5",
    "right to left": "مرحبا بالعالم \u202eevil\u202c end",
    "braces": "{0} {token} %s {{name}} </script> <!-- -->",
}


@pytest.mark.parametrize("path", ["/", "/next-token"])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_shown_as_text(visitor: Visitor, path: str, text: str) -> None:
    visitor.open(path, text=text, token=1)
    page = visitor.page
    assert page.evaluate("window.hacked") is None
    main = page.get_by_test_id("stMain")
    assert main.locator("script, img[src='x'], h1, a[href^='javascript'], .katex").count() == 0
    assert page.get_by_role("textbox", name="Text", exact=True).input_value() == text


def test_the_tokens_of_a_script_are_there_to_read(visitor: Visitor) -> None:
    visitor.open("/next-token", text=HOSTILE["script"])
    shown = "".join(visitor.page.locator(".tokens-view button").all_inner_texts())
    assert "<script>" in shown
    assert "onerror" in shown


def test_two_thousand_tokens_are_shown_on_both_pages(visitor: Visitor) -> None:
    text = "one two three four five six seven eight nine ten " * 200
    visitor.page.set_default_timeout(180_000)
    visitor.open(text=text.strip(), layer=3, head=3)
    visitor.page.wait_for_selector(".tile-view[data-drawn]")
    visitor.page.wait_for_selector(".model-view[data-drawn]")
    visitor.page.get_by_text("too long for a link").wait_for()
    visitor.go("Expect", "Next token")
    visitor.page.wait_for_selector("[data-testid=stDataFrame]")
    assert visitor.page.locator(".tokens-view button").count() == 2000
