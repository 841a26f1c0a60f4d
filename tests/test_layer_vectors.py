"""Vectors of layers are what the network computes, whatever else is in the batch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import vizcore
from tests.support.tiny import byte_level_tokenizer, tiny_network
from vizcore import layer_vectors

TEXTS = [
    "the cat sat on the mat",
    "nobody",
    "the door was shut so the cat looked at me instead and nobody saw it",
    "a cat",
]
ARCHITECTURES = ["gpt2", "llama", "bert", "roberta", "t5", "bart", "opt", "gemma2", "distilbert"]


@pytest.fixture(params=ARCHITECTURES)
def model(request: pytest.FixtureRequest) -> vizcore.Model:
    network = tiny_network(request.param)
    return vizcore.Model.of(network, byte_level_tokenizer(), name=request.param)


def alone(model: vizcore.Model, text: str) -> np.ndarray:
    """The states of one text by itself, as transformers returns them: (state, token, d_model)."""
    network: Any = model.network
    body = network.get_encoder() if model.kind == "encoder-decoder" else network
    with torch.inference_mode():
        output = body(torch.tensor([model.encode(text)]), output_hidden_states=True)
    return torch.cat(output.hidden_states).numpy()


@pytest.mark.parametrize(
    ("pool", "of"),
    [("mean", lambda states: states.mean(axis=1)), ("last", lambda states: states[:, -1])],
)
def test_vectors_are_those_of_each_text_by_itself(
    model: vizcore.Model, pool: Any, of: Callable[[np.ndarray], np.ndarray]
) -> None:
    found = vizcore.layer_features(model, TEXTS, pool=pool)
    for text, vectors in zip(TEXTS, found, strict=True):
        np.testing.assert_allclose(vectors, of(alone(model, text)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["tatoeba-lm", "tatoeba-mlm", "tatoeba-translator"])
def test_our_own_transformer_gives_the_states_of_its_layers(name: str) -> None:
    model = vizcore.load(name)
    transformer = model.network.transformer
    stack = transformer.decoder if transformer.encoder is None else transformer.encoder
    texts = ["I love you.", "He went to the park yesterday.", "Yes."]
    seen: list[torch.Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _module, _given, output: seen.append(output))
        for layer in stack.layers
    ]
    found = vizcore.layer_features(model, texts)
    for text, vectors in zip(texts, found, strict=True):
        seen.clear()
        trace = model.trace(text)
        states = [state[0].mean(dim=0).numpy() for state in seen[: len(stack.layers)]]
        assert len(vectors) == len(states) + 1
        np.testing.assert_allclose(vectors[1:-1], states[:-1], atol=1e-4)
        if model.kind != "encoder-decoder":
            last = trace.run.hidden.last_hidden_state[0].mean(dim=0).numpy()
            np.testing.assert_allclose(vectors[-1], last, atol=1e-4)
    for hook in hooks:
        hook.remove()


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = vizcore.Model.of(tiny_network("bert"), byte_level_tokenizer())
    whole = vizcore.layer_features(model, TEXTS)
    monkeypatch.setattr(layer_vectors, "TOKENS_AT_ONCE", 1)
    np.testing.assert_allclose(vizcore.layer_features(model, TEXTS), whole, atol=1e-5)


def test_a_text_that_cannot_be_run_is_named_errors() -> None:
    model = vizcore.Model.of(tiny_network("gpt2"), byte_level_tokenizer())
    with pytest.raises(vizcore.TextError, match=r"Sentence 2 \(''\): The text is empty"):
        vizcore.layer_features(model, ["the cat", ""])


def test_a_network_without_states_says_so_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    model = vizcore.Model.of(tiny_network("gpt2"), byte_level_tokenizer(), name="mine")
    body = model.network.base_model
    forward = body.forward

    def silent(*arguments: Any, output_hidden_states: bool = False, **options: Any) -> Any:
        return forward(*arguments, **options)

    silent.__signature__ = forward.__signature__  # type: ignore[attr-defined]
    monkeypatch.setattr(body, "forward", silent)
    with pytest.raises(vizcore.CaptureError) as caught:
        vizcore.layer_features(model, ["the cat"])
    assert str(caught.value) == (
        "mine does not give the states of its layers, one for each token, so there is nothing to "
        "probe."
    )
