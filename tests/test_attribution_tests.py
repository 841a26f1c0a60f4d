"""Faithfulness, against DeYoung's definitions on runs one by one with other ids."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import vizcore
from tests.test_attribution import tiny
from vizcore.attribution import attributions
from vizcore.attribution_targets import AttributionTarget
from vizcore.attribution_tests import faithfulness
from vizcore.errors import SelectionError

IDS = [5, 9, 17, 23, 40, 8, 57, 12, 31]


def probability(ids: list[int], token: int, position: int) -> float:
    with torch.no_grad():
        row = tiny("bert").network(input_ids=torch.tensor([ids])).logits[0, position]
    return float(row.softmax(dim=-1)[token])


def by_hand(table: pd.DataFrame, token: int, position: int) -> dict[str, float]:
    """The four numbers of one method, one run after another."""
    mask = tiny("bert").tokenizer.mask_token_id  # type: ignore[union-attr]
    its = table[table["attribution"].notna()].sort_values("attribution", ascending=False)
    order = its["position"].tolist()

    def without(taken: list[int]) -> float:
        ids = [mask if at in {position, *taken} else one for at, one in enumerate(IDS)]
        return probability(ids, token, position)

    whole, n = without([]), len(order)
    counts = [math.ceil(share * n) for share in (0.01, 0.05, 0.1, 0.2, 0.5)]
    deletion = [without(order[:count]) for count in range(n + 1)]
    insertion = [without(order[count:]) for count in range(n + 1)]
    return {
        "comprehensiveness": float(np.mean([whole - without(order[:count]) for count in counts])),
        "sufficiency": float(np.mean([whole - without(order[count:]) for count in counts])),
        "deletion": float(np.mean([sum(pair) / 2 for pair in pairwise(deletion)])),
        "insertion": float(np.mean([sum(pair) / 2 for pair in pairwise(insertion)])),
    }


def test_the_numbers_are_deyoungs_and_the_areas_under_the_curves() -> None:
    trace = tiny("bert").trace(IDS)
    target = AttributionTarget(11, position=4)
    table = attributions(trace, target, methods=["occlusion", "rollout"])
    found = faithfulness(trace, table, target)
    assert found.scores["method"].tolist() == ["occlusion", "rollout", "random"]
    for method in ("occlusion", "rollout"):
        expected = by_hand(table[table["method"] == method], 11, 4)
        row = found.scores[found.scores["method"] == method].iloc[0]
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, abs=1e-5), (method, name)


def test_curves_begin_and_end_with_the_whole_text_and_with_none_of_it() -> None:
    trace = tiny("llama").trace(IDS)
    table = attributions(trace, methods=["gradient_x_input"])
    found = faithfulness(trace, table)
    value, nothing = table.attrs["value"], table.attrs["replaced_value"]
    for (method, curve), its in found.curves.groupby(["method", "curve"]):
        ends = [value, nothing] if curve == "deletion" else [nothing, value]
        assert its["value"].iloc[[0, -1]].tolist() == pytest.approx(ends, abs=1e-4), method
        assert its["share"].tolist() == pytest.approx(np.linspace(0, 1, 9).tolist())
        assert its["n_tokens"].tolist() == [*range(9)]
        assert its["probability"].tolist() == pytest.approx(np.exp(its["value"]).tolist()) or (
            method == "random"
        )


def test_a_long_text_is_taken_away_several_tokens_at_a_time() -> None:
    trace = tiny("llama").trace([5 + number % 50 for number in range(64)])
    table = attributions(trace, methods=["gradient_x_input"])
    found = faithfulness(trace, table, n_random=1)
    assert found.curves.groupby(["method", "curve"]).size().unique().tolist() == [21]


def test_a_contrast_is_measured_between_the_two_and_a_likelihood_by_token() -> None:
    trace = tiny("llama").trace(IDS)
    for target, expected in (
        (AttributionTarget(11, 7), lambda value: 1 / (1 + math.exp(-value))),
        (AttributionTarget(of="likelihood"), lambda value: math.exp(value / 8)),
    ):
        table = attributions(trace, target, methods=["occlusion"])
        whole = faithfulness(trace, table, target).curves.iloc[0]
        assert whole["probability"] == pytest.approx(expected(table.attrs["value"]), abs=1e-5)


def test_occlusion_is_more_faithful_than_chance_on_agreement(smollm2: Any) -> None:
    trace = smollm2.trace("The keys to the cabinet")
    target = AttributionTarget("are", "is")
    table = attributions(trace, target, methods=["occlusion", "rollout"])
    scores = faithfulness(trace, table, target).scores.set_index("method")
    assert scores.loc["occlusion", "deletion"] < scores.loc["random", "deletion"]
    assert scores.loc["occlusion", "comprehensiveness"] > scores.loc["random", "comprehensiveness"]


def test_the_same_seed_is_the_same_chance() -> None:
    trace = tiny("llama").trace(IDS)
    table = attributions(trace, methods=["gradient_x_input"])
    one, same, other = (faithfulness(trace, table, seed=seed).scores for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    assert one["deletion"].iloc[-1] != other["deletion"].iloc[-1]


def test_attributions_of_another_target_are_refused() -> None:
    trace = tiny("llama").trace(IDS)
    table = attributions(trace, methods=["gradient_x_input"])
    with pytest.raises(SelectionError) as refused:
        faithfulness(trace, table, vizcore.AttributionTarget(position=3))
    assert str(refused.value) == (
        "These attributions are not of this text and target: they name other tokens. Give the "
        "trace and the target that they were made with."
    )
    with pytest.raises(SelectionError) as refused:
        faithfulness(trace, table, n_random=0)
    assert str(refused.value) == "n_random must be at least 1, not 0."
