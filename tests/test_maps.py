"""`AttentionMap`: what it takes, what it refuses, what it is called."""

import dataclasses

import numpy as np
import pytest
import torch

from vizcore import AttentionMap, HasMaps, ShapeError, Words
from vizcore.maps import maps_of

VALUES = [[0.25, 0.75, 0.0], [0.5, 0.25, 0.25]]


def made(**changes: object) -> AttentionMap:
    fields: dict[str, object] = {
        "values": VALUES,
        "query_tokens": ["a", "b"],
        "key_tokens": ["x", "y", "z"],
    }
    return AttentionMap(**(fields | changes))  # type: ignore[arg-type]


def test_anything_like_an_array_becomes_float32() -> None:
    amap = made()
    assert amap.values.dtype == np.float32
    assert amap.values.tolist() == VALUES
    assert made(values=np.array(VALUES, dtype=np.float64)).values.dtype == np.float32
    half = torch.tensor(VALUES, dtype=torch.bfloat16, requires_grad=True)
    assert made(values=half).values.tolist() == VALUES


def test_labels_are_kept_as_tuples() -> None:
    assert (made().query_tokens, made().key_tokens) == (("a", "b"), ("x", "y", "z"))


def test_a_map_may_be_replaced_but_not_changed() -> None:
    amap = made(layer=3)
    other = dataclasses.replace(amap, layer=4)
    assert (other.layer, other.key_tokens) == (4, ("x", "y", "z"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        amap.layer = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "attention"),
        ({"quantity": "rollout"}, "rollout"),
        ({"layer": 3, "head": 2, "kind": "decoder"}, "layer 3, head 2"),
        ({"layer": 0, "kind": "encoder"}, "encoder, layer 0"),
        ({"layer": 1, "head": 0, "kind": "cross"}, "cross, layer 1, head 0"),
    ],
)
def test_a_map_is_called_what_it_is_of(fields: dict[str, object], name: str) -> None:
    assert made(**fields).name == name


def test_a_map_is_shown_as_what_it_is_and_not_as_all_its_numbers() -> None:
    assert repr(made()) == "AttentionMap(attention, 2 queries × 3 keys)"
    assert repr(made(layer=3, head=2, quantity="rollout")) == (
        "AttentionMap(rollout of layer 3, head 2, 2 queries × 3 keys)"
    )


def test_a_frame_has_one_row_a_cell_query_by_query() -> None:
    frame = made().to_frame()
    assert list(frame.columns) == ["query", "query_token", "key", "key_token", "value", "masked"]
    assert frame.iloc[4].tolist() == [1, "b", 1, "y", 0.25, False]
    assert len(frame) == 6
    assert frame["value"].tolist() == [cell for row in VALUES for cell in row]


def test_a_frame_says_where_a_query_was_not_allowed_to_look() -> None:
    frame = made(masked=[[False, False, True], [False, False, False]]).to_frame()
    assert frame.loc[frame["masked"], ["query_token", "key_token"]].values.tolist() == [["a", "z"]]
    assert not made().to_frame()["masked"].any()


def test_a_frame_is_a_table_for_other_programs() -> None:
    csv = made(query_tokens=["a,", "我"]).to_frame().to_csv(index=False).splitlines()
    assert csv[0] == "query,query_token,key,key_token,value,masked"
    assert csv[1] == '0,"a,",0,x,0.25,False'
    assert csv[6] == "1,我,2,z,0.25,False"


def test_shape_errors_print_both_shapes() -> None:
    with pytest.raises(ShapeError) as swapped:
        made(query_tokens=["a", "b", "c"], key_tokens=["x", "y"])
    assert str(swapped.value) == (
        "values has shape (2, 3), but there are 3 query tokens and 2 key tokens: values must be "
        "(query, key), here (3, 2)."
    )
    with pytest.raises(ShapeError) as masked:
        made(masked=[[True, False]])
    assert str(masked.value) == (
        "masked has shape (1, 2), values has shape (2, 3): they must be the same."
    )
    with pytest.raises(ShapeError) as words:
        made(key_words=Words((0, 0), ("xy",), (False,), ("",)))
    assert str(words.value) == (
        "key_words says to which word each of 2 tokens belongs, but there are 3 tokens: they must "
        "be the same."
    )
    with pytest.raises(ShapeError) as heads:
        made(values=[VALUES])
    assert str(heads.value) == (
        "values has shape (1, 2, 3), but there are 2 query tokens and 3 key tokens: values must be "
        "(query, key), here (2, 3)."
    )


def test_maps_are_taken_from_whatever_has_them() -> None:
    encoder, cross = made(kind="encoder"), made(kind="cross")

    class Source:
        def maps(self, kind: str | None = None) -> list[AttentionMap]:
            return [cross] if kind == "cross" else [encoder]

    assert isinstance(Source(), HasMaps)
    assert list(maps_of(Source())) == [encoder]
    assert list(maps_of(Source(), "cross")) == [cross]
    assert list(maps_of([encoder, cross])) == [encoder, cross]
    assert list(maps_of([encoder, cross], "cross")) == [cross]
    assert list(maps_of(encoder)) == [encoder]
