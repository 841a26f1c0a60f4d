"""The scene: read from the state and the address, written as a link."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.scene import LONGEST_LINK, Scene, within

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NUMBERS = st.none() | st.integers(0, 10**9 - 1)
SCENES = st.builds(
    Scene,
    model=TEXTS,
    text=TEXTS,
    target=TEXTS,
    kind=st.sampled_from(["", "encoder", "decoder", "cross"]),
    layer=NUMBERS,
    head=NUMBERS,
    token=NUMBERS,
    snapshot=NUMBERS,
    prefix=st.lists(st.integers(0, 10**9 - 1)).map(lambda ids: ".".join(map(str, ids))),
    beams=NUMBERS,
)


@given(SCENES)
def test_a_link_brings_back_exactly_the_scene(scene: Scene) -> None:
    address = dict(parse_qsl(scene.link(), keep_blank_values=True))
    assert Scene.read(address, address) == scene


def test_what_was_not_picked_is_not_in_the_link() -> None:
    assert Scene("smollm2-135m", "我 b\n").link() == "model=smollm2-135m&text=%E6%88%91+b%0A"


def test_what_is_no_number_or_no_kind_counts_as_not_picked() -> None:
    address = {"layer": "-1", "head": "two", "token": "9" * 30, "kind": "sideways"}
    assert Scene.read({"model": "m", "text": "t"}, address) == Scene("m", "t")


@pytest.mark.parametrize("prefix", ["1.", ".1", "1..2", "1,2", "a", "-1", "1" * 10])
def test_a_prefix_that_is_no_ids_counts_as_none(prefix: str) -> None:
    assert Scene.read({}, {"prefix": prefix}) == Scene("", "")
    assert Scene.read({}, {"prefix": "1.20.3"}).prefix_ids == [1, 20, 3]
    assert Scene("", "").prefix_ids == []


def test_a_scene_of_an_empty_session_is_empty() -> None:
    assert Scene.read({}, {}) == Scene("", "")
    assert Scene.read({"model": None, "text": None, "target": None}, {}) == Scene("", "")


def test_a_text_is_too_long_for_a_link_by_what_it_takes_in_the_address() -> None:
    assert Scene("m", "a" * (LONGEST_LINK - 20)).fits_a_link
    assert not Scene("m", "a" * LONGEST_LINK).fits_a_link
    assert not Scene("m", "我" * (LONGEST_LINK // 9)).fits_a_link


def test_a_position_of_another_text_is_brought_to_the_end_of_this_one() -> None:
    assert [within(picked, 4) for picked in (None, 0, 4, 5)] == [None, 0, 4, 4]
