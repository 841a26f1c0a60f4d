"""The neuron view: what its data hold, and what Chromium computes and shows of a file."""

import base64
import re
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.support.tiny import tiny_network
from vizcore.errors import CaptureError, SelectionError
from vizcore.model import Model
from vizcore.query_key import queries_and_keys
from vizcore.views import page as pages
from vizcore.views.neuron_view import MAX_BYTES, neuron_view
from vizcore.views.page import View

IDS = [5, 9, 17, 23, 40, 8, 77]


@cache
def traced(architecture: str, n_tokens: int = 7) -> Any:
    """A text of a tiny network; of an encoder-decoder with a target that is shorter."""
    model = Model.of(tiny_network(architecture), None, name=f"some-{architecture}")
    ids = [IDS[place % 7] + place // 7 for place in range(n_tokens)]
    return model.trace(ids, ids[:4]) if model.kind == "encoder-decoder" else model.trace(ids)


def numbers(packed: Any) -> Any:
    raw = base64.b64decode(packed["base64"])
    if packed.get("encoding") == "deflate-raw":
        raw = zlib.decompress(raw, wbits=-15)
    return np.frombuffer(raw, dtype=packed.get("dtype", "<f4")).reshape(packed["shape"])


def size(view: View) -> int:
    """Of what is sent as numbers, before it is written in base64."""
    return sum(
        numbers(view.data[name]).nbytes for name in ("queries", "keys", "bias") if view.data[name]
    )


def test_queries_keys_mask_and_bias_are_sent_as_they_enter_the_softmax() -> None:
    trace = traced("t5")
    found = queries_and_keys(trace, 0, 1, kind="decoder")
    data: Any = neuron_view(trace, 0, 1, 2, kind="decoder").data
    np.testing.assert_array_equal(numbers(data["queries"]), found.query)
    np.testing.assert_array_equal(numbers(data["keys"]), found.key)
    for token in range(4):
        row = found.scores(token)
        np.testing.assert_array_equal(numbers(data["hidden"])[token], row.hidden)
        np.testing.assert_array_equal(numbers(data["bias"])[token], row.bias)
    assert (data["scaling"], data["softcap"], data["sink"]) == (1.0, None, None)
    assert (data["token"], data["first"], data["positions"], data["rest"]) == (2, 0, None, None)


def test_nothing_is_sent_of_what_a_head_does_not_have() -> None:
    data: Any = neuron_view(traced("bert"), 0, 1).data
    assert data["hidden"] is data["bias"] is data["sharedBy"] is None
    assert data["token"] == 6
    assert neuron_view(traced("llama"), 0, 3).data["sharedBy"] == [2, 3]


def test_the_key_that_is_added_up_at_first_is_the_one_with_the_largest_weight() -> None:
    trace = traced("llama")
    weights = trace.attention(1, 2)[4]
    assert neuron_view(trace, 1, 2, 4).data["key"] == int(weights.argmax())
    assert neuron_view(trace, 1, 2, 4, key=-6).data["key"] == 1


def test_of_a_long_text_the_queries_around_the_token_are_sent_within_the_budget() -> None:
    trace = traced("llama", 60)
    view = neuron_view(trace, 1, 2, 30, max_bytes=60 * 8 * 4 + 20 * 8 * 4)
    data: Any = view.data
    assert data["queries"]["shape"] == [20, 8]
    assert data["first"] == 20
    assert data["keys"]["shape"] == [60, 8]
    for token, first in ((0, 0), (59, 40)):
        view = neuron_view(trace, 1, 2, token, max_bytes=60 * 8 * 4 + 20 * 8 * 4)
        assert view.data["first"] == first


def test_a_bias_counts_in_the_budget_too() -> None:
    trace = traced("t5", 40)
    budget = 40 * 8 * 4 + 10 * (8 + 40) * 4
    view = neuron_view(trace, 0, 1, 20, kind="encoder", max_bytes=budget)
    assert size(view) == budget
    assert view.data["queries"]["shape"] == [10, 8]  # type: ignore[index]


def test_if_not_even_the_keys_fit_those_of_most_weight_are_sent_and_the_others_counted() -> None:
    trace = traced("llama", 60)
    weights = trace.attention(1, 2)[50].numpy()
    view = neuron_view(trace, 1, 2, 50, max_bytes=31 * 8 * 4)
    data: Any = view.data
    assert size(view) == 31 * 8 * 4
    assert data["positions"] == sorted(data["positions"])
    others = np.delete(weights, data["positions"])
    assert np.delete(weights, data["positions"]).max() <= weights[data["positions"]].min()
    assert data["rest"]["n"] == 60 - len(data["positions"])
    row = queries_and_keys(trace, 1, 2).scores(50)
    total = np.exp(row.scores.astype(np.float64)).sum()
    assert np.exp(data["rest"]["logit"]) / total == pytest.approx(others.sum(), abs=1e-6)


def test_a_thousand_tokens_of_a_real_head_fit_the_budget_with_all_their_queries() -> None:
    trace = traced("llama", 64)
    html = neuron_view(trace, 0, 0, 3).to_html()
    assert len(html) < 80_000
    assert MAX_BYTES > 1_000 * 64 * 4 * 2  # 1,000 tokens of SmolLM2: queries and keys


def test_a_key_or_token_that_is_not_there_and_a_network_in_eager_mode_errors() -> None:
    with pytest.raises(SelectionError) as caught:
        neuron_view(traced("llama"), 0, 0, key=7)
    assert str(caught.value) == "There is no key 7: there are 7, counted from 0."
    with pytest.raises(SelectionError, match="There is no token 9: there are 7"):
        neuron_view(traced("llama"), 0, 0, 9)
    with pytest.raises(CaptureError, match="The queries and keys of some-mpt cannot be seen"):
        neuron_view(traced("mpt"), 0, 0)


# --- In the browser -----------------------------------------------------------------------------


def opened(page: Any, folder: Path, view: View) -> Any:
    path = folder / "neurons.html"
    path.write_text(view.to_html(), encoding="utf-8")
    page.goto(path.as_uri())
    page.wait_for_selector(".neuron-view[data-drawn]")
    page.evaluate(
        "() => { window.picked = []; document.addEventListener('headlight-select',"
        "(event) => window.picked.push(event.detail)) }"
    )
    return page.locator(".neuron-view")


def rows(shown: Any) -> list[list[str]]:
    """Token, q·k, score and weight of each row in sight, from top to bottom."""
    found = shown.locator(".list .row:not([hidden])").evaluate_all(
        "rows => rows.sort((one, other) => one.ariaPosInSet - other.ariaPosInSet).map((row) =>"
        "[row.querySelector('.token').textContent, row.children[3].textContent,"
        "row.querySelector('.score').textContent, row.querySelector('.weight').textContent])"
    )
    return [[text.replace("−", "-") for text in row] for row in found]


@pytest.mark.browser
@pytest.mark.parametrize(
    ("architecture", "kind"),
    [("llama", None), ("gemma2", None), ("gpt_oss", None), ("t5", "decoder"), ("t5", "cross"),
     ("deepseek_v3", None)],
)  # fmt: skip
def test_what_the_page_computes_for_every_query_is_the_attention(
    quiet_page: Any, tmp_path: Path, architecture: str, kind: str | None
) -> None:
    trace = traced(architecture)
    n_queries = len(trace.query_tokens(kind))
    shown = opened(quiet_page, tmp_path, neuron_view(trace, 1, 2, n_queries - 1, kind=kind))
    for token in reversed(range(n_queries)):
        quiet_page.wait_for_selector(f".neuron-view[data-drawn='{token}']")
        row = queries_and_keys(trace, 1, 2, kind=kind).scores(token)
        weights = trace.attention(1, 2, kind)[token]
        for key, (label, dot, score, weight) in enumerate(rows(shown)):
            assert label == trace.key_tokens(kind)[key]
            assert float(dot) == pytest.approx(float(row.dots[key]), abs=0.06)
            if row.hidden[key]:
                assert (score, weight) == ("-∞", "0")
            else:
                assert float(score) == pytest.approx(float(row.scores[key]), abs=0.06)
                given = 0 if weight == "< 0.001" else float(weight)
                assert given == pytest.approx(float(weights[key]), abs=0.0006)
        if row.sink is not None:
            foot = shown.locator(".foot .row").text_content()
            assert foot.startswith("no token (sink)")
            assert foot.endswith(f"{1 - float(weights.sum()):.3f}")
        if token:
            shown.locator(".queries button").first.click()
    assert quiet_page.evaluate("() => window.picked.map(({ token }) => token)") == list(
        reversed(range(n_queries - 1))
    )


@pytest.mark.browser
def test_the_parts_of_a_score_are_told_one_after_the_other(quiet_page: Any, tmp_path: Path) -> None:
    shown = opened(quiet_page, tmp_path, neuron_view(traced("gemma2"), 1, 2, 4, key=3))
    row = queries_and_keys(traced("gemma2"), 1, 2).scores(4)
    terms = [re.sub("−", "-", text) for text in shown.locator(".term").all_text_contents()]
    assert terms == [
        f"sum of 8 products{row.dots[3]:.2f}",
        f"× scaling 0.0625= {row.scaled[3]:.2f}",
        f"soft cap 50→ {row.capped[3]:.2f}",
        f"softmax→ {row.weights[3]:.3f}",
    ]
    shown.locator(".row[data-key='6']").click()
    assert shown.locator(".term").nth(3).text_content() == "mask: −∞"
    assert shown.locator(".term").last.text_content() == "softmax→ 0.000"


@pytest.mark.browser
def test_pointing_at_a_dimension_tells_query_key_and_product(
    quiet_page: Any, tmp_path: Path
) -> None:
    shown = opened(quiet_page, tmp_path, neuron_view(traced("llama"), 1, 2, 4))
    pair = queries_and_keys(traced("llama"), 1, 2).scores(4).dimensions(2)
    for strip in (".key", ".product"):
        cell = shown.locator(f".row[data-key='2'] {strip}")
        box = cell.bounding_box()
        cell.hover(position={"x": box["width"] * 5.5 / 8, "y": 8})
        told = shown.locator(".status").text_content().replace("−", "-")
        found = re.fullmatch(
            r"Dimension 5: query (\S+) × key (\S+) of \u2068#17\u2069 = (\S+), "
            r"rank (\d) of 8 in the sum\.",
            told,
        )
        assert found is not None, told
        row = pair.iloc[5]
        assert [float(found[place]) for place in (1, 2, 3)] == pytest.approx(
            [row["query"], row["key"], row["product"]], rel=2e-3
        )
        assert int(found[4]) == 1 + int((pair["product"] > row["product"]).sum())
    guides = shown.locator(".guide:not([hidden])")
    assert guides.count() == 2
    assert guides.first.bounding_box()["x"] == pytest.approx(
        shown.locator(".row[data-key='2'] .key").bounding_box()["x"] + box["width"] * 5 / 8, abs=2
    )


@pytest.mark.browser
def test_dimensions_can_be_sorted_by_their_product_and_keys_by_their_weight(
    quiet_page: Any, tmp_path: Path
) -> None:
    shown = opened(quiet_page, tmp_path, neuron_view(traced("llama"), 1, 2, 6, key=2))
    row = queries_and_keys(traced("llama"), 1, 2).scores(6)
    shown.locator(".by-product").check()
    strip = shown.locator(".head canvas.sums")
    box = strip.bounding_box()
    order = np.argsort(-row.products[2])
    for place in (0, 3, 7):
        strip.hover(position={"x": box["width"] * (place + 0.5) / 8, "y": 20})
        told = shown.locator(".status").text_content()
        assert told.startswith(f"Dimension {order[place]}: ")
        assert f"rank {place + 1} of 8" in told
    shown.locator(".by-weight").check()
    quiet_page.wait_for_timeout(100)
    labels = [label for label, *_ in rows(shown)]
    assert labels == [row.key_tokens[key] for key in np.argsort(-row.weights)]


@pytest.mark.browser
def test_arrow_keys_choose_keys_and_dimensions_and_enter_looks_from_the_key(
    quiet_page: Any, tmp_path: Path
) -> None:
    shown = opened(quiet_page, tmp_path, neuron_view(traced("llama"), 1, 2, 6, key=1))
    shown.locator(".by-weight").focus()
    quiet_page.keyboard.press("Tab")
    quiet_page.keyboard.press("ArrowDown")
    assert shown.locator(".pair").text_content() == "\u2068#77\u2069 × \u2068#17\u2069"
    quiet_page.keyboard.press("ArrowRight")
    quiet_page.keyboard.press("ArrowRight")
    assert shown.locator(".status").text_content().startswith("Dimension 1: ")
    quiet_page.keyboard.press("Enter")
    quiet_page.wait_for_selector(".neuron-view[data-drawn='2']")
    assert quiet_page.evaluate("() => window.picked") == [{"token": 2}]
    active = shown.locator(".list").get_attribute("aria-activedescendant")
    assert shown.locator(f"#{active}").get_attribute("aria-selected") == "true"


@pytest.mark.browser
def test_of_many_keys_only_the_rows_in_sight_are_made_and_the_end_can_be_reached(
    quiet_page: Any, tmp_path: Path
) -> None:
    trace = traced("gpt_oss", 60)
    view = neuron_view(trace, 1, 2, 59, height=300)
    shown = opened(quiet_page, tmp_path, view)
    quiet_page.set_viewport_size({"width": 1280, "height": 340})
    quiet_page.wait_for_timeout(100)
    shown.locator(".list").focus()
    quiet_page.keyboard.press("End")
    quiet_page.wait_for_timeout(100)
    last = shown.locator(".row[aria-posinset='60']")
    assert last.get_attribute("aria-selected") == "true"
    assert shown.locator(".list .row:not([hidden])").count() < 30
    foot = shown.locator(".foot").bounding_box()
    assert last.bounding_box()["y"] + last.bounding_box()["height"] <= foot["y"] + 1


@pytest.mark.browser
def test_tokens_whose_queries_are_not_in_the_page_cannot_be_chosen_unless_the_host_answers(
    quiet_page: Any, tmp_path: Path
) -> None:
    trace = traced("llama", 60)
    budget = 60 * 8 * 4 + 3 * 8 * 4
    shown = opened(quiet_page, tmp_path, neuron_view(trace, 1, 2, 30, max_bytes=budget))
    assert (
        shown.locator(".status")
        .text_content()
        .endswith("This page holds the queries of tokens 29 to 31.")
    )
    assert shown.locator("[data-token='31']").first.is_enabled()
    assert shown.locator("[data-token='33']").is_disabled()
    view = neuron_view(trace, 1, 2, 30, max_bytes=budget, answers=True)
    shown = opened(quiet_page, tmp_path, view)
    shown.locator("[data-token='33']").click()
    assert quiet_page.evaluate("() => window.picked") == [{"token": 33}]
    assert shown.get_attribute("data-drawn") == "30"


@pytest.mark.browser
def test_a_number_that_is_none_is_marked_and_said(quiet_page: Any, tmp_path: Path) -> None:
    view = neuron_view(traced("bert"), 1, 2, 4)
    keys = numbers(view.data["keys"]).copy()
    keys[3, 2] = np.nan
    view.data["keys"] = {
        "shape": [7, 8], "base64": base64.b64encode(keys.tobytes()).decode("ascii"),
    }  # fmt: skip
    shown = opened(quiet_page, tmp_path, view)
    assert rows(shown)[3][2] == "not a number"
    assert "not a number" in shown.locator(".legend").text_content()
    colour = shown.locator(".row[data-key='3'] .key").evaluate(
        "canvas => [...canvas.getContext('2d').getImageData(2, 0, 1, 1).data]"
    )
    assert colour == [0xD6, 0x00, 0x6C, 255]


@pytest.mark.browser
def test_tokens_are_shown_as_text_whatever_they_hold(quiet_page: Any, tmp_path: Path) -> None:
    view = neuron_view(traced("llama"), 1, 2, 4)
    nasty = "<img src=x onerror=alert(1)></script>"
    view.data["keyTokens"] = view.data["queryTokens"] = [nasty] * 7
    shown = opened(quiet_page, tmp_path, view)
    assert shown.locator("img").count() == 0
    assert rows(shown)[0][0] == nasty


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_complain_about(quiet_page: Any, tmp_path: Path, scheme: str) -> None:
    quiet_page.emulate_media(color_scheme=scheme)
    opened(quiet_page, tmp_path, neuron_view(traced("gpt_oss"), 1, 2, 4))
    found = Axe().run(quiet_page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


@pytest.mark.browser
def test_a_host_that_answers_late_does_not_take_back_the_next_query(
    quiet_page: Any, tmp_path: Path
) -> None:
    module = pages.script("neuron_view").replace("export default view;", "")
    (tmp_path / "host.html").write_text(
        '<!doctype html><div id="el"></div><script type="module">\n'
        f"{module}\nwindow.mount = (data) => {{ window.cleanup = view({{ el: document."
        "getElementById('el'), data, select() {} }); };</script>",
        encoding="utf-8",
    )
    quiet_page.goto((tmp_path / "host.html").as_uri())
    views = [neuron_view(traced("llama"), 1, 2, token).data for token in (6, 5)]
    quiet_page.evaluate("(data) => window.mount(data)", views[0])
    quiet_page.wait_for_selector(".neuron-view[data-drawn='6']")
    for _ in range(2):
        quiet_page.locator(".queries button").first.click()
    quiet_page.wait_for_selector(".neuron-view[data-drawn='4']")
    quiet_page.evaluate("(data) => window.mount(data)", views[1])
    quiet_page.wait_for_timeout(150)
    assert quiet_page.locator(".neuron-view").get_attribute("data-drawn") == "4"
    quiet_page.evaluate("() => window.cleanup()")
    assert quiet_page.evaluate("() => document.getElementById('el').childNodes.length") == 0
