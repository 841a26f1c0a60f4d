"""A model's network with changes: what is run, and within what.

Changes of heads are made in the tap, in whatever network runs; changes of the residual stream and
of whole blocks in a copy of the network's modules that shares the weights. To take something out of
a run, the same machinery listens instead of changing. The network itself is never written to. From
edits to changes: `vizcore.editing`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from torch import Tensor, nn
from transformers import PreTrainedModel

from vizcore.attention_calls import AttentionCall, CallEdit
from vizcore.blocks import Blocks, Part, Site, Stack, blocks_of
from vizcore.capture import Capture, Kind
from vizcore.eager_editor import EagerEditor
from vizcore.errors import CaptureError
from vizcore.stream_editor import StreamEdit, StreamEditor
from vizcore.tap import Editor

if TYPE_CHECKING:
    from vizcore.model import Model

Place = tuple[str, str, int]
"""What is changed or taken: ("head" or "pattern", kind, layer), ("residual", stack, layer),
("attention", kind, layer) or ("feed-forward", stack, layer)."""


@dataclass(eq=False)
class Changes:
    """All that is changed in the run of one text, by its place."""

    calls: dict[tuple[Kind, int], list[CallEdit]] = field(default_factory=lambda: defaultdict(list))
    stream: dict[Place, list[StreamEdit]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True, eq=False)
class EditedRun:
    """A network with changes: what to run, and within what.

    Args:
        network: the model's own, or a copy of its modules that shares the weights.
        capture: how it is run.
        calls: changes of attention calls, by the module that makes them.
        before, after: changes of the stream, as in `StreamEditor`.
        eager: in a network that is captured in eager mode, changes of each attention, in order.
    """

    network: PreTrainedModel
    capture: Capture
    calls: Mapping[nn.Module, Sequence[Sequence[CallEdit]]]
    before: Mapping[nn.Module, Sequence[Sequence[StreamEdit]]]
    after: Mapping[nn.Module, Sequence[Sequence[StreamEdit]]]
    eager: Sequence[Sequence[CallEdit]] = ()

    @contextmanager
    def open(self, *, first_query: int = 0) -> Iterator[None]:
        """Within this block, and this thread, the network runs with the changes.

        Args:
            first_query: the place in the text of the first token that is read.
        """
        with (
            Editor(self.calls, first_query=first_query),
            StreamEditor(self.before, self.after, first_query=first_query),
            self._eager(first_query),
        ):
            yield

    def _eager(self, first_query: int) -> AbstractContextManager[object]:
        if not self.eager:
            return nullcontext()
        kind, n_heads = next(iter(self.capture.n_heads.items()))
        causal = kind == "decoder"
        return EagerEditor(n_heads, self.eager, causal=causal, first_query=first_query)


def edited_run(model: "Model", changes: Changes) -> EditedRun:
    """The model's network with these changes."""
    network, capture = model.network, model._capture
    before: dict[nn.Module, list[list[StreamEdit]]] = {}
    after: dict[nn.Module, list[list[StreamEdit]]] = {}
    if changes.stream:
        blocks = blocks_of(network, capture)
        network, capture = blocks.network, replace(capture, trunk=blocks.trunk)
        for place, edits in changes.stream.items():
            site, is_before = site_of(model, blocks, place)
            of_module = (before if is_before else after).setdefault(
                site.module, [[] for _ in range(site.n_calls)]
            )
            of_module[site.number] = edits
    of_modules = _of_modules(network, capture, changes.calls)
    eager: list[list[CallEdit]] = []
    if capture.way == "eager" and any(changes.calls.values()):
        kind, layers = next(iter(capture.layers.items()))
        eager = [changes.calls.get((kind, layer), []) for layer in layers]
    return EditedRun(network, capture, of_modules, before, after, eager)


def _of_modules(
    network: nn.Module, capture: Capture, calls: Mapping[tuple[Kind, int], list[CallEdit]]
) -> dict[nn.Module, list[list[CallEdit]]]:
    """Edits of attention calls by the module that makes them, and its calls in their order."""
    found: dict[str, list[list[CallEdit]]] = defaultdict(list)
    numbers = {kind: iter(layers) for kind, layers in capture.layers.items()}
    for kind, name in zip(capture.calls, capture.callers, strict=True):
        edits = [] if kind is None else calls.get((kind, next(numbers[kind])), [])
        found[name].append(list(edits))
    return {network.get_submodule(name): edits for name, edits in found.items() if any(edits)}


def layers_of(model: "Model", stack: Stack) -> int:
    """How many layers a stack has.

    Raises:
        CaptureError: if they were not found.
    """
    layers = blocks_of(model.network, model._capture).layers.get(stack)
    if layers is None:
        raise CaptureError(
            f"The layers of {model.name} were not found, or its residual stream is not a single "
            "one, so nothing between them can be changed. Single heads can: AblateHead, KnockOut, "
            "SetPattern."
        )
    return len(layers)


def site_of(model: "Model", blocks: Blocks, place: Place) -> tuple[Site, bool]:
    """Where that is, and whether it is what is read there, not what is returned.

    Raises:
        CaptureError: if it was not found.
    """
    what, its, layer = place
    stack: Stack = "encoder" if its == "encoder" else "decoder"
    layers = blocks.layers[stack]
    if what == "residual":
        return (layers[-1].site, False) if layer == len(layers) else (layers[layer].site, True)
    part: Kind | Part = "feed-forward" if what == "feed-forward" else model._kind(its)
    site = blocks.part(stack, layer, part)
    if site is None:
        raise CaptureError(
            f"What {what} adds to the residual stream was not found in layer {layer} of "
            f"{model.name}: the layer has none, or does not add it."
        )
    return site, False


def listening(model: "Model", places: Sequence[Place]) -> tuple[Changes, dict[Place, Tensor]]:
    """Changes that change nothing, and fill a table with what is at these places in a run.

    Of "head" it is (query, head, d_value), else (token, d_model).
    """
    changes = Changes()
    heard: dict[Place, Tensor] = {}

    def of_call(place: Place) -> Callable[[AttentionCall, Tensor], Tensor]:
        def outputs(call: AttentionCall, given: Tensor) -> Tensor:
            heard[place] = given[0].clone()
            return given

        return outputs

    def of_stream(place: Place) -> StreamEdit:
        def edit(vectors: Tensor, first_query: int) -> Tensor:
            heard[place] = vectors[0].clone()
            return vectors

        return edit

    for place in places:
        what, its, layer = place
        if what == "head":
            kind = model._kind(its)
            heads = tuple(range(model._capture.n_heads[kind]))
            changes.calls[kind, layer].append(CallEdit(heads, outputs=of_call(place)))
        else:
            changes.stream[place].append(of_stream(place))
    return changes, heard
