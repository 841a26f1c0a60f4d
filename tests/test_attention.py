"""The formula, held against PyTorch's own attention, closed forms, and transformers' eager code."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import T5Config
from transformers.models.gemma2.modeling_gemma2 import eager_attention_forward as gemma2_eager
from transformers.models.gpt_oss.modeling_gpt_oss import eager_attention_forward as gpt_oss_eager
from transformers.models.t5.modeling_t5 import T5Attention

from vizcore import ShapeError
from vizcore.attention import attention, attention_weights

N_QUERIES, N_KEYS, D_HEAD = 5, 7, 8


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def queries_keys_values(n_heads: int = 4, n_kv_heads: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    return (
        drawn(2, n_heads, N_QUERIES, D_HEAD, seed=1),
        drawn(2, n_kv_heads, N_KEYS, D_HEAD, seed=2),
        drawn(2, n_kv_heads, N_KEYS, 6, seed=3),
    )


def close(mine: Tensor, theirs: Tensor, tolerance: float = 1e-6) -> None:
    torch.testing.assert_close(mine, theirs, atol=tolerance, rtol=1e-5)


# --- Against scaled_dot_product_attention ---------------------------------------------------------


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(None, id="no mask"),
        pytest.param(drawn(1, 1, N_QUERIES, N_KEYS, seed=4) > -0.5, id="boolean mask"),
        pytest.param(drawn(2, 4, N_QUERIES, N_KEYS, seed=5) > -0.5, id="a mask for each head"),
        pytest.param(drawn(2, 1, N_QUERIES, N_KEYS, seed=6), id="additive mask"),
    ],
)
def test_attention_equals_pytorchs(mask: Tensor | None) -> None:
    query, key, value = queries_keys_values()
    theirs = scaled_dot_product_attention(query, key, value, attn_mask=mask)
    close(attention(query, key, value, mask=mask), theirs)


def test_causal_attention_equals_pytorchs() -> None:
    query, key, value = queries_keys_values()
    theirs = scaled_dot_product_attention(query, key, value, is_causal=True)
    close(attention(query, key, value, causal=True), theirs)


def test_a_given_scaling_replaces_the_usual_one() -> None:
    query, key, value = queries_keys_values()
    theirs = scaled_dot_product_attention(query, key, value, scale=0.3)
    close(attention(query, key, value, scaling=0.3), theirs)
    whole = scaled_dot_product_attention(query, key, value, scale=2.0)
    close(attention(query, key, value, scaling=2), whole)


@pytest.mark.parametrize("n_kv_heads", [1, 2, 4])
def test_grouped_key_heads_serve_query_heads_in_order(n_kv_heads: int) -> None:
    query, key, value = queries_keys_values(n_heads=4, n_kv_heads=n_kv_heads)
    theirs = scaled_dot_product_attention(query, key, value, enable_gqa=True)
    close(attention(query, key, value), theirs)


def test_a_causal_mask_and_a_given_mask_both_hold() -> None:
    query, key, _ = queries_keys_values()
    mask = torch.ones(N_QUERIES, N_KEYS, dtype=torch.bool)
    mask[:, 0] = False
    mask[0, 0] = True
    weights = attention_weights(query, key, mask=mask, causal=True)
    allowed = mask & torch.ones_like(mask).tril()
    assert (weights[..., ~allowed] == 0).all()
    assert (weights[..., allowed] > 0).all()


# --- Against closed forms -------------------------------------------------------------------------


def test_two_keys_get_the_logistic_function_of_their_difference() -> None:
    query = torch.tensor([[2.0]])
    key = torch.tensor([[1.5], [0.5]])
    weights = attention_weights(query, key, scaling=1.0)
    close(weights, torch.tensor([[1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2))]]))


def test_equal_keys_share_attention_equally() -> None:
    weights = attention_weights(drawn(3, D_HEAD), torch.ones(4, D_HEAD))
    close(weights, torch.full((3, 4), 0.25))


def test_without_a_scaling_it_is_one_over_the_root_of_d_head() -> None:
    query, key = torch.tensor([[4.0, 0, 0, 0]]), torch.tensor([[1.0, 0, 0, 0], [0.0, 0, 0, 0]])
    close(attention_weights(query, key)[0, 0], torch.tensor(1 / (1 + math.exp(-2))))


def test_a_sink_of_score_zero_takes_what_one_key_of_score_zero_would() -> None:
    query, key, _ = queries_keys_values(n_heads=3, n_kv_heads=3)
    with_null_key = torch.cat([key, torch.zeros(2, 3, 1, D_HEAD)], dim=2)
    weights = attention_weights(query, key, sinks=torch.zeros(3))
    close(weights, attention_weights(query, with_null_key)[..., :-1])


def test_a_soft_cap_keeps_any_two_keys_within_twice_the_cap_of_each_other() -> None:
    weights = attention_weights(100 * drawn(3, D_HEAD), drawn(4, D_HEAD), softcap=0.5)
    ratios = weights.max(dim=-1).values / weights.min(dim=-1).values
    assert (ratios <= math.exp(1.0) * 1.0001).all()
    assert ratios.max() > 2


def test_a_huge_soft_cap_changes_nothing() -> None:
    query, key, _ = queries_keys_values()
    close(attention_weights(query, key, softcap=1e6), attention_weights(query, key))


def test_a_position_bias_is_added_to_the_scores() -> None:
    query, key, _ = queries_keys_values()
    bias = drawn(1, 4, N_QUERIES, N_KEYS, seed=8)
    scores = query @ key.transpose(-2, -1) / math.sqrt(D_HEAD) + bias
    close(attention_weights(query, key, position_bias=bias), scores.softmax(dim=-1))


# --- Against transformers' eager functions --------------------------------------------------------


def window_mask(n_queries: int, n_keys: int, width: int) -> Tensor:
    """Query i, aligned to the end, sees itself and the width - 1 keys before."""
    distance = torch.arange(n_queries)[:, None] + (n_keys - n_queries) - torch.arange(n_keys)
    return (distance >= 0) & (distance < width)


def additive(mask: Tensor) -> Tensor:
    return torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)


def test_soft_cap_and_sliding_window_equal_gemma2s_own_code() -> None:
    query, key, value = queries_keys_values(n_heads=4, n_kv_heads=2)
    layer: Any = SimpleNamespace(num_key_value_groups=2, training=False, head_dim=D_HEAD)
    mask = window_mask(N_QUERIES, N_KEYS, 3)[None, None]
    output, weights = gemma2_eager(
        layer, 5 * query, key, value, additive(mask), scaling=0.4, softcap=2.0
    )
    mine = {"scaling": 0.4, "softcap": 2.0}
    close(attention_weights(5 * query, key, mask=mask, **mine), weights)
    close(attention_weights(5 * query, key, mask=additive(mask), **mine), weights)
    close(attention(5 * query, key, value, mask=mask, **mine).transpose(1, 2), output)


def test_sinks_equal_gpt_oss_own_code() -> None:
    query, key, value = queries_keys_values(n_heads=4, n_kv_heads=2)
    sinks = torch.tensor([-1.0, 0.0, 1.0, 2.5])
    layer: Any = SimpleNamespace(num_key_value_groups=2, training=False, sinks=sinks)
    mask = window_mask(N_QUERIES, N_KEYS, 4)[None, None]
    output, weights = gpt_oss_eager(
        layer, query, key, value, additive(mask), scaling=0.5, s_aux=sinks
    )
    close(attention_weights(query, key, mask=mask, scaling=0.5, sinks=sinks), weights)
    mine = attention(query, key, value, mask=mask, scaling=0.5, sinks=sinks)
    close(mine.transpose(1, 2), output)


def test_rows_with_sinks_sum_to_less_than_one() -> None:
    query, key, _ = queries_keys_values()
    sums = attention_weights(query, key, sinks=torch.zeros(4)).sum(dim=-1)
    assert (sums < 1).all()
    assert (sums > 0).all()


def test_position_bias_without_scaling_equals_t5s_own_layer() -> None:
    torch.manual_seed(0)
    config = T5Config(d_model=12, d_kv=6, num_heads=2, num_layers=1, vocab_size=10)
    config._attn_implementation = "eager"
    layer = T5Attention(config, has_relative_attention_bias=True, layer_idx=0).eval()
    nn.init.normal_(layer.relative_attention_bias.weight)
    hidden = drawn(1, N_KEYS, 12)
    with torch.no_grad():
        _, weights, bias = _t5_outputs(layer(hidden))
        query = layer.q(hidden).view(1, N_KEYS, 2, 6).transpose(1, 2)
        key = layer.k(hidden).view(1, N_KEYS, 2, 6).transpose(1, 2)
        mine = attention_weights(query, key, scaling=1.0, position_bias=bias)
    close(mine, weights)


def _t5_outputs(outputs: tuple[Any, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Output, weights (they sum to 1) and position bias, in whatever order they come."""
    maps = [item for item in outputs[1:] if item is not None]
    weights = next(item for item in maps if torch.allclose(item.sum(-1), torch.ones(())))
    bias = next(item for item in maps if item is not weights)
    return outputs[0], weights, bias


# --- Masks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("floating", [False, True])
def test_a_masked_key_gets_exactly_zero(floating: bool) -> None:
    query, key, _ = queries_keys_values()
    mask = window_mask(N_QUERIES, N_KEYS, 2)
    weights = attention_weights(query, key, mask=additive(mask) if floating else mask)
    assert (weights[..., ~mask] == 0).all()
    assert (weights[..., mask] > 0).all()


@pytest.mark.parametrize("floating", [False, True])
@pytest.mark.parametrize("sinks", [None, torch.zeros(4)])
def test_a_query_that_may_look_at_nothing_gets_a_row_of_zeros(
    floating: bool, sinks: Tensor | None
) -> None:
    query, key, _ = queries_keys_values()
    mask = torch.ones(N_QUERIES, N_KEYS, dtype=torch.bool)
    mask[2] = False
    weights = attention_weights(query, key, mask=additive(mask) if floating else mask, sinks=sinks)
    assert (weights[:, :, 2] == 0).all()
    assert (weights[:, :, [0, 1, 3, 4]].sum(dim=-1) > 0).all()


def test_an_additive_mask_in_half_precision_hides_what_it_hides() -> None:
    query, key, _ = queries_keys_values()
    mask = window_mask(N_QUERIES, N_KEYS, 2)
    half = torch.zeros(mask.shape, dtype=torch.float16)
    half = half.masked_fill(~mask, torch.finfo(torch.float16).min)
    weights = attention_weights(query.half(), key.half(), mask=half)
    assert (weights[..., ~mask] == 0).all()


# --- Precision and shapes -------------------------------------------------------------------------


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float32])
def test_weights_are_float32_whatever_the_network_runs_in(precision: torch.dtype) -> None:
    query, key, value = (tensor.to(precision) for tensor in queries_keys_values())
    assert attention_weights(query, key).dtype == torch.float32
    assert attention(query, key, value).dtype == precision


def test_float64_stays_float64() -> None:
    query, key, _ = (tensor.double() for tensor in queries_keys_values())
    assert attention_weights(query, key).dtype == torch.float64


def test_a_single_head_needs_no_head_axis() -> None:
    query, key, value = queries_keys_values()
    assert attention_weights(query[0, 0], key[0, 0]).shape == (N_QUERIES, N_KEYS)
    assert attention(query[0, 0], key[0, 0], value[0, 0]).shape == (N_QUERIES, 6)


def test_weights_errors_print_both_shapes() -> None:
    with pytest.raises(ShapeError) as d_heads:
        attention_weights(drawn(4, 5, 8), drawn(4, 7, 6))
    assert str(d_heads.value) == (
        "query has shape (4, 5, 8) and key has shape (4, 7, 6): the last axis, d_head, must be "
        "the same, not 8 and 6."
    )
    with pytest.raises(ShapeError) as groups:
        attention_weights(drawn(4, 5, 8), drawn(3, 7, 8))
    assert str(groups.value) == (
        "query has shape (4, 5, 8) and key has shape (3, 7, 8): 4 query heads cannot share 3 key "
        "heads equally."
    )
    with pytest.raises(ShapeError) as batches:
        attention_weights(drawn(2, 4, 5, 8), drawn(3, 4, 7, 8))
    assert str(batches.value) == (
        "query has shape (2, 4, 5, 8) and key has shape (3, 4, 7, 8): the axes before the heads, "
        "such as a batch, must fit together."
    )
    with pytest.raises(ShapeError) as mask:
        attention_weights(drawn(4, 5, 8), drawn(4, 7, 8), mask=torch.ones(7, 5, dtype=torch.bool))
    assert str(mask.value) == (
        "mask has shape (7, 5) and the scores have shape (4, 5, 7): it must broadcast to "
        "(…, head, query, key)."
    )
    with pytest.raises(ShapeError) as bias:
        attention_weights(drawn(4, 5, 8), drawn(4, 7, 8), position_bias=drawn(4, 7, 5))
    assert str(bias.value) == (
        "position_bias has shape (4, 7, 5) and the scores have shape (4, 5, 7): it must broadcast "
        "to (…, head, query, key)."
    )
    with pytest.raises(ShapeError) as sinks:
        attention_weights(drawn(4, 5, 8), drawn(4, 7, 8), sinks=drawn(3))
    assert str(sinks.value) == (
        "sinks has shape (3,) and the scores have shape (4, 5, 7): it needs one number for each "
        "head."
    )


def test_attention_errors_print_both_shapes() -> None:
    with pytest.raises(ShapeError) as rows:
        attention(drawn(4, 5, 8), drawn(4, 7, 8), drawn(4, 5, 6))
    assert str(rows.value) == (
        "key has shape (4, 7, 8) and value has shape (4, 5, 6): both need one row for each key."
    )
    with pytest.raises(ShapeError) as heads:
        attention(drawn(4, 5, 8), drawn(4, 7, 8), drawn(3, 7, 6))
    assert str(heads.value) == (
        "query has shape (4, 5, 8) and value has shape (3, 7, 6): 4 query heads cannot share 3 "
        "value heads equally."
    )


# --- Properties -----------------------------------------------------------------------------------

SIZES = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6), st.integers(1, 5))


@settings(deadline=None, max_examples=60)
@given(sizes=SIZES, seed=st.integers(0, 10**6), causal=st.booleans())
def test_every_row_is_a_distribution_over_what_the_query_may_see(
    sizes: tuple[int, int, int, int], seed: int, causal: bool
) -> None:
    n_heads, n_queries, n_keys, d_head = sizes
    query = 4 * drawn(n_heads, n_queries, d_head, seed=seed)
    key = 4 * drawn(n_heads, n_keys, d_head, seed=seed + 1)
    mask = drawn(n_queries, n_keys, seed=seed + 2) > 0
    weights = attention_weights(query, key, mask=mask, causal=causal)
    visible = mask & torch.ones_like(mask).tril() if causal else mask
    assert weights.shape == (n_heads, n_queries, n_keys)
    assert (weights >= 0).all()
    assert (weights[:, ~visible] == 0).all()
    expected = visible.any(dim=-1).float().expand(n_heads, -1)
    torch.testing.assert_close(weights.sum(dim=-1), expected, atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=60)
@given(sizes=SIZES, seed=st.integers(0, 10**6), data=st.data())
def test_reordering_keys_reorders_columns_and_reordering_queries_rows(
    sizes: tuple[int, int, int, int], seed: int, data: st.DataObject
) -> None:
    n_heads, n_queries, n_keys, d_head = sizes
    rows = data.draw(st.permutations(range(n_queries)))
    columns = data.draw(st.permutations(range(n_keys)))
    query = drawn(n_heads, n_queries, d_head, seed=seed)
    key = drawn(n_heads, n_keys, d_head, seed=seed + 1)
    weights = attention_weights(query, key)
    shuffled = attention_weights(query[:, rows], key[:, columns])
    torch.testing.assert_close(shuffled, weights[:, rows][:, :, columns], atol=1e-6, rtol=1e-5)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), shift=st.floats(-50, 50))
def test_adding_one_number_to_all_scores_of_a_row_changes_nothing(seed: int, shift: float) -> None:
    query, key = drawn(2, 3, D_HEAD, seed=seed), drawn(2, 5, D_HEAD, seed=seed + 1)
    shifted = attention_weights(query, key, position_bias=torch.tensor(shift))
    torch.testing.assert_close(shifted, attention_weights(query, key), atol=1e-5, rtol=1e-4)
