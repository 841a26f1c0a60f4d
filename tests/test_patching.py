"""Activation patching against single runs, and attribution patching against gradients by hand."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.support.tiny import tiny_network
from vizcore.attribution_patching import patching_estimates
from vizcore.edits import Patch, Steer
from vizcore.effect_metrics import KLDivergence, LogitDifference, LogLikelihood, LogProbability
from vizcore.errors import CaptureError, SelectionError, TextError
from vizcore.model import Model
from vizcore.patching import patching_effects, patching_effects_stream
from vizcore.residual_stream import residual_stream
from vizcore.trace import Trace

CLEAN, CORRUPTED, TARGET = [5, 9, 17, 23, 40, 8, 77], [5, 9, 18, 23, 41, 8, 77], [1, 30, 12, 9]
METRIC = LogitDifference(11, 12)


@cache
def tiny(architecture: str) -> Model:
    return Model.of(tiny_network(architecture), None)


def traced(model: Model, ids: list[int], edits: Any = ()) -> Trace:
    return model.trace(ids, TARGET if model.kind == "encoder-decoder" else None, edits=edits)


def difference(trace: Trace) -> float:
    return float(trace.logits[-1, 11] - trace.logits[-1, 12])


@pytest.mark.parametrize("where", ["residual", "attention", "feed-forward", "head", "pattern"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2", "albert", "bart", "t5"])
def test_a_sweep_over_patches_equals_one_patch_after_another(architecture: str, where: str) -> None:
    model = tiny(architecture)
    clean, corrupted = traced(model, CLEAN), traced(model, CORRUPTED)
    kind = model.kinds[0]
    table = patching_effects(model, clean, corrupted, METRIC, where=where, kind=kind)
    names = ["layer", "head", "position", "token", "effect", "restored"]
    assert list(table.columns) == names
    whole = difference(clean) - difference(corrupted)
    for row in table.iloc[::3].itertuples():
        patch = Patch(
            clean,
            where,
            row.layer,
            head=None if pd.isna(row.head) else int(row.head),
            positions=None if pd.isna(row.position) else int(row.position),
            kind=kind,
        )
        expected = difference(traced(model, CORRUPTED, [patch])) - difference(corrupted)
        assert row.effect == pytest.approx(expected, abs=1e-4)
        assert row.restored == pytest.approx(expected / whole, abs=1e-3)
    assert table["effect"].abs().max() > 1e-3
    assert table.attrs["clean"] - table.attrs["original"] == pytest.approx(whole, abs=1e-4)


def test_cells_are_layers_by_positions_or_layers_by_heads() -> None:
    model = tiny("llama")
    cells = patching_effects(model, CLEAN, CORRUPTED, METRIC)
    assert cells["layer"].tolist() == [layer for layer in range(3) for _ in CLEAN]
    assert cells["position"].tolist() == [*range(7)] * 3
    assert cells["token"].tolist() == [f"#{one}" for one in CLEAN] * 3
    assert cells["head"].isna().all()
    heads = patching_effects(model, CLEAN, CORRUPTED, METRIC, where="head")
    assert heads["head"].tolist() == [0, 1, 2, 3] * 3
    assert heads["position"].isna().all()
    some = patching_effects(model, CLEAN, CORRUPTED, METRIC, positions=[-1, 2])
    assert some["position"].tolist() == [2, 6] * 3
    np.testing.assert_allclose(some["effect"], cells["effect"][[2, 6, 9, 13, 16, 20]], atol=1e-5)


def test_a_patch_from_the_same_text_changes_nothing() -> None:
    model = tiny("llama")
    table = patching_effects(model, CLEAN, CLEAN, METRIC)
    np.testing.assert_allclose(table["effect"], 0, atol=1e-5)
    assert table["restored"].isna().all()


def test_the_last_token_after_the_last_layer_is_all_that_is_read() -> None:
    model = tiny("gpt2")
    table = patching_effects(model, CLEAN, CORRUPTED, METRIC, where="residual")
    # Before layer 0 only the tokens that differ can bring anything back.
    first = table[table["layer"] == 0].set_index("position")["effect"]
    np.testing.assert_allclose(first[[0, 1, 3, 5, 6]], 0, atol=1e-5)
    assert (first[[2, 4]].abs() > 1e-3).all()


def test_without_a_metric_it_is_the_clean_answer_against_the_corrupted_one() -> None:
    model = tiny("llama")
    clean, corrupted = model.trace(CLEAN), model.trace(CORRUPTED)
    one, other = (int(trace.logits[-1].argmax()) for trace in (clean, corrupted))
    label = patching_effects(model, clean, corrupted).attrs["metric"]
    if one == other:
        assert label == f"log-probability of #{one} at position 6"
    else:
        assert label == f"logit of #{one} minus that of #{other} at position 6"
    again = patching_effects(model, clean, clean).attrs["metric"]
    assert again == f"log-probability of #{one} at position 6"


def test_metrics_compare_with_the_clean_run_and_score_the_text_that_is_run() -> None:
    model = tiny("llama")
    clean, corrupted = model.trace(CLEAN), model.trace(CORRUPTED)
    divergence = patching_effects(model, clean, corrupted, KLDivergence())
    assert divergence.attrs["clean"] == pytest.approx(0, abs=1e-5)
    shares, others = (trace.logits[-1].double().log_softmax(-1) for trace in (clean, corrupted))
    expected = float((shares.exp() * (shares - others)).sum())
    assert divergence.attrs["original"] == pytest.approx(expected, abs=1e-4)
    likelihood = patching_effects(model, clean, corrupted, LogLikelihood())
    rows = corrupted.logits.log_softmax(-1)
    total = sum(float(rows[at, token]) for at, token in enumerate(CORRUPTED[1:]))
    assert likelihood.attrs["original"] == pytest.approx(total, abs=1e-3)


def test_of_an_encoder_decoder_both_sources_are_read_for_one_target() -> None:
    model = tiny("bart")
    table = patching_effects(model, CLEAN, CORRUPTED, METRIC, target=TARGET, kind="cross")
    assert len(table) == 2 * len(TARGET)
    own = patching_effects(model, CLEAN, CORRUPTED, kind="encoder")
    assert len(own) == 3 * len(CLEAN)


def test_results_come_as_they_are_ready() -> None:
    stream = patching_effects_stream(tiny("llama"), CLEAN, CORRUPTED, METRIC)
    assert next(stream)["layer"].unique().tolist() == [2]
    stream.close()


# --- Estimates ---


def gradients_by_hand(network: Any, layers: Any, ids: list[int]) -> list[tuple[Any, Any]]:
    """What each layer reads, and the slope of the metric there."""
    seen: list[torch.Tensor] = []

    def note(module: Any, args: tuple[Any, ...]) -> None:
        args[0].requires_grad_(True)
        seen.append(args[0])

    handles = [layer.register_forward_pre_hook(note) for layer in layers]
    with torch.enable_grad():
        logits = network(torch.tensor([ids]), use_cache=False).logits[0, -1]
        slopes = torch.autograd.grad(logits[11] - logits[12], seen)
    for handle in handles:
        handle.remove()
    return [(one.detach()[0], slope[0]) for one, slope in zip(seen, slopes, strict=True)]


def test_an_estimate_is_the_gradient_times_the_difference() -> None:
    model = tiny("gpt2")
    layers = model.network.transformer.h
    clean = gradients_by_hand(model.network, layers, CLEAN)
    corrupted = gradients_by_hand(model.network, layers, CORRUPTED)
    table = patching_estimates(model, CLEAN, CORRUPTED, METRIC, check=0)
    expected = [
        float(((one[position] - here[position]) * slope[position]).sum())
        for (one, _), (here, slope) in zip(clean, corrupted, strict=True)
        for position in range(len(CLEAN))
    ]
    np.testing.assert_allclose(table["estimate"], expected, atol=1e-4)
    assert table["effect"].isna().all()
    assert "checked" not in table.attrs


@pytest.mark.parametrize("where", ["residual", "attention", "feed-forward", "head"])
@pytest.mark.parametrize("architecture", ["llama", "bert", "t5"])
def test_estimates_say_how_far_off_they_are(architecture: str, where: str) -> None:
    model = tiny(architecture)
    clean, corrupted = traced(model, CLEAN), traced(model, CORRUPTED)
    exact = patching_effects(model, clean, corrupted, METRIC, where=where)
    table = patching_estimates(model, clean, corrupted, METRIC, where=where, check=6)
    checked = table["effect"].notna()
    assert checked.sum() == table.attrs["checked"] == 6
    np.testing.assert_allclose(table["effect"][checked], exact["effect"][checked], atol=1e-4)
    errors = (table["estimate"] - exact["effect"])[checked].abs()
    assert table.attrs["mean_error"] == pytest.approx(errors.mean(), abs=1e-4)
    assert table.attrs["largest_error"] == pytest.approx(errors.max(), abs=1e-4)
    largest = table["estimate"].abs().nlargest(3).index
    assert checked[largest].all()
    everything = patching_estimates(model, clean, corrupted, METRIC, where=where, check=10_000)
    pairs = np.corrcoef(everything["estimate"], exact["effect"])
    assert everything.attrs["correlation"] == pytest.approx(pairs[0, 1], abs=1e-3)


def test_an_estimate_is_the_slope_of_a_small_step() -> None:
    model = tiny("llama")
    estimate = patching_estimates(model, CLEAN, CORRUPTED, METRIC, positions=[2], check=0)
    clean, corrupted = (
        residual_stream(model).states(model.trace(ids))[0][2] for ids in (CLEAN, CORRUPTED)
    )
    share = 1e-3
    step = Steer(0, share * (clean - corrupted), positions=2)
    change = difference(model.trace(CORRUPTED, edits=[step])) - difference(model.trace(CORRUPTED))
    assert estimate["estimate"][0] == pytest.approx(change / share, rel=0.05, abs=1e-2)


# --- Errors ---


def test_errors_say_what_is_wrong_and_what_to_do() -> None:
    model = tiny("llama")
    with pytest.raises(TextError) as error:
        patching_effects(model, CLEAN, CORRUPTED[:-1])
    assert str(error.value) == (
        "The clean text has 7 tokens and the corrupted one 6, so their positions do not line up. "
        "Exchange words for others of as many tokens."
    )
    with pytest.raises(SelectionError) as place:
        patching_effects(model, CLEAN, CORRUPTED, where="layer")
    assert str(place.value) == (
        "There is no 'layer' to patch: it is 'residual', 'attention', 'feed-forward', 'head' or "
        "'pattern'."
    )
    with pytest.raises(SelectionError) as place:
        patching_effects(model, CLEAN, CORRUPTED, positions=[7])
    assert str(place.value) == (
        "There is no position 7: the text has 7 tokens, so positions go from 0 to 6, or from -1 "
        "backwards."
    )
    with pytest.raises(SelectionError) as place:
        patching_effects(model, CLEAN, CORRUPTED, where="head", positions=[1])
    assert str(place.value) == (
        "'head' is patched at all positions at once: leave out positions, or patch some of them "
        "with Patch."
    )
    with pytest.raises(SelectionError) as place:
        patching_estimates(model, CLEAN, CORRUPTED, where="pattern")
    assert str(place.value) == (
        'Patterns have no estimate: patch "head", "residual", "attention" or "feed-forward".'
    )
    with pytest.raises(SelectionError) as place:
        patching_estimates(model, CLEAN, CORRUPTED, lambda logits: float(logits.detach()[-1, 3]))
    assert str(place.value) == (
        "An estimate needs a metric with a gradient: a function that returns a tensor computed "
        "from the logits."
    )
    with pytest.raises(SelectionError) as place:
        patching_estimates(model, CLEAN, CORRUPTED, LogProbability(3), check=-1)
    assert str(place.value) == "check is a number of cells, not -1."


def test_a_network_without_a_single_stream_is_refused() -> None:
    with pytest.raises(CaptureError, match="The layers of Gemma3nForCausalLM were not found"):
        patching_effects(tiny("gemma3n_text"), CLEAN, CORRUPTED)
