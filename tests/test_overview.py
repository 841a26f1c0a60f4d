"""All heads of a long text by pieces: the same as from whole maps, in bounded memory."""

from typing import Any

import numpy as np
import pytest

import vizcore
from tests.support import tiny
from tests.views.decoding import unpacked
from vizcore import overview
from vizcore.maps import AttentionMap
from vizcore.overview import head_overview
from vizcore.patterns import describe
from vizcore.views.head_facts import mean_entropy
from vizcore.views.model_view import model_view
from vizcore.views.pictures import N_EXTRA, picture
from vizcore.views.reduce import areas

SOURCE = "the cat sat on the mat, and looked at the door. " * 12
TARGET = "nobody saw what the other cat did under the table! " * 5


def traced(model_type: str, **changes: Any) -> vizcore.Trace:
    if model_type != "xlnet":  # which has no limit
        changes["max_position_embeddings"] = 256
    network = tiny.tiny_network(model_type, **changes)
    tokenizer = tiny.tokenizer_for(network)
    model = vizcore.Model.of(network, tokenizer, name=model_type)
    ids = tokenizer(SOURCE)["input_ids"][:150]
    if len(model.kinds) == 1:
        return model.trace(ids)
    return model.trace(ids, tokenizer(TARGET)["input_ids"][:70])


def slowly(trace: vizcore.Trace, kind: str) -> list[AttentionMap]:
    return list(trace.maps(kind))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "CELLS_AT_ONCE", 1700)


@pytest.mark.parametrize(
    "model_type",
    ["llama", "gemma3_text", "gpt_oss", "mistral", "bert", "modernbert", "bloom", "t5", "bart",
     "jamba", "xlnet"],
)  # fmt: skip
def test_by_pieces_it_is_the_same_as_from_whole_maps(model_type: str) -> None:
    changes = {"sliding_window": 13} if model_type == "mistral" else {}
    trace = traced(model_type, **changes)
    for kind in trace.kinds:
        found = head_overview(trace, kind)
        maps = slowly(trace, kind)
        assert found.query_tokens == maps[0].query_tokens
        assert found.key_tokens == maps[0].key_tokens
        average = areas(found.shape, n_rows=min(64, found.shape[0]), n_columns=64)
        for map, facts, thumbnail in zip(maps, found.heads, found.pictures, strict=True):
            assert (facts.layer, facts.head, facts.kind) == (map.layer, map.head, map.kind)
            pattern = describe(map)
            assert facts.pattern.name == pattern.name
            assert facts.pattern.text == pattern.text
            assert facts.pattern.score == pytest.approx(pattern.score, rel=1e-3)
            assert facts.entropy == pytest.approx(mean_entropy(map), rel=1e-3, abs=1e-5)
            expected = picture(map, average, apart=True)
            for name in ("values", "masked", "first", "left"):
                np.testing.assert_allclose(
                    getattr(thumbnail, name), getattr(expected, name), atol=2e-6, err_msg=name
                )


def test_progress_goes_from_zero_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    head_overview(traced("llama"), progress=told.append)
    assert told == sorted(told)
    assert 0 < told[0] < 0.2
    assert told[-1] == 1


def test_an_overview_error_names_the_kinds() -> None:
    with pytest.raises(vizcore.SelectionError, match="cross"):
        head_overview(traced("llama"), "cross")


def test_the_model_view_of_an_overview_is_that_of_the_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vizcore.views.head_pictures.MAX_FULL_CELLS", 0)
    trace = traced("bart")
    for kind in trace.kinds:
        from_maps = model_view(trace, kind=kind, detail=False).data
        from_overview = model_view(head_overview(trace, kind), kind=kind, detail=False).data
        codes = [unpacked(data["codes"]) for data in (from_maps, from_overview)]
        assert codes[0].shape == codes[1].shape
        assert (
            np.abs(codes[0].astype(int) - codes[1]).max() <= 1
        )  # one step, where rounding differs
        same = set(from_maps) - {"codes", "scores"}
        assert {name: from_maps[name] for name in same} == {n: from_overview[n] for n in same}


def test_more_heads_than_fit_get_smaller_thumbnails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vizcore.views.head_pictures.MAX_BYTES", 4000)
    found = head_overview(traced("llama"))
    _, lines, rows = unpacked(model_view(found, detail=False).data["codes"]).shape
    assert rows == int((4000 / len(found.heads)) ** 0.5) < 64
    assert lines == rows + N_EXTRA


def test_a_model_view_of_another_kind_error_says_so() -> None:
    found = head_overview(traced("llama"))
    with pytest.raises(vizcore.SelectionError) as error:
        model_view(found, kind="cross")
    assert str(error.value) == (
        "There are no maps of kind 'cross' to show: give at least one AttentionMap."
    )
