"""Many runs of one text, each with its own edits, as few and as short as they can be.

Runs whose first edit is in the same layer become the rows of one batch, which starts at that layer
(`vizcore.resuming`), and what is measured of them is computed from the logits at the positions that
the metric asks for, a bounded number at a time. The results come as they are ready, the shortest
runs, those with edits in the last layers, first. For one run with edits use `Model.trace`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vizcore.attention_calls import AttentionCall, CallEdit
from vizcore.blocks import Site, Stack, blocks_of
from vizcore.capture import Kind
from vizcore.edited_runs import Changes, site_of
from vizcore.effect_metrics import Measure, values
from vizcore.model import Model
from vizcore.resuming import Recorded, Resumable
from vizcore.stream_editor import StreamEdit, StreamEditor
from vizcore.tap import Editor

TOKENS_AT_ONCE = 2048
"""How many tokens are run in one batch, if one text does not have more."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """What is swept over.

    Args:
        model: the model.
        network: its network, as one that is run on from any layer.
        recorded: the unedited text, as `network.record` leaves it.
        rows: for each run all that is changed in it.
        measured: what is measured of each.
    """

    model: Model
    network: Resumable
    recorded: Recorded
    rows: Sequence[Changes]
    measured: Measure

    @property
    def way(self) -> str:
        """How it is run, in words."""
        if not self.network.together:
            runs = f"one by one, since {self.model.name} gives other results in a batch"
        else:
            runs = "in batches"
        if self.network.n_layers:
            return f"{runs}; each run starts at the layer where something is changed"
        return f"{runs} of whole runs, since no row of layers was found to start at"

    def run(self) -> Iterator[tuple[list[int], np.ndarray]]:
        """Run all rows.

        Yields:
            The numbers of some rows, and what was measured of each, float64.
        """
        inputs = self.recorded.inputs
        n_tokens = sum(ids.shape[1] for name, ids in inputs.items() if name.endswith("ids"))
        at_once = max(1, TOKENS_AT_ONCE // n_tokens) if self.network.together else 1
        for start, numbers in self._by_start():
            size = -(-len(numbers) // -(-len(numbers) // at_once))  # batches of about one size
            for first in range(0, len(numbers), size):
                batch = numbers[first : first + size]
                yield batch, self._values(batch, start)

    def _by_start(self) -> list[tuple[tuple[Stack, int] | None, list[int]]]:
        """The numbers of rows that start at the same layer, those that start last first."""
        groups: dict[tuple[bool, int], list[int]] = {}
        for number, changes in enumerate(self.rows):
            groups.setdefault(self._first(changes), []).append(number)
        return [
            (self.network.start("decoder" if later else "encoder", layer), numbers)
            for (later, layer), numbers in sorted(
                groups.items(), key=lambda one: one[0], reverse=True
            )
        ]

    def _first(self, changes: Changes) -> tuple[bool, int]:
        """The first layer that is changed; those of an encoder come before those of a decoder."""
        layers = [self._place(kind, layer) for (kind, layer), its in changes.calls.items() if its]
        found = [(place.stack == "decoder", place.layer) for place in layers]
        return min(found + [(its != "encoder", layer) for _, its, layer in changes.stream])

    def _place(self, kind: Kind, layer: int) -> Any:
        return self.network.places[kind][self.model.layers(kind).index(layer)]

    def _values(self, batch: Sequence[int], start: tuple[Stack, int] | None) -> np.ndarray:
        changes = [self.rows[number] for number in batch]
        editor, stream_editor = self._editor(changes, start), self._stream_editor(changes, start)
        with torch.inference_mode():
            with editor, stream_editor:
                hidden = self.network.run(self.recorded, start, len(batch))

            def logits(positions: Sequence[int], rows: slice) -> Tensor:
                return hidden.logits(self.network.network, self.recorded.inputs, positions, rows)

            return values(self.measured, logits, len(batch), self.network.vocab_size)

    def _editor(self, rows: Sequence[Changes], start: tuple[Stack, int] | None) -> Editor:
        """What makes each row's changes of attention calls in that row."""
        edits: dict[nn.Module, list[list[CallEdit]]] = {}
        changed = (key for row in rows for key, its in row.calls.items() if its)
        for key in dict.fromkeys(changed):
            place = self._place(*key)
            calls = edits.setdefault(place.module, [[] for _ in range(place.n_calls)])
            calls[place.number] += by_rows([row.calls.get(key, ()) for row in rows])
        return Editor(edits, counts=self.network.calls_before(start))

    def _stream_editor(
        self, rows: Sequence[Changes], start: tuple[Stack, int] | None
    ) -> StreamEditor:
        """The same for the residual stream, and what is added to it."""
        before: dict[nn.Module, list[list[StreamEdit]]] = {}
        after: dict[nn.Module, list[list[StreamEdit]]] = {}
        counts: dict[tuple[nn.Module, bool], int] = {}
        for place in dict.fromkeys(place for row in rows for place in row.stream):
            site, is_before = self._site(place)
            calls = (before if is_before else after).setdefault(
                site.module, [[] for _ in range(site.n_calls)]
            )
            calls[site.number].append(_stream_by_rows([row.stream.get(place, ()) for row in rows]))
            if place[0] != "residual":  # a layer is called also if it answers, what is in it not
                counts[site.module, False] = self._left_out(place, start)
        return StreamEditor(before, after, counts=counts)

    def _site(self, place: tuple[str, str, int]) -> tuple[Site, bool]:
        """Where that is in the network that is run here.

        It is found out in the model's own: packed matrices have no gradients to find it by.
        """
        blocks = blocks_of(self.model.network, self.model._capture)
        site, is_before = site_of(self.model, blocks, place)
        names = {module: name for name, module in blocks.network.named_modules()}
        module = self.network.network.get_submodule(names[site.module])
        return Site(module, site.number, site.n_calls), is_before

    def _left_out(self, place: tuple[str, str, int], start: tuple[Stack, int] | None) -> int:
        """How many calls of a block are left out by a run that starts there."""
        stack: Stack = "encoder" if place[1] == "encoder" else "decoder"
        if start is None or start[0] != stack:
            return 0
        layers = self.network.blocks.layers[stack]
        shared = layers[place[2]].site.module
        return sum(layer.site.module is shared for layer in layers[: start[1]])


def by_rows(edits: Sequence[Sequence[CallEdit]]) -> list[CallEdit]:
    """Edits for a batch, of which each row has its own.

    Args:
        edits: for each row, those that would be made if it were run alone.
    """

    def heads_of(stage: str) -> tuple[int, ...]:
        its = (edit for row in edits for edit in row if getattr(edit, stage) is not None)
        return tuple(sorted({head for edit in its for head in edit.heads}))

    scored, weighted, put_out = heads_of("scores"), heads_of("weights"), heads_of("outputs")

    def scores(call: AttentionCall) -> Tensor:
        n_queries, n_keys = call.query.shape[2], call.key.shape[2]
        added = torch.zeros(len(edits), len(scored), n_queries, n_keys, device=call.query.device)
        for number, row in enumerate(edits):
            for edit in row:
                if edit.scores is not None:
                    its = [scored.index(head) for head in edit.heads]
                    cut = edit.scores(of_row(call, number)).to(added)
                    added[number, its] += cut.expand(1, len(its), n_queries, n_keys)[0]
        return added

    def weights(call: AttentionCall, given: Tensor) -> Tensor:
        for number, row in enumerate(edits):
            for edit in row:
                if edit.weights is not None:
                    its = [weighted.index(head) for head in edit.heads]
                    part = given[number : number + 1, its]
                    given[number, its] = edit.weights(of_row(call, number), part)[0]
        return given

    def outputs(call: AttentionCall, given: Tensor) -> Tensor:
        for number, row in enumerate(edits):
            for edit in row:
                if edit.outputs is not None:
                    its = [put_out.index(head) for head in edit.heads]
                    part = given[number : number + 1, :, its]
                    changed = edit.outputs(of_row(call, number), part)[0]
                    given[number, :, its] = changed.to(given.dtype)
        return given

    found = []
    if scored:
        found.append(CallEdit(scored, scores=scores))
    if weighted:
        found.append(CallEdit(weighted, weights=weights))
    if put_out:
        found.append(CallEdit(put_out, outputs=outputs))
    return found


def of_row(call: AttentionCall, row: int) -> AttentionCall:
    """The call as it would be if that row of its batch were alone."""

    def part(tensor: Tensor | None) -> Tensor | None:
        batched = tensor is not None and tensor.ndim == 4 and tensor.shape[0] > 1
        return tensor[row : row + 1] if tensor is not None and batched else tensor

    key, query = part(call.key), part(call.query)
    assert key is not None and query is not None  # noqa: S101, PT018 - a call has both
    return replace(
        call,
        query=query,
        key=key,
        value=part(call.value),
        mask=part(call.mask),
        position_bias=part(call.position_bias),
        edits=(),
    )


def _stream_by_rows(edits: Sequence[Sequence[StreamEdit]]) -> StreamEdit:
    """Changes of vectors for a batch, of which each row has its own."""

    def edit(vectors: Tensor, first: int) -> Tensor:
        changed = vectors.clone()
        for number, row in enumerate(edits):
            for its in row:
                changed[number] = its(changed[number : number + 1], first)[0]
        return changed

    return edit
