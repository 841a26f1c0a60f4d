"""`AttentionMap`: one matrix of attention that carries its own labels.

It is the seam between computing and showing: traces, averages and differences return it, every
view takes it, and users make it from arrays of their own. It knows no model. It holds one head's
(or one aggregate's) full matrix; for thousands of tokens and hundreds of heads keep the trace,
and ask for maps one at a time.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from vizcore.errors import ShapeError


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

    Raises:
        ShapeError: if the labels or the mask do not fit the values.
    """

    values: Float[np.ndarray, "query key"]
    query_tokens: tuple[str, ...]
    key_tokens: tuple[str, ...]
    quantity: str = "attention"
    layer: int | None = None
    head: int | None = None
    kind: str | None = None
    masked: Bool[np.ndarray, "query key"] | None = None

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
        fields = {"values": values, "query_tokens": rows, "key_tokens": columns, "masked": masked}
        fields |= {"quantity": quantity, "layer": layer, "head": head, "kind": kind}
        for name, value in fields.items():
            object.__setattr__(self, name, value)

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
        """One row a cell: query, query_token, key, key_token, value (positions count from 0)."""
        n_queries, n_keys = self.values.shape
        return pd.DataFrame(
            {
                "query": np.repeat(np.arange(n_queries), n_keys),
                "query_token": np.repeat(np.array(self.query_tokens, dtype=object), n_keys),
                "key": np.tile(np.arange(n_keys), n_queries),
                "key_token": np.tile(np.array(self.key_tokens, dtype=object), n_queries),
                "value": self.values.ravel(),
            }
        )
