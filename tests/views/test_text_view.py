"""The text view packs a map so that every token can be pointed at, however long the text is."""

from typing import Any

import numpy as np
import pytest

from tests.views.decoding import unpacked
from tests.views.synthetic import a_map, attention_maps
from vizcore.errors import SelectionError
from vizcore.views import text_view as views
from vizcore.views.text_view import text_view


def data_of(*arguments: Any, **more: Any) -> dict[str, Any]:
    """What the view's module is given."""
    return text_view(*arguments, **more).data


def one_map(**more: Any) -> Any:
    """A map of one head over eight tokens."""
    return next(attention_maps(1, 1, 8, **more))


def test_one_text_is_there_once_and_two_are_there_twice() -> None:
    alone = data_of(one_map())
    assert alone["queries"] is None
    assert alone["keys"]["tokens"] == [f"t{position}" for position in range(8)]
    cross = data_of(a_map([[0.5, 0.25, 0.25]], ["·x"], "abc", kind="cross"))
    assert cross["queries"] == {"tokens": ["·x"], "pieces": ["x"], "flags": [0]}
    assert cross["keys"]["tokens"] == ["a", "b", "c"]


def test_a_text_that_was_translated_into_itself_still_is_two() -> None:
    assert data_of(a_map(np.eye(2), "ab", "ab", kind="cross"))["queries"] is not None


def test_the_average_is_over_those_who_may_look() -> None:
    map = one_map()
    expected = [map.values[key:, key].mean() for key in range(8)]
    assert data_of(map)["average"] == pytest.approx(expected, abs=1e-5)


def test_numbers_that_are_none_take_no_part_in_the_average() -> None:
    map = a_map([[np.nan, 1.0], [0.5, np.inf]], "ab", "ab")
    assert data_of(map)["average"] == [0.5, 1.0]


def test_a_short_map_is_sent_whole_and_of_a_long_one_the_strongest_both_ways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert data_of(one_map())["weights"]["nKept"] is None
    monkeypatch.setattr(views, "MAX_BYTES", 48 * 4 - 1)
    (map,) = attention_maps(1, 1, 16)
    weights = data_of(map)["weights"]
    assert weights["nKept"] == 1
    strongest = unpacked(weights["keys"]).astype(int)[0, :, 0] @ [1, 256]
    assert strongest.tolist() == map.values.argmax(axis=1).tolist()
    looking = unpacked(weights["queries"]["keys"]).astype(int)[0, :, 0] @ [1, 256]
    assert looking.tolist() == map.values.argmax(axis=0).tolist()


def test_four_thousand_tokens_are_a_small_page() -> None:
    n = 4000
    values = np.zeros((n, n), np.float32)
    for distance in range(1, 200):
        values += np.eye(n, k=-distance, dtype=np.float32) / distance
    values[:, 0] += 1
    values /= values.sum(axis=1, keepdims=True)
    tokens = [f"·w{position}" for position in range(n)]
    map = a_map(values, tokens, tokens, masked=np.triu(np.ones((n, n), bool), 1))
    view = text_view(map)
    assert len(view.to_html().encode()) < 3_000_000
    assert view.data["weights"]["nKept"] == 64


def test_the_view_begins_as_it_is_told() -> None:
    data = data_of(one_map(), direction="from", selected=3, scale="log", own_scale=False)
    assert (data["direction"], data["log"], data["ownScale"]) == ("from", True, False)
    assert data["selected"] == {"side": "key", "token": 3}
    assert data_of(one_map(), selected=3)["selected"] == {"side": "query", "token": 3}


def test_the_first_token_is_grey_in_decoders_and_shown_elsewhere() -> None:
    assert data_of(one_map())["sink"] == "grey"
    assert data_of(one_map(kind="encoder"))["sink"] == "keep"


def test_the_title_says_what_the_map_is_of() -> None:
    assert text_view(one_map()).title == "Layer 0, head 0: what each token looks at"
    assert text_view(one_map(), title="Mine").title == "Mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"selected": 8}, "There is no token 8 to hold: they go from 0 to 7."),
        ({"direction": "at"}, "There is no direction 'at'. Choose one of to, from."),
        ({"sink": "no"}, "There is no sink='no'. Choose one of keep, grey, renormalise."),
    ],
)
def test_what_is_not_there_is_named_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SelectionError) as caught:
        text_view(one_map(), **arguments)
    assert str(caught.value) == message


def test_a_map_without_tokens_is_refused_errors() -> None:
    with pytest.raises(SelectionError) as caught:
        text_view(a_map(np.zeros((0, 0)), "", ""))
    assert str(caught.value) == "The map has no tokens, so there is no text to show."


def test_a_map_that_is_too_large_is_refused_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MAX_BYTES", 47)
    with pytest.raises(SelectionError) as caught:
        text_view(one_map())
    assert str(caught.value) == "A map of 8 × 8 tokens is too large for a page: show a part of it."
