"""The attribution view and the curves: what they say, and what a reader sees and picks."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from vizcore.errors import SelectionError, ShapeError
from vizcore.views.attribution_figures import faithfulness_curves
from vizcore.views.attribution_view import attribution_view

TOKENS = ["<b>", "·keys", "·to", "</script>", "مرحبا"]
VALUES = {
    "rollout": [math.nan, 0.1, 0.2, 0.0, math.nan],
    "occlusion": [math.nan, 4.0, -1.0, 0.0, math.nan],
}


def table(**others: list[str]) -> pd.DataFrame:
    rows = [
        (method, "source", position, token, value)
        for method, values in VALUES.items()
        for position, (token, value) in enumerate(
            zip(others.get(method, TOKENS), values, strict=True)
        )
    ]
    return pd.DataFrame(rows, columns=["method", "side", "position", "token", "attribution"])


SCORES = pd.DataFrame(
    {
        "method": ["rollout", "occlusion", "random"],
        "deletion": [0.5, 0.2, 0.4],
        "insertion": [0.4, 0.8, 0.45],
    }
)


def test_the_most_faithful_method_comes_first() -> None:
    data: Any = attribution_view(table(), SCORES).data
    assert [one["name"] for one in data["methods"]] == ["Occlusion", "Attention rollout"]
    assert [one["faithful"] for one in data["methods"]] == [0.6, -0.1]
    assert data["random"] == 0.05


def test_colours_are_of_each_methods_largest_and_zero_is_in_the_middle() -> None:
    data: Any = attribution_view(table()).data
    rollout, occlusion = data["methods"]
    assert rollout["places"] == [None, 0.75, 1.0, 0.5, None]
    assert occlusion["places"] == [None, 1.0, 0.375, 0.5, None]
    assert occlusion["values"] == ["–", "+4.00 nats", "-1.00 nats", "+0.00 nats", "–"]
    assert rollout["values"] == ["–", "0.1", "0.2", "0", "–"]


def test_a_target_is_a_line_of_its_own_and_is_what_is_picked() -> None:
    two = table()
    two["side"] = ["source", "source", "target", "target", "target"] * 2
    data: Any = attribution_view(two, selected=1).data
    assert data["sides"] == [{"start": 0, "name": "source"}, {"start": 2, "name": "target"}]
    assert (data["selected"], data["pickable"], data["offset"]) == (3, [2, 3, 4], 2)


def test_what_cannot_be_shown_is_said() -> None:
    with pytest.raises(SelectionError) as refused:
        attribution_view(table().iloc[:0])
    assert str(refused.value) == "There are no attributions to show: the table has no rows."
    with pytest.raises(ShapeError) as unlike:
        attribution_view(table(occlusion=["another", *TOKENS[1:]]))
    assert str(unlike.value) == (
        "The tokens of 'occlusion' are not those of the other methods: give attributions of one "
        "text."
    )
    with pytest.raises(SelectionError) as refused:
        faithfulness_curves(pd.DataFrame())
    assert str(refused.value) == "There are no curves to show: the table has no rows."


def test_a_figure_has_two_curves_a_method() -> None:
    curves = pd.DataFrame(
        [
            (method, curve, n, n / 2, 0.5 + n / 10)
            for method in ("occlusion", "random")
            for curve in ("deletion", "insertion")
            for n in range(3)
        ],
        columns=["method", "curve", "n_tokens", "share", "probability"],
    )
    figure = faithfulness_curves(curves).figure
    assert [trace.name for trace in figure.data] == ["Occlusion"] * 2 + ["Random order"] * 2
    assert list(figure.data[1].y) == [0.5, 0.6, 0.7]
    assert figure.data[2].line.dash == "dot"


@pytest.fixture
def opened(quiet_page: Any, tmp_path: Path) -> Any:
    quiet_page.route("http*://**", lambda route: route.abort())
    file = tmp_path / "page.html"
    file.write_text(attribution_view(table(), SCORES, selected=4).to_html(), "utf-8")
    quiet_page.goto(file.as_uri())
    quiet_page.wait_for_selector(".attribution-view[data-drawn]")
    return quiet_page


@pytest.mark.browser
def test_pointing_at_a_token_tells_what_every_method_says(opened: Any) -> None:
    methods = opened.locator(".attribution-view .method")
    assert methods.first.locator("button").all_inner_texts() == TOKENS
    methods.nth(1).locator("button").nth(1).hover()
    assert methods.locator(".value").all_inner_texts() == ["+4.00 nats", "0.1"]
    assert opened.locator(".method button.pointed").count() == 2
    methods.first.locator("button").nth(0).hover()
    assert "kept as it is" in opened.locator(".attribution-view .status").inner_text()


@pytest.mark.browser
def test_the_best_is_named_and_chance_is_a_mark(opened: Any) -> None:
    verdicts = opened.locator(".attribution-view .verdict")
    assert verdicts.all_inner_texts() == ["most faithful", "no better than chance"]
    assert opened.locator(".attribution-view .chance").count() == 2


@pytest.mark.browser
def test_a_click_and_the_keyboard_pick_a_token(opened: Any) -> None:
    opened.evaluate(
        "addEventListener('headlight-select', (e) => (window.picked = e.detail.token), true)"
    )
    buttons = opened.locator(".attribution-view .method").first.locator("button")
    buttons.nth(2).click()
    assert opened.evaluate("window.picked") == 2
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press("Enter")
    assert opened.evaluate("window.picked") == 3
    assert opened.locator(".attribution-view button[tabindex='0']").count() == 1


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read(browser: Any, tmp_path: Path, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = browser.new_context(color_scheme=scheme).new_page()
    file = tmp_path / "page.html"
    steps = [i / 20 - 1 for i in range(41)]
    shades = pd.DataFrame(
        [("occlusion", "source", i, f"t{i}", value) for i, value in enumerate(steps)],
        columns=["method", "side", "position", "token", "attribution"],
    )
    file.write_text(attribution_view(shades, SCORES).to_html(), "utf-8")
    page.goto(file.as_uri())
    page.wait_for_selector(".attribution-view[data-drawn]")
    found = Axe().run(page).response["violations"]
    page.context.close()
    assert not [(one["id"], one["nodes"][0]["html"]) for one in found]
