"""Runs a text on from one of a network's layers: what lies below answers from a recorded run.

A change in layer 20 changes nothing in the layers before it; so these are run once, and every run
with a change starts where its change is, many of them as one batch. Which modules are the layers is
found by trying, in a copy of the modules that shares the weights: a row of them inside which all
attention happens, and from each of which the rest of the network, run on, makes the very logits
that it made before. Where there is no such row, runs start at the first layer.
"""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from vizcore.answering_layers import LayerRun, current_run, expanded, rows_of_modules, unwrap, wrap
from vizcore.asked_rows import Runner
from vizcore.blocks import Blocks, Stack, blocks_of, stack_of
from vizcore.capture import (
    Capture,
    Kind,
    Relay,
    logits_from,
    only_hidden,
    reads_two_texts,
    relay_of_thread,
    without_cache,
)
from vizcore.model import Model
from vizcore.packed_copies import packed_runner
from vizcore.tap import Editor, Recorder
from vizcore.token_scores import runs_together
from vizcore.trace import Trace
from vizcore.trial import CANNOT_RUN, close, trial_inputs

N_TRIAL_ROWS = 3


@dataclass(frozen=True, eq=False)
class Place:
    """Where one attention call is made, in a copy of the network.

    Args:
        stack: in which stack.
        layer: in which of its layers, counted from 0 as they are called.
        module: the module that calls.
        number: how many calls it has made before in a forward pass.
        n_calls: how many it makes in all.
    """

    stack: Stack
    layer: int
    module: nn.Module
    number: int
    n_calls: int


@dataclass(frozen=True, eq=False)
class Recorded:
    """What a text left in the layers of a copy: of each stack what each layer returned."""

    inputs: dict[str, Tensor]
    outputs: dict[Stack, list[Any]]


@dataclass(frozen=True, eq=False)
class Resumable:
    """A network whose runs can start at any layer. Made by `resumable`, once for each model.

    Args:
        blocks: what was found about the network's layers, with the copy of its modules.
        places: where each attention call is made, for each kind by its place among the layers that
            have it.
        n_layers: how many layers were found in each stack; a stack whose layers were not found is
            not there, and its runs start at its beginning.
        together: whether many runs can be one batch.
        vocab_size: how many logits there are at a position.
    """

    blocks: Blocks
    places: dict[Kind, tuple[Place, ...]]
    n_layers: dict[Stack, int]
    together: bool
    vocab_size: int

    @property
    def network(self) -> PreTrainedModel:
        """The copy of the network that is run."""
        return self.blocks.network

    @property
    def trunk(self) -> nn.Module | None:
        """What of it is run before the head; None if the whole is."""
        return self.blocks.trunk

    def record(self, trace: Trace) -> Recorded:
        """Run a trace's text once, and keep what each layer returns."""
        return _record(self.network, self.trunk, trace.inputs)

    def start(self, stack: Stack, layer: int) -> tuple[Stack, int] | None:
        """Where a run can start that has a change in this layer; None: at the very beginning."""
        if stack in self.n_layers:
            return stack, layer
        # Behind an encoder whose layers are known, a decoder that is not is run from its start.
        known = stack == "decoder" and "encoder" in self.n_layers
        return ("encoder", self.n_layers["encoder"]) if known else None

    def run(self, recorded: Recorded, start: tuple[Stack, int] | None, n_rows: int) -> "Hidden":
        """Run the text on from a layer, as a batch of so many rows, all alike but for edits.

        Args:
            start: as `start` gives it; None for the beginning.
        """
        inputs = {name: ids.expand(n_rows, -1) for name, ids in recorded.inputs.items()}
        run = LayerRun(answers=_answers(recorded, start, n_rows))
        return _forward(self.network, self.trunk, inputs, run)

    def calls_before(self, start: tuple[Stack, int] | None) -> dict[nn.Module, int]:
        """How many attention calls of each module are left out by a run that starts there."""
        places = (place for places in self.places.values() for place in places)
        left_out = (place.module for place in places if start and _is_before(place, start))
        return Counter(left_out)


@dataclass(frozen=True, eq=False)
class Hidden:
    """What a batch of runs left: last hidden states of which logits can be made, or the logits."""

    output: Any
    made: Float[Tensor, "row position vocab"] | None

    def logits(
        self,
        network: PreTrainedModel,
        inputs: dict[str, Tensor],
        positions: slice | Sequence[int],
        rows: slice = slice(None),
    ) -> Float[Tensor, "row position vocab"]:
        """The logits of some rows at some positions.

        Args:
            network: whose head makes them.
            inputs: of one text.
        """
        if self.made is not None:
            return self.made[rows][:, positions]
        chosen = self.output.last_hidden_state[rows][:, positions]
        flat = type(self.output)(last_hidden_state=chosen.reshape(1, -1, chosen.shape[-1]))
        logits = logits_from(network, flat, slice(None), inputs)
        return logits.reshape(*chosen.shape[:2], -1)


def resumable(model: Model) -> Resumable:
    """The model's network as one that can be run on from any layer. It needs a head."""
    with _finding:
        runner = packed_runner(model)
        if runner.network not in _kept:  # of a network that was written to there is a new copy
            _kept[runner.network] = _find(model, runner)
        return _kept[runner.network]


_kept: WeakKeyDictionary[PreTrainedModel, Resumable] = WeakKeyDictionary()
_finding = threading.Lock()


def _find(model: Model, runner: Runner) -> Resumable:
    capture = replace(model._capture, trunk=runner.trunk)
    blocks = blocks_of(runner.network, capture)
    inputs = trial_inputs(model.network)
    together = runs_together(model)
    rows: dict[Stack, list[tuple[int, int]]] = {}
    made: _Made | None = None
    for stack, kinds in _stacks(capture).items():
        its_layers = blocks.layers.get(stack_of(kinds[0]), ())
        known = [list(dict.fromkeys(layer.site.module for layer in its_layers))]
        for layers in (*filter(None, known), *rows_of_modules(blocks.network)):
            wrapped = wrap(layers, stack)
            made = _make(blocks, inputs)
            spans = _spans(made, capture, stack, kinds)
            if spans and _is_exact(blocks, made, stack, N_TRIAL_ROWS if together else 1):
                rows[stack] = spans
                break
            unwrap(wrapped)
            made = None
    made = made or _make(blocks, inputs)
    return Resumable(
        blocks=blocks,
        places=_places(capture, made.recorder, rows),
        n_layers={stack: len(spans) for stack, spans in rows.items()},
        together=together,
        vocab_size=made.logits.shape[-1],
    )


@dataclass(frozen=True, eq=False)
class _Made:
    """What a plain run of the trial's text left."""

    run: "LayerRun"
    recorder: Recorder
    recorded: Recorded
    logits: Float[Tensor, "position vocab"]


def _make(blocks: Blocks, inputs: dict[str, Tensor]) -> _Made:
    with torch.inference_mode(), Editor({}), Recorder() as recorder:
        run = LayerRun(recorder=recorder)
        hidden = _forward(blocks.network, blocks.trunk, inputs, run)
        logits = hidden.logits(blocks.network, inputs, slice(None))[0]
    return _Made(run, recorder, Recorded(inputs, run.outputs), logits)


def _is_exact(blocks: Blocks, made: _Made, stack: Stack, n_rows: int) -> bool:
    """Whether a layer needs nothing of those before it but what the last of them returned.

    In each of a few runs some layers answer and the others run. Of any two layers, in one of these
    runs the lower answers and the upper runs, and all of them must come to the logits that are
    known. (A layer may read what another has put aside: keys and values, for instance.)
    """
    outputs = made.recorded.outputs[stack]
    below = {name: its for name, its in made.recorded.outputs.items() if name != stack}
    inputs = {name: ids.expand(n_rows, -1) for name, ids in made.recorded.inputs.items()}
    for bit in range(max(1, (len(outputs) - 1).bit_length())):
        for answering in (0, 1):
            answers: dict[Stack, list[Any]] = {
                name: [expanded(one, n_rows, own=True) for one in its]
                for name, its in below.items()
                if name == "encoder"
            }
            answers[stack] = [
                expanded(one, n_rows, own=True) if number >> bit & 1 == answering else None
                for number, one in enumerate(outputs)
            ]
            try:
                with torch.inference_mode(), Editor({}):
                    hidden = _forward(
                        blocks.network, blocks.trunk, inputs, LayerRun(answers=answers)
                    )
                    logits = hidden.logits(blocks.network, made.recorded.inputs, slice(None))
            except CANNOT_RUN:
                return False
            if not all(close(row, made.logits) for row in logits):
                return False
    return True


def _stacks(capture: Capture) -> dict[Stack, tuple[Kind, ...]]:
    """The stacks in the order in which they run, and the kinds of attention in each."""
    stacks: tuple[Stack, ...] = ("encoder", "decoder")
    found = {
        stack: tuple(kind for kind in capture.layers if stack_of(kind) == stack) for stack in stacks
    }
    return {stack: kinds for stack, kinds in found.items() if kinds}


def _spans(
    made: _Made, capture: Capture, stack: Stack, kinds: Sequence[Kind]
) -> list[tuple[int, int]]:
    """Which attention calls each layer makes, if all of these kinds are made in one; else none."""
    spans = made.run.n_calls.get(stack, [])
    inside = {call for before, after in spans for call in range(before, after)}
    asked = {call for call, kind in enumerate(capture.calls) if kind in kinds}
    alone = sum(after - before for before, after in spans) == len(inside)
    return spans if len(spans) > 1 and asked <= inside and alone else []


def _places(
    capture: Capture,
    recorder: Recorder,
    n_calls: Mapping[Stack, Sequence[tuple[int, int]]],
) -> dict[Kind, tuple[Place, ...]]:
    """Where each call is made. A stack whose layers are not known counts as one layer."""
    found: dict[Kind, list[Place]] = {kind: [] for kind in capture.layers}
    every = Counter(call.module for call in recorder.calls)
    made: Counter[nn.Module] = Counter()
    for number, (call, kind) in enumerate(zip(recorder.calls, capture.calls, strict=True)):
        before = made[call.module]
        made[call.module] += 1
        if kind is None:
            continue
        stack = stack_of(kind)
        layer = next(
            (
                place
                for place, (first, last) in enumerate(n_calls.get(stack, ()))
                if first <= number < last
            ),
            0,
        )
        found[kind].append(Place(stack, layer, call.module, before, every[call.module]))
    return {kind: tuple(places) for kind, places in found.items()}


def _is_before(place: Place, start: tuple[Stack, int]) -> bool:
    if place.stack != start[0]:
        return place.stack == "encoder"
    return place.layer < start[1]


def _record(
    network: PreTrainedModel, trunk: nn.Module | None, inputs: dict[str, Tensor]
) -> Recorded:
    run = LayerRun()
    with torch.inference_mode():
        _forward(network, trunk, inputs, run)
    return Recorded(inputs, run.outputs)


def _forward(
    network: PreTrainedModel, trunk: nn.Module | None, inputs: dict[str, Tensor], run: LayerRun
) -> Hidden:
    body: nn.Module = network
    if trunk is not None and ("decoder_input_ids" not in inputs or reads_two_texts(trunk)):
        body = trunk
    relay = Relay()
    tokens = relay_of_thread.set(relay), current_run.set(run)
    try:
        output = body(**inputs, **without_cache(body))
    finally:
        current_run.reset(tokens[1])
        relay_of_thread.reset(tokens[0])
    if trunk is None:
        return Hidden(None, output.logits)
    return Hidden(only_hidden(relay.taken), None)


def _answers(
    recorded: Recorded, start: tuple[Stack, int] | None, n_rows: int
) -> dict[Stack, list[Any]]:
    """What the layers below the start return, for a batch."""
    if start is None:
        return {}
    stack, layer = start
    lower = dict(recorded.outputs) if stack == "decoder" else {}
    lower[stack] = recorded.outputs[stack][:layer]
    return {
        name: [
            # The last of them is read by a layer that runs, which may write into what it is given.
            expanded(output, n_rows, own=n_rows == 1 or number == len(outputs) - 1)
            for number, output in enumerate(outputs)
        ]
        for name, outputs in lower.items()
    }
