"""The head view and the text view as real Chromium shows them, from a file, with no network."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.views.synthetic import a_map, attention_maps
from vizcore.views import page as pages
from vizcore.views.head_view import HEADS, head_view
from vizcore.views.page import View
from vizcore.views.text_view import text_view

pytestmark = pytest.mark.browser

CAUSAL = np.triu(np.ones((4, 4), bool), 1)
WEIGHTS = np.array([[1, 0, 0, 0], [0.4, 0.6, 0, 0], [0.1, 0.7, 0.2, 0], [0.95, 0.01, 0.01, 0.03]])


@pytest.fixture
def show(quiet_page: Any, tmp_path: Path) -> Callable[[View], Any]:
    """Opens a view as a file on a page that reaches nothing else, and listens to it."""

    def opened(view: View) -> Any:
        quiet_page.route(lambda url: not url.startswith("file:"), lambda route: route.abort())
        path = tmp_path / "view.html"
        path.write_text(view.to_html(), encoding="utf-8")
        quiet_page.goto(path.as_uri())
        quiet_page.wait_for_function(
            "() => document.querySelector('[id^=headlight-]')?.shadowRoot"
            "?.querySelector('[data-drawn], .error')"
        )
        quiet_page.evaluate(
            "() => { window.picked = []; document.addEventListener('headlight-select', "
            "(event) => window.picked.push(event.detail)); }"
        )
        return quiet_page

    return opened


def head(values: Any = WEIGHTS, head: int = 0, layer: int = 0, **more: Any) -> Any:
    """One head over the tokens a, b, c, d."""
    return a_map(values, "abcd", "abcd", layer=layer, head=head, kind="decoder", **more)


def said(page: Any) -> str:
    """The line in words, once it no longer changes."""
    return settled(page, lambda: page.locator(".told").inner_text())


def settled(page: Any, read: Callable[[], Any]) -> Any:
    """What is read, once the frames that were asked for are drawn."""
    page.evaluate("() => new Promise((then) => requestAnimationFrame(() => setTimeout(then, 30)))")
    value = read()
    return re.sub("[\u2068\u2069]", "", value) if isinstance(value, str) else value


def numbers(page: Any, side: str) -> dict[str, str]:
    """The number beside each token of a column, where there is one."""
    read = page.evaluate(
        "(side) => [...document.querySelector('[id^=headlight-]').shadowRoot.querySelectorAll("
        "`.${side} .row`)].map((row) => [row.querySelector('.token').textContent, "
        "row.querySelector('.weights').textContent])",
        side,
    )
    return {token: weight for token, weight in read if weight}


def row(page: Any, side: str, token: int) -> Any:
    """A token of a column of the head view."""
    return page.locator(f'.{side} .row[data-token="{token}"]')


def n_lines(page: Any) -> int:
    """How many lines are drawn."""
    return settled(page, lambda: int(page.locator(".head-view").get_attribute("data-lines")))


def test_pointing_at_a_token_shows_its_own_lines_with_numbers(show: Callable[[View], Any]) -> None:
    page = show(head_view(head(masked=CAUSAL), sink="keep"))
    before = n_lines(page)
    row(page, "queries", 2).hover()
    assert said(page) == (
        "“c” looks at “b” 0.70, “c” 0.20, “a” 0.10; others it cannot look at (masked): 1"
    )
    assert n_lines(page) == 3 < before
    assert numbers(page, "keys") == {"a": "0.10", "b": "0.70", "c": "0.20"}
    row(page, "keys", 1).hover()
    assert said(page) == "“b” is looked at by “c” 0.70, “b” 0.60, “d” 0.01"
    assert numbers(page, "queries") == {"b": "0.60", "c": "0.70", "d": "0.01"}
    page.mouse.move(5, 5)
    assert n_lines(page) == before


def test_a_click_holds_a_token_reports_it_and_a_second_lets_go(show: Callable[[View], Any]) -> None:
    page = show(head_view([head(), head(head=1)], heads=[1]))
    row(page, "queries", 1).click()
    row(page, "keys", 0).hover()
    assert said(page) == "“b” looks at “a” 0.40"
    assert row(page, "queries", 1).get_attribute("aria-selected") == "true"
    row(page, "queries", 1).click()
    held = {"layer": 0, "heads": [1], "kind": "decoder", "side": "query", "token": 1}
    assert page.evaluate("() => window.picked") == [held, held | {"side": None, "token": None}]


def test_lines_have_the_colour_of_their_head(show: Callable[[View], Any]) -> None:
    itself = np.eye(4)
    maps = [head(itself, head=0), head(np.roll(itself, 1, axis=0), head=1)]
    page = show(head_view(maps, heads=[1], sink="keep"))
    colours = settled(
        page,
        lambda: page.locator("canvas").first.evaluate(
            "(canvas) => { const data = canvas.getContext('2d').getImageData(0, 0, canvas.width,"
            " canvas.height).data; const seen = new Set(); for (let i = 0; i < data.length; i += 4)"
            " if (data[i + 3] > 250) seen.add([...data.slice(i, i + 3)].join()); return [...seen] }"
        ),
    )
    expected = ",".join(str(int(HEADS["light"][1][at : at + 2], 16)) for at in (1, 3, 5))
    assert expected in colours
    red, green, blue = zip(*(map(int, colour.split(",")) for colour in colours), strict=True)
    assert max(red) - min(red) <= 2  # what is blended is rounded
    assert max(green) - min(green) <= 2
    assert max(blue) - min(blue) <= 2


def test_heads_are_switched_on_and_off_by_mouse_and_keyboard(show: Callable[[View], Any]) -> None:
    page = show(head_view([head(head=number) for number in range(3)], sink="keep"))
    switch = page.locator(".heads button")
    everything = n_lines(page)
    switch.nth(0).click()
    page.mouse.move(5, 5)
    assert switch.nth(0).get_attribute("aria-pressed") == "false"
    assert n_lines(page) == everything * 2 / 3
    switch.nth(1).dblclick()
    page.mouse.move(5, 5)
    pressed = [switch.nth(at).get_attribute("aria-pressed") for at in range(3)]
    assert pressed == ["false", "true", "false"]
    page.locator(".nobody").click()
    assert settled(page, lambda: page.locator(".says").inner_text()) == "No head is switched on."
    switch.nth(0).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    assert page.evaluate("() => window.picked.at(-1).heads") == [2]


def test_a_head_that_is_pointed_at_is_shown_alone(show: Callable[[View], Any]) -> None:
    page = show(head_view([head(head=number) for number in range(3)], sink="keep"))
    everything = n_lines(page)
    page.locator(".heads button").nth(2).hover()
    assert n_lines(page) == everything / 3
    assert "looks" in page.locator(".heads button").nth(2).get_attribute("aria-label")


def test_layers_are_changed_and_reported(show: Callable[[View], Any]) -> None:
    maps = [head(layer=0), head(np.eye(4), layer=5), head(layer=9)]
    page = show(head_view(maps, 5))
    assert page.locator(".title").inner_text() == "Heads of layer 5"
    page.locator(".next").click()
    page.wait_for_function("() => window.picked.length === 1")
    assert page.evaluate("() => window.picked[0].layer") == 9
    assert page.locator(".next").is_disabled()
    page.locator(".layers select").select_option("0")
    assert settled(page, lambda: page.locator(".title").inner_text()) == "Heads of layer 0"
    page.locator(".heads button").focus()
    page.keyboard.press("ArrowRight")
    assert settled(page, lambda: page.locator(".title").inner_text()) == "Heads of layer 5"


def test_the_first_token_can_be_left_out_and_rows_with_too_little_left_are_marked(
    show: Callable[[View], Any],
) -> None:
    values = WEIGHTS.copy()
    values[3] = [0.998, 0, 0, 0.002]
    page = show(head_view(head(values)))
    note = page.locator(".note")
    assert settled(page, note.inner_text).startswith("The first token gets 62 % of the weight, in")
    page.locator('input[value="renormalise"]').check()
    row(page, "queries", 2).hover()
    assert said(page) == "“c” looks at “b” 0.78, “c” 0.22"
    assert "∅ Less than 0.01 is left in 2 of 4 rows" in note.inner_text()
    row(page, "queries", 3).hover()
    assert said(page).startswith("“d”: without the first token less than 0.01 is left")
    marks = [row(page, "queries", at).locator(".mark").count() for at in range(4)]
    assert marks == [1, 0, 0, 1]


def test_numbers_that_are_none_are_marked_and_explained_and_a_picture_without_any_says_so(
    show: Callable[[View], Any],
) -> None:
    values = WEIGHTS.copy()
    values[1, 0] = np.nan
    page = show(head_view(head(values)))
    assert row(page, "queries", 1).locator(".mark").inner_text() == "!"
    assert "! Not a number, or infinite, in the rows of so many tokens: 1." in settled(
        page, page.locator(".note").inner_text
    )
    page = show(head_view(head(np.full((4, 4), np.nan))))
    says = settled(page, page.locator(".says").inner_text)
    assert says == "There is no weight to draw a line for."


def test_the_number_of_lines_is_chosen_and_said(show: Callable[[View], Any]) -> None:
    page = show(head_view(next(attention_maps(1, 1, 60, causal=False)), sink="keep"))
    slider = page.locator(".lines input")
    slider.fill("0")
    note = settled(page, page.locator(".note").inner_text)
    assert note.startswith("The 1 strongest lines of each token: ")
    one = n_lines(page)
    slider.fill("2")
    assert n_lines(page) == 3 * one
    assert page.locator(".lines output").inner_text() == "3"


def test_a_long_text_keeps_few_elements_and_scrolls_to_what_the_keys_reach(
    show: Callable[[View], Any],
) -> None:
    page = show(head_view(next(attention_maps(1, 1, 800))))
    assert settled(page, lambda: page.locator(".row").count()) < 120
    row(page, "queries", 0).focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    assert said(page).startswith("“t798” is looked at by")
    assert row(page, "queries", 799).is_visible()
    assert page.locator(".row").count() < 130


def test_tokens_of_the_text_view_are_shaded_by_the_one_that_is_pointed_at(
    show: Callable[[View], Any],
) -> None:
    page = show(text_view(head(masked=CAUSAL), sink="keep"))
    assert said(page).startswith("Point at a token.")
    token = page.locator(".token")
    token.nth(2).hover()
    assert said(page) == "“c” looks at “b” 0.70, “c” 0.20, “a” 0.10"
    shade = "(token) => getComputedStyle(token).backgroundColor"
    assert token.nth(1).evaluate(shade) == "rgb(27, 26, 83)"  # the end of the ramp
    assert token.nth(3).evaluate(shade) == "rgba(0, 0, 0, 0)"
    assert "cannot be looked at (masked)" in page.locator(".legend").inner_text()
    page.locator('input[value="from"]').check()
    token.nth(1).hover()
    assert said(page) == "“b” is looked at by “c” 0.70, “b” 0.60, “d” 0.01"
    assert token.nth(0).evaluate(shade) == "rgba(0, 0, 0, 0)"


def test_a_token_of_the_text_is_held_by_click_or_enter_and_reported(
    show: Callable[[View], Any],
) -> None:
    page = show(text_view(head(), sink="grey"))
    page.locator(".token").nth(3).click()
    page.locator(".token").nth(0).hover()
    assert said(page) == "“d” looks at “a” 0.95"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    assert said(page).startswith("“c” looks at “b” 0.70, “c” 0.20; the first token, in grey, 0.10")
    page.keyboard.press("Escape")
    assert page.evaluate("() => window.picked") == [
        {"side": "query", "token": 3, "direction": "to"},
        {"side": "query", "token": 2, "direction": "to"},
        {"side": None, "token": None, "direction": "to"},
    ]


def test_of_two_texts_either_is_pointed_at(show: Callable[[View], Any]) -> None:
    map = a_map([[0.25, 0.75], [1.0, 0.0]], ["猫", "坐"], ["·the", "·cat"], kind="cross")
    page = show(text_view(map))
    page.locator(".query .token").nth(0).hover()
    assert said(page) == "“猫” looks at “cat” 0.75, “the” 0.25"
    page.locator(".key .token").nth(0).hover()
    assert said(page) == "“the” is looked at by “坐” 1.00, “猫” 0.25"
    above, below = (page.locator(f".{side}.block").bounding_box()["y"] for side in ("key", "query"))
    assert above < below
    assert page.locator(".directions").is_hidden()


def test_of_a_long_text_what_was_not_sent_is_said(show: Callable[[View], Any]) -> None:
    n = 1500
    values = np.zeros((n, n), np.float32)
    for distance in range(1, 100):
        values += np.eye(n, k=-distance, dtype=np.float32) / 100
    values += np.eye(n, dtype=np.float32) * (1 - values.sum(axis=1, keepdims=True))
    tokens = [f"·w{at}" for at in range(n)]
    page = show(text_view(a_map(values, tokens, tokens)))
    page.locator(".token").nth(1400).hover()
    assert said(page).startswith("“w1400” looks at")
    assert said(page).endswith("on the other 1495")
    assert "Of each token the 64 strongest weights were sent" in page.locator(".note").inner_text()
    assert page.locator(".marks").is_visible()


def test_differences_have_two_colours_and_signs(show: Callable[[View], Any]) -> None:
    values = np.array([[0.5, -0.5], [0.25, -1.0]])
    page = show(text_view(a_map(values, "ab", "ab", quantity="difference")))
    page.locator(".token").nth(0).hover()
    assert said(page) == "“a” looks at “a” 0.50, “b” −0.50"
    assert page.locator('input[value="renormalise"]').count() == 0


def test_hostile_tokens_are_text_and_run_nothing(show: Callable[[View], Any]) -> None:
    nasty = ["</script><img src=x onerror=alert(1)>", "<b>bold</b>"]
    for made in (head_view, text_view):
        page = show(made(a_map(np.full((2, 2), 0.5), nasty, nasty)))
        assert page.locator("img, .told b, .token b").count() == 0
        assert page.locator(".token").nth(1).inner_text() == "<b>bold</b>"


HOST = """<!doctype html><div id="el" style="width: 900px"></div><script type="module">
{module}
const el = document.getElementById("el");
window.mount = (data) => {{ window.cleanup = view({{ el, data, select() {{}} }}); }};
</script>"""


@pytest.mark.parametrize(("name", "made"), [("head_view", head_view), ("text_view", text_view)])
def test_called_again_it_keeps_what_the_reader_did_and_cleans_up(
    name: str, made: Callable[..., View], quiet_page: Any, tmp_path: Path
) -> None:
    module = pages.script(name).replace("export default view;", "")
    (tmp_path / "host.html").write_text(HOST.format(module=module), encoding="utf-8")
    quiet_page.goto((tmp_path / "host.html").as_uri())

    def mount(view: View) -> None:
        quiet_page.evaluate("(data) => window.mount(data)", json.loads(json.dumps(view.data)))
        quiet_page.wait_for_selector("[data-drawn]")

    mount(made(head()))
    quiet_page.locator('input[value="renormalise"]').check()
    held = ("query", 2) if made is head_view else 2
    mount(made(head(), selected=held))
    assert said(quiet_page).startswith("“c” looks at “b” 0.78")
    assert quiet_page.locator('input[value="renormalise"]').is_checked()
    mount(made(head(np.eye(4))))
    assert settled(quiet_page, lambda: quiet_page.locator(".told.hint").count()) == 1
    assert quiet_page.locator(f".{name.replace('_', '-')}").count() == 1
    quiet_page.evaluate("() => window.cleanup()")
    assert quiet_page.evaluate("() => document.getElementById('el').childNodes.length") == 0


@pytest.mark.parametrize("made", [head_view, text_view])
def test_what_cannot_be_drawn_is_said_in_words(
    made: Callable[..., View], show: Callable[[View], Any]
) -> None:
    view = made(head())
    text = json.dumps(view.data).replace('"shape": [1, 4, 4]', '"shape": [1, 4, 5]')
    page = show(View(view.name, view.title, json.loads(text), view.js, view.css))
    assert page.locator(".error").inner_text() == (
        "This picture cannot be drawn: the data has 16 bytes, but its shape says 20."
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("made", [head_view, text_view])
def test_axe_finds_nothing_to_complain_about(
    made: Callable[..., View], scheme: str, show: Callable[[View], Any], page: Any
) -> None:
    page.emulate_media(color_scheme=scheme)
    values = WEIGHTS.copy()
    values[3, 2] = np.nan
    selected = ("query", 3) if made is head_view else 3
    page = show(made(head(values, masked=CAUSAL), selected=selected))
    settled(page, lambda: None)
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
