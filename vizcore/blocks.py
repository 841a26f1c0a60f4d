"""Finds a network's layers, and in each what attention and what feed-forward adds to the stream.

By trying, in a copy that shares the weights (`vizcore.stream_editor`): layers are a row of modules
called one after another, each of which is given what the one before returned, and inside which all
attention happens. What attention adds is the last result in a layer that everything attended passes
through, and the stream itself does not: held constant, it takes away every influence of queries,
keys and values, and of nothing else. What feed-forward adds is the same for all matrices that are
not attention's. So names, norms before or after and parallel blocks don't matter.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from vizcore.capture import Capture, Kind, reads_two_texts, without_cache
from vizcore.eager_editor import EagerEditor
from vizcore.stream_editor import StreamEditor, hooked_copy, is_stream
from vizcore.tap import Editor, Recorder
from vizcore.trial import CANNOT_RUN, trial_inputs

Stack = Literal["encoder", "decoder"]
Part = Literal["feed-forward"]


@dataclass(frozen=True, eq=False)
class Site:
    """One call of a module in a forward pass of the copy.

    Args:
        module: which module.
        number: how many calls it has made before.
        n_calls: how many it makes in all.
    """

    module: nn.Module
    number: int
    n_calls: int


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer: its call, what it was given in the trial, and who attends in it.

    Who attends is None in a network that does not call the tap: there a softmax over heads tells.
    """

    site: Site
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    d_model: int
    callers: dict[Kind, nn.Module | None]
    n_heads: int


@dataclass(frozen=True, eq=False)
class Blocks:
    """What was found. Made by `blocks_of`, once for each network.

    Args:
        network: a copy of the network's modules that shares their weights, and can be edited.
        trunk: the same part of it as the network's, or None.
        layers: of each stack, its layers in order; none of a stack whose layers were not found.
    """

    network: PreTrainedModel
    trunk: nn.Module | None
    layers: dict[Stack, tuple[Layer, ...]]
    _found: dict[tuple[Stack, int], dict[Kind | Part, str]] = field(default_factory=dict)
    _finding: Any = field(default_factory=threading.Lock)

    def part(self, stack: Stack, layer: int, part: Kind | Part) -> Site | None:
        """Where a layer's attention of a kind, or its feed-forward, has what it adds to the stream.

        Found out when it is asked for first; None if there is no such place.
        """
        its = self.layers[stack][layer]
        with self._finding, torch.inference_mode(mode=False):  # it takes gradients
            if (stack, layer) not in self._found:
                known = next((names for (s, _), names in self._found.items() if s == stack), {})
                self._found[stack, layer] = _parts(its, known)
            name = self._found[stack, layer].get(part)
        if name is None:
            return None
        return Site(its.site.module.get_submodule(name), its.site.number, its.site.n_calls)


def blocks_of(network: PreTrainedModel, capture: Capture) -> Blocks:
    """The network's layers, found when they are asked for first."""
    with _lock, torch.inference_mode(mode=False):
        if network not in _kept:
            _kept[network] = _find(network, capture)
        return _kept[network]


_kept: WeakKeyDictionary[nn.Module, Blocks] = WeakKeyDictionary()
_lock = threading.Lock()


def stack_of(kind: Kind) -> Stack:
    """The stack in which there is attention of this kind."""
    return "encoder" if kind == "encoder" else "decoder"


def _find(network: PreTrainedModel, capture: Capture) -> Blocks:
    copied = hooked_copy(network)
    names = {id(module): name for name, module in network.named_modules()}
    trunk = None if capture.trunk is None else copied.get_submodule(names[id(capture.trunk)])
    inputs = trial_inputs(network)
    layers: dict[Stack, tuple[Layer, ...]] = {}
    for stack in _stacks(capture):
        n_tokens = inputs["input_ids"].shape[1]
        if stack == "decoder" and reads_two_texts(network):
            n_tokens = inputs["decoder_input_ids"].shape[1]
        for row in _rows(copied):
            found = _layers(copied, row, inputs, capture, stack, n_tokens)
            if found:
                layers[stack] = found
                break
    return Blocks(copied, trunk, layers)


def _stacks(capture: Capture) -> list[Stack]:
    return list(dict.fromkeys(stack_of(kind) for kind in capture.layers))


def _rows(network: nn.Module) -> Iterator[list[nn.Module]]:
    """Rows of modules, the outermost first."""
    rows = [
        (name.count("."), place, list(dict.fromkeys(module)))
        for place, (name, module) in enumerate(network.named_modules())
        if isinstance(module, nn.ModuleList) and len(module)
    ]
    yield from (row for _, _, row in sorted(rows, key=lambda one: one[:2]))


def _layers(
    network: PreTrainedModel,
    row: Sequence[nn.Module],
    inputs: dict[str, Tensor],
    capture: Capture,
    stack: Stack,
    n_tokens: int,
) -> tuple[Layer, ...]:
    """This row as the layers of the stack; empty if it is not."""
    kinds = [kind for kind in capture.layers if stack_of(kind) == stack]
    calls: list[tuple[nn.Module, tuple[Any, ...], dict[str, Any], list[int]]] = []
    outputs: list[Any] = []

    def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.append((module, args, kwargs, [len(recorder.calls)]))

    def leave(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        calls[len(outputs)][3].append(len(recorder.calls))
        outputs.append(output[0] if isinstance(output, tuple | list) else output)

    handles = [module.register_forward_pre_hook(enter, with_kwargs=True) for module in row]
    handles += [module.register_forward_hook(leave) for module in row]
    try:
        with torch.no_grad(), Editor({}), StreamEditor(), Recorder() as recorder:
            network(**inputs, **without_cache(network))
    except CANNOT_RUN:
        return ()
    finally:
        for handle in handles:
            handle.remove()

    streams = [_stream(args, kwargs) for _, args, kwargs, _ in calls]
    whole = [one for one in (*streams, *outputs) if is_stream(one)]
    if not calls or len(whole) != len(streams) + len(outputs):
        return ()
    if len({tuple(one.shape) for one in whole}) != 1 or whole[0].shape[1] != n_tokens:
        return ()
    pairs = zip(outputs[:-1], streams[1:], strict=True)
    if not all(torch.equal(output, stream) for output, stream in pairs if stream is not None):
        return ()
    spans = [span for *_, span in calls]
    modules = [module for module, *_ in calls]
    callers = _callers(recorder, capture, kinds, spans)
    if callers is None:
        return ()
    return tuple(
        Layer(
            Site(module, modules[:number].count(module), modules.count(module)),
            args,
            kwargs,
            whole[0].shape[-1],
            its,
            max(capture.n_heads.values()),
        )
        for number, ((module, args, kwargs, _), its) in enumerate(zip(calls, callers, strict=True))
    )


def _callers(
    recorder: Recorder, capture: Capture, kinds: Sequence[Kind], spans: Sequence[list[int]]
) -> list[dict[Kind, nn.Module | None]] | None:
    """Who attends in each layer; None if someone does outside, or in another layer than is said."""
    found: list[dict[Kind, nn.Module | None]] = [{} for _ in spans]
    if capture.way == "eager":
        for its_kind in kinds if len(capture.layers) == 1 else ():
            for layer in capture.layers[its_kind]:
                if layer >= len(found):
                    return None
                found[layer][its_kind] = None
        return found
    numbers = {kind: iter(capture.layers[kind]) for kind in kinds}
    for place, (call, kind) in enumerate(zip(recorder.calls, capture.calls, strict=True)):
        if kind not in kinds or kind is None:
            continue
        inside = [at for at, (first, last) in enumerate(spans) if first <= place < last]
        if inside != [next(numbers[kind])]:
            return None
        found[inside[0]][kind] = call.module
    return found


def _stream(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    return next((one for one in (*args, *kwargs.values()) if is_stream(one)), None)


# --- What a layer's blocks add --------------------------------------------------------------------


class _Trial:
    """A layer run by itself, with some of its modules' results held constant."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.module = layer.site.module
        stream = _stream(layer.args, layer.kwargs)
        assert stream is not None  # noqa: S101 - a layer without one was not taken
        self.stream = stream.detach()
        self.results: list[tuple[nn.Module, Tensor]] = []

    def influence(self, constant: Sequence[nn.Module]) -> tuple[bool, dict[Kind, bool], set[str]]:
        """What still has an influence on what the layer returns, if these results are constant.

        Returns:
            Whether what it reads has; for each kind of attention, whether that has; and the names
            of the modules with matrices, attention's own among them, whose results have.
        """
        x = self.stream.clone().requires_grad_()
        names = {module: name for name, module in self.module.named_modules() if name}
        args, kwargs = _with_stream(self.layer, x)
        results: list[tuple[nn.Module, Tensor]] = []

        def note(module: nn.Module) -> Callable[[Tensor, int], Tensor]:
            def edit(result: Any, _: int) -> Any:
                if not isinstance(result, Tensor):
                    return result
                results.append((module, result))
                return result.detach() if module in constant else result

            return edit

        after = {module: [[note(module)]] for module in names}
        with torch.enable_grad(), Editor({}), Recorder(values=True) as recorder:
            with _Noting(after), EagerEditor(self.layer.n_heads) as eager:
                output = self.module(*args, **kwargs)
            output = output[0] if isinstance(output, tuple | list) else output
            weight = torch.randn(
                output.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32
            )
            total = (output.float() * weight.to(output.device)).sum()
        self.results = results
        matrices = [
            (names[module], result)
            for module, result in results
            if any(one.ndim > 1 for one in module.parameters(recurse=False))
        ]
        attended = {
            kind: [
                tensor
                for call in recorder.calls
                if call.module is caller
                for tensor in (call.query, call.key, call.value)
                if tensor is not None
            ]
            if caller is not None
            else [pattern.weights for pattern in eager.patterns]
            for kind, caller in self.layer.callers.items()
        }
        wanted = [x, *(one for its in attended.values() for one in its)]
        wanted += [result for _, result in matrices]
        gradients = iter(_gradients(total, wanted))
        reads = next(gradients)
        flags = {kind: [next(gradients) for _ in its] for kind, its in attended.items()}
        kinds = {kind: any(its) for kind, its in flags.items()}
        return reads, kinds, {name for (name, _) in matrices if next(gradients)}


class _Noting(StreamEditor):
    """An editor whose functions are shown whatever a module returns, or the first of it."""

    def __init__(self, after: Any) -> None:
        super().__init__(after=after)

    def changed(self, module: nn.Module, vectors: Any, *, before: bool) -> Any:
        """As the function says; not held to be of the same type."""
        for edit in self.of_next_call(module, before=before):
            vectors = edit(vectors, 0)
        return vectors


def _gradients(total: Tensor, wanted: Sequence[Tensor]) -> list[bool]:
    """Which of these have an influence on the total."""
    with_graph = [one for one in wanted if one.requires_grad]
    if not total.requires_grad or not with_graph:
        return [False] * len(wanted)
    found = iter(torch.autograd.grad(total, with_graph, allow_unused=True))
    given = [next(found) if one.requires_grad else None for one in wanted]
    return [one is not None and bool(one.any()) for one in given]


def _with_stream(layer: Layer, x: Tensor) -> tuple[tuple[Any, ...], dict[str, Any]]:
    for place, given in enumerate(layer.args):
        if is_stream(given):
            return (*layer.args[:place], x, *layer.args[place + 1 :]), layer.kwargs
    for name, given in layer.kwargs.items():
        if is_stream(given):
            return layer.args, {**layer.kwargs, name: x}
    raise AssertionError("A layer without a stream was not taken.")


def _parts(layer: Layer, known: dict[Kind | Part, str]) -> dict[Kind | Part, str]:
    """The names, inside the layer, of what has each part's addition to the stream."""
    trial = _Trial(layer)
    try:
        _, _, matrices = trial.influence([])
    except CANNOT_RUN:
        return {}
    shape = trial.stream.shape
    shapes = (
        tuple(shape),
        (shape[0] * shape[1], shape[2]),
    )  # some lay all texts of a batch end to end
    names = {module: name for name, module in trial.module.named_modules()}
    results = [(names[module], tuple(result.shape)) for module, result in trial.results]
    seen = [name for name, its_shape in results if its_shape in shapes]
    candidates = [name for name in reversed(seen) if seen.count(name) == 1]
    found: dict[Kind | Part, str] = {}
    for kind in layer.callers:
        for name in _first(known.get(kind), candidates):
            reads, kinds, others = trial.influence([trial.module.get_submodule(name)])
            rest = [kinds[other] for other in kinds if other != kind]
            if reads and not kinds[kind] and all(rest) and (others or not matrices):
                found[kind] = name
                break
    constant = [trial.module.get_submodule(found[kind]) for kind in layer.callers if kind in found]
    if len(constant) < len(layer.callers):
        return found
    reads, _, feeding = trial.influence(constant)
    if not feeding:
        return found
    for name in _first(known.get("feed-forward"), candidates):
        reads, kinds, others = trial.influence([trial.module.get_submodule(name)])
        if reads and all(kinds.values()) and not others & feeding:
            found["feed-forward"] = name
            break
    return found


def _first(known: str | None, candidates: Sequence[str]) -> list[str]:
    """The candidates, the known one before the others."""
    return sorted(candidates, key=lambda name: name != known)
