"""What sweeps over heads and edges say if they cannot be run."""

from functools import cache

import pytest
from transformers import BertModel

from tests.support.tiny import tiny_config, tiny_network
from vizcore.edits import AblateHead
from vizcore.effect_metrics import KLDivergence, LogLikelihood, LogProbability
from vizcore.errors import MissingHeadError, SelectionError
from vizcore.interventions import ablation_effects, knock_out_effects
from vizcore.model import Model

SOURCE = [5, 9, 17, 23, 40, 8, 77]


@cache
def tiny(architecture: str) -> Model:
    return Model.of(tiny_network(architecture), None)


def test_errors_say_what_is_wrong_and_what_to_do() -> None:
    model = tiny("llama")
    with pytest.raises(SelectionError) as error:
        ablation_effects(model, SOURCE, LogProbability(3, position=7))
    assert str(error.value) == (
        "There is no position 7: the text has 7 tokens, so positions go from 0 to 6, or from -1 "
        "backwards."
    )
    with pytest.raises(SelectionError) as error:
        ablation_effects(model, SOURCE, LogProbability(300))
    assert str(error.value) == "There is no token 300: ids go from 0 to 299."
    with pytest.raises(SelectionError) as error:
        ablation_effects(model, SOURCE, KLDivergence("each"))
    assert str(error.value) == (
        "KLDivergence is taken at a position, or at \"all\" of them, not at 'each'."
    )
    with pytest.raises(SelectionError) as error:
        ablation_effects(model, model.trace(SOURCE, edits=[AblateHead(0, 0)]))
    assert str(error.value) == (
        "That trace was run with edits; effects are measured beside a run without. Give the text "
        "itself, and the edits with every run: edit_effects."
    )
    with pytest.raises(SelectionError) as error:
        ablation_effects(model, tiny("gpt2").trace(SOURCE))
    assert str(error.value) == (
        "That is a trace of GPT2LMHeadModel, not of this model: give the text itself."
    )
    with pytest.raises(SelectionError) as error:
        knock_out_effects(model, SOURCE, 0, 0, queries=[9])
    assert str(error.value) == (
        "There is no position 9: the text has 7 tokens, so positions go from 0 to 6, or from -1 "
        "backwards."
    )
    with pytest.raises(SelectionError) as error:
        ablation_effects(model, [5], LogLikelihood())
    assert str(error.value) == (
        "A text of one token has no likelihood to change: nothing stands before it."
    )


def test_models_that_cannot_be_asked_say_why() -> None:
    headless = Model.of(BertModel(tiny_config("bert")).eval(), None)
    with pytest.raises(MissingHeadError) as error:
        ablation_effects(headless, SOURCE)
    assert str(error.value) == (
        "BertModel has no language-model head, so it predicts nothing that an edit could change. "
        'Load a model with one, such as "smollm2-135m".'
    )
    with pytest.raises(MissingHeadError) as error:
        ablation_effects(tiny("bert"), SOURCE, LogLikelihood())
    assert str(error.value) == (
        "BertForMaskedLM sees the whole text at once, so its tokens are not scored one after "
        "another. Mask a token and take LogProbability at its place, or a model that reads from "
        'left to right, such as "smollm2-135m".'
    )
