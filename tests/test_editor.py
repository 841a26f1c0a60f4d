"""The editor of the tap: what it changes, what it leaves alone, and whom it does not reach."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tests.support import tiny
from vizcore.attention import attention_weights
from vizcore.attention_calls import AttentionCall, CallEdit
from vizcore.tap import IMPLEMENTATION, Editor, Recorder, attend

N_QUERIES, N_KEYS = 5, 7


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tapped(model_type: str) -> PreTrainedModel:
    network = tiny.tiny_network(model_type)
    network.set_attn_implementation(IMPLEMENTATION)
    return network


def some_ids(n_rows: int, n_tokens: int, seed: int = 0) -> Tensor:
    return torch.randint(5, 290, (n_rows, n_tokens), generator=torch.Generator().manual_seed(seed))


BOOLEAN = drawn(1, 1, N_QUERIES, N_KEYS, seed=4) > -0.8
FLOATING = drawn(1, 1, N_QUERIES, N_KEYS, seed=4)
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "causal": {"is_causal": True},
    "boolean mask": {"attention_mask": BOOLEAN},
    "additive mask": {"attention_mask": FLOATING},
    "mask of each head": {"attention_mask": drawn(2, 4, N_QUERIES, N_KEYS, seed=7) > -0.8},
    "soft cap": {"softcap": 1.5},
    "sinks": {"s_aux": drawn(4, seed=6)},
    "position bias": {"position_bias": drawn(1, 4, N_QUERIES, N_KEYS, seed=5)},
}


class Called:
    """One call of the tap, unedited or edited, and what it is made of."""

    def __init__(self, way: str = "plain", n_kv_heads: int = 4) -> None:
        asked = dict(WAYS[way])
        self.mask = asked.pop("attention_mask", None)
        self.layer: Any = nn.Identity()
        self.layer.is_causal = asked.pop("is_causal", False)
        self.layer.num_key_value_groups = 4 // n_kv_heads
        self.query = drawn(2, 4, N_QUERIES, 8, seed=1)
        self.key = drawn(2, n_kv_heads, N_KEYS, 8, seed=2)
        self.value = drawn(2, n_kv_heads, N_KEYS, 6, seed=3)
        self.asked = asked

    def run(self, *edits: CallEdit) -> tuple[Tensor, Tensor]:
        """The outputs (batch, query, head, d_value), and the weights (batch, head, query, key)."""
        with Recorder() as recorder, Editor({self.layer: [edits]} if edits else {}):
            output, _ = attend(
                self.layer, self.query, self.key, self.value, self.mask, **self.asked
            )
        (call,) = recorder.calls
        return output, torch.stack([call.weights(batch=row) for row in range(2)])

    def values(self) -> Tensor:
        """(batch, query head, key, d_value)."""
        return self.value.repeat_interleave(4 // self.value.shape[1], dim=1)


ways = pytest.mark.parametrize("way", WAYS)
groups = pytest.mark.parametrize("n_kv_heads", [4, 2, 1])


@ways
@groups
def test_weights_that_are_given_back_unchanged_change_nothing(way: str, n_kv_heads: int) -> None:
    called = Called(way, n_kv_heads)
    plain, plain_weights = called.run()
    same = CallEdit((1, 3), weights=lambda _, weights: weights)
    output, weights = called.run(same)
    torch.testing.assert_close(output, plain, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(weights, plain_weights, atol=1e-6, rtol=1e-5)


@ways
@groups
def test_heads_that_are_not_edited_keep_every_bit(way: str, n_kv_heads: int) -> None:
    called = Called(way, n_kv_heads)
    plain, plain_weights = called.run()
    edits = (
        CallEdit((2,), outputs=lambda _, outputs: outputs * 0),
        CallEdit((1,), weights=lambda _, weights: weights * 2),
        CallEdit((1,), scores=lambda _: torch.zeros(())),
    )
    output, weights = called.run(*edits)
    assert torch.equal(output[:, :, [0, 3]], plain[:, :, [0, 3]])
    assert torch.equal(weights[:, [0, 2, 3]], plain_weights[:, [0, 2, 3]])
    assert output[:, :, 2].abs().max() == 0
    torch.testing.assert_close(output[:, :, 1], 2 * plain[:, :, 1], atol=1e-6, rtol=1e-5)


@groups
def test_an_edge_that_is_cut_is_as_if_the_mask_forbade_it(n_kv_heads: int) -> None:
    cut = torch.zeros(N_QUERIES, N_KEYS)
    cut[2, 4] = cut[3, 0] = -torch.inf
    for way in ("plain", "boolean mask", "additive mask", "causal", "sinks", "position bias"):
        called = Called(way, n_kv_heads)
        output, weights = called.run(CallEdit((1,), scores=lambda _: cut))
        assert (weights[:, 1, [2, 3], [4, 0]] == 0).all()
        visible = torch.ones(N_QUERIES, N_KEYS, dtype=torch.bool) & (cut == 0)
        if called.layer.is_causal:
            visible = visible.tril()
        mask = visible
        if called.mask is not None:
            both = visible & called.mask if way == "boolean mask" else None
            mask = called.mask + cut if both is None else both
        given = {
            "sinks": called.asked.get("s_aux"),
            "position_bias": called.asked.get("position_bias"),
        }
        expected = attention_weights(called.query, called.key, mask=mask, **given)[:, 1]
        torch.testing.assert_close(weights[:, 1], expected, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(
            output[:, :, 1], expected @ called.values()[:, 1], atol=1e-5, rtol=1e-5
        )


def test_a_query_whose_edges_are_all_cut_gets_nothing() -> None:
    cut = torch.zeros(N_QUERIES, N_KEYS)
    cut[2] = -torch.inf
    output, weights = Called().run(CallEdit((0, 1), scores=lambda _: cut))
    assert weights[:, :2, 2].abs().max() == 0
    assert output[:, 2, :2].abs().max() == 0
    assert not weights.isnan().any()


def test_rows_of_a_batch_are_changed_each_in_its_own_way() -> None:
    called = Called(n_kv_heads=2)
    plain, plain_weights = called.run()

    def other_heads(_: AttentionCall, outputs: Tensor) -> Tensor:
        rows = torch.arange(2)
        outputs[rows, :, rows] = 7
        return outputs

    def only_the_second(_: AttentionCall, weights: Tensor) -> Tensor:
        weights[1] = 0
        return weights

    output, weights = called.run(
        CallEdit((1, 2), outputs=other_heads), CallEdit((3,), weights=only_the_second)
    )
    assert (output[0, :, 1] == 7).all()
    assert (output[1, :, 2] == 7).all()
    assert torch.equal(output[0, :, [0, 2]], plain[0, :, [0, 2]])
    assert torch.equal(output[1, :, [0, 1]], plain[1, :, [0, 1]])
    assert output[1, :, 3].abs().max() == 0
    torch.testing.assert_close(weights[0], plain_weights[0], atol=1e-6, rtol=1e-5)
    assert weights[1, 3].abs().max() == 0


def test_scores_come_before_weights_and_weights_before_outputs_in_any_order() -> None:
    seen: list[str] = []

    def tell(stage: str) -> Callable[..., Tensor]:
        def change(_: AttentionCall, given: Tensor | None = None) -> Tensor:
            seen.append(stage)
            return torch.zeros(()) if given is None else given

        return change

    Called().run(
        CallEdit((0,), outputs=tell("first outputs")),
        CallEdit((0,), weights=tell("first weights")),
        CallEdit((0,), outputs=tell("second outputs")),
        CallEdit((0, 1), weights=tell("second weights"), scores=tell("scores")),
    )
    in_the_run = seen[:5]
    assert in_the_run == [
        "scores",
        "first weights",
        "second weights",
        "first outputs",
        "second outputs",
    ]


def test_one_head_alone_and_rows_of_a_call_show_the_edited_weights() -> None:
    called = Called("boolean mask", 2)

    def shifted(_: AttentionCall, weights: Tensor) -> Tensor:
        return weights.roll(1, dims=-1)

    with Recorder() as recorder, Editor({called.layer: [[CallEdit((1, 2), weights=shifted)]]}):
        attend(called.layer, called.query, called.key, called.value, called.mask)
    (call,) = recorder.calls
    whole = call.weights(batch=1)
    for head in range(4):
        torch.testing.assert_close(call.head_weights(head, batch=1), whole[head])
        part = call.part([3, 1], keys=slice(2, 6))
        expected = whole[head][[3, 1], 2:6]
        torch.testing.assert_close(part.head_weights(head, batch=1), expected)
        again = part.part([1])
        torch.testing.assert_close(again.weights(batch=1)[head], expected[[1]])
    assert not torch.equal(whole[1], Called("boolean mask", 2).run()[1][1, 1])


# --- Whom an editor reaches -----------------------------------------------------------------------

SILENCE = CallEdit((0, 1, 2, 3), outputs=lambda _, outputs: outputs * 0)


def attending(network: nn.Module, ids: Tensor) -> list[Any]:
    """The modules that call the tap, in order."""
    with torch.no_grad(), Recorder() as recorder:
        network(ids)
    return [call.module for call in recorder.calls]


def test_an_editor_with_no_edits_for_a_network_changes_no_bit() -> None:
    network, ids = tapped("llama"), some_ids(2, 9)
    with torch.no_grad():
        plain = network(ids).logits
        with Editor({}):
            assert torch.equal(network(ids).logits, plain)
        with Editor({nn.Identity(): [[SILENCE]]}):
            assert torch.equal(network(ids).logits, plain)
        with Editor({module: [[]] for module in attending(network, ids)}):
            assert torch.equal(network(ids).logits, plain)


def test_the_innermost_editor_changes_and_after_the_block_nobody_does() -> None:
    network, ids = tapped("llama"), some_ids(1, 6)
    module = attending(network, ids)[0]
    with torch.no_grad():
        plain = network(ids).logits
        with Editor({module: [[SILENCE]]}) as editor:
            silenced = network(ids).logits
            with Editor({}):
                assert torch.equal(network(ids).logits, plain)
            with editor:
                assert torch.equal(network(ids).logits, silenced)
        assert torch.equal(network(ids).logits, plain)
        with pytest.raises(KeyError), editor:
            raise KeyError("something else went wrong")
        assert torch.equal(network(ids).logits, plain)
    assert not torch.allclose(silenced, plain)


def test_layers_that_share_a_module_are_told_apart_in_every_forward_pass() -> None:
    network, ids = tapped("albert"), some_ids(1, 6)
    (module,) = set(attending(network, ids))
    n_calls = len(attending(network, ids))
    double = CallEdit((0, 1, 2, 3), weights=lambda _, weights: weights * 2)
    edits = [[double] if call == 1 else [] for call in range(n_calls)]
    with torch.no_grad(), Recorder() as recorder, Editor({module: edits}):
        network(ids)
        network(ids)
    sums = [call.weights().sum(-1).mean().item() for call in recorder.calls]
    once = [2.0 if call == 1 else 1.0 for call in range(n_calls)]
    assert sums == pytest.approx([*once, *once])


def test_a_decoder_without_its_encoder_and_one_with_a_cache_are_edited_alike() -> None:
    network, source, target = tapped("bart"), some_ids(1, 8), some_ids(1, 5, seed=1)
    decoder: Any = network.get_decoder()
    modules = dict.fromkeys(attending(decoder, target))
    edits = {module: [[SILENCE]] if place == 1 else [[]] for place, module in enumerate(modules)}
    with torch.no_grad():
        memory = network.get_encoder()(source)
        plain = network(source, decoder_input_ids=target).logits
        with Editor(edits):
            whole = network(source, decoder_input_ids=target, use_cache=False).logits
            alone = network(encoder_outputs=memory, decoder_input_ids=target).logits
            past: Any = None
            steps = []
            for step in range(5):
                output = network(
                    encoder_outputs=memory,
                    decoder_input_ids=target[:, step : step + 1],
                    past_key_values=past,
                    use_cache=True,
                )
                past = output.past_key_values
                steps.append(output.logits)
    assert not torch.allclose(whole, plain)
    torch.testing.assert_close(alone, whole)
    torch.testing.assert_close(torch.cat(steps, 1), whole, atol=1e-5, rtol=1e-4)


def test_a_call_is_told_where_its_first_query_stands() -> None:
    network, ids = tapped("llama"), some_ids(1, 6)
    seen: list[int] = []

    def note(call: AttentionCall, outputs: Tensor) -> Tensor:
        seen.append(call.first_query)
        return outputs

    module = attending(network, ids)[0]
    with torch.no_grad(), Editor({module: [[CallEdit((0,), outputs=note)]]}) as editor:
        past = network(ids[:, :4], use_cache=True).past_key_values
        editor.first_query = 4
        network(ids[:, 4:], past_key_values=past, use_cache=True)
    assert seen == [0, 4]


def test_all_heads_of_a_layer_ablated_as_one_batch_are_as_one_by_one() -> None:
    network, ids = tapped("llama"), some_ids(1, 9)
    module = attending(network, ids)[1]

    def each_its_own(_: AttentionCall, outputs: Tensor) -> Tensor:
        rows = torch.arange(4)
        outputs[rows, :, rows] = 0
        return outputs

    with torch.no_grad():
        with Editor({module: [[CallEdit((0, 1, 2, 3), outputs=each_its_own)]]}):
            together = network(ids.expand(4, -1)).logits
        for head in range(4):
            one = CallEdit((head,), outputs=lambda _, outputs: outputs * 0)
            with Editor({module: [[one]]}):
                alone = network(ids).logits
            torch.testing.assert_close(together[head : head + 1], alone, atol=1e-5, rtol=1e-4)


def test_eight_threads_edit_one_network_and_nobody_sees_anothers_edits() -> None:
    network = tapped("llama")
    texts = [some_ids(1, 4 + place, seed=place) for place in range(8)]
    modules = attending(network, texts[0])

    def run(place: int) -> Tensor:
        edits = {modules[place % 3]: [[SILENCE]]} if place % 2 else {}
        with torch.no_grad(), Editor(edits):
            logits: Tensor = network(texts[place]).logits
            return logits

    alone = [run(place) for place in range(8)]
    start = threading.Barrier(8)

    def run_often(place: int) -> None:
        start.wait()
        for _ in range(10):
            assert torch.equal(run(place), alone[place])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run_often, range(8)))
