"""Sweeps over heads and edges, against one edited run after another."""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import vizcore
from tests.support.tiny import tiny_network
from vizcore.edits import AblateHead, AblateLayer, KnockOut, Scale, SetPattern, Steer
from vizcore.effect_metrics import KLDivergence, LogitDifference, LogLikelihood, LogProbability
from vizcore.errors import SelectionError
from vizcore.interventions import (
    ablation_effects,
    ablation_effects_stream,
    edit_effects,
    knock_out_effects,
    knock_out_effects_stream,
)
from vizcore.model import Model
from vizcore.resuming import resumable
from vizcore.trace import Trace
from vizcore.transformer import Transformer, TransformerConfig

SOURCE, TARGET = [5, 9, 17, 23, 40, 8, 77], [1, 30, 12, 9]
ARCHITECTURES = (
    # Grouped queries, soft caps, sinks, latent attention, experts, layers of other kinds, shared
    # layers, masked encoders, encoder-decoders.
    *"llama gpt2 gemma2 gpt_oss opt gpt_neox deepseek_v3 mixtral jamba".split(),
    *"bert distilbert albert bart t5 marian".split(),
)
IN_BATCHES = "in batches; each run starts at the layer where something is changed"


@cache
def tiny(architecture: str) -> Model:
    return Model.of(tiny_network(architecture), None)


def traced(model: Model, edits: Any = ()) -> Trace:
    target = TARGET if model.kind == "encoder-decoder" else None
    return model.trace([one % 60 for one in SOURCE], target, edits=edits)


def likeliest(trace: Trace) -> int:
    return int(trace.logits[-1].argmax())


def log_probability(trace: Trace, token: int) -> float:
    return float(trace.logits[-1].log_softmax(dim=-1)[token])


def check_against_single_runs(model: Model) -> None:
    trace = traced(model)
    token = likeliest(trace)
    for kind in model.kinds:
        table = ablation_effects(model, trace, kind=kind)
        assert list(table.columns) == ["layer", "head", "effect"]
        every = [(one, head) for one in model.layers(kind) for head in range(trace.n_heads(kind))]
        assert list(zip(table["layer"], table["head"], strict=True)) == every
        expected = [
            log_probability(traced(model, [AblateHead(*one, kind=kind)]), token)
            - log_probability(trace, token)
            for one in every
        ]
        np.testing.assert_allclose(table["effect"], expected, atol=1e-4)
        assert table["effect"].abs().max() > 1e-3


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_sweep_equals_one_edited_run_after_another(architecture: str) -> None:
    model = tiny(architecture)
    check_against_single_runs(model)
    assert ablation_effects(model, traced(model)).attrs["ran"] == IN_BATCHES


@pytest.mark.parametrize("kind", ["encoder", "decoder", "encoder-decoder"])
def test_so_it_does_in_our_own_transformer(kind: str) -> None:
    torch.manual_seed(3)
    config = TransformerConfig(kind, 60, d_model=16, n_heads=2, n_layers=3, d_ff=24)
    check_against_single_runs(Model.of(Transformer(config).eval(), None))


def test_where_no_row_of_layers_is_found_whole_runs_are_batched_and_it_is_said() -> None:
    model = tiny("gemma3n_text")
    check_against_single_runs(model)
    assert ablation_effects(model, traced(model)).attrs["ran"] == (
        "in batches of whole runs, since no row of layers was found to start at"
    )


def test_what_lies_below_the_edit_is_not_run_again() -> None:
    model = tiny("llama")
    network = resumable(model)
    calls: list[int] = []
    handles = [
        network.network.get_submodule(f"model.layers.{layer}.mlp").register_forward_hook(
            lambda *_, layer=layer: calls.append(layer)
        )
        for layer in range(3)
    ]
    try:
        trace = traced(model)
        ablation_effects(model, trace)
    finally:
        for handle in handles:
            handle.remove()
    # Recorded once; then a batch of four heads for each layer, the last first.
    assert calls == [0, 1, 2, 2, 1, 2, 0, 1, 2]


def test_rows_of_a_batch_do_not_see_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("gemma2")
    together = ablation_effects(model, traced(model))
    monkeypatch.setattr("vizcore.sweeps.TOKENS_AT_ONCE", 1)
    alone = ablation_effects(model, traced(model))
    np.testing.assert_allclose(alone["effect"], together["effect"], atol=1e-5)


def test_results_come_as_they_are_ready_and_a_stream_can_be_closed() -> None:
    model = tiny("llama")
    stream = ablation_effects_stream(model, traced(model))
    first = next(stream)
    assert first["layer"].unique().tolist() == [2]
    assert first["head"].tolist() == [0, 1, 2, 3]
    assert first.attrs["total"] == 12
    second = next(stream)
    assert second["layer"].unique().tolist() == [1]
    stream.close()
    shares: list[float] = []
    ablation_effects(model, traced(model), progress=shares.append)
    assert shares == [4 / 12, 8 / 12, 1.0]


@pytest.mark.parametrize("how", ["mean", "resample"])
def test_heads_are_ablated_to_a_reference_too(how: str) -> None:
    model = tiny("llama")
    reference = model.trace([7, 3, 88, 41, 2, 19, 60])
    table = ablation_effects(model, traced(model), how=how, reference=reference)
    token = likeliest(traced(model))
    for row in table.itertuples():
        edit = AblateHead(row.layer, row.head, how=how, reference=reference)
        expected = log_probability(traced(model, [edit]), token) - log_probability(
            traced(model), token
        )
        assert row.effect == pytest.approx(expected, abs=1e-4)


# --- Metrics ---


def test_metrics_are_what_they_say() -> None:
    model = tiny("gpt2")
    plain, edited = traced(model), traced(model, [AblateHead(1, 2)])
    before, after = plain.logits.double(), edited.logits.double()
    shares, own = before.log_softmax(dim=-1), after.log_softmax(dim=-1)
    divergence = (shares.exp() * (shares - own)).sum(dim=-1)
    ids = plain.token_ids
    said = [float(own[at, token] - shares[at, token]) for at, token in enumerate(ids[1:])]
    best, second = before[-1].topk(2).indices.tolist()
    change = after - before
    for metric, expected in (
        (None, own[-1, best] - shares[-1, best]),
        (LogProbability(12, position=2), own[2, 12] - shares[2, 12]),
        (LogitDifference(), change[-1, best] - change[-1, second]),
        (LogitDifference(3, 4, position=-2), change[-2, 3] - change[-2, 4]),
        (KLDivergence(), divergence[-1]),
        (KLDivergence("all"), divergence.mean()),
        (LogLikelihood(), math.fsum(said)),
        (lambda logits: logits[0, 3] + logits[4, 5], change[0, 3] + change[4, 5]),
    ):
        table = ablation_effects(model, plain, metric).set_index(["layer", "head"])
        assert table.loc[(1, 2), "effect"] == pytest.approx(float(expected), abs=1e-4)


def test_many_logits_are_made_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama")
    for metric in (LogLikelihood(), KLDivergence("all")):
        whole = ablation_effects(model, traced(model), metric)
        with monkeypatch.context() as patch:
            patch.setattr("vizcore.effect_metrics.LOGITS_AT_ONCE", 700)
            patch.setattr("vizcore.effect_metrics.KEPT_LOGITS", 700)
            parts = ablation_effects(model, traced(model), metric)
        np.testing.assert_allclose(parts["effect"], whole["effect"], atol=1e-4)


def test_a_table_says_what_was_measured() -> None:
    model = tiny("llama")
    token = likeliest(traced(model))
    attrs = ablation_effects(model, traced(model)).attrs
    assert attrs["metric"] == f"log-probability of #{token} at position 6"
    assert attrs["original"] == pytest.approx(log_probability(traced(model), token), abs=1e-5)


def test_a_masked_model_is_asked_at_its_mask() -> None:
    model = vizcore.load("tatoeba-mlm")
    text = f"I love {model.tokenizer.mask_token}."  # type: ignore[union-attr]
    trace = model.trace(text)
    place = trace.token_ids.index(model.tokenizer.mask_token_id)  # type: ignore[union-attr]
    table = ablation_effects(model, text)
    assert table.attrs["metric"].endswith(f"at position {place}")
    token = int(trace.logits[place].argmax())
    edited = model.trace(text, edits=[AblateHead(1, 0)])
    own, plain = (one.logits[place].log_softmax(dim=-1)[token] for one in (edited, trace))
    found = table.set_index(["layer", "head"]).loc[(1, 0), "effect"]
    assert found == pytest.approx(float(own - plain), abs=1e-4)


def test_a_token_can_be_given_as_text(smollm2: Any) -> None:
    text = "The capital of France is"
    metric = LogitDifference(" Paris", " London")
    table = next(ablation_effects_stream(smollm2, text, metric))
    logits = smollm2.trace(text).logits_at([-1])[0]
    paris, london = (smollm2.tokenizer.encode(one)[0] for one in (" Paris", " London"))
    expected = float(logits[paris] - logits[london])
    assert table.attrs["original"] == pytest.approx(expected, abs=1e-3)
    with pytest.raises(SelectionError) as error:
        ablation_effects(smollm2, text, LogProbability(" Parisian"))
    assert str(error.value) == (
        "' Parisian' is not one token of smollm2-135m: it is 2 (·Paris, ian). Give the first of "
        "them, or a token id."
    )


# --- Edges ---


@pytest.mark.parametrize("architecture", ["llama", "bert", "bart"])
def test_each_edge_of_a_head_is_cut_alone(architecture: str) -> None:
    model = tiny(architecture)
    kind = model.kinds[-1]
    trace = traced(model)
    table = knock_out_effects(model, trace, 1, 2, kind=kind)
    names = ["query", "key", "query_token", "key_token", "weight", "effect"]
    assert list(table.columns) == names
    n_queries, n_keys = len(trace.query_tokens(kind)), len(trace.key_tokens(kind))
    seen = n_queries * (n_queries + 1) // 2 if kind == "decoder" else n_queries * n_keys
    assert len(table) == seen
    weights = trace.attention(1, 2, kind)
    token = likeliest(trace)
    for row in table.iloc[::5].itertuples():
        assert row.weight == pytest.approx(float(weights[row.query, row.key]), abs=1e-5)
        edit = KnockOut(1, 2, row.query, row.key, kind=kind)
        expected = log_probability(traced(model, [edit]), token) - log_probability(trace, token)
        assert row.effect == pytest.approx(expected, abs=1e-4)


def test_edges_of_some_queries_alone_and_of_all_heads_at_once() -> None:
    model = tiny("llama")
    trace = traced(model)
    table = knock_out_effects(model, trace, 0, queries=[-1, 2])
    assert table["query"].tolist() == [2] * 3 + [6] * 7
    mean = trace.attention(0)[:, 6].mean(dim=0)
    np.testing.assert_allclose(table["weight"][3:], mean, atol=1e-5)
    token = likeliest(trace)
    edited = traced(model, [KnockOut(0, None, 6, 3)])
    expected = log_probability(edited, token) - log_probability(trace, token)
    assert table["effect"][3 + 3] == pytest.approx(expected, abs=1e-4)
    first = next(knock_out_effects_stream(model, trace, 0, 1))
    assert first["query"].iloc[0] == 6


# --- Any edits ---


def test_any_edits_can_be_swept_over_in_one_table() -> None:
    model = tiny("llama")
    trace = traced(model)
    direction = np.linspace(-1, 1, 32)
    lists: list[list[Any]] = [
        [AblateHead(0, 1), AblateHead(2, 3)],
        [SetPattern(1, None, "previous")],
        [KnockOut(2, 0, None, 0), Scale(1, 2.0, head=3)],
        [AblateLayer(1, "feed-forward")],
        [AblateLayer(2), Steer(1, direction, positions=3)],
        [Steer(3, direction)],
    ]
    table = edit_effects(model, trace, lists, LogProbability(11))
    assert table["run"].tolist() == list(range(6))
    before = log_probability(trace, 11)
    expected = [log_probability(traced(model, edits), 11) - before for edits in lists]
    np.testing.assert_allclose(table["effect"], expected, atol=1e-4)
    assert edit_effects(model, trace, []).empty


def test_heads_of_a_network_in_eager_mode_are_run_one_by_one_and_it_is_said() -> None:
    model = tiny("bloom")
    check_against_single_runs(model)
    assert ablation_effects(model, traced(model)).attrs["ran"] == (
        "one by one, each a whole run, since BloomForCausalLM computes its attention by itself"
    )


def test_layers_can_be_swept_over_in_a_network_in_eager_mode() -> None:
    model = tiny("bloom")
    assert model.capture == "eager"
    direction = np.linspace(-1, 1, 32)
    lists = [[Steer(layer, direction)] for layer in range(3)]
    table = edit_effects(model, traced(model), lists, LogProbability(11))
    before = log_probability(traced(model), 11)
    expected = [log_probability(traced(model, edits), 11) - before for edits in lists]
    np.testing.assert_allclose(table["effect"], expected, atol=1e-4)


def test_many_threads_can_sweep_one_network_while_others_run_it() -> None:
    model = Model.of(tiny_network("llama"), None)

    def work(first: int) -> tuple[Any, ...]:
        ids = [first, *SOURCE]
        table = ablation_effects(model, ids)
        return table["effect"].tolist(), model.trace(ids).logits.tolist()

    one_by_one = [work(first) for first in range(3, 11)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(3, 11))) == one_by_one


def test_a_network_that_was_trained_on_is_not_taken_for_what_it_was() -> None:
    model = Model.of(tiny_network("llama"), None)
    before = ablation_effects(model, SOURCE)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.mul_(1.1)
    check_against_single_runs(model)
    assert not np.allclose(ablation_effects(model, SOURCE)["effect"], before["effect"], atol=1e-3)


def test_the_heads_of_smollm2_are_swept_over_as_they_are_run(smollm2: Any) -> None:
    text = "When Mary and John went to the store, John gave a drink to"
    stream = ablation_effects_stream(smollm2, text)
    last = next(stream)
    assert isinstance(last, pd.DataFrame)
    assert last["layer"].unique().tolist() == [29]
    trace = smollm2.trace(text)
    token = int(trace.logits_at([-1])[0].argmax())
    edited = smollm2.trace(text, edits=[AblateHead(29, 4)])
    change = [one.logits_at([-1])[0].log_softmax(-1)[token] for one in (edited, trace)]
    found = last.set_index("head").loc[4, "effect"]
    assert found == pytest.approx(float(change[0] - change[1]), abs=1e-4)
