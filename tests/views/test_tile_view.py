"""The tile view's data: exact regions, honest means, and never more than a million numbers."""

import base64
import zlib
from typing import Any

import numpy as np
import pytest

import vizcore
from tests.support import tiny
from vizcore.errors import SelectionError
from vizcore.maps import AttentionMap
from vizcore.views import map_tiles
from vizcore.views.map_tiles import MASKED, TOO_LITTLE, LongMap, MapRegion, cut
from vizcore.views.tile_view import MAX_VALUES, TILE_SIDE, tile_view


def a_map(n_queries: int, n_keys: int, *, causal: bool = False, seed: int = 0) -> AttentionMap:
    rng = np.random.default_rng(seed)
    values = rng.random((n_queries, n_keys), dtype=np.float32) ** 8
    masked = None
    if causal:
        masked = np.triu(np.ones((n_queries, n_keys), bool), 1 + n_keys - n_queries)
        values = np.where(masked, 0, values)
    values /= values.sum(axis=1, keepdims=True)
    queries = [f"q{i}" for i in range(n_queries)]
    return AttentionMap(values, queries, [f"k{i}" for i in range(n_keys)], masked=masked)


def unpacked(packed: Any) -> np.ndarray:
    """(row, column), by a reading of its own: planes of bytes, the lowest first."""
    raw = base64.b64decode(packed["planes"]["base64"])
    if packed["planes"]["encoding"] == "deflate-raw":
        raw = zlib.decompress(raw, wbits=-15)
    size, rows, columns = packed["planes"]["shape"]
    cells = [
        bytes(raw[plane * rows * columns + cell] for plane in range(size))
        for cell in range(rows * columns)
    ]
    return np.frombuffer(b"".join(cells), dtype=f"<f{size}").reshape(rows, columns)


def by_loops(map: AttentionMap, region: MapRegion, block: int) -> np.ndarray:
    n_rows = -(-region.n_queries // block)
    n_columns = -(-region.n_keys // block)
    found = np.zeros((n_rows, n_columns))
    for row in range(n_rows):
        for column in range(n_columns):
            first = region.query + row * block
            queries = range(first, min(first + block, region.query + region.n_queries))
            begin = region.key + column * block
            keys = range(begin, min(begin + block, region.key + region.n_keys))
            cells = [(q, k) for q in queries for k in keys]
            if map.masked is not None and all(map.masked[cell] for cell in cells):
                found[row, column] = -np.inf
                continue
            found[row, column] = sum(float(map.values[cell]) for cell in cells) / len(queries)
    return found


@pytest.mark.parametrize("block", [1, 3, 7])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("at_once", [10, 100, 100_000])
def test_a_cell_is_the_weight_that_its_queries_give_to_its_keys_on_average(
    block: int, causal: bool, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_tiles, "ROWS_CELLS", at_once)
    map = a_map(23, 31, causal=causal)
    regions = [MapRegion(0, 0, 23, 31), MapRegion(5, 9, 13, 20)]
    tiles = cut(LongMap.of(map, None, None, None), [(region, block) for region in regions])
    for tile, region in zip(tiles, regions, strict=True):
        np.testing.assert_allclose(tile.values, by_loops(map, region, block), atol=1e-6)


def test_of_maps_that_are_no_attention_a_cell_is_the_mean_of_what_is_not_masked() -> None:
    values = np.array([[-1.0, 5.0, 2.0, 9.0], [3.0, 1.0, 4.0, 9.0]])
    masked = np.array([[False, True, False, True], [False, False, False, True]])
    map = AttentionMap(values, "ab", "cdef", quantity="difference", masked=masked)
    long_map = LongMap.of(map, None, None, None)
    assert not long_map.is_attention
    (tile,) = cut(long_map, [(MapRegion(0, 0, 2, 4), 2)])
    np.testing.assert_allclose(tile.values, [[1.0, 3.0]])
    (tile,) = cut(long_map, [(MapRegion(0, 3, 2, 1), 2)])
    assert tile.values[0, 0] == MASKED


@pytest.mark.parametrize("what", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_marks_its_cell_and_no_other(what: float) -> None:
    map = a_map(6, 6)
    map.values[2, 3] = what
    (tile,) = cut(LongMap.of(map, None, None, None), [(MapRegion(0, 0, 6, 6), 2)])
    expected = np.zeros((3, 3), bool)
    expected[1, 1] = True
    np.testing.assert_array_equal(np.isnan(tile.values), expected)


def test_without_the_first_token_rows_sum_to_one_and_rows_that_leave_little_are_marked() -> None:
    map = AttentionMap([[0.5, 0.25, 0.25], [0.995, 0.005, 0.0], [0.0, 0.4, 0.6]], "abc", "abc")
    long_map = LongMap.of(map, None, None, None)
    (tile,) = cut(long_map, [(MapRegion(0, 0, 3, 3), 1)], without_first=True)
    np.testing.assert_allclose(tile.values[[0, 2]], [[0, 0.5, 0.5], [0, 0.4, 0.6]])
    assert (tile.values[1] == TOO_LITTLE).all()
    (tile,) = cut(long_map, [(MapRegion(0, 0, 3, 3), 3)], without_first=True)
    assert tile.values[0, 0] == pytest.approx(1.0)  # the mean of the rows that leave enough


def test_a_region_in_full_is_the_map_itself() -> None:
    map = a_map(900, 700, causal=False)
    data: Any = tile_view(map, region=MapRegion(100, 300, 200, 150)).data
    found = unpacked(data["tile"])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, map.values[100:300, 300:450])
    assert (data["tile"]["query"], data["tile"]["key"], data["tile"]["block"]) == (100, 300, 1)


def test_a_large_tile_of_weights_keeps_three_digits() -> None:
    map = a_map(400, 300)
    data: Any = tile_view(map).data
    found = unpacked(data["tile"]).astype(np.float64)
    np.testing.assert_allclose(found, map.values, rtol=1 / 2048, atol=6e-8)


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("region", [None, MapRegion(300, 40, 5000, 5000), MapRegion(7, 7, 700, 2)])
@pytest.mark.parametrize("shape", [(1500, 1700), (2000, 3), (1, 1)])
def test_a_page_never_holds_more_than_a_million_numbers(
    shape: tuple[int, int], region: MapRegion | None, live: bool
) -> None:
    data: Any = tile_view(a_map(*shape), region=region, live=live).data
    grids = [grid for grid in (data["tile"], data["backdrop"]) if grid is not None]
    assert sum(np.prod(grid["planes"]["shape"][1:]) for grid in grids) <= MAX_VALUES
    assert all(max(grid["planes"]["shape"][1:]) <= TILE_SIDE for grid in grids)
    is_whole = region is None or region.within(shape) == MapRegion(0, 0, *shape)
    assert (data["backdrop"] is None) == (not live and is_whole)


def test_an_earlier_view_of_the_same_map_lends_its_coarse_picture() -> None:
    map = a_map(800, 800)
    first = tile_view(map, live=True)
    region = MapRegion(0, 0, 100, 100)
    assert (
        tile_view(map, region=region, live=True, earlier=first).data["backdrop"]
        is (first.data["backdrop"])
    )
    other = tile_view(map, region=region, live=True, earlier=first, without_first=True)
    assert other.data["backdrop"] != first.data["backdrop"]


def test_of_a_trace_only_the_rows_that_are_needed_are_computed() -> None:
    network = tiny.tiny_network("llama")
    model = vizcore.Model.of(network, tiny.byte_level_tokenizer(), name="llama")
    trace = model.trace("the cat sat on the mat and looked at the door")
    data: Any = tile_view(trace, 1, 2, region=MapRegion(3, 1, 4, 6)).data
    expected = trace.attention(1, 2)[3:7, 1:7].numpy()
    hidden = trace.map(1, 2).masked[3:7, 1:7]
    found = unpacked(data["tile"])
    np.testing.assert_allclose(found[~hidden], expected[~hidden], rtol=1e-6)
    assert (found[hidden] == MASKED).all()
    assert data["name"] == "layer 1, head 2"
    assert data["queryTokens"] == trace.tokens
    assert data["keyTokens"] is None  # the same


def test_a_region_is_brought_back_into_the_map() -> None:
    assert MapRegion(-5, 90, 20, 50).within((10, 100)) == MapRegion(0, 90, 10, 10)
    assert MapRegion(500, 500, 1, 1).within((10, 100)) == MapRegion(9, 99, 1, 1)


def test_tile_view_errors_are_named() -> None:
    network = tiny.tiny_network("llama")
    trace = vizcore.Model.of(network, tiny.byte_level_tokenizer(), name="llama").trace("the cat")
    with pytest.raises(SelectionError) as error:
        tile_view(trace)
    assert str(error.value) == (
        "A trace has many maps: say which one, as in tile_view(trace, layer=3, head=2)."
    )
    with pytest.raises(SelectionError) as error:
        tile_view(a_map(3, 4), row=3)
    assert str(error.value) == "There is no query 3: the map has 3, counted from 0."
    with pytest.raises(SelectionError) as error:
        tile_view(AttentionMap(np.zeros((0, 2)), [], "ab"))
    assert str(error.value) == "This map has no cells, so there is nothing to show."
