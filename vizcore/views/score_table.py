"""Tables with a row a head, such as `vizcore.head_scores` returns, for views of all heads.

The idea: such a table has the columns layer and head, perhaps kind, and every other column of
numbers is a score. A view needs the scores of one head quickly, and names for people.
"""

import math
from dataclasses import dataclass

import pandas as pd

from vizcore.errors import SelectionError

PLACE = ("layer", "head", "kind")
"""Columns that say which head a row is about."""

Place = tuple[int | None, int | None, str | None]
"""Layer, head and kind."""


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores of heads.

    Args:
        names: of the scores, as the table has them.
        rows: the scores of each head, in the order of the names; NaN where there is none.
    """

    names: tuple[str, ...]
    rows: dict[Place, tuple[float, ...]]

    @classmethod
    def of(cls, table: pd.DataFrame) -> "ScoreTable":
        """Reads a table with layer, head, perhaps kind, and columns of numbers.

        Raises:
            SelectionError: if a column is missing, no column has numbers, or a head is there twice.
        """
        missing = [name for name in PLACE[:2] if name not in table.columns]
        if missing:
            raise SelectionError(
                f"The table of scores has no column {' and no column '.join(missing)}: it needs "
                f"layer, head and numbers, a row a head, and has {', '.join(map(str, table))}."
            )
        numbers = table.drop(columns=[name for name in PLACE if name in table.columns])
        numbers = numbers.select_dtypes("number").dropna(axis="columns", how="all")
        if numbers.empty:
            raise SelectionError(
                "The table of scores has no scores: give a column of numbers beside layer and head."
            )
        kinds = table["kind"] if "kind" in table.columns else [None] * len(table)
        rows: dict[Place, tuple[float, ...]] = {}
        for layer, head, kind, *scores in zip(
            table["layer"], table["head"], kinds, *(numbers[name] for name in numbers), strict=True
        ):
            place = (int(layer), int(head), kind if isinstance(kind, str) else None)
            if place in rows:
                raise SelectionError(
                    f"Layer {layer}, head {head} is in the table of scores twice: give a row a "
                    "head, such as their mean."
                )
            rows[place] = tuple(float(score) for score in scores)
        return cls(tuple(map(str, numbers)), rows)

    def of_head(self, layer: int | None, head: int | None, kind: str | None) -> tuple[float, ...]:
        """The scores of one head; NaN for those that the table lacks."""
        nothing = (math.nan,) * len(self.names)
        for asked in (kind, None):
            if (layer, head, asked) in self.rows:
                return self.rows[layer, head, asked]
        if kind is None:
            found = [row for (a, b, _), row in self.rows.items() if (a, b) == (layer, head)]
            return found[0] if len(found) == 1 else nothing
        return nothing


def shown_name(name: str) -> str:
    """A column's name for people."""
    return name.replace("_", " ")


def rounded(score: float) -> float | None:
    """As JSON can hold it, with as many digits as a reader can use."""
    return float(f"{score:.5g}") if math.isfinite(score) else None
