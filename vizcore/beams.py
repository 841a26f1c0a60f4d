"""Beam search as a tree: every beginning that was looked at, which were kept, which one won.

The search is the one that `transformers` does (`generate` with `num_beams`): of all ways to go on
by one token, the likeliest few are kept, and a text that ends is judged by its log-probability
divided by a power of its length. Here nothing is thrown away once it has been looked at. For the
best text alone, or for many texts, use `Model.write` or `vizcore.decoding.write`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import pandas as pd
import torch

from vizcore.errors import SelectionError
from vizcore.model import Model
from vizcore.readers import beginning, open_text
from vizcore.translation import ends_of

Fate = Literal["start", "kept", "pruned", "ended", "cut off"]
"""What became of a beginning: gone on from, given up, ended by itself, or not ended in time."""


@dataclass(frozen=True)
class BeamNode:
    """A beginning that the search looked at: that of its parent, and one token more.

    Args:
        number: its place in `BeamTree.nodes`, and `parent` that of what it goes on from; None for
            the start.
        step: how many tokens have been written before; -1 for the start.
        token, token_id: the token; of the start, the last that was given.
        log_probability: of the token after its parent, in nats.
        total: of all tokens that were written.
        rank: 1 for the likeliest of all that were looked at in this step.
        fate: what became of it.
        score: total / (tokens written)^length_penalty, by which texts are judged; None unless it
            ended or was cut off.
    """

    number: int
    parent: int | None
    step: int
    token: str
    token_id: int
    log_probability: float
    total: float
    rank: int
    fate: Fate
    score: float | None


@dataclass(frozen=True, eq=False)
class BeamTree:
    """A beam search. Made by `beam_tree`.

    Args:
        model: what was searched in.
        source_ids: of an encoder-decoder, what its encoder read.
        prompt: what every text begins with.
        nodes: all beginnings that were looked at, in that order; the start is the first.
        results: the numbers of the texts that were found, best first; as many as beams at most.
        n_beams, length_penalty: the settings.
    """

    model: Model
    source_ids: tuple[int, ...] | None
    prompt: tuple[int, ...]
    nodes: tuple[BeamNode, ...]
    results: tuple[int, ...]
    n_beams: int
    length_penalty: float

    def __repr__(self) -> str:
        return f"BeamTree({self.n_beams} beams, {len(self.nodes)} nodes, {self.text()!r})"

    @property
    def best(self) -> BeamNode:
        """The end of the text that won."""
        return self.nodes[self.results[0]]

    def path(self, number: int) -> list[BeamNode]:
        """The nodes from the start to this one.

        Raises:
            SelectionError: if there is no such node.
        """
        if not 0 <= number < len(self.nodes):
            raise SelectionError(
                f"There is no node {number}: there are {len(self.nodes)}, counted from 0."
            )
        found = [self.nodes[number]]
        while (parent := found[-1].parent) is not None:
            found.append(self.nodes[parent])
        return found[::-1]

    def ids(self, number: int | None = None) -> list[int]:
        """What the decoder has read with this node, the prompt included; None for the best."""
        path = self.path(self.best.number if number is None else number)
        return [*self.prompt, *(node.token_id for node in path[1:])]

    def text(self, number: int | None = None) -> str:
        """What was written up to this node, to read; None for the best. "" without a tokenizer."""
        tokenizer: Any = self.model.tokenizer
        written = self.ids(number)[len(self.prompt) :]
        return "" if tokenizer is None else str(tokenizer.decode(written, skip_special_tokens=True))

    @cached_property
    def best_path(self) -> frozenset[int]:
        """The numbers of the nodes on the way to the text that won."""
        return frozenset(node.number for node in self.path(self.best.number))

    def to_frame(self) -> pd.DataFrame:
        """One row a node: the fields of `BeamNode`, and on_best_path. The start has no parent."""
        table = pd.DataFrame([vars(node) for node in self.nodes])
        table["parent"] = table["parent"].astype("Int64")
        table["score"] = table["score"].astype(float)
        table["on_best_path"] = table["number"].isin(self.best_path)
        return table


def beam_tree(
    model: Model,
    text: str | Sequence[int],
    *,
    target: str | Sequence[int] | None = None,
    n_beams: int = 4,
    max_new_tokens: int = 50,
    length_penalty: float | int = 1.0,
) -> BeamTree:
    """Search for the likeliest text, and keep what was looked at.

    Args:
        model: a decoder, or an encoder-decoder.
        text, target: as in `vizcore.generate`.
        n_beams: how many beginnings are gone on from in each step.
        max_new_tokens: where a text is cut off that has not ended.
        length_penalty: of `BeamNode.score`: 0 prefers short texts, 1 compares means.

    Raises:
        TextError: if the model writes nothing, or a text is empty, too long or not encodable.
        MissingHeadError: if it predicts no tokens.
        SelectionError: if n_beams or max_new_tokens is not at least 1.
    """
    source_ids, prompt, limit = beginning(model, text, target)
    for name, number in (("n_beams", n_beams), ("max_new_tokens", max_new_tokens)):
        if number < 1:
            raise SelectionError(f"{name} must be at least 1, not {number}.")
    n_steps = max_new_tokens if limit is None else min(max_new_tokens, limit - len(prompt) + 1)
    search = _Search(model, source_ids, prompt, n_beams, length_penalty)
    with torch.inference_mode():
        for step in range(n_steps):
            if not search.go_on(step, is_last=step == n_steps - 1):
                break
    return BeamTree(
        model=model,
        source_ids=None if source_ids is None else tuple(source_ids),
        prompt=tuple(prompt),
        nodes=tuple(search.nodes),
        results=tuple(node.number for node in search.ended),
        n_beams=n_beams,
        length_penalty=float(length_penalty),
    )


class _Search:
    """A beam search under way."""

    def __init__(
        self,
        model: Model,
        source_ids: list[int] | None,
        prompt: list[int],
        n_beams: int,
        length_penalty: float | int,
    ) -> None:
        self.model, self.n_beams, self.penalty = model, n_beams, length_penalty
        self.ends = ends_of(model)
        self.reader = open_text(model, source_ids)
        start = BeamNode(
            0, None, -1, model.labels(prompt[-1:])[0], prompt[-1], 0.0, 0.0, 1, "start", None
        )
        self.nodes, self.beams, self.ended = [start], [start], list[BeamNode]()
        self.unread = [prompt]

    def go_on(self, step: int, *, is_last: bool) -> bool:
        """Look at all ways to go on by a token; False if there is nothing to be gained any more."""
        tokens = torch.tensor(self.unread, device=self.model.network.device)
        ahead = self.reader.read(tokens).float().log_softmax(dim=-1)  # beam vocab
        totals = torch.tensor([beam.total for beam in self.beams]).to(ahead)
        sums = (totals[:, None] + ahead).flatten()
        # So many that n_beams are left if each beginning may end in every way.
        best = sums.topk(min(self.n_beams * max(2, 1 + len(self.ends)), len(sums)))
        kept: list[BeamNode] = []
        rows: list[int] = []
        for rank, (total, place) in enumerate(
            zip(best.values.tolist(), best.indices.tolist(), strict=True), start=1
        ):
            row, token_id = divmod(place, ahead.shape[1])
            among_best = rank <= self.n_beams
            fate: Fate = "pruned"
            if token_id in self.ends:
                fate = "ended" if among_best else "pruned"
            elif is_last:
                fate = "cut off" if among_best else "pruned"
            elif len(kept) < self.n_beams:
                fate = "kept"
            judged = fate in ("ended", "cut off")
            node = BeamNode(
                number=len(self.nodes),
                parent=self.beams[row].number,
                step=step,
                token=self.model.labels([token_id])[0],
                token_id=token_id,
                log_probability=float(ahead[row, token_id]),
                total=total,
                rank=rank,
                fate=fate,
                score=total / (step + 1) ** self.penalty if judged else None,
            )
            self.nodes.append(node)
            if judged:
                self.ended.append(node)
            elif fate == "kept":
                kept.append(node)
                rows.append(row)
        self.ended = sorted(self.ended, key=_score, reverse=True)[: self.n_beams]
        if not kept or is_last:
            return False
        full = len(self.ended) == self.n_beams
        if full and _score(self.ended[-1]) >= kept[0].total / (step + 1) ** self.penalty:
            return False
        self.reader.select(rows)
        self.beams, self.unread = kept, [[node.token_id] for node in kept]
        return True


def _score(node: BeamNode) -> float:
    assert node.score is not None  # noqa: S101 - only texts that are judged are compared
    return node.score
