"""What is said when an attribution cannot be made, word by word."""

from typing import Any

import pytest

from tests.test_attribution import SOURCE, tiny, trace_of
from vizcore.attribution import attributions
from vizcore.attribution_targets import AttributionTarget
from vizcore.errors import CaptureError, MissingHeadError, SelectionError, TextError
from vizcore.perturbed_runs import no_gradients
from vizcore.token_vectors import no_vectors


def refused(error: type[Exception], trace: Any, *args: Any, **how: Any) -> str:
    with pytest.raises(error) as caught:
        attributions(trace, *args, **how)
    return str(caught.value)


def test_without_a_head_there_is_nothing_to_explain(minilm: Any) -> None:
    assert refused(MissingHeadError, minilm.trace("The cat sat")) == (
        "minilm-l6 has no language-model head, so it expects no tokens, and there is nothing to "
        'explain. Load a model with one, such as "smollm2-135m".'
    )


def test_what_is_not_there_is_named() -> None:
    trace = trace_of(tiny("llama"))
    assert refused(SelectionError, trace, AttributionTarget(position=9)) == (
        "There is no position 9: the text has 7 tokens, so positions go from 0 to 6, or from -1 "
        "backwards."
    )
    assert refused(SelectionError, trace, AttributionTarget(300)) == (
        "There is no token 300: ids go from 0 to 299."
    )
    assert refused(SelectionError, trace, AttributionTarget(5, 5)) == (
        "Token 5 (#5) is to be explained against itself: give another one."
    )
    assert refused(SelectionError, trace, AttributionTarget("cat")) == (
        "LlamaForCausalLM came without a tokenizer, so a token is named by its id, not by 'cat'."
    )
    assert refused(SelectionError, trace, methods=["lime"]) == (
        "There is no method 'lime': there are 'occlusion', 'integrated_gradients', "
        "'gradient_x_input', 'attention_x_gradient', 'rollout'."
    )
    assert refused(SelectionError, trace, methods=[]) == (
        "Methods are a list of names, with one at least; None for all."
    )
    assert refused(SelectionError, trace, replace="pad") == (
        'A token is replaced by "mask", "mean" or "zero", not by \'pad\'.'
    )
    assert refused(SelectionError, trace, replace="mask") == (
        'The tokenizer of LlamaForCausalLM has no mask token: tokens are replaced by the "mean" of '
        'all vectors, or "zero".'
    )
    assert refused(SelectionError, trace, n_steps=0) == "n_steps must be at least 1, not 0."


def test_a_likelihood_is_of_the_whole_text() -> None:
    trace = trace_of(tiny("llama"))
    assert refused(SelectionError, trace, AttributionTarget(5, of="likelihood")) == (
        "The likelihood is of the whole text: leave out token, against and position, or ask for "
        'of="token".'
    )


def test_where_nothing_can_have_mattered_that_is_said() -> None:
    model = tiny("llama")
    assert refused(TextError, model.trace([5])) == (
        "There is no token that could have mattered: of the text, nothing but its first token "
        "(which is always kept) stands before the place that is asked. Give a longer text, or a "
        "later position."
    )
    assert refused(TextError, model.trace([5]), AttributionTarget(of="likelihood")) == (
        "Nothing of this text is scored: LlamaForCausalLM has nothing before its only token. Give "
        "a longer text."
    )


def test_a_word_of_several_tokens_is_taken_apart(smollm2: Any) -> None:
    trace = smollm2.trace("The keys to the")
    assert refused(SelectionError, trace, AttributionTarget("xylophones")) == (
        "“xylophones” is 2 tokens for smollm2-135m (“·xyl”, “ophones”), and one token is "
        "explained at a time: give one of them."
    )


def test_an_encoder_without_a_mask_token_cannot_hide_one() -> None:
    network = tiny("bert").network
    trace = type(tiny("bert")).of(network, None).trace(SOURCE)
    assert refused(SelectionError, trace) == (
        "BertForMaskedLM reads the whole text at once, and its tokenizer has no mask token, so no "
        "token can be hidden from it and asked for."
    )


def test_networks_without_vectors_or_gradients_are_told_apart() -> None:
    model = tiny("llama")
    assert isinstance(no_vectors(model), CaptureError)
    assert str(no_vectors(model)) == (
        "LlamaForCausalLM does not look its tokens up in a table of vectors, so none of them can "
        "be changed or followed on its own, and it cannot be said which of them mattered. Where it "
        "looks is there: trace.map."
    )
    assert str(no_gradients(model)) == (
        "What LlamaForCausalLM expects cannot be differentiated by its tokens' vectors, so there "
        "are no gradients. Replacing tokens one by one needs none: the method is called occlusion."
    )
