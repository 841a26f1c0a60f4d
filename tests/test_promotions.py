"""What a layer promotes, against the logit lens before it and after it."""

from typing import Any

import pytest

from tests.test_attribution import tiny, trace_of
from vizcore.errors import SelectionError
from vizcore.lenses import logit_lens
from vizcore.promotions import promoted_tokens


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bart"])
def test_probabilities_and_ranks_are_the_lens(architecture: str) -> None:
    trace = trace_of(tiny(architecture))
    every = logit_lens(trace, [2], k=10**6)
    for layer in (0, 1):
        found = promoted_tokens(trace, layer, 2)
        for column, state in (("_before", layer), ("", layer + 1)):
            ids = every.top_ids[state, 0].tolist()
            for row in found.to_dict("records"):
                at = ids.index(row["token_id"])
                its = every.top_probabilities[state, 0, at]
                assert row[f"probability{column}"] == pytest.approx(float(its), abs=1e-5)
                assert row[f"rank{column}"] == at + 1
        gained = (found["probability"] - found["probability_before"]).tolist()
        assert gained == sorted(gained, reverse=True)
        assert gained[0] > 0


def test_the_last_layer_ends_with_what_the_model_expects(smollm2: Any) -> None:
    trace = smollm2.trace("The capital of France is")
    logits = trace.logits[-1]
    found = promoted_tokens(trace, smollm2.n_layers - 1)
    for row in found.to_dict("records"):
        assert row["rank"] == int((logits > logits[row["token_id"]]).sum()) + 1
        expected = float(logits.softmax(dim=-1)[row["token_id"]])
        assert row["probability"] == pytest.approx(expected, abs=1e-4)


def test_what_is_not_there_is_said() -> None:
    trace = trace_of(tiny("llama"))
    with pytest.raises(SelectionError) as refused:
        promoted_tokens(trace, 9)
    assert str(refused.value).startswith("There is no layer 9: LlamaForCausalLM has ")
    with pytest.raises(SelectionError) as refused:
        promoted_tokens(trace, 0, 7)
    assert str(refused.value) == (
        "There is no position 7: the text has 7 tokens, so positions go from 0 to 6, or from -1 "
        "backwards."
    )
