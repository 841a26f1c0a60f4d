"""The tap: each of its fast paths against the formula, and whose calls a recorder hears."""

import asyncio
import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

import vizcore
from tests.support import tiny
from vizcore.attention import attention, attention_weights
from vizcore.attention_calls import AttentionCall
from vizcore.tap import IMPLEMENTATION, Recorder, attend

N_QUERIES, N_KEYS = 5, 7


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tapped(model_type: str, **changes: Any) -> PreTrainedModel:
    network = tiny.tiny_network(model_type, **changes)
    network.set_attn_implementation(IMPLEMENTATION)
    return network


def some_ids(n_tokens: int, seed: int = 0) -> Tensor:
    return torch.randint(5, 290, (1, n_tokens), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def llama() -> PreTrainedModel:
    return tapped("llama")


# --- Every path of `attend` is the formula --------------------------------------------------------

BOOLEAN = drawn(1, 1, N_QUERIES, N_KEYS, seed=4) > -0.8
FLOATING = drawn(1, 1, N_QUERIES, N_KEYS, seed=4)
BIAS = drawn(1, 4, N_QUERIES, N_KEYS, seed=5)
PATHS: dict[str, dict[str, Any]] = {
    "plain": {},
    "given scaling": {"scaling": 0.7},
    "causal": {"is_causal": True},
    "boolean mask": {"attention_mask": BOOLEAN},
    "additive mask": {"attention_mask": FLOATING},
    "soft cap": {"softcap": 1.5},
    "soft cap, causal": {"softcap": 1.5, "is_causal": True},
    "soft cap, mask": {"softcap": 1.5, "attention_mask": BOOLEAN},
    "sinks": {"s_aux": drawn(4, seed=6)},
    "sinks, mask": {"s_aux": drawn(4, seed=6), "attention_mask": BOOLEAN},
    "position bias": {"position_bias": BIAS, "scaling": 1.0},
    "position bias, causal": {"position_bias": BIAS, "is_causal": True},
    "position bias, boolean mask": {"position_bias": BIAS, "attention_mask": BOOLEAN},
    "position bias, additive mask": {"position_bias": BIAS, "attention_mask": FLOATING},
    "a mask forbids, causal or not": {"attention_mask": BOOLEAN, "is_causal": True},
}


@pytest.mark.parametrize("n_queries", [N_QUERIES, 1])
@pytest.mark.parametrize("n_kv_heads", [4, 2, 1])
@pytest.mark.parametrize("path", PATHS)
def test_every_path_computes_the_formula(path: str, n_kv_heads: int, n_queries: int) -> None:
    asked = {name: _rows(value, n_queries) for name, value in PATHS[path].items()}
    mask = asked.pop("attention_mask", None)
    is_causal = asked.pop("is_causal", False)
    layer: Any = nn.Identity()
    layer.num_key_value_groups, layer.is_causal = 4 // n_kv_heads, is_causal
    query = drawn(2, 4, n_queries, 8, seed=1)
    key, value = drawn(2, n_kv_heads, N_KEYS, 8, seed=2), drawn(2, n_kv_heads, N_KEYS, 6, seed=3)

    with Recorder(values=True) as recorder:
        output, weights = attend(layer, query, key, value, mask, **asked)

    # transformers gives a mask wherever the diagonal alone would not be right: a single query is
    # the last of a text, and sees every key.
    causal = is_causal and mask is None and n_queries > 1
    expected = {
        "mask": mask,
        "causal": causal,
        "scaling": asked.get("scaling"),
        "softcap": asked.get("softcap"),
        "sinks": asked.get("s_aux"),
        "position_bias": asked.get("position_bias"),
    }
    formula = attention(query, key, value, **expected).transpose(1, 2)
    torch.testing.assert_close(output, formula, atol=1e-5, rtol=1e-5)
    assert weights is None
    for text in range(2):
        recorded = recorder.calls[0].weights(batch=text)
        whole = attention_weights(query, key, **expected)[text]
        torch.testing.assert_close(recorded, whole, atol=1e-6, rtol=1e-5)
        for head in range(4):
            alone = recorder.calls[0].head_weights(head, batch=text)
            torch.testing.assert_close(alone, recorded[head], atol=1e-6, rtol=1e-5)


def _rows(value: Any, n_queries: int) -> Any:
    is_map = isinstance(value, Tensor) and value.ndim == 4
    return value[:, :, -n_queries:] if is_map else value


# --- What a call knows ----------------------------------------------------------------------------


def call_of(**changes: Any) -> AttentionCall:
    fields: dict[str, Any] = {
        "module": nn.Identity(),
        "query": drawn(2, 4, N_QUERIES, 8),
        "key": drawn(2, 2, N_KEYS, 8),
        "value": None,
        "mask": None,
        "causal": False,
        "scaling": None,
        "softcap": None,
        "sinks": None,
        "position_bias": None,
    }
    return AttentionCall(**(fields | changes))


def test_without_a_mask_nothing_is_masked() -> None:
    assert not call_of().masked().any()
    assert call_of().masked().shape == (N_QUERIES, N_KEYS)


@pytest.mark.parametrize("floating", [False, True])
def test_masked_tells_where_each_text_may_not_look(floating: bool) -> None:
    visible = torch.ones(2, 1, N_QUERIES, N_KEYS, dtype=torch.bool)
    visible[1, :, :, 0] = False
    lowest = torch.finfo(torch.float32).min
    mask = torch.zeros(visible.shape).masked_fill(~visible, lowest) if floating else visible
    call = call_of(mask=mask)
    assert not call.masked(batch=0).any()
    assert call.masked(batch=1)[:, 0].all()
    assert not call.masked(batch=1)[:, 1:].any()
    assert (call.weights(batch=1)[:, call.masked(batch=1)] == 0).all()


def test_a_causal_call_masks_what_comes_after() -> None:
    expected = torch.arange(N_KEYS)[None, :] > torch.arange(N_QUERIES)[:, None]
    assert torch.equal(call_of(causal=True).masked(), expected)


# --- Whom a recorder hears ------------------------------------------------------------------------


def test_a_recorder_hears_each_layer_once_and_in_order(llama: PreTrainedModel) -> None:
    with torch.no_grad(), Recorder() as recorder:
        llama(some_ids(6))
    layers: Any = [call.module for call in recorder.calls]
    assert [layer.layer_idx for layer in layers] == [0, 1, 2]
    assert [call.n_heads for call in recorder.calls] == [4, 4, 4]


def test_without_a_recorder_nothing_is_kept(llama: PreTrainedModel) -> None:
    recorder = Recorder()
    with torch.no_grad():
        llama(some_ids(6))
        with recorder:
            pass
        llama(some_ids(6))
    assert recorder.calls == []


def test_values_are_kept_on_request_only(llama: PreTrainedModel) -> None:
    with torch.no_grad(), Recorder() as without:
        llama(some_ids(6))
    with torch.no_grad(), Recorder(values=True) as kept:
        llama(some_ids(6))
    assert [call.value for call in without.calls] == [None, None, None]
    assert all(call.value is not None for call in kept.calls)


def test_the_innermost_recorder_listens_and_then_the_outer_one_again(
    llama: PreTrainedModel,
) -> None:
    outer, inner = Recorder(), Recorder()
    with torch.no_grad(), outer:
        llama(some_ids(4))
        with inner:
            llama(some_ids(5))
        llama(some_ids(6))
    assert [call.query.shape[2] for call in inner.calls] == [5, 5, 5]
    assert [call.query.shape[2] for call in outer.calls] == [4, 4, 4, 6, 6, 6]


def test_one_recorder_may_be_opened_twice(llama: PreTrainedModel) -> None:
    recorder = Recorder()
    with torch.no_grad(), recorder, recorder:
        llama(some_ids(4))
    with torch.no_grad():
        llama(some_ids(5))
    assert [call.query.shape[2] for call in recorder.calls] == [4, 4, 4]


def test_after_an_exception_nothing_is_listening(llama: PreTrainedModel) -> None:
    recorder = Recorder()
    with pytest.raises(KeyError), recorder:
        raise KeyError("something else went wrong")
    with torch.no_grad():
        llama(some_ids(4))
    assert recorder.calls == []


def test_asynchronous_tasks_do_not_hear_each_other(llama: PreTrainedModel) -> None:
    async def listen(n_tokens: int) -> list[int]:
        with Recorder() as recorder:
            for _ in range(3):
                await asyncio.sleep(0)  # let the others run while this recorder is open
                llama(some_ids(n_tokens))
            await asyncio.sleep(0)
        return [call.query.shape[2] for call in recorder.calls]

    async def all_at_once() -> list[list[int]]:
        return await asyncio.gather(*(listen(n_tokens) for n_tokens in (3, 4, 5)))

    with torch.no_grad():
        assert asyncio.run(all_at_once()) == [[3] * 9, [4] * 9, [5] * 9]


@pytest.mark.parametrize("model_type", ["llama", "gemma2", "gpt_oss", "bloom", "big_bird", "t5"])
def test_eight_threads_on_one_network_each_get_what_they_get_alone(model_type: str) -> None:
    network = tiny.tiny_network(model_type)
    model = vizcore.Model.of(network, None)
    targets = (
        [None] * 8 if model.kind != "encoder-decoder" else [[1, 7, 9, 20 + i] for i in range(8)]
    )
    texts = [some_ids(n, seed=n)[0].tolist() for n in (3, 60, 4, 50, 64, 5, 40, 6)]
    alone = [_all_of(model.trace(*pair)) for pair in zip(texts, targets, strict=True)]
    start = threading.Barrier(8)

    def trace_often(place: int) -> None:
        start.wait()
        for _ in range(5):
            together = _all_of(model.trace(texts[place], targets[place]))
            for mine, expected in zip(together, alone[place], strict=True):
                assert torch.equal(mine, expected)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(trace_often, range(8)))


def _all_of(trace: vizcore.Trace) -> list[Tensor]:
    maps = [
        trace.attention(layer, None, kind) for kind in trace.kinds for layer in trace.layers(kind)
    ]
    return [*maps, trace.logits]


def test_a_thread_that_fails_leaves_nothing_recording(llama: PreTrainedModel) -> None:
    heard: dict[int, list[int]] = {}
    start = threading.Barrier(4)

    def run_and_perhaps_fail(n_tokens: int) -> None:
        start.wait()
        with torch.no_grad(), Recorder() as recorder:
            heard[n_tokens] = []
            llama(some_ids(n_tokens))
            heard[n_tokens] = [call.query.shape[2] for call in recorder.calls]
            if n_tokens % 2:
                raise KeyError(n_tokens)

    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(run_and_perhaps_fail, n_tokens) for n_tokens in (3, 4, 5, 6)]
        assert [type(run.exception()) for run in runs] == [KeyError, type(None)] * 2
        # The same threads again, now without a recorder of their own.
        before = copy.deepcopy(heard)
        with torch.no_grad():
            list(pool.map(lambda n: llama(some_ids(n)) and None, (7, 8, 9, 10)))
    assert heard == before == {n: [n] * 3 for n in (3, 4, 5, 6)}


# --- What recording costs -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model_type", ["llama", "gpt2", "gpt_neox", "phi3", "mistral", "bert", "bart"]
)
def test_a_recorder_holds_at_most_twice_the_queries_and_keys(model_type: str) -> None:
    network = tapped(model_type)
    ids = some_ids(60)
    inputs = {"decoder_input_ids": ids[:, :50]} if network.config.is_encoder_decoder else {}
    with torch.no_grad(), Recorder() as recorder:
        network(ids, use_cache=False, **inputs)
    needed = sum(
        tensor.numel() * tensor.element_size()
        for call in recorder.calls
        for tensor in (call.query, call.key)
    )
    assert needed > 0
    assert held(recorder) <= 2 * needed


def held(recorder: Recorder) -> int:
    """Bytes of all storages, each counted once, that the recorder keeps alive."""
    storages = {}
    for call in recorder.calls:
        for value in vars(call).values():
            if isinstance(value, Tensor):
                storage = value.untyped_storage()
                storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


# --- With the rest of transformers ----------------------------------------------------------------


def test_the_tap_is_registered_together_with_its_mask_function() -> None:
    assert AttentionInterface()[IMPLEMENTATION] is attend
    assert IMPLEMENTATION in AttentionMaskInterface().valid_keys()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("model_type", ["llama", "bert", "gemma2"])
def test_a_padded_text_in_a_batch_gets_the_maps_it_gets_alone(model_type: str, side: str) -> None:
    network = tapped(model_type)
    long, short = some_ids(8, seed=1), some_ids(5, seed=2)
    with torch.no_grad(), Recorder() as alone:
        network(short)
    pad = torch.zeros(1, 3, dtype=torch.long)
    parts = [pad, short] if side == "left" else [short, pad]
    real = torch.cat(
        [torch.zeros_like(pad) if part is pad else torch.ones_like(part) for part in parts], 1
    )
    positions = (real.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad(), Recorder() as together:
        network(
            torch.cat([long, torch.cat(parts, 1)]),
            attention_mask=torch.cat([torch.ones_like(long), real]),
            position_ids=torch.cat([torch.arange(8)[None], positions]),
        )
    where = real[0].bool()
    for mine, expected in zip(together.calls, alone.calls, strict=True):
        weights = mine.weights(batch=1)
        assert (weights[:, where][:, :, ~where] == 0).all()
        torch.testing.assert_close(
            weights[:, where][:, :, where], expected.weights(), atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize(
    "model_type", ["llama", "gpt2", "gemma2", "gpt_oss", "mistral", "bart", "t5"]
)
def test_generation_with_a_cache_writes_the_same_through_the_tap(model_type: str) -> None:
    network = tiny.tiny_network(model_type, decoder_start_token_id=1)
    plain = copy.deepcopy(network)
    plain.set_attn_implementation("eager")
    network.set_attn_implementation(IMPLEMENTATION)
    ids = some_ids(7)
    settings: dict[str, Any] = {"max_new_tokens": 12, "do_sample": False, "use_cache": True}
    mask = torch.ones_like(ids)
    with Recorder() as recorder:
        mine: Any = network.generate(ids, attention_mask=mask, **settings)  # type: ignore[operator]
    theirs: Any = plain.generate(ids, attention_mask=mask, **settings)  # type: ignore[operator]
    assert torch.equal(mine, theirs)
    assert recorder.calls[-1].query.shape[2] == 1
    assert recorder.calls[-1].key.shape[2] > 1


@pytest.mark.parametrize("kind", ["none", "boolean", "additive"])
@pytest.mark.parametrize("queries", [slice(2, 5), [4, 1]])
def test_part_of_a_call_has_the_weights_of_its_queries_whatever_hides_keys(
    kind: str, queries: slice | list[int]
) -> None:
    torch.manual_seed(1)
    hidden = torch.rand(6, 6) < 0.3
    hidden.fill_diagonal_(fill_value=False)
    additive = torch.zeros(1, 1, 6, 6).masked_fill(hidden, torch.finfo(torch.float32).min)
    masks = {"none": None, "boolean": ~hidden, "additive": additive}
    whole = call_of(
        query=torch.randn(1, 4, 6, 8),
        key=torch.randn(1, 2, 6, 8),
        mask=masks[kind],
        causal=True,
        position_bias=torch.randn(1, 4, 6, 6),
        sinks=torch.randn(4),
    )
    part = whole.part(queries, keys=slice(0, 5))
    assert part.key.shape[2] == 5
    torch.testing.assert_close(part.weights(), whole.weights()[:, queries, :5])
    torch.testing.assert_close(part.head_weights(3), whole.head_weights(3)[queries, :5])
    torch.testing.assert_close(part.masked(), whole.masked()[queries, :5])
