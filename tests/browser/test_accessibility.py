"""axe-core, the usual checker of accessibility, finds nothing on any page."""

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.conftest import Visitor

SENTENCE = "The doctor asked the nurse a question"
PAGES: dict[str, dict[str, object]] = {
    "/": {"token": 2},
    "/inside": {"token": 2},
    "/next-token": {"token": 2},
    "/translate": {"model": "tatoeba-translator"},
    "/compare": {"model": "tatoeba-lm"},
    "/training": {},
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing(another_visitor: Callable[..., Visitor], path: str, scheme: str) -> None:
    visitor = another_visitor(color_scheme=scheme)
    visitor.open(path, text=SENTENCE, **PAGES[path])
    visitor.page.wait_for_selector(".headlight[data-drawn]")
    found: dict[str, Any] = Axe().run(visitor.page).response
    complaints = [
        f"{one['id']}: {one['help']}: {node['target']} {node.get('failureSummary', '')}"
        for one in found["violations"]
        for node in one["nodes"]
    ]
    assert not complaints, "\n".join(complaints)


def test_the_checker_can_fail(visitor: Visitor) -> None:
    visitor.open("/next-token", text=SENTENCE)
    visitor.page.evaluate("document.body.append(new Image())")
    found = Axe().run(visitor.page).response
    assert "image-alt" in [one["id"] for one in found["violations"]]
