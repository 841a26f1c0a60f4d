"""`Trace`: everything that one forward pass left behind, computed when somebody looks.

A trace holds queries and keys, not maps: `attention(layer, head)` applies the formula for that
head alone. Logits likewise come from the last hidden states, for the positions asked for. To look
at all heads of a long text use `maps`, which yields them one by one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from vizcore.capture import Kind, Run, logits_from
from vizcore.edits import Edit
from vizcore.errors import MissingHeadError, SelectionError
from vizcore.maps import AttentionMap
from vizcore.selection import check_head, layer_place
from vizcore.token_words import token_words
from vizcore.words import Words

if TYPE_CHECKING:
    from vizcore.model import Model

WHOLE_LAYER_CELLS = 4_000_000
"""Up to so many weights, the heads of a layer are computed together: quicker where they are few."""


@dataclass(frozen=True, eq=False)
class Trace:
    """One text (or a source and a target) in one model. Made by `Model.trace`.

    Args:
        model: the model that ran.
        source_ids: what was run, or what the encoder of an encoder-decoder read.
        source_tokens: the same to display.
        target_ids: of an encoder-decoder, what the decoder read; else None.
        target_tokens: the same to display.
        run: what the forward pass left.
        inputs: what the network was given.
        source_text, target_text: the texts; None for what came as ids or was written by the model.
        edits: what was changed in the run.
    """

    model: "Model"
    source_ids: list[int]
    source_tokens: list[str]
    target_ids: list[int] | None
    target_tokens: list[str] | None
    run: Run
    inputs: dict[str, Tensor]
    source_text: str | None = None
    target_text: str | None = None
    edits: tuple[Edit, ...] = ()

    def __repr__(self) -> str:
        target = "" if self.target_ids is None else f" -> {len(self.target_ids)} tokens"
        edits = f", {len(self.edits)} edits" if self.edits else ""
        return f"Trace({self.model.name}, {len(self.source_ids)} tokens{target}{edits})"

    @property
    def token_ids(self) -> list[int]:
        """What was run, in a model of one stack."""
        self._check_one_stack("token_ids")
        return self.source_ids

    @property
    def tokens(self) -> list[str]:
        """The tokens to display, in a model of one stack."""
        self._check_one_stack("tokens")
        return self.source_tokens

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of attention: of "encoder", "decoder", "cross"; one in a model of one stack."""
        return self.model.kinds

    def layers(self, kind: str | None = None) -> tuple[int, ...]:
        """The layers that have attention of this kind."""
        return self.model.layers(self._kind(kind))

    def n_heads(self, kind: str | None = None) -> int:
        """The number of heads that a layer has for this kind of attention."""
        return self.model._capture.n_heads[self._kind(kind)]

    def query_tokens(self, kind: str | None = None) -> list[str]:
        """The tokens that look, the rows of a map."""
        kind = self._kind(kind)
        return self._target_tokens() if kind in ("decoder", "cross") else self.source_tokens

    def key_tokens(self, kind: str | None = None) -> list[str]:
        """The tokens that are looked at, the columns of a map."""
        return self._target_tokens() if self._kind(kind) == "decoder" else self.source_tokens

    def query_words(self, kind: str | None = None) -> Words | None:
        """Which tokens make which word, of the rows of a map; None without a tokenizer."""
        kind = self._kind(kind)
        return self._target_words if kind in ("decoder", "cross") else self._source_words

    def key_words(self, kind: str | None = None) -> Words | None:
        """The same of the columns."""
        return self._target_words if self._kind(kind) == "decoder" else self._source_words

    def attention(
        self, layer: int, head: int | None = None, kind: str | None = None
    ) -> Float[Tensor, "..."]:
        """Attention weights, computed now, in float32.

        Args:
            layer: counted from 0.
            head: counted from 0; None for all heads of the layer.
            kind: "encoder", "decoder" or "cross"; may be left out in a model of one stack, and
                means the decoder otherwise.

        Returns:
            (query, key) for one head, (head, query, key) for all.

        Raises:
            SelectionError: if there is no such layer, head or kind.
        """
        kind = self._kind(kind)
        place = self._place(layer, kind)
        if head is not None:
            self._check_head(head, kind)
        if not self.run.calls:
            kept = self.run.maps[kind][place]
            return (kept if head is None else kept[head]).to(torch.float32, copy=True)
        call = self.run.calls[kind][place]
        with torch.no_grad():  # not inference_mode: what users get, they may compute with
            weights = call.weights() if head is None else call.head_weights(head)
            return weights.float()

    def map(self, layer: int, head: int, kind: str | None = None) -> AttentionMap:
        """The attention of one head, with its labels. Arguments and errors as `attention`."""
        kind = self._kind(kind)
        return self._map(self.attention(layer, head, kind), layer, head, kind)

    def attention_rows(
        self,
        layer: int,
        head: int | None,
        queries: slice | Sequence[int],
        kind: str | None = None,
    ) -> Float[Tensor, "..."]:
        """The attention weights of some queries alone: rows of what `attention` gives.

        Of a long text, where a whole map is large: time and memory are in proportion to the rows.

        Args:
            layer, head, kind: as in `attention`.
            queries: positions, counted from 0, or a slice of them.

        Returns:
            (query, key) for one head, (head, query, key) for all.

        Raises:
            SelectionError: if there is no such layer, head, kind or query.
        """
        kind = self._kind(kind)
        place = self._place(layer, kind)
        if head is not None:
            self._check_head(head, kind)
        queries = self._check_queries(queries, kind)
        if not self.run.calls:
            kept = self.run.maps[kind][place]
            rows = kept[:, queries] if head is None else kept[head][queries]
            return rows.to(torch.float32, copy=True)
        call = self.run.calls[kind][place]
        with torch.no_grad():
            part = call.part(queries)
            weights = part.weights() if head is None else part.head_weights(head)
            return weights.float()

    def map_rows(
        self, layer: int, head: int, queries: slice | Sequence[int], kind: str | None = None
    ) -> AttentionMap:
        """The same for one head with its labels: a map of some queries and all keys.

        Arguments and errors as `attention_rows`.
        """
        kind = self._kind(kind)
        weights = self.attention_rows(layer, head, queries, kind)
        queries = self._check_queries(queries, kind)
        tokens = self.query_tokens(kind)
        chosen = tokens[queries] if isinstance(queries, slice) else [tokens[at] for at in queries]
        return AttentionMap(
            values=weights.cpu().numpy(),
            query_tokens=chosen,
            key_tokens=self.key_tokens(kind),
            layer=layer,
            head=head,
            kind=kind,
            masked=self._masked_rows(layer, kind, queries),
        )

    def maps(self, kind: str | None = None) -> Iterator[AttentionMap]:
        """All heads, layer by layer; of a long text never more than one map in memory."""
        kind = self._kind(kind)
        n_heads = self.n_heads(kind)
        n_cells = n_heads * len(self.query_tokens(kind)) * len(self.key_tokens(kind))
        for layer in self.layers(kind):
            if n_cells <= WHOLE_LAYER_CELLS:
                for head, weights in enumerate(self.attention(layer, None, kind)):
                    yield self._map(weights, layer, head, kind)
            else:
                for head in range(n_heads):
                    yield self.map(layer, head, kind)

    @cached_property
    def logits(self) -> Float[Tensor, "token vocab"]:
        """The model's own logits at every position (of an encoder-decoder: of its target).

        Raises:
            MissingHeadError: if the model has no language-model head.
        """
        return self.logits_at(slice(None))

    def logits_at(self, positions: slice | Sequence[int]) -> Float[Tensor, "position vocab"]:
        """The logits at some positions only: of a long text, all are too many to keep.

        Raises:
            MissingHeadError: if the model has no language-model head.
        """
        if not self.model.has_head:
            raise MissingHeadError(
                f"{self.model.name} has no language-model head, so it has no logits and predicts "
                'no tokens. Load a model with one, such as "smollm2-135m".'
            )
        if self.run.logits is not None:
            return self.run.logits[positions].clone()
        assert self.run.hidden is not None  # noqa: S101 - a run keeps one or the other
        return logits_from(self.model.network, self.run.hidden, positions, self.inputs)

    def next_tokens(self, position: int = -1, k: int = 10) -> pd.DataFrame:
        """The k tokens that the model finds likeliest after a position.

        In an encoder, which sees the whole text, it is what the model would put at the position.

        Args:
            position: counted from 0; negative from the end.
            k: how many.

        Returns:
            rank (from 1), token, token_id, probability, log_probability (nats).

        Raises:
            MissingHeadError: if the model has no language-model head.
            SelectionError: if there is no such position.
        """
        n_tokens = len(self.source_ids if self.target_ids is None else self.target_ids)
        if not -n_tokens <= position < n_tokens:
            raise SelectionError(
                f"There is no position {position}: the text has {n_tokens} tokens, so positions go "
                f"from 0 to {n_tokens - 1}, or from -1 backwards."
            )
        if k < 1:
            raise SelectionError(f"k must be at least 1, not {k}.")
        logits = self.logits_at([position % n_tokens])[0].float()
        best = logits.log_softmax(dim=-1).topk(min(k, logits.shape[-1]))
        log_probability = best.values.double().cpu().numpy()
        ids = best.indices.tolist()
        return pd.DataFrame(
            {
                "rank": np.arange(1, len(ids) + 1),
                "token": [self.model.labels([token_id])[0] for token_id in ids],
                "token_id": ids,
                "probability": np.exp(log_probability),
                "log_probability": log_probability,
            }
        )

    def _map(
        self, weights: Float[Tensor, "query key"], layer: int, head: int, kind: Kind
    ) -> AttentionMap:
        return AttentionMap(
            values=weights.cpu().numpy(),
            query_tokens=tuple(self.query_tokens(kind)),
            key_tokens=tuple(self.key_tokens(kind)),
            layer=layer,
            head=head,
            kind=kind,
            masked=self._masked(layer, kind),
            query_words=self.query_words(kind),
            key_words=self.key_words(kind),
        )

    def _masked(self, layer: int, kind: Kind) -> Any:
        if not self.run.calls:
            n_tokens = len(self.query_tokens(kind))
            return np.triu(np.ones((n_tokens, n_tokens), bool), 1) if kind == "decoder" else None
        call = self.run.calls[kind][self._place(layer, kind)]
        same = (id(call.mask), call.causal, kind)  # layers share the tensor of their mask
        if same not in self._masks:
            self._masks[same] = call.masked().cpu().numpy()
        return self._masks[same]

    def _masked_rows(
        self, layer: int, kind: Kind, queries: slice | Sequence[int]
    ) -> np.ndarray | None:
        """The rows of `_masked`, worked out for them alone."""
        if not self.run.calls:
            whole = self._masked(layer, kind)
            return None if whole is None else whole[queries]
        call = self.run.calls[kind][self._place(layer, kind)]
        hidden: np.ndarray = call.part(queries).masked().cpu().numpy()
        return hidden

    @cached_property
    def _masks(self) -> dict[tuple[int, bool, Kind], np.ndarray]:
        """What is hidden, by what hides it: computed once for all layers that are alike."""
        return {}

    def _kind(self, kind: str | None) -> Kind:
        return self.model._kind(kind)

    def _place(self, layer: int, kind: Kind) -> int:
        return layer_place(self.model, layer, kind)

    def _check_head(self, head: int, kind: Kind) -> None:
        check_head(self.model, head, kind)

    def _check_queries(self, queries: slice | Sequence[int], kind: Kind) -> slice | Sequence[int]:
        if isinstance(queries, slice):
            return queries
        n_queries = len(self.query_tokens(kind))
        for query in queries:
            if not 0 <= query < n_queries:
                raise SelectionError(
                    f"There is no query {query}: the text has {n_queries}, counted from 0 to "
                    f"{n_queries - 1}."
                )
        return [int(query) for query in queries]

    def _check_one_stack(self, name: str) -> None:
        if self.target_ids is not None:
            raise SelectionError(
                f"A trace of an encoder-decoder has no {name}: it has source_ids, source_tokens, "
                "target_ids and target_tokens."
            )

    def _target_tokens(self) -> list[str]:
        return self.source_tokens if self.target_tokens is None else self.target_tokens

    @cached_property
    def _source_words(self) -> Words | None:
        return self._words(self.source_ids, self.source_text)

    @cached_property
    def _target_words(self) -> Words | None:
        if self.target_ids is None:
            return self._source_words
        return self._words(self.target_ids, self.target_text, target=True)

    def _words(self, ids: list[int], text: str | None, *, target: bool = False) -> Words | None:
        if self.model.tokenizer is None:
            return None
        with self.model._tokenizing:
            return token_words(self.model.tokenizer, ids, text, target=target)
