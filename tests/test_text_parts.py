"""Networks that ask for more than text: the language model inside them is what is shown."""

from pathlib import Path

import pytest
import torch
from transformers import WhisperForConditionalGeneration

import vizcore
from tests.conformance.reference import eager_copy, reference
from tests.support import tiny

TEXT = [9, 8, 7, 6, 5]


@pytest.mark.parametrize(
    ("model_type", "whole", "part"),
    [
        ("blip-2", "Blip2ForConditionalGeneration", "language_model (OPTForCausalLM)"),
        ("kosmos-2", "Kosmos2ForConditionalGeneration", "text_model (Kosmos2TextForCausalLM)"),
    ],
)
def test_the_text_part_is_shown_and_the_note_says_so(
    model_type: str, whole: str, part: str, tmp_path: Path
) -> None:
    network = tiny.tiny_network(model_type)
    assert type(network).__name__ == whole
    tiny.save(network, tmp_path, tokenizer=None)
    model = vizcore.load(tmp_path)
    assert model.note == f"{whole} cannot be run on text alone: shown is its text part, {part}."
    assert (model.kind, model.n_layers) == ("decoder", 3)

    copy, missing = eager_copy(network, tmp_path)
    expected = reference(copy.get_submodule(part.split()[0]), TEXT, None)
    trace = model.trace(TEXT)
    assert not missing
    assert len(expected.maps["text"]) == 3
    for layer, theirs in enumerate(expected.maps["text"]):
        torch.testing.assert_close(trace.attention(layer), theirs, atol=1e-5, rtol=0)
    assert expected.logits is not None
    torch.testing.assert_close(trace.logits, expected.logits, atol=1e-3, rtol=1e-4)


def test_a_network_that_runs_on_text_is_shown_whole() -> None:
    network = tiny.tiny_network("llava")
    model = vizcore.Model.of(network, None, note="Made for a test.")
    assert model.network is network
    assert model.note == "Made for a test."


def test_a_network_without_such_a_part_is_refused_for_what_it_is() -> None:
    network = WhisperForConditionalGeneration(tiny.tiny_config("whisper"))
    with pytest.raises(vizcore.CaptureError) as error:
        vizcore.Model.of(network, None)
    assert str(error.value) == (
        "WhisperForConditionalGeneration does not read text: its input is input_features."
    )
