"""The open head, seen as lines, as text, number by number, and what the options make of it."""

from pathlib import Path
from typing import Any

import pytest

import vizcore
from tests.browser.conftest import Visitor

SENTENCE = "Unbelievable stories happened yesterday"
DRAWN = ".headlight.{name}[data-drawn]"


@pytest.mark.parametrize(
    ("label", "name"), [("Lines", "head-view"), ("Text", "text-view"), ("Numbers", "neuron-view")]
)
def test_the_head_can_be_seen_in_other_ways_and_the_link_says_which(
    visitor: Visitor, label: str, name: str
) -> None:
    visitor.open(text=SENTENCE, layer=2, head=1, token=2)
    visitor.page.get_by_role("radio", name=label).click()
    visitor.page.wait_for_selector(DRAWN.format(name=name))
    visitor.address_has(seen=label.lower(), layer=2, head=1, token=2)
    visitor.page.reload()
    visitor.page.wait_for_selector(DRAWN.format(name=name))


def test_words_take_the_place_of_pieces(visitor: Visitor, smollm2: Any) -> None:
    visitor.open(text=SENTENCE, layer=2, head=1, unit="word")
    one = vizcore.by_words(smollm2.trace(SENTENCE).map(2, 1))
    assert len(one.query_tokens) == 4
    visitor.expect_map(one.values)


@pytest.mark.parametrize("of", ["norm", "layer", "rollout"])
def test_what_is_shown_is_what_the_library_computes(
    visitor: Visitor, smollm2: Any, of: str
) -> None:
    trace = smollm2.trace(SENTENCE)
    expected = {
        "norm": lambda: vizcore.weighted_norms(trace, 2, 1, normalise=True),
        "layer": lambda: vizcore.mean_map(trace, layer=2),
        "rollout": lambda: vizcore.rollout(trace, layer=2),
    }[of]()
    visitor.open(text=SENTENCE, layer=2, head=1, of=of)
    visitor.expect_map(expected.values)


def test_two_heads_are_compared_and_the_link_says_with_which(
    visitor: Visitor, smollm2: Any
) -> None:
    trace = smollm2.trace(SENTENCE)
    visitor.open(text=SENTENCE, layer=2, head=1)
    visitor.page.get_by_role("button", name="Options").click()
    visitor.page.get_by_label("and head").fill("4")
    visitor.page.keyboard.press("Enter")
    visitor.address_has(layer=2, head=1, minus_head=4)
    visitor.expect_map(vizcore.difference(trace.map(2, 1), trace.map(2, 4)).values)
    visitor.page.reload()
    visitor.expect_map(vizcore.difference(trace.map(2, 1), trace.map(2, 4)).values)


def test_the_map_can_be_had_as_a_table(visitor: Visitor, smollm2: Any, tmp_path: Path) -> None:
    import pandas as pd

    visitor.open(text=SENTENCE, layer=2, head=1)
    visitor.page.get_by_role("button", name="Options").click()
    with visitor.page.expect_download() as download:
        visitor.page.get_by_role("button", name="Table (CSV)").click()
    download.value.save_as(tmp_path / "map.csv")
    table = pd.read_csv(tmp_path / "map.csv")
    expected = smollm2.trace(SENTENCE).attention(2, 1)
    assert len(table) == expected.numel()
    assert abs(table["value"].to_numpy() - expected.flatten().numpy()).max() < 1e-6


def test_flow_shows_where_the_picked_token_comes_from(visitor: Visitor) -> None:
    visitor.page.goto(f"{visitor.address}/flow?text=Unbelievable+stories&token=1")
    visitor.page.wait_for_selector(DRAWN.format(name="flow-view"))
    assert visitor.page.get_by_test_id("stException").count() == 0
