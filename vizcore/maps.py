"""`AttentionMap`: one matrix of attention that carries its own labels.

It is the seam between computing and showing: traces, averages and differences return it, every
view takes it, and users make it from arrays of their own. It knows no model. It holds one head's
(or one aggregate's) full matrix; for thousands of tokens and hundreds of heads keep the trace,
and ask for maps one at a time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from vizcore.errors import ShapeError
from vizcore.words import Words


@dataclass(frozen=True, eq=False, init=False)
class AttentionMap:
    """How much each query token (row) looks at each key token (column).

    Args:
        values: (query, key). Anything `numpy.asarray` takes, or a tensor; kept as float32.
        query_tokens: one label a row.
        key_tokens: one label a column.
        quantity: what the numbers are, in words for a legend.
        layer: the layer, counted from 0, if the map is of one.
        head: the head, counted from 0, if the map is of one.
        kind: "decoder", "encoder" or "cross", if it is of one.
        masked: bool (query, key), True where the query was not allowed to look; None if unknown.
        query_words: which tokens of the queries make which word; None if unknown.
        key_words: the same for the keys.

    Raises:
        ShapeError: if the labels, the mask or the words do not fit the values.
    """

    values: Float[np.ndarray, "query key"]
    query_tokens: tuple[str, ...]
    key_tokens: tuple[str, ...]
    quantity: str = "attention"
    layer: int | None = None
    head: int | None = None
    kind: str | None = None
    masked: Bool[np.ndarray, "query key"] | None = None
    query_words: Words | None = None
    key_words: Words | None = None

    # Written out, since it takes more than the fields hold: lists, tensors, other precisions.
    def __init__(
        self,
        values: Any,
        query_tokens: Iterable[str],
        key_tokens: Iterable[str],
        quantity: str = "attention",
        layer: int | None = None,
        head: int | None = None,
        kind: str | None = None,
        masked: Any = None,
        query_words: Words | None = None,
        key_words: Words | None = None,
    ) -> None:
        if hasattr(values, "detach"):  # a tensor, perhaps elsewhere or in half precision
            values = values.detach().cpu().float()
        values = np.asarray(values, dtype=np.float32)
        rows, columns = tuple(query_tokens), tuple(key_tokens)
        labels = (len(rows), len(columns))
        if values.ndim != 2 or values.shape != labels:
            raise ShapeError(
                f"values has shape {values.shape}, but there are {labels[0]} query tokens and "
                f"{labels[1]} key tokens: values must be (query, key), here {labels}."
            )
        if masked is not None:
            masked = np.asarray(masked, dtype=bool)
            if masked.shape != values.shape:
                raise ShapeError(
                    f"masked has shape {masked.shape}, values has shape {values.shape}: "
                    "they must be the same."
                )
        for side, words, n in zip(
            ("query_words", "key_words"), (query_words, key_words), labels, strict=True
        ):
            if words is not None and len(words.numbers) != n:
                raise ShapeError(
                    f"{side} says to which word each of {len(words.numbers)} tokens belongs, but "
                    f"there are {n} tokens: they must be the same."
                )
        fields = {"values": values, "query_tokens": rows, "key_tokens": columns, "masked": masked}
        fields |= {"quantity": quantity, "layer": layer, "head": head, "kind": kind}
        fields |= {"query_words": query_words, "key_words": key_words}
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        n_queries, n_keys = self.values.shape
        of = "" if self.name == self.quantity else f" of {self.name}"
        return f"AttentionMap({self.quantity}{of}, {n_queries} queries × {n_keys} keys)"

    @property
    def name(self) -> str:
        """What this is a map of, in words: "layer 3, head 2"."""
        parts = [] if self.kind in (None, "decoder") else [str(self.kind)]
        if self.layer is not None:
            parts.append(f"layer {self.layer}")
        if self.head is not None:
            parts.append(f"head {self.head}")
        return ", ".join(parts) or self.quantity

    def to_frame(self) -> pd.DataFrame:
        """One row a cell, query by query; `.to_csv(path, index=False)` of it is the map as CSV.

        Returns:
            query, query_token, key, key_token, value, masked. Positions count from 0; masked is
            True where the query was not allowed to look (of a map without a mask: nowhere).
        """
        n_queries, n_keys = self.values.shape
        hidden = np.zeros(self.values.shape, bool) if self.masked is None else self.masked
        return pd.DataFrame(
            {
                "query": np.repeat(np.arange(n_queries), n_keys),
                "query_token": np.repeat(np.array(self.query_tokens, dtype=object), n_keys),
                "key": np.tile(np.arange(n_keys), n_queries),
                "key_token": np.tile(np.array(self.key_tokens, dtype=object), n_queries),
                "value": self.values.ravel(),
                "masked": hidden.ravel(),
            }
        )


@runtime_checkable
class HasMaps(Protocol):
    """Something that has a map of every head, such as a trace."""

    def maps(self, kind: str | None = None) -> Iterable[AttentionMap]:
        """The maps of that kind, layer by layer, head by head."""
        ...


def maps_of(
    source: HasMaps | AttentionMap | Iterable[AttentionMap], kind: str | None = None
) -> Iterator[AttentionMap]:
    """The maps of a trace, or those of an iterable that are of this kind.

    Args:
        kind: "decoder", "encoder" or "cross". None: the trace's default; of plain maps, all.
    """
    if isinstance(source, HasMaps):
        return iter(source.maps(kind))
    if isinstance(source, AttentionMap):
        source = [source]
    return (map for map in source if kind is None or map.kind == kind)
