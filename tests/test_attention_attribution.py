"""What attention leads back to, against the eager weights of transformers and their gradients."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import vizcore
from tests.test_attribution import SOURCE, TARGET, of_method, target_of, tiny, trace_of
from vizcore.attribution import attributions
from vizcore.attribution_targets import AttributionTarget
from vizcore.errors import CaptureError
from vizcore.trace import Trace


def eager(architecture: str, inputs: dict[str, Any], position: int) -> tuple[Any, torch.Tensor]:
    """An eager run of the same network, and log p(11) - log p(7) at a position."""
    from copy import deepcopy

    network = deepcopy(tiny(architecture).network)
    network.set_attn_implementation("eager")
    output = network(**inputs, output_attentions=True)
    row = output.logits[0, position].log_softmax(dim=-1)
    return output, row[11] - row[7]


def relevance(attentions: Any, value: torch.Tensor) -> list[np.ndarray]:
    slopes = torch.autograd.grad(value, attentions, retain_graph=True)
    return [
        (weights * slope).clamp(min=0)[0].mean(dim=0).detach().numpy()
        for weights, slope in zip(attentions, slopes, strict=True)
    ]


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2", "bert"])
def test_attention_x_gradient_is_chefers_rule(architecture: str) -> None:
    model = tiny(architecture)
    target = target_of(model)
    assert target.position is not None
    ids = list(SOURCE) if model.kind == "encoder" else SOURCE[: target.position + 1]
    if model.kind == "encoder":
        ids[target.position] = model.tokenizer.mask_token_id  # type: ignore[union-attr]
    output, value = eager(architecture, {"input_ids": torch.tensor([ids])}, target.position)
    whole = np.eye(len(ids))
    for layer in relevance(output.attentions, value):
        whole = whole + layer @ whole
    table = attributions(trace_of(model), target, methods=["attention_x_gradient"], first=True)
    its = table[table["attribution"].notna()]
    expected = whole[target.position] - np.eye(len(ids))[target.position]
    assert its["attribution"].tolist() == pytest.approx(
        expected[its["position"]].tolist(), rel=1e-3, abs=1e-6
    )
    assert its["attribution"].max() > 1e-3


@pytest.mark.parametrize("architecture", ["bart", "t5"])
def test_in_an_encoder_decoder_it_goes_through_both_stacks(architecture: str) -> None:
    model = tiny(architecture)
    target = TARGET[:3]
    inputs = {
        "input_ids": torch.tensor([SOURCE]),
        "decoder_input_ids": torch.tensor([target]),
    }
    output, value = eager(architecture, inputs, 2)
    read, own, of_source = np.eye(7), np.eye(3), np.zeros((3, 7))
    for layer in relevance(output.encoder_attentions, value):
        read = read + layer @ read
    for layer, cross in zip(
        relevance(output.decoder_attentions, value),
        relevance(output.cross_attentions, value),
        strict=True,
    ):
        own, of_source = own + layer @ own, of_source + layer @ of_source
        of_source = of_source + cross @ read
    table = attributions(
        trace_of(model), AttributionTarget(11, 7, 2), methods=["attention_x_gradient"]
    )
    source = table[table["side"] == "source"]["attribution"]
    assert source.tolist() == pytest.approx(of_source[2].tolist(), rel=1e-3, abs=1e-6)
    written = table[(table["side"] == "target") & table["attribution"].notna()]
    expected = (own[2] - np.eye(3)[2])[written["position"]].tolist()
    assert written["attribution"].tolist() == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_networks_that_return_their_weights_take_part() -> None:
    model = tiny("deberta-v2")
    assert model.capture == "eager"
    table = attributions(trace_of(model), target_of(model), n_steps=2)
    assert table.attrs["left_out"] == {}
    assert max(of_method(table, "attention_x_gradient")) > 1e-4


def test_a_method_that_a_network_does_not_allow_is_left_out_and_said() -> None:
    model = tiny("longformer")
    table = attributions(trace_of(model), target_of(model), n_steps=2)
    assert "attention_x_gradient" not in set(table["method"])
    assert table.attrs["left_out"] == {
        "attention_x_gradient": (
            "The attention weights of LongformerForMaskedLM have no gradients: the network does "
            "not use the weights that it returns. Take another method, such as occlusion."
        )
    }
    with pytest.raises(CaptureError) as refused:
        attributions(trace_of(model), target_of(model), methods=["attention_x_gradient"])
    assert str(refused.value) == table.attrs["left_out"]["attention_x_gradient"]


@pytest.mark.parametrize("architecture", ["llama", "bert", "gpt_oss"])
def test_the_rollout_is_that_of_the_library(architecture: str) -> None:
    model = tiny(architecture)
    trace = model.trace(SOURCE)
    position = 6
    if model.kind == "encoder":  # which sees the position hidden
        masked = [*SOURCE[:6], model.tokenizer.mask_token_id]  # type: ignore[union-attr]
        expected = vizcore.rollout(model.trace(masked)).values[position]
    else:
        expected = vizcore.rollout(trace).values[position]
    table = attributions(trace, AttributionTarget(11, position=6), methods=["rollout"], first=True)
    its = table[table["attribution"].notna()]
    assert its["attribution"].tolist() == pytest.approx(expected[its["position"]], abs=1e-5)


def test_the_rollout_of_an_encoder_decoder_is_too_and_adds_up() -> None:
    trace = trace_of(tiny("bart"))
    table = attributions(trace, AttributionTarget(11), methods=["rollout"])
    expected = vizcore.rollout(trace, "cross").values[-1]
    source = table[table["side"] == "source"]["attribution"]
    assert source.tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    # What is lacking went to the start token, which is none of the text's.
    assert 0 < table["attribution"].sum() < 1


def test_the_rollout_is_the_same_whatever_is_explained(smollm2: Any) -> None:
    trace = smollm2.trace("The keys to the cabinet")
    found = [
        attributions(trace, AttributionTarget(token), methods=["rollout"])["attribution"]
        for token in ("are", "is")
    ]
    pd.testing.assert_series_equal(*found)


def test_several_asked_places_are_averaged() -> None:
    trace: Trace = trace_of(tiny("llama"))
    table = attributions(trace, AttributionTarget(of="likelihood"), methods=["rollout"], first=True)
    expected = vizcore.rollout(trace).values[:6].mean(axis=0)
    assert of_method(table, "rollout") == pytest.approx(expected[:6].tolist(), abs=1e-5)
