"""The residual stream: what passes from layer to layer, and what the model would say of it.

The network's layers are found by trying: a row of modules, called one after another, from whose
last output alone the rest of the network makes its own logits, position by position. That rest,
final norm, projections, unembedding, soft caps, is never looked at: the network's own forward
computes it, with a state of ours in place of the last layer's. All that happens in a copy of the
modules that shares their weights, so the network itself stays as it is. Not for networks that keep
several streams, or mix positions after their last layer; those are refused.
"""

import copy
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from vizcore.capture import reads_two_texts, without_cache
from vizcore.errors import CaptureError, MissingHeadError
from vizcore.model import Model
from vizcore.selection import check_unedited
from vizcore.trace import Trace
from vizcore.trial import CANNOT_RUN, close, trial_inputs


@dataclass(frozen=True, eq=False)
class ResidualStream:
    """A network's residual stream. Made by `residual_stream`, once for each model.

    Args:
        network: a copy of the network's modules that shares their weights.
        part: what of it is run to record states; the whole, or all below the head.
        n_layers: how many states there are after the embedding.
        d_model: the width of a state.
        sample: arguments of its forward that it can be run with.
    """

    network: PreTrainedModel
    part: nn.Module
    n_layers: int
    d_model: int
    sample: dict[str, Tensor]

    def states(self, trace: Trace) -> tuple[Float[Tensor, "_ _"], ...]:
        """The stream of a trace's text, (token, d_model): before layer 0, and after each layer.

        Takes a forward pass.

        Raises:
            SelectionError: if the trace was run with edits.
        """
        check_unedited(trace, "The states between layers")
        recording = _Recording()
        with torch.no_grad():
            _run(self.part, trace.inputs, recording)
        return tuple(state[0] for state in recording.states())

    def logits(
        self, states: Float[Tensor, "state position d_model"]
    ) -> Float[Tensor, "state position vocab"]:
        """What the rest of the network makes of states that the last layer could have left.

        For the last state of `states` these are the model's logits. Gradients pass through.
        """
        n_states, n_positions, _ = states.shape
        inputs = {name: ids.expand(n_states, -1) for name, ids in self.sample.items()}
        name = "decoder_input_ids" if "decoder_input_ids" in inputs else "input_ids"
        inputs[name] = self.sample[name][:, :1].expand(n_states, n_positions)
        if name == "input_ids" and "attention_mask" in inputs:
            inputs["attention_mask"] = torch.ones_like(inputs[name])
        given = states.to(self.network.dtype)
        logits: Tensor = _run(self.network, inputs, _Recording(given=given)).logits
        return logits


@dataclass(eq=False)
class _Recording:
    """What passes between the layers of a copy and whoever runs it, within one thread.

    Args:
        given: what every layer answers with in place of its own result; None if layers run.
        taken: what each call of a layer was given, and what it made of it.
    """

    given: Tensor | None = None
    taken: list[tuple[Tensor | None, Tensor | None]] = field(default_factory=list)

    def states(self) -> list[Tensor]:
        """The stream before the first layer and after each; empty if it is no single stream."""
        outputs = [output for _, output in self.taken]
        found = [self.taken[0][0], *outputs] if self.taken else []
        whole = [state for state in found if state is not None and state.ndim == 3]
        alike = len({state.shape for state in whole}) == 1
        return whole if alike and len(whole) == len(found) else []


_recording: ContextVar[_Recording | None] = ContextVar("headlight_residual_stream", default=None)


class _LayerForward:
    """A layer's forward that shows what it does to the stream, or answers with what is given."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer
        self.own = vars(layer).get("forward")
        # How many other results it returns; None if only one, by itself.
        self.rest: int | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        recording = _recording.get()
        if recording is not None and recording.given is not None:
            given = recording.given
            return given if self.rest is None else [given, *[None] * self.rest]
        forward = self.own or partial(type(self.layer).forward, self.layer)
        output = forward(*args, **kwargs)
        if recording is not None:
            several = isinstance(output, tuple | list)
            first = output[0] if several and output else output
            result = first if isinstance(first, Tensor) else None
            recording.taken.append((_stream_of([*args, *kwargs.values()], result), result))
            self.rest = len(output) - 1 if several else None
        return output


def residual_stream(model: Model) -> ResidualStream:
    """The model's residual stream, found by trying when it is asked for first.

    Raises:
        MissingHeadError: if the model has no language-model head.
        CaptureError: if no row of layers is found from whose last output the logits can be made.
    """
    if not model.has_head:
        raise MissingHeadError(
            f"{model.name} has no language-model head, so it has no logits and predicts "
            'no tokens. Load a model with one, such as "smollm2-135m".'
        )
    if model not in _kept:
        _kept[model] = _find(model.network, model._capture.trunk)
    found = _kept[model]
    if found is None:
        raise no_stream(model)
    return found


def no_stream(model: Model) -> CaptureError:
    """What is said of a model whose stream was not found, or does not lead to its logits."""
    return CaptureError(
        f"The residual stream of {model.name} was not found: there is no row of layers from "
        "whose last output alone the network makes its logits (some keep several streams, or "
        "mix positions once more at the end). What it predicts at the end is there: "
        "trace.next_tokens."
    )


_kept: WeakKeyDictionary[Model, ResidualStream | None] = WeakKeyDictionary()


def _find(network: PreTrainedModel, trunk: nn.Module | None) -> ResidualStream | None:
    sample = trial_inputs(network)
    name = "decoder_input_ids" if reads_two_texts(network) else "input_ids"
    shape = sample[name].shape
    with torch.no_grad():
        expected: Tensor = network(**sample, **without_cache(network)).logits
    shared: dict[int, Any] = {
        id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())
    }
    copied = copy.deepcopy(network, shared)
    for layers in _candidates(copied):
        forwards = {layer: _LayerForward(layer) for layer in layers}
        for layer, forward in forwards.items():
            layer.forward = forward
        states = _states_if_they_lead_to(copied, sample, expected)
        if states and states[0].shape[:2] == shape:
            below = _same_part(network, trunk, copied)
            whole = below is None or name == "decoder_input_ids"
            return ResidualStream(
                network=copied,
                part=copied if whole or below is None else below,
                n_layers=len(states) - 1,
                d_model=states[0].shape[-1],
                sample=sample,
            )
        for layer, forward in forwards.items():
            del layer.forward
            if forward.own is not None:
                layer.forward = forward.own
    return None


def _candidates(network: nn.Module) -> Iterator[list[nn.Module]]:
    """Rows of modules, the outermost first; of those equally far out the last first."""
    rows = [
        (name.count("."), -place, list(dict.fromkeys(module)))
        for place, (name, module) in enumerate(network.named_modules())
        if isinstance(module, nn.ModuleList) and len(module)
    ]
    yield from (row for _, _, row in sorted(rows, key=lambda one: one[:2]))


def _states_if_they_lead_to(
    network: nn.Module, inputs: dict[str, Tensor], expected: Float[Tensor, "1 token vocab"]
) -> list[Tensor]:
    """The states of these layers, if the last alone makes the logits, each of its own position."""
    recording = _Recording()
    try:
        with torch.no_grad():
            _run(network, inputs, recording)
            states = recording.states()
            if len(states) < 2 or states[0].shape[:2] != expected.shape[:2]:
                return []
            logits = _run(network, inputs, _Recording(given=states[-1])).logits
            changed = states[-1].clone()
            changed[:, 1] = states[0][:, 0] + changed[:, 1].flip(-1)
            others = _run(network, inputs, _Recording(given=changed)).logits
    except CANNOT_RUN:
        return []
    same = close(logits, expected) and close(others[:, [0, 2]], expected[:, [0, 2]])
    return states if same and not close(others[:, 1], expected[:, 1]) else []


def _run(part: nn.Module, inputs: dict[str, Tensor], recording: _Recording) -> Any:
    token = _recording.set(recording)
    try:
        return part(**inputs, **without_cache(part))
    finally:
        _recording.reset(token)


def _stream_of(given: Sequence[Any], result: Tensor | None) -> Tensor | None:
    """Among what a layer was given, what has the shape of its result."""
    tensors = (one for one in given if isinstance(one, Tensor) and result is not None)
    return next((one for one in tensors if one.shape == getattr(result, "shape", None)), None)


def _same_part(network: nn.Module, part: nn.Module | None, copied: nn.Module) -> nn.Module | None:
    """A part of the network, in its copy."""
    names = [name for name, module in network.named_modules() if module is part]
    return copied.get_submodule(names[0]) if names and names[0] else None
