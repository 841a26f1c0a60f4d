"""Changes the residual stream, and what whole blocks add to it, in a copy of a network's modules.

The copy shares all weights, so it takes no memory to speak of, and the network that everybody runs
is never touched. Its modules have hooks that do nothing unless this thread's `StreamEditor` names
them. Which modules are layers and blocks is found out in `vizcore.blocks`; single heads are changed
in the tap (`vizcore.tap.Editor`), in the network or in such a copy.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

StreamEdit = Callable[[Tensor, int], Tensor]
"""A function of vectors (batch, token, d_model), and of the place of the first of these tokens in
the text, that returns vectors instead of them. It does not write into what it is given."""
Edits = Mapping[nn.Module, Sequence[Sequence[StreamEdit]]]
"""For each module, for each of its calls in a forward pass, what is changed."""


@dataclass(eq=False)
class StreamEditor:
    """Changes what modules of a hooked copy read and return inside `with StreamEditor(…):`.

    In this thread alone; calls are counted as `vizcore.tap.Editor` counts them, and editors nest
    in the same way.

    Args:
        before: changes of the stream that a layer reads.
        after: changes of what a layer or a block returns; where it returns several things, of the
            first.
        first_query: the place in the text of the first token that is read next.
        n_rows: how many texts the latest stream had, for blocks that lay all of them end to end.
    """

    before: Edits = field(default_factory=dict)
    after: Edits = field(default_factory=dict)
    first_query: int = 0
    counts: dict[tuple[nn.Module, bool], int] = field(default_factory=dict)
    n_rows: int = 1
    _tokens: list[Token["StreamEditor | None"]] = field(default_factory=list, repr=False)

    def __enter__(self) -> "StreamEditor":
        self._tokens.append(_editor.set(self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _editor.reset(self._tokens.pop())

    def of_next_call(self, module: nn.Module, *, before: bool) -> Sequence[StreamEdit]:
        """What is changed before, or after, the call that this module makes now."""
        calls = (self.before if before else self.after).get(module)
        if not calls:
            return ()
        number = self.counts.get((module, before), 0)
        self.counts[module, before] = number + 1
        return calls[number % len(calls)]

    def changed(self, module: nn.Module, vectors: Tensor, *, before: bool) -> Tensor:
        """These vectors after all that is changed in the module's next call."""
        shape = vectors.shape
        for edit in self.of_next_call(module, before=before):
            rows = vectors.reshape(self.n_rows, -1, shape[-1]) if vectors.ndim == 2 else vectors
            vectors = edit(rows, self.first_query).to(vectors).reshape(shape)
        return vectors


_editor: ContextVar[StreamEditor | None] = ContextVar("headlight_stream_editor", default=None)


def hooked_copy(network: PreTrainedModel) -> PreTrainedModel:
    """The same modules once more, sharing all weights, with hooks that ask the current editor."""
    shared: dict[int, Any] = {
        id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())
    }
    copied = copy.deepcopy(network, shared)
    for module in copied.modules():
        module.register_forward_pre_hook(_before, with_kwargs=True)
        module.register_forward_hook(_after)
    return copied


def _before(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    editor = _editor.get()
    if editor is None:
        return None
    editor.n_rows = next((len(one) for one in args if is_stream(one)), editor.n_rows)
    if module not in editor.before:
        return None
    for place, given in enumerate(args):
        if is_stream(given):
            changed = editor.changed(module, given, before=True)
            return (*args[:place], changed, *args[place + 1 :]), kwargs
    for name, given in kwargs.items():
        if is_stream(given):
            return args, {**kwargs, name: editor.changed(module, given, before=True)}
    return None


def _after(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
    editor = _editor.get()
    if editor is None or module not in editor.after:
        return None
    if isinstance(output, tuple | list):
        first, *others = output
        return type(output)([editor.changed(module, first, before=False), *others])
    return editor.changed(module, output, before=False)


def is_stream(given: Any) -> bool:
    """Whether it may be vectors (batch, token, d_model)."""
    return isinstance(given, Tensor) and given.ndim == 3 and given.is_floating_point()
