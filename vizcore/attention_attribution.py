"""Which tokens attention leads back to: rollout, and attention weighed by its gradient.

The idea: each layer's attention is one matrix, its heads' mean, and what a place holds in the end
is followed down through all of them. Rollout (Abnar & Zuidema 2020) takes the weights alone, so it
is the same for every answer: the weak baseline. Attention × gradient (Chefer et al. 2021) counts
only weights that speak for the answer. Not for saying by how much: neither is in nats.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from vizcore.attention_calls import AttentionCall
from vizcore.attribution_targets import Question
from vizcore.capture import Kind, eager_maps, without_cache
from vizcore.errors import CaptureError
from vizcore.perturbed_runs import no_gradients
from vizcore.tap import Recorder
from vizcore.token_vectors import Side, log_probabilities, texts_of

Layers = list[tuple[int, Kind, Float[np.ndarray, "_ _"]]]
"""Of each layer and kind of attention one matrix (query, key), in the order in which they act."""


def rollout_attribution(question: Question) -> Float[np.ndarray, " feature"]:
    """The share of each token in what the asked places hold: X ← (X + Ā·X) / 2, from the identity.

    Of several asked places the mean. In an encoder-decoder, X begins as the target's own tokens;
    cross-attention adds what the encoder's rollout says of the source (see `vizcore.rollout`).
    """

    def mean(weights: Tensor, slopes: Tensor | None) -> Tensor:
        return weights.mean(dim=0)

    return _through(question, mean, residual=0.5, with_gradients=False)


def attention_gradient_attribution(question: Question) -> Float[np.ndarray, " feature"]:
    """The relevance of each token, X ← X + Ē·X with Ē the heads' mean of (A ⊙ ∂y/∂A)⁺.

    y is the value that is explained. The rule of Chefer, Gur & Wolf (2021); in an encoder-decoder
    as for the rollout. What remains of the identity, a token's part in itself, is taken away.

    Raises:
        CaptureError: if the weights of this network have no gradients.
    """

    def weighed(weights: Tensor, slopes: Tensor | None) -> Tensor:
        product = weights if slopes is None else weights * slopes
        return product.clamp(min=0).mean(dim=0)

    return _through(question, weighed, residual=1.0, with_gradients=True)


def _through(
    question: Question, made: Any, *, residual: float, with_gradients: bool
) -> Float[np.ndarray, " feature"]:
    """Each feature's part in the asked places, the mean of these."""
    found = np.zeros(len(question.features))
    for row in range(question.n_rows):
        asked = question.asked[question.asked[:, 0] == row]
        texts = {side: ids.shape[1] for side, ids in texts_of(question.inputs).items()}
        layers = _layers(question, row, asked, made, with_gradients)
        whole = _followed(layers, texts, residual)
        if with_gradients:
            whole = whole - np.eye(*whole.shape)
        its = whole[asked[:, 1]].mean(axis=0)
        offset = texts.get("target", 0)
        for number, (side, position) in enumerate(question.features):
            if question.own[row, number]:
                column = position + (offset if side == "source" else 0)
                found[number] += its[column] / question.n_rows
    return found


def _followed(
    layers: Layers, texts: dict[Side, int], residual: float
) -> Float[np.ndarray, "position input"]:
    """What each place of the answering stack is made of: its own text first, then the source."""
    n_target = texts.get("target", 0)
    n_source = texts["source"]
    if not n_target:
        whole = np.eye(n_source)
        for _, _, matrix in layers:
            whole = _mixed(whole, matrix @ whole, residual)
        return whole
    read, whole = np.eye(n_source), np.eye(n_target, n_target + n_source)
    for _, kind, matrix in layers:
        if kind == "encoder":
            read = _mixed(read, matrix @ read, residual)
            continue
        if kind == "cross":
            added = np.concatenate([np.zeros((n_target, n_target)), matrix @ read], axis=1)
        else:
            added = matrix @ whole
        whole = _mixed(whole, added, residual)
    return whole


def _mixed(before: np.ndarray, added: np.ndarray, residual: float) -> np.ndarray:
    """What was there and what came to it: in shares that sum to 1, or simply added up."""
    mixed: np.ndarray = before + added
    if residual < 1:
        mixed = residual * before + (1 - residual) * added
        total = mixed.sum(axis=1, keepdims=True)
        mixed = mixed / np.where(total == 0, 1, total)
    return mixed


def _layers(
    question: Question, row: int, asked: np.ndarray, made: Any, with_gradients: bool
) -> Layers:
    """One matrix for each attention of a row's run."""
    model = question.model
    inputs = {
        name: one[row : row + 1] if len(one) == question.n_rows else one
        for name, one in question.inputs.items()
    }
    device = model.network.device
    places = [torch.from_numpy(asked[:, column]).to(device) for column in (1, 2)]
    signs = torch.from_numpy(asked[:, 3]).to(device)
    grad = torch.enable_grad() if with_gradients else torch.no_grad()
    if model.capture == "eager":
        with grad:
            output: Any = model.network(
                **inputs, **without_cache(model.network), output_attentions=True
            )
            rows = output.logits[0].float().log_softmax(dim=-1)[places[0], places[1]]
            return _of_eager(question, output, (rows * signs).sum(), made, with_gradients)
    with grad, Recorder(values=True) as recorder, _HeadOutputs(recorder) as heads:
        shares = log_probabilities(model, inputs, torch.zeros_like(places[0]), *places)
    slopes: Sequence[Tensor | None] = [None] * len(recorder.calls)
    if with_gradients:
        slopes = _differentiated(question, (shares * signs).sum(), heads.outputs)
    n_of: dict[Kind, int] = dict.fromkeys(model._capture.layers, 0)
    found: Layers = []
    for call, kind, slope in zip(recorder.calls, model._capture.calls, slopes, strict=True):
        if kind is None:
            continue
        layer = model._capture.layers[kind][n_of[kind]]
        n_of[kind] += 1
        with torch.no_grad():
            by_weight = None if slope is None else _by_weights(call, slope)
            if with_gradients and by_weight is None:
                continue  # its attention has no part in the answer
            matrix = made(call.weights().float(), by_weight)
        found.append((layer, kind, matrix.double().cpu().numpy()))
    return _ordered(found)


def _by_weights(call: AttentionCall, slope: Tensor) -> Float[Tensor, "head query key"]:
    """∂y/∂A of a call from ∂y/∂(A·V): each weight moves its value."""
    assert call.value is not None  # noqa: S101 - the recorder was asked to keep it
    value = call.value[0].float()
    value = value.repeat_interleave(call.n_heads // len(value), dim=0)
    return slope[0].float() @ value.transpose(-1, -2)


def _of_eager(
    question: Question, output: Any, value: Tensor, made: Any, with_gradients: bool
) -> Layers:
    """The same of a network that returns its weights."""
    model = question.model
    one_stack = next(iter(model._capture.layers))
    weights = eager_maps(output, model.network, one_stack=one_stack)
    slopes: dict[Kind, Any] = {kind: [None] * len(maps) for kind, maps in weights.items()}
    if with_gradients:
        names = [name for name in output if name.endswith("attentions") and output[name]]
        flat = [one for name in names for one in output[name] if isinstance(one, Tensor)]
        gradients = iter(_differentiated(question, value, flat))
        returned = {
            name: tuple(next(gradients) if isinstance(one, Tensor) else one for one in output[name])
            for name in names
        }
        slopes = dict(eager_maps(_filled(returned, output), model.network, one_stack=one_stack))
    found: Layers = []
    for kind, maps in weights.items():
        for layer, its, slope in zip(model._capture.layers[kind], maps, slopes[kind], strict=True):
            with torch.no_grad():
                found.append((layer, kind, made(its.float(), slope).double().cpu().numpy()))
    return _ordered(found)


def _filled(returned: dict[str, tuple[Any, ...]], output: Any) -> Any:
    """Gradients in the shape of the output; zeros where a weight has no part in the answer."""
    whole = {
        name: tuple(
            torch.zeros_like(its) if one is None and isinstance(its, Tensor) else one
            for one, its in zip(ones, output[name], strict=True)
        )
        for name, ones in returned.items()
    }
    return type(output)(**whole)


def _ordered(layers: Layers) -> Layers:
    """The encoder first, then of each decoder layer its own attention, then the cross-attention."""
    order: dict[Kind, int] = {"encoder": 0, "decoder": 1, "cross": 1}
    return sorted(layers, key=lambda one: (order[one[1]], one[0], one[1] == "cross"))


def _differentiated(
    question: Question, value: Tensor, of: Sequence[Tensor | None]
) -> list[Tensor | None]:
    there = [one for one in of if one is not None]
    try:
        found = torch.autograd.grad(value, there, allow_unused=True)
    except RuntimeError as error:
        raise no_gradients(question.model) from error
    if not found or all(one is None for one in found):
        raise CaptureError(
            f"The attention weights of {question.model.name} have no gradients: the network does "
            "not use the weights that it returns. Take another method, such as occlusion."
        )
    slopes = iter(found)
    return [None if one is None else next(slopes) for one in of]


class _HeadOutputs(TorchFunctionMode):
    """Keeps what each recorded attention returned, (batch, head, query, d_value)."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder
        self.outputs: list[Tensor | None] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in _ATTENDING and self.recorder.calls:
            calls = self.recorder.calls
            self.outputs += [None] * (len(calls) - len(self.outputs))
            call = calls[-1]
            assert call.value is not None  # noqa: S101 - the recorder was asked to keep it
            # Scores may have that shape too; what the heads return comes after them.
            if tuple(result.shape) == (*call.query.shape[:3], call.value.shape[-1]):
                self.outputs[-1] = result
        return result


_ATTENDING = {
    functional.scaled_dot_product_attention,
    torch.matmul,
    Tensor.matmul,
    Tensor.__matmul__,
}
