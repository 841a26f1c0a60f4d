"""Layers that answer with what they returned before, instead of running.

Forwards that are put on the layers of a copy of a network. Without a `LayerRun` in this thread
they are the layers' own; with one they note what each layer returns, or return what they are told
to. For what that is good for see `vizcore.resuming`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn
from transformers.utils.generic import ModelOutput

from vizcore.blocks import Stack
from vizcore.tap import Recorder


@dataclass(eq=False)
class LayerRun:
    """One forward pass through a copy, within one thread.

    Args:
        answers: of each stack, what its first layers return without being run.
        recorder: listens to the same pass, if somebody wants to know which layer calls attention.
        outputs: of each stack, what its layers returned that were run.
        n_calls: of each stack and layer, how many attention calls had been made before and after.
    """

    answers: Mapping[Stack, Sequence[Any]] = field(default_factory=dict)
    recorder: Recorder | None = None
    outputs: dict[Stack, list[Any]] = field(default_factory=dict)
    n_calls: dict[Stack, list[tuple[int, int]]] = field(default_factory=dict)
    n_entered: dict[Stack, int] = field(default_factory=dict)


current_run: ContextVar[LayerRun | None] = ContextVar("headlight_resuming", default=None)


class AnsweringForward:
    """A layer's forward that answers from what was recorded, where there is something."""

    def __init__(self, layer: nn.Module, stack: Stack) -> None:
        self.layer, self.stack = layer, stack
        self.own = vars(layer).get("forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        run = current_run.get()
        forward = self.own or partial(type(self.layer).forward, self.layer)
        if run is None:
            return forward(*args, **kwargs)
        number = run.n_entered.get(self.stack, 0)
        run.n_entered[self.stack] = number + 1
        answers = run.answers.get(self.stack, ())
        if number < len(answers) and answers[number] is not None:
            return answers[number]
        before = 0 if run.recorder is None else len(run.recorder.calls)
        output = forward(*args, **kwargs)
        after = 0 if run.recorder is None else len(run.recorder.calls)
        run.outputs.setdefault(self.stack, []).append(output)
        run.n_calls.setdefault(self.stack, []).append((before, after))
        return output


def rows_of_modules(network: nn.Module) -> Iterator[list[nn.Module]]:
    """Rows of modules, the outermost first."""
    rows = [
        (name.count("."), place, list(dict.fromkeys(module)))
        for place, (name, module) in enumerate(network.named_modules())
        if isinstance(module, nn.ModuleList) and len(module)
    ]
    yield from (row for _, _, row in sorted(rows, key=lambda one: one[:2]))


def wrap(layers: Sequence[nn.Module], stack: Stack) -> dict[nn.Module, AnsweringForward]:
    """Put such forwards on these modules."""
    forwards = {layer: AnsweringForward(layer, stack) for layer in layers}
    for layer, forward in forwards.items():
        layer.forward = forward
    return forwards


def unwrap(forwards: Mapping[nn.Module, AnsweringForward]) -> None:
    """Take them off again."""
    for layer, forward in forwards.items():
        del layer.forward
        if forward.own is not None:
            layer.forward = forward.own


def expanded(output: Any, n_rows: int, *, own: bool) -> Any:
    """What a layer returned for one text, as it would for many alike."""
    if isinstance(output, Tensor):
        if output.ndim and output.shape[0] == 1:
            output = output.expand(n_rows, *output.shape[1:])
        return output.clone() if own else output
    if isinstance(output, ModelOutput):
        parts = {name: expanded(one, n_rows, own=own) for name, one in output.items()}
        return type(output)(**parts)
    if isinstance(output, tuple | list):
        make = getattr(type(output), "_make", type(output))
        return make([expanded(one, n_rows, own=own) for one in output])
    return output
