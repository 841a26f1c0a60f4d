"""Attributions, against captum, plain PyTorch on `inputs_embeds`, and runs with other ids."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from captum.attr import InputXGradient, IntegratedGradients
from torch import Tensor

import vizcore
from tests.support.tiny import tiny_network, tokenizer_for
from vizcore.attribution import METHODS, attributions
from vizcore.attribution_targets import AttributionTarget, Question, question
from vizcore.model import Model
from vizcore.perturbed_runs import Replacement, gradients, values
from vizcore.trace import Trace

SOURCE, TARGET = [5, 9, 17, 23, 40, 8, 57], [1, 30, 12, 9]
ARCHITECTURES = (
    *"llama gpt2 gemma2 gemma3n_text gpt_oss cohere granite opt gpt_neox phi bloom falcon".split(),
    *"deepseek_v3 mixtral ctrl biogpt jamba qwen3_next bert roberta electra albert".split(),
    *"deberta-v2 longformer mpnet bart t5 marian switch_transformers led".split(),
)


@cache
def tiny(architecture: str) -> Model:
    network = tiny_network(architecture)
    tokenizer = tokenizer_for(network)
    return Model.of(network, tokenizer if getattr(tokenizer, "mask_token", None) else None)


def trace_of(model: Model) -> Trace:
    if model.kind == "encoder-decoder":
        return model.trace(SOURCE, TARGET)
    return model.trace(SOURCE)


def target_of(model: Model) -> AttributionTarget:
    return AttributionTarget(11, against=7, position=3 if model.kind == "encoder" else 2)


def plain_value(model: Model, source: list[int], target: list[int] | None) -> float:
    """The target of `target_of`, from the network's own forward."""
    position = target_of(model).position
    assert position is not None
    given: dict[str, Any] = {"input_ids": torch.tensor([source])}
    if target is not None:
        given["decoder_input_ids"] = torch.tensor([target])
    with torch.no_grad():
        row = model.network(**given).logits[0, position]
    return float(row[11] - row[7])


def of_method(table: pd.DataFrame, method: str) -> list[float]:
    return table[table["method"] == method]["attribution"].dropna().tolist()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_token_replaced_by_another_is_a_run_with_the_others_id(architecture: str) -> None:
    model = tiny(architecture)
    trace = trace_of(model)
    asked = question(trace, target_of(model))
    n_features = len(asked.features)
    keep = np.concatenate([np.ones((1, n_features), bool), ~np.eye(n_features, dtype=bool)])
    found = values(asked, keep, Replacement("mask", 33))
    source, target = list(trace.source_ids), trace.target_ids and trace.target_ids[:3]
    if model.kind == "encoder":
        source[3] = model.tokenizer.mask_token_id  # type: ignore[union-attr]
    expected = [plain_value(model, source, target)]
    for side, position in asked.features:
        texts = {"source": list(source), "target": list(target or [])}
        texts[side][position] = 33
        expected.append(plain_value(model, texts["source"], texts["target"] or None))
    assert found == pytest.approx(expected, abs=2e-4)
    assert np.ptp(expected) > 1e-3


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_say_what_is_gained_on_a_stretch_of_the_way(architecture: str) -> None:
    model = tiny(architecture)
    asked = question(trace_of(model), target_of(model))
    at = np.linspace(0.598, 0.602, 33)  # short: experts are switched at once
    slopes, reached = gradients(asked, at, Replacement("mask", 33))
    gained = np.trapezoid(slopes.sum(axis=1), at)
    assert gained == pytest.approx(reached[-1] - reached[0], rel=0.02, abs=1e-4)
    assert np.abs(slopes).max() > 1e-3
    assert all(parameter.grad is None for parameter in model.network.parameters())


def by_embeddings(model: Model, asked: Question) -> tuple[Any, Tensor, Tensor]:
    """The value as a function of the vectors of the text, for captum; its vectors; a mean row."""
    table = model.network.get_input_embeddings().weight.detach()
    ids = asked.inputs["input_ids"][0]

    def value(vectors: Tensor) -> Tensor:
        logits = model.network(inputs_embeds=vectors).logits
        row = logits[:, 3 if model.kind == "encoder" else -1].log_softmax(dim=-1)
        return row[:, 11] - row[:, 7]

    return value, table[ids][None], table.mean(dim=0)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "opt", "bert", "albert"])
def test_integrated_gradients_and_gradient_x_input_are_captums(architecture: str) -> None:
    model = tiny(architecture)
    trace = trace_of(model)
    target = target_of(model)
    asked = question(trace, target)
    value, vectors, mean = by_embeddings(model, asked)
    places = [position for _, position in asked.features]
    baseline = vectors.clone()
    baseline[0, places] = mean
    table = attributions(
        trace,
        target,
        methods=["integrated_gradients", "gradient_x_input"],
        replace="mean",
        n_steps=20,
    )
    theirs = IntegratedGradients(value).attribute(
        vectors, baseline, n_steps=20, method="gausslegendre", internal_batch_size=5
    )
    summed = theirs.sum(dim=-1)[0, places].tolist()
    assert of_method(table, "integrated_gradients") == pytest.approx(summed, abs=1e-4)
    product = InputXGradient(value).attribute(vectors.requires_grad_())
    summed = product.sum(dim=-1)[0, places].tolist()
    assert of_method(table, "gradient_x_input") == pytest.approx(summed, abs=1e-4)


@pytest.mark.parametrize("architecture", ["gpt2", "bert", "bart", "llama"])
def test_integrated_gradients_add_up_and_say_how_nearly(architecture: str) -> None:
    model = tiny(architecture)
    table = attributions(
        trace_of(model), target_of(model), methods=["integrated_gradients"], n_steps=128
    )
    lacking = sum(of_method(table, "integrated_gradients")) - (
        table.attrs["value"] - table.attrs["replaced_value"]
    )
    assert table.attrs["completeness_error"] == pytest.approx(lacking)
    assert abs(lacking) < 0.05
    rough = attributions(
        trace_of(model), target_of(model), methods=["integrated_gradients"], n_steps=1
    )
    assert abs(rough.attrs["completeness_error"]) > abs(lacking)


@pytest.mark.parametrize("architecture", ["llama", "bert", "t5", "marian"])
def test_occlusion_is_what_is_lost_with_a_token(architecture: str) -> None:
    model = tiny(architecture)
    target = target_of(model)
    table = attributions(trace_of(model), target, methods=["occlusion"], replace="zero")
    asked = question(trace_of(model), target)
    n_features = len(asked.features)
    lost = [
        values(asked, np.ones((1, n_features), bool), Replacement("zero"))
        - values(asked, (np.arange(n_features) != number)[None], Replacement("zero"))
        for number in range(n_features)
    ]
    assert of_method(table, "occlusion") == pytest.approx(np.ravel(lost).tolist(), abs=1e-4)


def test_every_method_has_a_row_for_every_token_and_only_some_can_matter() -> None:
    trace = trace_of(tiny("llama"))
    table = attributions(trace, AttributionTarget(11, position=4))
    assert table["method"].drop_duplicates().tolist() == list(METHODS)
    for _, its in table.groupby("method"):
        assert its["position"].tolist() == [*range(7)]
        assert its["token_id"].tolist() == SOURCE
        # The first is kept, and those after the place that is asked cannot matter.
        assert its["attribution"].notna().tolist() == [False, *[True] * 4, False, False]
    whole = attributions(trace, AttributionTarget(11, position=4), first=True)
    assert whole["attribution"].notna().sum() == len(METHODS) * 5


def test_a_target_has_source_and_target_tokens() -> None:
    trace = trace_of(tiny("bart"))
    table = attributions(trace, AttributionTarget(11), methods=["gradient_x_input"])
    assert table["side"].tolist() == ["source"] * 7 + ["target"] * 4
    assert table[table["side"] == "target"]["attribution"].isna().tolist() == [True, *[False] * 3]


def test_a_hidden_token_is_asked_for_and_does_not_matter_itself() -> None:
    model = tiny("bert")
    table = attributions(model.trace(SOURCE), AttributionTarget(11, position=2))
    assert not table["attribution"].notna()[table["position"] == 2].any()
    assert table.attrs["replaced_by"] == "mask"


@pytest.mark.parametrize("name", ["tatoeba-lm", "tatoeba-mlm", "tatoeba-translator"])
def test_a_likelihood_is_that_of_score(name: str) -> None:
    model = vizcore.load(name)
    sentence, source = "I love you.", "我爱你。"
    if model.kind == "encoder-decoder":
        trace = model.trace(source, sentence)
        expected = vizcore.trace_surprisal(trace)["log_probability"].sum()
    else:
        trace = model.trace(sentence)
        expected = vizcore.score(model, [sentence], masking="original")["log_likelihood"][0]
    table = attributions(trace, AttributionTarget(of="likelihood"), methods=["gradient_x_input"])
    assert table.attrs["value"] == pytest.approx(expected, abs=1e-3)


def test_a_contrast_is_the_difference_of_two_tokens() -> None:
    trace = trace_of(tiny("gpt2"))
    for method in METHODS[:3]:
        one, other, both = (
            attributions(trace, AttributionTarget(*tokens), methods=[method])
            for tokens in ((11,), (7,), (11, 7))
        )
        apart = np.subtract(of_method(one, method), of_method(other, method))
        assert of_method(both, method) == pytest.approx(apart.tolist(), abs=1e-4)


def test_words_are_named_with_or_without_their_space(smollm2: Any) -> None:
    trace = smollm2.trace("The keys to the cabinet")
    table = attributions(trace, AttributionTarget("are", "is"), methods=["occlusion"])
    assert smollm2.labels([table.attrs["token"], table.attrs["against"]]) == ["·are", "·is"]
    row = trace.logits[-1].log_softmax(dim=-1)
    difference = row[table.attrs["token"]] - row[table.attrs["against"]]
    assert table.attrs["value"] == pytest.approx(float(difference), abs=1e-3)
    keys = table[table["token"] == "·keys"]["attribution"]
    assert keys.item() == table["attribution"].max()


def test_threads_do_not_disturb_each_other() -> None:
    model = tiny("llama")
    texts = [SOURCE, SOURCE[::-1], [7, 7, 9, 30], SOURCE[2:]] * 2

    def attributed(ids: list[int]) -> list[float]:
        found: list[float] = attributions(model.trace(ids))["attribution"].dropna().tolist()
        return found

    alone = [attributed(ids) for ids in texts[:4]]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(attributed, texts))
    for number, found in enumerate(together):
        assert found == pytest.approx(alone[number % 4], abs=1e-5)
