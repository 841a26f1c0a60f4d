"""What is packed row by row can be read back, to the error that is stated, whole or in part."""

from typing import Any

import numpy as np
import pytest

from tests.views.decoding import unpacked
from tests.views.synthetic import a_map, attention_maps
from vizcore.errors import ShapeError
from vizcore.views.rows import Form, form_of, pack_rows


def read(codes: np.ndarray, data: dict[str, Any]) -> np.ndarray:
    """Values of codes, by a formula written a second time; masked ones are 0."""
    place = codes.astype(np.float64) / 250
    if data["signed"]:
        place = 2 * place - 1
    value = data["high"] * (place * np.abs(place) if data["fine"] else place)
    return np.where(codes == 255, 0, np.where(codes == 254, np.nan, value))


def dense(data: dict[str, Any], n_keys: int) -> np.ndarray:
    """(map, query, key), with 0 for what was not kept."""
    values = read(unpacked(data["codes"]), data)
    if data["keys"] is None:
        return values
    low, high = np.moveaxis(unpacked(data["keys"]).astype(int), -1, 0)
    whole = np.zeros((*values.shape[:2], n_keys))
    np.put_along_axis(whole, low + 256 * high, values, axis=2)
    return whole


@pytest.mark.parametrize("fine", [True, False])
def test_whole_maps_come_back_to_the_stated_error(fine: bool) -> None:
    maps = list(attention_maps(1, 3, 9, n_queries=7))
    data = pack_rows(maps, Form(kept=None, fine=fine))
    truth = np.stack([map.values for map in maps])
    high = truth.max()
    assert data["high"] == high
    error = np.abs(dense(data, 9) - truth)
    assert error.max() <= high / 500 * (2 if fine else 1) + 1e-6
    if fine:  # of small weights it is smaller
        assert error[truth < 0.01 * high].max() <= high / 2000
    masked = np.broadcast_to(maps[0].masked, truth.shape)
    assert (unpacked(data["codes"])[masked] == 255).all()


@pytest.mark.parametrize("fine", [True, False])
def test_numbers_below_zero_come_back_with_their_sign(fine: bool) -> None:
    values = np.random.default_rng(0).normal(size=(4, 6))
    data = pack_rows([a_map(values, "abcd", "abcdef")], Form(kept=None, fine=fine))
    assert data["signed"]
    assert not data["isAttention"]
    assert np.abs(dense(data, 6)[0] - values).max() <= np.abs(values).max() / 125
    zero = pack_rows([a_map([[-1.0, 0.0]], "a", "bc")], Form(kept=None, fine=fine))
    assert dense(zero, 2)[0, 0, 1] == 0


def test_of_long_rows_the_strongest_are_kept_and_the_rest_is_summed() -> None:
    (map,) = attention_maps(1, 1, 30, n_queries=20, causal=False)
    data = pack_rows([map], Form(kept=5, fine=True), both_ways=True)
    truth = map.values
    kept = dense(data, 30)[0]
    for query, row in enumerate(truth):
        strongest = set(np.argsort(-row)[:5])
        assert set(np.flatnonzero(kept[query])) == strongest
        rest = (unpacked(data["rest"])[0, query] / 250) ** 2 * data["restHigh"]
        expected = sum(weight for key, weight in enumerate(row) if key not in strongest)
        assert rest == pytest.approx(expected, abs=0.005)
    assert read(unpacked(data["first"]), data)[0] == pytest.approx(truth[:, 0], abs=0.005)
    back: Any = data["queries"]
    places = unpacked(back["keys"]).astype(int) @ [1, 256]
    for key, column in enumerate(truth.T):
        assert set(places[0, key]) == set(np.argsort(-column)[:5])


def test_what_is_masked_is_never_among_the_strongest() -> None:
    (map,) = attention_maps(1, 1, 20)
    data = pack_rows([map], Form(kept=6, fine=True))
    codes = unpacked(data["codes"])[0]
    places = unpacked(data["keys"]).astype(int)[0] @ [1, 256]
    for query in range(20):
        seen = places[query][codes[query] != 255]
        assert seen.max() <= query
        assert len(seen) == min(6, query + 1)
    first_end = unpacked(data["visible"]).astype(int) @ np.array(
        [[1, 0], [256, 0], [0, 1], [0, 256]]
    )
    assert first_end.tolist() == [[0, query + 1] for query in range(20)]


def test_a_row_with_a_number_that_is_none_is_marked() -> None:
    values = np.full((3, 20), 0.05)
    values[1, 4] = np.nan
    values[2, 7] = np.inf
    data = pack_rows([a_map(values, "abc", "abcdefghijklmnopqrst")], Form(kept=12, fine=True))
    assert (unpacked(data["rest"])[0] == 254).tolist() == [False, True, True]
    whole = pack_rows([a_map(values, "abc", "abcdefghijklmnopqrst")], Form(kept=None, fine=True))
    assert np.argwhere(unpacked(whole["codes"])[0] == 254).tolist() == [[1, 4], [2, 7]]
    assert whole["high"] == pytest.approx(0.05)


def test_where_nobody_may_look_a_number_that_is_none_does_not_count() -> None:
    values = np.array([[1.0, np.nan], [0.5, 0.5]])
    masked = np.array([[False, True], [False, False]])
    data = pack_rows([a_map(values, "ab", "ab", masked=masked)], Form(kept=None, fine=True))
    assert unpacked(data["codes"])[0].tolist() == [[250, 255], [177, 177]]
    assert data["isAttention"]


def test_the_form_is_the_most_exact_that_fits() -> None:
    budget = {"fine_bytes": 1_000, "max_bytes": 5_000}
    assert form_of(1, (20, 40), **budget) == Form(kept=None, fine=True)
    assert form_of(5, (20, 40), **budget) == Form(kept=None, fine=False)
    assert form_of(10, (10, 400), **budget) == Form(kept=16, fine=True)
    assert form_of(10, (20, 400), **budget) is None
    assert form_of(10, (20, 400), least=1, **budget) == Form(kept=8, fine=True)
    assert form_of(10, (10, 390), both_ways=True, least=1, **budget) is None


def test_maps_of_different_tokens_are_refused_with_both_shapes_errors() -> None:
    with pytest.raises(ShapeError) as caught:
        pack_rows(
            [a_map([[1.0]], "a", "a", head=0), a_map([[1.0, 0.0]], "a", "ab", head=1)],
            Form(kept=None, fine=True),
        )
    assert str(caught.value) == (
        "head 1 has shape (1, 2), head 0 has (1, 1): maps that are shown together must be of the "
        "same tokens."
    )
