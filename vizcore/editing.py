"""From edits to what they change: checked against a model first, then against each text.

Layers, heads and kinds are checked once, before anything runs; positions and the sizes of patterns
for each text. What edits take from other runs (means, other texts, patches) is gathered in one run
for each of those, and kept as long as the edits are prepared. What is done with it, and in what
order, is in `vizcore.edits`; how, in `vizcore.call_changes` and `vizcore.edited_runs`.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vizcore import call_changes
from vizcore.attention_calls import CallEdit
from vizcore.call_changes import Places, rows_at
from vizcore.capture import Kind
from vizcore.edit_checks import (
    Text,
    check_edit,
    check_length,
    check_source,
    check_source_length,
    check_text,
    heads_of,
    is_one_text,
    is_pair,
    place_of,
    taken_by,
)
from vizcore.edited_runs import Changes, EditedRun, Place, edited_run, listening
from vizcore.edits import (
    AblateHead,
    AblateLayer,
    Edit,
    KnockOut,
    Patch,
    Scale,
    SetPattern,
    Steer,
    is_placed,
)
from vizcore.errors import SelectionError
from vizcore.stream_editor import StreamEdit
from vizcore.trace import Trace

if TYPE_CHECKING:
    from vizcore.model import Model


@dataclass(frozen=True, eq=False)
class Editing:
    """Edits that fit a model. Made by `editing`."""

    model: "Model"
    edits: tuple[Edit, ...]
    _traces: dict[Any, Trace] = field(default_factory=dict)
    _heard: dict[Any, dict[Place, Tensor]] = field(default_factory=dict)

    @property
    def is_placed(self) -> bool:
        """Whether they do something else to a token depending on its place, or on its text."""
        return any(is_placed(edit) for edit in self.edits)

    def run(self, text: Text) -> EditedRun:
        """What runs this text with the edits.

        Raises:
            SelectionError: if a position is not in the text, or in one that it is patched from.
            ShapeError: if a pattern is not of the size of the text.
        """
        return edited_run(self.model, self.changes(text))

    def changes(self, text: Text) -> Changes:
        """What the edits change in the run of this text. Errors as `run`."""
        for edit in self.edits:  # before the first reference is run
            check_text(self.model, edit, text)
        self._gather(text)
        changes = Changes()
        for edit in self.edits:
            self._add(changes, edit, text)
        itself = _Ids.of(text)  # is of no use to the next text
        self._heard.pop(itself, None)
        self._traces.pop(itself, None)
        return changes

    # --- What they take from other runs ---

    def _gather(self, text: Text) -> None:
        """Run each text that something is taken from, once for all that is taken."""
        wanted: dict[Any, list[Place]] = defaultdict(list)
        for edit in self.edits:
            for source in self._sources(edit, text):
                place = taken_by(self.model, edit)
                if place is not None and place not in self._heard.get(source, {}):
                    wanted[source].append(place)
        for source, places in wanted.items():
            trace = self._trace(source)
            check_source(self.model, trace)
            listens, heard = listening(trace.model, list(dict.fromkeys(places)))
            its_text = Text(trace.source_ids, trace.target_ids)
            changes = editing(trace.model, trace.edits).changes(its_text)
            for kind_and_layer, edits in listens.calls.items():
                changes.calls[kind_and_layer] += edits
            for place, stream_edits in listens.stream.items():
                changes.stream[place] += stream_edits
            trace.model._run(its_text, edited_run(trace.model, changes))
            self._heard.setdefault(source, {}).update(
                {place: tensor.clone() for place, tensor in heard.items()}
            )

    def _sources(self, edit: Edit, text: Text) -> list[Any]:
        """The texts from which an edit takes something; the text itself as its ids."""
        if isinstance(edit, Patch):
            return [edit.source]
        if not isinstance(edit, AblateHead) or edit.how == "zero":
            return []
        if edit.reference is None:
            return [_Ids.of(text)]
        several = isinstance(edit.reference, tuple) and not is_one_text(self.model, edit.reference)
        return list(edit.reference) if several else [edit.reference]

    def _trace(self, source: Any) -> Trace:
        if isinstance(source, Trace):
            return source
        if source not in self._traces:
            if isinstance(source, _Ids):
                trace = self.model.trace(source.source, source.target)
            elif self.model.kind == "encoder-decoder" and is_pair(source):
                trace = self.model.trace(*source)
            else:
                trace = self.model.trace(source)
            self._traces[source] = trace
        return self._traces[source]

    def _taken(self, edit: Edit, source: Any) -> Tensor:
        place = taken_by(self.model, edit)
        assert place is not None  # noqa: S101 - asked only of what takes something
        return self._heard[source][place]

    # --- What each changes ---

    def _add(self, changes: Changes, edit: Edit, text: Text) -> None:
        kind = self.model._kind(edit.kind)
        calls = changes.calls[kind, edit.layer]
        match edit:
            case AblateHead():
                calls.append(self._ablated(edit, kind, text))
            case KnockOut():
                queries = text.queries(edit.queries, kind)
                keys = text.keys(edit.keys, kind)
                calls += [
                    call_changes.cut([head], kind, queries=queries, keys=keys)
                    for head in heads_of(self.model, edit.head, kind)
                ]
            case SetPattern():
                calls += self._patterned(edit, kind)
            case Patch(where="head" | "pattern"):
                calls += self._patched(edit, kind, text)
            case Scale(part="head"):
                at = text.queries(edit.positions, kind)
                heads = heads_of(self.model, edit.head, kind)
                calls.append(call_changes.scaled(heads, edit.factor, at=at))
            case _:
                changes.stream[place_of(self.model, edit)].append(self._of_stream(edit, kind, text))

    def _ablated(self, edit: AblateHead, kind: Kind, text: Text) -> CallEdit:
        if edit.how == "zero":
            return call_changes.scaled([edit.head], 0)
        taken = [self._taken(edit, source) for source in self._sources(edit, text)]
        if edit.how == "mean":
            rows = torch.cat([one[:, [edit.head]] for one in taken]).mean(0, keepdim=True)
            return call_changes.replaced([edit.head], rows, at=None)
        at = tuple(range(text.n_queries(kind)))
        check_length(len(taken[0]), at, "The text that a head is resampled from")
        return call_changes.replaced([edit.head], taken[0][list(at)][:, [edit.head]], at=at)

    def _patterned(self, edit: SetPattern, kind: Kind) -> list[CallEdit]:
        heads = heads_of(self.model, edit.head, kind)
        if edit.pattern == "uniform":
            return [call_changes.uniform([head]) for head in heads]
        if edit.pattern == "previous":
            return [call_changes.previous([head], kind) for head in heads]
        rows = torch.tensor(edit.pattern, dtype=torch.float32, device=self.model.network.device)
        at = tuple(range(len(rows)))
        return [call_changes.patterned([head], rows[None], at=at) for head in heads]

    def _patched(self, edit: Patch, kind: Kind, text: Text) -> list[CallEdit]:
        heads = heads_of(self.model, edit.head, kind)
        at = text.queries_now(edit.positions, kind)
        if edit.where == "head":
            taken = self._taken(edit, edit.source)
            check_source_length(len(taken), edit, text.n_queries(kind), at)
            return [call_changes.replaced(heads, taken[list(at)][:, heads], at=at)]
        trace = self._trace(edit.source)
        check_source(self.model, trace)
        n_queries, n_keys = len(trace.query_tokens(kind)), len(trace.key_tokens(kind))
        check_source_length(n_queries, edit, text.n_queries(kind), at)
        if n_keys != text.n_keys(kind):
            raise SelectionError(
                f"The text that a pattern is patched from has {n_keys} tokens to look at, and this "
                f"one {text.n_keys(kind)}: its rows do not fit. Take one of the same length."
            )
        rows = [trace.attention_rows(edit.layer, head, list(at), kind) for head in heads]
        return [
            call_changes.patterned([head], its[None], at=at)
            for head, its in zip(heads, rows, strict=True)
        ]

    def _of_stream(self, edit: Edit, kind: Kind, text: Text) -> StreamEdit:
        n_tokens = text.n_queries(kind)
        match edit:
            case AblateLayer():
                return lambda vectors, first: torch.zeros_like(vectors)
            case Scale():
                at = text.queries(edit.positions, kind)
                return _changed(at, lambda rows, its: rows * edit.factor)
            case Steer():
                at = text.queries(edit.positions, kind)
                direction = edit.factor * torch.tensor(edit.direction, dtype=torch.float32)
                return _changed(at, lambda rows, its: rows + direction.to(rows))
            case Patch():
                places = text.queries_now(edit.positions, kind)
                taken = self._taken(edit, edit.source)
                check_source_length(len(taken), edit, n_tokens, places)
                values = taken[list(places)]
                return _changed(places, lambda rows, its: values[its].to(rows).expand_as(rows))
            case _:
                raise TypeError(f"{type(edit).__name__} does not change the residual stream.")


@dataclass(frozen=True)
class _Ids:
    """The text that is run, as what something is taken from."""

    source: tuple[int, ...]
    target: tuple[int, ...] | None

    @classmethod
    def of(cls, text: Text) -> "_Ids":
        """The text, without what was written after its prompt."""
        if text.target_ids is None:
            return cls(tuple(text.source_ids[: text.n_prompt]), None)
        return cls(tuple(text.source_ids), tuple(text.target_ids[: text.n_prompt]))


def editing(model: "Model", edits: Sequence[Edit]) -> Editing:
    """These edits, checked against what the model has.

    Raises:
        SelectionError: if there is no such layer, head or kind.
        ShapeError: if a direction has not the width of the residual stream.
        CaptureError: if the model's heads cannot be edited, or its layers were not found.
    """
    for edit in edits:
        check_edit(model, edit)
    return Editing(model, tuple(edits))


def _changed(at: Places, change: Callable[[Tensor, Tensor], Tensor]) -> StreamEdit:
    """Change the vectors at these places: a function of them and of which places they are."""

    def edit(vectors: Tensor, first: int) -> Tensor:
        rows, its = rows_at(at, first, vectors.shape[1])
        changed = vectors.clone()
        changed[:, rows] = change(vectors[:, rows], its)
        return changed

    return edit
