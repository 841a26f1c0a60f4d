"""Bands of attention around each query, laid into full matrices."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertConfig, LongformerConfig

from vizcore.banded import full_from_band, full_maps, plain_maps


def test_a_bands_middle_column_is_the_query_itself() -> None:
    band = torch.tensor([[[0.0, 0.7, 0.3], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.4, 0.6, 0.0]]])
    expected = torch.tensor(
        [[[0.7, 0.3, 0.0, 0.0], [0.2, 0.5, 0.3, 0.0], [0.0, 0.1, 0.6, 0.3], [0.0, 0.0, 0.4, 0.6]]]
    )
    assert torch.equal(full_from_band(band), expected)


@settings(deadline=None, max_examples=40)
@given(n_heads=st.integers(1, 3), n_tokens=st.integers(1, 9), half=st.integers(0, 6))
def test_every_cell_of_the_matrix_is_where_its_band_says(
    n_heads: int, n_tokens: int, half: int
) -> None:
    band = torch.rand(n_heads, n_tokens, 2 * half + 1)
    full = full_from_band(band)
    assert full.shape == (n_heads, n_tokens, n_tokens)
    for query in range(n_tokens):
        for key in range(n_tokens):
            distance = key - query
            expected = band[:, query, distance + half] if abs(distance) <= half else 0
            assert (full[:, query, key] == expected).all()


def test_a_text_just_as_long_as_the_band_is_wide_is_laid_out_too() -> None:
    config = LongformerConfig(attention_window=2)
    band = torch.rand(1, 4, 3, 3)
    assert torch.equal(full_maps([band], config)[0], full_from_band(band[0]))


def test_full_maps_are_left_alone() -> None:
    config = BertConfig()
    weights = torch.rand(1, 4, 5, 7)
    assert torch.equal(full_maps([weights], config)[0], weights[0])
    assert torch.equal(plain_maps((weights,))[0], weights[0])


def test_layers_without_weights_are_left_out() -> None:
    weights = torch.rand(1, 4, 5, 7)
    assert len(plain_maps([None, weights, None])) == 1
    assert plain_maps(None) == ()


def test_what_is_no_map_of_heads_is_none_at_all() -> None:
    assert plain_maps([torch.rand(1, 4, 5, 7), torch.rand(1, 5, 7)]) == ()
    assert plain_maps([{"local": torch.rand(1, 4, 5, 7)}]) == ()
