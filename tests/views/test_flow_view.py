"""The flow view: what it takes, and that the page's numbers are those of a rollout."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.support.tiny import tiny_network
from tests.views.synthetic import a_map, attention_maps
from vizcore.errors import SelectionError, ShapeError
from vizcore.maps import AttentionMap
from vizcore.model import Model
from vizcore.rollouts import rollout
from vizcore.views import page as pages
from vizcore.views.flow_view import flow_view
from vizcore.views.page import View

N = 6


@cache
def maps(n_layers: int = 3, n_tokens: int = N, **more: Any) -> list[AttentionMap]:
    return list(attention_maps(n_layers, 2, n_tokens, **more))


def means(source: list[AttentionMap]) -> list[Any]:
    """The mean over heads of each layer, by plain loops."""
    layers = sorted({map.layer for map in source if map.layer is not None})
    return [np.mean([map.values for map in source if map.layer == one], axis=0) for one in layers]


def rolled(source: list[AttentionMap], residual: float, *, without_first: bool = False) -> Any:
    """The product of all layers, by its definition."""
    result = np.eye(len(source[0].query_tokens))
    for layer in means(source):
        layer = layer.astype(np.float64)
        if without_first:
            sums = layer.sum(axis=1)
            layer[:, 0] = 0
            for row in range(len(layer)):
                left = layer[row].sum()
                layer[row] *= sums[row] / left if left else 0
        mix = residual * np.eye(len(layer)) + (1 - residual) * layer
        for row in range(len(mix)):
            if mix[row].sum() == 0:
                mix[row, row] = 1
            mix[row] /= mix[row].sum()
        result = mix @ result
    return result


def test_words_are_shown_where_the_maps_are_of_words() -> None:
    words = ("unbelievable", "story")
    source = [AttentionMap([[1, 0], [0.4, 0.6]], words, words, layer=0)]
    assert flow_view(source).data["tokens"] == list(words)


def test_maps_that_cannot_be_followed_errors() -> None:
    with pytest.raises(ShapeError) as caught:
        flow_view([a_map(np.full((2, 3), 1 / 3), "ab", "xyz", layer=0)])
    assert str(caught.value) == (
        "The map of layer 0 has shape (2, 3), and (2, 2) was expected: attention can be followed "
        "through maps of one text that looks at itself, in every layer the same."
    )
    with pytest.raises(ShapeError) as caught:
        flow_view([a_map([[0.5, -0.5], [0, 1]], "ab", "ab", layer=0)])
    assert str(caught.value) == (
        "The map of layer 0 has rows that are no weights: they must not be below 0 or sum to more "
        "than 1. Show differences as a heatmap."
    )


def test_what_is_not_there_errors() -> None:
    for arguments, words in (
        ({"token": 6}, "There is no token 6: there are 6, counted from 0 to 5, or from -1 "
         "backwards."),
        ({"layer": 3}, "There is no layer 3 among these maps: there are 0, 1, 2."),
        ({"heads": [1, 4, 7]}, "Layer 0 has no map of head 4, 7."),
        ({"heads": []}, "No heads were given: name at least one, or None for all."),
        ({"residual": 1.5}, "The residual share must be from 0 to 1, not 1.5."),
        ({"kind": "encoder"}, "There are no maps to follow: give a trace, or the maps of one."),
        ({"max_bytes": 100}, "6 tokens in 3 layers are too many to follow: up to 2 fit into the "
         "page. Give maps of words or sentences, a shorter text, or more max_bytes."),
    ):  # fmt: skip
        more: Any = arguments
        with pytest.raises(SelectionError) as caught:
            flow_view(maps(), **more)
        assert str(caught.value) == words


def test_cross_attention_is_not_followed_by_itself_errors() -> None:
    trace = Model.of(tiny_network("t5"), None).trace([5, 9, 17, 23, 40], [1, 30, 12])
    assert flow_view(trace, kind="encoder").data["tokens"] == trace.source_tokens
    with pytest.raises(SelectionError) as caught:
        flow_view(trace, kind="cross")
    assert str(caught.value) == (
        "Cross-attention goes from one text to another, so it cannot be followed from layer to "
        "layer. Take kind='decoder' or kind='encoder', or rollout(…, 'cross')."
    )


# --- In the browser -----------------------------------------------------------------------------


def opened(page: Any, folder: Path, view: View) -> Any:
    path = folder / "flow.html"
    path.write_text(view.to_html(), encoding="utf-8")
    page.goto(path.as_uri())
    page.wait_for_selector(".flow-view[data-drawn]")
    page.evaluate(
        "() => { window.picked = []; document.addEventListener('headlight-select',"
        "(event) => window.picked.push(event.detail)) }"
    )
    return page.locator(".flow-view")


def settled(page: Any) -> None:
    """Until what was asked for has been drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 40)))")


def told(page: Any, shown: Any) -> dict[str, float]:
    """The parts that the status line names: for each token its share."""
    settled(page)
    text = re.sub("[\u2068\u2069“”]", "", shown.locator(".status").text_content())
    parts = re.findall(r"(\S+) (>? ?[\d.]+) %", text.split(": ", 1)[1])
    return {token: 0.995 if ">" in share else float(share) / 100 for token, share in parts}


def agrees(parts: dict[str, float], shares: Any) -> None:
    """Every share that is told is right, and none of the six largest is missing."""
    for token, share in parts.items():
        assert share == pytest.approx(float(shares[int(token[1:])]), abs=0.006), token
    assert len(parts) == min(6, int((shares >= 0.005).sum()))


@pytest.mark.browser
@pytest.mark.parametrize("causal", [True, False])
def test_what_flows_into_a_place_is_its_row_of_the_rollout(
    quiet_page: Any, tmp_path: Path, causal: bool
) -> None:
    source = maps(3, N, causal=causal)
    expected = rolled(source, 0.5)
    np.testing.assert_allclose(rollout(source).values, expected, atol=1e-5)
    for token in (5, 3):
        shown = opened(quiet_page, tmp_path, flow_view(source, token=token))
        agrees(told(quiet_page, shown), expected[token])
        shown.locator(".residual").uncheck()
        agrees(told(quiet_page, shown), rolled(source, 0.0)[token])
        shown.locator(".residual").check()
        shown.locator(".sink").select_option("renormalise")
        agrees(told(quiet_page, shown), rolled(source, 0.5, without_first=True)[token])


@pytest.mark.browser
def test_what_flows_out_of_a_token_is_its_column_of_the_rollout(
    quiet_page: Any, tmp_path: Path
) -> None:
    source = maps(3, N)
    shown = opened(quiet_page, tmp_path, flow_view(source, token=1, way="into"))
    shown.locator("[data-way=outOf]").click()
    settled(quiet_page)
    assert quiet_page.evaluate("() => window.picked") == [
        {"layer": None, "token": 1, "way": "outOf"}
    ]
    agrees(told(quiet_page, shown), rolled(source, 0.5)[:, 1])


@pytest.mark.browser
def test_of_a_long_text_the_numbers_are_right_to_what_is_said(
    quiet_page: Any, tmp_path: Path
) -> None:
    source = maps(4, 70)
    view = flow_view(source, max_bytes=4 * 70 * 4 * 30, token=69)
    error: Any = view.data["error"]
    assert 0 < error < 0.01
    shown = opened(quiet_page, tmp_path, view)
    for without_first, choice in ((False, "keep"), (True, "renormalise")):
        shown.locator(".sink").select_option(choice)
        exact = rolled(source, 0.5, without_first=without_first)[69]
        for token, share in told(quiet_page, shown).items():
            assert share == pytest.approx(float(exact[int(token[1:])]), abs=error + 0.0051)
    notes = shown.locator(".notes").text_content()
    assert "of each row the 30 largest weights are lines, the others are spread evenly" in notes
    shown.locator("[data-way=outOf]").click()
    exact = rolled(source, 0.5, without_first=True)[:, 69]
    for token, share in told(quiet_page, shown).items():
        assert share == pytest.approx(float(exact[int(token[1:])]), abs=error + 0.0051)


@pytest.mark.browser
def test_a_higher_threshold_leaves_fewer_lines_and_a_cap_is_stated(
    quiet_page: Any, tmp_path: Path
) -> None:
    shown = opened(quiet_page, tmp_path, flow_view(maps(3, 20), token=None, threshold=0.001))
    counts = []
    for step in (0, 4, 7):
        shown.locator(".threshold").fill(str(step))
        settled(quiet_page)
        counts.append(int(re.search(r"(\d+) lines", shown.locator(".notes").text_content())[1]))
    assert counts == sorted(counts, reverse=True)
    layers = [0.5 * (np.eye(20) + layer) for layer in means(maps(3, 20))]
    for count, least in zip(counts, (0.001, 0.02, 0.1), strict=True):
        assert count == sum(int((one - np.diag(np.diag(one)) >= least).sum()) for one in layers)
    view = flow_view(maps(3, 20), token=None, threshold=0.001)
    view.data["maxLines"] = 50
    shown = opened(quiet_page, tmp_path, view)
    assert f"the 50 strongest of {counts[0]} lines" in shown.locator(".notes").text_content()


def point(page: Any, shown: Any, words: str) -> tuple[float, float]:
    """Moves over the picture until the status line begins with these words; where that was."""
    box = shown.locator("canvas").bounding_box()
    for x in range(195, int(box["width"]) - 160, 30):
        for y in range(36, int(box["height"]), 20):
            page.mouse.move(box["x"] + x, box["y"] + y)
            settled(page)
            if shown.locator(".status").text_content().startswith(words):
                return box["x"] + x, box["y"] + y
    pytest.fail(f"No place is called {words!r}.")


@pytest.mark.browser
def test_pointing_shows_a_place_and_a_click_keeps_it(quiet_page: Any, tmp_path: Path) -> None:
    shown = opened(quiet_page, tmp_path, flow_view(maps(2, 3), token=None, height=300))
    status = shown.locator(".status")
    assert status.text_content().startswith("Each line is what one layer takes")
    x, y = point(quiet_page, shown, "“\u2068t2\u2069” (2) after layer 0 comes from: ")
    agrees(told(quiet_page, shown), rolled([m for m in maps(2, 3) if m.layer == 0], 0.5)[2])
    quiet_page.mouse.click(x, y)
    quiet_page.mouse.move(0, 0)
    settled(quiet_page)
    assert status.text_content().startswith("“\u2068t2\u2069” (2) after layer 0")
    assert quiet_page.evaluate("() => window.picked") == [{"layer": 0, "token": 2, "way": "into"}]
    shown.locator(".everything").click()
    settled(quiet_page)
    assert status.text_content().startswith("Each line is what one layer takes")
    assert quiet_page.evaluate("() => window.picked.at(-1)") == {
        "layer": None, "token": None, "way": "into",
    }  # fmt: skip


@pytest.mark.browser
def test_arrow_keys_move_over_places_enter_keeps_one_and_escape_lets_it_go(
    quiet_page: Any, tmp_path: Path
) -> None:
    shown = opened(quiet_page, tmp_path, flow_view(maps(3, N)))
    shown.locator(".threshold").focus()
    quiet_page.keyboard.press("Tab")
    for key in ("ArrowLeft", "ArrowUp", "ArrowUp", "Enter"):
        quiet_page.keyboard.press(key)
    settled(quiet_page)
    status = shown.locator(".status")
    assert status.text_content().startswith("“\u2068t3\u2069” (3) after layer 1 comes from: ")
    assert quiet_page.evaluate("() => window.picked") == [{"layer": 1, "token": 3, "way": "into"}]
    quiet_page.keyboard.press("Escape")
    settled(quiet_page)
    assert status.text_content().startswith("Each line is what one layer takes")


@pytest.mark.browser
def test_of_many_tokens_those_that_take_part_are_shown_and_the_others_counted(
    quiet_page: Any, tmp_path: Path
) -> None:
    # Token 150 looks at 7 alone, and every other token at itself.
    values = np.eye(200)
    values[150] = 0
    values[150, 7] = 1
    tokens = [f"t{place}" for place in range(200)]
    shown = opened(
        quiet_page, tmp_path, flow_view([a_map(values, tokens, tokens, layer=0)], token=150)
    )
    assert told(quiet_page, shown) == {"t7": 0.5, "t150": 0.5}
    assert re.search(r"(\d+) of 200 tokens, which take little part, are folded away",
                     shown.locator(".notes").text_content())  # fmt: skip


@pytest.mark.browser
def test_rows_that_are_no_numbers_are_marked_and_said(quiet_page: Any, tmp_path: Path) -> None:
    values = np.eye(3)
    values[1, 0] = np.nan
    shown = opened(
        quiet_page, tmp_path, flow_view([a_map(values, "abc", "abc", layer=0)], token=None)
    )
    assert "1 rows are not numbers" in shown.locator(".notes").text_content()
    marked = shown.locator("canvas").evaluate(
        "(canvas) => { const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width,"
        "canvas.height); let n = 0; for (let i = 0; i < data.length; i += 4) if (data[i] === 0xd6"
        "&& data[i + 1] === 0 && data[i + 2] === 0x6c) n++; return n }"
    )
    assert marked > 20


@pytest.mark.browser
def test_the_line_of_the_first_token_turns_grey_when_asked(quiet_page: Any, tmp_path: Path) -> None:
    values = [[1, 0], [1, 0]]
    view = flow_view([a_map(values, "ab", "ab", layer=0)], token=1, residual=0)
    shown = opened(quiet_page, tmp_path, view)
    ink = (
        "(canvas) => { const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width,"
        "canvas.height); let n = 0; for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200"
        "&& data[i + 2] > data[i] + 40) n++; return n }"
    )
    before = shown.locator("canvas").evaluate(ink)
    shown.locator(".sink").select_option("grey")
    settled(quiet_page)
    assert before > 200
    assert shown.locator("canvas").evaluate(ink) < before / 4
    assert told(quiet_page, shown) == {"a": 1.0}


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_complain_about(quiet_page: Any, tmp_path: Path, scheme: str) -> None:
    quiet_page.emulate_media(color_scheme=scheme)
    opened(quiet_page, tmp_path, flow_view(maps(3, N)))
    found = Axe().run(quiet_page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


@pytest.mark.browser
def test_tokens_are_shown_as_text_whatever_they_hold(quiet_page: Any, tmp_path: Path) -> None:
    nasty = ["<img src=x onerror=alert(1)></script>", "<b>b</b>"]
    view = flow_view([a_map([[1, 0], [0.9, 0.1]], nasty, nasty, layer=0)])
    shown = opened(quiet_page, tmp_path, view)
    assert shown.locator("img, b").count() == 0
    assert nasty[0] in shown.locator(".status").text_content()


@pytest.mark.browser
def test_a_host_that_answers_late_does_not_take_back_the_next_choice(
    quiet_page: Any, tmp_path: Path
) -> None:
    module = pages.script("flow_view").replace("export default view;", "")
    (tmp_path / "host.html").write_text(
        '<!doctype html><div id="el"></div><script type="module">\n'
        f"{module}\nwindow.mount = (data) => {{ window.cleanup = view({{ el: document."
        "getElementById('el'), data, select() {} }); };</script>",
        encoding="utf-8",
    )
    quiet_page.goto((tmp_path / "host.html").as_uri())
    status = quiet_page.locator(".flow-view .status")
    quiet_page.evaluate("(data) => window.mount(data)", flow_view(maps(3, N)).data)
    quiet_page.wait_for_selector(".flow-view[data-drawn]")
    quiet_page.locator("canvas").focus()
    for key in ("ArrowUp", "Enter", "ArrowUp", "Enter"):
        quiet_page.keyboard.press(key)
    for token, expected in ((4, 3), (3, 3), (1, 1)):
        quiet_page.evaluate("(data) => window.mount(data)", flow_view(maps(3, N), token=token).data)
        quiet_page.mouse.move(0, 0)
        quiet_page.locator(".threshold").focus()
        settled(quiet_page)
        assert status.text_content().startswith(f"“\u2068t{expected}\u2069” ({expected}) after")
    quiet_page.evaluate("() => window.cleanup()")
    assert quiet_page.evaluate("() => document.getElementById('el').childNodes.length") == 0
