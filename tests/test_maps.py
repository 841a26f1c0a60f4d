"""`AttentionMap`: what it takes, what it refuses, what it is called."""

import dataclasses

import numpy as np
import pytest
import torch

from vizcore import AttentionMap, ShapeError

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


def test_a_frame_has_one_row_a_cell_query_by_query() -> None:
    frame = made().to_frame()
    assert list(frame.columns) == ["query", "query_token", "key", "key_token", "value"]
    assert frame.iloc[4].tolist() == [1, "b", 1, "y", 0.25]
    assert len(frame) == 6
    assert frame["value"].tolist() == [cell for row in VALUES for cell in row]


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
    with pytest.raises(ShapeError) as heads:
        made(values=[VALUES])
    assert str(heads.value) == (
        "values has shape (1, 2, 3), but there are 2 query tokens and 3 key tokens: values must be "
        "(query, key), here (2, 3)."
    )
