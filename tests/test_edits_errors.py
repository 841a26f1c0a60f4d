"""What is said of edits that don't fit: the edit itself, the model, the text."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

import vizcore
from tests.support import tiny
from vizcore import AblateHead, AblateLayer, KnockOut, Patch, Scale, SetPattern, Steer

IDS = [17, 8, 40, 23, 61]


def model_of(model_type: str) -> vizcore.Model:
    return vizcore.Model.of(tiny.tiny_network(model_type), None, name=f"tiny {model_type}")


@pytest.fixture(scope="module")
def llama() -> vizcore.Model:
    return model_of("llama")


@pytest.fixture(scope="module")
def bart() -> vizcore.Model:
    return model_of("bart")


OF_THEMSELVES: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: AblateHead(0, 0, how="median"),
        "There is no how 'median': it is 'zero', 'mean' or 'resample'.",
    ),
    (
        lambda: AblateHead(0, 0, reference="A text."),
        'An ablation to zero has no reference: leave it out, or say how="mean".',
    ),
    (
        lambda: AblateHead(0, 0, how="resample"),
        'how="resample" takes the head\'s output from another text: give it as reference.',
    ),
    (
        lambda: AblateHead(0, 0, how="mean", reference=[]),
        'how="mean" needs at least one reference text, or None for the text itself.',
    ),
    (
        lambda: AblateLayer(0, "mlp"),
        "There is no part 'mlp': it is 'attention' or 'feed-forward'.",
    ),
    (
        lambda: SetPattern(0, 0, "diagonal"),
        "There is no pattern 'diagonal': it is 'uniform' or 'previous'.",
    ),
    (
        lambda: SetPattern(0, 0, [1, 2]),
        "A pattern has one row for each query and one column for each key, not shape (2,).",
    ),
    (
        lambda: SetPattern(0, 0, [[1.0, -1.0]]),
        "The weights of a pattern are numbers that are not negative.",
    ),
    (
        lambda: SetPattern(0, 0, [[float("nan")]]),
        "The weights of a pattern are numbers that are not negative.",
    ),
    (
        lambda: Patch(IDS, "value", 0),
        "There is no where 'value': it is 'residual', 'head', 'pattern', 'feed-forward' or "
        "'attention'.",
    ),
    (
        lambda: Patch(IDS, "residual", 0, head=2),
        "'residual' is of a whole layer, not of head 2: leave out the head, or choose 'head' or "
        "'pattern'.",
    ),
    (
        lambda: Scale(0, 2.0, "attention", head=1),
        "'attention' is of a whole layer, not of head 1: leave out the head, or choose 'head'.",
    ),
    (
        lambda: Steer(0, [[1.0]]),
        "A direction is a row of d_model numbers, not shape (1, 1).",
    ),
    (
        lambda: Steer(0, [float("inf")]),
        "A direction is made of numbers, all of them finite.",
    ),
]


@pytest.mark.parametrize(("make", "message"), OF_THEMSELVES)
def test_an_edit_that_makes_no_sense_is_refused_when_it_is_made(
    make: Callable[[], Any], message: str
) -> None:
    with pytest.raises(vizcore.VizcoreError, match=f"^{re.escape(message)}$"):
        make()


OF_THE_MODEL: list[tuple[Any, str]] = [
    (
        AblateHead(3, 0),
        "There is no layer 3: tiny llama has 3 layers of decoder attention, counted from 0 to 2.",
    ),
    (
        AblateHead(-1, 0),
        "There is no layer -1: tiny llama has 3 layers of decoder attention, counted from 0 to 2.",
    ),
    (
        KnockOut(0, 4, None, 0),
        "There is no head 4: tiny llama has 4 heads a layer, counted from 0 to 3.",
    ),
    (
        SetPattern(0, 0, "uniform", kind="cross"),
        "tiny llama has no attention of kind 'cross': it has 'decoder'.",
    ),
    (
        AblateLayer(3, "feed-forward"),
        "There is no layer 3: tiny llama has 3 layers, counted from 0 to 2.",
    ),
    (
        Steer(4, [0.0] * 32),
        "There is no layer 4: tiny llama has 3 layers, counted from 0 to 3 (3 is after the last).",
    ),
    (
        Steer(1, [0.0] * 31),
        "The direction has 31 numbers, and the residual stream of tiny llama has 32.",
    ),
]


@pytest.mark.parametrize(("edit", "message"), OF_THE_MODEL)
def test_what_the_model_has_not_is_refused_before_anything_runs(
    llama: vizcore.Model, edit: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("It was run.")

    vizcore.Model.trace(llama, IDS, edits=[AblateLayer(0)])  # finds the layers, once
    monkeypatch.setattr("vizcore.model.run", refuse)
    with pytest.raises(vizcore.VizcoreError, match=f"^{re.escape(message)}$"):
        llama.trace(IDS, edits=[AblateHead(0, 0), edit])


OF_THE_TEXT: list[tuple[Any, str]] = [
    (
        KnockOut(0, 0, 5, 0),
        "There is no position 5: the text has 5 tokens, so positions go from 0 to 4, or from -1 "
        "backwards.",
    ),
    (
        KnockOut(0, 0, 0, -6),
        "There is no position -6: the text has 5 tokens, so positions go from 0 to 4, or from -1 "
        "backwards.",
    ),
    (
        Steer(0, [0.0] * 32, positions=[0, 7]),
        "There is no position 7: the text has 5 tokens, so positions go from 0 to 4, or from -1 "
        "backwards.",
    ),
    (
        SetPattern(0, 0, torch.eye(4)),
        "The pattern has shape (4, 4), and the text needs (5, 5): one row for each query, one "
        "column for each key.",
    ),
    (
        SetPattern(0, 0, torch.ones(5, 5)),
        "The pattern looks ahead, at tokens that the decoder has not read yet. Put 0 above its "
        "diagonal.",
    ),
    (
        Patch([1, 2, 3], "residual", 0),
        "The text that is patched from has 3 tokens and this one 5: to patch all, both need the "
        "same number. Choose positions, or texts of one length.",
    ),
    (
        Patch([1, 2, 3], "head", 0, positions=-1),
        "The text that is patched from has 3 tokens, so nothing can be taken from its position 4. "
        "Take a longer one.",
    ),
    (
        Patch([1, 2, 3], "pattern", 0, 1, positions=1),
        "The text that a pattern is patched from has 3 tokens to look at, and this one 5: its rows "
        "do not fit. Take one of the same length.",
    ),
    (
        AblateHead(0, 0, how="resample", reference=[1, 2, 3]),
        "The text that a head is resampled from has 3 tokens, so nothing can be taken from its "
        "position 4. Take a longer one.",
    ),
]


@pytest.mark.parametrize(("edit", "message"), OF_THE_TEXT)
def test_what_the_text_has_not_is_refused(llama: vizcore.Model, edit: Any, message: str) -> None:
    with pytest.raises(vizcore.VizcoreError, match=f"^{re.escape(message)}$"):
        llama.trace(IDS, edits=[edit])


def test_the_previous_token_is_not_for_cross_attention(bart: vizcore.Model) -> None:
    message = (
        'No token of a source is the one before a token of the target: "previous" is not for cross '
        "attention."
    )
    with pytest.raises(vizcore.SelectionError, match=f"^{re.escape(message)}$"):
        SetPattern(0, 0, "previous", kind="cross")


def test_a_run_of_another_models_sizes_cannot_be_patched_from(
    llama: vizcore.Model, bart: vizcore.Model
) -> None:
    source = bart.trace(IDS, [2, 3, 4])
    message = (
        "The run that is patched from is one of tiny bart, whose sizes are not those of tiny "
        "llama. Take a run of the same model."
    )
    with pytest.raises(vizcore.SelectionError, match=f"^{re.escape(message)}$"):
        llama.trace(IDS, edits=[Patch(source, "residual", 0)])


def test_what_runs_the_text_again_refuses_a_trace_with_edits(llama: vizcore.Model) -> None:
    trace = llama.trace(IDS, edits=[AblateHead(0, 0), AblateHead(0, 1)])
    ending = (
        " are those of the model as it is, and this trace was run with 2 edits. Trace the text "
        "without edits; an edited trace has its maps and its logits."
    )
    asked: dict[str, Callable[[], object]] = {
        "The states between layers": lambda: vizcore.logit_lens(trace),
        "What heads and layers add to a logit": lambda: vizcore.logit_attribution(trace),
        "Queries and keys": lambda: vizcore.queries_and_keys(trace, 0, 0),
        "Values, and what is made of them,": lambda: vizcore.weighted_norms(trace, 0, 0),
    }
    for what, ask in asked.items():
        with pytest.raises(vizcore.SelectionError, match=f"^{re.escape(what + ending)}$"):
            ask()
