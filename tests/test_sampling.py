"""Temperature, top-k, top-p and min-p, against what transformers does to the same logits."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from tests.support.tiny import tiny_network
from vizcore.errors import SelectionError
from vizcore.model import Model
from vizcore.sampling import STEPS, Sampling, sampling_table
from vizcore.trace import Trace

MANY = settings(max_examples=100, deadline=None)
LOGITS = st.lists(st.floats(-8, 8, width=32), min_size=2, max_size=30)


@cache
def trace() -> Trace:
    return Model.of(tiny_network("llama"), None).trace([5, 9, 17])


def theirs(logits: Tensor, sampling: Sampling) -> list[Tensor]:
    """The logits after each of transformers' own steps, in its order."""
    warpers: list[Any] = [TemperatureLogitsWarper(float(sampling.temperature))]
    warpers += [None if sampling.top_k is None else TopKLogitsWarper(sampling.top_k)]
    warpers += [None if sampling.top_p is None else TopPLogitsWarper(float(sampling.top_p))]
    warpers += [None if sampling.min_p is None else MinPLogitsWarper(float(sampling.min_p))]
    scores, after = logits[None], []
    for warper in warpers:
        scores = scores if warper is None else warper(None, scores)
        after.append(scores[0])
    return after


SETTINGS = st.builds(
    Sampling,
    temperature=st.floats(0.1, 3),
    top_k=st.none() | st.integers(1, 40),
    top_p=st.none() | st.floats(0.01, 0.99),
    min_p=st.none() | st.floats(0, 1),
)


@given(LOGITS, SETTINGS)
@MANY
def test_every_step_is_what_transformers_does(logits: list[float], sampling: Sampling) -> None:
    given_logits = torch.tensor(logits)
    for mine, other in zip(
        sampling.steps(given_logits), theirs(given_logits, sampling), strict=True
    ):
        torch.testing.assert_close(mine.softmax(dim=-1), other.softmax(dim=-1))
        assert torch.equal(torch.isinf(mine), torch.isinf(other))


@given(LOGITS)
@MANY
def test_a_temperature_of_0_leaves_the_likeliest(logits: list[float]) -> None:
    shares = Sampling(temperature=0).probabilities(torch.tensor(logits))
    best = max(logits)
    assert shares.tolist() == pytest.approx(
        [(one == best) / logits.count(best) for one in logits], abs=1e-6
    )


def test_a_table_says_what_each_step_does_and_which_cuts() -> None:
    sampling = Sampling(temperature=0.7, top_k=20, top_p=0.8, min_p=0.2)
    table = sampling_table(trace(), 1, sampling=sampling, k=None)
    logits = trace().logits[1]
    assert list(table) == ["rank", "token", "token_id", "probability", *STEPS, "kept", "cut_by"]
    assert len(table) == 300
    np.testing.assert_allclose(
        table["probability"], logits.softmax(dim=-1).sort(descending=True).values, rtol=1e-4
    )
    ids = table["token_id"].tolist()
    after = theirs(logits, sampling)
    for name, scores in zip(STEPS, after, strict=True):
        np.testing.assert_allclose(table[name], scores.softmax(dim=-1)[ids], rtol=1e-4, atol=1e-8)
        assert table[name].sum() == pytest.approx(1)
    gone = [[bool(torch.isinf(scores[one])) for scores in after] for one in ids]
    cut_by = [STEPS[row.index(True)] if any(row) else None for row in gone]
    assert table["cut_by"].where(table["cut_by"].notna(), None).tolist() == cut_by
    assert set(cut_by) == {None, "top_k", "top_p", "min_p"}
    assert table["kept"].tolist() == [one is None for one in cut_by]


def test_a_short_table_has_the_numbers_of_a_long_one() -> None:
    sampling = Sampling(top_p=0.5)
    short = sampling_table(trace(), sampling=sampling, k=5)
    every = sampling_table(trace(), sampling=sampling, k=None)
    assert len(short) == 5
    for column in ("token_id", *STEPS, "kept"):
        assert short[column].tolist() == every[column].tolist()[:5]


def test_settings_that_keep_everything_change_nothing() -> None:
    table = sampling_table(trace(), sampling=Sampling(top_p=1, min_p=0, top_k=10**6), k=None)
    assert table["kept"].all()
    np.testing.assert_allclose(table["min_p"], table["probability"], rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"temperature": -0.5},
            "The temperature must be 0 or more, not -0.5. 1 leaves the model's probabilities as "
            "they are.",
        ),
        (
            {"temperature": float("nan")},
            "The temperature must be 0 or more, not nan. 1 leaves the model's probabilities as "
            "they are.",
        ),
        ({"top_k": 0}, "top_k must be at least 1, not 0. None keeps all."),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, not 0.0. None keeps all."),
        ({"top_p": 1.5}, "top_p must be above 0 and at most 1, not 1.5. None keeps all."),
        ({"min_p": -0.1}, "min_p must be from 0 to 1, not -0.1. None keeps all."),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SelectionError) as error:
        Sampling(**changes)
    assert str(error.value) == message


def test_a_position_that_is_not_there_is_refused() -> None:
    with pytest.raises(SelectionError) as error:
        sampling_table(trace(), 3, sampling=Sampling())
    assert str(error.value) == (
        "There is no position 3: the text has 3 tokens, so positions go from 0 to 2, or from -1 "
        "backwards."
    )
