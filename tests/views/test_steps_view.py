"""The steps view: what its data and its words say, and what Chromium shows of a file."""

import base64
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.tiny import tiny_network
from vizcore.errors import SelectionError
from vizcore.model import Model
from vizcore.steps import AttentionSteps, attention_steps
from vizcore.views.page import View
from vizcore.views.steps_view import MAX_ROWS, steps_view
from vizcore.views.steps_words import LABELS, TITLES, WORDS, number, sentences

IDS = [5, 9, 17, 23, 40, 8, 77]


@cache
def traced(architecture: str, n_tokens: int = 7) -> Any:
    """A text of a tiny network; of an encoder-decoder with a target that is shorter."""
    model = Model.of(tiny_network(architecture), None)
    ids = [IDS[place % 7] + place // 7 for place in range(n_tokens)]
    return model.trace(ids, ids[:4]) if model.kind == "encoder-decoder" else model.trace(ids)


def steps_of(architecture: str, token: int = 4, *, n_tokens: int = 7, **more: Any) -> Any:
    """One head of the last layer."""
    trace = traced(architecture, n_tokens)
    more = {"kind": trace.kinds[0]} | more
    return attention_steps(trace, trace.layers(more["kind"])[-1], 1, token, **more)


def said(steps: AttentionSteps, step: str) -> str:
    return sentences(steps, str)[step].replace("\u2068", "<").replace("\u2069", ">")


def numbers(packed: Any) -> Any:
    raw = base64.b64decode(packed["base64"])
    return np.frombuffer(raw, dtype="<f4").reshape(packed["shape"])


def test_the_numbers_that_are_sent_are_those_of_the_steps() -> None:
    steps = steps_of("llama")
    data: Any = steps_view(steps).data
    np.testing.assert_array_equal(numbers(data["vectors"]["key"]), steps.key)
    np.testing.assert_array_equal(numbers(data["vectors"]["value"]), steps.value)
    np.testing.assert_array_equal(numbers(data["vectors"]["own"]), steps.contribution)
    np.testing.assert_array_equal(numbers(data["numbers"]["weights"]), steps.weights)
    assert data["numbers"]["realWeights"] is None
    assert [row["hidden"] for row in data["rows"]] == [False] * 5 + [True] * 2
    assert [one["name"] for one in data["steps"]] == list(steps.names)


def test_of_a_long_text_the_tokens_that_matter_are_shown_and_the_others_counted() -> None:
    steps = steps_of("llama", 20, n_tokens=40)
    data: Any = steps_view(steps).data
    shown = [row["position"] for row in data["rows"]]
    assert len(shown) < MAX_ROWS
    assert shown == sorted(shown)
    assert {20, 21, int(steps.weights.argmax())} <= set(shown)
    others = np.delete(np.asarray(steps.weights), shown)
    assert data["rest"]["n"] == len(others)
    assert data["rest"]["weight"] == pytest.approx(float(others.sum()), abs=1e-6)
    rest = np.delete(np.asarray(steps.weighted), shown, axis=0).sum(axis=0)
    np.testing.assert_allclose(numbers(data["vectors"]["rest"]), rest, atol=1e-6)
    assert data["around"]["tokens"][data["around"]["at"]] == steps.query_tokens[20]


def test_what_is_left_out_is_shown_beside_what_really_is() -> None:
    steps = steps_of("llama", 2, scaling=False, mask=False)
    data: Any = steps_view(steps).data
    assert data["leftOut"] == ["scaling", "mask"]
    np.testing.assert_array_equal(numbers(data["numbers"]["realWeights"]), steps.original.weights)
    np.testing.assert_array_equal(numbers(data["vectors"]["realOutput"]), steps.original.output)


def test_the_words_of_the_scores_name_the_tokens_and_their_numbers() -> None:
    steps = steps_of("llama")
    seen = steps.products[:5]
    fit, unfit = int(seen.argmax()), int(seen.argmin())
    assert said(steps, "scores") == (
        f"Query times key, number by number, added up: <#{IDS[fit]}> matches best with "
        f"{number(float(seen[fit]))}, <#{IDS[unfit]}> least with "
        f"{number(float(seen[unfit]))}."
    )
    best = int(steps.weights.argmax())
    assert said(steps, "softmax") == (
        f"<#40> looks most at <#{IDS[best]}>: {float(steps.weights[best]):.2f}. "
        "All weights add up to 1."
    )


@pytest.mark.parametrize(
    ("architecture", "token", "more", "words"),
    [
        ("llama", 4, {}, "2 of 7 tokens come after <#40>. It must not see them, so their scores "
         "become −∞."),
        ("llama", 6, {}, "Nothing is hidden: no token comes after <#77>."),
        ("llama", 4, {"mask": False}, "Left out: 2 of 7 tokens that <#40> must not see stay in."),
        ("bert", 4, {}, "Nothing is hidden: <#40> may look at all 7 tokens, before it and after "
         "it."),
        ("bart", 2, {"kind": "cross"}, "Nothing is hidden: <#17> may look at the whole source."),
        ("mistral", 6, {}, "3 of 7 tokens are hidden from <#77>: their scores become −∞."),
    ],
)  # fmt: skip
def test_the_words_of_the_mask_say_what_is_hidden_and_why(
    architecture: str, token: int, more: dict[str, Any], words: str
) -> None:
    assert said(steps_of(architecture, token, **more), "mask") == words


def test_a_network_that_does_not_divide_by_the_root_is_not_said_to() -> None:
    assert said(steps_of("llama"), "scaling").startswith("A sum of 8 products grows like √8 = 2.83")
    assert said(steps_of("gemma2"), "scaling").startswith(
        "This network multiplies by 0.0625 (1/√8 would be 0.3536)"
    )
    assert said(steps_of("t5", 2), "scaling").startswith("This network does not divide here")
    assert said(steps_of("llama", scaling=False), "scaling").startswith("Left out: ")


def test_every_step_of_every_kind_of_head_has_words_and_names() -> None:
    heads = [
        steps_of("gemma2"),
        steps_of("gpt_oss"),
        steps_of("t5", 2, kind="decoder"),
        steps_of("bitnet"),
        *(
            steps_of("llama", 3, scaling=scaling, mask=mask)
            for scaling in (True, False)
            for mask in (True, False)
        ),
    ]
    for steps in heads:
        told = sentences(steps, str)
        assert list(told) == list(steps.names)
        for step, words in told.items():
            assert words
            assert "{" not in words
            assert step in TITLES
            assert step in LABELS


def test_words_can_be_translated() -> None:
    asked: list[str] = []

    def translate(text: str) -> str:
        asked.append(text)
        return text.replace("Nothing is hidden", "Nichts ist verdeckt")

    data: Any = steps_view(steps_of("bert"), translate=translate).data
    (mask,) = [one for one in data["steps"] if one["name"] == "mask"]
    assert mask["words"].startswith("Nichts ist verdeckt: ")
    assert WORDS["mask_none"] in asked


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.034, "0.03"), (-1.5, "−1.50"), (12.34, "12.3"), (-129.4, "−129"), (-0.001, "0"), (0, "0")],
)
def test_numbers_have_about_three_digits_and_a_real_minus(value: float, text: str) -> None:
    assert number(value) == text


def test_a_step_that_this_head_does_not_have_errors() -> None:
    with pytest.raises(SelectionError) as caught:
        steps_view(steps_of("bert"), step="rotation")
    assert str(caught.value) == (
        "This head has no step 'rotation'. Its steps are query, keys, scores, scaling, mask, "
        "softmax, values, sum, concat, output."
    )


# --- In the browser -----------------------------------------------------------------------------


def opened(page: Any, folder: Path, view: View) -> Any:
    path = folder / "steps.html"
    path.write_text(view.to_html(), encoding="utf-8")
    page.goto(path.as_uri())
    page.wait_for_selector(".steps-view[data-drawn]")
    return page.locator(".steps-view")


@pytest.mark.browser
@pytest.mark.parametrize(
    ("architecture", "more"),
    [
        ("gemma2", {}),
        ("gpt_oss", {"scaling": False, "mask": False}),
        ("t5", {"kind": "decoder", "token": 2}),
        ("bitnet", {}),
    ],
)
def test_every_step_of_a_file_can_be_reached_with_the_arrow_keys(
    quiet_page: Any, tmp_path: Path, architecture: str, more: dict[str, Any]
) -> None:
    steps = steps_of(architecture, **more)
    shown = opened(quiet_page, tmp_path, steps_view(steps))
    shown.locator("ol button").first.focus()
    for step in steps.names:
        assert shown.get_attribute("data-drawn") == step
        assert shown.locator(".words").get_attribute("role") is None
        expected = sentences(steps, str)[step].replace("\u2068", "").replace("\u2069", "")
        assert shown.locator(".words").text_content() == expected
        quiet_page.keyboard.press("ArrowRight")
    assert shown.get_attribute("data-drawn") == steps.names[-1]
    assert shown.locator(".next").is_disabled()


@pytest.mark.browser
def test_a_strip_tells_the_number_that_is_pointed_at(quiet_page: Any, tmp_path: Path) -> None:
    steps = steps_of("llama")
    shown = opened(quiet_page, tmp_path, steps_view(steps))
    strip = shown.locator(".picture canvas").first
    box = strip.bounding_box()
    strip.hover(position={"x": box["width"] * 2.5 / 8, "y": 5})
    value = f"{float(steps.query[2]):.4g}".replace("-", "−")
    status = shown.locator(".status").text_content()
    assert status.startswith("number 2 of \u2068query of #40\u2069: ")
    assert float(status.split(": ")[1].replace("−", "-")) == pytest.approx(
        float(value.replace("−", "-")), rel=1e-3
    )


@pytest.mark.browser
def test_weights_are_drawn_as_bars_in_proportion(quiet_page: Any, tmp_path: Path) -> None:
    steps = steps_of("llama")
    shown = opened(quiet_page, tmp_path, steps_view(steps, step="softmax"))
    bars = shown.locator(".table .cell:nth-child(3n) .fill")
    widths = np.array(bars.evaluate_all("bars => bars.map((bar) => parseFloat(bar.style.width))"))
    weights = np.asarray(steps.weights)
    np.testing.assert_allclose(widths, 100 * weights / weights.max(), atol=0.01)
    assert shown.locator(".gone").all_text_contents() == ["−∞", "−∞"]


@pytest.mark.browser
def test_arrow_keys_elsewhere_on_the_page_step_only_if_the_host_says_so(
    quiet_page: Any, tmp_path: Path
) -> None:
    for listens, expected in [(False, "query"), (True, "rotation")]:
        shown = opened(quiet_page, tmp_path, steps_view(steps_of("llama"), listens=listens))
        quiet_page.locator("h1").click()
        quiet_page.keyboard.press("ArrowRight")
        assert shown.get_attribute("data-drawn") == expected


@pytest.mark.browser
def test_tokens_are_shown_as_text_whatever_they_hold(quiet_page: Any, tmp_path: Path) -> None:
    view = steps_view(steps_of("llama"), step="keys")
    rows: Any = view.data["rows"]
    rows[0]["token"] = "<img src=x onerror=alert(1)></script>"
    shown = opened(quiet_page, tmp_path, view)
    assert shown.locator("img").count() == 0
    assert shown.locator(".label .token").nth(1).text_content() == rows[0]["token"]
