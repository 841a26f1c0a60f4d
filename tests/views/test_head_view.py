"""The head view packs what its lines are drawn from: which layers and heads, and how exactly."""

from typing import Any

import numpy as np
import pytest

import vizcore
from tests.support import tiny
from tests.views.decoding import unpacked
from tests.views.synthetic import a_map, attention_maps
from vizcore.errors import SelectionError
from vizcore.maps import AttentionMap
from vizcore.patterns import describe
from vizcore.views import head_view as views
from vizcore.views.head_view import head_view


def data_of(*arguments: Any, **more: Any) -> dict[str, Any]:
    """What the view's module is given."""
    return head_view(*arguments, **more).data


def test_every_head_is_there_with_what_it_does_in_words() -> None:
    maps = list(attention_maps(2, 3, 8))
    data = data_of(maps)
    assert [one["layer"] for one in data["layers"]] == [0, 1]
    told = [head for one in data["layers"] for head in one["heads"]]
    assert [head["head"] for head in told] == [0, 1, 2, 0, 1, 2]
    assert [head["text"] for head in told] == [describe(map).text for map in maps]
    assert data["queryTokens"] == data["keyTokens"] == list(maps[0].query_tokens)
    assert data["on"] == [0, 1, 2]


def test_the_weights_of_a_layer_are_those_of_its_maps() -> None:
    maps = list(attention_maps(2, 2, 6, n_queries=4, causal=False))
    weights = data_of(maps)["layers"][1]["weights"]
    values = (unpacked(weights["codes"]) / 250) ** 2 * weights["high"]
    assert values == pytest.approx(np.stack([map.values for map in maps[2:]]), abs=0.005)


def test_the_first_layer_with_a_head_that_does_one_thing_is_in_front() -> None:
    previous = np.eye(6, k=-1) + np.eye(6) * (np.arange(6) == 0)
    maps = [*attention_maps(2, 2, 6), a_map(previous, "abcdef", "abcdef", layer=2, head=0)]
    maps = [AttentionMap(m.values, "abcdef", "abcdef", layer=m.layer, head=m.head) for m in maps]
    assert data_of(maps)["shown"] == 2
    assert data_of(maps, 1)["shown"] == 1
    assert data_of(list(attention_maps(2, 2, 6)))["shown"] == 0


def test_some_heads_can_be_on_at_first() -> None:
    assert data_of(list(attention_maps(1, 4, 5)), heads=[3, 1])["on"] == [3, 1]


def test_the_first_token_is_grey_in_decoders_and_shown_elsewhere() -> None:
    assert data_of(list(attention_maps(1, 1, 5)))["sink"] == "grey"
    assert data_of(list(attention_maps(1, 1, 5, kind="encoder")))["sink"] == "keep"
    assert data_of(list(attention_maps(1, 1, 5)), sink="renormalise")["sink"] == "renormalise"


def test_all_layers_are_sent_while_they_fit_and_the_chosen_one_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    maps = list(attention_maps(3, 2, 10))
    monkeypatch.setattr(views, "MAX_BYTES", 600)
    assert len(data_of(maps)["layers"]) == 3
    monkeypatch.setattr(views, "MAX_BYTES", 599)
    data = data_of(maps, 2)
    assert [one["layer"] for one in data["layers"]] == [2]
    assert data["shown"] == 0
    assert data["layers"][0]["weights"]["nKept"] is None
    monkeypatch.setattr(views, "MAX_BYTES", 199)
    assert data_of(maps, 2)["layers"][0]["weights"]["nKept"] == 3


def test_codes_are_fine_while_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = list(attention_maps(1, 2, 10))
    assert data_of(maps)["layers"][0]["weights"]["fine"] is True
    monkeypatch.setattr(views, "FINE_BYTES", 199)
    assert data_of(maps)["layers"][0]["weights"]["fine"] is False


def test_a_page_of_six_layers_of_twelve_heads_stays_within_its_budget() -> None:
    generator = np.random.default_rng(0)
    maps = []
    for layer in range(6):
        for head in range(12):
            # As peaked as the weights of a trained encoder are.
            scores = 3 * generator.normal(size=(128, 128))
            weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
            maps.append(a_map(weights, ["t"] * 128, ["t"] * 128, layer=layer, head=head))
    view = head_view(maps)
    assert len(view.data["layers"]) == 6
    assert len(view.to_html().encode()) < 1_000_000


def test_a_trace_is_asked_for_the_chosen_kind() -> None:
    network = tiny.tiny_network("bart", decoder_start_token_id=2)
    model = vizcore.Model.of(network, tiny.tokenizer_for(network), name="bart")
    trace = model.trace("the cat looked", "the mat")
    for kind in trace.kinds:
        data = data_of(trace, 1, kind=kind)
        assert data["kind"] == kind
        assert data["queryTokens"] == trace.query_tokens(kind)
        assert data["keyTokens"] == trace.key_tokens(kind)
        weights = data["layers"][data["shown"]]["weights"]
        values = (unpacked(weights["codes"])[0] / 250) ** 2 * weights["high"]
        expected = trace.map(1, 0, kind)
        seen = np.ones(values.shape, bool) if expected.masked is None else ~expected.masked
        assert values[seen] == pytest.approx(expected.values[seen], abs=0.005)


def test_a_layer_that_a_trace_does_not_have_is_named_errors() -> None:
    network = tiny.tiny_network("llama")
    model = vizcore.Model.of(network, tiny.tokenizer_for(network), name="llama")
    with pytest.raises(SelectionError, match="There is no layer 9: llama has"):
        head_view(model.trace("the cat"), 9)


def test_a_map_of_no_layer_is_shown_under_its_name() -> None:
    data = data_of(a_map([[0.5, 0.5]], "a", "bc", quantity="rollout"))
    assert data["layers"][0]["layer"] is None
    assert data["layers"][0]["heads"][0]["name"] == "rollout"


def test_long_tokens_are_cut_and_heads_of_long_texts_described_by_their_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (map,) = attention_maps(1, 1, 12)
    monkeypatch.setattr(views, "MAX_DESCRIBED", 6)
    data = data_of(map)
    assert data["nDescribed"] == 6
    tokens = map.query_tokens[:6]
    beginning = AttentionMap(map.values[:6, :6], tokens, tokens, masked=map.masked[:6, :6])
    assert data["layers"][0]["heads"][0]["text"] == describe(beginning).text
    long = a_map([[1.0]], ["x" * 50], ["x" * 50])
    assert data_of(long)["queryTokens"] == ["x" * 39 + "…"]


def test_two_views_of_the_same_have_one_identity_and_others_do_not() -> None:
    maps = list(attention_maps(1, 2, 5))
    same = [data_of(maps, selected=("query", token))["identity"] for token in (0, 3)]
    assert same[0] == same[1]
    assert data_of(maps[:1])["identity"] != same[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": []}, "There are no maps to show: give at least one AttentionMap."),
        (
            {"source": list(attention_maps(1, 1, 2)), "kind": "cross"},
            "There are no maps of kind 'cross' to show: give at least one AttentionMap.",
        ),
        (
            {"source": list(attention_maps(2, 3, 2)), "layer": 2},
            "There is no layer 2. Layers: 0, 1.",
        ),
        (
            {"source": list(attention_maps(2, 3, 2)), "heads": [1, 3]},
            "There is no head 3 to switch on. Heads: 0, 1, 2.",
        ),
        (
            {"source": list(attention_maps(1, 1, 2)), "selected": ("query", 2)},
            "There is no query 2 to hold: they go from 0 to 1.",
        ),
        (
            {"source": list(attention_maps(1, 1, 2)), "selected": ("row", 1)},
            'A token is held as a "query" or as a "key", not as \'row\'.',
        ),
        (
            {"source": list(attention_maps(1, 1, 2)), "sink": "away"},
            "There is no sink='away'. Choose one of keep, grey, renormalise.",
        ),
    ],
)
def test_what_is_not_there_is_named_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SelectionError) as caught:
        head_view(arguments.pop("source"), **arguments)
    assert str(caught.value) == message


def test_layers_that_do_not_fit_are_refused_if_all_are_asked_for_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(views, "MAX_BYTES", 400)
    with pytest.raises(SelectionError) as caught:
        head_view(list(attention_maps(2, 3, 20)), all_layers=True)
    assert str(caught.value) == (
        "2 layers of 3 heads over 20 tokens are too many for one page: give a layer, and leave out "
        "all_layers=True."
    )


SEEN = {
    "all colours": np.eye(3),
    "no red (Machado et al. 2009)": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "no green": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "no blue": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def linear(colour: str) -> np.ndarray:
    """Red, green, blue as amounts of light."""
    shares = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


def oklab(light: np.ndarray) -> np.ndarray:
    """Björn Ottosson's OKLab, in which distances are about as large as they look."""
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    mixed = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return mixed @ np.cbrt(np.clip(cones @ light, 0, None))


@pytest.mark.parametrize("eyes", SEEN)
@pytest.mark.parametrize(("scheme", "page"), [("light", "#ffffff"), ("dark", "#0e1117")])
def test_heads_can_be_told_apart_by_colour_and_from_the_page(
    scheme: str, page: str, eyes: str
) -> None:
    luminance = np.array([0.2126, 0.7152, 0.0722])
    lights = [linear(colour) for colour in views.HEADS[scheme]]
    for light in lights:
        ends = sorted((luminance @ light, luminance @ linear(page)))
        assert (ends[1] + 0.05) / (ends[0] + 0.05) >= 3
    seen = [oklab(np.clip(SEEN[eyes] @ light, 0, 1)) for light in lights]
    for index, one in enumerate(seen):
        for other in seen[:index]:
            assert np.linalg.norm(one - other) > 0.09
